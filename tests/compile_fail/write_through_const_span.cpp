// SPDX-License-Identifier: MIT
//
// Constness is deep: a const span gives const elements.
// expect: read-only|const value|const-qualified

#include <mmstl.hpp>

#ifdef EXPECT_OK
void write(mmstl::mapped_span<int>& all) { all[0] = 1; }
#else
void write(const mmstl::mapped_span<int>& all) { all[0] = 1; }
#endif
