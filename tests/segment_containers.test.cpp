// SPDX-License-Identifier: MIT
//
// The standard library's containers in segments: across processes and restarts, and never with a
// byte of a process in the file.

#include "support/catch.hpp"
#include "support/contents.hpp"
#include "support/in_child.hpp"
#include "support/leaks.hpp"
#include "support/temporary.hpp"

#include <mmstl/containers.hpp>
#include <mmstl/segment.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <sys/personality.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace support;
using mmstl::segment;
using support::contents::containers;

namespace {

constexpr std::uint64_t MiB = std::uint64_t{1} << 20;
constexpr mmstl::segment_options little{.capacity_bytes = 128 * MiB};

/// Of libc++'s a short one is copied with the bytes that it does not use, and those may hold
/// anything: nothing reads them, but they can look like addresses.
#ifdef _LIBCPP_VERSION
constexpr bool short_strings_hide_bytes = true;
#else
constexpr bool short_strings_hide_bytes = false;
#endif

/// Runs the other program, with addresses at random (or in the legacy layout) and waits for it.
child_result other_process(const char* what, const char* kind, const std::string& name,
                           bool legacy = false) {
    return in_child([&] {
        ::personality(legacy ? ADDR_COMPAT_LAYOUT : 0);
        ::execl(MMSTL_TEST_OTHER_PROCESS, "other_process", what, kind, name.c_str(),
                static_cast<char*>(nullptr));
        return 127;
    });
}

void fill_and_verify(segment& in) {
    auto& all = in.find_or_construct<containers>("containers");
    all.fill();
    all.verify();
}

/// The addresses in a segment at which there is one of this process's heap or stack: found by
/// comparing every word in it with the ranges that are given.
std::size_t count_words_within(const segment& in, const void* first, std::size_t n_bytes) {
    const auto from = reinterpret_cast<std::uintptr_t>(first);
    const auto* const base = static_cast<const std::byte*>(in.base_address());
    const auto length = in.size_bytes() - in.offset_of(base);
    std::size_t n = 0;
    for (std::uint64_t at = 0; at + sizeof from <= length; at += sizeof from) {
        std::uintptr_t word;
        std::memcpy(&word, base + at, sizeof word);
        if (word >= from && word - from < n_bytes) ++n;
    }
    return n;
}

/// The heap and the stack of this process, as /proc tells of them.
std::vector<std::pair<std::uintptr_t, std::size_t>> process_memory() {
    std::vector<std::pair<std::uintptr_t, std::size_t>> all;
    std::FILE* const maps = std::fopen("/proc/self/maps", "r");
    REQUIRE(maps != nullptr);
    std::array<char, 1024> line;
    while (std::fgets(line.data(), line.size(), maps) != nullptr) {
        const std::string_view text(line.data());
        std::uintptr_t from = 0;
        std::uintptr_t to = 0;
        if (std::sscanf(line.data(), "%lx-%lx", &from, &to) != 2) continue;
        if (text.find("rw-s") != text.npos) continue; // shared: the segments
        all.emplace_back(from, to - from);
    }
    std::fclose(maps);
    return all;
}

std::size_t count_addresses_of_process(const segment& in) {
    std::size_t n = 0;
    for (const auto& [from, n_bytes] : process_memory())
        n += count_words_within(in, reinterpret_cast<const void*>(from), n_bytes);
    return n;
}

} // namespace

TEST_CASE("every container is there again in another process, in a file and in shared memory") {
    const temporary_directory directory;
    const shared_memory_name name;
    for (const auto& [kind, text, at] :
         {std::tuple("file", directory / "x", mmstl::file(directory / "x")),
          std::tuple("shared_memory", name.text(), mmstl::shared_memory(name.text()))}) {
        INFO(kind);
        {
            auto made = segment::create(at, little);
            fill_and_verify(made);
            made.close();
        }
        for (const bool legacy : {false, true}) {
            if (legacy && MMSTL_TESTS_SANITIZED) break; // they have addresses of their own
            for (const char* const what : {"verify", "verify", "add", "replace", "verify"}) {
                const auto result = other_process(what, kind, text, legacy);
                INFO(what << (legacy ? ", legacy layout: " : ": ") << result);
                CHECK(result.ok());
            }
        }
        auto again = segment::open(at);
        fill_and_verify(again);
        CHECK(again.check().clean());
        CHECK(again.destroy<containers>("containers"));
        CHECK(again.check().clean());
        CHECK(again.check().n_blocks <= 1); // the table of names
    }
}

