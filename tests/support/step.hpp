// SPDX-License-Identifier: MIT
//
// Single-step a forked child by ptrace(2), and kill it at every instruction of an operation.
//
// A step takes ten microseconds, and more in a virtual machine: who goes to many places in a long
// operation notes the way to each on a first walk (`route`), and takes it by a breakpoint (`run_to`).

#ifndef MMSTL_TESTS_SUPPORT_STEP_HPP
#define MMSTL_TESTS_SUPPORT_STEP_HPP

#include "support/catch.hpp"
#include "support/in_child.hpp"
#include "support/leaks.hpp"
#include "support/soak.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <system_error>
#include <unordered_map>
#include <utility>

#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

namespace support {

/// Where an operation is: behind the n-th time that it came to an instruction, so many steps further.
/// An `nth` of 0 is its beginning.
struct place {
    std::uintptr_t instruction = 0;
    std::uint32_t nth = 0;
    std::uint32_t then = 0;
};

/// A child that stands still at the beginning of an operation and goes through it one instruction
/// at a time.
class stepped_child {
public:
    enum class state : unsigned char {
        refused, ///< this machine does not allow ptrace
        inside,  ///< before or within the operation
        at_end,  ///< the operation is over
        dead,    ///< it ended by a signal or exited inside the operation, or failed before it
    };

