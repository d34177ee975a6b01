// SPDX-License-Identifier: MIT
//
// Pointers mean nothing in a file.
// expect: mappable|enable_mappable

#include <mmstl.hpp>

#ifdef EXPECT_OK
mmstl::mapped_span<int> spans();
#else
mmstl::mapped_span<int*> spans();
#endif
