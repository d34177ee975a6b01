// SPDX-License-Identifier: MIT
//
// Containers that are in a table of one process. (LLVM 14 defines this for itself.)
// arguments: -D_LIBCPP_DEBUG_LEVEL=2
// expect: debug mode knows containers by a table

#include <mmstl.hpp>

#ifdef EXPECT_OK
mmstl::mapped_span<int> all; // which nothing is wrong with
#else
mmstl::vector<int> all;
#endif
