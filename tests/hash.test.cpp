// SPDX-License-Identifier: MIT
//
// hash.hpp: the values, which are in files, and how well they are spread.

#include "support/catch.hpp"

#include <mmstl/hash.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

using mmstl::hash;

namespace {

/// The value of one of 64 bits: that of an std::size_t is as wide wherever these tests run.
template <class Key> std::uint64_t value(const Key& key) { return hash<Key>()(key); }

enum class color : std::uint8_t { red = 1, last = 255 };
enum class temperature : std::int32_t { coldest = -1 };
struct point {
    int x;
    int y;
};
/// An allocator of somebody else's.
template <class T> struct other_allocator : std::allocator<T> {
    using value_type = T;
    template <class U> struct rebind { using other = other_allocator<U>; };
    other_allocator() = default;
    template <class U> explicit other_allocator(const other_allocator<U>&) {}
};

template <class Hash>
concept transparent = requires {
    typename Hash::is_transparent;
};

/// A text in which no 8 bytes are those next to them.
std::string text_of(std::size_t n) {
    std::string text(n, ' ');
    for (std::size_t i = 0; i < n; ++i) text[i] = static_cast<char>((i * 7 + 3) & 0xff);
    return text;
}

/// How much the chance of one bit of the hash to change with one bit of the key is off 1/2.
template <class Hash> double worst_bias(Hash hash_of, unsigned n_bits) {
    constexpr int rounds = 4000;
    std::mt19937_64 random(1); // NOLINT(cert-msc51-cpp): always the same
    double worst = 0;
    for (unsigned i = 0; i < n_bits; ++i) {
        std::array<std::uint64_t, 64> changed = {};
        for (int round = 0; round < rounds; ++round) {
            const std::uint64_t key = random();
            const std::uint64_t other = key ^ std::uint64_t{1} << i;
            const std::uint64_t difference = hash_of(key) ^ hash_of(other);
            for (unsigned bit = 0; bit < 64; ++bit) changed[bit] += difference >> bit & 1;
        }
        for (const std::uint64_t n : changed)
            worst = std::max(worst, std::abs(static_cast<double>(n) / rounds - 0.5));
    }
    return worst;
}

/// How many of 2^16 buckets, by 16 bits of the hash, stay empty with as many keys.
template <class Hash> double empty_buckets(Hash hash_of_nth, unsigned shift) {
    std::vector<bool> used(1 << 16);
    for (unsigned i = 0; i < used.size(); ++i) used[hash_of_nth(i) >> shift & 0xffff] = true;
    return static_cast<double>(std::count(used.begin(), used.end(), false)) /
           static_cast<double>(used.size());
}

} // namespace

template <> struct mmstl::hash<point> {
    std::size_t operator()(const point& p) const noexcept {
        return mmstl::hash<std::pair<int, int>>()({p.x, p.y});
    }
};

// ---- the values: they are in files, and frozen. Where a check fails, the code is wrong. Computed
//      by another program, from the words in the header. ----

TEST_CASE("the hashes of integers, frozen") {
    CHECK(value(0) == 0);
    CHECK(value(1) == 1);
    CHECK(value(-1) == 0xffffffffffffffff);
    CHECK(value(255) == 255);
    CHECK(value(std::uint32_t{1} << 31) == 0x80000000);
    CHECK(value(std::numeric_limits<std::int32_t>::min()) == 0xffffffff80000000);
    CHECK(value(std::uint64_t{1} << 32) == 0x100000000);
    CHECK(value(std::numeric_limits<std::int64_t>::min()) == 0x8000000000000000);
    CHECK(value(std::numeric_limits<std::uint64_t>::max()) == 0xffffffffffffffff);
}

