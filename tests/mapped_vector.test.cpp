// SPDX-License-Identifier: MIT
//
// mapped_vector.hpp: a vector in a file, held against std::vector.

#include "support/allocation.hpp"
#include "support/catch.hpp"
#include "support/checks.hpp"
#include "support/fault.hpp"
#include "support/in_child.hpp"
#include "support/leaks.hpp"
#include "support/soak.hpp"
#include "support/temporary.hpp"

#include <mmstl/mapped_vector.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <compare>
#include <complex>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <list>
#include <memory>
#include <new>
#include <numeric>
#include <random>
#include <ranges>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace support;
using mmstl::allocation;
using mmstl::backing;
using mmstl::errc;
using mmstl::layout;
using mmstl::mapped_vector;
using mmstl::vector_options;

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

/// As long as a page: where a file of these grows by what is needed, nothing is rounded.
struct page {
    std::array<std::uint64_t, 512> words;
};

/// The copy (or construction, or assignment) that is counted down to throws.
struct brittle {
    static inline long until_throw = 0; ///< 0: never

    explicit brittle(int n) : value(n) { count(); }
    brittle(const brittle& other) : value(other.value) { count(); }
    brittle& operator=(const brittle& other) {
        count();
        value = other.value;
        return *this;
    }
    friend bool operator==(const brittle&, const brittle&) = default;

    int value;

private:
    static void count() {
        if (until_throw > 0 && --until_throw == 0) throw std::runtime_error("brittle");
    }
};

/// Does something else while it is constructed.
struct meddler {
    static inline std::function<void()> meanwhile;
    explicit meddler(int n) : value(n) {
        if (meanwhile) std::exchange(meanwhile, nullptr)();
    }
    int value;
};

/// Trivially copyable, and cannot be assigned to.
struct unassignable {
    const int value; // NOLINT: that is the point
};

/// Ordered without <=>, and without ==.
struct older {
    int value;
    friend bool operator<(const older& a, const older& b) { return a.value < b.value; }
};

} // namespace

template <> inline constexpr bool mmstl::enable_mappable<brittle> = true;
template <> inline constexpr std::string_view mmstl::persistent_name<rgb> = "test/rgb";
template <> inline constexpr std::string_view mmstl::persistent_name<large> = "test/large";
template <> inline constexpr std::string_view mmstl::persistent_name<aligned> = "test/aligned";
template <> inline constexpr std::string_view mmstl::persistent_name<page> = "test/page";
template <> inline constexpr std::string_view mmstl::persistent_name<brittle> = "test/brittle";
template <> inline constexpr std::string_view mmstl::persistent_name<meddler> = "test/meddler";
template <>
inline constexpr std::string_view mmstl::persistent_name<unassignable> = "test/unassignable";
template <> inline constexpr std::string_view mmstl::persistent_name<older> = "test/older";

namespace {

template <class T> T element(std::size_t i) {
    T made{};
    std::memset(static_cast<void*>(&made), static_cast<int>(i % 200 + 1), sizeof made);
    if constexpr (std::is_floating_point_v<T>) made = static_cast<T>(i);
    if constexpr (std::is_same_v<T, std::complex<double>>) made = {static_cast<double>(i), 1};
    return made;
}
template <class T> std::vector<T> elements(std::size_t n, std::size_t first = 0) {
    std::vector<T> made;
    for (std::size_t i = 0; i < n; ++i) made.push_back(element<T>(first + i));
    return made;
}

using numbers = mapped_vector<std::uint64_t>;
using reader = mapped_vector<const std::uint64_t>;

std::vector<std::uint64_t> counting(std::size_t n) {
    std::vector<std::uint64_t> made(n);
    std::iota(made.begin(), made.end(), std::uint64_t{0});
    return made;
}

/// A vector without elements in whatever backing; of a borrowed descriptor it has to be adopted.
template <class T>
mapped_vector<T> empty_on(const backing& where, const vector_options& options = {}) {
    return mapped_vector<T>::open_or_create(where, options);
}
template <class T> mapped_vector<T> in_memory(const vector_options& options = {}) {
    return mapped_vector<T>::create(mmstl::anonymous(), options);
}
/// Grows page by page: as often as can be.
constexpr mmstl::growth little_by_little{.factor = 1, .least_bytes = 0};

/// Appends numbers until the next one needs the file to grow.
void fill_up(numbers& all) {
    while (all.size() < all.capacity()) all.push_back(all.size());
}

/// The blocks that a file takes of the disk, in bytes.
std::uint64_t allocated_bytes(const std::string& path) {
    struct ::stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    return static_cast<std::uint64_t>(status.st_blocks) * 512;
}

// ---- ranges of every kind ----

/// A range of two iterators. (Clang 14 does not take libstdc++'s views for ranges.)
template <class Iterator, class Sentinel> class between {
public:
    between(Iterator first, Sentinel last) : first_(std::move(first)), last_(last) {}
    Iterator begin() {
        if constexpr (std::copyable<Iterator>)
            return first_;
        else
            return std::move(first_);
    }
    Sentinel end() const { return last_; }

private:
    Iterator first_;
    Sentinel last_;
};

/// An iterator that reads once and cannot be copied, up to a sentinel that may tell how far it is.
template <class T, bool Sized> class once {
public:
    using value_type = T;
    using difference_type = std::ptrdiff_t;
    using iterator_concept = std::input_iterator_tag;
    struct end {
        const T* at;
    };

    explicit once(const T* at) : at_(at) {}
    once(once&&) = default;
    once& operator=(once&&) = default;
    ~once() = default;
    once(const once&) = delete;
    once& operator=(const once&) = delete;

    const T& operator*() const { return *at_; }
    once& operator++() {
        ++at_;
        return *this;
    }
    void operator++(int) { ++at_; }
    friend bool operator==(const once& a, const end& b) { return a.at_ == b.at; }
    friend difference_type operator-(const end& b, const once& a) requires Sized {
        return b.at - a.at_;
    }
    friend difference_type operator-(const once& a, const end& b) requires Sized {
        return a.at_ - b.at;
    }

private:
    const T* at_;
};
template <bool Sized, class T> auto read_once(const std::vector<T>& from) {
    using iterator = once<T, Sized>;
    static_assert(std::input_iterator<iterator> && !std::copyable<iterator>);
    static_assert(std::sized_sentinel_for<typename iterator::end, iterator> == Sized);
    return between(iterator(from.data()), typename iterator::end{from.data() + from.size()});
}

/// An iterator of the old kind, that throws when it is asked for the element that is counted down
/// to; `Category` may promise less than it could.
template <class T, class Category> class trap {
public:
    using value_type = T;
    using difference_type = std::ptrdiff_t;
    using reference = const T&;
    using pointer = const T*;
    using iterator_category = Category;

    trap() = default;
    trap(const T* at, long* until_throw) : at_(at), until_throw_(until_throw) {}
    const T& operator*() const {
        if (until_throw_ != nullptr && *until_throw_ > 0 && --*until_throw_ == 0)
            throw std::runtime_error("trap");
        return *at_;
    }
    trap& operator++() {
        ++at_;
        return *this;
    }
    trap operator++(int) {
        auto old = *this;
        ++at_;
        return old;
    }
    friend bool operator==(const trap& a, const trap& b) { return a.at_ == b.at_; }

private:
    const T* at_ = nullptr;
    long* until_throw_ = nullptr;
};
template <class Category, class T>
std::pair<trap<T, Category>, trap<T, Category>> trapped(const std::vector<T>& from,
                                                        long* until_throw = nullptr) {
    return {{from.data(), until_throw}, {from.data() + from.size(), until_throw}};
}
template <class Category, class T>
auto trapped_range(const std::vector<T>& from, long* until_throw = nullptr) {
    const auto [first, last] = trapped<Category>(from, until_throw);
    return between(first, last);
}

} // namespace

// ---- what it is ----

TEST_CASE("a mapped_vector is a contiguous, sized range with deep constness") {
    using constant = const numbers;
    STATIC_REQUIRE(std::ranges::contiguous_range<numbers>);
    STATIC_REQUIRE(std::ranges::contiguous_range<constant>);
    STATIC_REQUIRE(std::ranges::contiguous_range<const reader>);
    STATIC_REQUIRE(std::ranges::sized_range<constant>);
    STATIC_REQUIRE(std::ranges::common_range<constant>);
    STATIC_REQUIRE_FALSE(std::ranges::borrowed_range<numbers>);
    STATIC_REQUIRE_FALSE(std::ranges::view<numbers>);
    STATIC_REQUIRE(std::is_same_v<std::ranges::range_reference_t<numbers>, std::uint64_t&>);
    STATIC_REQUIRE(std::is_same_v<std::ranges::range_reference_t<constant>, const std::uint64_t&>);
    STATIC_REQUIRE(std::is_same_v<std::ranges::range_reference_t<reader>, const std::uint64_t&>);
    STATIC_REQUIRE(std::is_same_v<numbers::value_type, std::uint64_t>);
    STATIC_REQUIRE(std::is_same_v<reader::value_type, std::uint64_t>);
    STATIC_REQUIRE(std::is_convertible_v<numbers&, std::span<std::uint64_t>>);
    STATIC_REQUIRE(std::is_convertible_v<constant&, std::span<const std::uint64_t>>);
    STATIC_REQUIRE_FALSE(std::is_convertible_v<constant&, std::span<std::uint64_t>>);
    STATIC_REQUIRE_FALSE(std::is_convertible_v<reader&, std::span<std::uint64_t>>);
    STATIC_REQUIRE_FALSE(std::is_convertible_v<const char*, numbers>);
    STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<numbers>);
    STATIC_REQUIRE_FALSE(std::is_copy_assignable_v<numbers>);
    STATIC_REQUIRE(std::is_nothrow_move_constructible_v<numbers>);
    STATIC_REQUIRE(std::is_nothrow_move_assignable_v<numbers>);
    STATIC_REQUIRE(std::is_nothrow_swappable_v<numbers>);
    STATIC_REQUIRE(std::is_nothrow_default_constructible_v<numbers>);
    STATIC_REQUIRE(std::is_nothrow_destructible_v<numbers>);
    STATIC_REQUIRE(numbers::max_size() == PTRDIFF_MAX / sizeof(std::uint64_t));
}

TEST_CASE("elements of a vector are what a file can keep, and are no arrays") {
    STATIC_REQUIRE(mmstl::vector_element<int>);
    STATIC_REQUIRE(mmstl::vector_element<const int>);
    STATIC_REQUIRE(mmstl::vector_element<bool>);
    STATIC_REQUIRE(mmstl::vector_element<std::array<int, 3>>);
    STATIC_REQUIRE(mmstl::vector_element<brittle>);
    STATIC_REQUIRE_FALSE(mmstl::vector_element<int[3]>);
    STATIC_REQUIRE_FALSE(mmstl::vector_element<int*>);
    STATIC_REQUIRE_FALSE(mmstl::vector_element<std::string>);
    STATIC_REQUIRE_FALSE(mmstl::vector_element<std::string_view>);
    STATIC_REQUIRE_FALSE(mmstl::vector_element<std::unique_ptr<int>>);
    STATIC_REQUIRE_FALSE(mmstl::vector_element<volatile int>);
}

