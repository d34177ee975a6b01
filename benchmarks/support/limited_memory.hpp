// SPDX-License-Identifier: MIT
//
// So little memory that a file does not fit into it, on a machine that has more.

#ifndef MMSTL_BENCHMARKS_LIMITED_MEMORY_HPP
#define MMSTL_BENCHMARKS_LIMITED_MEMORY_HPP

#include <cstdint>
#include <exception>
#include <string>
#include <sys/types.h>

namespace bench {

/// Puts this process into a control group of its own, whose memory is limited: what it reads from then
/// on is counted there, and what it had before is not. Needs root, as a rule.
class limited_memory {
public:
    limited_memory() = default;
    limited_memory(const limited_memory&) = delete;
    limited_memory& operator=(const limited_memory&) = delete;
    ~limited_memory() {
        try {
            (void)leave();
        } catch (const std::exception&) { // the group stays, and clean_up_after() gets it
        }
    }

    /// Returns why that is not possible here, or nothing.
    [[nodiscard]] std::string enter(std::uint64_t bytes);
    /// Returns what went wrong, or nothing.
    [[nodiscard]] std::string leave();
    /// The directory of the group; empty outside.
    [[nodiscard]] const std::string& group() const noexcept { return group_; }

    /// Removes what a process has left that was killed in there.
    static void clean_up_after(pid_t process) noexcept;

private:
    std::string group_;
    std::string previous_;
    std::string limit_file_;
    std::string unlimited_;
};

} // namespace bench

#endif // MMSTL_BENCHMARKS_LIMITED_MEMORY_HPP