TEST_CASE("integers of one value hash alike, whatever their type") {
    // All there are: they convert to 64 bits in three ways, by sign, without, and as characters.
    CHECK(value(true) == value(1));
    CHECK(value(static_cast<signed char>(-1)) == value(-1));
    CHECK(value(static_cast<unsigned char>(255)) == value(255));
    CHECK(value(short{-1}) == value(-1));
    CHECK(value(static_cast<unsigned short>(7)) == value(7));
    CHECK(value(7U) == value(7));
    CHECK(value(-1L) == value(-1));
    CHECK(value(-1LL) == value(-1L));
    CHECK(value(7UL) == value(7ULL));
    // char and wchar_t have a sign on some machines.
    CHECK(value('\xff') == value(255));
    CHECK(value(static_cast<wchar_t>(-1)) == value(static_cast<std::make_unsigned_t<wchar_t>>(-1)));
    CHECK(value(char8_t{0xff}) == value(255));
    CHECK(value(char16_t{0xffff}) == value(0xffff));
    CHECK(value(char32_t{0x1f600}) == value(0x1f600));
    CHECK(value(color::last) == value(255));
    CHECK(value(temperature::coldest) == value(-1));
    CHECK(value(std::byte{7}) == value(7));
    CHECK(value(std::memory_order_relaxed) == value(0));
}

TEST_CASE("the hashes of floating point numbers, frozen") {
    CHECK(value(0.0F) == 0x1eb244682e62ca05);
    CHECK(value(0.0) == 0x1eb244682e62ca05);
    CHECK(value(-0.0F) == value(0.0F));
    CHECK(value(-0.0) == value(0.0));
    CHECK(value(1.0F) == 0xf7b076b40fa6fb22);
    CHECK(value(1.0) == 0xb2cb64e6ef6af5fe);
    CHECK(value(-1.5F) == 0x26c5ace8238d6fe2);
    CHECK(value(-1.5) == 0xba8ac5daacfbfcfb);
    CHECK(value(std::numeric_limits<float>::infinity()) == 0xfe1782e341975005);
    CHECK(value(std::numeric_limits<double>::infinity()) == 0xce2abb87fc692346);
}

TEST_CASE("the hashes of strings of every length, frozen") {
    // All lengths up to where a second and third round begin, and those at the edges of later ones.
    const std::pair<std::size_t, std::uint64_t> expected[] = {
        {0, 0x1f1fe1242c4b8b70},   {1, 0x7555a9a3d174f439},   {2, 0x2ca26fc8da833db6},
        {3, 0x4c3361646f2c9b33},   {4, 0xd1bf20518041e4ce},   {5, 0x3bb01ab0fc94bdf1},
        {6, 0x467e89122c7c5239},   {7, 0xfadaf3733a3450fc},   {8, 0xee2d492e1adf2381},
        {9, 0x881c5f8d8a374186},   {10, 0x0465d96f28f89180},  {11, 0xd2c983298d259489},
        {12, 0x780f9a6cdba7f19e},  {13, 0xc67f4e35b87b17e4},  {14, 0xc8e8d00186f7c5b0},
        {15, 0x74018654d1708b79},  {16, 0xc3cbc656a8625598},  {17, 0xb82a209411d6c6bb},
        {18, 0x2b7c7fcc0c6c6eee},  {19, 0x1611548fe549170e},  {20, 0x51ab0cae6b1f68c6},
        {21, 0x16f69f860e12bc50},  {22, 0x5f80c837800969d8},  {23, 0xf19346cfe7bba2e9},
        {24, 0x8424b900b9a5fbc4},  {25, 0x5c2c9cec3edcaa77},  {26, 0xb68191adf3fb78da},
        {27, 0xb62d590c0d6ea88f},  {28, 0x9f3ee62cb28d0c88},  {29, 0xa39ce4b709326587},
        {30, 0x9e94b215bf9c78e1},  {31, 0x93d07e5713c30e50},  {32, 0xcf5c44ec06a710c8},
        {33, 0xade907082d8b44ad},  {34, 0x7b2e2e25ad3a5095},  {35, 0x6514eca39edbb080},
        {47, 0x86b6d20483f3a5a7},  {48, 0x0961cac455616145},  {49, 0x0f0989a2bea48999},
        {63, 0x8901d031ed48869c},  {64, 0x037f6abeb552e114},  {65, 0xecbfb1d99940fce1},
        {100, 0xb707a370590a8cb0}, {255, 0xb9882b40e318d049}, {256, 0x584f69625f483df6},
        {300, 0x39be82281359c67b},
    };
    for (const auto& [n, hashed] : expected) {
        CAPTURE(n);
        const std::string text = text_of(n);
        CHECK(value(text) == hashed);
        CHECK(value(std::string_view(text)) == hashed);
        // Wherever it lies: the bytes are read eight at a time.
        const std::string shifted = " " + text + "behind";
        CHECK(value(std::string_view(shifted).substr(1, n)) == hashed);
    }
}

