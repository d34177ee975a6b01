// SPDX-License-Identifier: MIT
//
// The few owners of descriptors and raw mappings that arms and harness share.

#ifndef MMSTL_BENCHMARKS_POSIX_HPP
#define MMSTL_BENCHMARKS_POSIX_HPP

#include <cerrno>
#include <cstddef>
#include <fcntl.h>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace bench {

[[noreturn]] inline void fail(const char* call, const std::string& path) {
    throw std::system_error(errno, std::system_category(), std::string(call) + ": " + path);
}

/// Touches that much memory and lets it go. Free memory of a virtual machine may be the host's
/// until it is touched, and then costs ten times as much: whoever measures the filling of new
/// memory calls this just before.
inline void claim_free_memory(std::size_t bytes) {
    void* const at =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) fail("mmap", "");
    ::madvise(at, bytes, MADV_HUGEPAGE);
    auto* const pages = static_cast<volatile char*>(at);
    for (std::size_t i = 0; i < bytes; i += 4096) pages[i] = 1;
    ::munmap(at, bytes);
}

class descriptor {
public:
    explicit descriptor(const std::string& path, int flags = O_RDONLY, mode_t permissions = 0600)
        : fd_(::open(path.c_str(), flags | O_CLOEXEC, permissions)) {
        if (fd_ < 0) fail("open", path);
    }
    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;
    ~descriptor() { ::close(fd_); }

    [[nodiscard]] int get() const noexcept { return fd_; }

    [[nodiscard]] std::size_t size_bytes() const {
        struct stat status {};
        if (::fstat(fd_, &status) != 0) fail("fstat", "");
        return static_cast<std::size_t>(status.st_size);
    }

    /// Fills `to` from the current position; shorter only at the end of the file.
    std::size_t read(void* to, std::size_t bytes) const {
        const ssize_t got = ::read(fd_, to, bytes);
        if (got < 0) fail("read", "");
        return static_cast<std::size_t>(got);
    }

    std::size_t pread(void* to, std::size_t bytes, std::size_t offset) const {
        const ssize_t got = ::pread(fd_, to, bytes, static_cast<off_t>(offset));
        if (got < 0) fail("pread", "");
        return static_cast<std::size_t>(got);
    }

private:
    int fd_;
};

/// What anyone writes by hand: open, fstat, mmap, close. An empty file maps to nothing.
class raw_mapping {
public:
    explicit raw_mapping(const std::string& path) : raw_mapping(descriptor(path), path) {}
    /// Of a file that is open; `path` is for the message of an error.
    raw_mapping(const descriptor& file, const std::string& path, int protection = PROT_READ,
                int kind = MAP_SHARED)
        : size_(file.size_bytes()) {
        if (size_ == 0) return;
        data_ = ::mmap(nullptr, size_, protection, kind, file.get(), 0);
        if (data_ == MAP_FAILED) fail("mmap", path);
    }
    raw_mapping(const raw_mapping&) = delete;
    raw_mapping& operator=(const raw_mapping&) = delete;
    ~raw_mapping() {
        if (size_ != 0) ::munmap(data_, size_);
    }

    [[nodiscard]] void* data() const noexcept { return data_; }
    [[nodiscard]] std::size_t size_bytes() const noexcept { return size_; }

private:
    void* data_ = nullptr;
    std::size_t size_ = 0;
};

} // namespace bench

#endif // MMSTL_BENCHMARKS_POSIX_HPP
