// SPDX-License-Identifier: MIT
//
// mapped_span.hpp: a file as an array.

#include "support/allocation.hpp"
#include "support/catch.hpp"
#include "support/checks.hpp"
#include "support/fault.hpp"
#include "support/in_child.hpp"
#include "support/leaks.hpp"
#include "support/soak.hpp"
#include "support/step.hpp"
#include "support/temporary.hpp"

#include <mmstl/mapped_span.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <iterator>
#include <limits>
#include <memory>
#include <new>
#include <numeric>
#include <ranges>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace support;
using mmstl::advice;
using mmstl::backing;
using mmstl::errc;
using mmstl::mappable;
using mmstl::mapped_span;
using mmstl::span_options;

namespace {

// The element types: one byte (no alignment), a plain word, floating point, a struct whose size is
// no power of two (so that elements straddle pages), one larger than a page, one aligned beyond its
// members.
struct rgb {
    std::uint8_t r, g, b;
    friend bool operator==(const rgb&, const rgb&) = default;
};
struct large {
    std::array<std::uint32_t, 1500> words;
    friend bool operator==(const large&, const large&) = default;
};
struct alignas(64) aligned {
    std::uint64_t word;
    friend bool operator==(const aligned&, const aligned&) = default;
};
#define ELEMENT_TYPES                                                                              \
    char, std::byte, std::uint16_t, std::uint64_t, float, std::complex<double>, rgb, large, aligned

template <class T> T element(std::size_t i) {
    T made{};
    std::memset(static_cast<void*>(&made), static_cast<int>(i % 200 + 1), sizeof made);
    if constexpr (std::is_floating_point_v<T>) made = static_cast<T>(i);
    if constexpr (std::is_same_v<T, std::complex<double>>) made = {static_cast<double>(i), 1};
    return made;
}
template <class T> std::vector<T> elements(std::size_t n) {
    std::vector<T> made;
    for (std::size_t i = 0; i < n; ++i) made.push_back(element<T>(i));
    return made;
}

/// A file of the numbers 0, 1, 2, …
struct counting_file {
    explicit counting_file(std::size_t n) : numbers(n), path(directory / "numbers") {
        std::iota(numbers.begin(), numbers.end(), std::uint32_t{0});
        write_file(path, numbers);
    }
    temporary_directory directory;
    std::vector<std::uint32_t> numbers;
    std::string path;
};
using numbers = mapped_span<const std::uint32_t>;
using mutable_numbers = mapped_span<std::uint32_t>;

/// Both forms of opening fail with `expected`, and leave nothing open or mapped.
template <class T>
void check_span_fails(const backing& what, const span_options& options, const said& expected) {
    const leak_check guard;
    CHECK(error_of([&] { const mapped_span<T> span(what, options); }) == expected);
    std::error_code ec;
    const mapped_span<T> span(what, options, ec);
    CHECK(ec == expected.code);
    CHECK(span.empty());
    CHECK(span.data() == nullptr);
}

/// What a span must not look like: std::scoped_lock would take it.
template <class Lock>
concept lockable = requires(Lock& lock) {
    lock.lock();
};

/// An object that forked children share.
template <class T> class shared {
public:
    shared()
        : at_(new (::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                          -1, 0)) T) {}
    shared(const shared&) = delete;
    shared& operator=(const shared&) = delete;
    ~shared() { ::munmap(at_, sizeof(T)); }
    T* operator->() const noexcept { return at_; }

private:
    T* at_;
};

enum class colour : unsigned char { red };
struct not_trivial {
    not_trivial(const not_trivial&) {} // NOLINT(modernize-use-equals-default)
};
struct opted_in {
    opted_in() = default;
    opted_in(const opted_in& other) : value(other.value) {} // NOLINT(modernize-use-equals-default)
    opted_in& operator=(const opted_in&) = default;
    int value = 0;
};
struct opted_out {
    int* pointer;
};

} // namespace

template <> inline constexpr bool mmstl::enable_mappable<opted_in> = true;
template <> inline constexpr bool mmstl::enable_mappable<opted_out> = false;

// ---- what can be mapped ----

TEST_CASE("mappable is what means the same in every process") {
    STATIC_REQUIRE(mappable<int>);
    STATIC_REQUIRE(mappable<const int>);
    STATIC_REQUIRE(mappable<std::byte>);
    STATIC_REQUIRE(mappable<colour>);
    STATIC_REQUIRE(mappable<rgb>);
    STATIC_REQUIRE(mappable<std::array<int, 3>>);
    STATIC_REQUIRE(mappable<int[3]>);
    STATIC_REQUIRE(mappable<std::complex<float>>);
    STATIC_REQUIRE_FALSE(mappable<int*>);
    STATIC_REQUIRE_FALSE(mappable<int* const>);
    STATIC_REQUIRE_FALSE(mappable<const int*>);
    STATIC_REQUIRE_FALSE(mappable<int rgb::*>);
    STATIC_REQUIRE_FALSE(mappable<int (*)()>);
    STATIC_REQUIRE_FALSE(mappable<int()>);
    STATIC_REQUIRE_FALSE(mappable<std::nullptr_t>);
    STATIC_REQUIRE_FALSE(mappable<int&>);
    STATIC_REQUIRE_FALSE(mappable<void>);
    STATIC_REQUIRE_FALSE(mappable<volatile int>);
    STATIC_REQUIRE_FALSE(mappable<std::string>);
    STATIC_REQUIRE_FALSE(mappable<std::string_view>);
    STATIC_REQUIRE_FALSE(mappable<const std::string_view>);
    STATIC_REQUIRE_FALSE(mappable<std::span<int>>);
    STATIC_REQUIRE_FALSE(mappable<std::span<const int, 3>>);
    STATIC_REQUIRE_FALSE(mappable<std::reference_wrapper<int>>);
    STATIC_REQUIRE_FALSE(mappable<std::array<int*, 3>>);
    STATIC_REQUIRE_FALSE(mappable<int* [3]>);
    STATIC_REQUIRE_FALSE(mappable<std::unique_ptr<int>>);
    STATIC_REQUIRE_FALSE(mappable<std::vector<int>>);
    STATIC_REQUIRE_FALSE(mappable<not_trivial>);
}

TEST_CASE("a type can be opted in and out") {
    STATIC_REQUIRE(mappable<opted_in>);
    STATIC_REQUIRE(mappable<const opted_in>);
    STATIC_REQUIRE_FALSE(mappable<opted_out>);
    STATIC_REQUIRE_FALSE(mappable<const opted_out>);
    const mapped_span<opted_in> span(mmstl::anonymous(), {.count = 2});
    CHECK(span[1].value == 0);
}

// ---- as a range ----

