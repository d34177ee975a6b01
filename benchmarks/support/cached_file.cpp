// SPDX-License-Identifier: MIT
//
// A file whose state in the page cache is brought about on purpose and then verified.

#include "cached_file.hpp"

#include "posix.hpp"
#include "random.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <thread>
#include <vector>

namespace bench {

const char* name(cache_state state) noexcept {
    switch (state) {
    case cache_state::read_ahead: return "warm";
    case cache_state::small_pieces: return "warm, small folios";
    case cache_state::cold: return "cold";
    case cache_state::unknown: break;
    }
    return "unknown";
}

const char* describe(cache_state state) noexcept {
    switch (state) {
    case cache_state::read_ahead: return "warm: evicted, then read through once by read()";
    case cache_state::small_pieces: return "warm: evicted, then written in pieces of 8 KiB";
    case cache_state::cold:
        return "cold: fsync, then POSIX_FADV_DONTNEED before each run. It is the page cache of "
               "this "
               "(guest) kernel\n              that is empty: a host or a disk may still hold the "
               "file";
    case cache_state::unknown: break;
    }
    return "whatever it is";
}

std::optional<std::size_t> resident_pages(const std::string& path) {
    const raw_mapping map(path);
    if (map.size_bytes() == 0) return 0;
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) fail("stat", path);
    const bool believable =
        status.st_uid == ::geteuid() || ::geteuid() == 0 || ::access(path.c_str(), W_OK) == 0;
    if (!believable) return std::nullopt;

    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    std::vector<unsigned char> pages((map.size_bytes() + page - 1) / page);
    if (::mincore(map.data(), map.size_bytes(), pages.data()) != 0) fail("mincore", path);
    return static_cast<std::size_t>(
        std::ranges::count_if(pages, [](unsigned char p) { return (p & 1) != 0; }));
}

void cached_file::create() {
    if (made_) return;
    write_contents(std::size_t{1} << 20);
    made_ = true;
}

void cached_file::ensure(cache_state state) {
    create();
    if (state_ == state && is_in(state)) return;
    state_ = cache_state::unknown;

    // The kernel may hold on to a page for a moment (write-back, per-CPU lists): ask a few times.
    for (int attempt = 0; attempt < 5; ++attempt) {
        if (attempt > 0) std::this_thread::sleep_for(std::chrono::milliseconds(20 * attempt));
        evict();
        if (!is_in(cache_state::cold)) continue;
        if (state == cache_state::small_pieces) {
            write_contents(8192);
            write_back(); // in the background it would disturb what is measured next
        }
        if (state == cache_state::read_ahead) read_through();
        if (!is_in(state)) continue;
        // After a cold run nobody knows how the pages came in, so cold is never taken on trust.
        if (state != cache_state::cold) state_ = state;
        return;
    }
    throw std::runtime_error(
        path_ + ": could not be brought into the state \"" + name(state) + "\": " +
        (state == cache_state::cold ? "the kernel keeps its pages (tmpfs always does)"
                                    : "its pages do not stay in the cache"));
}

bool cached_file::is_in(cache_state state) {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const auto resident = resident_pages(path_);
    verified_ = resident.has_value();
    const std::size_t wanted = state == cache_state::cold ? 0 : (size_bytes_ + page - 1) / page;
    return resident.value_or(wanted) == wanted;
}

void cached_file::write_contents(std::size_t piece_bytes) {
    const descriptor file(path_, O_WRONLY | O_CREAT);
    std::vector<std::uint64_t> piece(piece_bytes / sizeof(std::uint64_t));
    for (std::size_t offset = 0; offset < size_bytes_; offset += piece_bytes) {
        for (std::size_t i = 0; i < piece.size(); ++i)
            piece[i] = mix(offset / sizeof(std::uint64_t) + i);
        const std::size_t bytes = std::min(piece_bytes, size_bytes_ - offset);
        const ssize_t put = ::pwrite(file.get(), piece.data(), bytes, static_cast<off_t>(offset));
        if (put < 0 || static_cast<std::size_t>(put) != bytes) fail("pwrite", path_);
    }
}

void cached_file::write_back() const {
    const descriptor file(path_);
    if (::fsync(file.get()) != 0) fail("fsync", path_);
}

void cached_file::evict() const {
    write_back(); // dirty pages would stay
    const descriptor file(path_);
    ::posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED);
}

void cached_file::read_through() const {
    const descriptor file(path_);
    std::vector<std::byte> buffer(std::size_t{1} << 20);
    while (file.read(buffer.data(), buffer.size()) != 0) {
    }
}

} // namespace bench
