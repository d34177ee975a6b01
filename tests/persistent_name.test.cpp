// SPDX-License-Identifier: MIT
//
// persistent_name.hpp: the names of types in files, and detail/checksum.hpp, which hashes them.

#include "support/catch.hpp"

#include <mmstl/persistent_name.hpp>

#include <mmstl/access.hpp>

#include <array>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

using namespace support;
using mmstl::detail::fnv1a;
using mmstl::detail::has_persistent_name;
using mmstl::detail::identify;
using mmstl::detail::name_from_mangled;
using mmstl::detail::tells_of_nameless;
using mmstl::detail::type_identity;
using mmstl::detail::type_name;

// Not in an unnamed namespace: what is in there is refused.
namespace named {

struct tick {
    double price;
    std::int32_t volume;
};
enum class color : std::uint8_t { red, green };
template <class T> struct point {
    T x;
    T y;
};
template <class T> struct outer {
    struct inner {
        T value;
    };
};
template <auto> struct with_value {};
template <class> struct with_type {};

struct chosen {
    std::int64_t value;
};
enum class chosen_enum : std::uint16_t {};

// Called what compilers call that which has no name.
struct anonymous {};
struct lambda {};
struct unnamed {};
enum values { none, anonymous_value };
struct has_value {
    values value;
};
struct has_text {
    char text[32];
};

auto local_type();
auto local_type() {
    struct local {
        int value;
    };
    return local{};
}
template <class T> auto local_type_of_template() {
    struct local {
        T value;
    };
    return local{};
}

} // namespace named

namespace {

struct hidden {
    int value;
};
struct hidden_but_chosen {
    int value;
};
enum class hidden_enum {};
template <class> struct hidden_template {};
[[maybe_unused]] int hidden_variable;
[[maybe_unused]] auto local_of_hidden_function() {
    struct local {};
    return local{};
}

} // namespace

namespace named {
// Compilers do not print default arguments.
template <class T, class U = hidden> struct with_hidden_default {};
} // namespace named

template <> inline constexpr std::string_view mmstl::persistent_name<named::chosen> = "chosen/1";
template <> inline constexpr std::string_view mmstl::persistent_name<named::chosen_enum> = "e/2";
template <> inline constexpr std::string_view mmstl::persistent_name<hidden_but_chosen> = "h/1";
template <> inline constexpr std::string_view mmstl::persistent_name<std::array<short, 7>> = "week";
// The longest there may be.
template <>
inline constexpr std::string_view mmstl::persistent_name<named::point<char>> =
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde";

namespace {

template <class T>
void is_known_as(const std::string& name, std::uint64_t hash, std::uint64_t size_bytes,
                 std::uint64_t alignment) {
    STATIC_REQUIRE(has_persistent_name<T>);
    const type_identity identity = identify<T>();
    CHECK(identity.name == name);
    CAPTURE(name);
    CHECK(identity.hash == hash);
    CHECK(identity.size_bytes == size_bytes);
    CHECK(identity.alignment == alignment);
}

/// At compile time or at run time.
template <class T> void refused_sometime() {
    if constexpr (has_persistent_name<T>) CHECK_THROWS_AS(type_name<T>(), std::logic_error);
}

} // namespace

// ---- the names: they are in files, and frozen. Where a check fails, the code is wrong. ----

TEST_CASE("numbers are known by kind and size, frozen") {
    is_known_as<bool>("b1", 0x08a60307b54d7e7c, 1, 1);
    is_known_as<signed char>("i1", 0x08b70307b55bf1af, 1, 1);
    is_known_as<std::int16_t>("i2", 0x08b70407b55bf362, 2, 2);
    is_known_as<std::int32_t>("i4", 0x08b6fe07b55be930, 4, 4);
    is_known_as<std::int64_t>("i8", 0x08b70a07b55bfd94, 8, alignof(std::int64_t));
    is_known_as<unsigned char>("u1", 0x08c47b07b56747f3, 1, 1);
    is_known_as<std::uint16_t>("u2", 0x08c47c07b56749a6, 2, 2);
    is_known_as<std::uint32_t>("u4", 0x08c47e07b5674d0c, 4, 4);
    is_known_as<std::uint64_t>("u8", 0x08c48207b56753d8, 8, alignof(std::uint64_t));
    is_known_as<float>("f4", 0x08989007b54230b7, 4, 4);
    is_known_as<double>("f8", 0x08988407b5421c53, 8, alignof(double));
    is_known_as<std::complex<float>>("c8", 0x08a28607b54a743e, 8, 4);
    is_known_as<std::complex<double>>("c16", 0xf68649190d6f749d, 16, alignof(double));
    is_known_as<char>("S1", 0x0945ff07b5d5a329, 1, 1);
    is_known_as<char8_t>("U1", 0x09317b07b5c419d3, 1, 1);
    is_known_as<char16_t>("U2", 0x09317c07b5c41b86, 2, 2);
    is_known_as<char32_t>("U4", 0x09317e07b5c41eec, 4, 4);
    is_known_as<wchar_t>("W4", 0x09380207b5c96ae6, 4, 4);
    is_known_as<std::byte>("V1", 0x093b8b07b5cc8988, 1, 1);
}