TEST_CASE("the hashes of strings of wider characters, frozen") {
    CHECK(value(std::u8string(u8"k\u00e4se")) == 0x0f76b89af2e115b1);
    CHECK(value(std::string(reinterpret_cast<const char*>(u8"k\u00e4se"))) == 0x0f76b89af2e115b1);
    CHECK(value(std::u16string(u"x")) == 0x2dcc3950c3f6c685);
    CHECK(value(std::u16string(u"k\u00e4se")) == 0x74bb5e545e202c1d);
    CHECK(value(std::u16string(u"abcdefghij\u20ac")) == 0xee9a70448f71885e);
    CHECK(value(std::u32string(U"k\u00e4se")) == 0x4a73208976d9893a);
    if constexpr (sizeof(wchar_t) == 4)
        CHECK(value(std::wstring(L"k\u00e4se")) == 0x4a73208976d9893a);
}

TEST_CASE("the hashes of pairs, tuples, arrays and optionals, frozen") {
    CHECK(value(std::tuple<>()) == 0xa54ff53a5f1d36f1);
    CHECK(value(std::tuple(0)) == 0x9f5f87a4221bb336);
    CHECK(value(std::tuple(1)) == 0x5cd4bcd8edb15a7a);
    CHECK(value(std::tuple(1, 2)) == 0x0abfdd5ae24c292e);
    CHECK(value(std::tuple(2, 1)) == 0x54a1d4e6d28570ec);
    CHECK(value(std::tuple(1, 2L, short{3})) == 0x75027653b2d28e98);
    CHECK(value(std::pair(1, 2)) == 0x0abfdd5ae24c292e);
    CHECK(value(std::pair<const int, const int>(1, 2)) == 0x0abfdd5ae24c292e);
    CHECK(value(std::pair(std::string("a"), 7)) == 0x3baea2e4d836f327);
    CHECK(value(std::pair(std::pair(1, 2), 3)) == 0x206f53d52397b705);
    CHECK(value(std::array<int, 0>()) == 0xa54ff53a5f1d36f1);
    CHECK(value(std::array{1, 2}) == 0x0abfdd5ae24c292e);
    CHECK(value(std::array{1, 2, 3}) == 0x75027653b2d28e98);
    CHECK(value(std::optional<int>()) == 0xa54ff53a5f1d36f1);
    CHECK(value(std::optional(0)) == 0x9f5f87a4221bb336);
    CHECK(value(std::optional(1)) == 0x5cd4bcd8edb15a7a);
}

// ---- what holds for all ----

TEST_CASE("a constant is hashed as a variable is") {
    // When it is a constant, bytes are put together as on a machine of the other byte order.
    constexpr std::string_view text = "of more than sixteen bytes, and more than another sixteen";
    constexpr std::array hashed = [text] {
        std::array<std::size_t, text.size() + 1> all = {};
        for (std::size_t n = 0; n < all.size(); ++n)
            all[n] = hash<std::string_view>()(text.substr(0, n));
        return all;
    }();
    for (std::size_t n = 0; n < hashed.size(); ++n) {
        CAPTURE(n);
        CHECK(value(text.substr(0, n)) == hashed[n]);
    }
    constexpr std::size_t wide = hash<std::u16string_view>()(u"abcdefghij\u20ac");
    STATIC_REQUIRE(wide == static_cast<std::size_t>(0xee9a70448f71885e));
    STATIC_REQUIRE(hash<int>()(1) == 1);
    STATIC_REQUIRE(hash<double>()(1.0) == static_cast<std::size_t>(0xb2cb64e6ef6af5fe));
    STATIC_REQUIRE(hash<std::pair<int, int>>()({1, 2}) ==
                   static_cast<std::size_t>(0x0abfdd5ae24c292e));
}

TEST_CASE("a product of 128 bits is the same where the compiler has none") {
    std::mt19937_64 random(2); // NOLINT(cert-msc51-cpp): always the same
    std::vector<std::uint64_t> numbers = {0, 1, 0xffffffff, 0x100000000, ~std::uint64_t{0}};
    for (int i = 0; i < 50; ++i) numbers.push_back(random());
    for (const std::uint64_t a : numbers)
        for (const std::uint64_t b : numbers)
            REQUIRE(mmstl::detail::hash_mix(a, b) == mmstl::detail::hash_mix_by_halves(a, b));
}

