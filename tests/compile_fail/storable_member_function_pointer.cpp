// SPDX-License-Identifier: MIT
//
// A member function is elsewhere in another process; where a member is, is the same.
// expect: member functions have other addresses

#include <mmstl.hpp>

struct tick {
    int price;
    int rounded();
};

void check() {
#ifdef EXPECT_OK
    mmstl::detail::require_segment_storable<int tick::*>();
#else
    mmstl::detail::require_segment_storable<int (tick::*)()>();
#endif
}
