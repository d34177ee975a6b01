// SPDX-License-Identifier: MIT
//
// Whether the file is to be emptied or let go of has to be said.
// expect: ambiguous

#include <mmstl.hpp>

void end(mmstl::mapped_vector<int>& numbers) {
#ifdef EXPECT_OK
    numbers = {1, 2, 3};
    numbers = mmstl::mapped_vector<int>();
#else
    numbers = {};
#endif
}
