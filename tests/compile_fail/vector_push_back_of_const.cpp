// SPDX-License-Identifier: MIT
//
// A reader appends nothing.
// expect: is_writer

#include <mmstl.hpp>

#ifdef EXPECT_OK
void add(mmstl::mapped_vector<int>& all) { all.push_back(1); }
#else
void add(mmstl::mapped_vector<const int>& all) { all.push_back(1); }
#endif
