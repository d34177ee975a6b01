// SPDX-License-Identifier: MIT
//
// Whether the suite is to be believed.

#ifndef MMSTL_BENCHMARKS_SELFTEST_HPP
#define MMSTL_BENCHMARKS_SELFTEST_HPP

#include <string>

namespace bench {

/// Checks the harness on small files in `directory`, prints a line for each check, and as the last
/// one `N passed, N failed`. Returns an exit status: 0 if none failed.
int run_self_test(const std::string& directory);

} // namespace bench

#endif // MMSTL_BENCHMARKS_SELFTEST_HPP
