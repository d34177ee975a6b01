// SPDX-License-Identifier: MIT
//
// The names of a segment's objects while others come and go, in threads and in processes.

#include "support/catch.hpp"
#include "support/checks.hpp"
#include "support/in_child.hpp"
#include "support/leaks.hpp"
#include "support/soak.hpp"
#include "support/step.hpp"

#include <mmstl/containers.hpp>
#include <mmstl/segment.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

using namespace support;
using mmstl::segment;
using mmstl::segment_options;

namespace heap = mmstl::detail::heap;

namespace {

constexpr segment_options little{.capacity_bytes = std::uint64_t{64} << 20};

const heap::image& image_of(const segment& in) {
    auto* const base = static_cast<std::byte*>(const_cast<void*>(in.base_address()));
    return heap::heaps_of_this_process().find(base)->shared.in();
}

std::string nth_name(char of, long i) { return std::string(1, of) + std::to_string(i); }

/// Makes and destroys a few names in turn, and has their memory full of what is no length meanwhile.
void come_and_go(segment& in, long n) {
    const auto bytes = in.allocator<char>();
    for (long i = 0; i < n; ++i) {
        const auto name = nth_name('g', i % 7);
        in.construct<char>(name, 'x');
        in.destroy<char>(name);
        auto allocate = bytes;
        const std::size_t n_bytes = sizeof(heap::name_node) + name.size() + 1;
        std::vector<char*> blocks(4);
        for (auto*& one : blocks) {
            one = allocate.allocate(n_bytes);
            std::memset(one, 0xff, n_bytes);
        }
        for (auto* const one : blocks) allocate.deallocate(one, n_bytes);
    }
}

} // namespace

TEST_CASE("names that stay are listed, and found, while others come and go") {
    auto in = segment::create(mmstl::anonymous(), little);
    for (long i = 0; i < 6; ++i) in.construct<long>(nth_name('s', i), i);
    std::atomic<bool> is_over{false};
    std::atomic<long> n_looks{0}, n_wrong{0};
    const auto look = [&] {
        while (!is_over) {
            const auto all = in.named_objects();
            const auto n_stay = std::count_if(
                all.begin(), all.end(), [](const auto& one) { return one.name.front() == 's'; });
            const bool fit = std::all_of(all.begin(), all.end(), [](const auto& one) {
                return one.name.size() == 2 && one.count == 1;
            });
            n_wrong += n_stay == 6 && fit ? 0 : 1;
            for (long i = 0; i < 6; ++i) {
                const long* const found = in.find<long>(nth_name('s', i));
                n_wrong += found != nullptr && *found == i ? 0 : 1;
            }
            ++n_looks;
        }
    };
    std::thread first(look);
    std::thread second(look);
    while (n_looks < 2) std::this_thread::yield();
    come_and_go(in, soaked(20000));
    is_over = true;
    first.join();
    second.join();
    CHECK(n_wrong == 0);
    CHECK(in.named_objects().size() == 6);
    CHECK(in.check().clean());
}

TEST_CASE("of names that come and go in another process, a reader sees what it can") {
    const temporary_directory directory;
    const auto path = directory / "x";
    auto in = segment::create(path, little);
    in.construct<long>("s0", 17);
    auto& is_over = in.construct<std::atomic<bool>>("is over", false);
    child reader([&] {
        in = segment();
        in = segment::open(path, {.access = mmstl::access::read_only});
        const auto* const stop = in.find<const std::atomic<bool>>("is over");
        while (!*stop) {
            for (const auto& one : in.named_objects()) expect(one.name.size() <= 7, one.name);
            expect(*in.find<const long>("s0") == 17);
        }
    });
    come_and_go(in, soaked(20000));
    is_over = true;
    const auto result = reader.wait();
    INFO(result);
    CHECK(result.ok());
}

TEST_CASE("names whose hashes begin alike are told apart") {
    // Sixteen bits of the hash are in the table: of so many names some share them.
    auto in = segment::create(mmstl::anonymous(), little);
    constexpr long n = 2000;
    for (long i = 0; i < n; ++i) in.construct<long>(nth_name('n', i), i);
    for (long i = 0; i < n; ++i) CHECK(*in.find<long>(nth_name('n', i)) == i);
    CHECK(in.find<long>("n2000") == nullptr);
    CHECK(in.check().clean());
}

TEST_CASE("a slot that has another hash in front is none, and check says so") {
    auto in = segment::create(mmstl::anonymous(), little);
    in.construct<int>("one", 1);
    const auto& image = image_of(in);
    auto& table = *heap::names(image).current();
    for (std::uint64_t i = 0; i < table.n_slots; ++i) {
        auto& slot = table.at(i);
        if (slot.load() > heap::name_table::removed) slot.fetch_xor(std::uint64_t{1} << 60);
    }
    CHECK(in.find<int>("one") == nullptr);
    const auto report = in.check();
    REQUIRE(report.n_problems == 1);
    CHECK(report.problems.front().find("of the table is none") != std::string::npos);
}

namespace {

/// Knows by what name it goes.
struct named {
    explicit named(char its_name) : name(its_name) {}
    explicit named(const std::function<void()>& meanwhile) { meanwhile(); }
    char name = '\0';
};
struct is_not_made {};

} // namespace

template <> inline constexpr std::string_view mmstl::persistent_name<named> = "test/named";

