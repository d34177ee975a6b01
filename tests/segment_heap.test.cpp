// SPDX-License-Identifier: MIT
//
// The heap of a segment: blocks of every size from any thread of any process, in memory that grows
// and is given back, whatever fails and whoever is killed.

#include "support/blocks.hpp"
#include "support/catch.hpp"
#include "support/checks.hpp"
#include "support/fault.hpp"
#include "support/in_child.hpp"
#include "support/leaks.hpp"
#include "support/soak.hpp"
#include "support/temporary.hpp"

#include <mmstl/containers.hpp>
#include <mmstl/segment.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <iterator>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace support;
using namespace support::blocks;
using mmstl::errc;
using mmstl::segment;
using mmstl::segment_exhausted;
using mmstl::segment_options;

namespace heap = mmstl::detail::heap;

namespace {

constexpr std::uint64_t KiB = std::uint64_t{1} << 10;
constexpr std::uint64_t MiB = std::uint64_t{1} << 20;
constexpr segment_options little{.capacity_bytes = 64 * MiB};

/// All blocks are freed, and each was whole.
void free_all(const segment& in, std::vector<block>& blocks) {
    long n_spoilt = 0;
    for (const auto& one : blocks) n_spoilt += one.free(in) ? 0 : 1;
    CHECK(n_spoilt == 0);
    blocks.clear();
}

/// What `check` says, which must be nothing.
mmstl::segment_report checked(const segment& of) {
    auto report = of.check();
    for (const auto& problem : report.problems) UNSCOPED_INFO(problem);
    CHECK(report.n_problems == 0);
    return report;
}

/// The blocks that the file has on its disk, in bytes.
std::uint64_t on_disk(const std::string& path) {
    struct ::stat now {};
    if (::stat(path.c_str(), &now) != 0) return 0;
    return static_cast<std::uint64_t>(now.st_blocks) * 512;
}

/// Most are small, and all kinds occur: spans of one slice and of eight, runs.
request any_request(std::mt19937_64& random, std::size_t most = 300 * KiB) {
    const auto kind = random() % 64;
    const std::size_t up_to = kind < 50 ? 600 : kind < 58 ? 8 * KiB : kind < 63 ? 64 * KiB : most;
    const std::size_t alignment = random() % 8 != 0 ? 3 : random() % 14;
    return {1 + random() % up_to, alignment};
}

} // namespace

// ---- classes of sizes ----

TEST_CASE("every size has a class that is large enough, aligned, and wastes an eighth at most") {
    const auto check_alignment = [](auto constant) {
        constexpr std::size_t alignment = constant;
        std::size_t n_wrong = 0;
        std::size_t previous = 0;
        for (std::size_t n_bytes = 0; n_bytes <= 70 * KiB; ++n_bytes) {
            const auto c = heap::class_for<alignment>(n_bytes);
            const std::size_t unit = std::max<std::size_t>(alignment, 8);
            const auto rounded = (std::max<std::size_t>(n_bytes, 1) + unit - 1) / unit * unit;
            if (rounded > heap::medium_limit) {
                n_wrong += c != heap::large_class || !heap::is_large<alignment>(n_bytes);
                continue;
            }
            if (c >= heap::n_classes) {
                ++n_wrong;
                continue;
            }
            const auto bytes = heap::block_bytes(c);
            n_wrong += bytes < n_bytes;
            n_wrong += bytes % alignment != 0;
            n_wrong += bytes - rounded > rounded / 8;
            n_wrong += c < previous; // more bytes, no smaller class
            n_wrong += heap::is_large<alignment>(n_bytes);
            n_wrong += heap::is_small<alignment>(n_bytes) != (heap::span_slices(c) == 1);
            previous = c;
        }
        INFO("alignment " << alignment);
        CHECK(n_wrong == 0);
    };
    [&]<std::size_t... I>(std::index_sequence<I...>) {
        (check_alignment(std::integral_constant<std::size_t, (std::size_t{1} << I)>()), ...);
    }
    (std::make_index_sequence<14>());
    CHECK(heap::class_for<16 * KiB>(1) == heap::large_class);
    for (std::size_t c = 0; c < heap::n_classes; ++c) {
        INFO("class " << c);
        CHECK(heap::find_class(heap::block_bytes(c)) == c);
        CHECK(heap::classes[c].n_blocks >= 8);
        CHECK(heap::classes[c].span_bytes % heap::block_bytes(c) == 0);
        // What is left over at the end of a span.
        const auto whole = heap::classes[c].n_slices * heap::slice_bytes;
        CHECK((whole - heap::classes[c].span_bytes) * 8 <= whole);
    }
}

