// SPDX-License-Identifier: MIT
//
// pread() that is indexed like memory.

#ifndef MMSTL_BENCHMARKS_FILE_WORDS_HPP
#define MMSTL_BENCHMARKS_FILE_WORDS_HPP

#include "posix.hpp"

#include <cstddef>
#include <cstdint>
#include <stdexcept>

namespace bench {

inline constexpr std::size_t word_bytes = sizeof(std::uint64_t);

/// The words of a file, from an offset on, each by a call of its own.
class file_words {
public:
    explicit file_words(const descriptor& file, std::size_t offset_bytes = 0)
        : file_(file), offset_bytes_(offset_bytes) {}
    explicit file_words(descriptor&&, std::size_t = 0) = delete; // it would be closed

    std::uint64_t operator[](std::size_t i) const {
        std::uint64_t word = 0;
        if (file_.pread(&word, word_bytes, offset_bytes_ + i * word_bytes) != word_bytes)
            throw std::runtime_error("the file is shorter than what was written");
        return word;
    }

private:
    const descriptor& file_;
    std::size_t offset_bytes_;
};

} // namespace bench

#endif // MMSTL_BENCHMARKS_FILE_WORDS_HPP