TEST_CASE("strings of any allocator, views and literals hash alike, without a temporary") {
    using other_string = std::basic_string<char, std::char_traits<char>, other_allocator<char>>;
    const hash<std::string> h;
    const char* const pointer = "mmap";
    CHECK(h("mmap") == 0x56a7816fcc24be1e);
    CHECK(h(pointer) == h("mmap"));
    CHECK(h(std::string_view("mmap")) == h("mmap"));
    CHECK(hash<other_string>()("mmap") == h("mmap"));
    CHECK(h(other_string("mmap")) == h("mmap"));
    CHECK(hash<std::string_view>()("mmap") == h("mmap"));
    CHECK(h(std::string("mm\0ap", 5)) != h("mm"));
    STATIC_REQUIRE(transparent<hash<std::string>>);
    STATIC_REQUIRE(transparent<hash<std::u16string>>);
    STATIC_REQUIRE_FALSE(transparent<hash<int>>);
}

TEST_CASE("libstdc++ keeps the hashes of strings beside them, and no others") {
    // It goes by noexcept, and the nodes it makes are in files.
    STATIC_REQUIRE_FALSE(std::is_nothrow_invocable_v<const hash<std::string>&, const std::string&>);
    using with_string = std::pair<int, std::string>;
    STATIC_REQUIRE_FALSE(std::is_nothrow_invocable_v<const hash<with_string>&, const with_string&>);
    STATIC_REQUIRE(std::is_nothrow_invocable_v<const hash<int>&, const int&>);
    STATIC_REQUIRE(std::is_nothrow_invocable_v<const hash<double>&, const double&>);
    STATIC_REQUIRE(std::is_nothrow_invocable_v<const hash<color>&, const color&>);
    using pair = std::pair<int, color>;
    STATIC_REQUIRE(std::is_nothrow_invocable_v<const hash<pair>&, const pair&>);
    using tuple = std::tuple<std::optional<int>, std::array<char, 3>>;
    STATIC_REQUIRE(std::is_nothrow_invocable_v<const hash<tuple>&, const tuple&>);
}

TEST_CASE("a hash of one's own is used within others") {
    CHECK(value(point{1, 2}) == 0x0abfdd5ae24c292e);
    CHECK(value(std::pair(point{1, 2}, 3)) == 0x206f53d52397b705);
}

TEST_CASE("each bit of a key changes half of the bits of the hash") {
    // By chance 0.04 or less, with 64 * 64 trials of 4000; a bit that is not mixed has 0.5.
    const auto bytes = [](const std::uint64_t& key) { return reinterpret_cast<const char*>(&key); };
    CHECK(worst_bias([](std::uint64_t key) { return value(std::bit_cast<double>(key)); }, 64) <
          0.06);
    CHECK(worst_bias(
              [](std::uint64_t key) {
                  return value(std::pair(static_cast<std::uint32_t>(key), key >> 32));
              },
              64) < 0.06);
    CHECK(worst_bias([&](std::uint64_t key) { return value(std::string_view(bytes(key), 8)); },
                     64) < 0.06);
    CHECK(worst_bias([&](std::uint64_t key) { return value(std::string_view(bytes(key), 3)); },
                     24) < 0.06);
    CHECK(worst_bias(
              [&](std::uint64_t key) { return value(std::string(bytes(key), 8) + text_of(40)); },
              64) < 0.06);
}

TEST_CASE("keys in a row fill buckets as chance would") {
    // 1/e of them stay empty by chance.
    const auto by_chance = [](double empty) { return empty > 0.35 && empty < 0.385; };
    for (const unsigned shift : {0U, 20U, 48U}) {
        CAPTURE(shift);
        CHECK(by_chance(empty_buckets([](unsigned i) { return value(std::tuple(i)); }, shift)));
        CHECK(by_chance(
            empty_buckets([](unsigned i) { return value(std::array{i * 4096UL}); }, shift)));
        CHECK(by_chance(empty_buckets([](unsigned i) { return value(double(i)); }, shift)));
        CHECK(by_chance(
            empty_buckets([](unsigned i) { return value(std::pair(i & 0xff, i >> 8)); }, shift)));
        CHECK(by_chance(
            empty_buckets([](unsigned i) { return value("key" + std::to_string(i)); }, shift)));
    }
}