TEST_CASE("blocks lie in the segment, at their alignment, and none overlaps another") {
    const auto in = segment::create(mmstl::anonymous(), {.capacity_bytes = 4096 * MiB});
    const auto used = in.used_bytes();
    std::vector<block> blocks;
    std::uint64_t seed = 0;
    for (std::size_t log2 = 0; log2 < n_alignments; ++log2) {
        const std::size_t alignment = std::size_t{1} << log2;
        for (const std::size_t n_bytes :
             {std::size_t{0}, std::size_t{1}, alignment - 1, alignment, alignment + 1,
              std::size_t{100}, std::size_t{5000}, std::size_t{70'000}}) {
            if (log2 > 20 && n_bytes > alignment) continue; // each takes regions
            for (int i = 0; i < (log2 > 20 ? 2 : 20); ++i)
                blocks.push_back(block::make(in, {n_bytes, log2}, ++seed));
        }
    }
    std::map<const std::byte*, const block*> by_address;
    for (const auto& one : blocks) {
        INFO(one.as.n_bytes << " bytes at multiples of 2^" << one.as.log2_alignment);
        CHECK(one.is_well_placed(in));
        CHECK(by_address.emplace(one.at, &one).second);
    }
    const std::byte* end = nullptr;
    for (const auto& [at, one] : by_address) {
        CHECK(at >= end);
        end = at + std::max<std::size_t>(one->as.n_bytes, 1);
    }
    CHECK(checked(in).n_blocks == blocks.size());
    CHECK(in.check().used_bytes == in.used_bytes());
    free_all(in, blocks);
    CHECK(in.used_bytes() == used);
    CHECK(checked(in).n_blocks == 0);
}

namespace {
template <std::size_t Alignment> struct alignas(Alignment) aligned { int value; };
} // namespace

TEMPLATE_TEST_CASE("containers of aligned elements have them aligned", "", aligned<4>, aligned<16>,
                   aligned<32>, aligned<64>, aligned<512>, aligned<4096>, aligned<8192>,
                   aligned<65536>, aligned<(1 << 20)>) {
    const auto in = segment::create(mmstl::anonymous(), {.capacity_bytes = 512 * MiB});
    const auto is_aligned = [](const TestType& one) {
        return reinterpret_cast<std::uintptr_t>(&one) % alignof(TestType) == 0;
    };
    {
        mmstl::list<TestType> list(in.allocator<TestType>());
        mmstl::vector<TestType> vector(in.allocator<TestType>());
        for (int i = 0; i < 20; ++i) {
            list.emplace_back().value = i;
            vector.push_back({i});
        }
        CHECK(std::all_of(list.begin(), list.end(), is_aligned));
        CHECK(std::all_of(vector.begin(), vector.end(), is_aligned));
        int i = 0;
        for (const auto& one : list) CHECK(one.value == i++);
        CHECK(vector[19].value == 19);
        checked(in);
    }
    CHECK(checked(in).n_blocks == 0);
}

TEST_CASE("a block at multiples of more than a region is refused") {
    const auto in = segment::create(mmstl::anonymous(), {.capacity_bytes = 256 * MiB});
    CHECK_THROWS_AS(heap::allocate<(std::size_t{64} << 20)>(base_of(in), 10), std::bad_alloc);
    void* const at = heap::allocate<(std::size_t{32} << 20)>(base_of(in), 10);
    CHECK(reinterpret_cast<std::uintptr_t>(at) % (32 * MiB) == 0);
    heap::deallocate<(std::size_t{32} << 20)>(base_of(in), at, 10);
    CHECK(checked(in).n_blocks == 0);
}

// ---- allocating and freeing ----

TEST_CASE("what was freed is used again, of every kind of block") {
    const auto n_bytes =
        GENERATE(std::size_t{1}, std::size_t{24}, std::size_t{1000}, std::size_t{8 * KiB},
                 std::size_t{8 * KiB + 1}, std::size_t{30'000}, std::size_t{64 * KiB},
                 std::size_t{64 * KiB + 1}, std::size_t{1 * MiB}, std::size_t{16 * MiB - 4096},
                 std::size_t{16 * MiB}, std::size_t{16 * MiB + 1}, std::size_t{40 * MiB});
    const auto where = GENERATE(kind::file, kind::anonymous);
    INFO(n_bytes << " bytes, in " << where);
    const sample made(where);
    const auto in = segment::create(made.backing(), {.capacity_bytes = 512 * MiB});
    const auto used = in.used_bytes();
    const auto n = std::clamp<std::size_t>(8 * MiB / n_bytes, 3, 3000);
    std::uint64_t size_bytes = 0;
    std::mt19937_64 random(n_bytes);
    for (int round = 0; round < 4; ++round) {
        std::vector<block> blocks;
        for (std::size_t i = 0; i < n; ++i) blocks.push_back(block::make(in, {n_bytes, 3}, i));
        const auto report = checked(in);
        CHECK(report.n_blocks == n);
        CHECK(report.used_bytes == in.used_bytes());
        CHECK(in.used_bytes() >= used + n * n_bytes);
        CHECK(in.used_bytes() <= used + n * n_bytes * 9 / 8 + n * 8);
        if (round == 1) size_bytes = in.size_bytes();
        if (round > 1) CHECK(in.size_bytes() == size_bytes);
        // In order, backwards, and in none.
        if (round == 1) std::reverse(blocks.begin(), blocks.end());
        if (round >= 2) std::shuffle(blocks.begin(), blocks.end(), random);
        free_all(in, blocks);
        CHECK(in.used_bytes() == used);
        CHECK(checked(in).n_blocks == 0);
    }
}

TEST_CASE("blocks of all sizes side by side") {
    const auto where = GENERATE(kind::file, kind::anonymous);
    const sample made(where);
    const auto in = segment::create(made.backing(), {.capacity_bytes = 1024 * MiB});
    const auto used = in.used_bytes();
    std::mt19937_64 random(1);
    std::vector<block> blocks;
    const long n = soaked(40'000);
    for (long i = 0; i < n; ++i) {
        if (random() % 1000 == 0)
            blocks.push_back(
                block::make(in, {random() % (40 * MiB), 3}, static_cast<std::uint64_t>(i)));
        else
            blocks.push_back(block::make(in, any_request(random), static_cast<std::uint64_t>(i)));
        while (blocks.size() > 2000 || (random() % 2 == 0 && !blocks.empty()) ||
               in.size_bytes() > 700 * MiB) {
            std::swap(blocks[random() % blocks.size()], blocks.back());
            if (!blocks.back().free(in)) FAIL("a block was written to by another");
            blocks.pop_back();
            if (blocks.empty()) break;
        }
        if (i % 5000 == 0) CHECK(checked(in).n_blocks == blocks.size());
    }
    free_all(in, blocks);
    CHECK(in.used_bytes() == used);
    CHECK(checked(in).n_blocks == 0);
}

// ---- many at a time ----

namespace {

/// Where blocks lie that anybody may take.
struct exchange {
    static constexpr std::size_t n_slots = 64;
    static constexpr unsigned request_bits = 8, seed_bits = 20;

    std::array<std::atomic<std::uint64_t>, n_slots> slots{};

    static constexpr std::array<request, 20> requests = {
        {{1, 0},      {8, 3},      {24, 3},      {40, 3},     {64, 6},   {100, 3},    {128, 4},
         {480, 3},    {500, 5},    {1000, 3},    {4096, 12},  {6000, 3}, {8192, 3},   {9000, 3},
         {20'000, 3}, {50'000, 3}, {65'536, 13}, {65'537, 3}, {100, 16}, {300'000, 3}}};

    /// Small ones more often.
    static std::size_t any(std::mt19937_64& random) {
        const auto most = random() % 16 == 0 ? requests.size() : 12;
        return random() % most;
    }

    static std::uint64_t pack(const segment& in, const block& one, std::size_t which) {
        return in.offset_of(one.at) << (request_bits + seed_bits) | one.seed << request_bits |
               which;
    }
    static block unpack(const segment& in, std::uint64_t word) {
        block one;
        one.as = requests[word % (1 << request_bits)];
        one.seed = word >> request_bits & ((1 << seed_bits) - 1);
        one.at = static_cast<std::byte*>(in.address_of(word >> (request_bits + seed_bits)));
        return one;
    }

    /// Makes a block, puts it where another one is, and frees that. False if it was not whole.
    bool turn(const segment& in, std::mt19937_64& random) {
        const auto which = any(random);
        const auto mine = block::make(in, requests[which], random() % (1 << seed_bits));
        const bool is_well_placed = mine.is_well_placed(in);
        const auto word = pack(in, mine, which);
        const auto other = slots[random() % n_slots].exchange(word);
        return (other == 0 || unpack(in, other).free(in)) && is_well_placed;
    }
    /// Frees all, and returns how many were not whole.
    long clear(const segment& in) {
        long n_spoilt = 0;
        for (auto& slot : slots)
            if (const auto word = slot.exchange(0); word != 0)
                n_spoilt += unpack(in, word).free(in) ? 0 : 1;
        return n_spoilt;
    }
};

} // namespace

template <> inline constexpr std::string_view mmstl::persistent_name<exchange> = "test/exchange";

TEST_CASE("threads allocate, and free each other's blocks") {
    const auto where = GENERATE(kind::file, kind::anonymous);
    const sample made(where);
    auto in = segment::create(made.backing(), {.capacity_bytes = 512 * MiB});
    auto& place = in.construct<exchange>("exchange");
    const auto before = checked(in).n_blocks;
    const auto used = in.used_bytes();
    std::atomic<long> n_wrong{0};
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 8; ++t)
        threads.emplace_back([&, t] {
            std::mt19937_64 random(t);
            for (long i = soaked(15'000); i > 0; --i) n_wrong += place.turn(in, random) ? 0 : 1;
        });
    for (auto& one : threads) one.join();
    CHECK(n_wrong == 0);
    const auto n_left = static_cast<std::uint64_t>(std::count_if(
        place.slots.begin(), place.slots.end(), [](const auto& slot) { return slot.load() != 0; }));
    CHECK(checked(in).n_blocks == before + n_left);
    CHECK(place.clear(in) == 0);
    CHECK(checked(in).n_blocks == before);
    CHECK(in.used_bytes() == used);
    // At most 64 blocks of 300 KB at a time, and what eight threads keep.
    CHECK(in.size_bytes() < 96 * MiB);
    in.destroy<exchange>("exchange");
}

TEST_CASE("processes allocate, and free each other's blocks") {
    const auto where = GENERATE(kind::file, kind::anonymous);
    const sample made(where);
    auto in = segment::create(made.backing(), {.capacity_bytes = 512 * MiB});
    auto& place = in.construct<exchange>("exchange");
    const auto before = checked(in).n_blocks;
    const auto used = in.used_bytes();
    std::vector<child> processes;
    for (unsigned p = 0; p < 4; ++p)
        processes.emplace_back([&, p] {
            std::mt19937_64 random(p);
            for (long i = soaked(15'000); i > 0; --i) expect(place.turn(in, random), "whole");
            in = segment(); // as its end does not
        });
    for (auto& one : processes) {
        const auto result = one.wait(std::chrono::minutes(10));
        INFO(result);
        CHECK(result.ok());
    }
    CHECK(place.clear(in) == 0);
    CHECK(checked(in).n_blocks == before);
    CHECK(in.used_bytes() == used);
    CHECK(in.size_bytes() < 96 * MiB);
}

TEST_CASE("of a thread that only allocates and one that only frees, memory stays bounded") {
    const auto n_bytes =
        GENERATE(std::size_t{40}, std::size_t{3000}, std::size_t{20'000}, std::size_t{100'000});
    INFO(n_bytes);
    const auto in = segment::create(mmstl::anonymous(), {.capacity_bytes = 256 * MiB});
    constexpr std::size_t most_between = 256;
    std::array<std::atomic<std::byte*>, most_between> queue{};
    const auto n = static_cast<std::size_t>(
        soaked(static_cast<long>(std::min<std::size_t>(64 * MiB / n_bytes * 4, 200'000))));
    std::atomic<long> n_wrong{0};
    std::thread consumer([&] {
        for (std::size_t i = 0; i < n; ++i) {
            auto& slot = queue[i % most_between];
            std::byte* at = nullptr;
            while ((at = slot.exchange(nullptr)) == nullptr) std::this_thread::yield();
            const block one{at, {n_bytes, 3}, i};
            n_wrong += one.free(in) ? 0 : 1;
        }
    });
    for (std::size_t i = 0; i < n; ++i) {
        auto& slot = queue[i % most_between];
        while (slot.load() != nullptr) std::this_thread::yield();
        slot.store(block::make(in, {n_bytes, 3}, i).at);
    }
    consumer.join();
    CHECK(n_wrong == 0);
    CHECK(checked(in).n_blocks == 0);
    // What is between them, by half again, and a few spans.
    CHECK(in.size_bytes() < most_between * n_bytes * 3 / 2 + 4 * MiB);
}

// ---- threads that end ----

TEST_CASE("what a thread leaves behind is used by others") {
    const auto in = segment::create(mmstl::anonymous(), {.capacity_bytes = 256 * MiB});
    std::vector<block> kept;
    std::uint64_t size_bytes = 0;
    const int n = 1000;
    for (int i = 0; i < n; ++i) {
        std::thread([&] {
            std::mt19937_64 random(static_cast<unsigned>(i));
            std::vector<block> blocks;
            for (int k = 0; k < 50; ++k)
                blocks.push_back(
                    block::make(in, {1 + random() % 2000, 3}, static_cast<std::uint64_t>(k)));
            while (blocks.size() > 1) {
                if (!blocks.back().free(in)) std::abort();
                blocks.pop_back();
            }
            kept.push_back(blocks.front()); // so that its span is not empty
        }).join();
        if (kept.size() > 100) {
            CHECK(kept[static_cast<std::size_t>(i) % 100].free(in)); // by another thread
            std::swap(kept[static_cast<std::size_t>(i) % 100], kept.back());
            kept.pop_back();
        }
        if (i == n / 4) size_bytes = in.size_bytes();
    }
    CHECK(in.size_bytes() <= size_bytes + 2 * MiB);
    CHECK(checked(in).n_blocks == kept.size());
    free_all(in, kept);
    CHECK(checked(in).n_blocks == 0);
}

TEST_CASE("places of threads are used again") {
    const auto in = segment::create(mmstl::anonymous(), little);
    for (std::size_t i = 0; i < heap::most_threads + 100; ++i)
        std::thread([&] { CHECK(block::make(in, {100, 3}, i).free(in)); }).join();
    CHECK(checked(in).n_blocks == 0);
    CHECK(in.size_bytes() < 2 * MiB);
}

namespace {

/// Destroyed after the thread's heaps, if it was made before them.
struct late {
    const segment* in = nullptr;
    std::vector<block> to_free{};
    std::atomic<long>* n_wrong = nullptr;

    ~late() {
        if (in == nullptr) return;
        for (const auto& one : to_free) *n_wrong += one.free(*in) ? 0 : 1;
        for (std::size_t i = 1; i < 5; ++i)
            *n_wrong += block::make(*in, {i * i * i * i * 1000, 3}, i).free(*in) ? 0 : 1;
    }
};

} // namespace

TEST_CASE("what is destroyed late in a thread may free and allocate") {
    const auto in = segment::create(mmstl::anonymous(), {.capacity_bytes = 256 * MiB});
    const auto other = segment::create(mmstl::anonymous(), little);
    std::atomic<long> n_wrong{0};
    // More than there are places for threads.
    for (std::size_t i = 0; i < heap::most_threads + 100; ++i)
        std::thread([&] {
            thread_local late first;
            first.n_wrong = &n_wrong;
            first.in = &in;
            for (const std::size_t n_bytes : {24U, 5000U, 20'000U, 200'000U})
                first.to_free.push_back(block::make(in, {n_bytes, 3}, i));
            thread_local late second; // which goes before
            second.n_wrong = &n_wrong;
            second.in = i % 2 == 0 ? &in : &other;
            second.to_free.push_back(block::make(*second.in, {48, 3}, i));
        }).join();
    CHECK(n_wrong == 0);
    CHECK(checked(in).n_blocks == 0);
    CHECK(checked(other).n_blocks == 0);
    CHECK(in.size_bytes() < 8 * MiB);
}

// ---- processes that are killed ----

namespace {

/// Blocks of dead processes and threads are taken over now, and not when somebody comes or goes.
void bury(const segment& in) {
    auto& process = heap::heaps_of_this_process();
    const std::lock_guard lock(process.mutex);
    const auto f = process.find(base_of(in))->shared.bury_the_dead();
    CHECK_FALSE(f.failed());
}

void pause_for(std::mt19937_64& random, std::uint64_t most_us) {
    std::this_thread::sleep_for(std::chrono::microseconds(random() % most_us));
}

} // namespace

TEST_CASE("processes that are killed while they allocate lose a block each, and no more") {
    const auto where = GENERATE(kind::file, kind::anonymous);
    const sample made(where);
    auto in = segment::create(made.backing(), {.capacity_bytes = 1024 * MiB});
    auto& place = in.construct<exchange>("exchange");
    const auto before = checked(in).n_blocks;
    std::mt19937_64 random(7);
    std::vector<child> workers;
    std::uint64_t n_killed = 0;
    const auto start = [&] {
        const auto seed = random();
        workers.emplace_back([&in, &place, seed] {
            std::mt19937_64 mine(seed);
            for (;;) expect(place.turn(in, mine), "whole");
        });
    };
    for (long i = soaked(120); i > 0; --i) {
        while (workers.size() < 3) start();
        pause_for(random, 4000);
        const auto which = static_cast<std::ptrdiff_t>(random() % workers.size());
        auto& victim = workers[static_cast<std::size_t>(which)];
        victim.kill();
        const auto result = victim.wait();
        INFO(result);
        CHECK(result.signal == SIGKILL);
        std::vector<child> others;
        for (auto& one : workers)
            if (&one != &victim) others.push_back(std::move(one));
        workers = std::move(others);
        ++n_killed;
        if (i % 16 == 0) CHECK(place.clear(in) == 0); // while they go on
    }
    for (auto& one : workers) one.kill();
    for (auto& one : workers) (void)one.wait();
    n_killed += workers.size();
    bury(in);
    const auto n_left = static_cast<std::uint64_t>(std::count_if(
        place.slots.begin(), place.slots.end(), [](const auto& slot) { return slot.load() != 0; }));
    const auto n_blocks = checked(in).n_blocks;
    CHECK(n_blocks >= before + n_left);
    CHECK(n_blocks <= before + n_left + n_killed);
    CHECK(place.clear(in) == 0);
    CHECK(checked(in).n_blocks <= before + n_killed);
    CHECK(in.size_bytes() < 256 * MiB);
    // And all that is free can be had.
    std::vector<block> blocks;
    for (std::uint64_t i = 0; i < 20'000; ++i)
        blocks.push_back(block::make(in, exchange::requests[i % 12], i));
    checked(in);
    free_all(in, blocks);
    CHECK(checked(in).n_blocks <= before + n_killed);
}

TEST_CASE("who opens a segment whose processes were all killed finds it in order") {
    const temporary_directory directory;
    const auto path = directory / "x";
    segment::create(path, {.capacity_bytes = 512 * MiB}).construct<exchange>("exchange");
    std::mt19937_64 random(3);
    std::uint64_t n_killed = 0;
    std::uint64_t n_before = 3; // the object, its name, the table of names
    for (long i = soaked(30); i > 0; --i) {
        {
            std::vector<child> workers;
            for (int k = 0; k < 2; ++k, ++n_killed) {
                const auto seed = random();
                workers.emplace_back([&path, seed] {
                    auto in = segment::open(path);
                    auto& place = *in.find<exchange>("exchange");
                    std::mt19937_64 mine(seed);
                    for (;;) expect(place.turn(in, mine), "whole");
                });
            }
            pause_for(random, 10'000);
        } // killed
        auto in = segment::open(path);
        checked(in);
        auto& place = *in.find<exchange>("exchange");
        CHECK(place.clear(in) == 0);
        const auto n_blocks = checked(in).n_blocks;
        CHECK(n_blocks <= n_before + 2);
        n_before = n_blocks;
        if (i % 2 == 0) in.close();
    }
    CHECK(n_before <= 3 + n_killed);
}

TEST_CASE("the lock of a killed process is taken over, that of a stopped one is waited for") {
    auto in = segment::create(mmstl::anonymous(), little);
    auto& is_held = in.construct<std::atomic<bool>>("is held", false);
    auto& shared = heap::heaps_of_this_process().find(base_of(in))->shared;
    auto& line = shared.in().locks().heap;
    const auto waits_for = [&](auto let_go) {
        child holder([&] {
            (void)block::make(in, {100, 3}, 0); // joins
            const heap::process_lock held(shared.in(), shared.members(), line,
                                          [](heap::lock_line&) {});
            is_held = true;
            for (;;) ::pause();
        });
        while (!is_held) std::this_thread::yield();
        is_held = false;
        holder.kill(SIGSTOP);
        std::atomic<int> n_done{0}, n_wrong{0};
        std::vector<std::thread> threads;
        for (int i = 0; i < 4; ++i)
            threads.emplace_back([&] {
                const auto one = block::make(in, {100'000, 3}, 1);
                ++n_done;
                n_wrong += one.free(in) ? 0 : 1;
            });
        std::this_thread::sleep_for(std::chrono::milliseconds(60));
        CHECK(n_done == 0);
        const auto begin = std::chrono::steady_clock::now();
        let_go(holder);
        for (auto& one : threads) one.join();
        CHECK(n_done == 4);
        CHECK(n_wrong == 0);
        CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));
    };
    waits_for([](const child& holder) { holder.kill(SIGKILL); });
    checked(in);
    bury(in);
    CHECK(checked(in).n_blocks == 4); // named: 3; and one of the child's
}

TEST_CASE("a segment has room for 256 processes, and says so") {
    const auto in = segment::create(mmstl::anonymous(), little);
    (void)block::make(in, {100, 3}, 0);
    constexpr std::size_t others = heap::most_processes - 1;
    int to_children[2];
    int to_parent[2];
    REQUIRE(::pipe2(to_children, O_CLOEXEC) == 0);
    REQUIRE(::pipe2(to_parent, O_CLOEXEC) == 0);
    std::vector<child> processes;
    const auto start = [&] {
        processes.emplace_back([&] {
            ::close(to_children[1]);
            const char answer = [&] {
                try {
                    return block::make(in, {100, 3}, 0).free(in) ? 'y' : 'n';
                } catch (const segment_exhausted& e) {
                    return e.code() == errc::too_many_processes ? 'm' : 'e';
                }
            }();
            expect(::write(to_parent[1], &answer, 1) == 1);
            char end = 0;
            (void)!::read(to_children[0], &end, 1);
        });
    };
    const auto answer = [&] {
        char one = 0;
        CHECK(::read(to_parent[0], &one, 1) == 1);
        return one;
    };
    for (std::size_t i = 0; i < others; ++i) start();
    for (std::size_t i = 0; i < others; ++i) CHECK(answer() == 'y');
    start();
    CHECK(answer() == 'm');
    processes[7].kill(); // makes room for one, who cleans up behind it
    (void)processes[7].wait();
    start();
    CHECK(answer() == 'y');
    const auto& image = heap::heaps_of_this_process().find(base_of(in))->shared.in();
    std::size_t n_threads = 0;
    for (std::size_t i = 0; i < heap::most_threads; ++i)
        n_threads += image.thread(i).process.load() != 0 ? 1U : 0U;
    CHECK(n_threads == heap::most_processes);
    start();
    CHECK(answer() == 'm');
    ::close(to_children[1]);
    for (std::size_t i = 0; i < processes.size(); ++i)
        if (i != 7) CHECK(processes[i].wait().ok());
    for (const int fd : {to_children[0], to_parent[0], to_parent[1]}) ::close(fd);
    bury(in);
    CHECK(checked(in).n_blocks == 1);
}

// ---- how much memory it takes ----

TEST_CASE("what is allocated takes little more than was asked for") {
    const temporary_directory directory;
    const auto path = directory / "x";
    const auto fixed = GENERATE(0U, 24U, 32U, 40U, 48U);
    INFO("blocks of " << fixed << " bytes, or of 16 to 464");
    const auto in = segment::create(path, {.capacity_bytes = 1024 * MiB});
    std::mt19937_64 random(fixed);
    const auto some = [&] { return fixed != 0 ? fixed : 16 + random() % 449; };
    std::vector<std::pair<void*, std::size_t>> blocks;
    std::uint64_t asked = 0;
    const auto check_overhead = [&](std::uint64_t percent) {
        CHECK(on_disk(path) * 100 <= asked * percent);
        CHECK(in.size_bytes() * 100 <= asked * percent);
        CHECK(in.used_bytes() * 100 <= asked * percent);
    };
    const auto fill = [&] {
        while (asked < 66 * MiB) {
            const std::size_t n_bytes = some();
            blocks.emplace_back(heap::allocate<8>(base_of(in), n_bytes), n_bytes);
            asked += n_bytes;
        }
    };
    fill();
    check_overhead(115);
    // And no more when half of them was replaced, at random.
    std::shuffle(blocks.begin(), blocks.end(), random);
    for (std::size_t left = blocks.size() / 2; left != 0; --left) {
        asked -= blocks.back().second;
        heap::deallocate<8>(base_of(in), blocks.back().first, blocks.back().second);
        blocks.pop_back();
    }
    fill();
    check_overhead(118);
    checked(in);
}

TEST_CASE("a small segment stays small, however often its memory is used anew") {
    const temporary_directory directory;
    const auto path = directory / "x";
    const auto in = segment::create(path);
    for (int i = 0; i < 20'000; ++i) {
        const auto n_bytes = std::size_t{100} + static_cast<std::size_t>(i % 3) * 50'000;
        auto one = block::make(in, {n_bytes, 3}, 1);
        if (!one.free(in)) FAIL("a block was written to by another");
    }
    // Spans of their own threads come and go.
    for (std::size_t i = 0; i < 300; ++i)
        std::thread([&] { CHECK(block::make(in, {24 + i % 5 * 1000, 3}, 1).free(in)); }).join();
    std::vector<block> blocks;
    for (std::size_t i = 1; i < 20; ++i) blocks.push_back(block::make(in, {i * 30, 3}, i));
    CHECK(on_disk(path) <= 640 * KiB);
    free_all(in, blocks);
    checked(in);
}

TEST_CASE("a large block that is freed gives its part of the disk back") {
    const temporary_directory directory;
    const auto path = directory / "x";
    const auto n_bytes = GENERATE(1 * MiB, 5 * MiB + 1, 16 * MiB, 16 * MiB + 1, 70 * MiB);
    INFO(n_bytes);
    const auto in = segment::create(path, {.capacity_bytes = 512 * MiB});
    (void)block::make(in, {100, 3}, 0);
    const auto before = on_disk(path);
    for (int round = 0; round < 3; ++round) {
        auto one = block::make(in, {n_bytes, 3}, 1);
        CHECK(on_disk(path) >= before + n_bytes);
        CHECK(one.free(in));
        CHECK(on_disk(path) <= before + 128 * KiB);
        one = block::make(in, {n_bytes, 3}, 2);
        std::size_t n_neither = 0; // new, or zero: never what was there
        allocating_at[3].deallocate(base_of(in), one.at, n_bytes);
        one.at = static_cast<std::byte*>(allocating_at[3].allocate(base_of(in), n_bytes));
        for (std::size_t i = 0; i < n_bytes; ++i) n_neither += one.at[i] != std::byte{0};
        CHECK(n_neither == 0);
        CHECK(on_disk(path) >= before + n_bytes); // not a hole: a full disk is found out now
        allocating_at[3].deallocate(base_of(in), one.at, n_bytes);
    }
    checked(in);
}

// ---- no room ----

namespace {

/// What a failed allocation says.
template <class Allocate> std::optional<segment_exhausted> exhausted(Allocate allocate) {
    try {
        allocate();
    } catch (const segment_exhausted& e) {
        return e;
    }
    return std::nullopt;
}

constexpr request a_kind_of_each[] = {{40, 3}, {3000, 3}, {30'000, 3}, {200'000, 3}};

/// Fills it with one kind, and another, until there is no more; frees all, and does it again.
void use_up(const segment& in, std::errc expected, std::uint64_t least_bytes) {
    for (int round = 0; round < 2; ++round)
        for (const auto& each : a_kind_of_each) {
            std::vector<block> blocks;
            const auto e = exhausted([&] {
                for (;;) blocks.push_back(block::make(in, each, blocks.size()));
            });
            const auto what = std::to_string(each.n_bytes) + ": " + e->what();
            expect(e->asked_bytes() == each.n_bytes, what);
            expect(e->code() == expected, what);
            expect(blocks.size() * each.n_bytes >= least_bytes,
                   what + ", after " + std::to_string(blocks.size()));
            expect(in.check().clean(), what);
            expect(in.check().n_blocks == blocks.size(), what);
            // Again, and of the other kinds: the error says what it is, and changes nothing.
            for (const auto& other : a_kind_of_each) {
                const auto n_before = blocks.size();
                const auto again = exhausted([&] {
                    for (int i = 0; i < 100'000; ++i)
                        blocks.push_back(block::make(in, other, blocks.size()));
                });
                if (again) expect(again->code() == expected, again->what());
                expect(other.n_bytes < each.n_bytes || blocks.size() <= n_before + 40);
            }
            const auto huge = exhausted([&] { (void)block::make(in, {40 * MiB, 3}, 0); });
            expect(huge.has_value() && huge->asked_bytes() == 40 * MiB);
            expect(in.check().clean(), what);
            for (const auto& one : blocks) expect(one.free(in), "whole");
            expect(in.check().n_blocks == 0);
        }
}

/// A container to which one cannot add is as it was.
void add_until_exhausted(segment& in) {
    using mmstl::string;
    auto& strings = in.construct<mmstl::vector<string>>("strings");
    auto& map = in.construct<mmstl::map<int, string>>("map");
    auto& hash = in.construct<mmstl::unordered_map<int, string>>("hash");
    auto& deque = in.construct<mmstl::deque<string>>("deque");
    const auto text = [](std::size_t i) {
        return std::string(20 + i % 300, static_cast<char>('a' + i % 26));
    };
    const auto add = [&](auto insert) {
        std::size_t n = 0;
        const auto e = exhausted([&] {
            for (;; ++n) insert(n, text(n));
        });
        expect(e.has_value());
        expect(in.check().clean());
        return n;
    };
    const auto verify = [&](const auto& container, std::size_t n, auto string_of) {
        expect(container.size() == n, "as many as before");
        std::size_t n_wrong = 0;
        for (std::size_t i = 0; i < n; ++i)
            n_wrong += std::string_view(string_of(i)) != text(i) ? 1U : 0U;
        expect(n_wrong == 0, "as they were");
    };
    auto n = add([&](std::size_t, const std::string& t) { strings.emplace_back(t.c_str()); });
    verify(strings, n, [&](std::size_t i) -> const string& { return strings[i]; });
    strings.clear();
    strings.shrink_to_fit();
    n = add([&](std::size_t i, const std::string& t) {
        map.try_emplace(static_cast<int>(i), t.c_str());
    });
    verify(map, n, [&](std::size_t i) -> const string& { return map.at(static_cast<int>(i)); });
    map.clear();
    n = add([&](std::size_t i, const std::string& t) {
        hash.try_emplace(static_cast<int>(i), t.c_str());
    });
    verify(hash, n, [&](std::size_t i) -> const string& { return hash.at(static_cast<int>(i)); });
    hash.clear();
    n = add([&](std::size_t, const std::string& t) { deque.emplace_back(t.c_str()); });
    verify(deque, n, [&](std::size_t i) -> const string& { return deque[i]; });
    for (const char* const name : {"new", "another"}) {
        const auto n_named = in.named_objects().size();
        const auto e = exhausted([&] { in.construct<mmstl::vector<char>>(name, 40 * MiB); });
        expect(e.has_value() && in.named_objects().size() == n_named);
    }
    in.destroy<mmstl::deque<string>>("deque");
    in.destroy<mmstl::unordered_map<int, string>>("hash");
    in.destroy<mmstl::map<int, string>>("map");
    in.destroy<mmstl::vector<string>>("strings");
    expect(in.check().clean());
    expect(in.check().n_blocks <= 1); // the table of names
}

} // namespace

TEST_CASE("when the capacity is reached, allocating fails until something is freed") {
    const auto where = GENERATE(kind::file, kind::anonymous);
    INFO(where);
    const sample made(where);
    check_in_child([&] {
        auto in = segment::create(made.backing(), {.capacity_bytes = 32 * MiB});
        use_up(in, std::errc::not_enough_memory, 24 * MiB);
        add_until_exhausted(in);
    });
}

TEST_CASE("when the disk is full, allocating fails until something is freed") {
    check_on_small_disk(8 * MiB, [&](const temporary_directory& disk) {
        auto in = segment::create(disk / "x");
        use_up(in, std::errc::no_space_on_device, 5 * MiB);
        add_until_exhausted(in);
        in.close();
    });
}

TEST_CASE("what was given out before the disk was full can be stored to") {
    check_on_small_disk(4 * MiB, [&](const temporary_directory& disk) {
        const auto in = segment::create(disk / "x");
        std::vector<block> blocks;
        for (const auto& each : a_kind_of_each)
            for (int i = 0; i < 3; ++i) blocks.push_back(block::make(in, each, blocks.size()));
        std::string text(64 * KiB, 'x');
        const int fd = ::open((disk / "y").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
        while (::write(fd, text.data(), text.size()) > 0) {
        }
        ::close(fd);
        // What is in spans and pages that are there already, to the last byte.
        const auto e = exhausted([&] {
            for (;;) blocks.push_back(block::make(in, {40, 3}, blocks.size()));
        });
        expect(e->code() == std::errc::no_space_on_device, e->what());
        expect(e->available_bytes() < 64 * KiB, e->what());
        for (const auto& one : blocks)
            for (std::size_t i = 0; i < one.as.n_bytes; ++i) one.at[i] = std::byte{1};
        expect(in.check().clean());
        std::filesystem::remove(disk / "y");
        for (std::size_t i = 0; i < 1000; ++i) blocks.push_back(block::make(in, {400, 3}, i));
    });
}

TEST_CASE("past the limit for files, allocating fails, and nobody is killed") {
    const temporary_directory directory;
    check_in_child([&] {
        auto in = segment::create(directory / "x", {.capacity_bytes = 256 * MiB});
        const ::rlimit limit{6 * MiB, 6 * MiB};
        expect(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
        use_up(in, std::errc::file_too_large, 4 * MiB);
        add_until_exhausted(in);
        in.close();
    });
}

TEST_CASE("memory that others have freed is found before it is said that there is none") {
    const auto in = segment::create(mmstl::anonymous(), {.capacity_bytes = 32 * MiB});
    for (const auto& each : a_kind_of_each) {
        INFO(each.n_bytes);
        std::vector<block> blocks;
        const auto e = exhausted([&] {
            for (;;) blocks.push_back(block::make(in, each, blocks.size()));
        });
        REQUIRE(e.has_value());
        CHECK(blocks.size() * each.n_bytes >= 24 * MiB);
        const auto n = blocks.size();
        std::thread([&] { free_all(in, blocks); }).join();
        CHECK(checked(in).n_blocks == 0);
        const auto again = exhausted([&] {
            while (blocks.size() < n) blocks.push_back(block::make(in, each, blocks.size()));
        });
        CHECK_FALSE(again.has_value());
        std::thread([&] { free_all(in, blocks); }).join();
    }
    CHECK(checked(in).n_blocks == 0);
}

TEST_CASE("what the dead had is found before it is said that there is no memory") {
    const auto in = segment::create(mmstl::anonymous(), {.capacity_bytes = 32 * MiB});
    auto one = block::make(in, {100, 3}, 0);
    const auto result = in_child([&] {
        std::vector<block> blocks;
        for (int i = 0; i < 300'000; ++i) blocks.push_back(block::make(in, {64, 3}, 1));
        for (std::size_t i = 0; i < blocks.size(); i += 2) expect(blocks[i].free(in));
        ::raise(SIGKILL);
    });
    INFO(result);
    CHECK(result.signal == SIGKILL);
    std::vector<block> blocks;
    CHECK_FALSE(exhausted([&] {
        for (std::size_t i = 0; i < 320'000; ++i) blocks.push_back(block::make(in, {64, 3}, i));
    }));
    CHECK(checked(in).n_blocks == 1 + 150'000 + blocks.size());
    free_all(in, blocks);
    CHECK(one.free(in));
}

TEST_CASE("what one run of a program leaves, the next one uses") {
    const temporary_directory directory;
    const auto path = directory / "x";
    // Of one size, or of another each time.
    const auto step = GENERATE(std::size_t{0}, std::size_t{16});
    segment::create(path, {.capacity_bytes = 512 * MiB}).close();
    std::vector<std::uint64_t> kept, last;
    std::size_t last_bytes = 0;
    std::uint64_t size_bytes = 0;
    for (std::size_t round = 0; round < 12; ++round) {
        auto in = segment::open(path);
        const auto n_bytes = 32 + step * round;
        for (const auto offset : last)
            heap::deallocate<8>(base_of(in), in.address_of(offset), last_bytes);
        last.clear();
        for (std::uint64_t i = 0; i < 3 * MiB / n_bytes; ++i)
            last.push_back(in.offset_of(heap::allocate<8>(base_of(in), n_bytes)));
        last_bytes = n_bytes;
        if (round == 0) // stays for ever, and is all in spans without an owner that are full
            for (std::uint64_t i = 0; i < 3 * MiB / n_bytes; ++i)
                kept.push_back(in.offset_of(heap::allocate<8>(base_of(in), n_bytes)));
        if (round == 2) size_bytes = in.size_bytes();
        if (round > 2) CHECK(in.size_bytes() <= size_bytes + MiB);
        CHECK(checked(in).n_blocks == kept.size() + last.size());
        in.close();
    }
}

TEST_CASE("on a full disk, memory that has its blocks already is found wherever it is") {
    check_on_small_disk(8 * MiB, [&](const temporary_directory& disk) {
        const auto in = segment::create(disk / "x");
        const auto large = block::make(in, {2 * MiB, 3}, 0);
        std::vector<block> blocks;
        for (std::size_t i = 0; i < 40'000; ++i) blocks.push_back(block::make(in, {40, 3}, i));
        expect(large.free(in)); // a hole, before the others
        std::string text(64 * KiB, 'x');
        const int fd = ::open((disk / "y").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
        while (::write(fd, text.data(), text.size()) > 0) {
        }
        ::close(fd);
        for (const auto& one : blocks) expect(one.free(in));
        blocks.clear();
        for (std::size_t i = 0; i < 1000; ++i) blocks.push_back(block::make(in, {1000, 3}, i));
        blocks.push_back(block::make(in, {300'000, 3}, 0));
        expect(in.check().clean());
    });
}

// ---- when system calls fail ----

namespace {

/// The life of a segment, with a block of every kind. What fails to be allocated is tried once more,
/// which must succeed.
void live(const mmstl::backing& at, mmstl::allocation how, bool with_regions) {
    auto in = segment::open_or_create(at, {.capacity_bytes = 128 * MiB, .allocation = how});
    std::vector<block> blocks;
    const auto allocate = [&](request as) {
        if (exhausted([&] { blocks.push_back(block::make(in, as, blocks.size())); }))
            blocks.push_back(block::make(in, as, blocks.size()));
    };
    for (const request each :
         {request{24, 3}, request{5000, 3}, request{20'000, 3}, request{MiB, 3}, request{100, 20}})
        allocate(each);
    if (with_regions) allocate({17 * MiB, 3});
    for (int i = 0; i < 300; ++i) allocate({8192, 3}); // grows, at first page by page
    expect(in.check().clean(), "clean");
    expect(in.check().n_blocks == blocks.size(), "all of them");
    for (const auto& one : blocks) expect(one.free(in), "whole");
    expect(in.check().n_blocks == 0, "none left");
    in.flush();
    in.close();
}

} // namespace

TEST_CASE("whichever system call fails, a segment fails cleanly or goes on") {
    const auto where = GENERATE(kind::file, kind::shared_memory);
    const auto how = GENERATE(mmstl::allocation::automatic, mmstl::allocation::sparse);
    const auto error = GENERATE(EIO, ENOSPC, ENOMEM, EOPNOTSUPP, EMFILE);
    const auto exists = GENERATE(false, true);
    // Of all these, two, but with MMSTL_SOAK.
    const bool is_slow = how == mmstl::allocation::automatic;
    if (soak_scale() == 1 && (error != (is_slow ? EIO : EOPNOTSUPP) ||
                              where != (is_slow ? kind::file : kind::shared_memory)))
        return;
    INFO("errno " << error << " in " << where << (exists ? ", opened" : ", created"));
    const shared_memory_name name;
    const auto at = where == kind::file
                        ? mmstl::file("/dev/shm" + name.text()) // no disk to wait for
                        : mmstl::shared_memory(name.text());
    const auto again = [&] { // with what the failure has left
        try {
            live(at, how, false);
        } catch (const std::exception& e) {
            FAIL_CHECK("afterwards: " << e.what());
        }
    };
    again(); // what is made once in a process
    std::error_code ignored;
    if (!exists) at.remove(ignored);
    const auto before = holdings::now();
    const long n = fault::for_each_failure(
        [&] { live(at, how, true); }, error,
        [&](const fault::outcome& result) {
            INFO("call " << result.nth << ", " << fault::name_of(result.which));
            CHECK(holdings::now().beyond(before) == "");
            try {
                if (result.exception) std::rethrow_exception(result.exception);
            } catch (const mmstl::mapping_error& e) {
                CHECK(e.code() == std::error_code(error, std::system_category()));
                CHECK_FALSE(e.path().empty());
            } catch (const std::exception& e) {
                FAIL_CHECK("not a mapping_error: " << e.what());
            }
            again();
            if (!exists) at.remove(ignored);
        });
    CHECK(n > 20);
}

TEST_CASE("every interruption of a segment's life is survived") {
    const shared_memory_name name;
    const auto life = [&] {
        live(mmstl::shared_memory(name.text()), mmstl::allocation::automatic, true);
        ::shm_unlink(name.text().c_str());
    };
    CHECK(fault::require_every_interruption_is_survived(life) > 30);
    for (long nth = 1;; ++nth) {
        INFO("lock " << nth << " is interrupted");
        fault::fail armed(fault::call::fcntl, nth, EINTR);
        REQUIRE_NOTHROW(life());
        if (!armed.hit()) break;
    }
}

TEST_CASE("whichever system call fails, a forked child finds its place later") {
    const auto in = segment::create(mmstl::anonymous(), little);
    auto mine = block::make(in, {100, 3}, 0);
    constexpr int not_reached = 7;
    int exit_code = 0;
    long nth = 1;
    for (; exit_code == 0; ++nth) {
        const auto result = in_child([&] {
            std::optional<fault::call> hit;
            bool failed = false;
            {
                fault::fail armed(nth, EMFILE);
                failed = exhausted([&] {
                             expect(block::make(in, {100, 3}, 1).free(in));
                         }).has_value();
                hit = armed.hit();
            }
            expect(!failed || hit.has_value());
            expect(block::make(in, {70'000, 3}, 1).free(in));
            expect(in.check().n_blocks == 1);
            return hit ? 0 : not_reached;
        });
        INFO("call " << nth << ": " << result);
        exit_code = result.exit_code;
        CHECK((exit_code == 0 || exit_code == not_reached));
        bury(in);
        CHECK(checked(in).n_blocks == 1);
    }
    CHECK(nth > 5);
    CHECK(mine.free(in));
}
