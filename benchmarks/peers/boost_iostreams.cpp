// SPDX-License-Identifier: MIT
//
// Boost.Iostreams as a peer: an arm where it was found, a line that says so where it was not.

#include "boost_iostreams.hpp"

#include "../support/sum.hpp"

#ifdef MMSTL_BENCHMARKS_HAS_BOOST_IOSTREAMS
#include <boost/iostreams/device/mapped_file.hpp>
#endif

namespace bench::peers {

void add_boost_scan(workload& to, const cached_file& file, const arm& like) {
    constexpr const char* name = "boost::iostreams::mapped_file";
#ifdef MMSTL_BENCHMARKS_HAS_BOOST_IOSTREAMS
    if (file.size_bytes() == 0) {
        to.skipped.push_back({name, "it refuses an empty file"});
        return;
    }
    arm scan = like;
    scan.name = name;
    scan.role = role::other;
    scan.run = [path = file.path()](meter&) {
        const boost::iostreams::mapped_file_source map(path);
        return sum_bytes(map.data(), map.size());
    };
    to.arms.push_back(std::move(scan));
#else
    static_cast<void>(file);
    static_cast<void>(like);
    to.skipped.push_back({name, "Boost.Iostreams was not found when this was built"});
#endif
}

} // namespace bench::peers
