// SPDX-License-Identifier: MIT
//
// Assigning a copy is refused as well.
// expect: deleted|implicitly-deleted

#include <mmstl.hpp>

#include <utility>

#ifdef EXPECT_OK
void assign(mmstl::mapped_span<int>& to, mmstl::mapped_span<int>& from) { to = std::move(from); }
#else
void assign(mmstl::mapped_span<int>& to, mmstl::mapped_span<int>& from) { to = from; }
#endif
