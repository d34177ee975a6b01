// SPDX-License-Identifier: MIT
//
// Where segments are mapped: addresses that are free in every process, whatever is in it.

#ifndef MMSTL_DETAIL_ADDRESS_SPACE_HPP
#define MMSTL_DETAIL_ADDRESS_SPACE_HPP

#include <mmstl/detail/checksum.hpp>
#include <mmstl/detail/heap/size_classes.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace mmstl::inline v1::detail {

/// Addresses in which neither the kernel nor a program nor its libraries are put by themselves.
struct address_window {
    std::uint64_t first;
    std::uint64_t end;
};

#if defined(__SANITIZE_THREAD__)
inline constexpr bool has_shadow = true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
inline constexpr bool has_shadow = true;
#else
inline constexpr bool has_shadow = false;
#endif
#else
inline constexpr bool has_shadow = false;
#endif

/// The windows of this machine. What was made in one program can be opened in another if both use
/// the same: programs under the thread or memory sanitizer, which have most of the addresses for
/// themselves, do not use those of others.
#if defined(__x86_64__)
inline constexpr auto address_windows = [] {
    if constexpr (has_shadow) // below where position-independent programs are loaded
        return std::array{address_window{0x5500'0000'0000, 0x5555'5000'0000}};
    else // between them are the libraries of the legacy layout
        return std::array{address_window{0x1100'0000'0000, 0x2a00'0000'0000},
                          address_window{0x3b00'0000'0000, 0x5000'0000'0000}};
}();
#elif defined(__aarch64__)
// Also where addresses have 39 bits: programs are loaded at two thirds, libraries at the end.
inline constexpr std::array address_windows = {address_window{0x08'0000'0000, 0x50'0000'0000}};
#else
inline constexpr std::array address_windows = {
    address_window{UINT64_C(1) << 33, UINT64_C(1) << 37}};
#endif

/// Whether a program like this one may map there. The sanitizers that have most of the addresses
/// for themselves end the program that tries.
constexpr bool may_be_mapped(std::uint64_t first, std::uint64_t n_bytes) noexcept {
    if constexpr (has_shadow) {
        for (const auto& window : address_windows)
            if (first >= window.first && first < window.end && n_bytes <= window.end - first)
                return true;
        return false;
    }
    return true;
}

/// The places for a segment that takes `n_bytes`, all of them in an order that depends upon `seed`:
/// the same segments get the same places, and two different ones hardly ever.
class address_candidates {
public:
    address_candidates(std::uint64_t seed, std::uint64_t n_bytes) noexcept
        : stride_((n_bytes + heap::region_bytes - 1) / heap::region_bytes * heap::region_bytes) {
        for (const auto& window : address_windows) n_ += places_in(window);
        if (n_ != 0) next_ = fnv1a(std::as_bytes(std::span<const std::uint64_t, 1>(&seed, 1))) % n_;
        left_ = n_ < most_tries ? n_ : most_tries;
    }

    /// The next one; 0 if there is none. The heap begins there; what is in front of it takes less
    /// than a region.
    std::uint64_t next() noexcept {
        if (left_ == 0) return 0;
        --left_;
        std::uint64_t at = next_;
        next_ = (next_ + 1) % n_;
        for (const auto& window : address_windows) {
            if (at < places_in(window)) return window.first + at * stride_ + heap::region_bytes;
            at -= places_in(window);
        }
        return 0;
    }

private:
    static constexpr std::uint64_t most_tries = 4096;

    [[nodiscard]] std::uint64_t places_in(const address_window& window) const noexcept {
        return (window.end - window.first) / stride_;
    }

    std::uint64_t stride_;
    std::uint64_t n_ = 0;
    std::uint64_t next_ = 0;
    std::uint64_t left_ = 0;
};

} // namespace mmstl::inline v1::detail

#endif
