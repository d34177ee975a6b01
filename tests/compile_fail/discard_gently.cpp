// SPDX-License-Identifier: MIT
//
// discard() takes the advice that loses bytes, and no other.
// expect: destructive_advice

#include <mmstl.hpp>

#ifdef EXPECT_OK
void discard(mmstl::mapping& all) { all.discard(mmstl::destructive_advice::dont_need, 0, 1); }
#else
void discard(mmstl::mapping& all) { all.discard(mmstl::advice::cold, 0, 1); }
#endif
