// SPDX-License-Identifier: MIT
//
// A type in an unnamed namespace hides among template arguments; its chosen name does not help.
// expect: specialise mmstl::persistent_name

#include <mmstl/persistent_name.hpp>

namespace {
struct tick {};
} // namespace

template <class> struct list {};

template <> inline constexpr std::string_view mmstl::persistent_name<tick> = "tick";
#ifdef EXPECT_OK
template <> inline constexpr std::string_view mmstl::persistent_name<list<tick>> = "list of tick";
#endif

auto identity() { return mmstl::detail::identify<list<tick>>(); }
