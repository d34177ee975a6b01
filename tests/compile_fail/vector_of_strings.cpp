// SPDX-License-Identifier: MIT
//
// A string has its characters elsewhere.
// expect: vector_element
// expect: mappable

#include <mmstl.hpp>

#include <array>
#include <string>

#ifdef EXPECT_OK
mmstl::mapped_vector<std::array<char, 8>> all;
#else
mmstl::mapped_vector<std::string> all;
#endif
