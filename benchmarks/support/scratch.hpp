// SPDX-License-Identifier: MIT
//
// A private directory that is gone when the suite ends, however it ends.

#ifndef MMSTL_BENCHMARKS_SCRATCH_HPP
#define MMSTL_BENCHMARKS_SCRATCH_HPP

#include <cstdint>
#include <functional>
#include <string>

namespace bench {

[[nodiscard]] std::uint64_t free_bytes(const std::string& directory);

/// Throws: `std::runtime_error` that says how much is needed and how much is free.
void demand_free_bytes(const std::string& directory, std::uint64_t needed);

/// Runs `suite` on a new directory inside `parent_directory` and returns its exit status.
///
/// The suite runs in a child process. The parent only waits, passes SIGINT, SIGTERM and SIGHUP on
/// and removes the directory: no handler has to tidy up in the middle of a measurement, and a crash
/// leaves nothing behind either. A thread could wait as well, but then each read() of the process
/// would pay for a shared table of descriptors.
int run_in_scratch_directory(const std::string& parent_directory,
                             const std::function<int(const std::string&)>& suite);

} // namespace bench

#endif // MMSTL_BENCHMARKS_SCRATCH_HPP