TEST_CASE("a mapped_span is a contiguous, sized range with deep constness") {
    using span = mapped_span<int>;
    using reader = mapped_span<const int>;
    STATIC_REQUIRE(std::ranges::contiguous_range<span>);
    STATIC_REQUIRE(std::ranges::contiguous_range<const span>);
    STATIC_REQUIRE(std::ranges::contiguous_range<const reader>);
    STATIC_REQUIRE(std::ranges::sized_range<const span>);
    STATIC_REQUIRE(std::ranges::common_range<const span>);
    STATIC_REQUIRE(std::is_same_v<std::ranges::range_reference_t<span>, int&>);
    STATIC_REQUIRE(std::is_same_v<std::ranges::range_reference_t<const span>, const int&>);
    STATIC_REQUIRE(std::is_same_v<std::ranges::range_reference_t<reader>, const int&>);
    STATIC_REQUIRE(std::is_same_v<span::value_type, int>);
    STATIC_REQUIRE(std::is_same_v<reader::value_type, int>);
    STATIC_REQUIRE(std::is_convertible_v<span&, std::span<int>>);
    STATIC_REQUIRE(std::is_convertible_v<span&, std::span<const int>>);
    STATIC_REQUIRE(std::is_convertible_v<const span&, std::span<const int>>);
    STATIC_REQUIRE(std::is_convertible_v<const reader&, std::span<const int>>);
    STATIC_REQUIRE_FALSE(std::is_convertible_v<const span&, std::span<int>>);
    STATIC_REQUIRE_FALSE(std::is_convertible_v<reader&, std::span<int>>);
    STATIC_REQUIRE(std::is_convertible_v<const mapped_span<const char>&, std::string_view>);
    STATIC_REQUIRE(std::is_convertible_v<const mapped_span<char>&, std::string_view>);
    STATIC_REQUIRE_FALSE(std::is_convertible_v<const mapped_span<std::byte>&, std::string_view>);
    STATIC_REQUIRE_FALSE(std::is_convertible_v<const char*, mapped_span<char>>);
    STATIC_REQUIRE_FALSE(std::ranges::borrowed_range<span>);
    STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<span>);
    STATIC_REQUIRE_FALSE(std::is_copy_assignable_v<span>);
    STATIC_REQUIRE(std::is_nothrow_move_constructible_v<span>);
    STATIC_REQUIRE(std::is_nothrow_move_assignable_v<span>);
    STATIC_REQUIRE(std::is_nothrow_swappable_v<span>);
    STATIC_REQUIRE(std::is_nothrow_default_constructible_v<span>);
    STATIC_REQUIRE(std::is_nothrow_destructible_v<span>);
}

TEST_CASE("elements are reached as in any standard container") {
    const counting_file file(5);
    mutable_numbers span(file.path);
    const auto& reading = span;
    CHECK(span.size() == 5);
    CHECK(span.size_bytes() == 20);
    CHECK_FALSE(span.empty());
    CHECK(span[3] == 3);
    CHECK(reading[3] == 3);
    CHECK(span.front() == 0);
    CHECK(reading.back() == 4);
    CHECK(reading.at(4) == 4);
    CHECK_THROWS_AS(span.at(5), std::out_of_range);
    CHECK_THROWS_AS(reading.at(std::numeric_limits<std::size_t>::max()), std::out_of_range);
    CHECK(std::ranges::equal(span, file.numbers));
    CHECK(std::equal(reading.rbegin(), reading.rend(), file.numbers.rbegin()));
    CHECK(std::equal(span.cbegin(), span.cend(), file.numbers.begin()));
    CHECK(span.data() == &span[0]);
    CHECK(std::ranges::size(reading) == 5);
    span.at(0) = 9;
    *span.rbegin() = 8;
    CHECK(read_file_of<std::uint32_t>(file.path) == std::vector<std::uint32_t>{9, 1, 2, 3, 8});
}

TEST_CASE("algorithms work on the file in place") {
    const counting_file file(10000);
    mutable_numbers span(file.path);
    std::ranges::reverse(span);
    CHECK(read_file_of<std::uint32_t>(file.path).front() == 9999);
    std::ranges::sort(span);
    span.flush();
    CHECK(read_file_of<std::uint32_t>(file.path) == file.numbers);
    const std::span<std::uint32_t> view(span);
    CHECK(view.data() == span.data());
}

TEST_CASE("characters are a string view") {
    const temporary_directory directory;
    write_file(directory / "text", "hello, world");
    const mapped_span<const char> text(directory / "text");
    const std::string_view all(text);
    CHECK(all == "hello, world");
    CHECK(all.data() == text.data());
    write_file(directory / "wide", std::u16string_view(u"hi"));
    CHECK(std::u16string_view(mapped_span<const char16_t>(directory / "wide")) == u"hi");
    write_file(directory / "empty", "");
    CHECK(std::string_view(mapped_span<const char>(directory / "empty")).empty());
}

// ---- opening, for every element type ----

TEMPLATE_TEST_CASE("a file written as elements is mapped as the same elements", "", ELEMENT_TYPES) {
    const temporary_directory directory;
    const auto path = directory / "x";
    const auto expected = elements<TestType>(1000);
    write_file(path, expected);
    const leak_check guard;
    const mapped_span<const TestType> reader(path);
    CHECK(reader.size() == 1000);
    CHECK(std::ranges::equal(reader, expected));
    CHECK(reader.access() == read_only);
    CHECK(reader.name() == path);
    CHECK_FALSE(reader.created());
    CHECK_FALSE(reader.is_copy());
    mapped_span<TestType> writer(path);
    CHECK(writer.access() == read_write);
    writer[999] = element<TestType>(0);
    CHECK(reader[999] == element<TestType>(0));
    writer.flush(999, 1);
    CHECK(read_file_of<TestType>(path).back() == element<TestType>(0));
}

TEMPLATE_TEST_CASE(
    "a length that is no multiple of the element's size is refused, unless a count is given", "",
    std::uint16_t, std::uint64_t, float, std::complex<double>, rgb, large, aligned) {
    const temporary_directory directory;
    const auto path = directory / "x";
    for (const std::size_t extra : {std::size_t{1}, sizeof(TestType) - 1}) {
        write_file(path, std::string(3 * sizeof(TestType) + extra, 'x'));
        check_span_fails<const TestType>(path, {},
                                         says(errc::length_not_multiple, "mapped_span", path));
        check_span_fails<TestType>(path, {}, says(errc::length_not_multiple, "mapped_span", path));
        CHECK(mapped_span<const TestType>(path, {.count = 3}).size() == 3);
        check_span_fails<const TestType>(path, {.count = 4},
                                         says(errc::past_the_end, "mapped_span", path));
    }
    write_file(path, std::string(sizeof(TestType) - 1, 'x'));
    check_span_fails<const TestType>(path, {},
                                     says(errc::length_not_multiple, "mapped_span", path));
}

TEMPLATE_TEST_CASE("an offset must suit the alignment of the element", "", std::uint16_t,
                   std::uint64_t, float, std::complex<double>, large, aligned) {
    const temporary_directory directory;
    const auto path = directory / "x";
    write_file(path, std::string(page_size() + 10 * sizeof(TestType), 'x'));
    for (const std::uint64_t offset : {std::uint64_t{1}, std::uint64_t{alignof(TestType) / 2},
                                       alignof(TestType) + 1, page_size() - 1, page_size() + 1})
        check_span_fails<const TestType>(path, {.offset_bytes = offset, .count = 1},
                                         says(errc::misaligned, "mapped_span", path));
    for (const std::uint64_t offset :
         {std::uint64_t{0}, std::uint64_t{alignof(TestType)}, std::uint64_t{page_size()},
          page_size() + alignof(TestType)}) {
        const mapped_span<const TestType> span(path, {.offset_bytes = offset, .count = 1});
        CHECK(reinterpret_cast<std::uintptr_t>(span.data()) % alignof(TestType) == 0);
    }
}

TEMPLATE_TEST_CASE("create makes a file of zero elements, that others open", "", ELEMENT_TYPES) {
    const temporary_directory directory;
    const auto path = directory / "new";
    const leak_check guard;
    auto fresh = mapped_span<TestType>::create(path, 1000);
    CHECK(fresh.created());
    CHECK(fresh.size() == 1000);
    CHECK(std::filesystem::file_size(path) == 1000 * sizeof(TestType));
    const auto bytes = std::as_bytes(std::span(fresh));
    CHECK(std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; }));
    fresh[999] = element<TestType>(7);
    const mapped_span<const TestType> other(path);
    CHECK(other[999] == element<TestType>(7));
    CHECK(error_of([&] { (void)mapped_span<TestType>::create(path, 5); }) ==
          says(EEXIST, "open", path));
    CHECK(std::filesystem::file_size(path) == 1000 * sizeof(TestType));
}

