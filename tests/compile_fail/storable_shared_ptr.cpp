// SPDX-License-Identifier: MIT
//
// What a smart pointer owns is in the memory of one process; a pointer may point into the segment.
// expect: what this owns or points at

#include <mmstl.hpp>

#include <memory>

void check() {
#ifdef EXPECT_OK
    mmstl::detail::require_segment_storable<mmstl::vector<int*>>();
#else
    mmstl::detail::require_segment_storable<mmstl::vector<std::shared_ptr<int>>>();
#endif
}
