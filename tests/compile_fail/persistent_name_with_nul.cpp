// SPDX-License-Identifier: MIT
//
// In a file a name ends with NUL.
// expect: no NUL

#include <mmstl/persistent_name.hpp>

struct tick {};

#ifdef EXPECT_OK
template <> inline constexpr std::string_view mmstl::persistent_name<tick> = "tick";
#else
template <> inline constexpr std::string_view mmstl::persistent_name<tick> = {"ti\0ck", 5};
#endif

auto identity() { return mmstl::detail::identify<tick>(); }
