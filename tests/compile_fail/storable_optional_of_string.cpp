// SPDX-License-Identifier: MIT
//
// A std::optional does not hand the allocator on to the string that is assigned to it.
// expect: hands no allocator on

#include <mmstl.hpp>

#include <optional>
#include <utility>

void check() {
#ifdef EXPECT_OK
    mmstl::detail::require_segment_storable<std::pair<bool, mmstl::string>>();
#else
    mmstl::detail::require_segment_storable<std::optional<mmstl::string>>();
#endif
}
