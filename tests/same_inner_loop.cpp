// SPDX-License-Identifier: MIT
//
// Loops over a mapped_span beside the same loops over a pointer and a length, and over a
// mapped_vector beside a std::vector: the machine code is compared.

#include <mmstl.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

using words = mmstl::mapped_span<const std::uint64_t>;

extern "C" std::uint64_t sum_span(const words& all) {
    std::uint64_t sum = 0;
    for (const auto one : all) sum += one;
    return sum;
}
extern "C" std::uint64_t sum_raw(const std::uint64_t* first, std::size_t n) {
    std::uint64_t sum = 0;
    for (const auto* at = first; at != first + n; ++at) sum += *at;
    return sum;
}

extern "C" std::uint64_t sum_view_span(const words& all) {
    std::uint64_t sum = 0;
    for (const auto one : std::span<const std::uint64_t>(all)) sum += one;
    return sum;
}
extern "C" std::uint64_t sum_view_raw(const std::uint64_t* first, std::size_t n) {
    std::uint64_t sum = 0;
    for (const auto one : std::span<const std::uint64_t>(first, n)) sum += one;
    return sum;
}

extern "C" void add_one_span(mmstl::mapped_span<std::uint64_t>& all) {
    for (auto& one : all) ++one;
}
extern "C" void add_one_raw(std::uint64_t* first, std::size_t n) {
    for (auto* at = first; at != first + n; ++at) ++*at;
}

using live_words = mmstl::mapped_vector<const std::uint64_t>;
using plain_words = std::vector<std::uint64_t>;

extern "C" std::uint64_t sum_vector_span(const live_words& all) {
    std::uint64_t sum = 0;
    for (const auto one : all) sum += one;
    return sum;
}
extern "C" std::uint64_t sum_vector_raw(const plain_words& all) {
    std::uint64_t sum = 0;
    for (const auto one : all) sum += one;
    return sum;
}

extern "C" std::uint64_t sum_vector_view_span(const live_words& all) {
    std::uint64_t sum = 0;
    for (const auto one : std::span(all)) sum += one;
    return sum;
}
extern "C" std::uint64_t sum_vector_view_raw(const plain_words& all) {
    std::uint64_t sum = 0;
    for (const auto one : std::span(all)) sum += one;
    return sum;
}

extern "C" void add_one_vector_span(mmstl::mapped_vector<std::uint64_t>& all) {
    for (auto& one : all) ++one;
}
extern "C" void add_one_vector_raw(plain_words& all) {
    for (auto& one : all) ++one;
}
