// SPDX-License-Identifier: MIT
//
// What is read only cannot be sorted.
// expect: sortable|permutable|indirectly_movable|no match

#include <mmstl.hpp>

#include <algorithm>

#ifdef EXPECT_OK
void sort(mmstl::mapped_vector<int>& all) { std::ranges::sort(all); }
#else
void sort(mmstl::mapped_vector<const int>& all) { std::ranges::sort(all); }
#endif
