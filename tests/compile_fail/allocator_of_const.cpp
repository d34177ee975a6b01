// SPDX-License-Identifier: MIT
//
// Elements of a container are not const.
// expect: neither const nor volatile

#include <mmstl.hpp>

#ifdef EXPECT_OK
mmstl::shared_allocator<int> all;
#else
mmstl::shared_allocator<const int> all;
#endif
