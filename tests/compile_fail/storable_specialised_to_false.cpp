// SPDX-License-Identifier: MIT
//
// What its author says may not lie in a segment may not.
// expect: specialised to false

#include <mmstl.hpp>

#include <utility>

struct window {
    int handle;
};
#ifndef EXPECT_OK
template <> inline constexpr bool mmstl::segment_storable<window> = false;
#endif

void check() { mmstl::detail::require_segment_storable<mmstl::vector<std::pair<int, window>>>(); }
