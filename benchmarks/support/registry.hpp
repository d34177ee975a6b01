// SPDX-License-Identifier: MIT
//
// What a benchmark is here: workloads, each with arms that do the same work in different ways.

#ifndef MMSTL_BENCHMARKS_REGISTRY_HPP
#define MMSTL_BENCHMARKS_REGISTRY_HPP

#include "meter.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace bench {

class results;

enum class role {
    ours,     ///< mmstl: its wins and its losses are marked.
    baseline, ///< The fastest of these is what the others are compared with.
    other,
};

/// Something else than a time that an arm has found out: its key says the unit ("p99_seconds").
struct figure {
    std::string key;
    double value = 0;
};

/// One way to do the work.
struct arm {
    std::string name = {};
    bench::role role = role::other;
    /// Opens, works, closes, and returns a checksum of what it saw.
    std::function<std::uint64_t(meter&)> run = {};
    /// Runs a repetition: enough that it takes a millisecond or so.
    std::int64_t iterations = 1;
    /// Arms are compared within their group: the size of a file, the number of threads.
    std::string group = {};
    std::uint64_t bytes = 0;      ///< Seen by one run; 0 where a throughput says nothing.
    std::uint64_t operations = 0; ///< Done by one run; 0 where there is but one.
    /// Of memory that one run fills anew: it is seen to that it is there before the time begins.
    std::uint64_t fresh_bytes = 0;
    /// False where other threads or processes work as well, of whose system calls nobody knows.
    bool works_alone = true;
    /// For the results file, asked when all repetitions are over.
    std::function<std::vector<figure>()> figures = [] { return std::vector<figure>(); };
};

/// An arm that is left out, and why.
struct skipped_arm {
    std::string name;
    std::string reason;
};

/// A ratio that the report judges: `reference` takes at least `at_least` times as long as `arm`.
struct expectation {
    std::string arm;
    std::string reference; ///< Empty: the baseline.
    std::string in_words;  ///< What the reference stands for: "the best read()".
    double at_least = 0;   ///< 0: report the ratio, expect nothing.
    std::string group = {};
};

/// One question, answered by one table.
struct workload {
    std::string name;     ///< "scan.cached": stable, for --only and for the results file.
    std::string question; ///< The heading.
    std::string cache;    ///< The state of the page cache, in words; `cache_key` for programs.
    std::string cache_key;
    std::string unit = {}; ///< What an operation is called, if the table has the time of one.
    bool state_is_verified = true; ///< False: `cache` says no state of the page cache.
    double expected_seconds = 1;   ///< A guess, for the time left.
    std::vector<arm> arms = {};
    std::vector<skipped_arm> skipped = {};
    std::vector<expectation> expectations = {};

    /// Once, before everything. Returns why the workload cannot run here, or nothing.
    std::function<std::string()> set_up = [] { return std::string(); };
    /// Before each repetition of the arm, outside the time: brings about and verifies the state.
    std::function<void(const arm&)> prepare = [](const arm&) {};
    /// Whether `prepare` could verify the state.
    std::function<bool()> verified = [] { return true; };
    /// Sentences under the table that are particular to this question.
    std::function<std::vector<std::string>(const results&)> conclusions = [](const results&) {
        return std::vector<std::string>();
    };
    /// Also where `set_up` has failed, halfway perhaps.
    std::function<void()> tear_down = [] {};
};

using registry = std::vector<workload>;

} // namespace bench

#endif // MMSTL_BENCHMARKS_REGISTRY_HPP
