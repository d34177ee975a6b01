// SPDX-License-Identifier: MIT
//
// Files that are appended to without mmstl, by a mapping and by write(), and a look at what they hold.

#ifndef MMSTL_BENCHMARKS_GROWING_FILE_HPP
#define MMSTL_BENCHMARKS_GROWING_FILE_HPP

#include "file_words.hpp"
#include "posix.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

namespace bench {

/// What is appended as the i-th element: cheap, and nothing that a kernel could merge or skip.
constexpr std::uint64_t element(std::size_t i) noexcept {
    return std::uint64_t{i} * 0x9e3779b97f4a7c15U;
}

/// The same as an object, whose type says what it does: a pointer to a function might be called.
inline constexpr auto make_element = [](std::size_t i) noexcept { return element(i); };

/// The largest prime that is not above `n`, which is at least 2.
constexpr std::size_t prime_at_most(std::size_t n) noexcept {
    const auto is_prime = [](std::size_t p) {
        for (std::size_t d = 2; d * d <= p; ++d)
            if (p % d == 0) return false;
        return true;
    };
    while (!is_prime(n)) --n;
    return n;
}

/// Of so few elements that looking at them takes no time, one at each offset into a page of 4 KiB:
/// a prime stride meets all of them in turn. What is missing at some offset of every page shows.
template <typename Words> std::uint64_t checksum(const Words& words, std::size_t n) {
    constexpr std::size_t samples = 4096 / word_bytes;
    const std::size_t stride = prime_at_most(n / samples);
    std::uint64_t total = n + words[n - 1];
    for (std::size_t k = 0; k < samples; ++k) total = std::rotl(total, 7) + words[stride * k];
    return total;
}

enum class faults { one_by_one, ahead };

/// What someone writes who knows how mapped_vector grows by default: a mapping that is larger than
/// the file will ever be, a file that gets longer by the same steps, and nothing else. Like there,
/// a page in front of the elements is left for a header.
class growing_file {
public:
    growing_file(const std::string& path, faults how)
        : file_(path, O_RDWR | O_CREAT | O_EXCL), how_(how) {
        lengthen(header_bytes);
        void* const at = ::mmap(nullptr, mapped_bytes, PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_NORESERVE, file_.get(), 0);
        if (at == MAP_FAILED) fail("mmap", path);
        base_ = static_cast<std::byte*>(at);
    }
    growing_file(const growing_file&) = delete;
    growing_file& operator=(const growing_file&) = delete;
    ~growing_file() { ::munmap(base_, mapped_bytes); }

    [[nodiscard]] std::uint64_t* words() const noexcept {
        return reinterpret_cast<std::uint64_t*>(base_ + header_bytes);
    }

    /// For one element behind the first `n`. Returns how many can be stored before the next call.
    [[gnu::noinline, gnu::cold]] std::size_t make_room(std::size_t n) {
        const std::size_t end = header_bytes + n * word_bytes;
        if (end == length_) {
            const std::size_t step = std::clamp(length_, least_step, most_step);
            const std::size_t unit = step < large_page ? page_ : large_page;
            lengthen((length_ + step + unit - 1) / unit * unit);
            touches_ = how_ == faults::ahead && length_ - end >= window;
        }
        std::size_t last = length_;
        if (touches_) {
            const std::size_t first = end / page_ * page_;
            last = std::min(length_, ((end + word_bytes) / window + 1) * window);
            ::madvise(base_ + first, last - first, MADV_HUGEPAGE);
            if (::madvise(base_ + first, last - first, populate_write) != 0) fail("madvise", "");
        }
        return (last - header_bytes) / word_bytes;
    }

private:
    static constexpr std::size_t mapped_bytes = std::size_t{64} << 30;
    static constexpr std::size_t header_bytes = 4096;
    static constexpr std::size_t large_page = std::size_t{2} << 20;
    static constexpr std::size_t window = std::size_t{4} << 20;
    static constexpr std::size_t least_step = std::size_t{64} << 10;
    static constexpr std::size_t most_step = std::size_t{64} << 20;
    static constexpr int populate_write = 23; // MADV_POPULATE_WRITE, since Linux 5.14

    void lengthen(std::size_t to) {
        const auto from = static_cast<off_t>(length_);
        if (::fallocate(file_.get(), 0, from, static_cast<off_t>(to) - from) != 0 &&
            (errno != EOPNOTSUPP || ::ftruncate(file_.get(), static_cast<off_t>(to)) != 0))
            fail("fallocate", "");
        length_ = to;
    }

    descriptor file_;
    faults how_;
    std::byte* base_ = nullptr;
    std::size_t page_ = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    std::size_t length_ = 0;
    bool touches_ = false;
};

/// Stores `n` elements, whatever `make(i)` returns, as someone does who fills a mapping by hand. The
/// size is a local variable: nobody else can see it, and nothing publishes it.
template <class Make> void store_all(growing_file& to, std::size_t n, Make make) {
    using element_type = std::invoke_result_t<Make&, std::size_t>;
    constexpr std::size_t words_each = sizeof(element_type) / word_bytes;
    auto* const at = reinterpret_cast<element_type*>(to.words());
    std::size_t ready = 0;
    for (std::size_t i = 0; i < n; ++i) {
        if (i == ready) [[unlikely]]
            ready = to.make_room(i * words_each) / words_each;
        at[i] = make(i);
    }
}

inline void write_all(const descriptor& to, const void* from, std::size_t n_bytes) {
    const auto* at = static_cast<const std::byte*>(from);
    for (std::size_t left = n_bytes; left > 0;) {
        const ssize_t put = ::write(to.get(), at, left);
        if (put < 0) fail("write", "");
        at += put;
        left -= static_cast<std::size_t>(put);
    }
}

/// Hands `n` elements, whatever `make(i)` returns, to `flush(first, count)`, a buffer at a time.
template <class Buffer, class Make, class Flush>
void buffer_all(Buffer& buffer, std::size_t n, Make make, Flush flush) {
    std::size_t used = 0;
    for (std::size_t i = 0; i < n; ++i) {
        if (used == buffer.size()) [[unlikely]] {
            flush(buffer.data(), used);
            used = 0;
        }
        buffer[used++] = make(i);
    }
    flush(buffer.data(), used);
}

/// The same by write().
template <class Buffer, class Make>
void write_all_through(Buffer& buffer, const descriptor& to, std::size_t n, Make make) {
    buffer_all(buffer, n, make, [&](const auto* first, std::size_t count) {
        write_all(to, first, count * sizeof *first);
    });
}

} // namespace bench

#endif // MMSTL_BENCHMARKS_GROWING_FILE_HPP
