// SPDX-License-Identifier: MIT
//
// A vector owns what is behind it: it is moved, never copied.
// expect: deleted

#include <mmstl.hpp>

#include <utility>

#ifdef EXPECT_OK
mmstl::mapped_vector<int> copy(mmstl::mapped_vector<int>& v) { return std::move(v); }
#else
mmstl::mapped_vector<int> copy(mmstl::mapped_vector<int>& v) { return v; }
#endif
