// SPDX-License-Identifier: MIT
//
// A user's program: needs the headers and prints their version.

#include <mmstl.hpp>

#include <cstdio>

int main() {
    auto numbers = mmstl::mapped_vector<int>::create(mmstl::anonymous());
    numbers.push_back(MMSTL_VERSION_MAJOR);
    numbers.push_back(MMSTL_VERSION_MINOR);
    numbers.push_back(MMSTL_VERSION_PATCH);
    std::printf("%d.%d.%d\n", numbers[0], numbers[1], numbers[2]);
}
