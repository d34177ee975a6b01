// SPDX-License-Identifier: MIT
//
// A string keeps its characters in memory of this process.
// expect: mappable|enable_mappable

#include <mmstl.hpp>

#include <string>

#ifdef EXPECT_OK
mmstl::mapped_span<char> spans();
#else
mmstl::mapped_span<std::string> spans();
#endif