TEST_CASE("vectors can be compared when their elements can, and otherwise that can be asked") {
    STATIC_REQUIRE(std::totally_ordered<mapped_vector<int>>);
    STATIC_REQUIRE(std::three_way_comparable<mapped_vector<int>, std::strong_ordering>);
    STATIC_REQUIRE(std::equality_comparable<mapped_vector<rgb>>);
    STATIC_REQUIRE_FALSE(std::totally_ordered<mapped_vector<rgb>>);

    const auto with = [](std::initializer_list<int> values) {
        auto made = in_memory<int>();
        made = values;
        return made;
    };
    const std::vector<std::vector<int>> all = {{}, {1}, {1, 2}, {1, 2, 3}, {1, 3}, {2}, {0, 9, 9}};
    for (const auto& x : all) {
        for (const auto& y : all) {
            auto a = in_memory<int>();
            auto b = in_memory<int>();
            a.append_range(x);
            b.append_range(y);
            CHECK((a == b) == (x == y));
            CHECK((a != b) == (x != y));
            CHECK((a < b) == (x < y));
            CHECK((a >= b) == (x >= y));
            CHECK((a <=> b) == (x <=> y));
        }
    }
    auto real = in_memory<double>();
    real.push_back(std::numeric_limits<double>::quiet_NaN());
    CHECK((real <=> real) == std::partial_ordering::unordered);
    auto old_one = in_memory<older>();
    auto old_two = in_memory<older>();
    old_one.push_back({1});
    old_two.push_back({2});
    CHECK((old_one <=> old_two) == std::weak_ordering::less);
    CHECK((old_one <=> old_one) == std::weak_ordering::equivalent);

    const temporary_directory directory;
    auto writer = mapped_vector<int>::create(directory / "x");
    writer = {1, 2};
    const auto other = mapped_vector<const int>::open(directory / "x");
    CHECK(writer == other);
    CHECK(other == writer);
    CHECK((other <=> with({1, 3})) == std::strong_ordering::less);
}

TEST_CASE("elements are reached as in any standard container") {
    auto all = in_memory<std::uint64_t>();
    all.append_range(counting(5));
    const auto& constant = all;
    CHECK(all.size() == 5);
    CHECK_FALSE(all.empty());
    CHECK(all[3] == 3);
    CHECK(constant[3] == 3);
    CHECK(all.front() == 0);
    CHECK(constant.front() == 0);
    CHECK(all.back() == 4);
    CHECK(constant.back() == 4);
    CHECK(constant.at(4) == 4);
    CHECK_THROWS_AS(all.at(5), std::out_of_range);
    CHECK_THROWS_AS(constant.at(SIZE_MAX), std::out_of_range);
    CHECK(std::equal(constant.rbegin(), constant.rend(), counting(5).rbegin()));
    CHECK(std::equal(all.crbegin(), all.crend(), all.rbegin()));
    CHECK(std::equal(all.cbegin(), all.cend(), all.begin()));
    CHECK(all.data() == &all[0]);
    CHECK(constant.data() == &constant[0]);
    CHECK(std::span(all).size() == 5);
    all.at(0) = 9;
    *all.rbegin() = 8;
    std::ranges::sort(all);
    CHECK(std::vector(all.begin(), all.end()) == std::vector<std::uint64_t>{1, 2, 3, 8, 9});
}

// ---- the same as std::vector ----

namespace {

/// Does the same things, chosen by `seed`, to both, and compares after each.
template <class T>
void compare_with_standard(mapped_vector<T>& ours, unsigned seed, long steps, std::size_t most) {
    std::mt19937 random(seed);
    const auto below = [&](std::size_t n) { return n == 0 ? 0 : random() % n; };
    std::vector<T> theirs;
    std::size_t fresh = 0;
    REQUIRE(ours.empty());
    for (long step = 0; step < steps; ++step) {
        const auto what = below(37);
        INFO("seed " << seed << ", step " << step << ", operation " << what << ", size "
                     << theirs.size());
        // Where, what from, and how much.
        const auto size = theirs.size();
        const std::size_t places[] = {0, below(size + 1), size};
        const auto at = places[below(3)];
        const auto where = ours.cbegin() + static_cast<std::ptrdiff_t>(at);
        const auto their_place = theirs.cbegin() + static_cast<std::ptrdiff_t>(at);
        const auto n = size > most ? 0 : below(3) == 0 ? below(most / 3) : below(4);
        const auto some = elements<T>(n, ++fresh);
        const std::list<T> linked(some.begin(), some.end());
        const T one = element<T>(fresh + 50);
        const auto [first, last] = trapped<std::input_iterator_tag>(some);
        const auto inserts = [&](auto place) {
            CHECK(place - ours.begin() == static_cast<std::ptrdiff_t>(at));
            theirs.insert(their_place, some.begin(), some.end());
        };
        const auto appends = [&] { theirs.insert(theirs.end(), some.begin(), some.end()); };
        switch (what) {
        case 0:
        case 1:
            ours.push_back(one);
            theirs.push_back(one);
            break;
        case 2:
            ours.push_back(T(one));
            theirs.push_back(T(one));
            break;
        case 3: {
            const auto& made = ours.emplace_back(one);
            CHECK((&made == &ours.back()));
        }
            theirs.emplace_back(one);
            break;
        case 4:
            ours.emplace_back();
            theirs.emplace_back();
            break;
        case 5:
            CHECK(ours.insert(where, one) - ours.begin() == static_cast<std::ptrdiff_t>(at));
            theirs.insert(their_place, one);
            break;
        case 6:
            CHECK(ours.insert(where, T(one)) - ours.begin() == static_cast<std::ptrdiff_t>(at));
            theirs.insert(their_place, T(one));
            break;
        case 7:
            CHECK((*ours.emplace(where, one) == one));
            theirs.emplace(their_place, one);
            break;
        case 8:
            CHECK(ours.insert(where, n, one) - ours.begin() == static_cast<std::ptrdiff_t>(at));
            theirs.insert(their_place, n, one);
            break;
        case 9: inserts(ours.insert(where, some.begin(), some.end())); break;
        case 10: inserts(ours.insert(where, linked.begin(), linked.end())); break;
        case 11: inserts(ours.insert(where, first, last)); break;
        case 12:
            ours.insert(where, {one, one, T{}});
            theirs.insert(their_place, {one, one, T{}});
            break;
        case 13: inserts(ours.insert_range(where, some)); break;
        case 14: inserts(ours.insert_range(where, linked)); break;
        case 15: inserts(ours.insert_range(where, read_once<false>(some))); break;
        case 16: inserts(ours.insert_range(where, read_once<true>(some))); break;
        case 17:
            ours.append_range(std::span(some));
            appends();
            break;
        case 18:
            ours.append_range(linked);
            appends();
            break;
        case 19:
            ours.append_range(read_once<false>(some));
            appends();
            break;
        case 20:
            ours.append_range(read_once<true>(some));
            appends();
            break;
        case 21:
            ours.append_range(trapped_range<std::forward_iterator_tag>(some));
            appends();
            break;
        case 22: {
            const auto room = ours.append_uninitialized(n + 3);
            CHECK(room.size() == n + 3);
            std::ranges::copy(some, room.begin());
            CHECK(ours.size() == size);
            ours.commit(n);
            appends();
            break;
        }
        case 23:
            if (size == 0) break;
            ours.pop_back();
            theirs.pop_back();
            break;
        case 24:
            if (at == size) break;
            CHECK(ours.erase(where) - ours.begin() == static_cast<std::ptrdiff_t>(at));
            theirs.erase(their_place);
            break;
        case 25:
        case 26: {
            const auto to = at + below(size - at + 1);
            CHECK(ours.erase(where, ours.begin() + static_cast<std::ptrdiff_t>(to)) -
                      ours.begin() ==
                  static_cast<std::ptrdiff_t>(at));
            theirs.erase(their_place, theirs.cbegin() + static_cast<std::ptrdiff_t>(to));
            break;
        }
        case 27: {
            const auto to = below(most);
            ours.resize(to);
            theirs.resize(to);
            break;
        }
        case 28: {
            const auto to = below(most);
            ours.resize(to, one);
            theirs.resize(to, one);
            break;
        }
        case 29:
            switch (below(7)) {
            case 0: ours.assign(some.begin(), some.end()); break;
            case 1: ours.assign(linked.begin(), linked.end()); break;
            case 2: ours.assign(first, last); break;
            case 3: ours.assign_range(some); break;
            case 4: ours.assign_range(read_once<false>(some)); break;
            case 5: ours.assign_range(read_once<true>(some)); break;
            default: ours.assign_range(linked);
            }
            theirs = some;
            break;
        case 35:
            ours.assign(n, one);
            theirs.assign(n, one);
            break;
        case 30:
            ours = {one, T{}};
            theirs = {one, T{}};
            break;
        case 31:
            ours.assign({one, one, one});
            theirs.assign({one, one, one});
            break;
        case 32:
            if (below(5) != 0) break;
            ours.clear();
            theirs.clear();
            break;
        case 33:
            if (size == 0) break;
            CHECK(erase(ours, T(ours.back())) == std::erase(theirs, T(theirs.back())));
            break;
        case 34: {
            bool odd = false;
            const auto every_other = [&](const T&) { return odd = !odd; };
            const auto gone = erase_if(ours, every_other);
            odd = false;
            CHECK(gone == std::erase_if(theirs, every_other));
            break;
        }
        default: {
            auto other = in_memory<T>();
            other.push_back(one);
            swap(ours, other);
            CHECK(ours.size() == 1);
            CHECK(std::ranges::equal(other, theirs));
            ours.swap(other);
            if (below(4) == 0) ours.shrink_to_fit();
            if (below(4) == 0) ours.reserve(below(2 * most));
        }
        }
        REQUIRE(ours.size() == theirs.size());
        REQUIRE(std::ranges::equal(ours, theirs));
        REQUIRE(ours.empty() == theirs.empty());
        REQUIRE(ours.size() <= ours.capacity());
        REQUIRE(ours.capacity() <= ours.reserved());
        const auto& constant = ours;
        REQUIRE(std::equal(constant.rbegin(), constant.rend(), theirs.crbegin(), theirs.crend()));
        if (!theirs.empty()) {
            REQUIRE(ours.front() == theirs.front());
            REQUIRE(constant.back() == theirs.back());
        }
    }
}

} // namespace

TEMPLATE_TEST_CASE("a mapped_vector does what std::vector does", "", ELEMENT_TYPES) {
    const auto which = every_kind();
    const auto form = GENERATE(layout::header, layout::raw);
    const bool often = GENERATE(true, false);
    INFO(which << (form == layout::raw ? ", raw" : "") << (often ? ", growing often" : ""));
    constexpr std::size_t most = sizeof(TestType) > 1000 ? 24 : sizeof(TestType) > 8 ? 200 : 1000;
    const sample one(which);
    vector_options options;
    options.layout = form;
    if (often) options.growth = little_by_little;
    const leak_check guard;
    auto ours = empty_on<TestType>(one.backing(), options);
    const auto seed = 1000 * static_cast<unsigned>(which) + 2 * static_cast<unsigned>(form) + often;
    compare_with_standard(ours, seed, soaked(60), most);
    const std::vector<TestType> last(ours.begin(), ours.end());
    ours.close();
    if (which == kind::file || which == kind::shared_memory || which == kind::borrowed_fd) {
        const auto again = mapped_vector<const TestType>::open(one.backing(), {.layout = form});
        CHECK(std::ranges::equal(again, last));
    }
}

TEST_CASE("what a stream has is appended, inserted and assigned") {
    auto all = in_memory<int>();
    std::istringstream first("1 2 3");
    using stream = std::istream_iterator<int>;
    all.append_range(between(stream(first), stream()));
    std::istringstream second("8 9");
    all.insert(all.begin() + 1, stream(second), {});
    CHECK(std::vector(all.begin(), all.end()) == std::vector{1, 8, 9, 2, 3});
    std::istringstream third("4 5 6");
    all.assign(stream(third), {});
    CHECK(std::vector(all.begin(), all.end()) == std::vector{4, 5, 6});
    std::istringstream none;
    all.append_range(between(stream(none), stream()));
    CHECK(all.size() == 3);
}

