// SPDX-License-Identifier: MIT
//
// A view points at memory of one process.
// expect: a view points at memory of this process

#include <mmstl.hpp>

#include <string_view>

void check() {
#ifdef EXPECT_OK
    mmstl::detail::require_segment_storable<mmstl::vector<mmstl::string>>();
#else
    mmstl::detail::require_segment_storable<mmstl::vector<std::string_view>>();
#endif
}
