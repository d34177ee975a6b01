// SPDX-License-Identifier: MIT
//
// A struct without a name.
// expect: specialise mmstl::persistent_name

#include <mmstl/persistent_name.hpp>

struct line {
#ifdef EXPECT_OK
    struct point {
#else
    struct {
#endif
        int x;
        int y;
    } from, to;
};

auto identity() { return mmstl::detail::identify<decltype(line::from)>(); }
