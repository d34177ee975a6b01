// SPDX-License-Identifier: MIT
//
// A span of characters is not taken for the path that its contents spell.
// expect: no matching function|no matching conversion

#include <mmstl.hpp>

#ifdef EXPECT_OK
auto view(const mmstl::mapped_span<char>& all) {
    return mmstl::mapped_span<const char>(all.name());
}
#else
auto view(const mmstl::mapped_span<char>& all) { return mmstl::mapped_span<const char>(all); }
#endif
