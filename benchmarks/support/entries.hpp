// SPDX-License-Identifier: MIT
//
// Maps from 64-bit integers to 64-bit integers, and the work that arms do with them.

#ifndef MMSTL_BENCHMARKS_ENTRIES_HPP
#define MMSTL_BENCHMARKS_ENTRIES_HPP

#include "random.hpp"

#include <cstddef>
#include <cstdint>
#include <stdexcept>

namespace bench {

/// Of the i-th entry: keys are in no order, and no two are the same.
constexpr std::uint64_t key_of(std::uint64_t i) noexcept { return mix(i); }
constexpr std::uint64_t value_of(std::uint64_t i) noexcept { return i; }

/// A map somewhere, and what keeps the memory that it is in.
class entries {
public:
    entries() = default;
    entries(const entries&) = delete;
    entries& operator=(const entries&) = delete;
    virtual ~entries() = default;

    /// Adds the first `n`, one by one.
    virtual void fill(std::size_t n) = 0;
    /// Looks `n_lookups` of the first `n` up, at random, and returns the sum of their values.
    [[nodiscard]] virtual std::uint64_t look_up(std::size_t n, std::size_t n_lookups) const = 0;
    /// Goes through all of them, and returns the sum of their values.
    [[nodiscard]] virtual std::uint64_t sum() const = 0;
    [[nodiscard]] virtual std::size_t size() const = 0;
    /// Waits until the disk has all of it, where there is a disk.
    virtual void flush() {}

    /// Of so few entries that looking at them takes no time.
    [[nodiscard]] std::uint64_t checksum(std::size_t n) const { return size() + look_up(n, 100); }
};

/// `Keeper` is what has to live as long as the map, of which `map` is a reference or the map.
template <class Keeper, class Map> class entries_in : public entries {
public:
    /// `find_map(keeper)` returns the map, or the reference.
    template <class Find>
    entries_in(Keeper keeper, Find find_map)
        : keeper_(std::move(keeper)), map_(find_map(keeper_)) {}

    void fill(std::size_t n) override {
        for (std::size_t i = 0; i < n; ++i) map_.emplace(key_of(i), value_of(i));
    }
    [[nodiscard]] std::uint64_t look_up(std::size_t n, std::size_t n_lookups) const override {
        std::uint64_t total = 0;
        for (std::size_t k = 0; k < n_lookups; ++k) {
            const auto at = map_.find(key_of(index_below(n, k)));
            if (at == map_.end()) throw std::runtime_error("an entry is missing");
            total += at->second;
        }
        return total;
    }
    [[nodiscard]] std::uint64_t sum() const override {
        std::uint64_t total = 0;
        for (const auto& entry : map_) total += entry.second;
        return total;
    }
    [[nodiscard]] std::size_t size() const override { return map_.size(); }
    void flush() override {
        if constexpr (requires { keeper_.flush(); }) keeper_.flush();
    }

private:
    Keeper keeper_;
    Map map_;
};

} // namespace bench

#endif // MMSTL_BENCHMARKS_ENTRIES_HPP
