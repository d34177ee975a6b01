// SPDX-License-Identifier: MIT
//
// An empty string of the old ABI points at a variable of one process.
// arguments: -D_GLIBCXX_USE_CXX11_ABI=0
// expect: _GLIBCXX_USE_CXX11_ABI=0

#include <mmstl.hpp>

#ifdef EXPECT_OK
mmstl::mapped_span<int> all; // which nothing is wrong with
#else
mmstl::vector<int> all;
#endif
