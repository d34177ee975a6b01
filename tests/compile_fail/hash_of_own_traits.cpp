// SPDX-License-Identifier: MIT
//
// Strings that compare without regard to case are equal with other characters.
// expect: specialise mmstl::hash

#include <mmstl.hpp>

#include <string>

struct any_case : std::char_traits<char> {};

#ifdef EXPECT_OK
mmstl::unordered_set<mmstl::basic_string<char>> all;
#else
mmstl::unordered_set<mmstl::basic_string<char, any_case>> all;
#endif
