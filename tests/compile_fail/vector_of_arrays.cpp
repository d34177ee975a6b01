// SPDX-License-Identifier: MIT
//
// Elements are no arrays: they could not be returned or assigned.
// expect: vector_element
// expect: is_array_v

#include <mmstl.hpp>

#include <array>

#ifdef EXPECT_OK
using good = mmstl::mapped_vector<std::array<int, 3>>;
good all;
#else
using bad = mmstl::mapped_vector<int[3]>;
bad all;
#endif
