// SPDX-License-Identifier: MIT
//
// The table of virtual functions is elsewhere in another process.
// expect: virtual functions

#include <mmstl.hpp>

struct plain {};
struct shape {
    virtual void draw();

protected:
    ~shape() = default;
};

void check() {
#ifdef EXPECT_OK
    mmstl::detail::require_segment_storable<mmstl::vector<plain>>();
#else
    mmstl::detail::require_segment_storable<mmstl::vector<shape>>();
#endif
}
