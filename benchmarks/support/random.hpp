// SPDX-License-Identifier: MIT
//
// A generator that is the same everywhere: contents of files and sequences of indices.

#ifndef MMSTL_BENCHMARKS_RANDOM_HPP
#define MMSTL_BENCHMARKS_RANDOM_HPP

#include <cstdint>

namespace bench {

/// The finalizer of SplitMix64: the n-th pseudo-random number, in any order.
constexpr std::uint64_t mix(std::uint64_t n) noexcept {
    n += 0x9e3779b97f4a7c15;
    n = (n ^ (n >> 30)) * 0xbf58476d1ce4e5b9;
    n = (n ^ (n >> 27)) * 0x94d049bb133111eb;
    return n ^ (n >> 31);
}

/// The n-th pseudo-random index below `limit`, which is at most 2^32.
constexpr std::uint64_t index_below(std::uint64_t limit, std::uint64_t n) noexcept {
    return ((mix(n) >> 32) * limit) >> 32;
}

} // namespace bench

#endif // MMSTL_BENCHMARKS_RANDOM_HPP
