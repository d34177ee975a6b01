// SPDX-License-Identifier: MIT
//
// Without RTTI a class has no name but the chosen one; numbers and arrays need none.
// arguments: -fno-rtti
// expect: specialise mmstl::persistent_name

#include <mmstl.hpp>

struct tick {
    double price;
};
enum class color { red };

#ifdef EXPECT_OK
template <> inline constexpr std::string_view mmstl::persistent_name<tick> = "tick/1";
template <> inline constexpr std::string_view mmstl::persistent_name<color> = "color/1";
#endif

auto of_number() { return mmstl::detail::identify<int>(); }
auto of_array() { return mmstl::detail::identify<std::array<double, 3>>(); }
auto of_class() { return mmstl::detail::identify<tick>(); }
auto of_enumeration() { return mmstl::detail::identify<color>(); }
