// SPDX-License-Identifier: MIT
//
// Advice that loses bytes goes to discard(), never to advise().
// expect: destructive_advice

#include <mmstl.hpp>

#ifdef EXPECT_OK
void advise(mmstl::mapping& all) { all.advise(mmstl::advice::normal); }
#else
void advise(mmstl::mapping& all) { all.advise(mmstl::destructive_advice::dont_need); }
#endif
