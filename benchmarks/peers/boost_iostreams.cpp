// SPDX-License-Identifier: MIT
//
// Boost.Iostreams as a peer: an arm where it was found, a line that says so where it was not.

#include "boost_iostreams.hpp"

#include "../support/sum.hpp"

#ifdef MMSTL_BENCHMARKS_HAS_BOOST_IOSTREAMS
#include <boost/iostreams/device/mapped_file.hpp>
#endif

#include <stdexcept>
#include <utility>

namespace bench::peers {

#ifdef MMSTL_BENCHMARKS_HAS_BOOST_IOSTREAMS

std::uint64_t sum_by_boost(const std::string& path) {
    const boost::iostreams::mapped_file_source map(path);
    return sum_bytes(map.data(), map.size());
}

#else

std::uint64_t sum_by_boost(const std::string&) { throw std::logic_error(no_boost_iostreams); }

#endif

void add_boost_scan(workload& to, const cached_file& file, const arm& like) {
    if (!has_boost_iostreams || file.size_bytes() == 0) {
        to.skipped.push_back({boost_mapped_file, has_boost_iostreams ? "it refuses an empty file"
                                                                     : no_boost_iostreams});
        return;
    }
    arm scan = like;
    scan.name = boost_mapped_file;
    scan.role = role::other;
    scan.run = [path = file.path()](meter&) { return sum_by_boost(path); };
    to.arms.push_back(std::move(scan));
}

} // namespace bench::peers
