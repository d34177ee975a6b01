// SPDX-License-Identifier: MIT
//
// What is found out in a child process, where memory is new.

#ifndef MMSTL_BENCHMARKS_ASK_CHILD_HPP
#define MMSTL_BENCHMARKS_ASK_CHILD_HPP

#include <array>
#include <csignal>
#include <exception>
#include <optional>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <type_traits>
#include <unistd.h>

namespace bench {

/// What `work(found)` has left in a `Found` in a child process; nothing if that fails. The child dies
/// with its parent.
template <class Found, class Work> [[nodiscard]] std::optional<Found> ask_child(Work work) {
    static_assert(std::is_trivially_copyable_v<Found>);
    std::array<int, 2> pipe{};
    if (::pipe(pipe.data()) != 0) return std::nullopt;
    const pid_t parent = ::getpid();
    const pid_t child = ::fork();
    if (child == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (::getppid() != parent) ::_exit(1);
        try {
            Found found{};
            work(found);
            if (::write(pipe[1], &found, sizeof found) == sizeof found) ::_exit(0);
        } catch (const std::exception&) {
        }
        ::_exit(1);
    }
    ::close(pipe[1]);
    Found found{};
    const bool complete = child > 0 && ::read(pipe[0], &found, sizeof found) == sizeof found;
    ::close(pipe[0]);
    int status = 0;
    if (child > 0) ::waitpid(child, &status, 0);
    return complete ? std::optional(found) : std::nullopt;
}

} // namespace bench

#endif // MMSTL_BENCHMARKS_ASK_CHILD_HPP
