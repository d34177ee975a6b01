// SPDX-License-Identifier: MIT
//
// A function is elsewhere in another process.
// expect: functions have other addresses

#include <mmstl.hpp>

void check() {
#ifdef EXPECT_OK
    mmstl::detail::require_segment_storable<int*>();
#else
    mmstl::detail::require_segment_storable<int (*)()>();
#endif
}
