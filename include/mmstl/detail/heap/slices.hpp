// SPDX-License-Identifier: MIT
//
// Slices of regions: which are in use, which belong together, and which belong to nothing since
// somebody has died while they changed hands.

#ifndef MMSTL_DETAIL_HEAP_SLICES_HPP
#define MMSTL_DETAIL_HEAP_SLICES_HPP

#include <mmstl/detail/heap/layout.hpp>
#include <mmstl/detail/heap/size_classes.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace mmstl::inline v1::detail::heap {

/// A run of slices.
struct slices {
    std::uint32_t region = 0;
    std::uint32_t first = 0;
    std::uint32_t n = 0;

    [[nodiscard]] std::uint32_t index() const noexcept {
        return region * static_cast<std::uint32_t>(slices_per_region) + first;
    }
    [[nodiscard]] std::uint32_t end() const noexcept { return first + n; }
};

/// Bits of a region's map, counted through its words.
class slice_map {
public:
    using words = std::array<cell<std::uint64_t>, slices_per_region / 64>;
    explicit slice_map(words& of) noexcept : words_(of) {}

    [[nodiscard]] bool test(std::uint32_t i) const noexcept {
        return (words_[i / 64].get() >> (i % 64) & 1) != 0;
    }
    [[nodiscard]] bool all(std::uint32_t first, std::uint32_t n) const noexcept {
        for (std::uint32_t i = first; i < first + n; ++i)
            if (!test(i)) return false;
        return true;
    }
    void set(std::uint32_t first, std::uint32_t n, bool to) noexcept {
        for (std::uint32_t i = first; i < first + n;) {
            const std::uint32_t count = std::min(first + n - i, 64 - i % 64);
            const std::uint64_t mask =
                (count == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1) << (i % 64);
            auto& word = words_[i / 64];
            word.set(to ? word.get() | mask : word.get() & ~mask);
            i += count;
        }
    }
    [[nodiscard]] std::uint32_t count(std::uint32_t first, std::uint32_t n) const noexcept {
        std::uint32_t all = 0;
        for (std::uint32_t i = first; i < first + n; ++i) all += test(i) ? 1U : 0U;
        return all;
    }
    /// The first of `n` clear bits in a row that begin at a multiple of `alignment`, from `from`
    /// on; `slices_per_region` if there are none.
    [[nodiscard]] std::uint32_t find_clear(std::uint32_t n, std::uint32_t alignment,
                                           std::uint32_t from) const noexcept {
        constexpr std::uint32_t none = slices_per_region;
        for (std::uint32_t at = from; at + n <= none;) {
            at = next(at, false);
            at = (at + alignment - 1) / alignment * alignment;
            if (at + n > none) break;
            const std::uint32_t taken = next(at, true);
            if (taken - at >= n) return at;
            at = taken;
        }
        return none;
    }
    /// The first bit from `i` on that is as asked for.
    [[nodiscard]] std::uint32_t next(std::uint32_t i, bool is) const noexcept {
        while (i < slices_per_region) {
            const std::uint64_t word = words_[i / 64].get() ^ (is ? 0 : ~std::uint64_t{0});
            if (const std::uint64_t rest = word >> (i % 64); rest != 0)
                return i + static_cast<std::uint32_t>(std::countr_zero(rest));
            i = (i / 64 + 1) * 64;
        }
        return slices_per_region;
    }

private:
    words& words_;
};

constexpr std::uint64_t regions_for(std::uint64_t n_bytes) noexcept {
    return n_bytes / region_bytes + (n_bytes % region_bytes != 0 || n_bytes == 0 ? 1 : 0);
}
constexpr std::uint64_t slices_for(std::uint64_t n_bytes) noexcept {
    return n_bytes / slice_bytes + (n_bytes % slice_bytes != 0 || n_bytes == 0 ? 1 : 0);
}

/// How many slices the span or run has that begins with slice `i` of a region; 0 if none does, or
/// not all of it is there.
inline std::uint32_t whole_at(const image& in, std::uint32_t region, std::uint32_t i) noexcept {
    const auto known = in.described(region);
    const slice_map used(in.maps(region).used);
    const auto describes = [&](std::uint32_t k, span_state state, std::uint32_t distance) {
        const span& slice = in.span_at(slices{region, k, 1}.index());
        return used.test(k) && slice.state.get() == state && slice.distance.get() == distance;
    };
    if (i >= known) return 0;
    const span& first = in.span_at(slices{region, i, 1}.index());
    const auto state = first.state.get();
    std::uint64_t n = 0;
    if (state == span_state::blocks && first.size_class.get() < n_classes)
        n = classes[first.size_class.get()].n_slices;
    if (state == span_state::run || state == span_state::purging)
        n = slices_for(first.n_bytes.get());
    if (n == 0 || n > known - i || !describes(i, state, 0)) return 0;
    for (std::uint32_t k = 1; k < n; ++k)
        if (!describes(i + k, span_state::more, k)) return 0;
    return static_cast<std::uint32_t>(n);
}

/// What the holder of the heap's lock is in the middle of, or was when he died. Of those slices some
/// may be in use and belong to nothing, or regions go on with no block: they are free.
class unfinished {
public:
    explicit unfinished(const image& in) noexcept {
        const auto& line = in.locks().heap;
        is_locked_ = line.word.load() != 0;
        const auto kind = static_cast<intent_kind>(line.intent.kind.get());
        if (!is_locked_ || (kind != intent_kind::claim && kind != intent_kind::give_back)) return;
        is_huge_ = line.intent.is_huge.get() != 0;
        first_ = line.intent.first.get();
        n_ = line.intent.n_slices.get();
    }
    /// Rings of spans may be linked by half, then.
    [[nodiscard]] bool is_locked() const noexcept { return is_locked_; }
    [[nodiscard]] bool has_slice(const slices& one) const noexcept {
        return !is_huge_ && one.index() - first_ < n_;
    }
    [[nodiscard]] bool has_region(std::uint32_t i) const noexcept {
        return is_huge_ && i - first_ < n_;
    }

private:
    bool is_locked_ = false;
    bool is_huge_ = false;
    std::uint32_t first_ = 0;
    std::uint32_t n_ = 0;
};

} // namespace mmstl::inline v1::detail::heap

#endif