#if !defined(__clang_major__) || __clang_major__ >= 16
TEST_CASE("views are appended, inserted and assigned, and taken of a vector") {
    auto all = in_memory<int>();
    std::istringstream text("1 2 3");
    all.append_range(std::ranges::basic_istream_view<int, char>(text));
    all.insert_range(all.begin(), std::views::iota(7, 9));
    CHECK(std::vector(all.begin(), all.end()) == std::vector{7, 8, 1, 2, 3});
    auto other = in_memory<int>();
    other.assign_range(all | std::views::filter([](int n) { return n % 2 == 1; }) |
                       std::views::transform([](int n) { return 10 * n; }));
    CHECK(std::vector(other.begin(), other.end()) == std::vector{70, 10, 30});
    other.append_range(all | std::views::take_while([](int n) { return n > 5; }));
    CHECK(std::vector(other.begin(), other.end()) == std::vector{70, 10, 30, 7, 8});
    other.append_range(other | std::views::reverse | std::views::take(2));
    CHECK(std::vector(other.begin(), other.end()) == std::vector{70, 10, 30, 7, 8, 8, 7});
    const auto endless = std::views::iota(std::size_t{0}, numbers::max_size() + 1);
    auto none = in_memory<std::uint64_t>();
    CHECK_THROWS_AS(none.append_range(endless), std::length_error);
    CHECK_THROWS_AS(none.insert_range(none.begin(), endless), std::length_error);
}
#endif

TEST_CASE("ranges of other types are converted, element by element") {
    auto all = in_memory<double>();
    const std::vector<int> whole = {1, 2};
    all.append_range(whole);
    all.insert_range(all.begin(), std::vector<float>{0.5F});
    all.insert(all.end(), whole.begin(), whole.end());
    CHECK(std::vector(all.begin(), all.end()) == std::vector{0.5, 1., 2., 1., 2.});
    all.assign_range(std::list<char>{'\1'});
    CHECK(std::vector(all.begin(), all.end()) == std::vector{1.});
}

TEST_CASE("elements that cannot be assigned to are appended, inserted and erased") {
    auto all = in_memory<unassignable>();
    all.push_back({1});
    all.insert(all.begin(), unassignable{0});
    all.push_back({2});
    all.erase(all.begin() + 1);
    REQUIRE(all.size() == 2);
    CHECK(all[0].value == 0);
    CHECK(all[1].value == 2);
}

TEMPLATE_TEST_CASE("elements that resize adds are value-initialised, whatever was there", "",
                   ELEMENT_TYPES) {
    const auto form = GENERATE(layout::header, layout::raw);
    const temporary_directory directory;
    auto all = mapped_vector<TestType>::create(directory / "x",
                                               {.growth = little_by_little, .layout = form});
    const auto is_zero = [](const TestType& one) { return one == TestType{}; };
    all.append_range(elements<TestType>(100));
    const auto n_junk = 2 * page_size() / sizeof(TestType) + 3;
    std::ranges::fill(all.append_uninitialized(n_junk), element<TestType>(9)); // not committed
    all.resize(100 + n_junk / 2);
    CHECK(std::all_of(all.begin() + 100, all.end(), is_zero));
    all.resize(100);
    std::ranges::fill(all.append_uninitialized(n_junk), element<TestType>(9));
    all.resize(3 * all.capacity() + 1); // partly junk, partly new
    CHECK(std::all_of(all.begin() + 100, all.end(), is_zero));
    all.resize(7);
    all.shrink_to_fit();
    all.resize(2 * n_junk + 50);
    CHECK(std::all_of(all.begin() + 7, all.end(), is_zero));
    CHECK(all[6] == element<TestType>(6));
}

// ---- arguments that are elements of the vector ----

TEMPLATE_TEST_CASE("an argument may be an element of the vector, also when it has to grow", "",
                   ELEMENT_TYPES) {
    constexpr std::size_t most = sizeof(TestType) > 1000 ? 8 : 2 * 4096 / sizeof(TestType) + 5;
    const auto before = elements<TestType>(most);
    const auto at_the_edge = [&] { // the next element needs the file to grow
        auto made = in_memory<TestType>({.growth = little_by_little});
        for (std::size_t i = 0; i < before.size() || made.size() < made.capacity(); ++i)
            made.push_back(element<TestType>(i));
        return made;
    };
    const auto check = [&](auto change, auto change_with_copies) {
        auto ours = at_the_edge();
        std::vector<TestType> theirs(ours.begin(), ours.end());
        change(ours);
        change_with_copies(theirs);
        CHECK(std::ranges::equal(ours, theirs));
    };
    const auto middle = [](auto& all) { return all.begin() + 3; };
    using copy = TestType;
    check([](auto& v) { v.push_back(v[0]); }, [](auto& v) { v.push_back(copy(v[0])); });
    check([](auto& v) { v.push_back(std::move(v[1])); }, [](auto& v) { v.push_back(copy(v[1])); });
    check([](auto& v) { v.emplace_back(v.back()); }, [](auto& v) { v.push_back(copy(v.back())); });
    check([](auto& v) { v.emplace(v.begin(), v.back()); },
          [](auto& v) { v.insert(v.begin(), copy(v.back())); });
    check([](auto& v) { v.insert(v.begin(), v[0]); },
          [](auto& v) { v.insert(v.begin(), copy(v[0])); });
    check([&](auto& v) { v.insert(middle(v), std::move(v[0])); },
          [&](auto& v) { v.insert(middle(v), copy(v[0])); });
    check([&](auto& v) { v.insert(middle(v), std::move(v.back())); },
          [&](auto& v) { v.insert(middle(v), copy(v.back())); });
    for (const std::size_t k : {0U, 2U, 3U, 4U}) {
        check([&](auto& v) { v.insert(middle(v), 5, v[k]); },
              [&](auto& v) { v.insert(middle(v), 5, copy(v[k])); });
        check([&](auto& v) { v.resize(v.size() + 7, v[k]); },
              [&](auto& v) { v.resize(v.size() + 7, copy(v[k])); });
        check([&](auto& v) { v.assign(v.size() + 2, v[k]); },
              [&](auto& v) { v.assign(v.size() + 2, copy(v[k])); });
        check([&](auto& v) { v.assign(2, v[k]); }, [&](auto& v) { v.assign(2, copy(v[k])); });
        check([&](auto& v) { erase(v, v[k]); }, [&](auto& v) { std::erase(v, copy(v[k])); });
    }
    const auto double_it = [](auto& v) {
        const std::vector<copy> all(v.begin(), v.end());
        v.insert(v.end(), all.begin(), all.end());
    };
    check([](auto& v) { v.append_range(v); }, double_it);
    check([](auto& v) { v.append_range(std::as_const(v)); }, double_it);
    check([](auto& v) { v.append_range(std::span(v)); }, double_it);
    check([](auto& v) { v.append_range(between(v.rbegin(), v.rend())); },
          [](auto& v) {
              const std::vector<copy> all(v.rbegin(), v.rend());
              v.insert(v.end(), all.begin(), all.end());
          });
    check([](auto& v) { v.assign_range(v); }, [](auto&) {});
    check([](auto& v) { v.assign(v.begin() + 2, v.begin() + 5); },
          [](auto& v) {
              const std::vector<copy> part(v.begin() + 2, v.begin() + 5);
              v.assign(part.begin(), part.end());
          });
    check([](auto& v) { v.assign_range(std::span(v).subspan(1)); },
          [](auto& v) { v.erase(v.begin()); });
}

TEMPLATE_TEST_CASE("any part of the vector can be inserted anywhere in it", "", std::byte,
                   std::uint64_t, rgb, aligned, brittle) {
    constexpr std::ptrdiff_t n = 6;
    const bool as_range = GENERATE(false, true);
    for (std::ptrdiff_t where = 0; where <= n; ++where) {
        for (std::ptrdiff_t from = 0; from <= n; ++from) {
            for (std::ptrdiff_t to = from; to <= n; ++to) {
                INFO(from << " to " << to << " before " << where);
                auto ours = in_memory<TestType>();
                std::vector<TestType> theirs;
                for (int i = 0; i < n; ++i) {
                    if constexpr (std::is_same_v<TestType, brittle>)
                        theirs.emplace_back(i);
                    else
                        theirs.push_back(element<TestType>(static_cast<std::size_t>(i)));
                }
                ours.append_range(theirs);
                const auto first = ours.begin() + from;
                const auto last = ours.begin() + to;
                const auto place = ours.begin() + where;
                CHECK((as_range ? ours.insert_range(place, between(first, last))
                                : ours.insert(place, first, last)) == place);
                const std::vector<TestType> part(theirs.begin() + from, theirs.begin() + to);
                theirs.insert(theirs.begin() + where, part.begin(), part.end());
                CHECK(std::ranges::equal(ours, theirs));
            }
        }
    }
}

// ---- what throws ----

namespace {

/// Runs `change` on a vector of six elements with the first copy, call or step of it throwing, then
/// the second, and so on until none does; checks that each that throws left the vector alone, or if
/// `keeps_values` is false its size. Returns how many threw.
template <class Change> long throw_everywhere(Change change, bool keeps_values = true) {
    for (long nth = 1;; ++nth) {
        REQUIRE(nth < 1000);
        auto all = in_memory<brittle>({.growth = little_by_little});
        for (int i = 0; i < 6; ++i) all.emplace_back(i);
        long until_throw = 0; // of ranges
        brittle::until_throw = nth;
        bool threw = false;
        try {
            change(all, until_throw = nth);
        } catch (const std::runtime_error&) {
            threw = true;
        }
        brittle::until_throw = 0;
        if (!threw) return nth - 1;
        INFO("throws at " << nth);
        REQUIRE(all.size() == 6);
        if (keeps_values)
            for (int i = 0; i < 6; ++i) CHECK(all[static_cast<std::size_t>(i)].value == i);
        CHECK_NOTHROW(all.emplace_back(6));
        CHECK(all.back().value == 6);
    }
}

} // namespace

TEST_CASE("a constructor that throws leaves the vector as it was") {
    using vector = mapped_vector<brittle>;
    const brittle one(7);
    const std::vector<brittle> some(4, one);
    const std::list<brittle> linked(4, one);
    const auto check = [](auto change) {
        CHECK(throw_everywhere([&](vector& all, long&) { change(all); }) > 0);
    };
    check([&](vector& all) { all.push_back(one); });
    check([&](vector& all) { all.emplace_back(7); });
    check([&](vector& all) { all.insert(all.begin() + 2, one); });
    check([&](vector& all) { all.insert(all.end(), one); });
    check([&](vector& all) { all.emplace(all.begin(), 7); });
    check([&](vector& all) { all.insert(all.begin() + 2, 3, one); });
    check([&](vector& all) { all.insert(all.begin() + 2, some.begin(), some.end()); });
    check([&](vector& all) { all.insert(all.begin() + 2, linked.begin(), linked.end()); });
    check([&](vector& all) { all.insert_range(all.begin() + 2, read_once<false>(some)); });
    check([&](vector& all) { all.insert_range(all.begin() + 2, read_once<true>(some)); });
    check([&](vector& all) { all.insert_range(all.begin() + 2, std::span(all).subspan(1, 3)); });
    check([&](vector& all) { all.append_range(some); });
    check([&](vector& all) { all.append_range(read_once<false>(some)); });
    check([&](vector& all) { all.append_range(all); });
    check([&](vector& all) { all.resize(500, one); });
    const auto keeps_its_size = [](auto change) {
        CHECK(throw_everywhere([&](vector& all, long&) { change(all); }, false) > 0);
    };
    keeps_its_size([&](vector& all) { all.assign(9, one); });
    keeps_its_size([&](vector& all) { all.assign_range(some); });
    keeps_its_size([&](vector& all) { all.assign_range(linked); });
    // Of what is read once, all is read before any of it is stored.
    check([&](vector& all) { all.assign_range(read_once<false>(some)); });
}

TEST_CASE("moving bytes throws nothing: elements are erased without a copy") {
    const auto erases = [](mapped_vector<brittle>& all, long&) {
        all.erase(all.begin() + 1);
        all.erase(all.begin(), all.begin() + 2);
        all.pop_back();
        all.resize(1, all[0]);
        all.clear();
    };
    CHECK(throw_everywhere(erases) == 0);
}

