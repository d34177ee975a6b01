// SPDX-License-Identifier: MIT
//
// Containers that know their iterators point at the stack of one process.
// arguments: -D_GLIBCXX_DEBUG
// expect: _GLIBCXX_DEBUG: its containers

#include <mmstl.hpp>

#ifdef EXPECT_OK
mmstl::mapped_span<int> all; // which nothing is wrong with
#else
mmstl::vector<int> all;
#endif
