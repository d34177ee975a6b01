// SPDX-License-Identifier: MIT
//
// mapped_vector.hpp: one that appends and many that read, in threads and in processes.

#include "support/catch.hpp"
#include "support/checks.hpp"
#include "support/in_child.hpp"
#include "support/leaks.hpp"
#include "support/soak.hpp"
#include "support/step.hpp"
#include "support/temporary.hpp"

#include <mmstl/mapped_vector.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

using namespace support;
using mmstl::backing;
using mmstl::mapped_vector;
using mmstl::vector_options;

namespace {

/// Knows its place, and whether all of it was written. Of no size that divides a page.
struct entry {
    std::uint64_t place;
    std::array<std::uint64_t, 8> proof;
};

} // namespace

template <> inline constexpr std::string_view mmstl::persistent_name<entry> = "test/entry";

namespace {

using entries = mapped_vector<entry>;
using reader = mapped_vector<const entry>;

entry entry_of(std::uint64_t place) {
    entry made{place, {}};
    for (std::size_t i = 0; i < made.proof.size(); ++i)
        made.proof[i] = (place + i + 1) * 0x9e3779b97f4a7c15U;
    return made;
}
bool is_whole(const entry& one, std::uint64_t place) {
    return one.place == place && one.proof == entry_of(place).proof;
}

/// Appends the elements up to `n`, in every way there is.
void append_up_to(entries& all, std::uint64_t n) {
    std::vector<entry> some;
    for (std::uint64_t i = all.size(); i < n; i = all.size()) {
        some.clear();
        for (std::uint64_t k = 0; k < 1 + i % 7 && i + k < n; ++k) some.push_back(entry_of(i + k));
        switch (i % 5) {
        case 0: all.push_back(some[0]); break;
        case 1: all.emplace_back(some[0]); break;
        case 2: all.append_range(some); break;
        case 3: all.insert(all.end(), some.begin(), some.end()); break;
        default:
            std::ranges::copy(some, all.append_uninitialized(some.size()).begin());
            all.commit(some.size());
        }
    }
}

/// Reads what is appended until there are `n` elements. Returns what was wrong; null for nothing.
template <class Vector> const char* follow(const Vector& all, std::uint64_t n) {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    for (std::uint64_t seen = 0; seen < n;) {
        const std::uint64_t size = all.size();
        if (size < seen) return "it shrank";
        for (; seen < size; ++seen)
            if (!is_whole(all[seen], seen)) return "half an element";
        if (size != 0 && !is_whole(all.begin()[size / 2], size / 2)) return "an element changed";
        if (std::chrono::steady_clock::now() > give_up) return "it stands still";
    }
    return nullptr;
}

/// An object that forked children share.
template <class T> class shared {
public:
    shared()
        : at_(new (::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                          -1, 0)) T) {}
    shared(const shared&) = delete;
    shared& operator=(const shared&) = delete;
    ~shared() { ::munmap(at_, sizeof(T)); }
    T* operator->() const noexcept { return at_; }
    T& operator*() const noexcept { return *at_; }

private:
    T* at_;
};

