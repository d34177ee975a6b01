// SPDX-License-Identifier: MIT
//
// The characters of a std::string are in the memory of one process.
// expect: use one with mmstl::shared_allocator

#include <mmstl.hpp>

#include <string>

void check() {
#ifdef EXPECT_OK
    mmstl::detail::require_segment_storable<mmstl::string>();
#else
    mmstl::detail::require_segment_storable<std::string>();
#endif
}
