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
    std::vector<std::string> verdicts;
};

/// The sentences under the table: what was expected of it, and what is particular to its question.
[[nodiscard]] std::vector<std::string> verdicts(const results& measured);

void print_machine(const machine_facts& facts);
void print_table(const results& measured, const std::vector<std::string>& verdicts);

/// In the format that docs/benchmarks/results-format.md describes.
///
/// Throws: `std::runtime_error` if the file cannot be written.
void write_json(const std::string& path, const machine_facts& facts, bool quick,
                const std::vector<finished_workload>& measured,
                const std::vector<skipped_workload>& skipped);

} // namespace bench

#endif // MMSTL_BENCHMARKS_REPORT_HPP
