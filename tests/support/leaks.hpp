// SPDX-License-Identifier: MIT
//
// What /proc says this process holds: descriptors and mappings, before and after.

#ifndef MMSTL_TESTS_SUPPORT_LEAKS_HPP
#define MMSTL_TESTS_SUPPORT_LEAKS_HPP

#include "support/catch.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include <dirent.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MMSTL_TESTS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define MMSTL_TESTS_SANITIZED 1
#endif
#endif
#ifndef MMSTL_TESTS_SANITIZED
#define MMSTL_TESTS_SANITIZED 0
#endif

namespace support {

/// The descriptors and mappings of this process at one moment.
///
/// Of mappings, those of files, memory files and shared memory are listed one by one. Private
/// memory without a file is malloc's and the stacks', so only its sum is kept.
class holdings {
public:
    static holdings now() {
        holdings all;
        all.list_descriptors();
        all.list_mappings();
        return all;
    }

    /// What `this` holds and `before` did not, a line each; empty when there is nothing.
    [[nodiscard]] std::string beyond(const holdings& before) const {
        // More than a heap takes by growing (a reservation that was left behind): the sanitizers'
        // heaps grow as they like.
        constexpr std::uint64_t growth_of_a_heap = std::uint64_t{64} << 20;
        std::string text = difference(before.descriptors_, descriptors_, "descriptor ") +
                           difference(before.mappings_, mappings_, "mapping ");
        if (!MMSTL_TESTS_SANITIZED && private_bytes_ > before.private_bytes_ + growth_of_a_heap)
            text += "private memory: " + std::to_string(private_bytes_ - before.private_bytes_) +
                    " bytes more\n";
        return text;
    }

private:
    static std::string difference(const std::vector<std::string>& before,
                                  const std::vector<std::string>& after, const char* what) {
        std::vector<std::string> more;
        std::ranges::set_difference(after, before, std::back_inserter(more));
        std::string text;
        for (const auto& one : more) text.append(what).append(one).append("\n");
        return text;
    }

    void list_descriptors() {
        ::DIR* const directory = ::opendir("/proc/self/fd");
        if (directory == nullptr) return;
        while (const ::dirent* const entry =
                   ::readdir(directory)) { // NOLINT(concurrency-mt-unsafe): own stream
            const int fd =
                std::atoi(entry->d_name); // NOLINT(cert-err34-c): "." is 0, and has no link
            if (entry->d_name[0] == '.' || fd == ::dirfd(directory)) continue;
            char target[512];
            const auto length =
                ::readlinkat(::dirfd(directory), entry->d_name, target, sizeof target);
            descriptors_.push_back(
                std::to_string(fd) + " -> " +
                std::string(target, length > 0 ? static_cast<std::size_t>(length) : 0));
        }
        ::closedir(directory);
        std::ranges::sort(descriptors_);
    }

    void list_mappings() {
        std::ifstream maps("/proc/self/maps");
        for (std::string line; std::getline(maps, line);) {
            std::istringstream fields(line);
            std::string range, permissions, offset, device, inode, path;
            fields >> range >> permissions >> offset >> device >> inode;
            std::getline(fields >> std::ws, path);
            if (inode == "0") {
                if (path.empty()) private_bytes_ += length_of(range);
            } else if (path.find(".so") ==
                       std::string::npos) { // libraries come when they are first needed
                mappings_.push_back(range + " " + permissions + " " + path);
            }
        }
        std::ranges::sort(mappings_);
    }

    static std::uint64_t length_of(const std::string& range) {
        char* dash = nullptr;
        const auto first = std::strtoull(range.c_str(), &dash, 16);
        return std::strtoull(dash + 1, nullptr, 16) - first;
    }

    std::vector<std::string> descriptors_;
    std::vector<std::string> mappings_;
    std::uint64_t private_bytes_ = 0;
};

/// Fails the test if at the end of the scope there are descriptors or mappings that were not there
/// at the beginning.
///
///     leak_check guard; // first in the scope, so that everything else is gone when it looks
class leak_check {
public:
    leak_check() : before_(holdings::now()) {}
    leak_check(const leak_check&) = delete;
    leak_check& operator=(const leak_check&) = delete;
    ~leak_check() { CHECK(leaked() == ""); }

    /// What there is now beyond what there was.
    [[nodiscard]] std::string leaked() const { return holdings::now().beyond(before_); }

private:
    holdings before_;
};

} // namespace support

#endif
