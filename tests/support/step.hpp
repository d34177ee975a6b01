// SPDX-License-Identifier: MIT
//
// Single-step a forked child by ptrace(2), and kill it at every instruction of an operation.

#ifndef MMSTL_TESTS_SUPPORT_STEP_HPP
#define MMSTL_TESTS_SUPPORT_STEP_HPP

#include "support/catch.hpp"
#include "support/in_child.hpp"
#include "support/soak.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <functional>
#include <string>
#include <system_error>
#include <utility>

#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace support {

/// A child that stands still at the beginning of an operation and goes through it one instruction
/// at a time.
class stepped_child {
public:
    enum class state : unsigned char {
        refused, ///< this machine does not allow ptrace
        inside,  ///< before or within the operation
        at_end,  ///< the operation is over
        dead,    ///< it ended by a signal or exited inside the operation
    };

    /// `prepare` runs at full speed before it.
    explicit stepped_child(const std::function<void()>& operation,
                           const std::function<void()>& prepare = {}) {
        std::fflush(nullptr);
        pid_ = ::fork();
        if (pid_ == -1) throw std::system_error(errno, std::system_category(), "fork");
        if (pid_ == 0) live(operation, prepare);
        if (!reap() || !WIFSTOPPED(status_)) { // no first marker: it could not be traced
            state_ = state::refused;
            return;
        }
        ::ptrace(PTRACE_SETOPTIONS, pid_, nullptr, PTRACE_O_EXITKILL);
        state_ = state::inside;
    }
    stepped_child(const stepped_child&) = delete;
    stepped_child& operator=(const stepped_child&) = delete;
    ~stepped_child() { kill(); }

    [[nodiscard]] state now() const noexcept { return state_; }

    /// One instruction. The entry and the exit of a system call are one each.
    void step() { go(PTRACE_SINGLESTEP); }
    /// As far as the next system call, and then as far as its end.
    void step_to_call() { go(PTRACE_SYSCALL); }

    /// SIGKILL, wherever it stands; returns when it is dead.
    void kill() {
        if (pid_ == -1) return;
        ::kill(pid_, SIGKILL);
        while (reap() && WIFSTOPPED(status_)) {
        }
        pid_ = -1;
    }

private:
    [[noreturn]] static void live(const std::function<void()>& operation,
                                  const std::function<void()>& prepare) noexcept {
        detail::become_plain_process();
        if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == -1) ::_exit(1);
        try {
            if (prepare) prepare();
            mark();
            operation();
        } catch (...) {
            ::_exit(exit_code_of_exception);
        }
        mark();
        ::_exit(0);
    }

    /// Stops for the parent. Not raise(3): sanitizers make thousands of instructions of it.
    static void mark() noexcept { ::syscall(SYS_kill, ::syscall(SYS_getpid), SIGSTOP); }

    void go(decltype(PTRACE_SINGLESTEP) how) {
        const int deliver = std::exchange(pending_, 0);
        if (::ptrace(how, pid_, nullptr, deliver) == -1 || !reap()) {
            state_ = state::dead;
        } else if (!WIFSTOPPED(status_)) {
            state_ = state::dead;
            pid_ = -1;
        } else if (WSTOPSIG(status_) == SIGSTOP) {
            state_ = state::at_end;
        } else if (WSTOPSIG(status_) != SIGTRAP) {
            pending_ = WSTOPSIG(status_);
        }
    }

    bool reap() {
        for (;;) {
            const auto reaped = ::waitpid(pid_, &status_, 0);
            if (reaped == pid_) return true;
            if (errno != EINTR) return false;
        }
    }

    ::pid_t pid_ = -1;
    int status_ = 0;
    int pending_ = 0;
    state state_ = state::refused;
};

/// What a walk through an operation covered.
struct step_report {
    bool allowed = false; ///< false: ptrace was refused, nothing was tested
    long steps = 0;       ///< instructions of the operation, with the way in and out
    long kills = 0;
    bool all = false; ///< killed at every instruction, not at a sample of them
};

/// Counts the instructions of `operation`, run in a child.
inline step_report single_step(const std::function<void()>& operation) {
    step_report report;
    stepped_child walker(operation);
    if (walker.now() == stepped_child::state::refused) return report;
    report.allowed = true;
    for (; walker.now() == stepped_child::state::inside; ++report.steps) walker.step();
    if (walker.now() == stepped_child::state::dead)
        FAIL("the operation died after " << report.steps << " instructions, without being killed");
    return report;
}

/// For k = 0, 1, 2, …: `auto state = setup()` here, `operation(state)` in a child that is killed
/// after k instructions, and `check(state, k)` here. What the state shares with the child must be
/// MAP_SHARED. Prints what was covered.
///
/// An operation so long that all of it would take more than `budget` steps (times the soak scale)
/// is sampled evenly, its beginning and its end included. Where ptrace is refused the test passes,
/// and says so aloud.
template <class Setup, class Operation, class Check>
step_report kill_at_every_instruction(const std::string& title, Setup setup, Operation operation,
                                      Check check, long budget = 200'000) {
    auto first = setup();
    auto report = single_step([&] { operation(first); });
    if (!report.allowed) {
        skip_loudly(title + ": ptrace is not allowed here");
        return report;
    }
    check(first, report.steps);
    const long all_steps = report.steps * (report.steps + 1) / 2; // of a walk to each of them
    const long stride = std::max(1L, all_steps / soaked(budget));
    report.all = stride == 1;
    for (long k = 0; k <= report.steps;
         k = k == report.steps ? k + 1 : std::min(k + stride, report.steps)) {
        auto state = setup();
        {
            stepped_child walker([&] { operation(state); });
            for (long i = 0; i < k && walker.now() == stepped_child::state::inside; ++i)
                walker.step();
            walker.kill();
        }
        ++report.kills;
        INFO("killed after instruction " << k << " of " << report.steps);
        check(state, k);
    }
    std::printf("%s: %ld instructions, killed at %ld of them%s\n", title.c_str(), report.steps,
                report.kills, report.all ? " (all)" : "");
    return report;
}

} // namespace support

#endif
