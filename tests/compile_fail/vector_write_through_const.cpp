// SPDX-License-Identifier: MIT
//
// A const vector hands out const elements.
// expect: read-only|const

#include <mmstl.hpp>

#ifdef EXPECT_OK
void write(mmstl::mapped_vector<int>& all) { all.front() = 1; }
#else
void write(const mmstl::mapped_vector<int>& all) { all.front() = 1; }
#endif
