// SPDX-License-Identifier: MIT
//
// Maps in segments, for the workloads that compare them with others.

#ifndef MMSTL_BENCHMARKS_SEGMENT_MAP_HPP
#define MMSTL_BENCHMARKS_SEGMENT_MAP_HPP

#include "entries.hpp"

#include <memory>
#include <mmstl.hpp>
#include <stdexcept>
#include <utility>

namespace bench {

inline constexpr const char* entries_name = "entries";

/// A new and empty map in a segment, and the segment.
template <class Map> std::unique_ptr<entries> make_map_in(mmstl::segment keeper) {
    return std::make_unique<entries_in<mmstl::segment, Map&>>(
        std::move(keeper),
        [](mmstl::segment& in) -> Map& { return in.construct<Map>(entries_name); });
}

/// The map that is in the segment.
template <class Map> std::unique_ptr<entries> find_map_in(mmstl::segment keeper) {
    return std::make_unique<entries_in<mmstl::segment, Map&>>(
        std::move(keeper), [](mmstl::segment& in) -> Map& {
            Map* const found = in.find<Map>(entries_name);
            if (found == nullptr) throw std::runtime_error("the segment has no map");
            return *found;
        });
}

} // namespace bench

#endif // MMSTL_BENCHMARKS_SEGMENT_MAP_HPP
