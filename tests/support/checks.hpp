// SPDX-License-Identifier: MIT
//
// What the tests of the headers check with: errors as values, every backing, children without
// privileges, full disks.

#ifndef MMSTL_TESTS_SUPPORT_CHECKS_HPP
#define MMSTL_TESTS_SUPPORT_CHECKS_HPP

#include "support/catch.hpp"
#include "support/in_child.hpp"
#include "support/temporary.hpp"

#include <mmstl/backing.hpp>
#include <mmstl/error.hpp>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <ostream>
#include <string>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

namespace support {

inline std::size_t page_size() { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

inline constexpr auto read_write = mmstl::access::read_write;
inline constexpr auto read_only = mmstl::access::read_only;
inline constexpr auto copy_on_write = mmstl::access::copy_on_write;

// ---- errors as values ----

/// What a mapping_error said.
struct said {
    std::error_code code{};
    std::string call{};
    std::string path{};

    friend bool operator==(const said&, const said&) = default;
    friend std::ostream& operator<<(std::ostream& out, const said& e) {
        if (!e.code) return out << "no error";
        return out << e.call << " '" << e.path << "': " << e.code << " (" << e.code.message()
                   << ")";
    }
};

inline said says(int error, std::string call, std::string path) {
    return {std::error_code(error, std::system_category()), std::move(call), std::move(path)};
}
inline said says(mmstl::errc code, std::string call, std::string path) {
    return {make_error_code(code), std::move(call), std::move(path)};
}

/// The error that `function` throws; no error if it does not. Any other exception passes.
template <class Function> said error_of(Function function) {
    try {
        function();
    } catch (const mmstl::mapping_error& e) {
        return {e.code(), e.call(), e.path()};
    }
    return {};
}

// ---- children ----

/// Runs `function` in a child, and checks that it ends well (and says whether it did). There,
/// `expect` takes the place of CHECK.
template <class Function> bool check_in_child(Function function) {
    const auto result = in_child(std::move(function));
    INFO(result);
    CHECK(result.ok());
    return result.ok();
}

/// Becomes a user without privileges, for whom permissions count.
inline void become_nobody() {
    if (::getuid() != 0) return;
    expect(::setgid(65534) == 0 && ::setuid(65534) == 0, "setuid");
}

/// Runs `function(directory)` in a child, with a file system of `size_bytes` that only it sees.
template <class Function> void check_on_small_disk(std::size_t size_bytes, Function function) {
    constexpr int not_allowed = 77;
    const temporary_directory directory;
    const auto result = in_child([&] {
        const auto options = "size=" + std::to_string(size_bytes);
        if (::unshare(CLONE_NEWNS) != 0 ||
            ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
            ::mount("tmpfs", directory.path().c_str(), "tmpfs", 0, options.c_str()) != 0)
            return not_allowed;
        function(directory);
        return 0;
    });
    if (result.exit_code == not_allowed) return skip_loudly("no file system can be mounted here");
    INFO(result);
    CHECK(result.ok());
}

// ---- every backing ----

enum class kind : unsigned char {
    file,
    temporary_file,
    shared_memory,
    memory_file,
    anonymous,
    borrowed_fd
};

inline std::ostream& operator<<(std::ostream& out, kind which) {
    constexpr const char* names[] = {"file",        "temporary_file", "shared_memory",
                                     "memory_file", "anonymous",      "borrowed_fd"};
    return out << names[static_cast<unsigned>(which)];
}

/// All of them, for GENERATE.
inline auto every_kind() {
    return GENERATE(kind::file, kind::temporary_file, kind::shared_memory, kind::memory_file,
                    kind::anonymous, kind::borrowed_fd);
}
inline bool is_fresh(kind which) {
    return which == kind::temporary_file || which == kind::memory_file || which == kind::anonymous;
}
inline bool has_name(kind which) { return which == kind::file || which == kind::shared_memory; }

/// One backing of a kind, with all that it needs, cleaned up at the end.
class sample {
public:
    explicit sample(kind which) : kind_(which) {
        if (which == kind::borrowed_fd) fd_ = ::memfd_create("borrowed", MFD_CLOEXEC);
    }
    sample(const sample&) = delete;
    sample& operator=(const sample&) = delete;
    ~sample() {
        if (fd_ != -1) ::close(fd_);
    }

    [[nodiscard]] mmstl::backing backing() const {
        switch (kind_) {
        case kind::file: return mmstl::file(directory_ / "sample");
        case kind::temporary_file: return mmstl::temporary_file(directory_.path());
        case kind::shared_memory: return mmstl::shared_memory(name_.text());
        case kind::memory_file: return mmstl::memory_file("sample");
        case kind::anonymous: return mmstl::anonymous();
        case kind::borrowed_fd: break;
        }
        return mmstl::borrowed_fd(fd_);
    }

    /// The backing, `size_bytes` long if it is one that keeps a length (every kind that is not
    /// fresh).
    [[nodiscard]] mmstl::backing backing_of(std::uint64_t size_bytes) const {
        auto made = backing();
        if (kind_ == kind::borrowed_fd) {
            REQUIRE(::ftruncate(fd_, static_cast<::off_t>(size_bytes)) == 0);
        } else if (has_name(kind_)) {
            made.open_or_create().resize(size_bytes);
        }
        return made;
    }

private:
    kind kind_;
    temporary_directory directory_;
    shared_memory_name name_;
    int fd_ = -1;
};

} // namespace support

#endif
