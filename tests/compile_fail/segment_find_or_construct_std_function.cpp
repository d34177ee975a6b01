// SPDX-License-Identifier: MIT
//
// A std::function points at code and at memory of one process.
// expect: segment

#include <mmstl.hpp>

#include <functional>

void check(mmstl::segment& s) {
#ifdef EXPECT_OK
    s.find_or_construct<int>("f");
#else
    s.find_or_construct<std::function<void()>>("f");
#endif
}