TEST_CASE("numbers of 16 bytes are known by their format, frozen") {
#ifdef __SIZEOF_INT128__
    is_known_as<mmstl::detail::signed_16>("i16", 0x2aebbf192b3b86fb, 16, 16);
    is_known_as<mmstl::detail::unsigned_16>("u16", 0x4d24d3193e7ef3bf, 16, 16);
#endif
#ifdef __SIZEOF_FLOAT128__
    is_known_as<mmstl::detail::float_16>("f16", 0xdd5c4c18ff6a0fca, 16, 16);
#endif
    if constexpr (sizeof(long double) == 16 && std::numeric_limits<long double>::digits == 64) {
        is_known_as<long double>("f16:64", 0x7a16eb11f9786cd2, 16, 16);
        is_known_as<std::complex<long double>>("c32:64", 0x2fb47cc735964149, 32, 16);
    } else if constexpr (std::numeric_limits<long double>::digits == 113) {
        is_known_as<long double>("f16", 0xdd5c4c18ff6a0fca, 16, 16);
    } else if constexpr (std::numeric_limits<long double>::digits == 53) {
        is_known_as<long double>("f8", 0x08988407b5421c53, 8, alignof(long double));
    }
}

TEST_CASE("arrays are known by their elements, frozen") {
    is_known_as<std::int32_t[3]>("i4[3]", 0x5314eeaca1bbbaa1, 12, 4);
    is_known_as<std::array<std::int32_t, 3>>("i4[3]", 0x5314eeaca1bbbaa1, 12, 4);
    is_known_as<std::int32_t[2][3]>("i4[3][2]", 0xc6943c19ec051c6b, 24, 4);
    is_known_as<std::array<std::array<std::int32_t, 3>, 2>>("i4[3][2]", 0xc6943c19ec051c6b, 24, 4);
    is_known_as<std::array<std::int32_t[3], 2>>("i4[3][2]", 0xc6943c19ec051c6b, 24, 4);
    is_known_as<std::array<named::color, 2>>("N5named5colorE[2]", 0xb592345dc2a11c9a, 2, 1);
    is_known_as<std::array<std::byte, 4096>>("V1[4096]", 0xfa77bdcc45e9c1d1, 4096, 1);
    // How large it is, libraries do not agree upon.
    CHECK(type_name<std::array<int, 0>>() == "i4[0]");
}

TEST_CASE("classes and enumerations are known by the mangled name, frozen") {
    is_known_as<named::tick>("N5named4tickE", 0x3178aa047989d0b9, 16, alignof(double));
    is_known_as<named::color>("N5named5colorE", 0xc5a049f3f117b4ca, 1, 1);
    is_known_as<named::point<float>>("N5named5pointIfEE", 0x9d53ae2331777c37, 8, 4);
    is_known_as<named::point<named::point<named::color>>>("N5named5pointINS0_INS_5colorEEEEE",
                                                          0x6a979aa58ce8711b, 4, 1);
    is_known_as<named::outer<int>::inner>("N5named5outerIiE5innerE", 0xaa809c180afcedf0, 4, 4);
    is_known_as<named::with_value<named::color::green>>("N5named10with_valueILNS_5colorE1EEE",
                                                        0x8f3c4ee9414451ce, 1, 1);
    is_known_as<decltype(named::local_type())>("ZN5named10local_typeEvE5local", 0x30579a5dde154d34,
                                               4, 4);
    is_known_as<decltype(named::local_type_of_template<float>())>(
        "ZN5named22local_type_of_templateIfEEDavE5local", 0x00c444907c040c17, 4, 4);
}

