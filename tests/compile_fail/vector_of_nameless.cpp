// SPDX-License-Identifier: MIT
//
// Two programs may mean two things by a type in an unnamed namespace: the file has to name it.
// expect: the file has to name its elements: specialise mmstl::persistent_name

#include <mmstl.hpp>

#include <string_view>

namespace {
struct tick {
    double price;
};
} // namespace

#ifdef EXPECT_OK
template <> inline constexpr std::string_view mmstl::persistent_name<tick> = "tick/1";
#endif

int main() { mmstl::mapped_vector<tick>::create("x").push_back({1}); }