// ---- ranges in the file ----

TEST_CASE("bytes at any offset are mapped, up to and over the edges of pages") {
    const auto page = page_size();
    const temporary_directory directory;
    std::string text(3 * page, '\0');
    for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i % 251);
    write_file(directory / "x", text);
    for (const std::size_t offset : {std::size_t{0}, std::size_t{1}, page - 1, page, page + 1,
                                     2 * page, 3 * page - 1, 3 * page}) {
        INFO("offset " << offset);
        const mapped_span<const char> rest(directory / "x", {.offset_bytes = offset});
        CHECK(std::string_view(rest) == std::string_view(text).substr(offset));
        for (const std::size_t n : {std::size_t{0}, std::size_t{1}, page - 1, page, page + 1}) {
            if (offset + n > text.size()) continue;
            const mapped_span<const char> part(directory / "x",
                                               {.offset_bytes = offset, .count = n});
            CHECK(std::string_view(part) == std::string_view(text).substr(offset, n));
        }
    }
}

TEST_CASE("an offset or a count past the end is refused, also when the sum or the product wraps") {
    const counting_file file(100);
    const auto past = says(errc::past_the_end, "mapped_span", file.path);
    check_span_fails<const std::uint32_t>(file.path, {.offset_bytes = 404}, past);
    check_span_fails<const std::uint32_t>(file.path, {.offset_bytes = UINT64_MAX - 3}, past);
    check_span_fails<const std::uint32_t>(file.path, {.count = 101}, past);
    check_span_fails<const std::uint32_t>(file.path, {.offset_bytes = 4, .count = 100}, past);
    check_span_fails<const std::uint32_t>(file.path, {.offset_bytes = 400, .count = 1}, past);
    check_span_fails<const std::uint32_t>(file.path, {.count = SIZE_MAX / 4}, past);
    const auto wraps = says(errc::size_overflow, "mapped_span", file.path);
    check_span_fails<const std::uint32_t>(file.path, {.count = SIZE_MAX}, wraps);
    check_span_fails<const std::uint32_t>(file.path, {.count = SIZE_MAX / 4 + 1}, wraps);
    check_span_fails<const std::uint32_t>(file.path, {.offset_bytes = 8, .count = SIZE_MAX / 4},
                                          wraps);
    CHECK(numbers(file.path, {.offset_bytes = 400}).empty());
    CHECK(numbers(file.path, {.offset_bytes = 400, .count = 0}).empty());
    CHECK(numbers(file.path, {.offset_bytes = 396})[0] == 99);
    try {
        const numbers span(file.path, {.offset_bytes = 8, .count = 100});
        FAIL("should be past the end");
    } catch (const mmstl::mapping_error& e) {
        CHECK(e.asked_bytes() == 408);
        CHECK(e.available_bytes() == 400);
    }
}

TEST_CASE("an empty file is an ordinary empty span") {
    const temporary_directory directory;
    write_file(directory / "empty", "");
    const leak_check guard;
    const auto below = GENERATE(std::size_t{0}, std::size_t{4096});
    mapped_span<const std::uint64_t> reader(directory / "empty", {.copy_below_bytes = below});
    CHECK(reader.empty());
    CHECK(reader.begin() == reader.end());
    CHECK(reader.size_bytes() == 0);
    CHECK_THROWS_AS(reader.at(0), std::out_of_range);
    mapped_span<std::uint64_t> span(directory / "empty");
    CHECK(std::accumulate(span.begin(), span.end(), std::uint64_t{0}) == 0);
    CHECK_NOTHROW(span.flush());
    CHECK_NOTHROW(span.flush_async());
    CHECK_NOTHROW(span.advise(advice::random));
    CHECK_NOTHROW(span.prefetch());
    CHECK_NOTHROW(span.lock_in_memory());
    CHECK_NOTHROW(span.unlock_from_memory());
    CHECK(span.resident());
    CHECK(span.readable());
    CHECK_FALSE(span.refresh());
    for (auto part : span.chunks(10)) FAIL("no chunk of nothing: " << part.size());
    CHECK_NOTHROW(span.close());
    CHECK_NOTHROW(span.close());
    const auto created = mapped_span<int>::create(directory / "zero", 0);
    CHECK(created.empty());
    CHECK(created.created());
}

// ---- bad files ----

TEST_CASE("what is no file to map is an error with its path, and leaves nothing open") {
    const temporary_directory directory;
    const auto missing = directory / "missing";
    check_span_fails<const char>(missing, {}, says(ENOENT, "open", missing));
    check_span_fails<char>(missing, {}, says(ENOENT, "open", missing));
    CHECK_FALSE(std::filesystem::exists(missing));
    check_span_fails<const char>(directory.path(), {}, says(EISDIR, "open", directory.path()));
    check_span_fails<char>(directory.path(), {}, says(EISDIR, "open", directory.path()));
    const auto fifo = directory / "fifo";
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    check_span_fails<const char>(fifo, {}, says(errc::not_mappable, "open", fifo));
    check_span_fails<char>(fifo, {}, says(errc::not_mappable, "open", fifo));
    check_span_fails<const char>("/dev/null", {}, says(errc::not_mappable, "open", "/dev/null"));
}

TEST_CASE("a file without permission is EACCES with its path") {
    const counting_file file(10);
    ::chmod(file.directory.path().c_str(), 0755);
    ::chmod(file.path.c_str(), 0444);
    check_in_child([&] {
        become_nobody();
        expect(numbers(file.path).size() == 10);
        expect(error_of([&] { const mutable_numbers span(file.path); }) ==
               says(EACCES, "open", file.path));
        mutable_numbers own(file.path, {.access = copy_on_write});
        own[0] = 7;
        expect(numbers(file.path)[0] == 0);
    });
    ::chmod(file.path.c_str(), 0);
    check_in_child([&] {
        become_nobody();
        expect(error_of([&] { const numbers span(file.path); }) == says(EACCES, "open", file.path));
    });
}

TEST_CASE("without descriptors or addresses a span is an error, and the ones that exist go on") {
    const counting_file file(1 << 20);
    check_in_child([&] {
        const numbers before(file.path);
        const ::rlimit none{0, 0};
        expect(::setrlimit(RLIMIT_NOFILE, &none) == 0);
        expect(error_of([&] { const numbers span(file.path); }) == says(EMFILE, "open", file.path));
        expect(before[1000] == 1000);
    });
    if (MMSTL_TESTS_SANITIZED) return; // they have used up any limit already
    check_in_child([&] {
        const numbers before(file.path);
        const ::rlimit little{1, 1};
        expect(::setrlimit(RLIMIT_AS, &little) == 0);
        expect(error_of([&] { const numbers span(file.path); }) == says(ENOMEM, "mmap", file.path));
        expect(before[1000] == 1000);
    });
}

TEST_CASE("an error_code is cleared by success") {
    const counting_file file(10);
    std::error_code ec = make_error_code(errc::misaligned);
    numbers span(file.path, ec);
    CHECK_FALSE(ec);
    CHECK(span.size() == 10);
    ec = make_error_code(errc::misaligned);
    auto other = mutable_numbers::open_or_create(file.path, 3, ec);
    CHECK_FALSE(ec);
    ec = make_error_code(errc::misaligned);
    other.flush(ec);
    CHECK_FALSE(ec);
    ec = make_error_code(errc::misaligned);
    other.close(ec);
    CHECK_FALSE(ec);
}

// ---- access ----

