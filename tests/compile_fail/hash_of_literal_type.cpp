// SPDX-License-Identifier: MIT
//
// Keys that are pointers to characters would be compared by their addresses.
// expect: specialise mmstl::hash

#include <mmstl.hpp>

#ifdef EXPECT_OK
mmstl::unordered_set<mmstl::string> all;
#else
mmstl::unordered_set<const char*> all;
#endif
