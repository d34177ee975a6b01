// SPDX-License-Identifier: MIT
//
// A span owns its mapping: it moves, and is not copied.
// expect: deleted|implicitly-deleted

#include <mmstl.hpp>

#include <utility>

#ifdef EXPECT_OK
auto twice(mmstl::mapped_span<int>& all) { return std::move(all); }
#else
auto twice(mmstl::mapped_span<int>& all) { return mmstl::mapped_span<int>(all); }
#endif
