// SPDX-License-Identifier: MIT
//
// flush() is a write: a const span has none.
// expect: discards qualifiers|not marked const|passing

#include <mmstl.hpp>

#ifdef EXPECT_OK
void flush(mmstl::mapped_span<int>& all) { all.flush(); }
#else
void flush(const mmstl::mapped_span<int>& all) { all.flush(); }
#endif
