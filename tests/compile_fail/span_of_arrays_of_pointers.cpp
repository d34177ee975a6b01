// SPDX-License-Identifier: MIT
//
// A pointer in an array is a pointer all the same.
// expect: mappable|enable_mappable

#include <mmstl.hpp>

#include <array>

#ifdef EXPECT_OK
mmstl::mapped_span<std::array<int, 2>> spans();
#else
mmstl::mapped_span<std::array<int*, 2>> spans();
#endif
