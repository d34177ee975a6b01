// SPDX-License-Identifier: MIT
//
// An atomic that is not lock-free has its lock in one process.
// expect: not lock-free

#include <mmstl.hpp>

#include <atomic>

struct large {
    char bytes[64];
};

void check() {
#ifdef EXPECT_OK
    mmstl::detail::require_segment_storable<std::atomic<int>>();
#else
    mmstl::detail::require_segment_storable<std::atomic<large>>();
#endif
}