TEST_CASE("the names of our own types have no version in them, frozen") {
    is_known_as<mmstl::access>("N5mmstl6accessE", 0x3f82e82c02f9fdf8, 1, 1);
    is_known_as<named::point<mmstl::access>>("N5named5pointIN5mmstl6accessEEE", 0x2b3b45e7c7c7f61a,
                                             2, 1);
    // Where it is not the first that is named.
    CHECK(type_name<named::with_value<mmstl::access::read_only>>().find("2v1") ==
          std::string::npos);
}

TEST_CASE("a chosen name wins, frozen") {
    is_known_as<named::chosen>("chosen/1", 0x641558cd6460e54f, 8, alignof(std::int64_t));
    is_known_as<named::chosen_enum>("e/2", 0xc3ccd718f10ededd, 2, 2);
    is_known_as<hidden_but_chosen>("h/1", 0x3438611930ae293b, 4, 4);
    is_known_as<std::array<hidden_but_chosen, 2>>("h/1[2]", 0xd28f40ed26dad0f1, 8, 4);
    is_known_as<std::array<short, 7>>("week", 0x3d80fff619edbfbd, 14, 2);
    is_known_as<short[7]>("i2[7]", 0xb0c0eadcbc5eab3b, 14, 2);
    CHECK(type_name<named::point<char>>().size() == mmstl::detail::longest_persistent_name);
    // Not of what it is in.
    CHECK(type_name<named::point<named::chosen>>() == "N5named5pointINS_6chosenEEE");
}

// ---- what is the same, and what is not ----

TEST_CASE("const and volatile do not count") {
    STATIC_REQUIRE(mmstl::persistent_name<const named::chosen> == "chosen/1");
    STATIC_REQUIRE(mmstl::persistent_name<volatile named::chosen> == "chosen/1");
    STATIC_REQUIRE(mmstl::persistent_name<const volatile named::chosen> == "chosen/1");
    CHECK(identify<const named::chosen>() == identify<named::chosen>());
    CHECK(identify<const int>() == identify<int>());
    CHECK(identify<const volatile double>() == identify<double>());
    CHECK(identify<const named::tick>() == identify<named::tick>());
    CHECK(identify<const int[2][3]>() == identify<int[2][3]>());
    CHECK(identify<std::array<const named::chosen, 2>>() ==
          identify<const std::array<named::chosen, 2>>());
    STATIC_REQUIRE(has_persistent_name<const std::array<hidden_but_chosen, 2>>);
    STATIC_REQUIRE_FALSE(has_persistent_name<const hidden>);
}

TEST_CASE("integers of one size and signedness are one type, char is not one of them") {
    CHECK(type_name<long long>() == "i8");
    CHECK(type_name<unsigned long long>() == "u8");
    CHECK(type_name<long>() == (sizeof(long) == 8 ? "i8" : "i4"));
    CHECK(type_name<char>() != type_name<signed char>());
    CHECK(type_name<char>() != type_name<unsigned char>());
    CHECK(type_name<char8_t>() != type_name<unsigned char>());
    CHECK(type_name<std::byte>() != type_name<unsigned char>());
}

TEST_CASE("identities differ by name, size or alignment") {
    const type_identity one = identify<named::tick>();
    type_identity other = one;
    CHECK(one == other);
    other.size_bytes = 1;
    CHECK_FALSE(one == other);
    CHECK_FALSE(identify<int>() == identify<unsigned>());
}

TEST_CASE("names are never chosen without being asked for") {
    STATIC_REQUIRE(mmstl::persistent_name<int>.empty());
    STATIC_REQUIRE(mmstl::persistent_name<named::tick>.empty());
    STATIC_REQUIRE(
        std::is_same_v<decltype(mmstl::persistent_name<named::tick>), const std::string_view>);
}

// ---- what has no name ----

