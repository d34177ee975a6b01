// SPDX-License-Identifier: MIT
//
// Hands objects to translation units of which some have included the one file, and some also the
// headers that it is made of, as this one has: to the linker and to the program they are the same.

#include "support/catch.hpp"

#include <mmstl.hpp>

#include <array>
#include <system_error>
#include <utility>

using unit = const std::error_category*(mmstl::mapped_span<int>&, mmstl::mapped_vector<int>&,
                                        mmstl::segment&);
unit alone, alone_again, one_file_then_split, part_then_one_file, split_then_one_file;

TEST_CASE("units with the one file, with the headers and with both share their objects") {
    mmstl::mapped_span<int> span(mmstl::anonymous(), {.count = 1});
    auto vector = mmstl::mapped_vector<int>::create(mmstl::anonymous());
    auto segment = mmstl::segment::create(mmstl::anonymous());
    const std::array units = {alone, alone_again, one_file_then_split, part_then_one_file,
                              split_then_one_file};
    for (unit* const one : units) CHECK(one(span, vector, segment) == &mmstl::mapping_category());

    CHECK(span[0] == 5);
    CHECK(vector.size() == 5);
    CHECK(vector.back() == 5);
    const auto* named = segment.find<mmstl::map<mmstl::string, int>>("units");
    REQUIRE(named != nullptr);
    CHECK(named->size() == 5);
    CHECK(named->begin()->first == "alone");
    CHECK(segment.check().clean());
}
