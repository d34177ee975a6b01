// SPDX-License-Identifier: MIT
//
// How long the long tests are to take: MMSTL_SOAK=1000 multiplies their counts by a thousand.

#ifndef MMSTL_TESTS_SUPPORT_SOAK_HPP
#define MMSTL_TESTS_SUPPORT_SOAK_HPP

#include <cstdlib>

namespace support {

/// The value of MMSTL_SOAK, a whole number; 1 when it is not set or makes no sense.
inline long soak_scale() {
    const char* const text =
        std::getenv("MMSTL_SOAK"); // NOLINT(concurrency-mt-unsafe): nobody sets it
    const long scale = text == nullptr ? 1 : std::strtol(text, nullptr, 10);
    return scale > 0 ? scale : 1;
}

/// `count` times the scale.
inline long soaked(long count) { return count * soak_scale(); }

} // namespace support

#endif