TEST_CASE("a program that has a segment open sees what another one adds") {
    const shared_memory_name name;
    auto made = segment::create(mmstl::shared_memory(name.text()), little);
    auto& all = made.construct<containers>("containers");
    all.fill();
    for (int i = 0; i < 3; ++i) {
        const auto result = other_process("add", "shared_memory", name.text());
        INFO(result);
        CHECK(result.ok());
        CHECK_NOTHROW(all.verify());
        all.fill();
    }
    CHECK(made.check().clean());
}

TEST_CASE("parent and child allocate and free in an anonymous segment, also each other's blocks") {
    auto made = segment::create(mmstl::anonymous(), little);
    auto& of_parent = made.construct<containers>("parent");
    of_parent.fill();
    {
        const auto result = in_child([&] {
            of_parent.verify();
            of_parent.fill(); // grows, and frees what the parent had allocated
            made.construct<containers>("child").fill();
            expect(made.check().clean(), "the heap as the child sees it");
        });
        INFO(result);
        CHECK(result.ok());
    }
    CHECK_NOTHROW(of_parent.verify());
    of_parent.fill();
    CHECK_NOTHROW(of_parent.verify());
    auto* const of_child = made.find<containers>("child");
    REQUIRE(of_child != nullptr);
    CHECK_NOTHROW(of_child->verify());
    CHECK(made.destroy<containers>("child"));
    CHECK(made.destroy<containers>("parent"));
    CHECK(made.check().clean());
    CHECK(made.check().n_blocks <= 1);
}

TEST_CASE("parent, children and grandchildren allocate at the same time") {
    auto made = segment::create(mmstl::anonymous(), little);
    made.construct<containers>("before").fill();
    std::vector<child> children;
    for (int i = 0; i < 3; ++i)
        children.emplace_back([&, i] {
            const auto name = "child " + std::to_string(i);
            auto& own = made.construct<containers>(name);
            own.fill();
            const auto grandchild = in_child([&] {
                own.fill();
                made.construct<containers>(name + "'s child").fill();
            });
            expect(grandchild.ok(), "the grandchild");
            own.fill();
            own.verify();
        });
    auto& of_parent = made.construct<containers>("parent");
    for (int i = 0; i < 5; ++i) of_parent.fill();
    for (auto& one : children) {
        const auto result = one.wait();
        INFO(result);
        CHECK(result.ok());
    }
    const auto report = made.check();
    for (const auto& problem : report.problems) FAIL_CHECK(problem);
    CHECK(report.n_named_objects == 8);
    for (const auto& one : made.named_objects()) {
        INFO(one.name);
        CHECK_NOTHROW(made.find<containers>(one.name)->verify());
        CHECK(made.destroy<containers>(one.name));
    }
    CHECK(made.check().clean());
    CHECK(made.check().n_blocks <= 1);
}

