// SPDX-License-Identifier: MIT
//
// However deep it is, and the diagnostic names it.
// expect: use one with mmstl::shared_allocator
// expect: require_segment_storable<std::(__\w+::)?(basic_)?string|with T = std::(__\w+::)?basic_string<char

#include <mmstl.hpp>

#include <array>
#include <string>
#include <utility>

void check() {
#ifdef EXPECT_OK
    mmstl::detail::require_segment_storable<
        mmstl::map<int, std::pair<int, std::array<mmstl::string, 2>>>>();
#else
    mmstl::detail::require_segment_storable<
        mmstl::map<int, std::pair<int, std::array<std::string, 2>>>>();
#endif
}
