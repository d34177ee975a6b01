// SPDX-License-Identifier: MIT
//
// What says that it takes an allocator, but does not, is told so.
// expect: needs a constructor for these arguments

#include <mmstl.hpp>

struct person {
    using allocator_type = mmstl::shared_allocator<char>;
    person() = default;
    person(const person&) = default;
    explicit person(const allocator_type& a) : name(a) {}
#ifdef EXPECT_OK
    person(const person& other, const allocator_type& a) : name(other.name, a) {}
#endif
    mmstl::string name;
};

void add(mmstl::list<person>& all, const person& one) { all.push_back(one); }
