// SPDX-License-Identifier: MIT
//
// What is read only cannot be sorted.
// expect: sortable|permutable|indirectly_movable|no match

#include <mmstl.hpp>

#include <algorithm>

#ifdef EXPECT_OK
void sort(mmstl::mapped_span<int>& all) { std::ranges::sort(all); }
#else
void sort(mmstl::mapped_span<const int>& all) { std::ranges::sort(all); }
#endif
