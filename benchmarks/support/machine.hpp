// SPDX-License-Identifier: MIT
//
// The machine and the software that figures belong to.

#ifndef MMSTL_BENCHMARKS_MACHINE_HPP
#define MMSTL_BENCHMARKS_MACHINE_HPP

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bench {

/// (key of the results file, value), in the order of the report.
using machine_facts = std::vector<std::pair<std::string, std::string>>;

/// `path` is where the files of the benchmark lie.
[[nodiscard]] machine_facts describe_machine(const std::string& path);

[[nodiscard]] std::uint64_t available_memory_bytes();
[[nodiscard]] double load_average();

/// What /proc/self/smaps_rollup says of this process: "Rss:", "Pss:", "Private_Dirty:". 0 if it says
/// nothing of that.
[[nodiscard]] std::uint64_t own_memory_bytes(const char* key);

/// How much of the mapping around `at` the processor sees as huge pages, of a file or of memory.
/// Nothing if the kernel does not say.
[[nodiscard]] std::optional<std::uint64_t> huge_page_bytes(const void* at);

} // namespace bench

#endif // MMSTL_BENCHMARKS_MACHINE_HPP
