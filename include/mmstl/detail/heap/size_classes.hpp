// SPDX-License-Identifier: MIT
//
// The sizes of block that a segment's heap hands out, and which of them a request gets.

#ifndef MMSTL_DETAIL_HEAP_SIZE_CLASSES_HPP
#define MMSTL_DETAIL_HEAP_SIZE_CLASSES_HPP

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

// The numbers on this page are file format.
namespace mmstl::inline v1::detail::heap {

inline constexpr std::size_t kibibyte = 1024;
inline constexpr std::size_t mebibyte = 1024 * kibibyte;

/// What memory is handed out by: a span of blocks of one size, or a run for one large block, is so
/// many slices.
inline constexpr std::size_t slice_bytes = 64 * kibibyte;
/// Slices are numbered within a region, the first of which describes the others.
inline constexpr std::size_t region_bytes = 32 * mebibyte;
inline constexpr std::size_t slices_per_region = region_bytes / slice_bytes;

/// Steps of 8 bytes up to here: the nodes of most containers are 24 or 40 bytes long, and nothing
/// in them is aligned to 16.
inline constexpr std::size_t finest_limit = 128;
/// Blocks of so much come from spans of one slice, ...
inline constexpr std::size_t small_limit = 8 * kibibyte;
/// ... these from spans of eight, ...
inline constexpr std::size_t medium_limit = 64 * kibibyte;
inline constexpr std::size_t slices_per_medium_span = 8;
/// ... these from a run of slices of their own, and larger ones have regions to themselves.
inline constexpr std::size_t run_limit = 16 * mebibyte;

inline constexpr std::size_t n_fine_classes = finest_limit / 8;
/// Eight for each doubling above: at most one part in nine of a block is wasted.
inline constexpr std::size_t n_classes =
    n_fine_classes + std::size_t{8} * std::countr_zero(medium_limit / finest_limit);

/// The bytes of a block of class `c`.
constexpr std::size_t block_bytes(std::size_t c) noexcept {
    if (c < n_fine_classes) return (c + 1) * 8;
    const std::size_t above = c - n_fine_classes;
    return (9 + above % 8) << (above / 8 + 4);
}

/// The smallest class that `n_bytes` fit into, which are 1 to `medium_limit`: by arithmetic.
constexpr std::size_t find_class(std::size_t n_bytes) noexcept {
    if (n_bytes <= finest_limit) return (n_bytes + 7) / 8 - 1;
    const auto width = static_cast<std::size_t>(std::bit_width(n_bytes - 1)); // 8 for 129 to 256
    return n_fine_classes + (width - 8) * 8 + ((n_bytes - 1) >> (width - 4)) - 8;
}

/// The same for sizes up to `table_limit`, by eight bytes: no branch that depends on the size.
inline constexpr std::size_t table_limit = 1024;
inline constexpr auto class_table = [] {
    std::array<std::uint8_t, table_limit / 8 + 1> all{};
    for (std::size_t i = 1; i < all.size(); ++i)
        all[i] = static_cast<std::uint8_t>(find_class(i * 8));
    return all;
}();

constexpr std::size_t class_of(std::size_t n_bytes) noexcept {
    return n_bytes <= table_limit ? class_table[(n_bytes + 7) / 8] : find_class(n_bytes);
}

/// No class: the block has a run of its own.
inline constexpr std::size_t large_class = n_classes;

template <std::size_t Alignment>
constexpr std::size_t whole_alignments(std::size_t n_bytes) noexcept {
    constexpr std::size_t unit = std::max<std::size_t>(Alignment, 8);
    return (n_bytes + (n_bytes == 0) + unit - 1) / unit * unit;
}
/// What is known of a block without knowing its class: whether it has a run of its own, and if not,
/// whether its span is one slice.
template <std::size_t Alignment> constexpr bool is_large(std::size_t n_bytes) noexcept {
    return Alignment > small_limit || n_bytes > medium_limit ||
           whole_alignments<Alignment>(n_bytes) > medium_limit;
}
template <std::size_t Alignment> constexpr bool is_small(std::size_t n_bytes) noexcept {
    return whole_alignments<Alignment>(n_bytes) <= small_limit;
}

/// The same for blocks that lie at multiples of `Alignment`, as all blocks do whose size is one.
template <std::size_t Alignment> constexpr std::size_t class_for(std::size_t n_bytes) noexcept {
    static_assert(std::has_single_bit(Alignment));
    if (is_large<Alignment>(n_bytes)) return large_class;
    std::size_t c = class_of(whole_alignments<Alignment>(n_bytes));
    if constexpr (Alignment > 16) // above `finest_limit` all classes are multiples of 16
        while (block_bytes(c) % Alignment != 0) ++c; // a power of two at the latest
    return c;
}

constexpr std::size_t span_slices(std::size_t c) noexcept {
    return block_bytes(c) <= small_limit ? 1 : slices_per_medium_span;
}

/// What the slow paths would else work out each time.
struct class_facts {
    std::uint32_t block_bytes;
    std::uint32_t span_bytes; ///< of whole blocks: the rest of the last slice is not used
    std::uint32_t n_blocks;
    std::uint32_t n_slices;
};
inline constexpr auto classes = [] {
    std::array<class_facts, n_classes> all{};
    for (std::size_t c = 0; c < n_classes; ++c) {
        const std::size_t block = block_bytes(c);
        const std::size_t n = span_slices(c) * slice_bytes / block;
        all[c] = {static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(n * block),
                  static_cast<std::uint32_t>(n), static_cast<std::uint32_t>(span_slices(c))};
    }
    return all;
}();

static_assert(block_bytes(n_classes - 1) == medium_limit);
static_assert(class_of(128) == n_fine_classes - 1 && class_of(129) == n_fine_classes);
static_assert(block_bytes(class_of(464)) == 480 &&
              block_bytes(class_of(small_limit)) == small_limit);

} // namespace mmstl::inline v1::detail::heap

#endif