TEST_CASE("one process grows a segment while another one uses it") {
    const temporary_directory directory;
    const auto path = directory / "x";
    auto made = segment::create(path, {.capacity_bytes = 512 * MiB});
    auto& blocks = made.construct<mmstl::deque<mmstl::vector<int>>>("blocks");
    auto& n_done = made.construct<std::atomic<int>>("done", 0);
    auto& all = made.construct<containers>("containers");
    child grower([&] {
        auto opened = segment::open(path);
        for (int i = 0; i < 100; ++i) {
            blocks.emplace_back(250'000, i); // a megabyte
            ++n_done;
        }
    });
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (n_done < 100 && std::chrono::steady_clock::now() < end)
        if (all.deque.size() < 10'000) all.fill();
    const auto result = grower.wait();
    INFO(result);
    CHECK(result.ok());
    CHECK_NOTHROW(all.verify());
    CHECK(blocks.size() == 100);
    for (std::size_t i = 0; i < blocks.size(); ++i)
        CHECK((blocks[i].size() == 250'000 && blocks[i].back() == static_cast<int>(i)));
    CHECK(made.check().clean());
}

TEST_CASE("no way of putting things into a segment leaves an address of the process in it") {
    auto made = segment::create(mmstl::anonymous(), little);
    const std::string longer(60, 'x');
    const mmstl::string text(longer.c_str()); // of the process
    std::deque<std::string> words;
    const auto word = [&](const std::string& letters) {
        return words.emplace_back(letters + (short_strings_hide_bytes ? longer : "")).c_str();
    };
    {
        auto& strings = made.construct<mmstl::vector<mmstl::string>>("strings");
        strings.push_back(text);
        strings.push_back(mmstl::string(longer.c_str()));
        strings.emplace_back(longer.c_str());
        strings.insert(strings.begin(), 3, text);
        strings.resize(10, text);
        strings[0] = mmstl::string(longer.c_str());
        strings[1] = text;
        strings[2].assign(longer.c_str());
        mmstl::string local(longer.c_str());
        strings[3] = std::move(local);
        std::swap(strings[0], strings[1]);
        strings.erase(strings.begin());
        strings = mmstl::vector<mmstl::string>(5, text);
        mmstl::vector<mmstl::string> other(7, text);
        strings = std::move(other);
        const auto copy = strings; // of the process
        CHECK_FALSE(made.contains(copy.data()));
        for (const auto& one : strings) CHECK(made.contains(one.data()));

        auto& map = made.construct<mmstl::map<mmstl::string, mmstl::vector<mmstl::string>>>("map");
        map[text].push_back(text);
        map[word("literal")].assign(3, text);
        map.insert({text + "2", {text, text}});
        map.emplace(word("three"), mmstl::vector<mmstl::string>{text});
        map.try_emplace(word("four"), 4, text);
        map.insert_or_assign(word("four"), mmstl::vector<mmstl::string>(2, text));
        mmstl::map<mmstl::string, mmstl::vector<mmstl::string>> local_map;
        local_map[word("five")].push_back(text);
        map.insert(local_map.begin(), local_map.end());
        map = local_map;
        map = std::move(local_map);

        auto& hash =
            made.construct<mmstl::unordered_map<mmstl::string, std::pair<mmstl::string, int>>>("h");
        ++hash[word("a")].second;
        hash[word("b")].first = text;
        hash.emplace(std::piecewise_construct, std::forward_as_tuple(text),
                     std::forward_as_tuple(text, 1));
        hash.insert({word("c"), {text, 2}});
        for (int i = 0; i < 100; ++i) hash[word(std::to_string(i))].first = text;
        for (const auto& [key, value] : hash) {
            CHECK(made.contains(key.data()));
            CHECK(made.contains(value.first.data()));
        }
        auto& list = made.construct<mmstl::list<mmstl::string>>("list");
        mmstl::list<mmstl::string> more{text, text};
        list.insert(list.end(), more.begin(), more.end());
        list.sort();
        auto& deque = made.construct<mmstl::deque<std::pair<mmstl::string, mmstl::string>>>("d");
        deque.emplace_back(text, word("b"));
        deque.push_front({text, text});
        auto& tuple = made.construct<mmstl::vector<std::tuple<int, mmstl::string>>>("tuples");
        tuple.emplace_back(1, text);
    }
    const auto n_before = count_addresses_of_process(made);
    // Numbers look like addresses to sanitizers, which map most addresses there are.
    if (!MMSTL_TESTS_SANITIZED) CHECK(n_before == 0);
    made.construct<mmstl::vector<const void*>>("planted", 1, static_cast<const void*>(&made));
    CHECK(count_addresses_of_process(made) > n_before); // it would have been found
}
