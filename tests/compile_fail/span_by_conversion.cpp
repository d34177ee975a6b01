// SPDX-License-Identifier: MIT
//
// Opening a file is said aloud: a path does not become a span by itself.
// expect: could not convert|no viable conversion|conversion

#include <mmstl.hpp>

#include <string>

#ifdef EXPECT_OK
mmstl::mapped_span<int> open(const std::string& path) { return mmstl::mapped_span<int>(path); }
#else
mmstl::mapped_span<int> open(const std::string& path) { return path; }
#endif
