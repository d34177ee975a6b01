// SPDX-License-Identifier: MIT
//
// Boost.Iostreams as a peer: an arm where it was found, a line that says so where it was not.

#ifndef MMSTL_BENCHMARKS_PEERS_BOOST_IOSTREAMS_HPP
#define MMSTL_BENCHMARKS_PEERS_BOOST_IOSTREAMS_HPP

#include "../support/cached_file.hpp"
#include "../support/registry.hpp"

namespace bench::peers {

/// Adds a scan through `boost::iostreams::mapped_file_source`, with the bytes and iterations of
/// `like`.
void add_boost_scan(workload& to, const cached_file& file, const arm& like);

} // namespace bench::peers

#endif // MMSTL_BENCHMARKS_PEERS_BOOST_IOSTREAMS_HPP
