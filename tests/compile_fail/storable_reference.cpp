// SPDX-License-Identifier: MIT
//
// A reference is no object.
// expect: is no object

#include <mmstl.hpp>

void check() {
#ifdef EXPECT_OK
    mmstl::detail::require_segment_storable<int*>();
#else
    mmstl::detail::require_segment_storable<int&>();
#endif
}
