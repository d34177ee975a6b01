// SPDX-License-Identifier: MIT
//
// The file of a vector, closed cleanly, that workloads open in their own ways.

#ifndef MMSTL_BENCHMARKS_VECTOR_FILE_HPP
#define MMSTL_BENCHMARKS_VECTOR_FILE_HPP

#include "cached_file.hpp"
#include "format.hpp"
#include "machine.hpp"
#include "posix.hpp"
#include "random.hpp"
#include "scratch.hpp"
#include "whole_file.hpp"

#include <algorithm>
#include <memory>
#include <mmstl.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace bench {

/// Element `i` is `mix(i)`.
class vector_file {
public:
    using word = std::uint64_t;
    using writer = mmstl::mapped_vector<word>;
    using reader = mmstl::mapped_vector<const word>;

    /// Where the elements begin: docs/file-format.md.
    static constexpr std::size_t header_bytes = 4096;

    /// Makes nothing yet.
    vector_file(const std::string& path, std::size_t data_bytes)
        : words_(data_bytes / sizeof(word)),
          cached_(path, header_bytes + words_ * sizeof(word), cached_file::origin::given) {}

    [[nodiscard]] const std::string& path() const noexcept { return cached_.path(); }
    [[nodiscard]] std::size_t words() const noexcept { return words_; }
    [[nodiscard]] std::size_t data_bytes() const noexcept { return words_ * sizeof(word); }
    [[nodiscard]] cached_file& cached() noexcept { return cached_; }

    /// Why a file and `copies` of its elements in memory do not fit here, or nothing.
    [[nodiscard]] std::string refusal(const std::string& directory, std::size_t copies) const {
        const std::uint64_t spare = std::uint64_t{256} << 20;
        const std::uint64_t disk = data_bytes() + spare;
        const std::uint64_t memory = data_bytes() * (1 + copies) + spare;
        if (free_bytes(directory) < disk)
            return fmt::format("{} of disk are needed and {} are free; choose another directory "
                               "with --dir",
                               format_bytes(disk), format_bytes(free_bytes(directory)));
        if (available_memory_bytes() < memory)
            return fmt::format("{} of memory are needed and {} are available", format_bytes(memory),
                               format_bytes(available_memory_bytes()));
        return {};
    }

    void create() const {
        auto made = writer::create(path());
        made.reserve(words_);
        while (made.size() < words_) {
            const std::size_t first = made.size();
            const auto piece = made.append_uninitialized(
                std::min<std::size_t>(words_ - first, (std::size_t{1} << 20) / sizeof(word)));
            for (std::size_t i = 0; i < piece.size(); ++i) piece[i] = mix(first + i);
            made.commit(piece.size());
        }
        made.shrink_to_fit();
        made.close();
        if (descriptor(path()).size_bytes() != cached_.size_bytes())
            throw std::runtime_error(path() + ": a vector file is not as long as expected");
    }

    void remove() const { ::unlink(path().c_str()); }

    /// All elements in a vector of the usual kind, as a program reads them without mmstl.
    [[nodiscard]] std::vector<word> read_into_vector() const {
        return read<std::vector<word>>([](std::size_t n) { return std::vector<word>(n); });
    }
    /// The same in memory that is not filled with zeros before.
    [[nodiscard]] std::unique_ptr<word[]> read_into_buffer() const {
        return read<std::unique_ptr<word[]>>(
            [](std::size_t n) { return std::make_unique_for_overwrite<word[]>(n); });
    }

private:
    template <class Words, class Allocate> Words read(Allocate allocate) const {
        const descriptor in(path());
        const std::size_t n = (in.size_bytes() - header_bytes) / sizeof(word);
        Words all = allocate(n);
        const std::size_t got =
            read_all(&all[0], n * sizeof(word), [&](void* to, std::size_t bytes, std::size_t done) {
                return in.pread(to, bytes, header_bytes + done);
            });
        if (got != n * sizeof(word)) throw std::runtime_error(path() + ": ends too early");
        return all;
    }

    std::size_t words_;
    cached_file cached_; // "given": its contents are not the cache's to write
};

/// Removes the file of a vector, whatever happens before.
class removed_in_the_end {
public:
    explicit removed_in_the_end(const vector_file& file) : file_(file) {}
    removed_in_the_end(const removed_in_the_end&) = delete;
    removed_in_the_end& operator=(const removed_in_the_end&) = delete;
    ~removed_in_the_end() { file_.remove(); }

private:
    const vector_file& file_;
};

} // namespace bench

#endif // MMSTL_BENCHMARKS_VECTOR_FILE_HPP