TEST_CASE("who looks for what is not made in the end is not given what is made in its place") {
    if (MMSTL_TESTS_SANITIZED) return skip_loudly("a sanitizer is not stepped through");
    if (!single_step([] {}).allowed) return skip_loudly("ptrace is not allowed here");
    const bool constructs = GENERATE(false, true);
    INFO((constructs ? "find_or_construct" : "find"));
    auto in = segment::create(mmstl::anonymous(), little);
    const auto look = [&] {
        const auto* const found =
            constructs ? &in.find_or_construct<named>("a", 'a') : in.find<named>("a");
        expect(found == nullptr || found->name == 'a', "the one of this name, or none");
    };
    // Whoever looks stands still at his k-th instruction while the constructor throws, and another
    // object is made: in the same memory, its name, too. He is followed until he waits.
    bool has_looked = false;
    long k = 0;
    for (constexpr long most = 5000; k < most && !has_looked; ++k) {
        INFO("after " << k << " instructions");
        std::optional<stepped_child> other;
        const auto meanwhile = [&] {
            other.emplace(look, [&] { (void)in.find<named>("none"); }); // once, which joins
            for (long i = 0; i < k && other->now() == stepped_child::state::inside; ++i)
                other->step();
            has_looked = other->now() != stepped_child::state::inside ||
                         stepped_child::is_system_call(other->next());
            throw is_not_made();
        };
        CHECK_THROWS_AS(in.construct<named>("a", meanwhile), is_not_made);
        in.construct<named>("b", 'b');
        other->run_to_end();
        REQUIRE(other->now() == stepped_child::state::at_end);
        CHECK(in.destroy<named>("b"));
        CHECK(in.destroy<named>("a") == constructs);
    }
    CHECK(k > 10);
    in.recover();
    CHECK(in.check().clean());
}

namespace {

/// Asks for the object that it makes, after it has used another segment.
struct impatient {
    impatient(segment& in, segment& other) {
        (void)other.allocator<char>().allocate(10);
        code = [&] {
            try {
                in.find_or_construct<impatient>("it", in, other);
            } catch (const std::system_error& e) {
                return e.code();
            }
            return std::error_code();
        }();
    }
    static inline std::error_code code;
    int value = 0;
};

/// Makes an object when nearly all of a thread is gone.
struct late_maker {
    segment* in = nullptr;
    std::atomic<heap::thread_id>* builder = nullptr;
    ~late_maker() {
        (void)in->try_construct<int>("late", 1);
        const auto* const table = heap::names(image_of(*in)).current();
        for (std::uint64_t i = 0; i < table->n_slots; ++i)
            if (const auto one =
                    heap::names(image_of(*in)).node_at(heap::name_table::offset_in(table->at(i))))
                *builder = one.node->builder.get();
    }
};

} // namespace

template <> inline constexpr std::string_view mmstl::persistent_name<impatient> = "test/impatient";

TEST_CASE("a constructor that asks for what it makes is told so, whatever it did before") {
    auto in = segment::create(mmstl::anonymous(), little);
    auto other = segment::create(mmstl::anonymous(), little);
    // So that the thread goes by another number there.
    std::thread([&] { (void)other.allocator<char>().allocate(10); }).join();
    impatient::code = {};
    CHECK(in.find_or_construct<impatient>("it", in, other).value == 0);
    CHECK(impatient::code == std::errc::resource_deadlock_would_occur);
}

TEST_CASE("what is made late in a thread has a thread that makes it") {
    auto in = segment::create(mmstl::anonymous(), little);
    std::atomic<heap::thread_id> builder{0};
    std::thread([&] {
        thread_local late_maker first;
        first.in = &in;
        first.builder = &builder;
        (void)in.allocator<char>().allocate(10);
    }).join();
    CHECK(*in.find<int>("late") == 1);
    CHECK(builder != 0);
}

TEST_CASE("a name is found while its table is taken into use again") {
    if (MMSTL_TESTS_SANITIZED) return skip_loudly("a sanitizer is not stepped through");
    if (!single_step([] {}).allowed) return skip_loudly("ptrace is not allowed here");
    if (!stepped_child::knows_places) return skip_loudly("it is not known where a child is, here");
    auto in = segment::create(mmstl::anonymous(), little);
    in.construct<long>("x", 7);
    const auto& image = image_of(in);
    const heap::names names(image);
    for (long i = 0; names.current()->previous == 0; ++i) in.construct<long>(nth_name('n', i), i);
    auto& root = image.root().names;
    auto& table = const_cast<heap::name_table&>(*names.current());
    const auto is_x = [&](std::uint64_t word) {
        return word > heap::name_table::removed &&
               names.node_at(heap::name_table::offset_in(word)).name == "x";
    };
    std::uint64_t i = 0;
    while (!is_x(table.at(i).load())) ++i;
    const auto word = table.at(i).load();
    const auto current = root.load();
    const auto look = [&] { expect(in.find<const long>("x") != nullptr, "found"); };
    std::vector<place> places;
    {
        stepped_child first(look);
        route so_far;
        for (; first.now() == stepped_child::state::inside; first.step())
            places.push_back(so_far.to(first.next()));
    }
    REQUIRE(places.size() > 100);
    // Who looks stands still while the other table becomes the current one, and this one is begun with
    // again; and a second time, a little later, while it is filled and becomes the current one.
    bool has_looked = false;
    std::size_t k = 0;
    for (; k < places.size() && !has_looked; k += 3)
        for (const int then : {20, 40, 60}) {
            stepped_child reader(look);
            has_looked = !reader.run_to(places[k]);
            if (has_looked) break; // and is on the way out
            table.changes.fetch_add(1);
            table.at(i).store(0);
            root.store(table.previous);
            for (int n = 0; n < then && reader.now() == stepped_child::state::inside; ++n)
                reader.step();
            table.at(i).store(word);
            root.store(current);
            reader.run_to_end();
            INFO("at " << k << " of " << places.size() << ", and " << then << " behind it");
            CHECK(reader.now() == stepped_child::state::at_end);
        }
    CHECK(k > 100);
}
