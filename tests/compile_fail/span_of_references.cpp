// SPDX-License-Identifier: MIT
//
// A reference is no object that could lie in a file.
// expect: mappable|is_object

#include <mmstl.hpp>

#ifdef EXPECT_OK
mmstl::mapped_span<int> spans();
#else
mmstl::mapped_span<int&> spans();
#endif
