// SPDX-License-Identifier: MIT
//
// The chunks of a const span are read only.
// expect: read-only|const value|const-qualified

#include <mmstl.hpp>

#ifdef EXPECT_OK
void write(mmstl::mapped_span<int>& all) {
    for (auto part : all.chunks(8)) part[0] = 1;
}
#else
void write(const mmstl::mapped_span<int>& all) {
    for (auto part : all.chunks(8)) part[0] = 1;
}
#endif