TEST_CASE("only the accesses that suit the element's constness are taken") {
    const counting_file file(10);
    const auto refused = says(errc::wrong_access, "mapped_span", file.path);
    check_span_fails<std::uint32_t>(file.path, {.access = read_only}, refused);
    check_span_fails<std::uint32_t>(file.path, {.access = mmstl::access::none}, refused);
    check_span_fails<std::uint32_t>(file.path, {.access = mmstl::access::execute}, refused);
    check_span_fails<const std::uint32_t>(file.path, {.access = read_write}, refused);
    check_span_fails<const std::uint32_t>(file.path, {.access = mmstl::access::none}, refused);
    CHECK(mutable_numbers(file.path, {.access = read_write}).size() == 10);
    CHECK(numbers(file.path, {.access = read_only}).size() == 10);
}

TEST_CASE("a copy-on-write span never reaches the file") {
    const counting_file file(5000);
    mutable_numbers own(file.path, {.access = copy_on_write, .offset_bytes = 4});
    std::ranges::fill(own, 7U);
    CHECK(own[4998] == 7);
    own.flush();
    own.close();
    CHECK(read_file_of<std::uint32_t>(file.path) == file.numbers);
}

TEST_CASE("writing through a cast on a read-only span raises a signal, and not a change") {
    const counting_file file(10);
    const numbers span(file.path);
    CHECK(in_child([&] { *const_cast<volatile std::uint32_t*>(span.data()) = 1; }).signal ==
          SIGSEGV);
    CHECK(read_file_of<std::uint32_t>(file.path) == file.numbers);
}

// ---- every backing ----

TEST_CASE("a span lives on every backing, and forked children share it") {
    const auto which = every_kind();
    INFO(which);
    const sample one(which);
    const auto where = one.backing_of(12000);
    const leak_check guard;
    mutable_numbers span(where, {.count = 3000});
    CHECK(span.size() == 3000);
    CHECK(span.created() == is_fresh(which));
    CHECK(span.name() == where.name());
    CHECK(std::ranges::count(span, 0U) == 3000);
    check_in_child([&] { span[2999] = 42; });
    CHECK(span[2999] == 42);
    span.flush();
    span.advise(advice::random, 10, 100);
    CHECK(span.readable());
    mutable_numbers empty(where, {.count = 0});
    CHECK(empty.empty());
}

TEST_CASE("a copy-on-write span is not shared with children") {
    mutable_numbers span(mmstl::anonymous(), {.access = copy_on_write, .count = 1});
    check_in_child([&] { span[0] = 42; });
    CHECK(span[0] == 0);
}

TEST_CASE("what has no length of its own needs a count") {
    const auto which = GENERATE(kind::temporary_file, kind::memory_file, kind::anonymous);
    INFO(which);
    const sample one(which);
    const auto name = one.backing().name();
    check_span_fails<int>(one.backing(), {}, says(errc::needs_count, "mapped_span", name));
    check_span_fails<int>(one.backing(), {.count = SIZE_MAX},
                          says(errc::size_overflow, "mapped_span", name));
    check_span_fails<int>(one.backing(), {.offset_bytes = 8, .count = SIZE_MAX / 4},
                          says(errc::size_overflow, "mapped_span", name));
    CHECK(error_of([&] {
              const mapped_span<int> span(one.backing(), {.count = SIZE_MAX / 4});
          }).code);
    const mapped_span<int> span(one.backing(), {.offset_bytes = page_size() + 4, .count = 5});
    CHECK(span.size() == 5);
}

TEST_CASE("create and open_or_create work on every backing with a name, and say which happened") {
    const auto which = GENERATE(kind::file, kind::shared_memory);
    INFO(which);
    const sample one(which);
    const leak_check guard;
    {
        auto span = mutable_numbers::open_or_create(one.backing(), 100, {.offset_bytes = 8});
        CHECK(span.created());
        CHECK(span.size() == 100);
        span[99] = 7;
    }
    CHECK(one.backing().open().size_bytes() == 408);
    const auto again = mutable_numbers::open_or_create(one.backing(), 5, {.offset_bytes = 8});
    CHECK_FALSE(again.created());
    CHECK(again.size() == 100);
    CHECK(again[99] == 7);
    CHECK(error_of([&] { (void)mutable_numbers::create(one.backing(), 1); }).code ==
          std::errc::file_exists);
    one.backing().remove();
    CHECK(again[99] == 7);
}

TEST_CASE("create works on what has no name; a borrowed descriptor cannot be created") {
    const auto which = GENERATE(kind::temporary_file, kind::memory_file, kind::anonymous);
    const sample one(which);
    CHECK(mutable_numbers::create(one.backing(), 10).size() == 10);
    CHECK(mutable_numbers::open_or_create(one.backing(), 10).created());
    const sample borrowed(kind::borrowed_fd);
    CHECK(error_of([&] { (void)mutable_numbers::create(borrowed.backing(), 10); }).code ==
          errc::no_name);
}

