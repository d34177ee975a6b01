// SPDX-License-Identifier: MIT
//
// An address is another one in the next run.
// expect: specialise mmstl::hash

#include <mmstl.hpp>

#ifdef EXPECT_OK
mmstl::unordered_set<long> all;
#else
mmstl::unordered_set<long*> all;
#endif
