// SPDX-License-Identifier: MIT
//
// A span points at memory of this process.
// expect: mappable|enable_mappable

#include <mmstl.hpp>

#include <span>

#ifdef EXPECT_OK
mmstl::mapped_span<int> spans();
#else
mmstl::mapped_span<std::span<int>> spans();
#endif