TEST_CASE("a failed creation leaves no file behind") {
    const temporary_directory directory;
    const auto path = directory / "new";
    const auto check = [&](auto make, const std::error_code& expected) {
        const leak_check guard;
        CHECK(error_of(make).code == expected);
        CHECK_FALSE(std::filesystem::exists(path));
    };
    check([&] { (void)mutable_numbers::create(path, SIZE_MAX); }, errc::size_overflow);
    check([&] { (void)mutable_numbers::create(path, SIZE_MAX / 4); }, errc::size_overflow);
    check([&] { (void)mutable_numbers::create(path, SIZE_MAX / 8); },
          {EFBIG, std::system_category()});
    check([&] { (void)mutable_numbers::create(path, 1, {.offset_bytes = 1}); }, errc::misaligned);
    check([&] { (void)mutable_numbers::create(path, 1, {.access = read_only}); },
          errc::wrong_access);
    check([&] { (void)mutable_numbers::create(path, 1, {.pages = mmstl::pages::huge_tlb}); },
          errc::wrong_access);
    {
        const fault::fail full(fault::call::fallocate, 1, ENOSPC);
        check([&] { (void)mutable_numbers::create(path, 1); }, {ENOSPC, std::system_category()});
    }
    const fault::fail out(fault::call::mmap, 1, ENOMEM);
    std::error_code ec;
    CHECK(mutable_numbers::create(path, 1, ec).empty());
    CHECK(ec == std::errc::not_enough_memory);
    CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("whoever finds the name of a span finds all of it") {
    const auto which = GENERATE(kind::file, kind::shared_memory);
    INFO(which);
    const sample one(which);
    const auto where = one.backing();
    const std::uint64_t n = 1 << 14;
    // Of what the observer sees, the shortest; and how often it saw anything.
    struct seen {
        std::atomic<std::uint64_t> shortest{UINT64_MAX}, times{0};
    };
    const shared<seen> found;
    child observer([&] {
        for (std::error_code ec;;) {
            const auto handle = where.open(read_only, ec);
            if (!handle.is_open()) continue;
            const auto size = handle.size_bytes();
            if (size < found->shortest) found->shortest = size;
            ++found->times;
        }
    });
    const auto enough = static_cast<std::uint64_t>(soaked(300));
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::minutes(soaked(1));
    for (bool opens = false; found->times < enough; opens = !opens) {
        REQUIRE(std::chrono::steady_clock::now() < give_up);
        auto span =
            opens ? mutable_numbers::open_or_create(where, n) : mutable_numbers::create(where, n);
        CHECK(span.created());
        where.remove();
    }
    CHECK(found->shortest == n * sizeof(std::uint32_t));
}

TEST_CASE("a creator that is killed leaves nothing, or all of it") {
    const auto which = GENERATE(kind::file, kind::shared_memory);
    const sample one(which);
    const auto where = one.backing();
    const bool is_file = which == kind::file;
    bool nothing = false;
    bool all = false;
    const auto report = kill_at_every_instruction(
        is_file ? "creating a file" : "creating shared memory",
        [&] {
            std::error_code ignored;
            where.remove(ignored);
            return 0;
        },
        [&](int) {
            std::error_code ec;
            (void)mutable_numbers::create(where, 5000, ec);
            if (ec) ::_exit(1);
        },
        [&](int, long) {
            std::error_code ec;
            const auto left = where.open(read_only, ec);
            (left.is_open() ? all : nothing) = true;
            if (left.is_open()) CHECK(left.size_bytes() == 20'000);
        },
        30'000);
    if (!report.allowed) return;
    CHECK(nothing);
    CHECK(all);
}

TEST_CASE("of many that open_or_create a span at once, one creates and all share it") {
    const auto which = GENERATE(kind::file, kind::shared_memory);
    const bool threads = GENERATE(true, false);
    INFO(which << (threads ? " threads" : " processes"));
    const sample one(which);
    const auto where = one.backing();
    constexpr unsigned n_racers = 4;
    struct race {
        std::atomic<unsigned> ready{0}, created{0}, wrong{0};
    };
    for (long round = 0; round < soaked(50); ++round) {
        const shared<race> at;
        const auto run = [&](unsigned me) {
            for (++at->ready; at->ready < n_racers;) std::this_thread::yield();
            auto span = mutable_numbers::open_or_create(where, 1000);
            at->created += span.created() ? 1 : 0;
            at->wrong += span.size() == 1000 ? 0 : 1;
            span[me] = me + 1;
        };
        if (threads) {
            std::vector<std::thread> all;
            for (unsigned i = 0; i < n_racers; ++i) all.emplace_back(run, i);
            for (auto& thread : all) thread.join();
        } else {
            std::vector<child> all;
            for (unsigned i = 0; i < n_racers; ++i) all.emplace_back([&, i] { run(i); });
            for (auto& racer : all) REQUIRE(racer.wait().ok());
        }
        CHECK(at->created == 1);
        CHECK(at->wrong == 0);
        const numbers span(where);
        for (unsigned i = 0; i < n_racers; ++i) CHECK(span[i] == i + 1);
        where.remove();
    }
}

TEST_CASE("a span that was prepared in vain is prepared again, and the first one is unmapped") {
    const sample one(kind::file);
    const auto where = one.backing();
    const leak_check guard;
    { // the link finds the name taken, and then the opening finds it free again
        const fault::fail taken(fault::call::linkat, 1, EEXIST);
        const auto ours = mutable_numbers::open_or_create(where, 100);
        CHECK(ours.created()); // in the second round
        CHECK(ours.size() == 100);
        CHECK(taken.count(fault::call::mmap) == 2);
        CHECK(taken.count(fault::call::munmap) == 1);
    }
    where.remove();
    const fault::fail taken(fault::call::linkat, 1, EEXIST);
    CHECK(error_of([&] { (void)mutable_numbers::create(where, 100); }) ==
          says(EEXIST, "open", where.name()));
}

TEST_CASE("creating a span leaves nothing behind where there are no unnamed files") {
    const auto which = GENERATE(kind::file, kind::shared_memory);
    INFO(which);
    const sample one(which);
    const auto where = one.backing();
    const auto before = holdings::now();
    const auto make = [&] { (void)mutable_numbers::create(where, 100); };
    const auto make_by_name = [&] {
        const fault::fail without(fault::call::linkat, 1, EPERM);
        const fault::fail at_all(fault::call::linkat, 2, EPERM);
        make();
    };
    const long n = fault::for_each_failure(make_by_name, EIO, [&](const fault::outcome& result) {
        INFO(result.nth << " " << fault::name_of(result.which));
        CHECK(holdings::now().beyond(before) == "");
        std::error_code ec;
        CHECK(where.open(read_only, ec).is_open() == !result.exception);
        if (!result.exception)
            CHECK((result.which == fault::call::close || result.which == fault::call::munmap ||
                   result.which == fault::call::linkat));
        where.remove(ec);
    });
    CHECK(n >= 12);
    where.remove();
    for (long nth = 1;; ++nth) {
        REQUIRE(nth < 30);
        const fault::fail without(fault::call::linkat, 1, EPERM);
        const fault::fail at_all(fault::call::linkat, 2, EPERM);
        const failing_allocation armed(nth);
        try {
            make();
            break;
        } catch (const std::bad_alloc&) {
            std::error_code ec;
            CHECK_FALSE(where.open(read_only, ec).is_open());
        }
    }
    CHECK(where.open().size_bytes() == 400);
}

TEST_CASE("a span of shared memory is created with its permissions, less the umask") {
    const shared_memory_name name;
    const temporary_directory directory;
    const auto mode = [](const std::string& path) {
        struct ::stat status {};
        REQUIRE(::stat(path.c_str(), &status) == 0);
        return status.st_mode & 07777U;
    };
    const auto old = ::umask(022);
    (void)mutable_numbers::create(mmstl::shared_memory(name.text(), {.permissions = 0664}), 1);
    (void)mutable_numbers::create(mmstl::file(directory / "x"), 1);
    ::umask(old);
    CHECK(mode("/dev/shm" + name.text()) == 0644U);
    CHECK(mode(directory / "x") == 0644U);
}

TEST_CASE("creating on a full disk is an error, and takes nothing") {
    check_on_small_disk(1 << 20, [](const temporary_directory& disk) {
        expect(error_of([&] { (void)mutable_numbers::create(disk / "x", 1 << 20); }) ==
               says(ENOSPC, "fallocate", disk / "x"));
        expect(!std::filesystem::exists(disk / "x"));
        auto sparse =
            mutable_numbers::create(disk / "x", 1 << 20, {.allocation = mmstl::allocation::sparse});
        expect(sparse.size() == 1 << 20);
    });
    check_on_small_disk(1 << 20, [](const temporary_directory& disk) {
        // What is prepared in vain gives its room back before it is prepared again.
        const fault::fail without(fault::call::linkat, 1, EPERM);
        const fault::fail at_all(fault::call::linkat, 2, EPERM);
        expect(mutable_numbers::create(disk / "x", 200'000).created());
    });
}

TEST_CASE("a created file keeps what was written after the span is gone, in another process too") {
    const temporary_directory directory;
    check_in_child([&] {
        auto span = mutable_numbers::create(directory / "x", 2000);
        std::iota(span.begin(), span.end(), 0U);
        ::_exit(0); // neither flushed nor unmapped
    });
    const numbers span(directory / "x");
    REQUIRE(span.size() == 2000);
    CHECK(span[1999] == 1999);
}

// ---- copying small files ----

TEST_CASE("a small file is read and not mapped, if that is asked for") {
    const counting_file file(1000);
    const leak_check guard;
    const auto before = holdings::now();
    const fault::watch watching;
    numbers span(file.path, {.offset_bytes = 8, .count = 500, .copy_below_bytes = 4096});
    CHECK(span.is_copy());
    CHECK(watching.count(fault::call::mmap) == 0);
    CHECK(watching.count(fault::call::pread) == 1);
    CHECK(span.size() == 500);
    CHECK(std::ranges::equal(span, std::span(file.numbers).subspan(2, 500)));
    CHECK(span.name() == file.path);
    CHECK(span.access() == read_only);
    CHECK(holdings::now().beyond(before) == "");
    CHECK(span.resident());
    CHECK(span.readable());
    CHECK_NOTHROW(span.advise(advice::random));
    CHECK_NOTHROW(span.flush());
    CHECK_NOTHROW(span.prefetch());
    CHECK(error_of([&] { span.lock_in_memory(); }).code == errc::wrong_access);
    CHECK(error_of([&] { span.unlock_from_memory(); }).code == errc::wrong_access);
    CHECK(error_of([&] { span.advise(advice::random, 1, 500); }).code == errc::past_the_end);
    std::size_t n = 0;
    for (const auto part : span.chunks(7, {.behind = mmstl::behind::evict})) n += part.size();
    CHECK(n == 500);
    REQUIRE(::truncate(file.path.c_str(), 0) == 0);
    CHECK(span.readable());
    CHECK(span[499] == 501);
    auto moved = std::move(span);
    CHECK(moved[499] == 501);
    CHECK(span.empty()); // NOLINT(bugprone-use-after-move): that is what is tested
    moved.close();
    CHECK(moved.empty());
    CHECK_FALSE(moved.is_copy());
}

TEST_CASE("only read-only spans below the limit are copied") {
    const counting_file file(1000);
    CHECK(numbers(file.path, {.copy_below_bytes = 4001}).is_copy());
    CHECK_FALSE(numbers(file.path, {.copy_below_bytes = 4000}).is_copy());
    CHECK_FALSE(numbers(file.path).is_copy());
    CHECK_FALSE(mutable_numbers(file.path, {.copy_below_bytes = 1 << 20}).is_copy());
    CHECK_FALSE(mutable_numbers(file.path, {.access = copy_on_write, .copy_below_bytes = 1 << 20})
                    .is_copy());
}

TEMPLATE_TEST_CASE("a copy is aligned for its elements, and holds them", "", ELEMENT_TYPES) {
    const temporary_directory directory;
    const auto expected = elements<TestType>(7);
    write_file(directory / "x", expected);
    const mapped_span<const TestType> span(directory / "x", {.copy_below_bytes = 1 << 20});
    CHECK(span.is_copy());
    CHECK(reinterpret_cast<std::uintptr_t>(span.data()) % alignof(TestType) == 0);
    CHECK(std::ranges::equal(span, expected));
}

TEST_CASE("a read that comes back in pieces is completed") {
    const counting_file file(1000);
    const fault::shorten first(fault::call::pread, 1);
    const numbers span(file.path, {.copy_below_bytes = 4096});
    CHECK(first.hit());
    CHECK(std::ranges::equal(span, file.numbers));
}

TEST_CASE("the checks of a copied span are those of a mapped one") {
    const counting_file file(100);
    check_span_fails<const std::uint64_t>(
        file.path, {.offset_bytes = 8, .count = 50, .copy_below_bytes = 4096},
        says(errc::past_the_end, "mapped_span", file.path));
    check_span_fails<const rgb>(file.path, {.copy_below_bytes = 4096},
                                says(errc::length_not_multiple, "mapped_span", file.path));
    check_span_fails<const std::uint64_t>(file.path, {.offset_bytes = 4, .copy_below_bytes = 4096},
                                          says(errc::misaligned, "mapped_span", file.path));
}

// ---- ranges of elements ----

TEST_CASE("a range of elements that is not in the span is refused, also when its end wraps") {
    const counting_file file(100);
    mutable_numbers span(file.path);
    constexpr auto most = std::numeric_limits<std::size_t>::max();
    const fault::watch watching;
    for (const auto& range : {std::pair<std::size_t, std::size_t>{101, 0},
                              {0, 101},
                              {100, 1},
                              {1, most},
                              {most, 1},
                              {most, most},
                              {most / 4 + 1, 1},
                              {0, most / 4 + 1},
                              {most / 4 + 1, most - most / 4 + 1}}) {
        const auto first = range.first, n = range.second;
        INFO("first " << first << ", n " << n);
        const auto code_of = [](auto function) { return error_of(function).code; };
        CHECK(code_of([&] { span.flush(first, n); }) == errc::past_the_end);
        CHECK(code_of([&] { span.flush_async(first, n); }) == errc::past_the_end);
        CHECK(code_of([&] { span.advise(advice::random, first, n); }) == errc::past_the_end);
        CHECK(code_of([&] { span.prefetch(first, n); }) == errc::past_the_end);
        CHECK(code_of([&] { (void)span.resident(first, n); }) == errc::past_the_end);
        CHECK(code_of([&] { (void)span.readable(first, n); }) == errc::past_the_end);
        std::error_code ec;
        span.flush(first, n, ec);
        CHECK(ec == errc::past_the_end);
    }
    CHECK(watching.records().empty());
    CHECK_NOTHROW(span.flush(100, 0));
    CHECK_NOTHROW(span.flush(99, 1));
}

TEST_CASE("flush gives the kernel the pages of the range, and reports its errno") {
    const counting_file file(5000);
    mutable_numbers span(file.path, {.offset_bytes = 4});
    {
        const fault::watch watching;
        span.flush(2000, 10);
        REQUIRE(watching.records().size() == 1);
        const auto& record = watching.records()[0];
        CHECK(record.arguments[0] % page_size() == 0);
        CHECK(record.arguments[0] <= reinterpret_cast<std::uintptr_t>(&span[2000]));
        const auto end = reinterpret_cast<std::uintptr_t>(&span[2010]);
        CHECK(record.arguments[0] + record.arguments[1] ==
              (end + page_size() - 1) / page_size() * page_size());
    }
    const fault::fail armed(fault::call::msync, 1, EIO);
    CHECK(error_of([&] { span.flush(); }) == says(EIO, "msync", file.path));
    const fault::fail again(fault::call::msync, 1, ENOSPC);
    std::error_code ec;
    span.flush(1, 2, ec);
    CHECK(ec == std::errc::no_space_on_device);
}

TEST_CASE("neither opening nor destroying a span gives advice or waits for the disk") {
    const counting_file file(5000);
    const fault::watch watching;
    {
        mutable_numbers span(file.path);
        span[0] = 1;
    }
    CHECK(watching.count(fault::call::madvise) == 0);
    CHECK(watching.count(fault::call::msync) == 0);
    CHECK(watching.count(fault::call::fsync) == 0);
    CHECK(watching.records().size() <= 5); // open, fstat, mmap, close; munmap
}

TEST_CASE("prefetch, residency and locks go by elements") {
    mutable_numbers span(mmstl::memory_file("x"), {.count = 4096});
    CHECK_FALSE(span.resident());
    span.prefetch(0, 1024);
    CHECK(span.resident(0, 1024));
    span.advise(advice::populate_write);
    CHECK(span.resident());
    CHECK_NOTHROW(span.lock_in_memory());
    CHECK_NOTHROW(span.unlock_from_memory());
    STATIC_REQUIRE_FALSE(lockable<mutable_numbers>);
}

// ---- files that change ----

TEST_CASE("readable answers, without a signal, when the file was shortened") {
    const auto page = page_size();
    const auto per_page = page / 4;
    const counting_file file(4 * per_page);
    const numbers span(file.path);
    CHECK(span.readable());
    REQUIRE(::truncate(file.path.c_str(), static_cast<::off_t>(2 * page + 10)) == 0);
    CHECK_FALSE(span.readable());
    CHECK(span.readable(0, 2 * per_page + 2));
    CHECK_FALSE(span.readable(0, 2 * per_page + 3));
    CHECK_FALSE(span.readable(3 * per_page, 1));
    CHECK(in_child([&] {
              (void)*static_cast<const volatile std::uint32_t*>(&span[3 * per_page]);
          }).signal == SIGBUS);
    CHECK(span[2 * per_page + 1] == 2 * per_page + 1);
}

TEST_CASE("refresh follows a file that grows and shrinks, and says so") {
    const counting_file file(10);
    const leak_check guard;
    numbers span(file.path, {.offset_bytes = 8});
    const auto* const data = span.data();
    CHECK_FALSE(span.refresh());
    CHECK(span.data() == data);
    auto longer = file.numbers;
    for (std::uint32_t i = 10; i < 5000; ++i) longer.push_back(i);
    write_file(file.path, longer);
    CHECK(span.size() == 8);
    CHECK(span.refresh());
    CHECK(span.size() == 4998);
    CHECK(span.back() == 4999);
    REQUIRE(::truncate(file.path.c_str(), 400) == 0);
    CHECK(span.refresh());
    CHECK(span.size() == 98);
    CHECK(span.back() == 99);
    CHECK_FALSE(span.created());
}

TEST_CASE("refresh that fails leaves the span as it was") {
    const counting_file file(100);
    numbers span(file.path);
    REQUIRE(::truncate(file.path.c_str(), 401) == 0);
    CHECK(error_of([&] { span.refresh(); }) ==
          says(errc::length_not_multiple, "mapped_span", file.path));
    CHECK(span.size() == 100);
    std::filesystem::rename(file.path, file.directory / "moved");
    CHECK(error_of([&] { span.refresh(); }) == says(ENOENT, "open", file.path));
    write_file(file.path, file.numbers);
    CHECK(error_of([&] { span.refresh(); }) == says(errc::replaced, "refresh", file.path));
    CHECK(span.size() == 100);
    CHECK(span[99] == 99);
    CHECK(span.name() == file.path);
    REQUIRE(::truncate((file.directory / "moved").c_str(), 800) == 0);
    CHECK(span.refresh(file.directory / "moved"));
    CHECK(span.size() == 200);
}

TEST_CASE("refresh of a counted span follows only when its range is lost") {
    const counting_file file(100);
    numbers span(file.path, {.offset_bytes = 40, .count = 50});
    REQUIRE(::truncate(file.path.c_str(), 800) == 0);
    CHECK_FALSE(span.refresh());
    REQUIRE(::truncate(file.path.c_str(), 200) == 0);
    CHECK(error_of([&] { span.refresh(); }) == says(errc::past_the_end, "mapped_span", file.path));
    CHECK(span.size() == 50);
}

TEST_CASE("refresh works by name on shared memory, and by the backing on what has no name") {
    const sample memory(kind::shared_memory);
    const auto where = memory.backing_of(400);
    numbers span(where);
    where.open(read_write).resize(800);
    CHECK(span.refresh());
    CHECK(span.size() == 200);
    const sample borrowed(kind::borrowed_fd);
    const auto fd = borrowed.backing_of(400);
    mutable_numbers other(fd);
    (void)borrowed.backing_of(800);
    CHECK(error_of([&] { other.refresh(); }).code == errc::no_name);
    CHECK(other.refresh(fd));
    CHECK(other.size() == 200);
    mutable_numbers nameless(mmstl::anonymous(), {.count = 1});
    CHECK(error_of([&] { nameless.refresh(); }).code == errc::no_name);
    CHECK(error_of([&] { nameless.refresh(mmstl::anonymous()); }).code == errc::replaced);
}

TEST_CASE("refresh of a copied span sees a file that has grown") {
    const counting_file file(10);
    numbers span(file.path, {.copy_below_bytes = 4096});
    auto longer = file.numbers;
    longer.resize(100, 5);
    write_file(file.path, longer);
    CHECK(span.refresh());
    CHECK(span.is_copy());
    CHECK(std::ranges::equal(span, longer));
    longer.resize(10000, 6);
    write_file(file.path, longer);
    CHECK(span.refresh());
    CHECK_FALSE(span.is_copy());
    CHECK(std::ranges::equal(span, longer));
}

// ---- ownership ----

TEST_CASE("a span moves without moving its elements, and is empty afterwards") {
    const counting_file file(100);
    const leak_check guard;
    numbers first(file.path);
    const auto* const data = first.data();
    numbers second = std::move(first);
    CHECK(first.empty()); // NOLINT(bugprone-use-after-move): that is what is tested
    CHECK(first.data() == nullptr);
    CHECK(first.begin() == first.end());
    CHECK(second.data() == data);
    numbers third(file.path, {.count = 5});
    third = std::move(second);
    CHECK(third.data() == data);
    CHECK(third.size() == 100);
    CHECK(second.empty()); // NOLINT(bugprone-use-after-move)
    auto& same = third;
    third = std::move(same);
    CHECK(third.data() == data);
    using std::swap;
    swap(first, third);
    CHECK(first.data() == data);
    CHECK(third.empty());
    std::vector<numbers> many;
    for (std::size_t i = 0; i < 20; ++i) many.emplace_back(file.path, span_options{.count = i});
    CHECK(many[19].size() == 19);
    CHECK(many[19][18] == 18);
}

TEST_CASE("a span keeps no descriptor, and lives on when its file is unlinked") {
    const counting_file file(100);
    const auto before = holdings::now();
    numbers span(file.path);
    CHECK_THAT(holdings::now().beyond(before), !contains_text("descriptor"));
    backing(file.path).remove();
    CHECK(span[99] == 99);
}

TEST_CASE("a default span is empty and can be asked everything") {
    numbers span;
    CHECK(span.empty());
    CHECK(span.begin() == span.end());
    CHECK(span.readable());
    CHECK_NOTHROW(span.flush());
    CHECK_NOTHROW(span.close());
}

TEST_CASE("close reports the errno of munmap, and the span is empty") {
    const counting_file file(100);
    const leak_check guard;
    numbers span(file.path);
    {
        const fault::fail armed(fault::call::munmap, 1, ENOMEM);
        CHECK(error_of([&] { span.close(); }) == says(ENOMEM, "munmap", file.path));
    }
    CHECK(span.empty());
    CHECK(span.data() == nullptr);
}

// ---- every system call fails ----

TEST_CASE("every system call of opening a span fails in turn, and nothing stays open or mapped") {
    const auto which = every_kind();
    INFO(which);
    const sample one(which);
    const auto where = one.backing_of(4000);
    const auto open = [&] { const mutable_numbers span(where, {.offset_bytes = 4, .count = 900}); };
    for (const int error : {EIO, ENOMEM, ENOSPC})
        CHECK(fault::require_every_failure_is_reported(
                  open, error, {fault::call::close, fault::call::munmap}) >= 4);
    fault::require_every_interruption_is_survived(open);
}

TEST_CASE("every system call of creating a span fails in turn, and nothing is left behind") {
    const auto which = GENERATE(kind::file, kind::shared_memory);
    INFO(which);
    const auto how = GENERATE(mmstl::allocation::automatic, mmstl::allocation::blocks,
                              mmstl::allocation::sparse);
    const sample one(which);
    const auto where = one.backing();
    const auto before = holdings::now();
    const auto make = [&] {
        const auto span = mutable_numbers::create(where, 100, {.allocation = how});
    };
    std::error_code ec;
    for (const int error : {EIO, ENOSPC}) {
        const long n = fault::for_each_failure(make, error, [&](const fault::outcome& result) {
            INFO(result.nth << " " << fault::name_of(result.which));
            CHECK(holdings::now().beyond(before) == "");
            std::error_code ignored;
            if (result.exception)
                CHECK_FALSE(where.open(read_only, ignored).is_open());
            else
                CHECK((result.which == fault::call::close || result.which == fault::call::munmap));
            where.remove(ignored);
        });
        CHECK(n >= 6);
        where.remove(ec);
    }
    fault::require_every_interruption_is_survived([&] {
        make();
        where.remove();
    });
}

TEST_CASE("a failed open_or_create of what exists destroys nothing") {
    const counting_file file(100);
    const auto open = [&] { const auto span = mutable_numbers::open_or_create(file.path, 7); };
    fault::require_every_failure_is_reported(open, EIO, {fault::call::close, fault::call::munmap});
    CHECK(read_file_of<std::uint32_t>(file.path) == file.numbers);
}

TEST_CASE("every system call of reading a small file fails in turn") {
    const counting_file file(100);
    const auto open = [&] { const numbers span(file.path, {.copy_below_bytes = 4096}); };
    CHECK(fault::require_every_failure_is_reported(open, EIO, {fault::call::close}) == 4);
    fault::require_every_interruption_is_survived(open);
}

TEST_CASE("every system call of refresh fails in turn, and the span is as before") {
    const counting_file file(100);
    numbers span(file.path);
    REQUIRE(::truncate(file.path.c_str(), 800) == 0);
    fault::for_each_failure(
        [&] { span.refresh(); }, EIO,
        [&](const fault::outcome& result) {
            INFO(fault::name_of(result.which));
            if (result.exception) {
                CHECK(span.size() == 100);
            } else {
                CHECK((result.which == fault::call::close || result.which == fault::call::munmap));
                CHECK(span.size() == 200);
                REQUIRE(::truncate(file.path.c_str(), 400) == 0);
                CHECK(span.refresh());
                REQUIRE(::truncate(file.path.c_str(), 800) == 0);
            }
        });
    CHECK(span.size() == 200);
}

TEST_CASE("every operation on a span fails with the call that failed") {
    const counting_file file(5000);
    const auto all = [&] {
        mutable_numbers span(file.path);
        span.flush();
        span.flush_async(1, 2);
        span.advise(advice::random);
        span.prefetch();
        span.lock_in_memory();
        span.unlock_from_memory();
        (void)span.resident();
        span.close();
    };
    CHECK(fault::require_every_failure_is_reported(
              all, EIO, {fault::call::close, fault::call::munmap}) >= 12);
    fault::require_every_interruption_is_survived(all);
}

// ---- what went wrong once ----

TEST_CASE("copying a borrowed file leaves its descriptor where it was") {
    const temporary_directory directory;
    write_file(directory / "x", std::string(5000, 'x'));
    const int fd = ::open((directory / "x").c_str(), O_RDONLY | O_CLOEXEC);
    REQUIRE(fd != -1);
    REQUIRE(::lseek(fd, 7, SEEK_SET) == 7);
    const mapped_span<const char> span(mmstl::borrowed_fd(fd), {.copy_below_bytes = 8192});
    CHECK(span.is_copy());
    CHECK(span.size() == 5000);
    CHECK(::lseek(fd, 0, SEEK_CUR) == 7);
    ::close(fd);
}

TEST_CASE("a copy is of what stands there when it is refreshed, also of another file") {
    const temporary_directory directory;
    write_file(directory / "x", "abc");
    write_file(directory / "y", "defg");
    mapped_span<const char> span(directory / "x", {.copy_below_bytes = 8192});
    std::filesystem::rename(directory / "y", directory / "x");
    CHECK(span.refresh());
    CHECK(std::string_view(span) == "defg");
}

TEST_CASE("refresh does not drop the changes of a copy-on-write span") {
    const temporary_directory directory;
    write_file(directory / "x", "abc");
    mapped_span<char> span(directory / "x", {.access = mmstl::access::copy_on_write});
    span[0] = 'Z';
    CHECK_FALSE(span.refresh());
    write_file(directory / "more", "defg");
    std::filesystem::resize_file(directory / "x", 4);
    CHECK(error_of([&] { span.refresh(); }) ==
          says(errc::wrong_access, "refresh", directory / "x"));
    CHECK(span[0] == 'Z');
    CHECK(span.size() == 3);
}

TEST_CASE("a closed span cannot be refreshed, however it was opened") {
    const temporary_directory directory;
    write_file(directory / "x", "abc");
    for (const span_options& options : {span_options{}, span_options{.count = 2}}) {
        mapped_span<const char> span(directory / "x", options);
        span.close();
        CHECK(error_of([&] { span.refresh(); }).code == errc::no_name);
        CHECK(error_of([&] { span.refresh(directory / "x"); }).code == errc::no_name);
        CHECK(span.empty());
    }
}

TEST_CASE("create takes its own count, not that of the options") {
    const temporary_directory directory;
    const auto span = mapped_span<int>::create(directory / "x", 10, {.count = 3});
    CHECK(span.size() == 10);
    CHECK(mapped_span<int>::open_or_create(directory / "x", 5, {.count = 3}).size() == 3);
    CHECK(mapped_span<int>::open_or_create(directory / "y", 5, {.count = 3}).size() == 5);
}

TEST_CASE("a range whose end does not fit says so, and not a small number") {
    const mapped_span<int> span(mmstl::anonymous(), {.count = 4});
    try {
        span.advise(advice::normal, 1, SIZE_MAX);
        FAIL("no error");
    } catch (const mmstl::mapping_error& e) {
        CHECK(e.code() == errc::past_the_end);
        CHECK(e.asked_bytes() == SIZE_MAX);
        CHECK(e.available_bytes() == 16);
    }
}

TEST_CASE("a file whose system gives less than it says is not taken for shortened") {
    // sysfs says that each file is a page long, and does not map them.
    const std::string path = "/sys/kernel/mm/transparent_hugepage/enabled";
    if (!std::filesystem::exists(path)) return skip_loudly("no sysfs here");
    CHECK(error_of([&] { mapped_span<const char>(path, {.copy_below_bytes = 8192}); }) ==
          says(ENODEV, "mmap", path));
}

TEST_CASE("when memory runs out while a file is created, nothing is left behind") {
    const temporary_directory directory;
    // A name too long for a string without an allocation, so that several have to succeed.
    const std::string path = directory / std::string(100, 'x');
    for (long nth = 1; nth < 20; ++nth) {
        const leak_check guard;
        const bool done = [&] {
            const failing_allocation armed(nth);
            try {
                (void)mapped_span<int>::create(path, 10);
            } catch (const std::bad_alloc&) {
                return false;
            }
            return true;
        }();
        CHECK(std::filesystem::exists(path) == done);
        if (done) return;
    }
    FAIL("it never succeeded");
}

TEST_CASE("const members of one span are safe to call from several threads") {
    const temporary_directory directory;
    {
        auto fresh = mapped_span<std::uint64_t>::create(directory / "x", 1 << 18);
        std::iota(fresh.begin(), fresh.end(), std::uint64_t{0});
    }
    const mapped_span<const std::uint64_t> span(directory / "x");
    const std::uint64_t n = span.size();
    std::vector<std::uint64_t> sums(4);
    std::vector<std::thread> threads;
    for (std::uint64_t& sum : sums) {
        threads.emplace_back([&] {
            for (auto part : span.chunks(10'000, {.behind = mmstl::behind::release}))
                sum = std::accumulate(part.begin(), part.end(), sum);
            span.advise(advice::random);
            (void)span.resident();
            if (!span.readable() || span.front() != 0 || span.back() != n - 1) sum = 0;
        });
    }
    for (std::thread& thread : threads) thread.join();
    for (const std::uint64_t sum : sums) CHECK(sum == n * (n - 1) / 2);
}

TEST_CASE("a failed creation leaves alone what has taken its name meanwhile") {
    const temporary_directory directory;
    write_file(directory / "theirs", "abc");
    std::filesystem::rename(directory / "theirs", directory / "x");
    mmstl::backing_handle mine = backing(directory / "y").create();
    const backing taken(directory / "x");
    const backing own(directory / "y");
    {
        const mmstl::detail::creation fails(taken, mine);
        const mmstl::detail::creation fails_too(own, mine);
    }
    CHECK(read_file(directory / "x") == "abc");
    CHECK_FALSE(std::filesystem::exists(directory / "y"));
}

TEST_CASE("a descriptor that is only a path is refused") {
    const temporary_directory directory;
    write_file(directory / "x", "");
    const int fd = ::open((directory / "x").c_str(), O_PATH | O_CLOEXEC);
    CHECK(error_of([&] { mapped_span<const char>{mmstl::borrowed_fd(fd)}; }).code ==
          errc::wrong_access);
    ::close(fd);
}
