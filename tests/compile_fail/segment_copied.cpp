// SPDX-License-Identifier: MIT
//
// A segment owns its mapping.
// expect: deleted

#include <mmstl.hpp>

#include <utility>

mmstl::segment check(mmstl::segment& s) {
#ifdef EXPECT_OK
    return std::move(s);
#else
    return s;
#endif
}
