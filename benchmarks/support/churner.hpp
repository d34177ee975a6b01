// SPDX-License-Identifier: MIT
//
// Many blocks of many sizes, of which one after the other is replaced by a new one.

#ifndef MMSTL_BENCHMARKS_CHURNER_HPP
#define MMSTL_BENCHMARKS_CHURNER_HPP

#include "random.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace bench {

/// Sizes are drawn uniformly from here.
inline constexpr std::size_t least_block_bytes = 16;
inline constexpr std::size_t most_block_bytes = 464;

/// Blocks of an `Allocator`: whatever has `allocate(n_bytes)` and `deallocate(p, n_bytes)`.
template <class Allocator> class churner {
public:
    churner(Allocator from, std::size_t n_live, std::uint64_t seed)
        : from_(from), live_(n_live), first_(seed << 40) {
        for (std::size_t i = 0; i < n_live; ++i) fill(live_[i], mix(first_ - i - 1));
    }
    churner(const churner&) = delete;
    churner& operator=(const churner&) = delete;
    ~churner() {
        for (const block& one : live_) empty(one);
    }

    /// Replaces `n` blocks, chosen at random, the same each time. Every block is touched at both
    /// ends when it is new, and again before it is given back. Returns a checksum of the sizes,
    /// which is another one if a block was not as it was left: because two had the same memory.
    std::uint64_t replace(std::size_t n) {
        std::uint64_t total = 0;
        for (std::size_t i = 0; i < n; ++i) {
            const std::uint64_t random = mix(first_ + i);
            block& one = live_[(random & 0xffffffff) * live_.size() >> 32];
            if (!empty(one)) total += std::uint64_t{1} << 48;
            fill(one, random);
            total += one.n_bytes;
        }
        return total;
    }

    /// Of all blocks together, as asked for.
    [[nodiscard]] std::uint64_t requested_bytes() const {
        std::uint64_t total = 0;
        for (const block& one : live_) total += one.n_bytes;
        return total;
    }
    /// Of the list of the blocks, which is no memory of the allocator.
    [[nodiscard]] std::uint64_t table_bytes() const noexcept {
        return live_.size() * sizeof(block);
    }

private:
    struct block {
        std::byte* at = nullptr;
        std::uint32_t n_bytes = 0;
        std::uint32_t mark = 0;
    };

    void fill(block& one, std::uint64_t random) {
        one.n_bytes = static_cast<std::uint32_t>(
            least_block_bytes +
            ((random >> 32) * (most_block_bytes - least_block_bytes + 1) >> 32));
        one.mark = static_cast<std::uint32_t>(random >> 16);
        one.at = reinterpret_cast<std::byte*>(from_.allocate(one.n_bytes));
        std::memcpy(one.at, &one.mark, sizeof one.mark);
        std::memcpy(one.at + one.n_bytes - sizeof one.mark, &one.mark, sizeof one.mark);
    }

    /// Whether the block was as it was left.
    bool empty(const block& one) {
        std::uint32_t first = 0;
        std::uint32_t last = 0;
        std::memcpy(&first, one.at, sizeof first);
        std::memcpy(&last, one.at + one.n_bytes - sizeof last, sizeof last);
        from_.deallocate(one.at, one.n_bytes);
        return first == one.mark && last == one.mark;
    }

    Allocator from_;
    std::vector<block> live_;
    std::uint64_t first_; // of the random numbers
};

} // namespace bench

#endif // MMSTL_BENCHMARKS_CHURNER_HPP
