// SPDX-License-Identifier: MIT
//
// A span of const elements is read only.
// expect: read-only|const value|const-qualified

#include <mmstl.hpp>

#ifdef EXPECT_OK
void write(mmstl::mapped_span<int>& all) { all[0] = 1; }
#else
void write(mmstl::mapped_span<const int>& all) { all[0] = 1; }
#endif
