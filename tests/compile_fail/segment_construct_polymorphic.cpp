// SPDX-License-Identifier: MIT
//
// The table of virtual functions is elsewhere in another process.
// expect: virtual functions

#include <mmstl.hpp>

struct shape {
#ifndef EXPECT_OK
    virtual
#endif
        ~shape() {
    }
};

void check(mmstl::segment& s) { s.construct<shape[]>("shapes", 3); }