std::uint64_t many() { return static_cast<std::uint64_t>(soaked(20'000)); }

/// Grows so often that readers meet it.
constexpr vector_options growing_often{.growth = {.factor = 1, .least_bytes = 0}};

} // namespace

TEST_CASE("threads follow the vector that another thread appends to") {
    const auto which = GENERATE(kind::file, kind::shared_memory, kind::anonymous);
    const auto form = GENERATE(mmstl::layout::header, mmstl::layout::raw);
    INFO(which);
    const sample one(which);
    auto options = growing_often;
    options.layout = form;
    auto all = entries::create(one.backing(), options);
    const auto n = many();
    std::vector<const char*> wrong(2);
    std::vector<std::thread> threads;
    for (auto& answer : wrong)
        threads.emplace_back([&] { answer = follow(std::as_const(all), n); });
    append_up_to(all, n);
    for (auto& thread : threads) thread.join();
    for (const auto* const answer : wrong) CHECK(std::string_view(answer ? answer : "") == "");
}

TEST_CASE("threads with readers of their own follow, from before the first element") {
    const auto which = GENERATE(kind::file, kind::shared_memory, kind::borrowed_fd);
    INFO(which);
    const sample one(which);
    const auto where = one.backing();
    auto all = entries::open_or_create(where, growing_often);
    const auto n = many();
    std::vector<const char*> wrong(2);
    std::vector<std::thread> threads;
    std::atomic<unsigned> ready{0};
    for (auto& answer : wrong) {
        threads.emplace_back([&] {
            const auto tail = reader::open(where);
            ++ready;
            answer = follow(tail, n);
        });
    }
    while (ready != threads.size()) std::this_thread::yield();
    append_up_to(all, n);
    for (auto& thread : threads) thread.join();
    for (const auto* const answer : wrong) CHECK(std::string_view(answer ? answer : "") == "");
}

TEST_CASE("what is appended at once is seen at once") {
    constexpr std::size_t batch = 100;
    auto all = mapped_vector<std::uint64_t>::create(mmstl::anonymous(), growing_often);
    const auto n = static_cast<std::size_t>(soaked(1000));
    std::atomic<bool> torn{false};
    std::thread observer([&] {
        for (std::size_t size = 0; size < n * batch;) {
            size = all.size();
            if (size % batch != 0) torn = true;
            const std::span<const std::uint64_t> seen(all);
            if (!seen.empty() && seen.back() != (seen.size() - 1) / batch) torn = true;
        }
    });
    for (std::uint64_t i = 0; i < n; ++i) {
        const std::vector<std::uint64_t> some(batch, i);
        switch (i % 4) {
        case 0: all.append_range(some); break;
        case 1: all.insert(all.end(), batch, i); break;
        case 2: all.resize(all.size() + batch, i); break;
        default:
            std::ranges::copy(some, all.append_uninitialized(batch).begin());
            all.commit(batch);
        }
    }
    observer.join();
    CHECK_FALSE(torn);
}

TEST_CASE("between any two instructions of appending, a reader sees all of it or nothing") {
    // They make thousands of instructions of two stores.
    if (MMSTL_TESTS_SANITIZED) return skip_loudly("a sanitizer is not stepped through");
    const sample one(kind::file);
    const auto where = one.backing();
    (void)entries::create(where);
    const auto tail = reader::open(where);
    constexpr std::size_t batch = 3;
    std::vector<entry> some;
    const auto step_through = [&](const char* what, auto append) {
        INFO(what);
        some.clear();
        const auto before = tail.size();
        for (std::size_t i = 0; i < batch; ++i) some.push_back(entry_of(before + i));
        stepped_child writer([&] {
            auto all = entries::open(where, growing_often);
            append(all);
        });
        if (writer.now() == stepped_child::state::refused)
            return skip_loudly("ptrace is not allowed here");
        for (bool nothing = true; writer.now() == stepped_child::state::inside; writer.step()) {
            const auto size = tail.size();
            if (size == before && nothing) continue;
            nothing = false;
            if (size != before + batch) FAIL("a part, or less than before: " << size);
            for (auto i = before; i < size; ++i)
                if (!is_whole(tail[i], i)) FAIL("half an element");
        }
        CHECK(writer.now() == stepped_child::state::at_end);
        CHECK(tail.size() == before + batch);
    };
    step_through("append_range", [&](entries& all) { all.append_range(some); });
    step_through("insert", [&](entries& all) { all.insert(all.end(), some.begin(), some.end()); });
    step_through("insert_range",
                 [&](entries& all) { all.insert_range(all.end(), std::span(some)); });
    step_through("commit", [&](entries& all) {
        std::ranges::copy(some, all.append_uninitialized(batch).begin());
        all.commit(batch);
    });
}

TEST_CASE("processes follow by name what another process appends") {
    const auto which = GENERATE(kind::file, kind::shared_memory);
    INFO(which);
    const sample one(which);
    const auto where = one.backing();
    (void)entries::create(where);
    const auto n = many();
    const shared<std::atomic<unsigned>> ready;
    std::vector<child> readers;
    for (int i = 0; i < 2; ++i) {
        readers.emplace_back([&] {
            const auto tail = reader::open(where);
            ++*ready;
            if (const auto* const wrong = follow(tail, n)) expect(false, wrong);
        });
    }
    child writer([&] {
        while (*ready != 2) std::this_thread::yield();
        auto all = entries::open(where, growing_often);
        append_up_to(all, n);
    });
    const auto wrote = writer.wait();
    INFO(wrote);
    CHECK(wrote.ok());
    for (auto& each : readers) {
        const auto read = each.wait();
        INFO(read);
        CHECK(read.ok());
    }
}

TEST_CASE("a parent follows what its child appends to memory without a name") {
    const auto which = GENERATE(kind::anonymous, kind::memory_file, kind::temporary_file);
    INFO(which);
    const sample one(which);
    auto all = entries::create(one.backing(), growing_often);
    const auto n = many();
    child writer([&] { append_up_to(all, n); });
    const auto* const wrong = follow(std::as_const(all), n);
    CHECK(std::string_view(wrong ? wrong : "") == "");
    CHECK(writer.wait().ok());
    all.push_back(entry_of(n)); // goes on where the child has ended
    CHECK(is_whole(all.back(), n));
    CHECK(all.size() == n + 1);
}

TEST_CASE("a reader with fewer addresses than there are elements sees those it has") {
    const temporary_directory directory;
    auto all = entries::create(directory / "x", growing_often);
    const auto few = reader::open(directory / "x", {.reserved = 1000});
    const auto reserved = few.reserved();
    CHECK(reserved >= 1000);
    CHECK(reserved < 2000);
    std::atomic<bool> done{false};
    bool too_many = false;
    bool wrong = false;
    std::thread observer([&] {
        while (!done) {
            const auto size = few.size();
            too_many = too_many || size > reserved;
            wrong = wrong || (size != 0 && !is_whole(few[size - 1], size - 1));
            wrong = wrong || few.begin() + static_cast<std::ptrdiff_t>(reserved) < few.end();
        }
    });
    append_up_to(all, 5000);
    done = true;
    observer.join();
    CHECK_FALSE(too_many);
    CHECK_FALSE(wrong);
    CHECK(few.size() == reserved);
    CHECK(is_whole(few.back(), reserved - 1));
    CHECK(all.size() == 5000);
    CHECK(reader::open(directory / "x").size() == 5000);
}

TEST_CASE("a writer that is killed leaves all that it published, to readers and the next writer") {
    const auto which = GENERATE(kind::file, kind::shared_memory);
    INFO(which);
    const sample one(which);
    const auto where = one.backing();
    (void)entries::create(where);
    const auto tail = reader::open(where);
    const shared<std::atomic<std::uint64_t>> published;
    for (long round = 0; round < soaked(30); ++round) {
        child writer([&] {
            auto all = entries::open(where, growing_often);
            for (;;) {
                append_up_to(all, all.size() + 1 + all.size() % 3);
                *published = all.size();
            }
        });
        const std::uint64_t before = tail.size();
        const auto give_up = std::chrono::steady_clock::now() + std::chrono::minutes(1);
        while (tail.size() < before + 1 + static_cast<std::uint64_t>(round) * 13) {
            REQUIRE(std::chrono::steady_clock::now() < give_up);
            std::this_thread::yield();
        }
        writer.kill();
        CHECK(writer.wait().signal == SIGKILL);
        const auto left = tail.size();
        CHECK(left >= *published);
        bool whole = true;
        for (std::uint64_t i = before; i < left; ++i) whole = whole && is_whole(tail[i], i);
        CHECK(whole);
        auto next = entries::open(where, growing_often);
        CHECK(next.size() == left);
        CHECK_FALSE(next.recovered());
        append_up_to(next, left + 3);
        CHECK(tail.size() == left + 3);
        if (next.size() > 100'000) {
            next.clear();
            *published = 0;
        }
    }
    const char* const wrong = follow(tail, tail.size());
    CHECK(std::string_view(wrong ? wrong : "") == "");
}

TEST_CASE("of many that open_or_create a vector at once, one creates and all can append in turn") {
    const auto which = GENERATE(kind::file, kind::shared_memory);
    const bool is_there_empty = GENERATE(false, true);
    INFO(which << (is_there_empty ? ", an empty file to be adopted" : ""));
    const sample one(which);
    constexpr unsigned n_racers = 4;
    struct race {
        std::atomic<unsigned> ready{0}, created{0}, turn{0};
    };
    for (long round = 0; round < soaked(10); ++round) {
        const auto where = is_there_empty ? one.backing_of(0) : one.backing();
        const shared<race> at;
        std::vector<child> racers;
        for (unsigned me = 0; me < n_racers; ++me) {
            racers.emplace_back([&, me] {
                for (++at->ready; at->ready < n_racers;) std::this_thread::yield();
                auto all = entries::open_or_create(where);
                at->created += all.created() ? 1 : 0;
                while (at->turn != me) std::this_thread::yield();
                expect(all.size() == me, "size");
                all.push_back(entry_of(me));
                ++at->turn;
            });
        }
        for (auto& racer : racers) {
            const auto ended = racer.wait();
            INFO(ended);
            REQUIRE(ended.ok());
        }
        CHECK(at->created == 1);
        const auto all = reader::open(where);
        CHECK(all.size() == n_racers);
        for (std::uint64_t i = 0; i < n_racers; ++i) CHECK(is_whole(all[i], i));
        where.remove();
    }
}

TEST_CASE("what is appended to a file that is just being made a vector is not cut off") {
    const auto which = GENERATE(kind::file, kind::shared_memory);
    INFO(which);
    const sample one(which);
    const auto where = one.backing_of(0);
    stepped_child maker([&] {
        std::error_code ec;
        (void)entries::open_or_create(where, ec);
        if (ec) ::_exit(1);
    });
    if (maker.now() == stepped_child::state::refused)
        return skip_loudly("ptrace is not allowed here");
    std::optional<entries> all;
    while (maker.now() == stepped_child::state::inside) {
        std::error_code ec;
        if (!all)
            if (auto opened = entries::open(where, growing_often, ec); !ec) all = std::move(opened);
        for (int i = 0; all && i < 100; ++i) all->push_back(entry_of(all->size()));
        maker.step_to_call();
    }
    CHECK(maker.now() == stepped_child::state::at_end);
    REQUIRE(all);
    const auto left = reader::open(where);
    CHECK(left.size() == all->size());
    bool whole = true;
    for (std::uint64_t i = 0; i < left.size(); ++i) whole = whole && is_whole(left[i], i);
    CHECK(whole);
}

TEST_CASE("opening beside a writer that appends succeeds, whatever is appended in between") {
    const auto which = GENERATE(kind::file, kind::shared_memory);
    const bool writes = GENERATE(false, true);
    INFO(which << (writes ? ", for writing" : ""));
    const sample one(which);
    const auto where = one.backing();
    auto all = entries::create(where, growing_often);
    stepped_child opener([&] {
        std::error_code ec;
        const auto size = writes ? entries::open(where, ec).size() : reader::open(where, ec).size();
        if (ec || size > (1U << 24)) ::_exit(1);
    });
    if (opener.now() == stepped_child::state::refused)
        return skip_loudly("ptrace is not allowed here");
    while (opener.now() == stepped_child::state::inside) {
        all.push_back(entry_of(all.size())); // many growths between any two of its calls
        if (MMSTL_TESTS_SANITIZED)
            opener.step_to_call(); // most instructions are the sanitizer's
        else
            opener.step();
    }
    CHECK(opener.now() == stepped_child::state::at_end);
}
