// SPDX-License-Identifier: MIT
//
// A handle owns its descriptor: it moves, and is not copied.
// expect: deleted|implicitly-deleted

#include <mmstl.hpp>

#include <utility>

#ifdef EXPECT_OK
auto twice(mmstl::backing_handle& one) { return std::move(one); }
#else
auto twice(mmstl::backing_handle& one) { return mmstl::backing_handle(one); }
#endif
