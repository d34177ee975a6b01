// SPDX-License-Identifier: MIT
//
// Hands the arms of a workload to Google Benchmark and collects what it measured.

#ifndef MMSTL_BENCHMARKS_RUNNER_HPP
#define MMSTL_BENCHMARKS_RUNNER_HPP

#include "progress.hpp"
#include "results.hpp"

#include <string>

namespace bench {

/// Of each arm. The order of all repetitions of all arms of a workload is random.
[[nodiscard]] constexpr int repetitions(bool quick) { return quick ? 5 : 9; }

/// Once, before the first `run()`.
void initialize_google_benchmark(const char* program);

/// Returns why the workload cannot run here, which it says or throws, or nothing.
[[nodiscard]] std::string set_up(const workload& of);

/// Undoes what `set_up()` did, or a part of it if it has failed. Returns what went wrong, or nothing.
[[nodiscard]] std::string tear_down(const workload& of);

/// Measures all arms of `measured.workload()`, which has been set up. System calls are counted up to
/// `most_system_calls` a run: each costs a good part of a tenth of a millisecond.
void run(results& measured, progress& shown, int repetitions, std::uint64_t most_system_calls);

} // namespace bench

#endif // MMSTL_BENCHMARKS_RUNNER_HPP
