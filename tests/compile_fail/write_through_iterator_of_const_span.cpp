// SPDX-License-Identifier: MIT
//
// The iterators of a const span are read only too.
// expect: read-only|const value|const-qualified

#include <mmstl.hpp>

#ifdef EXPECT_OK
void write(mmstl::mapped_span<int>& all) { *all.begin() = 1; }
#else
void write(const mmstl::mapped_span<int>& all) { *all.begin() = 1; }
#endif
