// SPDX-License-Identifier: MIT
//
// A lock of the library's is of one process.
// expect: locks are of one process

#include <mmstl.hpp>

#include <mutex>

struct my_mutex {};

void check() {
#ifdef EXPECT_OK
    mmstl::detail::require_segment_storable<my_mutex>();
#else
    mmstl::detail::require_segment_storable<std::mutex>();
#endif
}
