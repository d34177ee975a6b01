// SPDX-License-Identifier: MIT
//
// mapped_vector.hpp: what a file says, what of it is believed, and what survives what.

#include "support/catch.hpp"
#include "support/temporary.hpp"

#include <mmstl/mapped_vector.hpp>

using namespace support;
using mmstl::mapped_vector;

TEST_CASE("a vector is there again when it is opened again") {
    const temporary_directory directory;
    const auto path = directory / "numbers";
    auto numbers = mapped_vector<int>::create(path);
    numbers.push_back(1);
    numbers.close();
    CHECK(mapped_vector<const int>::open(path).back() == 1);
}
