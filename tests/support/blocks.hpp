// SPDX-License-Identifier: MIT
//
// Blocks of a segment's heap, of any size and alignment, that tell when somebody else has written
// to them.

#ifndef MMSTL_TESTS_SUPPORT_BLOCKS_HPP
#define MMSTL_TESTS_SUPPORT_BLOCKS_HPP

#include <mmstl/segment.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace support::blocks {

inline constexpr std::size_t n_alignments = 25; // 1 to 16 MiB

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

} // namespace support::blocks

#endif
