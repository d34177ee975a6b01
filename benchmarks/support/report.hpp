// SPDX-License-Identifier: MIT
//
// The tables that people read and the file that programs read.

#ifndef MMSTL_BENCHMARKS_REPORT_HPP
#define MMSTL_BENCHMARKS_REPORT_HPP

#include "machine.hpp"
#include "results.hpp"

#include <memory>
#include <string>
#include <vector>

namespace bench {

/// A workload that did not run here, and why.
struct skipped_workload {
    std::string name;
    std::string reason;
};

struct finished_workload {
    std::unique_ptr<results> table;
    std::vector<std::string> verdicts = {};
    std::string error = {}; ///< What went wrong with all of it, and not with an arm.
};

struct suite_results {
    bool quick = false;
    bool complete = false; ///< All workloads that were chosen have had their turn.
    std::vector<finished_workload> measured = {};
    std::vector<skipped_workload> skipped = {};
};

/// The sentences under the table: what was expected of it, and what is particular to its question.
[[nodiscard]] std::vector<std::string> verdicts(const results& measured);

void print_machine(const machine_facts& facts);
void print_table(const results& measured, const std::vector<std::string>& verdicts);

/// Writes results to a file, in the format that docs/benchmarks/results-format.md describes.
class results_file {
public:
    /// Nowhere, if the path is empty.
    explicit results_file(const std::string& path);

    /// Replaces what was written before by the results so far. Whoever reads the file sees the one
    /// or the other, also if the suite is killed meanwhile. What is no regular file, as a pipe, is
    /// only written to when the results are complete.
    ///
    /// Throws: `std::runtime_error` if the file cannot be written, or none beside it.
    void write(const machine_facts& facts, const suite_results& so_far) const;

private:
    std::string path_; ///< Without symbolic links; empty: nowhere.
    bool is_replaced_ = true;
};

} // namespace bench

#endif // MMSTL_BENCHMARKS_REPORT_HPP