TEST_CASE("a range that throws leaves the vector as it was") {
    auto all = in_memory<std::uint64_t>({.growth = little_by_little});
    const auto source = counting(1500); // three pages
    const auto check = [&](auto change) {
        for (const long nth : {1, 2, 700, 1500}) {
            INFO("throws at " << nth);
            all = {7, 8, 9};
            long until_throw = nth;
            CHECK_THROWS_AS(change(until_throw), std::runtime_error);
            CHECK(std::vector(all.begin(), all.end()) == std::vector<std::uint64_t>{7, 8, 9});
        }
        all = {7, 8, 9};
        long never = 0;
        CHECK_NOTHROW(change(never));
    };
    using input = std::input_iterator_tag;
    using forward = std::forward_iterator_tag;
    check([&](long& nth) { all.append_range(trapped_range<input>(source, &nth)); });
    check([&](long& nth) { all.append_range(trapped_range<forward>(source, &nth)); });
    check(
        [&](long& nth) { all.insert_range(all.begin() + 1, trapped_range<input>(source, &nth)); });
    check([&](long& nth) {
        all.insert_range(all.begin() + 1, trapped_range<forward>(source, &nth));
    });
    check([&](long& nth) {
        const auto [first, last] = trapped<input>(source, &nth);
        all.insert(all.end(), first, last);
    });
    check([&](long& nth) { all.assign_range(trapped_range<input>(source, &nth)); });
    long nth = 2;
    all = {7, 8, 9};
    CHECK_THROWS(all.assign_range(trapped_range<forward>(source, &nth)));
    CHECK(std::vector(all.begin(), all.end()) == std::vector<std::uint64_t>{0, 8, 9});
}

TEST_CASE("a predicate that throws leaves a vector of the same size") {
    auto all = in_memory<int>();
    all = {1, 2, 3, 4};
    CHECK_THROWS(
        erase_if(all, [](int n) { return n == 3 ? throw std::runtime_error("") : n == 1; }));
    CHECK(all.size() == 4);
}

TEST_CASE("when memory runs out while a vector is opened, nothing is left behind") {
    const temporary_directory directory;
    // A name too long for a string without an allocation, so that several have to succeed.
    const std::string path = directory / std::string(100, 'x');
    const auto form = GENERATE(layout::header, layout::raw);
    const bool exists = GENERATE(false, true);
    if (exists) (void)numbers::create(path, {.layout = form});
    for (long nth = 1; nth < 30; ++nth) {
        const leak_check guard;
        const bool done = [&] {
            const failing_allocation armed(nth);
            try {
                (void)numbers::open_or_create(path, {.layout = form});
            } catch (const std::bad_alloc&) {
                return false;
            }
            return true;
        }();
        CHECK(std::filesystem::exists(path) == (done || exists));
        if (done) return;
    }
    FAIL("it never succeeded");
}

// ---- growth in place ----

TEST_CASE("a vector grows up to its reservation without moving an element") {
    const auto which = every_kind();
    const auto form = GENERATE(layout::header, layout::raw);
    INFO(which);
    const sample one(which);
    constexpr std::size_t most = 50'000;
    auto all = empty_on<std::uint64_t>(one.backing(), {.reserved = most, .layout = form});
    CHECK(all.reserved() >= most);
    CHECK(all.reserved() <= most + page_size() / sizeof(std::uint64_t));
    all.push_back(0);
    auto* const data = all.data();
    const auto& first = all.front();
    const auto begin = all.begin();
    while (all.size() < all.reserved()) all.push_back(all.size());
    CHECK(all.data() == data);
    CHECK(&all.front() == &first);
    CHECK(all.begin() == begin);
    CHECK(begin[most - 1] == most - 1);
    CHECK(all.size() == all.reserved());

    // Exactly full.
    const auto n = all.size();
    const auto check_full = [&](std::size_t asked, auto change) {
        try {
            change();
            FAIL_CHECK("more elements than reserved");
        } catch (const mmstl::reservation_exhausted& e) {
            const std::bad_alloc& base = e;
            CHECK_THAT(base.what(), contains_text("reserved"));
            CHECK(e.asked() == asked);
            CHECK(e.reserved() == all.reserved());
        }
        CHECK(all.size() == n);
        CHECK(all.back() == n - 1);
        CHECK(all[2] == 2);
    };
    const std::vector<std::uint64_t> two(2);
    check_full(n + 1, [&] { all.push_back(1); });
    check_full(n + 1, [&] { all.emplace_back(1U); });
    check_full(n + 1, [&] { all.insert(all.begin(), 1); });
    check_full(n + 1, [&] { all.insert(all.end(), all[0]); });
    check_full(n + 2, [&] { all.insert(all.begin(), 2, 1); });
    check_full(n + 2, [&] { all.insert(all.begin(), two.begin(), two.end()); });
    check_full(n + 2, [&] { all.append_range(two); });
    check_full(n + 1, [&] { all.append_range(read_once<false>(two)); });
    check_full(2 * n, [&] { all.append_range(all); });
    check_full(n + 3, [&] { all.resize(n + 3); });
    check_full(n + 3, [&] { all.resize(n + 3, 1); });
    check_full(n + 3, [&] { all.assign(n + 3, 1); });
    check_full(n + 3, [&] { all.reserve(n + 3); });
    check_full(n + 3, [&] { (void)all.append_uninitialized(3); });
    CHECK_NOTHROW(all.resize(n));
    CHECK_NOTHROW(all.append_range(std::vector<std::uint64_t>{}));
    all.pop_back();
    CHECK_NOTHROW(all.push_back(n - 1));
}

TEST_CASE("a vector for which no addresses are reserved holds nothing, and says so") {
    const auto form = GENERATE(layout::header, layout::raw);
    const temporary_directory directory;
    const leak_check guard;
    auto all = mapped_vector<page>::create(directory / "x", {.reserved = 0, .layout = form});
    CHECK(all.is_open());
    CHECK(all.reserved() == 0);
    CHECK(all.capacity() == 0);
    CHECK_THROWS_AS(all.push_back(page{}), mmstl::reservation_exhausted);
    CHECK_THROWS_AS(all.reserve(1), std::bad_alloc);
    CHECK_NOTHROW(all.reserve(0));
    CHECK_NOTHROW(all.resize(0));
    CHECK(all.begin() == all.end());
    CHECK(all.readable());
    CHECK_NOTHROW(all.flush());
    CHECK_NOTHROW(all.close());
    CHECK((mapped_vector<const page>::open(directory / "x", {.layout = form}).empty()));
}

