// SPDX-License-Identifier: MIT
//
// A struct has the hash that it is given, and no other.
// expect: specialise mmstl::hash

#include <mmstl.hpp>

struct point {
    int x;
    int y;
    friend bool operator==(const point&, const point&) = default;
};
#ifdef EXPECT_OK
template <> struct mmstl::hash<point> {
    std::size_t operator()(const point& p) const noexcept {
        return mmstl::hash<std::pair<int, int>>()({p.x, p.y});
    }
};
#endif

mmstl::unordered_set<point> all;
