// SPDX-License-Identifier: MIT
//
// Counts the system calls of one run of an arm, outside all timing.

#include "system_calls.hpp"

#include <csignal>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bench {
namespace {

constexpr int syscall_stop = SIGTRAP | 0x80;

[[noreturn]] void be_traced(const std::function<std::uint64_t(meter&)>& run) noexcept {
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(1);
    (void)::raise(SIGSTOP);
    try {
        meter marks(meter::mode::tracing);
        marks.restart();
        run(marks);
        marks.stop();
    } catch (...) {
        ::_exit(1);
    }
    ::_exit(0);
}

bool wait_for_stop(pid_t child, int& status) {
    return ::waitpid(child, &status, 0) == child && WIFSTOPPED(status);
}

} // namespace

std::optional<system_calls> count_system_calls(const std::function<std::uint64_t(meter&)>& run,
                                               std::uint64_t give_up_at) {
    const pid_t child = ::fork();
    if (child == 0) be_traced(run);
    if (child < 0) return std::nullopt;

    int status = 0;
    if (!wait_for_stop(child, status)) return std::nullopt;
    ::ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);

    std::uint64_t since_mark = 0;
    std::uint64_t between_marks = 0;
    long pass_on = 0;
    while (::ptrace(PTRACE_SYSCALL, child, nullptr, pass_on) == 0 && wait_for_stop(child, status)) {
        pass_on = 0;
        if (WSTOPSIG(status) != syscall_stop) {
            pass_on = WSTOPSIG(status);
            continue;
        }
        __ptrace_syscall_info info{};
        if (::ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof info, &info) <= 0) break;
        if (info.op != PTRACE_SYSCALL_INFO_ENTRY) continue;
        if (info.entry.nr == static_cast<std::uint64_t>(meter::mark)) {
            between_marks = since_mark;
            since_mark = 0;
        } else if (++since_mark == give_up_at) {
            ::kill(child, SIGKILL);
            ::waitpid(child, &status, 0);
            return system_calls{give_up_at, true};
        }
    }
    if (WIFSTOPPED(status)) { // the kernel is too old to describe a stop
        ::kill(child, SIGKILL);
        ::waitpid(child, &status, 0);
        return std::nullopt;
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return std::nullopt;
    return system_calls{between_marks, false};
}

} // namespace bench
