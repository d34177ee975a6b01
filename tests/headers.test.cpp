// SPDX-License-Identifier: MIT
//
// Linked with one translation unit for each public header: a function that is not inline would be
// defined twice.

#include "support/catch.hpp"

#include <mmstl.hpp>

TEST_CASE(
    "every header can be included alone, twice, and in as many translation units as there are") {
    STATIC_REQUIRE(MMSTL_VERSION_MAJOR >= 0);
    mmstl::mapped_span<int> one(mmstl::anonymous(), {.count = 1});
    CHECK(one[0] == 0);
}

TEST_CASE("the umbrella header brings in all that is public") {
    STATIC_REQUIRE(mmstl::mappable<int>);
    CHECK(mmstl::mapping().empty());
    CHECK_FALSE(mmstl::backing_handle().is_open());
    CHECK(mmstl::make_error_code(mmstl::errc::misaligned).category() == mmstl::mapping_category());
    CHECK(mmstl::chunk_options().behind == mmstl::behind::keep);
    CHECK(mmstl::advice::normal != mmstl::advice::random);
}
