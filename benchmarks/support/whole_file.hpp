// SPDX-License-Identifier: MIT
//
// A file read whole: into memory of its own, with and without zeros written there before, or piece by
// piece.

#ifndef MMSTL_BENCHMARKS_WHOLE_FILE_HPP
#define MMSTL_BENCHMARKS_WHOLE_FILE_HPP

#include "posix.hpp"
#include "sum.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace bench {

/// Calls `read(to, n, done)` until there are `bytes` of them, or no more: the kernel reads at most 2 GiB
/// at a time. Returns how many there are.
template <class Read> std::size_t read_all(void* to, std::size_t bytes, Read read) {
    std::size_t done = 0;
    while (done < bytes) {
        const std::size_t got = read(static_cast<char*>(to) + done, bytes - done, done);
        if (got == 0) break;
        done += got;
    }
    return done;
}

/// From the current position on.
inline std::size_t read_whole(const descriptor& in, void* to, std::size_t bytes) {
    return read_all(to, bytes,
                    [&](void* at, std::size_t n, std::size_t) { return in.read(at, n); });
}

/// Sums a file piece by piece, through a buffer that is there already.
[[nodiscard]] inline std::uint64_t sum_by_read(const std::string& path, word_buffer& buffer) {
    const descriptor in(path);
    return sum_stream(buffer, [&](void* to, std::size_t bytes) { return in.read(to, bytes); });
}
[[nodiscard]] inline std::uint64_t sum_by_pread(const std::string& path, word_buffer& buffer) {
    const descriptor in(path);
    std::size_t offset = 0;
    return sum_stream(buffer, [&](void* to, std::size_t bytes) {
        const std::size_t got = in.pread(to, bytes, offset);
        offset += got;
        return got;
    });
}

[[nodiscard]] constexpr std::size_t words_for(std::size_t bytes) noexcept {
    return (bytes + sizeof(std::uint64_t) - 1) / sizeof(std::uint64_t);
}

/// In a vector, which is filled with zeros before it is filled with the file.
class file_in_vector {
public:
    explicit file_in_vector(const std::string& path) {
        const descriptor in(path);
        words_.resize(words_for(in.size_bytes()));
        size_bytes_ = read_whole(in, words_.data(), words_.size() * sizeof(std::uint64_t));
    }
    [[nodiscard]] std::uint64_t* data() noexcept { return words_.data(); }
    [[nodiscard]] std::size_t size_bytes() const noexcept { return size_bytes_; }

private:
    std::vector<std::uint64_t> words_;
    std::size_t size_bytes_ = 0;
};

/// In memory that nothing was written to before.
class file_in_buffer {
public:
    explicit file_in_buffer(const std::string& path) {
        const descriptor in(path);
        const std::size_t n = words_for(in.size_bytes());
        words_ = std::make_unique_for_overwrite<std::uint64_t[]>(n);
        size_bytes_ = read_whole(in, words_.get(), n * sizeof(std::uint64_t));
    }
    [[nodiscard]] std::uint64_t* data() noexcept { return words_.get(); }
    [[nodiscard]] std::size_t size_bytes() const noexcept { return size_bytes_; }

private:
    std::unique_ptr<std::uint64_t[]> words_;
    std::size_t size_bytes_ = 0;
};

} // namespace bench

#endif // MMSTL_BENCHMARKS_WHOLE_FILE_HPP
