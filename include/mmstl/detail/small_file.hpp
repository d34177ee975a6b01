// SPDX-License-Identifier: MIT
//
// small_file: the bytes of a file that is cheaper to read than to map.

#ifndef MMSTL_DETAIL_SMALL_FILE_HPP
#define MMSTL_DETAIL_SMALL_FILE_HPP

#include <mmstl/detail/posix.hpp>
#include <mmstl/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <optional>
#include <utility>

namespace mmstl::inline v1::detail {

/// Bytes of a file, in memory of this process.
class small_file {
public:
    struct request {
        int fd = -1;
        std::uint64_t offset = 0;
        std::optional<std::size_t> n_bytes = {}; ///< if not given, to the end of the file
        std::size_t below_bytes = 0;             ///< read only what is shorter
        std::size_t alignment = 1;
        /// Where the file ends, if that is known: else the descriptor's position is moved to learn it.
        std::optional<std::uint64_t> end = {};
    };

    /// Reads what `wanted` names if there is that much, and it is short enough; else stays empty.
    ///
    /// The length is learnt from the reading: one pread and one lseek for a file of up to 64 KiB,
    /// where fstat alone would cost an eighth of opening, reading and closing it. What cannot be
    /// read so (FIFOs, directories) is left to whoever examines the descriptor next.
    static failure read(const request& wanted, small_file& to) {
        constexpr std::size_t first_read = std::size_t{64} << 10;
        const std::size_t most = std::min(wanted.n_bytes.value_or(SIZE_MAX), wanted.below_bytes);
        if (most == 0 || (wanted.n_bytes && *wanted.n_bytes >= wanted.below_bytes)) return {};

        small_file made;
        made.allocate(std::min(most, first_read), wanted.alignment);
        std::size_t done = 0;
        if (auto f = posix::read_some(wanted.fd, wanted.offset, made.data(), made.size_, done);
            f.failed())
            return unless_unreadable(f);
        std::uint64_t end = wanted.end.value_or(0);
        if (!wanted.end) {
            if (auto f = posix::seek_end(wanted.fd, end); f.failed()) return unless_unreadable(f);
        }
        if (end < wanted.offset + done) return {}; // a device, or shortened meanwhile
        const std::uint64_t there = end - wanted.offset;
        const std::uint64_t n_bytes = wanted.n_bytes.value_or(there);
        if (n_bytes == 0 || n_bytes > there || n_bytes >= wanted.below_bytes) return {};

        made.resize(static_cast<std::size_t>(n_bytes), wanted.alignment, done);
        std::size_t rest = 0;
        if (auto f = posix::read_at(wanted.fd, wanted.offset + done, made.data() + done,
                                    made.size_ - done, rest);
            f.failed())
            return f;
        if (done + rest == n_bytes) to.swap(made); // else shortened meanwhile, or as in sysfs
        return {};
    }

    [[nodiscard]] std::byte* data() const noexcept { return bytes_.get(); }
    [[nodiscard]] std::size_t size_bytes() const noexcept { return size_; }
    [[nodiscard]] bool empty() const noexcept { return bytes_ == nullptr; }

    void swap(small_file& other) noexcept {
        bytes_.swap(other.bytes_);
        std::swap(size_, other.size_);
    }

private:
    struct release {
        void operator()(std::byte* bytes) const noexcept { std::free(bytes); } // NOLINT
    };

    /// Nothing, where it is the kind of file that cannot be read at a position.
    static failure unless_unreadable(const failure& f) noexcept {
        const bool other_kind = f.code() == std::errc::invalid_seek ||
                                f.code() == std::errc::is_a_directory ||
                                f.code() == std::errc::invalid_argument;
        return other_kind ? failure{} : f;
    }

    // malloc, for the sake of realloc: what was allocated for the longest file shrinks in place.
    void allocate(std::size_t n_bytes, std::size_t alignment) {
        void* const got =
            alignment <= alignof(std::max_align_t)
                ? std::malloc(n_bytes) // NOLINT
                : std::aligned_alloc(alignment, (n_bytes + alignment - 1) / alignment * alignment);
        if (got == nullptr) throw std::bad_alloc();
        bytes_.reset(static_cast<std::byte*>(got));
        size_ = n_bytes;
    }

    void resize(std::size_t n_bytes, std::size_t alignment, std::size_t keep) {
        if (n_bytes == size_) return;
        if (alignment <= alignof(std::max_align_t)) {
            void* const got = std::realloc(bytes_.get(), n_bytes); // NOLINT
            if (got == nullptr) throw std::bad_alloc();
            (void)bytes_.release();
            bytes_.reset(static_cast<std::byte*>(got));
            size_ = n_bytes;
        } else if (n_bytes < size_) {
            size_ = n_bytes;
        } else {
            small_file larger;
            larger.allocate(n_bytes, alignment);
            std::copy_n(data(), keep, larger.data());
            swap(larger);
        }
    }

    std::unique_ptr<std::byte, release> bytes_;
    std::size_t size_ = 0;
};

} // namespace mmstl::inline v1::detail

#endif