TEST_CASE("what is in an unnamed namespace has no name") {
    STATIC_REQUIRE_FALSE(has_persistent_name<hidden>);
    STATIC_REQUIRE_FALSE(has_persistent_name<hidden_enum>);
    STATIC_REQUIRE_FALSE(has_persistent_name<hidden_template<int>>);
    STATIC_REQUIRE_FALSE(has_persistent_name<named::point<hidden>>);
    STATIC_REQUIRE_FALSE(has_persistent_name<named::point<named::point<hidden>>>);
    STATIC_REQUIRE_FALSE(has_persistent_name<named::outer<hidden>::inner>);
    STATIC_REQUIRE_FALSE(has_persistent_name<named::with_type<hidden*>>);
    STATIC_REQUIRE_FALSE(has_persistent_name<named::with_type<int(hidden)>>);
    STATIC_REQUIRE_FALSE(has_persistent_name<named::with_value<hidden_enum{}>>);
    STATIC_REQUIRE_FALSE(has_persistent_name<named::with_value<hidden_enum{7}>>);
    STATIC_REQUIRE_FALSE(has_persistent_name<named::with_value<&hidden_variable>>);
    STATIC_REQUIRE_FALSE(has_persistent_name<hidden[2]>);
    STATIC_REQUIRE_FALSE(has_persistent_name<std::array<std::array<hidden, 2>, 2>>);
    STATIC_REQUIRE_FALSE(has_persistent_name<std::pair<int, hidden>>);
    // Choosing a name for a part does not give one to the whole.
    STATIC_REQUIRE_FALSE(has_persistent_name<named::point<hidden_but_chosen>>);
}

TEST_CASE("closures and unnamed types have no name") {
    const auto closure = [](int x) { return x; };
    const auto generic = [](auto x) { return x; };
    struct {
        int value;
    } unnamed = {0};
    enum { unnamed_enumerator };
    union {
        int i;
        float f;
    } unnamed_union = {0};
    STATIC_REQUIRE_FALSE(has_persistent_name<std::remove_cv_t<decltype(closure)>>);
    STATIC_REQUIRE_FALSE(has_persistent_name<decltype(generic)>);
    STATIC_REQUIRE_FALSE(has_persistent_name<decltype(unnamed)>);
    STATIC_REQUIRE_FALSE(has_persistent_name<decltype(unnamed_enumerator)>);
    STATIC_REQUIRE_FALSE(has_persistent_name<decltype(unnamed_union)>);
    STATIC_REQUIRE_FALSE(has_persistent_name<named::with_type<decltype(closure)>>);
    STATIC_REQUIRE_FALSE(
        has_persistent_name<named::with_type<named::with_type<decltype(unnamed)>>>);
    STATIC_REQUIRE_FALSE(has_persistent_name<std::pair<int, decltype(generic)>>);
    STATIC_REQUIRE_FALSE(has_persistent_name<std::array<decltype(unnamed), 3>>);
    CHECK(unnamed.value + unnamed_union.i + closure(0) + generic(0) == unnamed_enumerator);
}

TEST_CASE("types that are called anonymous, lambda or unnamed have names") {
    using namespace named;
    CHECK(type_name<anonymous>() == "N5named9anonymousE");
    CHECK(type_name<lambda>() == "N5named6lambdaE");
    CHECK(type_name<unnamed>() == "N5named7unnamedE");
    CHECK(type_name<with_type<lambda>>() == "N5named9with_typeINS_6lambdaEEE");
    CHECK(type_name<with_type<lambda(int)>>() == "N5named9with_typeIFNS_6lambdaEiEEE");
    CHECK(type_name<with_type<int(lambda)>>() == "N5named9with_typeIFiNS_6lambdaEEEE");
    CHECK(type_name<with_type<unnamed (*)(anonymous)>>() ==
          "N5named9with_typeIPFNS_7unnamedENS_9anonymousEEEE");
    STATIC_REQUIRE(has_persistent_name<with_value<anonymous_value>>);
    STATIC_REQUIRE(has_persistent_name<with_value<has_value{anonymous_value}>>);
}

TEST_CASE("what is in a string among the template arguments gives no type away") {
    using namespace named;
    STATIC_REQUIRE(has_persistent_name<with_value<has_text{"{anonymous}::"}>>);
    STATIC_REQUIRE(has_persistent_name<with_value<has_text{"(anonymous namespace)::"}>>);
    STATIC_REQUIRE(has_persistent_name<with_value<has_text{"\\\" <lambda()>"}>>);
    STATIC_REQUIRE(has_persistent_name<with_value<'"'>>);
    STATIC_REQUIRE(has_persistent_name<with_value<'\''>>);
    STATIC_REQUIRE(has_persistent_name<with_value<'\\'>>);
    // But it hides nothing either.
    STATIC_REQUIRE_FALSE(has_persistent_name<std::pair<with_value<'"'>, hidden>>);
    STATIC_REQUIRE_FALSE(has_persistent_name<std::pair<with_value<has_text{"\""}>, hidden>>);
}

