// SPDX-License-Identifier: MIT
//
// Files, directories and shared memory names that go away with the test.

#ifndef MMSTL_TESTS_SUPPORT_TEMPORARY_HPP
#define MMSTL_TESTS_SUPPORT_TEMPORARY_HPP

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <ios>
#include <iterator>
#include <ranges>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

namespace support {

/// An empty directory on a disk ($TMPDIR, or /var/tmp: /tmp may be memory), removed with all that
/// is in it.
class temporary_directory {
public:
    temporary_directory() {
        const char* const chosen =
            std::getenv("TMPDIR"); // NOLINT(concurrency-mt-unsafe): nobody sets it
        std::string name = std::string(chosen != nullptr && *chosen != '\0' ? chosen : "/var/tmp") +
                           "/mmstl-test-XXXXXX";
        if (::mkdtemp(name.data()) == nullptr)
            throw std::system_error(errno, std::system_category(), name);
        path_ = name;
    }
    temporary_directory(const temporary_directory&) = delete;
    temporary_directory& operator=(const temporary_directory&) = delete;
    ~temporary_directory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
    /// The path of `name` in the directory.
    [[nodiscard]] std::string operator/(std::string_view name) const {
        return (path_ / name).string();
    }

private:
    std::filesystem::path path_;
};

/// Makes the file hold exactly these characters.
inline void write_file(const std::string& path, std::string_view characters) {
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    out.write(characters.data(), static_cast<std::streamsize>(characters.size()));
    if (!out.flush()) throw std::runtime_error("cannot write " + path);
}

/// Makes the file hold exactly the bytes of these elements.
template <std::ranges::contiguous_range Elements>
    requires(!std::is_convertible_v<const Elements&, std::string_view>)
void write_file(const std::string& path, const Elements& elements) {
    const auto bytes = std::as_bytes(std::span(elements));
    write_file(path, std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

/// All characters of the file.
inline std::string read_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) throw std::runtime_error("cannot read " + path);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

/// The file's bytes as elements.
template <class T> std::vector<T> read_file_of(const std::string& path) {
    const auto bytes = read_file(path);
    std::vector<T> elements(bytes.size() / sizeof(T));
    bytes.copy(reinterpret_cast<char*>(elements.data()), elements.size() * sizeof(T));
    return elements;
}

/// A name for shared memory that nobody else uses; unlinked at the end, in the process that made
/// it.
class shared_memory_name {
public:
    shared_memory_name() : owner_(::getpid()) {
        static std::atomic<unsigned> count{0};
        text_ = "/mmstl-test-" + std::to_string(owner_) + "-" + std::to_string(++count);
    }
    shared_memory_name(const shared_memory_name&) = delete;
    shared_memory_name& operator=(const shared_memory_name&) = delete;
    ~shared_memory_name() {
        if (::getpid() == owner_) ::shm_unlink(text_.c_str());
    }

    [[nodiscard]] const std::string& text() const noexcept { return text_; }
    operator const std::string&() const noexcept {
        return text_;
    } // so that it is a path to the library

private:
    ::pid_t owner_;
    std::string text_;
};

} // namespace support

#endif
