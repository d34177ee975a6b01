// SPDX-License-Identifier: MIT
//
// The elements of a std::vector are in the memory of one process.
// expect: use one with mmstl::shared_allocator

#include <mmstl.hpp>

#include <vector>

void check(mmstl::segment& s) {
#ifdef EXPECT_OK
    s.construct<mmstl::vector<int>>("numbers");
#else
    s.construct<std::vector<int>>("numbers");
#endif
}
