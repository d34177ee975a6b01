// SPDX-License-Identifier: MIT
//
// A view points at memory of this process.
// expect: mappable|enable_mappable

#include <mmstl.hpp>

#include <string_view>

#ifdef EXPECT_OK
mmstl::mapped_span<char> spans();
#else
mmstl::mapped_span<std::string_view> spans();
#endif
