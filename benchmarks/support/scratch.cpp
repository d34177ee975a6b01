// SPDX-License-Identifier: MIT
//
// A private directory that is gone when the suite ends, however it ends.

#include "scratch.hpp"

#include "format.hpp"
#include "limited_memory.hpp"
#include "posix.hpp"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <stdexcept>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

namespace bench {

std::uint64_t free_bytes(const std::string& directory) {
    struct statvfs status {};
    if (::statvfs(directory.c_str(), &status) != 0) fail("statvfs", directory);
    return std::uint64_t{status.f_bavail} * status.f_frsize;
}

void demand_free_bytes(const std::string& directory, std::uint64_t needed) {
    const std::uint64_t free = free_bytes(directory);
    if (free < needed)
        throw std::runtime_error(
            fmt::format("{}: {} are needed and {} are free; choose another directory with --dir",
                        directory, format_bytes(needed), format_bytes(free)));
}

int run_in_scratch_directory(const std::string& parent_directory,
                             const std::function<int(const std::string&)>& suite) {
    sigset_t awaited;
    sigset_t previous;
    ::sigemptyset(&awaited);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) ::sigaddset(&awaited, signal);
    ::sigprocmask(SIG_BLOCK, &awaited, &previous);

    std::string directory = parent_directory + "/mmstl-benchmarks-XXXXXX";
    if (::mkdtemp(directory.data()) == nullptr) fail("mkdtemp", directory);

    const pid_t parent = ::getpid();
    const pid_t child = ::fork();
    if (child < 0) {
        ::rmdir(directory.c_str());
        fail("fork", directory);
    }
    if (child == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (::getppid() != parent) ::_exit(1);
        ::sigprocmask(SIG_SETMASK, &previous, nullptr);
        const int status = suite(directory);
        (void)std::fflush(nullptr);
        ::_exit(status);
    }

    int status = 0;
    int received = 0;
    while (::waitpid(child, &status, WNOHANG) == 0) {
        int signal = 0;
        ::sigwait(&awaited, &signal);
        if (signal == SIGCHLD) continue;
        received = signal;
        ::kill(child, SIGTERM);
    }
    limited_memory::clean_up_after(child);
    std::error_code ignored;
    std::filesystem::remove_all(directory, ignored);

    // End as the child did, so that a shell sees the signal.
    if (received == 0 && WIFSIGNALED(status)) received = WTERMSIG(status);
    if (received != 0) {
        (void)std::signal(received, SIG_DFL);
        ::sigprocmask(SIG_SETMASK, &previous, nullptr);
        (void)::raise(received);
        return 128 + received;
    }
    return WEXITSTATUS(status);
}

} // namespace bench
