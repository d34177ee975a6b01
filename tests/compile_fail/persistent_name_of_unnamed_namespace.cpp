// SPDX-License-Identifier: MIT
//
// Two programs may mean two things by a type in an unnamed namespace.
// expect: specialise mmstl::persistent_name

#include <mmstl/persistent_name.hpp>

#ifdef EXPECT_OK
namespace named {
#else
namespace {
#endif

struct tick {
    double price;
};

} // namespace

#ifdef EXPECT_OK
using named::tick;
#endif

auto identity() { return mmstl::detail::identify<tick[3]>(); }
