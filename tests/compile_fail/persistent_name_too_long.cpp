// SPDX-License-Identifier: MIT
//
// A name of 256 characters has no room in a file.
// expect: at most 255 characters

#include <mmstl/persistent_name.hpp>

struct tick {};

#define SIXTY_FOUR "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
template <>
inline constexpr std::string_view mmstl::persistent_name<tick> = SIXTY_FOUR SIXTY_FOUR SIXTY_FOUR
#ifndef EXPECT_OK
    SIXTY_FOUR
#endif
    ;

auto identity() { return mmstl::detail::identify<tick>(); }
