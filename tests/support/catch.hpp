// SPDX-License-Identifier: MIT
//
// Catch2, version 2 or 3: the only file that knows there are two.

#ifndef MMSTL_TESTS_SUPPORT_CATCH_HPP
#define MMSTL_TESTS_SUPPORT_CATCH_HPP

#if __has_include(<catch2/catch_test_macros.hpp>)
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/catch_tostring.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#else
#include <catch2/catch.hpp>
#endif

#include <cstdio>
#include <string>

namespace support {

/// Matches a string that has `words` in it.
inline auto contains_text(const std::string& words) {
#if __has_include(<catch2/catch_test_macros.hpp>)
    return Catch::Matchers::ContainsSubstring(words);
#else
    return Catch::Matchers::Contains(words);
#endif
}

/// Ends a test that this machine does not allow: passed, but said aloud. (Version 2 knows no
/// skipping.)
inline void skip_loudly(const std::string& reason) {
    std::fprintf(stderr, "SKIPPED: %s\n", reason.c_str());
    WARN("skipped: " << reason);
    SUCCEED();
}

} // namespace support

#endif
