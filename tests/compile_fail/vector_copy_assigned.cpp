// SPDX-License-Identifier: MIT
//
// A vector is not copied over another.
// expect: deleted

#include <mmstl.hpp>

#include <utility>

#ifdef EXPECT_OK
void copy(mmstl::mapped_vector<int>& a, mmstl::mapped_vector<int>& b) { a = std::move(b); }
#else
void copy(mmstl::mapped_vector<int>& a, mmstl::mapped_vector<int>& b) { a = b; }
#endif
