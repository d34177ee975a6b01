// SPDX-License-Identifier: MIT
//
// The members of an aggregate are looked into, and the diagnostic names them.
// expect: use one with mmstl::shared_allocator
// expect: require_segment_storable<std::(__\w+::)?(basic_)?string|with T = std::(__\w+::)?basic_string<char

#include <mmstl.hpp>

#include <string>

struct job {
    int number;
#ifdef EXPECT_OK
    char name[64];
#else
    std::string name;
#endif
};
struct shift {
    int day;
    job first;
};

void check() { mmstl::detail::require_segment_storable<mmstl::vector<shift>>(); }
