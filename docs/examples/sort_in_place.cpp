// SPDX-License-Identifier: MIT
//
// Makes a file of numbers, sorts it in place, and tries a change that must not reach it.

#include <mmstl.hpp>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <numeric>

int main() {
    try {
        {
            auto numbers = mmstl::mapped_span<float>::create("numbers.f32",
                                                             1000); // zeros, with blocks allocated
            std::iota(numbers.rbegin(), numbers.rend(), 1.0F);
            std::ranges::sort(numbers);
            numbers.flush(); // on the disk when this returns
        }
        mmstl::mapped_span<float> scratch("numbers.f32", {.access = mmstl::access::copy_on_write});
        scratch[0] = -1; // this process alone sees it

        const mmstl::mapped_span<const float> numbers(
            "numbers.f32", {.copy_below_bytes = mmstl::recommended_copy_below_bytes});
        std::printf("%zu numbers from %g to %g\n", numbers.size(), double{numbers.front()},
                    double{numbers.back()});
        mmstl::file("numbers.f32").remove();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