TEST_CASE("a reservation that is smaller than the file is as long as the file") {
    const temporary_directory directory;
    {
        auto all = numbers::create(directory / "x");
        all.append_range(counting(10'000));
        all.shrink_to_fit();
    }
    auto all = numbers::open(directory / "x", {.reserved = 10});
    CHECK(all.size() == 10'000);
    CHECK(all.back() == 9999);
    CHECK_THROWS_AS(all.resize(20'000), mmstl::reservation_exhausted);
}

TEST_CASE("more elements than any vector could have are a length_error") {
    auto all = in_memory<std::uint64_t>();
    all.push_back(1);
    constexpr auto past = numbers::max_size() + 1;
    CHECK_THROWS_AS(all.reserve(past), std::length_error);
    CHECK_THROWS_AS(all.reserve(SIZE_MAX), std::length_error);
    CHECK_THROWS_AS(all.resize(past), std::length_error);
    CHECK_THROWS_AS(all.resize(past, 1), std::length_error);
    CHECK_THROWS_AS(all.assign(SIZE_MAX, 1), std::length_error);
    CHECK_THROWS_AS(all.insert(all.begin(), past, 1), std::length_error);
    CHECK_THROWS_AS((void)all.append_uninitialized(SIZE_MAX), std::length_error);
    CHECK_THROWS_AS(all.reserve(numbers::max_size()), mmstl::reservation_exhausted);
    CHECK(all.size() == 1);
    CHECK(all[0] == 1);
    const backing where = mmstl::anonymous();
    CHECK(error_of([&] { (void)numbers::create(where, {.reserved = SIZE_MAX}); }).code ==
          errc::size_overflow);
    CHECK(error_of([&] { (void)numbers::create(where, {.reserved = SIZE_MAX / 8}); }).code);
    CHECK(error_of([&] { (void)numbers::create(where, {.reserved = SIZE_MAX / 16}); }).code ==
          std::errc::not_enough_memory);
}

TEST_CASE("what another process appends is seen without a call, at the same addresses") {
    const auto which = GENERATE(kind::file, kind::shared_memory, kind::borrowed_fd);
    INFO(which);
    const sample one(which);
    const auto where = one.backing();
    (void)empty_on<std::uint64_t>(where);
    const auto tail = reader::open(where);
    const auto* const data = tail.data();
    CHECK(tail.empty());
    check_in_child([&] {
        auto all = numbers::open(where);
        all.append_range(counting(100'000));
    });
    CHECK(tail.size() == 100'000);
    CHECK(tail.back() == 99'999);
    CHECK(tail.data() == data);
    CHECK(tail.capacity() >= tail.size());
    CHECK(std::ranges::equal(tail, counting(100'000)));
}

TEST_CASE("forked children share a vector without a name") {
    const auto which = GENERATE(kind::anonymous, kind::memory_file, kind::temporary_file);
    const sample one(which);
    auto all = numbers::create(one.backing());
    all.push_back(0);
    check_in_child([&] {
        for (std::uint64_t i = 1; i < 100'000; ++i) all.push_back(i);
    });
    CHECK(std::ranges::equal(all, counting(100'000)));
    all.push_back(100'000); // where the child has made room
    check_in_child([&] { expect(all.back() == 100'000); });
}

TEST_CASE("two writers in turn see what the other has made") {
    const temporary_directory directory;
    auto one = numbers::create(directory / "x", {.growth = little_by_little});
    auto two = numbers::open(directory / "x", {.growth = little_by_little});
    for (std::uint64_t i = 0; i < 5000; ++i) (i % 700 < 350 ? one : two).push_back(i);
    CHECK(std::ranges::equal(one, counting(5000)));
    CHECK(one == two);
    one.resize(10);
    CHECK(two.size() == 10);
    two.resize(5000);
    CHECK(std::ranges::count(one, 0U) == 4991);
    CHECK(one.capacity() >= one.size());
}

TEST_CASE("a writer with fewer addresses than there are elements refuses, and does not crash") {
    const temporary_directory directory;
    auto all = numbers::create(directory / "x");
    all.append_range(counting(5));
    all.shrink_to_fit();
    auto small = numbers::open(directory / "x", {.reserved = 5});
    all.append_range(counting(100'000));
    CHECK(small.size() == small.reserved());
    check_in_child([&] {
        bool refused = false;
        try {
            small.erase(small.begin());
        } catch (const mmstl::reservation_exhausted& e) {
            refused = e.asked() == 100'005 && e.reserved() == small.reserved();
        }
        expect(refused, "erase");
        const auto refuses = [](auto change) {
            try {
                change();
            } catch (const mmstl::reservation_exhausted&) {
                return true;
            }
            return false;
        };
        expect(refuses([&] { small.assign(100'000, 1); }), "assign");
        expect(refuses([&] { small.assign_range(counting(100'000)); }), "assign_range");
        expect(refuses([&] { erase_if(small, [](auto) { return true; }); }), "erase_if");
        expect(all[1] == 1, "nothing moved");
    });
    CHECK_THROWS_AS(small.push_back(1), mmstl::reservation_exhausted);
    CHECK_THROWS_AS(small.insert(small.begin(), 1), mmstl::reservation_exhausted);
    CHECK(all.size() == 100'005);
    CHECK(all[1] == 1);
}

TEST_CASE("growing takes a few system calls, and copies and maps nothing") {
    const auto which = every_kind();
    INFO(which);
    const sample one(which);
    auto all = empty_on<std::uint64_t>(one.backing());
    fill_up(all);
    all.push_back(1);
    fill_up(all);
    const auto size = all.size();
    const fault::watch watching;
    all.push_back(1);
    CHECK(all.capacity() >= size + 1);
    CHECK(watching.records().size() <= 6); // fstat, getrlimit, fallocate; advice
    CHECK(watching.count(fault::call::fallocate) + watching.count(fault::call::ftruncate) == 1);
    using enum fault::call;
    for (const auto never : {mremap, mmap, munmap, read, pread, write, pwrite, msync, mprotect})
        CHECK(watching.count(never) == 0);
    // Nothing else appends by system calls.
    const auto calls = watching.records().size();
    fill_up(all);
    all.pop_back();
    all.clear();
    if (all.capacity() * 8 < (std::size_t{4} << 20)) CHECK(watching.records().size() == calls);
}

TEST_CASE("the number of growths is logarithmic, and bounded in their size") {
    const temporary_directory directory;
    const auto sizes = [&](const mmstl::growth& how, std::uint64_t up_to) {
        const auto path = directory / "x";
        auto all = mapped_vector<std::byte>::create(path, {.growth = how});
        std::vector<std::uint64_t> found;
        while (std::filesystem::file_size(path) < up_to) {
            all.resize(all.capacity() + 1);
            found.push_back(std::filesystem::file_size(path));
        }
        backing(path).remove();
        return found;
    };
    constexpr std::uint64_t KiB = 1024;
    // The last one could hold one element more; steps of at least 2 MiB are rounded up to it.
    CHECK(sizes({}, 1024 * KiB) ==
          std::vector<std::uint64_t>{68 * KiB, 136 * KiB, 272 * KiB, 544 * KiB, 1088 * KiB});
    CHECK(sizes({.factor = 1, .least_bytes = 0}, 16 * KiB) ==
          std::vector<std::uint64_t>{8 * KiB, 12 * KiB, 16 * KiB});
    CHECK(sizes({.factor = 1, .least_bytes = 10 * KiB}, 28 * KiB) ==
          std::vector<std::uint64_t>{16 * KiB, 28 * KiB});
    CHECK(sizes({.factor = 1.5, .least_bytes = 0}, 28 * KiB) ==
          std::vector<std::uint64_t>{8 * KiB, 12 * KiB, 20 * KiB, 32 * KiB});
    CHECK(sizes({.most_bytes = 100 * KiB}, 400 * KiB) ==
          std::vector<std::uint64_t>{68 * KiB, 136 * KiB, 236 * KiB, 336 * KiB, 436 * KiB});
    const auto disk = sizes({}, 200'000 * KiB);
    CHECK(disk.size() < 20);
    for (std::size_t i = 1; i < disk.size(); ++i) {
        CHECK(disk[i] - disk[i - 1] <= 66 * 1024 * KiB);
        if (disk[i] - disk[i - 1] >= 2 * 1024 * KiB) CHECK(disk[i] % (2 * 1024 * KiB) == 0);
    }
    // Nonsense makes a vector slow, and does not break it.
    for (const double factor : {0., -3., 1e300, std::numeric_limits<double>::infinity(),
                                std::numeric_limits<double>::quiet_NaN()})
        CHECK(sizes({.factor = factor, .least_bytes = 0, .most_bytes = 0}, 12 * KiB).back() >=
              12 * KiB);
    CHECK(sizes({.least_bytes = 10 * KiB, .most_bytes = 0}, 28 * KiB) ==
          std::vector<std::uint64_t>{16 * KiB, 28 * KiB});
    // No step goes beyond the addresses.
    const auto path = directory / "x";
    for (const std::size_t least : {SIZE_MAX, SIZE_MAX - 4096, std::size_t{1} << 63}) {
        auto all = mapped_vector<std::byte>::create(
            path, {.reserved = 300 * KiB, .growth = {.least_bytes = least, .most_bytes = least}});
        all.resize(1);
        CHECK(all.capacity() == all.reserved());
        backing(path).remove();
    }
}

TEST_CASE("memory grows by smaller steps than a disk") {
    auto all = mapped_vector<std::byte>::create(mmstl::memory_file("x"));
    std::size_t before = 0;
    while (all.size() < std::size_t{20} << 20) {
        before = all.capacity();
        all.resize(before + 1);
    }
    CHECK(all.capacity() - before <= std::size_t{2} << 20);
}

TEST_CASE("a file of elements is never longer than its reservation") {
    const temporary_directory directory;
    auto all = numbers::create(directory / "x", {.reserved = 1000});
    all.push_back(1);
    CHECK(std::filesystem::file_size(directory / "x") == 4096 + 8000);
}

TEST_CASE("blocks are allocated ahead, unless sparse files are asked for") {
    const temporary_directory directory;
    constexpr std::size_t n = std::size_t{1} << 20;
    const auto form = GENERATE(layout::header, layout::raw);
    auto blocks =
        numbers::create(directory / "blocks", {.allocation = allocation::blocks, .layout = form});
    blocks.reserve(n);
    CHECK(blocks.capacity() >= n);
    CHECK(blocks.empty());
    CHECK(allocated_bytes(directory / "blocks") >= 8 * n);
    auto sparse =
        numbers::create(directory / "sparse", {.allocation = allocation::sparse, .layout = form});
    sparse.reserve(n);
    CHECK(sparse.capacity() >= n);
    CHECK(allocated_bytes(directory / "sparse") < n);
    sparse.resize(1);
    sparse.shrink_to_fit();
    sparse.resize(n); // new bytes are zero already, and need no page
    CHECK(allocated_bytes(directory / "sparse") < n);
    sparse.push_back(5);
    CHECK(sparse[n] == 5);
    CHECK(sparse[n - 1] == 0);
}

TEST_CASE("reserve changes neither the size nor, a second time, anything") {
    const temporary_directory directory;
    auto all = numbers::create(directory / "x");
    all.push_back(1);
    all.reserve(100'000);
    CHECK(all.capacity() >= 100'000);
    CHECK(all.size() == 1);
    const fault::watch watching;
    all.reserve(all.capacity());
    all.reserve(0);
    CHECK(watching.records().empty());
    all.append_range(counting(99'999));
    const auto grown = watching.count(fault::call::fallocate);
    CHECK(grown == 0);
    all.close();
    CHECK(reader::open(directory / "x").size() == 100'000);
}

TEST_CASE("shrink_to_fit gives blocks back, and readers go on") {
    const auto form = GENERATE(layout::header, layout::raw);
    const temporary_directory directory;
    const auto path = directory / "x";
    auto all = numbers::create(path, {.layout = form});
    all.append_range(counting(1 << 20));
    const auto tail = reader::open(path, {.layout = form});
    all.resize(1000);
    CHECK(allocated_bytes(path) >= 8 << 20);
    CHECK(std::filesystem::file_size(path) >= 8 << 20);
    all.shrink_to_fit();
    const std::uint64_t header = form == layout::header ? 4096 : 0;
    CHECK(std::filesystem::file_size(path) == header + 8000);
    CHECK(allocated_bytes(path) < 100'000);
    CHECK(all.capacity() == 1000);
    CHECK(std::equal(all.begin(), all.end(), tail.begin()));
    if (form == layout::header) {
        CHECK(tail.size() == 1000);
        all.append_range(counting(100'000));
        CHECK(tail.size() == 101'000);
        CHECK(tail.back() == 99'999);
        CHECK(tail[999] == 999);
    }
    all.clear();
    all.shrink_to_fit();
    CHECK(std::filesystem::file_size(path) == header);
    all.push_back(1);
    CHECK(all[0] == 1);
}

// ---- files that cannot grow ----

TEST_CASE("a full disk is ENOSPC, changes nothing, and is got over") {
    const auto form = GENERATE(layout::header, layout::raw);
    const bool exactly = GENERATE(false, true);
    check_on_small_disk(512 << 10, [&](const temporary_directory& disk) {
        const auto path = disk / "x";
        vector_options options;
        options.layout = form;
        options.allocation = exactly ? allocation::blocks : allocation::automatic;
        auto all = numbers::create(path, options);
        write_file(disk / "ballast", std::string(200'000, 'x'));
        // Until nothing fits any more.
        const auto full = says(ENOSPC, "fallocate", path);
        expect(error_of([&] {
                   for (;;) all.push_back(all.size());
               }) == full);
        const auto n = all.size();
        expect(n == all.capacity() && n > 30'000, "the disk is used up to its last page");
        const auto holds = [&](auto change, int line = __builtin_LINE()) {
            expect(error_of(change) == full, "ENOSPC", line);
            expect(all.size() == n, "size", line);
            expect(std::ranges::equal(all, counting(n)), "elements", line);
        };
        const std::vector<std::uint64_t> some(5000);
        holds([&] { all.push_back(all[0]); });
        holds([&] { all.emplace_back(1U); });
        holds([&] { all.insert(all.begin(), 1); });
        holds([&] { all.insert(all.begin() + 100, 1000, 1); });
        holds([&] { all.insert(all.begin() + 100, some.begin(), some.end()); });
        holds([&] { all.insert_range(all.begin() + 100, read_once<false>(some)); });
        holds([&] { all.insert_range(all.begin() + 100, std::span(all).subspan(7, 3000)); });
        holds([&] { all.append_range(some); });
        holds([&] { all.append_range(read_once<false>(some)); });
        holds([&] { all.append_range(all); });
        holds([&] { all.resize(2 * n); });
        holds([&] { all.resize(2 * n, 7); });
        holds([&] { all.assign(2 * n, 7); });
        holds([&] { all.assign_range(std::vector<std::uint64_t>(2 * n)); });
        holds([&] { all.reserve(2 * n); });
        holds([&] { (void)all.append_uninitialized(5000); });
        all.flush();
        std::filesystem::remove(disk / "ballast");
        for (std::uint64_t i = 0; i < 10'000; ++i) all.push_back(n + i);
        expect(std::ranges::equal(all, counting(n + 10'000)));
        all.close();
        expect(reader::open(path, {.layout = form}).size() == n + 10'000);
    });
}

TEST_CASE("when the next step does not fit and what is needed does, there is no error") {
    check_on_small_disk(512 << 10, [](const temporary_directory& disk) {
        auto all = numbers::create(disk / "x", {.growth = {.least_bytes = 300'000}});
        all.reserve(40'000);
        fill_up(all);
        for (int i = 0; i < 5000; ++i) all.push_back(all.size());
        expect(std::ranges::equal(all, counting(all.size())));
    });
}

TEST_CASE("on a full disk nothing is created") {
    check_on_small_disk(64 << 10, [](const temporary_directory& disk) {
        expect(error_of([&] {
                   const std::string all(1 << 20, 'x');
                   auto ballast =
                       mapped_vector<char>::create(disk / "ballast", {.growth = little_by_little});
                   for (;;) ballast.push_back('x');
               }).code == std::errc::no_space_on_device);
        const auto found = error_of([&] { (void)numbers::create(disk / "x"); });
        expect(found.code == std::errc::no_space_on_device && found.path == disk / "x");
        expect(!std::filesystem::exists(disk / "x"));
    });
}

TEST_CASE("past the limit of file sizes is EFBIG, and no signal") {
    const auto form = GENERATE(layout::header, layout::raw);
    const temporary_directory directory;
    const auto path = directory / "x";
    check_in_child([&] {
        auto all = numbers::create(path, {.layout = form});
        const ::rlimit limit{1'000'000, 1'000'000};
        expect(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
        expect(error_of([&] {
                   for (;;) all.push_back(all.size());
               }) == says(EFBIG, "ftruncate", path));
        expect(all.size() == (1'000'000 - (form == layout::header ? 4096 : 0)) / 8);
        expect(std::ranges::equal(all, counting(all.size())));
        expect(error_of([&] { all.append_range(counting(1000)); }).code.value() == EFBIG);
        expect(error_of([&] { all.reserve(1 << 20); }).code.value() == EFBIG);
        all.pop_back();
        all.push_back(7);
        all.close();
    });
    check_in_child([&] {
        const ::rlimit limit{100, 100};
        expect(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
        if (form == layout::header)
            expect(error_of([&] { (void)numbers::create(directory / "y"); }) ==
                   says(EFBIG, "ftruncate", directory / "y"));
        expect(!std::filesystem::exists(directory / "y"));
        auto none = numbers::create(directory / "raw", {.layout = layout::raw});
        for (std::uint64_t i = 0; i < 12; ++i) none.push_back(i);
        expect(error_of([&] { none.push_back(1); }).code.value() == EFBIG);
    });
}

TEST_CASE("where addresses are few a default reservation is smaller, and one that is asked for an "
          "error") {
    if (MMSTL_TESTS_SANITIZED) return; // they have used up any limit already
    const temporary_directory directory;
    const auto path = directory / "x";
    check_in_child([&] {
        const ::rlimit limit{std::uint64_t{4} << 30, std::uint64_t{4} << 30};
        expect(::setrlimit(RLIMIT_AS, &limit) == 0);
        auto all = numbers::create(path);
        expect(all.reserved() * 8 < std::uint64_t{4} << 30);
        expect(all.reserved() * 8 > std::uint64_t{1} << 29);
        all.append_range(counting(100'000));
        const auto tail = reader::open(path);
        expect(tail.reserved() != 0 && tail.back() == 99'999);
        expect(error_of([&] { (void)numbers::open(path, {.reserved = std::size_t{1} << 33}); }) ==
               says(ENOMEM, "mmap", path));
    });
    CHECK(numbers::open(path).size() == 100'000);
    CHECK(numbers::open(path).reserved() * 8 >= (std::size_t{64} << 30) - 4096);
}

TEST_CASE("where all that is mapped is locked in memory, a default reservation is smaller, too") {
    if (MMSTL_TESTS_SANITIZED) return; // they map more than the limit by themselves
    constexpr std::uint64_t MiB = 1 << 20;
    constexpr int not_allowed = 77;
    const temporary_directory directory;
    std::filesystem::permissions(directory.path(), std::filesystem::perms::all);
    const auto path = directory / "x";
    const auto result = in_child([&] {
        const ::rlimit limit{6 * MiB, 6 * MiB};
        if (::setrlimit(RLIMIT_MEMLOCK, &limit) != 0) return not_allowed;
        become_nobody(); // for whom limits count
        if (::mlockall(MCL_FUTURE) != 0) return not_allowed;
        auto all = numbers::create(path);
        expect(all.reserved() * 8 > MiB && all.reserved() * 8 < 6 * MiB, "reserved");
        all.append_range(counting(10'000));
        const auto tail = reader::open(path);
        expect(tail.reserved() >= 10'000 && tail.back() == 9'999, "a reader beside it");
        expect(error_of([&] { (void)numbers::open(path, {.reserved = std::size_t{1} << 30}); }) ==
               says(EAGAIN, "mmap", path));
        return 0;
    });
    if (result.exit_code == not_allowed) return skip_loudly("memory cannot be locked here");
    INFO(result);
    CHECK(result.ok());
}

// ---- files that may not be written ----

TEST_CASE("a file without permission is EACCES with its path, and can be read") {
    const temporary_directory directory;
    const auto path = directory / "x";
    numbers::create(path).push_back(7);
    ::chmod(directory.path().c_str(), 0755);
    ::chmod(path.c_str(), 0444);
    check_in_child([&] {
        become_nobody();
        expect(reader::open(path).back() == 7);
        expect(error_of([&] { (void)numbers::open(path); }) == says(EACCES, "open", path));
        expect(error_of([&] { (void)numbers::open_or_create(path); }) ==
               says(EACCES, "open", path));
        expect(error_of([&] { (void)numbers::create(directory / "y"); }) ==
               says(EACCES, "open", directory / "y"));
    });
    ::chmod(path.c_str(), 0);
    check_in_child([&] {
        become_nobody();
        expect(error_of([&] { (void)reader::open(path); }) == says(EACCES, "open", path));
    });
}

TEST_CASE("a descriptor that is open for reading alone is read, and not written") {
    const temporary_directory directory;
    const auto path = directory / "x";
    numbers::create(path).push_back(7);
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    REQUIRE(fd != -1);
    {
        const leak_check guard;
        const backing borrowed = mmstl::borrowed_fd(fd);
        CHECK(reader::open(borrowed).back() == 7);
        CHECK(error_of([&] { (void)numbers::open(borrowed); }).code == errc::wrong_access);
        CHECK(error_of([&] { (void)numbers::open_or_create(borrowed); }).code ==
              errc::wrong_access);
        CHECK(error_of([&] { (void)numbers::create(borrowed); }).code == errc::no_name);
    }
    ::close(fd);
}

TEST_CASE("a borrowed descriptor may be closed, and its number become another file's") {
    const temporary_directory directory;
    const auto path = directory / "x";
    const auto other = directory / "other";
    const auto form = GENERATE(layout::header, layout::raw);
    const std::string text(100'000, 'o');
    write_file(other, text);
    write_file(path, "");
    const leak_check guard;
    const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    auto all = numbers::open_or_create(mmstl::borrowed_fd(fd), {.layout = form});
    ::close(fd);
    const int reused = ::open(other.c_str(), O_RDWR | O_CLOEXEC);
    REQUIRE(reused == fd);
    for (std::uint64_t i = 0; i < 200'000; ++i) all.push_back(i);
    all.reserve(500'000);
    all.flush_async();
    all.flush();
    all.resize(1000);
    all.shrink_to_fit();
    all.push_back(7);
    all.close();
    ::close(reused);
    CHECK((read_file(other) == text));
    const reader again(path, {.layout = form});
    REQUIRE(again.size() == 1001);
    CHECK(again[999] == 999);
    CHECK(again.back() == 7);
}

TEST_CASE("a borrowed descriptor that cannot be duplicated is refused, and nothing stays") {
    const temporary_directory directory;
    const auto path = directory / "x";
    numbers::create(path).close();
    const auto before = read_file(path);
    const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    const auto name = "fd " + std::to_string(fd);
    {
        const leak_check guard;
        const fault::fail armed(fault::call::fcntl, 2,
                                EMFILE); // behind the question for its access
        CHECK(error_of([&] { (void)numbers::open(mmstl::borrowed_fd(fd)); }) ==
              says(EMFILE, "fcntl", name));
        CHECK(armed.records().back().arguments[1] == std::uint64_t{F_DUPFD_CLOEXEC});
    }
    CHECK((read_file(path) == before));
    numbers::open(mmstl::borrowed_fd(fd)).push_back(1);
    ::close(fd);
}

TEST_CASE("on a disk that is mounted read-only vectors are read, and not written") {
    check_on_small_disk(1 << 20, [](const temporary_directory& disk) {
        numbers::create(disk / "x").push_back(7);
        expect(::mount("none", disk.path().c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) == 0);
        expect(reader::open(disk / "x").back() == 7);
        expect(error_of([&] { (void)numbers::open(disk / "x"); }) ==
               says(EROFS, "open", disk / "x"));
        expect(error_of([&] { (void)numbers::create(disk / "y"); }) ==
               says(EROFS, "open", disk / "y"));
    });
}

TEST_CASE("writing through a cast on a reader raises a signal, and not a change") {
    const temporary_directory directory;
    numbers::create(directory / "x").push_back(7);
    const auto tail = reader::open(directory / "x");
    CHECK(in_child([&] { *const_cast<volatile std::uint64_t*>(tail.data()) = 1; }).signal ==
          SIGSEGV);
    CHECK(tail[0] == 7);
}

TEST_CASE("a reader makes nothing: neither what is missing nor what would be fresh") {
    const temporary_directory directory;
    const leak_check guard;
    CHECK(error_of([&] { (void)reader::open(directory / "x"); }) ==
          says(ENOENT, "open", directory / "x"));
    CHECK_FALSE(std::filesystem::exists(directory / "x"));
    for (const auto which : {kind::anonymous, kind::memory_file, kind::temporary_file})
        CHECK(error_of([&] { (void)reader::open(sample(which).backing()); }).code ==
              errc::wrong_access);
}

// ---- opening ----

TEST_CASE("a vector is there again when it is opened again") {
    const auto which = GENERATE(kind::file, kind::shared_memory, kind::borrowed_fd);
    const auto form = GENERATE(layout::header, layout::raw);
    INFO(which);
    const sample one(which);
    const auto where = one.backing();
    const leak_check guard;
    auto all = empty_on<std::uint64_t>(where, {.layout = form});
    CHECK(all.created() == (which != kind::borrowed_fd || form == layout::header));
    CHECK(all.is_open());
    CHECK(all.name() == where.name());
    all.append_range(counting(1000));
    all.close();
    CHECK_FALSE(all.is_open());
    auto again = numbers::open_or_create(where, {.layout = form});
    CHECK_FALSE(again.created());
    CHECK(std::ranges::equal(again, counting(1000)));
    CHECK_FALSE(again.recovered());
    again.close();
    const numbers by_constructor(where, {.layout = form});
    CHECK(by_constructor.size() == 1000);
    if (which != kind::borrowed_fd) {
        CHECK(error_of([&] { (void)numbers::create(where, {.layout = form}); }).code ==
              std::errc::file_exists);
        CHECK(by_constructor.size() == 1000);
    }
}

TEST_CASE("what is no file to open is an error with its path, and leaves nothing open") {
    const temporary_directory directory;
    const auto check = [](const std::string& path, const said& expected) {
        const leak_check guard;
        CHECK(error_of([&] { (void)numbers::open(path); }) == expected);
        CHECK(error_of([&] { (void)reader::open(path); }) == expected);
        std::error_code ec;
        CHECK_FALSE(numbers::open(path, ec).is_open());
        CHECK(ec == expected.code);
        CHECK_FALSE(reader::open(path, {}, ec).is_open());
        CHECK(ec == expected.code);
    };
    check(directory / "missing", says(ENOENT, "open", directory / "missing"));
    check(directory.path(), says(EISDIR, "open", directory.path()));
    check("/dev/null", says(errc::not_mappable, "open", "/dev/null"));
    check("", says(ENOENT, "open", ""));
    const std::string with_nul("a\0b", 3);
    check(with_nul, says(errc::bad_name, "open", with_nul));
    const auto fifo = directory / "fifo";
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    check(fifo, says(errc::not_mappable, "open", fifo));
    CHECK(error_of([&] { (void)numbers::create(directory / "no/x"); }).code ==
          std::errc::no_such_file_or_directory);
    CHECK(error_of([&] {
              (void)numbers::create(directory / "x", {.pages = mmstl::pages::huge_tlb});
          }).code == errc::wrong_access);
    CHECK_FALSE(std::filesystem::exists(directory / "x"));
}

TEST_CASE("an error_code is cleared by success") {
    const temporary_directory directory;
    const auto path = directory / "x";
    std::error_code ec = make_error_code(errc::misaligned);
    const auto cleared = [&] { return !std::exchange(ec, make_error_code(errc::misaligned)); };
    auto all = numbers::create(path, ec);
    CHECK(cleared());
    all = numbers::open(path, ec);
    CHECK(cleared());
    all = numbers::open_or_create(path, {}, ec);
    CHECK(cleared());
    all.push_back(1);
    all.flush(ec);
    CHECK(cleared());
    all.flush(0, 1, ec);
    CHECK(cleared());
    all.flush(1, 1, ec);
    CHECK(ec == errc::past_the_end);
    all.close(ec);
    CHECK(cleared());
    all = numbers::create(path, {}, ec);
    CHECK(ec == std::errc::file_exists);
    CHECK_FALSE(all.is_open());
}

// ---- closed, moved and empty ----

TEST_CASE("a vector that is closed, moved from or was never open is empty, and can be asked") {
    const temporary_directory directory;
    const leak_check guard;
    auto was_open = numbers::create(directory / "x");
    was_open.append_range(counting(10));
    auto moved_from = numbers::create(directory / "y");
    const auto taken = std::move(moved_from);
    was_open.close();
    numbers never;
    for (numbers* const each :
         {&was_open, &moved_from, &never}) { // NOLINT(bugprone-use-after-move)
        numbers& all = *each;
        CHECK_FALSE(all.is_open());
        CHECK(all.empty());
        CHECK(all.data() == nullptr);
        CHECK(all.begin() == all.end());
        CHECK(all.capacity() == 0);
        CHECK(all.reserved() == 0);
        CHECK(all.durable_size() == 0);
        CHECK_FALSE(all.recovered());
        CHECK_THROWS_AS(all.at(0), std::out_of_range);
        CHECK(error_of([&] { all.push_back(1); }).code == std::errc::bad_file_descriptor);
        CHECK(error_of([&] { all.insert(all.begin(), 1); }).code == std::errc::bad_file_descriptor);
        CHECK(error_of([&] { all.append_range(counting(3)); }).code ==
              std::errc::bad_file_descriptor);
        CHECK(error_of([&] { all.resize(1); }).code == std::errc::bad_file_descriptor);
        CHECK(error_of([&] { all.reserve(1); }).code == std::errc::bad_file_descriptor);
        CHECK(all.empty());
        CHECK_NOTHROW(all.clear());
        CHECK_NOTHROW(all.resize(0));
        CHECK_NOTHROW(all.assign(0, 1));
        CHECK_NOTHROW(all.append_range(counting(0)));
        CHECK_NOTHROW(all.erase(all.begin(), all.end()));
        CHECK_NOTHROW(all.flush());
        CHECK_NOTHROW(all.flush(0, 0));
        CHECK_NOTHROW(all.flush_async());
        CHECK_NOTHROW(all.shrink_to_fit());
        CHECK_NOTHROW(all.advise(mmstl::advice::random));
        CHECK_NOTHROW(all.prefetch());
        CHECK(all.readable());
        CHECK_NOTHROW(all.close());
        CHECK_NOTHROW(all.close());
        CHECK(all == never);
    }
    was_open = numbers::open(directory / "x");
    CHECK(was_open.size() == 10);
}

TEST_CASE("an empty vector closes, and opens again") {
    const auto which = every_kind();
    const auto form = GENERATE(layout::header, layout::raw);
    INFO(which);
    const sample one(which);
    const leak_check guard;
    auto all = empty_on<large>(one.backing(), {.layout = form});
    CHECK_NOTHROW(all.flush());
    CHECK_NOTHROW(all.flush_async());
    CHECK_NOTHROW(all.shrink_to_fit());
    CHECK(all.readable());
    CHECK_NOTHROW(all.prefetch());
    CHECK_NOTHROW(all.close());
    if (is_fresh(which)) return;
    auto tail = mapped_vector<const large>::open(one.backing(), {.layout = form});
    CHECK(tail.is_open());
    CHECK(tail.empty());
    CHECK(tail.readable());
    CHECK_NOTHROW(tail.prefetch());
    CHECK_NOTHROW(tail.close());
}

TEST_CASE("a vector moves without moving its elements") {
    const auto form = GENERATE(layout::header, layout::raw);
    const temporary_directory directory;
    const leak_check guard;
    auto first = numbers::create(directory / "x", {.layout = form});
    first.append_range(counting(10));
    const auto* const data = first.data();
    numbers second = std::move(first);
    CHECK(second.data() == data);
    second.push_back(10);
    numbers third = numbers::create(directory / "y", {.layout = form});
    third = std::move(second);
    CHECK(third.data() == data);
    third.push_back(11);
    auto& same = third;
    third = std::move(same);
    CHECK(third.size() == 12);
    using std::swap;
    swap(first, third); // NOLINT(bugprone-use-after-move)
    CHECK(first.size() == 12);
    CHECK(first.name() == directory / "x");
    CHECK_FALSE(third.is_open());
    std::vector<numbers> many;
    for (int i = 0; i < 20; ++i) {
        many.push_back(numbers::create(mmstl::anonymous(), {.layout = form}));
        many.back().push_back(1);
    }
    many.erase(many.begin());
    CHECK(many.back()[0] == 1);
}

TEST_CASE("an element may be larger than a page, and as long as its reservation") {
    const temporary_directory directory;
    auto all = mapped_vector<large>::create(directory / "x", {.reserved = 3});
    for (std::size_t i = 0; i < 3; ++i) all.push_back(element<large>(i));
    CHECK_THROWS_AS(all.push_back(all[0]), mmstl::reservation_exhausted);
    CHECK(all[2] == element<large>(2));
    all.close();
    CHECK(std::filesystem::file_size(directory / "x") >= 4096 + 3 * sizeof(large));
}

TEMPLATE_TEST_CASE("elements are aligned, in every layout", "", ELEMENT_TYPES) {
    const auto form = GENERATE(layout::header, layout::raw);
    auto all = in_memory<TestType>({.layout = form});
    all.push_back(element<TestType>(1));
    CHECK(reinterpret_cast<std::uintptr_t>(all.data()) % alignof(TestType) == 0);
}

TEST_CASE("raw files are their elements alone, after close") {
    const temporary_directory directory;
    const auto path = directory / "x";
    {
        auto all = mapped_vector<rgb>::create(path, {.layout = layout::raw});
        for (std::size_t i = 0; i < 1000; ++i) all.push_back(element<rgb>(i));
        CHECK(std::filesystem::file_size(path) % sizeof(rgb) == 0);
        all.close();
    }
    CHECK(std::filesystem::file_size(path) == 3000);
    CHECK(read_file_of<rgb>(path) == elements<rgb>(1000));
    write_file(path, std::string(3001, 'x'));
    CHECK(error_of([&] { (void)mapped_vector<rgb>::open(path, {.layout = layout::raw}); }) ==
          says(errc::length_not_multiple, "mapped_vector", path));
}

// ---- two that write ----

TEST_CASE("debug builds notice a second writer") {
#ifdef NDEBUG
    return;
#else
    const temporary_directory directory;
    auto one = mapped_vector<meddler>::create(directory / "x");
    auto two = mapped_vector<meddler>::open(directory / "x");
    one.reserve(100);
    two.reserve(100);
    CHECK(in_child([&] {
              meddler::meanwhile = [&] { two.emplace_back(2); };
              one.emplace_back(1);
          }).signal == SIGABRT);
    CHECK(in_child([&] { (void)one[one.size()]; }).signal == SIGABRT);
    CHECK(in_child([&] {
              mapped_vector<meddler> none;
              none.pop_back();
          }).signal == SIGABRT);
#endif
}

// ---- ranges of elements ----

TEST_CASE("a range of elements that is not in the vector is refused, also when its end wraps") {
    const temporary_directory directory;
    auto all = numbers::create(directory / "x");
    all.append_range(counting(100));
    constexpr auto most = std::numeric_limits<std::size_t>::max();
    const fault::watch watching;
    for (const auto& range : {std::pair<std::size_t, std::size_t>{101, 0},
                              {0, 101},
                              {100, 1},
                              {1, most},
                              {most, 1},
                              {most, most},
                              {most / 8 + 1, 1},
                              {0, most / 8 + 1},
                              {most / 8 + 1, most - most / 8 + 1}}) {
        const auto first = range.first, n = range.second;
        INFO("first " << first << ", n " << n);
        const auto code_of = [](auto function) { return error_of(function).code; };
        CHECK(code_of([&] { all.flush(first, n); }) == errc::past_the_end);
        CHECK(code_of([&] { all.advise(mmstl::advice::random, first, n); }) == errc::past_the_end);
        CHECK(code_of([&] { all.prefetch(first, n); }) == errc::past_the_end);
        CHECK(code_of([&] { (void)all.readable(first, n); }) == errc::past_the_end);
    }
    CHECK(watching.records().empty());
    CHECK_NOTHROW(all.flush(100, 0));
    CHECK_NOTHROW(all.flush(99, 1));
    CHECK_NOTHROW(all.advise(mmstl::advice::normal, 99, 1));
    CHECK_NOTHROW(all.prefetch(0, 100));
    CHECK(all.readable(0, 100));
}

TEST_CASE("a file that was shortened is not readable, and that is no signal") {
    const temporary_directory directory;
    auto all = numbers::create(directory / "x");
    all.append_range(counting(100'000));
    CHECK(all.readable());
    REQUIRE(::truncate((directory / "x").c_str(), 4096) == 0);
    CHECK_FALSE(all.readable());
    CHECK_FALSE(all.readable(0, 1));
}

// ---- every system call fails ----

namespace {

/// Calls `change` on what `make` makes with its first system call failing with `error`, then its
/// second, until none fails; `check(vector, outcome)` after each. Returns how many failed.
template <class Make, class Change, class Check>
long fail_each(Make make, Change change, int error, Check check) {
    for (long nth = 1;; ++nth) {
        REQUIRE(nth < 50);
        auto all = make();
        const auto before = holdings::now();
        fault::outcome result;
        std::optional<fault::call> hit;
        {
            fault::fail armed(nth, error);
            try {
                change(all);
            } catch (...) {
                result.exception = std::current_exception();
            }
            hit = armed.hit();
        }
        if (!hit) {
            if (result.exception) std::rethrow_exception(result.exception);
            return nth - 1;
        }
        result.which = *hit;
        result.nth = nth;
        INFO("call " << nth << ", " << fault::name_of(*hit) << ", fails with errno " << error);
        CHECK(holdings::now().beyond(before) == "");
        check(all, result);
    }
}

/// What an outcome says, checked for being the error of that call.
void check_says(const fault::outcome& result, int error, const std::string& path) {
    CHECK(error_of([&] { std::rethrow_exception(result.exception); }) ==
          says(error, fault::name_of(result.which), path));
}

} // namespace

TEST_CASE("every system call of opening a vector fails in turn, and nothing stays open or mapped") {
    const auto which = every_kind();
    const auto form = GENERATE(layout::header, layout::raw);
    INFO(which);
    const sample one(which);
    const auto where = one.backing();
    empty_on<std::uint64_t>(where, {.layout = form}).push_back(7);
    const auto open = [&] { const numbers all(where, {.layout = form}); };
    for (const int error : {EIO, ENOSPC, EPERM})
        CHECK(fault::require_every_failure_is_reported(
                  open, error, {fault::call::close, fault::call::munmap}) >= 3);
    fault::require_every_interruption_is_survived(open);
    if (is_fresh(which)) return;
    const auto read = [&] { const reader all(where, {.layout = form}); };
    CHECK(fault::require_every_failure_is_reported(read, EIO,
                                                   {fault::call::close, fault::call::munmap}) >= 3);
    CHECK(reader(where, {.layout = form})[0] == 7);
}

TEST_CASE("every system call of creating a vector fails in turn, and nothing is left behind") {
    const auto which = GENERATE(kind::file, kind::shared_memory);
    const auto form = GENERATE(layout::header, layout::raw);
    const bool only_creates = GENERATE(true, false);
    INFO(which);
    const sample one(which);
    const auto where = one.backing();
    const auto before = holdings::now();
    const auto make = [&] {
        const auto all = only_creates ? numbers::create(where, {.layout = form})
                                      : numbers::open_or_create(where, {.layout = form});
        expect(all.created() && all.empty());
    };
    for (const int error : {EIO, ENOSPC}) {
        const long n = fault::for_each_failure(make, error, [&](const fault::outcome& result) {
            INFO(result.nth << " " << fault::name_of(result.which));
            CHECK(holdings::now().beyond(before) == "");
            std::error_code ec;
            if (result.exception) {
                CHECK_FALSE(where.open(read_only, ec).is_open());
                const auto found = error_of([&] { std::rethrow_exception(result.exception); });
                CHECK(found.code == std::error_code(error, std::system_category()));
                CHECK(found.path == where.name());
            } else {
                CHECK((result.which == fault::call::close || result.which == fault::call::munmap));
            }
            where.remove(ec);
        });
        CHECK(n >= 7);
        where.remove();
    }
    fault::require_every_interruption_is_survived([&] {
        make();
        where.remove();
    });
}

TEST_CASE("every system call of adopting an empty file fails in turn, and it can be adopted yet") {
    const auto which = GENERATE(kind::file, kind::shared_memory, kind::borrowed_fd);
    INFO(which);
    const sample one(which);
    const auto adopt = [&] {
        const auto all = numbers::open_or_create(one.backing());
        expect(all.is_open() && all.empty());
    };
    (void)one.backing_of(0);
    const auto before = holdings::now();
    const long n = fault::for_each_failure(adopt, EIO, [&](const fault::outcome& result) {
        INFO(result.nth << " " << fault::name_of(result.which));
        CHECK(holdings::now().beyond(before) == "");
        CHECK_NOTHROW(adopt());
        (void)one.backing_of(0);
    });
    CHECK(n >= 8);
    CHECK(numbers::open(one.backing()).empty());
    (void)one.backing_of(0);
    {
        const fault::shorten half(fault::call::pwrite, 1);
        const fault::fail rest(fault::call::pwrite, 2, ENOSPC);
        CHECK(error_of(adopt).code == std::errc::no_space_on_device);
    }
    CHECK_NOTHROW(adopt()); // a part of a header would be no vector, nor empty
}

TEST_CASE("every system call of growing fails in turn, and the vector is as before") {
    const auto which = every_kind();
    INFO(which);
    const sample one(which);
    const auto where = one.backing();
    const auto wanted = GENERATE(EIO, ENOSPC, ENOMEM);
    SECTION("exactly as much as is needed: reported") {
        const auto make = [&] {
            auto all = empty_on<page>(where, {.growth = little_by_little});
            all.resize(3);
            all.shrink_to_fit();
            return all;
        };
        const auto check = [&](auto change) {
            const long n = fail_each(make, change, wanted,
                                     [&](mapped_vector<page>& all, const fault::outcome& result) {
                                         if (result.exception) {
                                             check_says(result, wanted, where.name());
                                             CHECK(all.size() == 3);
                                             CHECK(all.capacity() == 3);
                                             change(all);
                                         } else {
                                             CHECK(result.which == fault::call::madvise);
                                         }
                                         CHECK(all.size() >= 3);
                                     });
            CHECK(n >= 3);
        };
        check([](mapped_vector<page>& all) { all.emplace_back(); });
        check([](mapped_vector<page>& all) { all.insert(all.begin(), page{}); });
        check([](mapped_vector<page>& all) { all.resize(10); });
        check([](mapped_vector<page>& all) { all.reserve(10); });
        check([](mapped_vector<page>& all) { all.assign(10, page{}); });
        check([](mapped_vector<page>& all) { all.append_range(all); });
    }
    SECTION("a step: what is needed is tried after it") {
        const auto make = [&] {
            auto all = empty_on<std::uint64_t>(where);
            all.clear();
            all.push_back(7);
            all.shrink_to_fit();
            return all;
        };
        const auto change = [](numbers& all) { all.push_back(8); };
        fail_each(make, change, wanted, [&](numbers& all, const fault::outcome& result) {
            if (result.exception) {
                CHECK(result.nth == 1);
                check_says(result, wanted, where.name());
                change(all);
            }
            CHECK(std::vector(all.begin(), all.end()) == std::vector<std::uint64_t>{7, 8});
        });
    }
}

TEST_CASE("growing survives interruptions") {
    const sample one(kind::file);
    fault::require_every_interruption_is_survived([&] {
        auto all = numbers::create(one.backing());
        all.append_range(counting(1000));
        all.flush();
        all.reserve(1 << 20);
        all.push_back(7);
        all.flush_async();
        all.shrink_to_fit();
        all.close();
        expect(reader::open(one.backing()).size() == 1001);
        one.backing().remove();
    });
}

TEST_CASE("every system call of flushing, shrinking and closing fails in turn, and is reported") {
    const auto which = GENERATE(kind::file, kind::shared_memory, kind::anonymous);
    const auto form = GENERATE(layout::header, layout::raw);
    INFO(which);
    const sample one(which);
    const auto where = one.backing();
    const auto make = [&] {
        std::error_code ignored;
        where.remove(ignored);
        auto all = empty_on<std::uint64_t>(where, {.layout = form});
        all.append_range(counting(1000));
        return all;
    };
    const auto still_there = [&](numbers& all) {
        CHECK(std::ranges::equal(all, counting(1000)));
        all.push_back(1000);
        CHECK(all.size() == 1001);
    };
    const long flushes = fail_each(
        make, [](numbers& all) { all.flush(); }, EIO,
        [&](numbers& all, const fault::outcome& result) {
            if (result.which == fault::call::close) return; // of the directory
            REQUIRE(result.exception);
            check_says(result, EIO, where.name());
            CHECK(all.durable_size() == 0);
            still_there(all);
            // For good: the kernel may have dropped what it could not write. But a directory that
            // could not be opened can be opened later.
            const bool for_good = result.which != fault::call::open;
            std::error_code ec;
            all.flush(ec);
            CHECK((ec == std::errc::io_error) == for_good);
            all.close(ec);
            CHECK((ec == std::errc::io_error) == for_good);
            CHECK_FALSE(all.is_open());
        });
    CHECK(flushes >= (form == layout::header ? 2 : 1));
    fail_each(
        make, [](numbers& all) { all.flush(10, 5); }, EIO,
        [&](numbers& all, const fault::outcome& result) {
            check_says(result, EIO, where.name());
            still_there(all);
        });
    fail_each(
        make, [](numbers& all) { all.flush_async(); }, EIO,
        [&](numbers& all, const fault::outcome& result) {
            check_says(result, EIO, where.name());
            still_there(all);
            CHECK_NOTHROW(all.flush());
        });
    const auto make_flushed = [&] {
        auto all = make();
        all.flush();
        all.resize(500);
        return all;
    };
    const long shrinks = fail_each(
        make_flushed, [](numbers& all) { all.shrink_to_fit(); }, EIO,
        [&](numbers& all, const fault::outcome& result) {
            REQUIRE(result.exception);
            check_says(result, EIO, where.name());
            CHECK(std::ranges::equal(all, counting(500)));
            all.push_back(500);
            CHECK(all[500] == 500);
        });
    CHECK(shrinks >= (form == layout::header ? 3 : 2));
    const auto before = holdings::now();
    const long closes = fail_each(
        make, [](numbers& all) { all.close(); }, EIO,
        [&](numbers& all, const fault::outcome& result) {
            CHECK_FALSE(all.is_open());
            CHECK(all.empty());
            CHECK(all.data() == nullptr);
            CHECK(holdings::now().beyond(before) == "");
            CHECK_NOTHROW(all.close());
            if (result.exception)
                check_says(result, EIO, where.name());
            else
                CHECK(result.which == fault::call::close); // of the directory
        });
    CHECK(closes >= 4);
}

// ---- huge pages ----

TEST_CASE("a vector grows in place in huge pages, and their lack is an error") {
    std::error_code ec;
    auto all = numbers::create(mmstl::memory_file("huge", {.pages = mmstl::pages::huge_tlb}), ec);
    if (ec) return skip_loudly("no huge pages here: " + ec.message());
    all.push_back(7);
    const auto* const first = all.data();
    const auto more = error_of([&] {
        for (;;) all.push_back(8); // until there are no more of them
    });
    CHECK(more.code == std::errc::no_space_on_device);
    CHECK(all.data() == first);
    CHECK(all.front() == 7);
    CHECK(all.size() == all.capacity());
    all.resize(1);
    all.shrink_to_fit();
    all.close();
    CHECK(error_of([] {
              (void)numbers::create(mmstl::memory_file("h", {.pages = mmstl::pages::huge_tlb}),
                                    {.layout = layout::raw});
          }) == says(EOPNOTSUPP, "mapped_vector", "h"));
}

// ---- what one handle does to another ----

TEST_CASE("a writer with fewer addresses flushes and shrinks no less than all") {
    const temporary_directory directory;
    auto all = numbers::create(directory / "x");
    auto small = numbers::open(directory / "x", {.reserved = 100});
    all.append_range(counting(100'000));
    all.flush();
    CHECK(small.size() < 100'000);
    small.flush();
    CHECK(all.durable_size() == 100'000);
    small.shrink_to_fit();
    CHECK(std::ranges::equal(all, counting(100'000)));
    small.close();
    all = numbers();
    CHECK(std::ranges::equal(numbers::open(directory / "x"), counting(100'000)));
}

TEST_CASE("room that is a hole is filled before it is stored to, or is an error") {
    check_on_small_disk(1 << 20, [](const temporary_directory& disk) {
        const auto path = disk / "x";
        {
            auto all = numbers::create(path, {.allocation = mmstl::allocation::sparse});
            all.append_range(counting(10));
            all.reserve(50'000);
        }
        std::ofstream(disk / "filler") << std::string(1 << 20, 'x'); // as far as it gets
        auto all = numbers::open(path);
        bool full = false;
        try {
            for (std::uint64_t i = 0; i < 40'000; ++i) all.push_back(i);
        } catch (const mmstl::mapping_error& e) {
            full = e.code() == std::errc::no_space_on_device;
        }
        expect(full, "no error");
        expect(all.size() >= 10 && all[9] == 9, "elements");
    });
}

TEST_CASE("reserve allocates room that is a hole, unless sparse files are asked for") {
    const temporary_directory directory;
    const auto path = directory / "x";
    constexpr std::size_t n = 50'000;
    {
        auto all = numbers::create(path, {.allocation = allocation::sparse});
        all.append_range(counting(10));
        all.reserve(n);
    }
    const auto how = GENERATE(allocation::automatic, allocation::blocks, allocation::sparse);
    auto all = numbers::open(path, {.allocation = how});
    REQUIRE(all.capacity() >= n);
    REQUIRE(allocated_bytes(path) < n * 8);
    all.reserve(10);
    CHECK(allocated_bytes(path) < n * 8); // there is room enough for these
    all.reserve(n);
    CHECK((allocated_bytes(path) >= n * 8) == (how != allocation::sparse));
    CHECK(std::ranges::equal(all, counting(10)));
    const fault::watch watching;
    all.reserve(n);
    for (std::uint64_t i = 10; i < n; ++i) all.push_back(i);
    CHECK(watching.records().empty());
    CHECK(std::ranges::equal(all, counting(n)));
}

TEST_CASE("reserve says that there is no room for a hole, and then appending cannot fail") {
    check_on_small_disk(1 << 20, [](const temporary_directory& disk) {
        const auto path = disk / "x";
        constexpr std::size_t n = 50'000;
        {
            auto all = numbers::create(path, {.allocation = allocation::sparse});
            all.append_range(counting(10));
            all.reserve(n);
        }
        std::ofstream(disk / "filler") << std::string(1 << 20, 'x'); // as far as it gets
        auto all = numbers::open(path);
        expect(error_of([&] { all.reserve(n); }) == says(ENOSPC, "fallocate", path), "ENOSPC");
        expect(std::ranges::equal(all, counting(10)), "elements");
        std::filesystem::remove(disk / "filler");
        all.reserve(n);
        std::ofstream(disk / "filler") << std::string(1 << 20, 'x');
        for (std::uint64_t i = 10; i < n; ++i) all.push_back(i);
        expect(std::ranges::equal(all, counting(n)), "all elements");
    });
}

TEST_CASE("a reservation by default is at least the file, where that is all there is room for") {
    if (MMSTL_TESTS_SANITIZED) return; // they have used up any limit already
    const temporary_directory directory;
    auto all = numbers::create(directory / "x", {.allocation = mmstl::allocation::sparse});
    all.reserve(std::size_t{40} << 20); // 320 MiB
    all.close();
    check_in_child([&] {
        const ::rlimit limit{std::size_t{450} << 20, std::size_t{450} << 20};
        expect(::setrlimit(RLIMIT_AS, &limit) == 0, "setrlimit");
        expect(reader::open(directory / "x").reserved() >= std::size_t{40} << 20, "reserved");
    });
}
