// SPDX-License-Identifier: MIT
//
// An aggregate does not hand the allocator on: the characters would be in the heap of the process.
// expect: a member takes an allocator, which an aggregate does not hand on
// expect: \bjob\b

#include <mmstl.hpp>

#include <string_view>

struct job {
#ifdef EXPECT_OK
    using allocator_type = mmstl::shared_allocator<char>;
    job(std::string_view its_name, const allocator_type& in) : name(its_name, in) {}
    job(const job& other, const allocator_type& in) : name(other.name, in), number(other.number) {}
#endif
    mmstl::string name;
    int number = 0;
};

void check() { mmstl::detail::require_segment_storable<mmstl::deque<job>>(); }
