// SPDX-License-Identifier: MIT
//
// What the processor refuses, and what is gone: SIGSEGV for a page that may not be touched like
// that, SIGBUS for a page that the file does not have any more. Children do what must not be done.

#include <mmstl.hpp>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <system_error>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

// What becomes of a child that does that.
template <class Deed> const char* outcome(Deed deed) {
    const pid_t child = fork();
    if (child == -1) throw std::system_error(errno, std::system_category(), "fork");
    if (child == 0) {
        const rlimit no_core{0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        std::signal(SIGSEGV, SIG_DFL); // sanitizers have handlers of their own
        std::signal(SIGBUS, SIG_DFL);
        deed();
        _exit(0);
    }
    int status = 0;
    while (waitpid(child, &status, 0) == -1)
        if (errno != EINTR) throw std::system_error(errno, std::system_category(), "waitpid");
    if (!WIFSIGNALED(status)) return "fine";
    return WTERMSIG(status) == SIGSEGV  ? "SIGSEGV"
           : WTERMSIG(status) == SIGBUS ? "SIGBUS"
                                        : "another signal";
}

// That no compiler leaves away.
void load(const std::byte* from) {
    [[maybe_unused]] const auto loaded = *static_cast<const volatile std::byte*>(from);
}
void store(std::byte* to) { *static_cast<volatile std::byte*>(to) = std::byte{1}; }

void run(const char* path) {
    mmstl::mapped_span<char>::create(path, 1000).close();
    mmstl::mapping bytes(path, {.access = mmstl::access::read_write});
    std::byte* const first = bytes.writable_data();
    std::printf("a store to a page for reading and writing: %s\n", outcome([&] { store(first); }));

    bytes.protect(mmstl::access::read_only);
    std::printf("a store to a page for reading: %s\n", outcome([&] { store(first); }));
    std::printf("a load from it: %s\n", outcome([&] { load(first); }));

    bytes.protect(mmstl::access::none);
    std::printf("a load from a page for nothing: %s\n", outcome([&] { load(first); }));
    bytes.protect(mmstl::access::read_write);

    mmstl::mapping reader(path); // opens the file for reading
    try {
        reader.protect(mmstl::access::read_write);
    } catch (const mmstl::mapping_error& e) {
        if (e.code() == std::errc::permission_denied) std::printf("not by this mapping\n");
    }

    std::printf("readable: %s\n", bytes.readable() ? "yes" : "no");
    std::filesystem::resize_file(path, 0); // by whomever
    std::printf("readable, of a file that was made shorter: %s\n", bytes.readable() ? "yes" : "no");
    std::printf("a load from it all the same: %s\n", outcome([&] { load(first); }));
}

} // namespace

int main() {
    try {
        std::setvbuf(stdout, nullptr, _IOLBF, 0); // nothing for the children to print again
        run("protected.bin");
        mmstl::file("protected.bin").remove();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
