// SPDX-License-Identifier: MIT
//
// What a std::function owns is in the memory of one process.
// expect: what this owns or points at

#include <mmstl.hpp>

#include <functional>

void check() {
#ifdef EXPECT_OK
    mmstl::detail::require_segment_storable<mmstl::set<int, std::less<>>>();
#else
    mmstl::detail::require_segment_storable<mmstl::set<int, std::function<bool(int, int)>>>();
#endif
}
