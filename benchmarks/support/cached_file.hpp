// SPDX-License-Identifier: MIT
//
// A file whose state in the page cache is brought about on purpose and then verified.

#ifndef MMSTL_BENCHMARKS_CACHED_FILE_HPP
#define MMSTL_BENCHMARKS_CACHED_FILE_HPP

#include <cstddef>
#include <optional>
#include <string>

namespace bench {

/// How the pages of a file are in the cache. The way they came there matters as much as whether
/// they are there: the kernel's readahead makes large folios, which a mapping takes in with one
/// fault each, small writes make small folios, which cost a mapping many times the faults.
enum class cache_state {
    unknown,
    read_ahead,   ///< Warm: evicted, then read through once with read().
    small_pieces, ///< Warm: evicted, then written again in pieces of 8 KiB.
    cold,         ///< fsync, then POSIX_FADV_DONTNEED.
};

[[nodiscard]] const char* name(cache_state state) noexcept;
[[nodiscard]] const char* describe(cache_state state) noexcept;

/// How many pages of a file are in the page cache, asked through a mapping of its own. Nothing if
/// mincore would answer "all" without looking, as it does to one who may not write the file.
[[nodiscard]] std::optional<std::size_t> resident_pages(const std::string& path);

class cached_file {
public:
    enum class origin { generated, given };

    /// A `generated` file is made when first needed; a `given` one is there and never written.
    cached_file(std::string path, std::size_t size_bytes, origin from)
        : path_(std::move(path)), size_bytes_(size_bytes), origin_(from),
          made_(from == origin::given) {}

    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] std::size_t size_bytes() const noexcept { return size_bytes_; }
    [[nodiscard]] bool given() const noexcept { return origin_ == origin::given; }

    /// Makes a generated file that is not there yet.
    void create();

    /// Brings the file into `state` unless it is there already, and verifies it.
    ///
    /// Throws: `std::runtime_error` if the kernel does not get there.
    void ensure(cache_state state);

    /// Whether the last `ensure()` could be verified.
    [[nodiscard]] bool verified() const noexcept { return verified_; }

private:
    [[nodiscard]] bool is_in(cache_state state);
    void write_contents(std::size_t piece_bytes);
    void write_back() const;
    void evict() const;
    void read_through() const;

    std::string path_;
    std::size_t size_bytes_;
    origin origin_;
    bool made_;
    bool verified_ = false;
    cache_state state_ = cache_state::unknown;
};

} // namespace bench

#endif // MMSTL_BENCHMARKS_CACHED_FILE_HPP
