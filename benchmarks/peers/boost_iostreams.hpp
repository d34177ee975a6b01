// SPDX-License-Identifier: MIT
//
// Boost.Iostreams as a peer: an arm where it was found, a line that says so where it was not.

#ifndef MMSTL_BENCHMARKS_PEERS_BOOST_IOSTREAMS_HPP
#define MMSTL_BENCHMARKS_PEERS_BOOST_IOSTREAMS_HPP

#include "../support/cached_file.hpp"
#include "../support/registry.hpp"

#include <cstdint>
#include <string>

namespace bench::peers {

#ifdef MMSTL_BENCHMARKS_HAS_BOOST_IOSTREAMS
inline constexpr bool has_boost_iostreams = true;
#else
inline constexpr bool has_boost_iostreams = false;
#endif
inline constexpr const char* boost_mapped_file = "boost::iostreams::mapped_file";
inline constexpr const char* no_boost_iostreams =
    "Boost.Iostreams was not found when this was built";

/// Opens a file that is not empty by `boost::iostreams::mapped_file_source`, sums it and closes it.
///
/// Throws: `std::logic_error` without Boost.Iostreams.
[[nodiscard]] std::uint64_t sum_by_boost(const std::string& path);

/// Adds a scan through `boost::iostreams::mapped_file_source`, with the bytes and iterations of
/// `like`.
void add_boost_scan(workload& to, const cached_file& file, const arm& like);

} // namespace bench::peers

#endif // MMSTL_BENCHMARKS_PEERS_BOOST_IOSTREAMS_HPP
