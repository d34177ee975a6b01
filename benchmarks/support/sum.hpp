// SPDX-License-Identifier: MIT
//
// The work that arms do on what they read, the same loop for all of them.

#ifndef MMSTL_BENCHMARKS_SUM_HPP
#define MMSTL_BENCHMARKS_SUM_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace bench {

template <typename Range> [[nodiscard]] std::uint64_t sum(const Range& words) noexcept {
    std::uint64_t total = 0;
    for (const std::uint64_t word : words) total += word;
    return total;
}

/// The 64-bit words at `data`, which is aligned for them, and then the bytes that are left over.
[[nodiscard]] inline std::uint64_t sum_bytes(const void* data, std::size_t bytes) noexcept {
    const std::size_t words = bytes / sizeof(std::uint64_t);
    const auto* const first = static_cast<const std::uint64_t*>(data);
    std::uint64_t total = sum(std::span(first, words));
    const auto* const tail = reinterpret_cast<const unsigned char*>(first + words);
    for (std::size_t i = 0; i < bytes % sizeof(std::uint64_t); ++i) total += tail[i];
    return total;
}

using word_buffer = std::vector<std::uint64_t>;

/// Sums a stream through `buffer`; `read(to, bytes)` is short only at the end.
template <typename Read> [[nodiscard]] std::uint64_t sum_stream(word_buffer& buffer, Read&& read) {
    const std::size_t capacity = buffer.size() * sizeof(std::uint64_t);
    std::uint64_t total = 0;
    for (;;) {
        const std::size_t got = read(buffer.data(), capacity);
        total += sum_bytes(buffer.data(), got);
        if (got < capacity) return total;
    }
}

} // namespace bench

#endif // MMSTL_BENCHMARKS_SUM_HPP