TEST_CASE("what compilers print of nameless types is understood") {
    // Of this compiler it is tested above; these are of others too.
    const auto tells = [](std::string_view type) constexpr {
        std::array<char, 200> printed{};
        std::size_t n = 0;
        for (const std::string_view part :
             {std::string_view("bool f() [with T = "), type, std::string_view("]")})
            for (const char c : part) printed[n++] = c;
        return tells_of_nameless({printed.data(), n});
    };
    // GCC
    STATIC_REQUIRE(tells("{anonymous}::a"));
    STATIC_REQUIRE(tells("a::b<{anonymous}::c>"));
    STATIC_REQUIRE(tells("a::b<(& {anonymous}::c)>"));
    STATIC_REQUIRE(tells("a::b<<unnamed>::c::d>"));
    STATIC_REQUIRE(tells("a::b<(c::<unnamed>::d)7>"));
    STATIC_REQUIRE(tells("f()::<lambda()>"));
    STATIC_REQUIRE(tells("<lambda(auto:1)>"));
    STATIC_REQUIRE(tells("a<<lambda(int)>, 3>"));
    STATIC_REQUIRE(tells("a<int, <lambda(int)> >"));
    STATIC_REQUIRE(tells("a::<unnamed struct>"));
    STATIC_REQUIRE(tells("<unnamed enum>"));
    STATIC_REQUIRE(tells("f()::<lambda()>::local"));
    STATIC_REQUIRE_FALSE(tells("lambda"));
    STATIC_REQUIRE_FALSE(tells("a<lambda(int)>"));
    STATIC_REQUIRE_FALSE(tells("A<lambda(int)>"));
    STATIC_REQUIRE_FALSE(tells("a0<lambda(int)>"));
    STATIC_REQUIRE_FALSE(tells("a_<lambda(int)>"));
    STATIC_REQUIRE_FALSE(tells("a$<lambda(int)>"));
    STATIC_REQUIRE_FALSE(tells("\xc3\xa4<lambda(int)>"));
    STATIC_REQUIRE_FALSE(tells("a<unnamed>::b"));
    STATIC_REQUIRE_FALSE(tells("a<b{anonymous}>"));
    STATIC_REQUIRE_FALSE(tells("a<b{\"{anonymous}::\\\"<lambda()>\"}>"));
    STATIC_REQUIRE_FALSE(tells("a<b{\"{anonymous}::"));
    // Clang
    STATIC_REQUIRE(tells("(anonymous namespace)::a"));
    STATIC_REQUIRE(tells("a::b<(anonymous namespace)::c>"));
    STATIC_REQUIRE(tells("(lambda at /a/it's/b.cpp:1:2)"));
    STATIC_REQUIRE(tells("a<(lambda at b.cpp:1:2), 3>"));
    STATIC_REQUIRE(tells("a::(unnamed struct at b.cpp:1:2)"));
    STATIC_REQUIRE(tells("a::(unnamed union at b.cpp:1:2)"));
    STATIC_REQUIRE(tells("(unnamed enum at b.cpp:1:2)"));
    STATIC_REQUIRE(tells("(unnamed class at b.cpp:1:2)"));
    STATIC_REQUIRE(tells("(anonymous struct at b.cpp:1:2)"));
    STATIC_REQUIRE(tells("(anonymous union at b.cpp:1:2)"));
    STATIC_REQUIRE(tells("(anonymous enum at b.cpp:1:2)"));
    STATIC_REQUIRE(tells("(anonymous class)"));
    STATIC_REQUIRE_FALSE(tells("a<int (lambda)>"));
    STATIC_REQUIRE_FALSE(tells("a<int (anonymous, unnamed)>"));
    STATIC_REQUIRE_FALSE(tells("a<'(', '\\'', '<'>"));
}

