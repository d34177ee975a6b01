// SPDX-License-Identifier: MIT
//
// Blocks of a segment's heap that tell when somebody else has written to them, and mailboxes in a
// segment by which threads and processes hand them to each other.

#ifndef MMSTL_TESTS_SUPPORT_BLOCKS_HPP
#define MMSTL_TESTS_SUPPORT_BLOCKS_HPP

#include <mmstl/segment.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <random>
#include <utility>

namespace support::blocks {

// ---- of any size and alignment ----

inline constexpr std::size_t n_alignments = 26; // 1 to 32 MiB

struct allocating {
    void* (*allocate)(std::byte*, std::size_t);
    void (*deallocate)(std::byte*, void*, std::size_t) noexcept;
};
inline constexpr auto allocating_at = []<std::size_t... I>(std::index_sequence<I...>) {
    namespace heap = mmstl::detail::heap;
    return std::array<allocating, sizeof...(I)>{
        {{heap::allocate<(std::size_t{1} << I)>, heap::deallocate<(std::size_t{1} << I)>}...}};
}
(std::make_index_sequence<n_alignments>());

/// How a block is asked for.
struct request {
    std::size_t n_bytes = 0;
    std::size_t log2_alignment = 3;
};

inline std::byte* base_of(const mmstl::segment& in) {
    return static_cast<std::byte*>(const_cast<void*>(in.base_address()));
}

/// Some bytes at the beginning and at the end, and a few hundred between.
template <class Touch> void touch(std::size_t n_bytes, Touch each) {
    constexpr std::size_t ends = 256;
    for (std::size_t i = 0; i < std::min(ends, n_bytes); ++i) each(i);
    const std::size_t step = std::max<std::size_t>(1024, n_bytes / 512);
    for (std::size_t i = step; i + ends < n_bytes; i += step) each(i);
    for (std::size_t i = n_bytes - std::min(ends, n_bytes); i < n_bytes; ++i) each(i);
}
inline std::byte pattern(std::uint64_t seed, std::size_t i) {
    return static_cast<std::byte>((seed + i) * 0x9e3779b97f4a7c15 >> 56);
}

/// A block that is in use, filled with what nobody else writes.
struct block {
    std::byte* at = nullptr;
    request as;
    std::uint64_t seed = 0;

    static block make(const mmstl::segment& in, request wanted, std::uint64_t seed) {
        block made{nullptr, wanted, seed};
        made.at = static_cast<std::byte*>(
            allocating_at[wanted.log2_alignment].allocate(base_of(in), wanted.n_bytes));
        touch(wanted.n_bytes, [&](std::size_t i) { made.at[i] = pattern(seed, i); });
        return made;
    }
    /// False if somebody has written to it meanwhile, as does who has got it a second time.
    [[nodiscard]] bool is_whole() const {
        bool is = true;
        touch(as.n_bytes, [&](std::size_t i) { is = is && at[i] == pattern(seed, i); });
        return is;
    }
    [[nodiscard]] bool is_well_placed(const mmstl::segment& in) const {
        return in.contains(at) && (as.n_bytes == 0 || in.contains(at + as.n_bytes - 1)) &&
               reinterpret_cast<std::uintptr_t>(at) % (std::size_t{1} << as.log2_alignment) == 0;
    }
    /// Whether it was whole.
    [[nodiscard]] bool free(const mmstl::segment& in) const {
        const bool was_whole = is_whole();
        allocating_at[as.log2_alignment].deallocate(base_of(in), at, as.n_bytes);
        return was_whole;
    }
};

// ---- in one word ----

/// Mostly small; spans of one slice and of eight, runs, and whole regions.
inline constexpr std::array<request, 21> requests = {
    {{1, 0},      {8, 3},      {24, 3},      {40, 3},     {64, 6},   {100, 3},     {128, 4},
     {480, 3},    {500, 5},    {1000, 3},    {4096, 12},  {6000, 3}, {8192, 3},    {9000, 3},
     {20'000, 3}, {50'000, 3}, {65'536, 13}, {65'537, 3}, {100, 16}, {300'000, 3}, {17 << 20, 3}}};
inline constexpr std::size_t n_small_requests = 12;
inline constexpr std::size_t n_large_requests = requests.size() - 1; // without the regions

/// A number of `requests`, small ones more often.
inline std::size_t any_kind(std::mt19937_64& random) {
    if (random() % 20'000 == 0) return n_large_requests;
    return random() % (random() % 16 == 0 ? n_large_requests : n_small_requests);
}

/// A block as a word that can be exchanged at once; never 0. Its seed has so many bits:
inline constexpr unsigned request_bits = 8, seed_bits = 20;

inline std::uint64_t pack(const mmstl::segment& in, const block& one, std::size_t which) {
    return in.offset_of(one.at) << (request_bits + seed_bits) | one.seed << request_bits | which;
}
inline block unpack(const mmstl::segment& in, std::uint64_t word) {
    block one;
    one.as = requests[word % (1 << request_bits)];
    one.seed = word >> request_bits & ((1 << seed_bits) - 1);
    one.at = static_cast<std::byte*>(in.address_of(word >> (request_bits + seed_bits)));
    return one;
}

/// Makes one, for whoever is to have the word. Null if it is not where it has to be.
inline std::uint64_t make_word(const mmstl::segment& in, std::mt19937_64& random,
                               std::size_t which) {
    const auto made = block::make(in, requests[which], random() % (1 << seed_bits));
    return made.is_well_placed(in) ? pack(in, made, which) : 0;
}

/// Where blocks lie that anybody may take, without a lock.
struct mailboxes {
    static constexpr std::size_t n_slots = 256;

    std::array<std::atomic<std::uint64_t>, n_slots> slots{};

    /// Makes a block, puts it where another one is, and frees that. False if one of them is not as
    /// it should be.
    [[nodiscard]] bool turn(const mmstl::segment& in, std::mt19937_64& random, std::size_t which) {
        const auto mine = make_word(in, random, which);
        const auto other = slots[random() % n_slots].exchange(mine);
        return (other == 0 || unpack(in, other).free(in)) && mine != 0;
    }
    /// Frees all, and returns how many were not whole.
    long clear(const mmstl::segment& in) {
        long n_spoilt = 0;
        for (auto& slot : slots)
            if (const auto word = slot.exchange(0); word != 0)
                n_spoilt += unpack(in, word).free(in) ? 0 : 1;
        return n_spoilt;
    }
};

} // namespace support::blocks

#endif
