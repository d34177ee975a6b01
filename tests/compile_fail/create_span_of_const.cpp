// SPDX-License-Identifier: MIT
//
// What is read only cannot be created: nobody could fill it.
// expect: constraints|constraint|no matching

#include <mmstl.hpp>

#ifdef EXPECT_OK
auto make() { return mmstl::mapped_span<int>::create("new", 1); }
#else
auto make() { return mmstl::mapped_span<const int>::create("new", 1); }
#endif
