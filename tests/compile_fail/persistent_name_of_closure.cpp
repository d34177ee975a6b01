// SPDX-License-Identifier: MIT
//
// A closure has no name.
// expect: specialise mmstl::persistent_name

#include <mmstl/persistent_name.hpp>

#ifdef EXPECT_OK
struct twice_type {
    int operator()(int n) const { return 2 * n; }
};
inline constexpr twice_type twice;
#else
inline constexpr auto twice = [](int n) { return 2 * n; };
#endif

auto identity() { return mmstl::detail::identify<decltype(twice)>(); }
