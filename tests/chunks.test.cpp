// SPDX-License-Identifier: MIT
//
// chunks.hpp: streaming through a span in pieces.

#include "support/catch.hpp"
#include "support/checks.hpp"
#include "support/fault.hpp"
#include "support/leaks.hpp"
#include "support/temporary.hpp"

#include <mmstl/mapped_span.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <limits>
#include <numeric>
#include <ranges>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

using namespace support;
using mmstl::behind;
using mmstl::chunk_options;
using mmstl::errc;
using mmstl::mapped_span;

namespace {

using numbers = mapped_span<const std::uint32_t>;
using mutable_numbers = mapped_span<std::uint32_t>;

constexpr std::size_t mebibyte = std::size_t{1} << 20;

/// A file of the numbers 0, 1, 2, …, on the disk, so that its pages can leave memory.
struct counting_file {
    explicit counting_file(std::size_t n) : path(directory / "numbers") {
        auto span = mutable_numbers::create(path, n);
        std::iota(span.begin(), span.end(), std::uint32_t{0});
        span.flush();
    }
    void leave_memory() const {
        const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
        (void)::fsync(fd);
        (void)::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        ::close(fd);
    }
    temporary_directory directory;
    std::string path;
};

/// Whether the elements are first, first + 1, …
bool counts_from(std::size_t first, std::span<const std::uint32_t> elements) {
    return std::ranges::all_of(elements, [&](std::uint32_t one) { return one == first++; });
}

/// The bytes of the mapping at `address` that this process has in its page tables, from
/// /proc/self/smaps.
std::size_t mapped_in(const void* address) {
    std::ifstream smaps("/proc/self/smaps");
    const auto wanted = reinterpret_cast<std::uintptr_t>(address);
    bool here = false;
    for (std::string line; std::getline(smaps, line);) {
        char* dash = nullptr;
        const auto first = std::strtoull(line.c_str(), &dash, 16);
        if (*dash == '-') here = first <= wanted && wanted < std::strtoull(dash + 1, nullptr, 16);
        if (here && line.starts_with("Rss:")) return std::stoull(line.substr(4)) * 1024;
    }
    return 0;
}

} // namespace

TEST_CASE("chunks are all of the span, in order, each of n elements but the last") {
    const counting_file file(10007);
    const auto offset =
        GENERATE(std::uint64_t{0}, std::uint64_t{4}, std::uint64_t{4092}, std::uint64_t{4100});
    const auto how = GENERATE(behind::keep, behind::release, behind::evict);
    const numbers span(file.path, {.offset_bytes = offset});
    for (const std::size_t n :
         {std::size_t{1}, std::size_t{7}, std::size_t{1023}, std::size_t{1024}, std::size_t{1025},
          span.size() - 1, span.size(), span.size() + 1, std::numeric_limits<std::size_t>::max()}) {
        INFO("offset " << offset << ", n " << n);
        const leak_check guard;
        const auto range = span.chunks(n, {.behind = how});
        std::size_t at = 0, n_chunks = 0;
        bool right = true;
        for (const std::span<const std::uint32_t> part : range) {
            right = right && part.data() == span.data() + at &&
                    part.size() == std::min(n, span.size() - at);
            right = right && counts_from(at + offset / 4, part);
            at += part.size();
            ++n_chunks;
        }
        CHECK(right);
        CHECK(at == span.size());
        CHECK(n_chunks == range.size());
        CHECK(n_chunks == (span.size() - 1) / n + 1);
    }
}

TEST_CASE("an empty span has no chunks") {
    const numbers span;
    CHECK(span.chunks(10).size() ==
          0); // NOLINT(readability-container-size-empty): there is no empty()
    CHECK(span.chunks(10).begin() == span.chunks(10).end());
}

