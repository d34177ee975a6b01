// SPDX-License-Identifier: MIT
//
// A mapping moves, and is not copied.
// expect: deleted|implicitly-deleted

#include <mmstl.hpp>

#include <utility>

#ifdef EXPECT_OK
auto twice(mmstl::mapping& one) { return std::move(one); }
#else
auto twice(mmstl::mapping& one) { return mmstl::mapping(one); }
#endif
