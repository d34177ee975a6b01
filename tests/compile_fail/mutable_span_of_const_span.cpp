// SPDX-License-Identifier: MIT
//
// No std::span of mutable elements is made of a const mapped_span.
// expect: no matching function|no known conversion|could not convert|conversion

#include <mmstl.hpp>

#include <span>

#ifdef EXPECT_OK
std::span<int> view(mmstl::mapped_span<int>& all) { return std::span<int>(all); }
#else
std::span<int> view(const mmstl::mapped_span<int>& all) { return std::span<int>(all); }
#endif