    /// `prepare` runs at full speed before it.
    explicit stepped_child(const std::function<void()>& operation,
                           const std::function<void()>& prepare = {}) {
        std::fflush(nullptr);
        pid_ = ::fork();
        if (pid_ == -1) throw std::system_error(errno, std::system_category(), "fork");
        if (pid_ == 0) live(operation, prepare);
        // A signal that comes while it prepares stops it as well.
        bool is_there = reap();
        while (is_there && WIFSTOPPED(status_) && WSTOPSIG(status_) != SIGSTOP)
            is_there = ::ptrace(PTRACE_CONT, pid_, nullptr, WSTOPSIG(status_)) == 0 && reap();
        if (!is_there || !WIFSTOPPED(status_)) { // no first marker: it could not be traced
            const bool has_failed =
                WIFEXITED(status_) && WEXITSTATUS(status_) == exit_code_of_exception;
            state_ = has_failed ? state::dead : state::refused;
            pid_ = -1;
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
    /// All that is left of the operation, at full speed.
    void run_to_end() {
        while (state_ == state::inside) go(PTRACE_CONT);
    }

    /// Whether it can be told here where the child is: `next`, `run_to`, `is_system_call`.
    static constexpr bool knows_places =
#if defined(__x86_64__)
        true;
#else
        false;
#endif
    /// The address of the instruction that it would execute next.
    [[nodiscard]] std::uintptr_t next() const {
#if defined(__x86_64__)
        errno = 0;
        const long at =
            ::ptrace(PTRACE_PEEKUSER, pid_, offsetof(::user, regs.rip), nullptr); // 0 if it is dead
        return errno == 0 ? static_cast<std::uintptr_t>(at) : 0;
#else
        return 0;
#endif
    }
    /// Whether that is one which calls the kernel: a forked child has its parent's code.
    static bool is_system_call([[maybe_unused]] std::uintptr_t instruction) {
#if defined(__x86_64__)
        if (instruction == 0) return false;
        const auto* const code =
            reinterpret_cast<const unsigned char*>(instruction); // NOLINT: of a register
        return code[0] == 0x0f && code[1] == 0x05;
#else
        return false;
#endif
    }
    /// Whether the system call has failed that it has just come back from.
    [[nodiscard]] bool has_failed() const {
#if defined(__x86_64__)
        const long result = ::ptrace(PTRACE_PEEKUSER, pid_, offsetof(::user, regs.rax), nullptr);
        return result < 0 && result > -4096;
#else
        return false;
#endif
    }
    /// From the beginning. False if it does not get there: the operation ends before, or there can be
    /// no breakpoint.
    bool run_to(const place& where) {
        for (std::uint32_t i = 0; i < where.nth && state_ == state::inside; ++i) {
            if (i != 0) leave(where.instruction);
            if (!run_to_breakpoint(where.instruction)) return false;
        }
        for (std::uint32_t i = 0; i < where.then && state_ == state::inside; ++i) step();
        return state_ != state::dead;
    }

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

    /// Past the instruction that it stands before: all of it, if it is a string instruction.
    void leave(std::uintptr_t instruction) {
        do step();
        while (state_ == state::inside && next() == instruction);
    }

    /// To where it is about to execute the instruction. False if it ends before, or there can be no
    /// breakpoint: the instruction int3 in its place, in a copy of the code that is the child's own.
    /// (The debug registers of virtual processors may do nothing.)
    bool run_to_breakpoint([[maybe_unused]] std::uintptr_t instruction) {
#if defined(__x86_64__)
        // Of the word that it begins in, which is all in one page.
        const auto word_at = instruction / sizeof(long) * sizeof(long);
        const auto shift = instruction % sizeof(long) * 8;
        errno = 0;
        const long word = ::ptrace(PTRACE_PEEKTEXT, pid_, word_at, nullptr);
        if (errno != 0) return false;
        const auto bits = static_cast<unsigned long>(word);
        const auto planted = (bits & ~(0xffUL << shift)) | 0xccUL << shift;
        if (::ptrace(PTRACE_POKETEXT, pid_, word_at, planted) != 0) return false;
        do go(PTRACE_CONT);
        while (state_ == state::inside && pending_ != 0); // a signal, which it is to have
        return state_ == state::inside && ::ptrace(PTRACE_POKETEXT, pid_, word_at, word) == 0 &&
               next() == instruction + 1 &&
               ::ptrace(PTRACE_POKEUSER, pid_, offsetof(::user, regs.rip), instruction) == 0;
#else
        return false;
#endif
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

/// The shortest way to where a stepped child is.
class route {
public:
    /// Tell it of each instruction before it is executed, from the first on.
    [[nodiscard]] place to(std::uintptr_t next) {
        if (const bool is_first = n_.empty(); is_first) {
            n_[next] = 1; // a breakpoint there is hit at once
        } else {
            ++best_.then;
            ++cost_;
            // A string instruction is one for a breakpoint, and many steps.
            if (next != last_)
                if (const auto nth = ++n_[next]; 2 * nth - 1 <= cost_) {
                    best_ = {next, nth, 0};
                    cost_ = 2 * nth - 1; // between two there is a step
                }
        }
        last_ = next;
        return best_;
    }

private:
    std::unordered_map<std::uintptr_t, std::uint32_t> n_;
    std::uintptr_t last_ = 0;
    place best_;
    std::uint32_t cost_ = 0; ///< how often the child has to be stopped on the way
};

/// What a walk through an operation covered.
struct step_report {
    bool allowed = false; ///< false: ptrace was refused, nothing was tested
    long steps = 0;       ///< instructions of the operation, with the way in and out
    long kills = 0;
    bool all = false; ///< killed at every instruction, not at some of them
};

/// Counts the instructions of `operation`, run in a child, or how often it stops by another `step`.
inline step_report single_step(const std::function<void()>& operation,
                               void (stepped_child::*step)() = &stepped_child::step) {
    step_report report;
    stepped_child walker(operation);
    if (walker.now() == stepped_child::state::refused) return report;
    report.allowed = true;
    for (; walker.now() == stepped_child::state::inside; ++report.steps) (walker.*step)();
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
/// and says so aloud. Of what a sanitizer has made, where nearly all instructions are its own, it is
/// killed before and after each system call instead.
template <class Setup, class Operation, class Check>
step_report kill_at_every_instruction(const std::string& title, Setup setup, Operation operation,
                                      Check check, long budget = 200'000) {
    constexpr auto step =
        MMSTL_TESTS_SANITIZED ? &stepped_child::step_to_call : &stepped_child::step;
    auto first = setup();
    auto report = single_step([&] { operation(first); }, step);
    if (!report.allowed) {
        skip_loudly(title + ": ptrace is not allowed here");
        return report;
    }
    check(first, report.steps);
    const long all_steps = report.steps * (report.steps + 1) / 2; // of a walk to each of them
    const long stride = std::max(1L, all_steps / soaked(budget));
    report.all = stride == 1 && !MMSTL_TESTS_SANITIZED;
    for (long k = 0; k <= report.steps;
         k = k == report.steps ? k + 1 : std::min(k + stride, report.steps)) {
        auto state = setup();
        {
            stepped_child walker([&] { operation(state); });
            for (long i = 0; i < k && walker.now() == stepped_child::state::inside; ++i)
                (walker.*step)();
            walker.kill();
        }
        ++report.kills;
        INFO("killed after instruction " << k << " of " << report.steps);
        check(state, k);
    }
    std::printf("%s: %ld %s, killed at %ld of them%s\n", title.c_str(), report.steps,
                MMSTL_TESTS_SANITIZED ? "beginnings and ends of calls" : "instructions",
                report.kills, report.all ? " (all)" : "");
    return report;
}

} // namespace support

#endif
