// SPDX-License-Identifier: MIT
//
// Where read() has an answer and a mapping has none: what has no pages, what has no length, what gets
// shorter or longer, what is replaced.

#include <mmstl.hpp>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

const char* yes_or_no(bool answer) { return answer ? "yes" : "no"; }

[[noreturn]] void fail(const char* call) {
    throw std::system_error(errno, std::system_category(), call);
}

// A descriptor that is closed in the end.
class descriptor {
public:
    explicit descriptor(const char* path, int flags = O_RDONLY)
        : fd_(open(path, flags | O_CLOEXEC, 0600)) {
        if (fd_ == -1) fail("open");
    }
    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;
    ~descriptor() { close(fd_); }
    [[nodiscard]] int get() const noexcept { return fd_; }

private:
    int fd_;
};

// What comes next, as far as there is anything.
std::string read_some(const descriptor& from) {
    std::array<char, 4096> buffer{};
    const ssize_t got = read(from.get(), buffer.data(), buffer.size());
    if (got == -1) fail("read");
    return {buffer.data(), static_cast<std::size_t>(got)};
}

void write_all(const descriptor& to, std::string_view text) {
    if (write(to.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
        fail("write");
}

void make(const char* path, std::string_view text) {
    write_all(descriptor(path, O_WRONLY | O_CREAT | O_TRUNC), text);
}

// What becomes of a child that does that.
template <class Deed> const char* outcome(Deed deed) {
    const pid_t child = fork();
    if (child == -1) fail("fork");
    if (child == 0) {
        const rlimit no_core{0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        std::signal(SIGBUS, SIG_DFL); // sanitizers have handlers of their own
        deed();
        _exit(0);
    }
    int status = 0;
    while (waitpid(child, &status, 0) == -1)
        if (errno != EINTR) fail("waitpid");
    if (!WIFSIGNALED(status)) return "fine";
    return WTERMSIG(status) == SIGBUS ? "SIGBUS" : "another signal";
}

// That no compiler leaves away.
void load(const char& from) {
    [[maybe_unused]] const char loaded = *static_cast<const volatile char*>(&from);
}

void no_pages(const char* path) {
    if (mkfifo(path, 0600) == -1) fail("mkfifo");
    const descriptor both_ends(path, O_RDWR);
    write_all(both_ends, "hello");
    try {
        const mmstl::mapped_span<const char> text(path);
    } catch (const mmstl::mapping_error& e) {
        if (e.code() == mmstl::errc::not_mappable) std::printf("a FIFO cannot be mapped\n");
    }
    std::printf("read() from it: %s\n", read_some(both_ends).c_str());
}

// The kernel makes the text when it is read, and says before that there is none.
void no_length() {
    const mmstl::mapped_span<const char> nothing("/proc/self/status");
    const descriptor status("/proc/self/status");
    std::printf("a file of /proc has bytes, mapped: %s, read: %s\n", yes_or_no(!nothing.empty()),
                yes_or_no(!read_some(status).empty()));
}

void gets_shorter(const char* path) {
    make(path, "some lines\n");
    const mmstl::mapped_span<const char> mapped(path);
    const mmstl::mapped_span<const char> copy(
        path, {.copy_below_bytes = mmstl::recommended_copy_below_bytes});
    const descriptor file(path);

    std::filesystem::resize_file(path, 0); // by whomever
    std::printf("cut short: read() has %zu bytes, and no error\n", read_some(file).size());
    std::printf("the mapping still says that it has %zu, readable: %s\n", mapped.size(),
                yes_or_no(mapped.readable()));
    std::printf("a load from it: %s\n", outcome([&] { load(mapped[0]); }));
    std::printf("a copy has %zu, a load from it: %s\n", copy.size(),
                outcome([&] { load(copy[0]); }));

    try {
        const mmstl::mapped_span<const char> again(path, {.count = 11});
    } catch (const mmstl::mapping_error& e) {
        if (e.code() == mmstl::errc::past_the_end)
            std::printf("to map it again: asked for %zu bytes, there are %zu\n",
                        static_cast<std::size_t>(e.asked_bytes()),
                        static_cast<std::size_t>(e.available_bytes()));
    }
}

void gets_longer(const char* path) {
    make(path, "one\n");
    mmstl::mapped_span<const char> mapped(path);
    const descriptor file(path);
    read_some(file);

    write_all(descriptor(path, O_WRONLY | O_APPEND), "two\n");
    std::printf("appended: read() goes on with %zu bytes\n", read_some(file).size());
    std::printf("the mapping has %zu", mapped.size());
    mapped.refresh();
    std::printf(", after refresh() %zu\n", mapped.size());
}

void is_replaced(const char* path) {
    make(path, "old");
    mmstl::mapped_span<const char> mapped(path);
    make("new.txt", "new");
    std::filesystem::rename("new.txt", path);
    std::printf("replaced: the mapping has the %.3s file", mapped.data());
    try {
        mapped.refresh();
    } catch (const mmstl::mapping_error& e) {
        if (e.code() == mmstl::errc::replaced) std::printf(", and refresh() says so");
    }
    std::printf("\n");
}

} // namespace

int main() {
    try {
        std::setvbuf(stdout, nullptr, _IOLBF, 0); // nothing for the children to print again
        no_pages("fifo");
        no_length();
        gets_shorter("lines.txt");
        gets_longer("lines.txt");
        is_replaced("lines.txt");
        for (const char* name : {"fifo", "lines.txt"}) mmstl::file(name).remove();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