TEST_CASE("what the compiler does not print of a nameless type is refused at run time") {
    using hides = named::with_hidden_default<int>;
    STATIC_REQUIRE(has_persistent_name<hides>);
    CHECK_THROWS_AS(type_name<hides>(), std::logic_error);
    CHECK_THROWS_AS(identify<hides>(), std::logic_error);
    CHECK_THROWS_WITH(type_name<hides>(), contains_text("specialise mmstl::persistent_name") &&
                                              contains_text("with_hidden_default"));

    // Clang does not print the function that a type is local to.
    refused_sometime<decltype(local_of_hidden_function())>();
    refused_sometime<hidden>();
}

TEST_CASE("a mangled name loses its mark and our version, and nothing else") {
    CHECK(name_from_mangled("4tick") == "4tick");
    CHECK(name_from_mangled("*4tick") == "4tick");
    CHECK(name_from_mangled("N5mmstl2v13fooE") == "N5mmstl3fooE");
    CHECK(name_from_mangled("St4pairIN5mmstl2v13fooEN5mmstl2v13barEE") ==
          "St4pairIN5mmstl3fooEN5mmstl3barEE");
    CHECK(name_from_mangled("ZNK5mmstl2v13foo3barEvE1a") == "ZNK5mmstl3foo3barEvE1a");
    CHECK(name_from_mangled("N5mmstl3fooE") == "N5mmstl3fooE");
    CHECK(name_from_mangled("N3foo2v13barE") == "N3foo2v13barE");
    CHECK(name_from_mangled("15mmstl2v1a234567") == "15mmstl2v1a234567");
    CHECK(name_from_mangled("5mmstl") == "5mmstl");
    CHECK(name_from_mangled("5mmstl2v") == "5mmstl2v");
    CHECK_THROWS_AS(name_from_mangled("N12_GLOBAL__N_16hiddenE"), std::logic_error);
    CHECK_THROWS_AS(name_from_mangled("Z1fvENK3$_0clEvE5local"), std::logic_error);
}

TEST_CASE("a long derived name is hashed to its end") {
    using inside = named::outer<named::outer<named::outer<named::outer<
        named::outer<named::outer<named::outer<named::outer<named::outer<named::outer<int>>>>>>>>>>;
    using long_one = std::pair<std::pair<inside, inside (*)(inside, short)>, inside[123456789]>;
    using one = named::with_type<std::pair<long_one, named::tick[1]>>;
    using other = named::with_type<std::pair<long_one, named::tick[2]>>;
    const type_identity a = identify<one>();
    const type_identity b = identify<other>();
    CHECK(a.name.size() == b.name.size());
    CHECK(a.hash == fnv1a(a.name));
    CHECK(a.hash != b.hash);
}

// ---- the hash ----

TEST_CASE("fnv1a gives the published values, at compile time too") {
    // http://www.isthe.com/chongo/src/fnv/test_fnv.c
    STATIC_REQUIRE(fnv1a("") == 0xcbf29ce484222325);
    STATIC_REQUIRE(fnv1a("a") == 0xaf63dc4c8601ec8c);
    STATIC_REQUIRE(fnv1a("b") == 0xaf63df4c8601f1a5);
    STATIC_REQUIRE(fnv1a("foobar") == 0x85944171f73967e8);
    STATIC_REQUIRE(fnv1a(std::string_view("a\0", 2)) == 0x089be207b544f1e4);
    CHECK(fnv1a("foobar") == 0x85944171f73967e8);
}

TEST_CASE("fnv1a takes bytes above 127 as they are, as text and as bytes") {
    constexpr std::array<std::byte, 4> bytes = {std::byte{0xff}, std::byte{0x00}, std::byte{0x00},
                                                std::byte{0x01}};
    STATIC_REQUIRE(fnv1a(std::span<const std::byte>(bytes)) == 0x6961196491cc682d);
    STATIC_REQUIRE(fnv1a(std::string_view("\xff\0\0\1", 4)) == 0x6961196491cc682d);
}

TEST_CASE("fnv1a can be had in pieces") {
    STATIC_REQUIRE(fnv1a("bar", fnv1a("foo")) == fnv1a("foobar"));
    STATIC_REQUIRE(fnv1a("", fnv1a("foo")) == fnv1a("foo"));
    constexpr std::array<std::byte, 1> r = {std::byte{'r'}};
    STATIC_REQUIRE(fnv1a(std::span<const std::byte>(r), fnv1a("fooba")) == fnv1a("foobar"));
}
