// SPDX-License-Identifier: MIT
//
// Run a function in a forked child and report how it ended: for death tests, shared memory and
// crashes.

#ifndef MMSTL_TESTS_SUPPORT_IN_CHILD_HPP
#define MMSTL_TESTS_SUPPORT_IN_CHILD_HPP

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <ostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>

#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace support {

/// How a child is made. The handlers of pthread_atfork(3) run for the first alone.
enum class forking : unsigned char {
    fork,
    without_handlers, ///< _Fork(3)
    raw_clone,        ///< the system call, of which the C library hears nothing either
};

inline constexpr std::array every_forking{forking::fork, forking::without_handlers,
                                          forking::raw_clone};

inline std::ostream& operator<<(std::ostream& out, forking how) {
    constexpr const char* names[] = {"fork", "_Fork", "raw clone"};
    return out << names[static_cast<unsigned>(how)];
}

/// As fork(2) returns.
inline ::pid_t fork_by(forking how) noexcept {
    switch (how) {
    case forking::fork: return ::fork();
    case forking::without_handlers:
#if defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 34)
        return ::_Fork();
#endif
#endif
    case forking::raw_clone: break;
    }
    return static_cast<::pid_t>(::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr));
}

/// The exit code of a child that an exception left.
inline constexpr int exit_code_of_exception = 113;

/// How a child ended.
struct child_result {
    int exit_code = -1; ///< -1 if a signal ended it
    int signal = 0;     ///< 0 if it exited
    bool timed_out = false;
    std::string message; ///< what() of the exception, if there was one

    [[nodiscard]] bool ok() const noexcept { return exit_code == 0; }

    friend std::ostream& operator<<(std::ostream& out, const child_result& result) {
        if (result.timed_out) return out << "child timed out and was killed";
        if (result.signal != 0)
            return out << "child killed by signal " << result.signal << " ("
                       << ::strsignal(result.signal) << ")";
        out << "child exited with " << result.exit_code;
        return result.message.empty() ? out : out << ": " << result.message;
    }
};

/// The REQUIRE of children, where Catch2 cannot report: throws with `what` and the line.
inline void expect(bool holds, std::string_view what = "an expectation of the child",
                   int line = __builtin_LINE()) {
    if (!holds)
        throw std::runtime_error("line " + std::to_string(line) + ": not so: " + std::string(what));
}

namespace detail {

/// Where a child writes the text of its exception; shared with the parent.
class message_page {
public:
    message_page()
        : text_(static_cast<char*>(
              ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {
        if (text_ == static_cast<void*>(MAP_FAILED))
            throw std::bad_alloc(); // NOLINT: the macro casts
    }
    message_page(message_page&& other) noexcept : text_(std::exchange(other.text_, nullptr)) {}
    message_page& operator=(message_page&&) = delete;
    ~message_page() {
        if (text_ != nullptr) ::munmap(text_, size);
    }

    void set(const char* text) noexcept { std::strncpy(text_, text, size - 1); }
    [[nodiscard]] std::string get() const { return text_; }

private:
    static constexpr std::size_t size = 4096;
    char* text_;
};

/// A child dies as the kernel says: no reporter of the test framework, no core file, no outliving
/// its parent.
inline void become_plain_process() noexcept {
    for (const int number :
         {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTERM, SIGINT, SIGXFSZ, SIGPIPE})
        std::signal(number, SIG_DFL);
    const ::rlimit none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/// Runs `function` as the whole life of a child. Nothing of the parent's runs at the end: neither
/// atexit nor destructors.
template <class Function>
[[noreturn]] void live(Function& function, message_page& message) noexcept {
    become_plain_process();
    int code = 0;
    try {
        if constexpr (std::is_void_v<std::invoke_result_t<Function&>>)
            function();
        else
            code = static_cast<int>(function());
    } catch (const std::exception& e) {
        message.set(e.what());
        code = exit_code_of_exception;
    } catch (...) {
        message.set("no std::exception");
        code = exit_code_of_exception;
    }
    std::fflush(nullptr);
    ::_exit(code);
}

} // namespace detail

/// Of a child: leaves nothing in /proc, for this process alone. False where that is not allowed.
inline bool hide_proc() {
    return ::unshare(CLONE_NEWNS) == 0 &&
           ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
           ::mount("tmpfs", "/proc", "tmpfs", 0, nullptr) == 0;
}

/// A forked child that runs a function, in parallel with its parent. Killed if still alive when
/// this ends.
///
/// The exit code is what the function returns, 0 if it returns void, `exit_code_of_exception` if it
/// throws.
class child {
public:
    template <class Function>
        requires std::is_invocable_v<Function&>
    explicit child(Function function, forking how = forking::fork) {
        std::fflush(nullptr); // or both would print what is pending
        pid_ = fork_by(how);
        if (pid_ == -1) throw std::system_error(errno, std::system_category(), "fork");
        if (pid_ == 0) detail::live(function, message_);
    }
    child(child&& other) noexcept
        : message_(std::move(other.message_)), pid_(std::exchange(other.pid_, -1)) {}
    child& operator=(child&&) = delete;
    ~child() {
        if (pid_ == -1) return;
        kill();
        ::waitpid(pid_, nullptr, 0);
    }

    [[nodiscard]] ::pid_t pid() const noexcept { return pid_; }
    void kill(int signal = SIGKILL) const noexcept { ::kill(pid_, signal); }

    /// Waits for its end, and after `limit` kills it.
    child_result wait(std::chrono::milliseconds limit = std::chrono::seconds(60)) {
        using namespace std::chrono;
        child_result result;
        int status = 0;
        const auto end = steady_clock::now() + limit;
        for (auto pause = microseconds(20);;
             pause = std::min<microseconds>(2 * pause, milliseconds(2))) {
            const auto reaped = ::waitpid(pid_, &status, result.timed_out ? 0 : WNOHANG);
            if (reaped == pid_) break;
            if (reaped == -1 && errno != EINTR)
                throw std::system_error(errno, std::system_category(), "waitpid");
            if (!result.timed_out && steady_clock::now() >= end) {
                result.timed_out = true;
                kill();
            } else {
                std::this_thread::sleep_for(pause);
            }
        }
        pid_ = -1;
        if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
        if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
        result.message = message_.get();
        return result;
    }

private:
    detail::message_page message_;
    ::pid_t pid_ = -1;
};

/// Runs `function` in a child and waits for its end.
template <class Function>
child_result in_child(Function function,
                      std::chrono::milliseconds limit = std::chrono::seconds(60)) {
    return child(std::move(function)).wait(limit);
}

} // namespace support

#endif
