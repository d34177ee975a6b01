// SPDX-License-Identifier: MIT
//
// A pointer means nothing in another process.
// expect: vector_element
// expect: mappable

#include <mmstl.hpp>

#ifdef EXPECT_OK
mmstl::mapped_vector<long> all;
#else
mmstl::mapped_vector<long*> all;
#endif