TEST_CASE("chunks are an input range of std::span, const as the span is") {
    using range = decltype(std::declval<mutable_numbers&>().chunks(1));
    using of_const = decltype(std::declval<const mutable_numbers&>().chunks(1));
    STATIC_REQUIRE(std::ranges::input_range<range>);
    STATIC_REQUIRE(std::ranges::input_range<const range>);
    STATIC_REQUIRE(std::ranges::sized_range<const range>);
    STATIC_REQUIRE(std::is_same_v<std::ranges::range_value_t<range>, std::span<std::uint32_t>>);
    STATIC_REQUIRE(
        std::is_same_v<std::ranges::range_value_t<of_const>, std::span<const std::uint32_t>>);
    STATIC_REQUIRE(
        std::is_same_v<std::ranges::range_value_t<decltype(std::declval<numbers&>().chunks(1))>,
                       std::span<const std::uint32_t>>);
}

TEST_CASE("what is written to chunks is in the file, whatever becomes of the pages") {
    const counting_file file(100'000);
    const auto how = GENERATE(behind::keep, behind::release, behind::evict);
    {
        mutable_numbers span(file.path, {.offset_bytes = 4});
        for (const auto part : span.chunks(1000, {.behind = how}))
            for (auto& number : part) number *= 2;
    }
    const numbers span(file.path);
    for (std::uint32_t i = 0; i < 100'000; ++i)
        if (span[i] != 2 * i) FAIL("element " << i << " is " << span[i]);
}

TEST_CASE("memory that is shared without a file keeps what was written to chunks") {
    const auto which = GENERATE(kind::shared_memory, kind::memory_file, kind::anonymous);
    const sample one(which);
    mutable_numbers span(one.backing_of(400'000), {.count = 100'000});
    std::uint32_t next = 0;
    for (const auto part : span.chunks(999, {.behind = behind::release}))
        for (auto& number : part) number = next++;
    CHECK(span.size() == 100'000);
    CHECK(counts_from(0, span));
}

TEST_CASE("a chunk stays valid after the iterator has gone on") {
    const counting_file file(100'000);
    const numbers span(file.path);
    const auto range = span.chunks(10'000, {.behind = behind::release});
    auto at = range.begin();
    const auto first = *at;
    ++at;
    at++;
    CHECK(first.size() == 10'000);
    CHECK(counts_from(0, first));
    CHECK((*at).front() == 20'000);
    CHECK(at != range.end());
}

TEST_CASE("pages behind the reader leave this process if asked, so that its memory is bounded") {
    const counting_file file(16 * mebibyte / 4);
    const auto most_mapped = [&](behind how) {
        const numbers span(file.path);
        std::size_t most = 0;
        std::uint64_t sum = 0;
        for (const auto part : span.chunks(mebibyte / 4, {.behind = how})) {
            sum = std::accumulate(part.begin(), part.end(), sum);
            most = std::max(most, mapped_in(span.data()));
        }
        CHECK(sum == std::uint64_t{span.size()} * (span.size() - 1) / 2);
        return most;
    };
    CHECK(most_mapped(behind::keep) >= 15 * mebibyte);
    CHECK(most_mapped(behind::release) <= 5 * mebibyte);
    CHECK(most_mapped(behind::evict) <= 5 * mebibyte);
}

TEST_CASE("release leaves pages in the page cache, evict takes them out where the kernel agrees") {
    const counting_file file(16 * mebibyte / 4);
    const mutable_numbers span(file.path);
    const auto stream = [&](behind how) {
        std::uint64_t sum = 0;
        for (const auto part : span.chunks(mebibyte / 4, {.behind = how})) sum += part.front();
        return sum;
    };
    span.prefetch();
    REQUIRE(span.resident());
    CHECK(stream(behind::release) > 0);
    CHECK(span.resident());
    CHECK(stream(behind::evict) > 0);
    if (span.resident()) skip_loudly("this kernel keeps the pages of the file in memory");
}

TEST_CASE("nothing is asked of the kernel if that is not wanted") {
    const counting_file file(mebibyte);
    const numbers span(file.path);
    const fault::watch watching;
    std::size_t n = 0;
    for (const auto part : span.chunks(10'000, {.prefetch_bytes = 0})) n += part.size();
    CHECK(n == span.size());
    CHECK(watching.records().empty());
}

TEST_CASE("pages ahead are asked for while the reader works, when they are not there, and large "
          "folios at the beginning") {
    const counting_file file(16 * mebibyte / 4);
    file.leave_memory();
    const numbers span(file.path);
    if (mutable_numbers(file.path).resident(8 * mebibyte / 4, mebibyte / 4))
        return skip_loudly("the pages cannot be taken out of memory here");
    span.advise(mmstl::advice::random); // or the kernel's own readahead might come first
    const fault::watch watching;
    std::size_t n = 0;
    for (const auto part : span.chunks(mebibyte / 16)) n += part.size();
    CHECK(n == span.size());
    CHECK(watching.count(fault::call::madvise) > 1);
    bool first = true;
    for (const auto& record : watching.records()) {
        if (record.which != fault::call::madvise) continue;
        CHECK(record.arguments[0] % page_size() == 0);
        CHECK(record.arguments[0] >= reinterpret_cast<std::uintptr_t>(span.data()));
        CHECK(record.arguments[0] + record.arguments[1] <=
              reinterpret_cast<std::uintptr_t>(span.data()) + span.size_bytes() + page_size());
        CHECK(record.arguments[2] ==
              static_cast<std::uint64_t>(first ? MADV_HUGEPAGE : MADV_WILLNEED));
        first = false;
    }
}

TEST_CASE(
    "a stream begins with one piece of advice on an array of up to 128 MiB, with none on more") {
    const temporary_directory directory;
    constexpr std::size_t most = 128 * mebibyte / sizeof(int);
    for (const std::size_t n : {most, most + 1}) {
        const std::string path = directory / std::to_string(n);
        // Holes: nothing of it is in memory.
        const auto span =
            mapped_span<int>::create(path, n, {.allocation = mmstl::allocation::sparse});
        const fault::watch watching;
        (void)span.chunks(mebibyte).begin();
        CHECK(watching.count(fault::call::madvise) == (n == most ? 1 : 0));
    }
}

TEST_CASE("pages that are there are not asked for, and looked at once a quarter of the distance at "
          "the most") {
    const counting_file file(16 * mebibyte / 4);
    const numbers span(file.path);
    span.prefetch();
    const fault::watch watching;
    for (const auto part : span.chunks(1024)) (void)part.front();
    CHECK(watching.count(fault::call::madvise) == 0);
    CHECK(watching.count(fault::call::mincore) <= 16 * 4 + 1);
    CHECK(watching.count(fault::call::mincore) > 0);
}

TEST_CASE("no advice that fails disturbs the reader") {
    const counting_file file(4 * mebibyte / 4);
    const numbers span(file.path);
    const long n = fault::for_each_failure(
        [&] {
            std::size_t at = 0;
            for (const auto part : span.chunks(mebibyte / 4, {.behind = behind::evict}))
                at += part.size();
            expect(at == span.size());
        },
        EIO, [](const fault::outcome& result) { CHECK(result.exception == nullptr); });
    CHECK(n > 3);
}

TEST_CASE("nothing is dropped from a copy-on-write span: its changes would be lost") {
    const counting_file file(10'000);
    mutable_numbers span(file.path, {.access = mmstl::access::copy_on_write});
    span[0] = 7;
    for (const auto how : {behind::release, behind::evict})
        CHECK(error_of([&] { (void)span.chunks(10, {.behind = how}); }) ==
              says(errc::wrong_access, "chunks", file.path));
    for (const auto part : span.chunks(1000))
        for (auto& number : part) number += 1;
    CHECK(span[0] == 8);
    CHECK(span[9999] == 10'000);
}

TEST_CASE("only whole pages that the reader has left are dropped, each once") {
    const counting_file file(100'000);
    const numbers span(file.path, {.offset_bytes = 4});
    const fault::watch watching;
    std::uintptr_t dropped_to = 0;
    std::size_t looked_at = 0;
    for (const auto part : span.chunks(1500, {.prefetch_bytes = 0, .behind = behind::release})) {
        for (; looked_at < watching.records().size(); ++looked_at) {
            const auto& record = watching.records()[looked_at];
            CHECK(record.arguments[2] == MADV_DONTNEED);
            CHECK(record.arguments[0] % page_size() == 0);
            CHECK(record.arguments[0] >= dropped_to);
            dropped_to = record.arguments[0] + record.arguments[1];
            CHECK(dropped_to <= reinterpret_cast<std::uintptr_t>(part.data()));
        }
    }
    CHECK(looked_at > 50);
}
