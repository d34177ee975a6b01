// SPDX-License-Identifier: MIT
//
// A reader creates nothing.
// expect: is_writer

#include <mmstl.hpp>

#ifdef EXPECT_OK
auto make() { return mmstl::mapped_vector<int>::create("x"); }
#else
auto make() { return mmstl::mapped_vector<const int>::create("x"); }
#endif
