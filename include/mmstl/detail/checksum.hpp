// SPDX-License-Identifier: MIT
//
// fnv1a: a hash that is the same on every machine, for what is written into files.

#ifndef MMSTL_DETAIL_CHECKSUM_HPP
#define MMSTL_DETAIL_CHECKSUM_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace mmstl::inline v1::detail {

/// The hash of nothing.
inline constexpr std::uint64_t fnv1a_of_nothing = 0xcbf29ce484222325;

/// FNV-1a, 64 bits: finds accidents, no match for intent.
///
/// `before` is the hash of the bytes that go before these, so that a hash can be had in pieces.
///
/// Complexity: linear: one multiplication a byte, which is for names and headers, not for contents.
/// Source:     RFC 9923.
constexpr std::uint64_t fnv1a(std::string_view text,
                              std::uint64_t before = fnv1a_of_nothing) noexcept {
    for (const char c : text) before = (before ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    return before;
}

/// The same, of bytes.
constexpr std::uint64_t fnv1a(std::span<const std::byte> bytes,
                              std::uint64_t before = fnv1a_of_nothing) noexcept {
    for (const std::byte b : bytes)
        before = (before ^ std::to_integer<std::uint64_t>(b)) * 0x100000001b3;
    return before;
}

} // namespace mmstl::inline v1::detail

#endif
