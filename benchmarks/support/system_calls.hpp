// SPDX-License-Identifier: MIT
//
// Counts the system calls of one run of an arm, outside all timing.

#ifndef MMSTL_BENCHMARKS_SYSTEM_CALLS_HPP
#define MMSTL_BENCHMARKS_SYSTEM_CALLS_HPP

#include "meter.hpp"

#include <cstdint>
#include <functional>
#include <optional>

namespace bench {

struct system_calls {
    std::uint64_t count = 0;
    bool at_least = false; ///< Counting gave up there: each call costs two stops of the child.
};

/// Runs `run` in a child under ptrace and counts what it calls between the last two marks of its
/// meter, but no more than `give_up_at`. Nothing where ptrace is not allowed or the child failed.
[[nodiscard]] std::optional<system_calls>
count_system_calls(const std::function<std::uint64_t(meter&)>& run, std::uint64_t give_up_at);

} // namespace bench

#endif // MMSTL_BENCHMARKS_SYSTEM_CALLS_HPP
