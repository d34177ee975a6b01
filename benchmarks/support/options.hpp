// SPDX-License-Identifier: MIT
//
// The command line of the suite.

#ifndef MMSTL_BENCHMARKS_OPTIONS_HPP
#define MMSTL_BENCHMARKS_OPTIONS_HPP

#include <cstddef>
#include <stdexcept>
#include <string>

namespace bench {

struct options {
    bool quick = false;
    bool list = false;
    bool help = false;
    bool self_test = false;
    std::size_t threads = 0; ///< 0: not said.
    std::string file;        ///< The user's own file; empty: generated files.
    std::string directory;   ///< Where generated files go.
    std::string json;        ///< Where the results go; empty: nowhere.
    std::string only;        ///< The start of the names of the workloads to run.
};

/// A command line that makes no sense; `what()` says why.
class usage_error : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

extern const char* const help_text;

/// Throws: `usage_error`.
[[nodiscard]] options parse(int argc, char** argv);

} // namespace bench

#endif // MMSTL_BENCHMARKS_OPTIONS_HPP
