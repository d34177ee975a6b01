// SPDX-License-Identifier: MIT
//
// persistent_name<T>: the name under which a file knows the type of its elements.

#ifndef MMSTL_PERSISTENT_NAME_HPP
#define MMSTL_PERSISTENT_NAME_HPP

#include <mmstl/detail/checksum.hpp>

#include <array>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#ifdef __cpp_rtti
#include <typeinfo>
#endif
#include <utility>

namespace mmstl::inline v1 {

/// The name under which `T` is known in files that say what they hold. Empty: derived from the
/// type, see below. Specialise it, before the type is first used in a file, to choose the name:
///
///     template <> inline constexpr std::string_view mmstl::persistent_name<tick> = "tick/1";
///
/// Two types are the same to a file if their name, their size and their alignment are (both in
/// bytes). So to rename a struct, or to move it into another namespace, makes it another type, and
/// files of the old one are refused: specialise to keep the name. A change of the layout that keeps
/// the size and the alignment (two members swapped, seconds that become milliseconds) is not
/// noticed: put a version into the name, and count it up.
///
/// What is not specialised is named so; these names never change:
///
///     bool                        b1
///     signed integers             i1 i2 i4 i8 i16: long and long long are one type
///     unsigned integers           u1 u2 u4 u8 u16
///     IEEE floating point         f4 f8 f16; any other format with its digits: x87 is f16:64
///     std::complex of these       c8 c16 c32
///     char                        S1, signed or not
///     char8_t char16_t char32_t   U1 U2 U4
///     wchar_t                     W4, or W2
///     std::byte                   V1
///     T[N], std::array<T, N>      that of T and [N]: int[2][3] is i4[3][2]
///     everything else             the mangled name, which GCC and Clang agree upon: 4tick
///
/// The number is the size in bytes; the order of the bytes is not told. In a mangled name
/// template arguments are not translated: `point<long>` is not `point<long long>`, and
/// `std::pair` is another type in libc++ than in libstdc++. Of mmstl's own types the inline
/// namespace is left out.
///
/// `const` and `volatile` do not count. A name has 1 to 255 characters, none of them NUL. A
/// specialisation is required, and its lack refused at compile time, for unnamed types, closures
/// and whatever is in an unnamed namespace, because two programs may mean two things by them; and
/// under `-fno-rtti` for all classes and enumerations. What the compiler hides until run time is a
/// `std::logic_error` then: a default template argument in an unnamed namespace, and with Clang a
/// type local to a function that is in one.
template <class T> inline constexpr std::string_view persistent_name = {};
template <class T> inline constexpr std::string_view persistent_name<const T> = persistent_name<T>;
template <class T>
inline constexpr std::string_view persistent_name<volatile T> = persistent_name<T>;
template <class T>
inline constexpr std::string_view persistent_name<const volatile T> = persistent_name<T>;

namespace detail {

/// What a file says of the type of its elements.
struct type_identity {
    std::string name;
    std::uint64_t hash; ///< of all of the name
    std::uint64_t size_bytes;
    std::uint64_t alignment;

    friend bool operator==(const type_identity&, const type_identity&) = default;
};

/// The longest name that can be chosen. A mangled one may be longer.
inline constexpr std::size_t longest_persistent_name = 255;

/// Whether `T` has a name that a file can know it by. Where not:
///
///     static_assert(has_persistent_name<T>, "specialise mmstl::persistent_name for this type");
template <class T> constexpr bool find_persistent_name();
template <class T>
inline constexpr bool has_persistent_name = find_persistent_name<std::remove_cv_t<T>>();

/// The name of `T`, chosen or derived.
///
/// Requires:   `has_persistent_name<T>`, which is checked.
/// Throws:     `std::logic_error` for a type in an unnamed namespace that was not seen to be in one
///             by the compiler; `std::bad_alloc`.
template <class T> std::string type_name();

/// All that a file says of `T`, or of `const T`: the same.
///
/// Throws:     as `type_name`.
template <class T> type_identity identify() {
    std::string name = type_name<T>();
    const std::uint64_t hash = fnv1a(name);
    return {std::move(name), hash, sizeof(T), alignof(T)};
}

// ---- how names come about ----

/// `T[N]` and `std::array<T, N>`, whose bytes are the same but whose mangled names are not.
template <class T> struct array_parts { static constexpr bool is_array = false; };
template <class T, std::size_t N> struct array_parts<T[N]> {
    static constexpr bool is_array = true;
    static constexpr std::size_t size = N;
    using element = T;
};
template <class T, std::size_t N> struct array_parts<std::array<T, N>> : array_parts<T[N]> {};
// There is no T[0].
template <class T> struct array_parts<std::array<T, 0>> {
    static constexpr bool is_array = true;
    static constexpr std::size_t size = 0;
    using element = T;
};

/// The kind of a number, and the bits of its mantissa: what <type_traits> and <limits> say. Of the
/// 128-bit types they say different things under -std=c++20 and -std=gnu++20.
template <class T> struct number_traits {
    static constexpr char kind = std::is_floating_point_v<T> ? 'f'
                                 : !std::is_integral_v<T>    ? '\0'
                                 : std::is_signed_v<T>       ? 'i'
                                                             : 'u';
    static constexpr int digits = std::numeric_limits<T>::digits;
};
template <char Kind, int Digits = 0> struct number_of_kind {
    static constexpr char kind = Kind;
    static constexpr int digits = Digits;
};
template <> struct number_traits<bool> : number_of_kind<'b'> {};
template <> struct number_traits<char> : number_of_kind<'S'> {};
template <> struct number_traits<char8_t> : number_of_kind<'U'> {};
template <> struct number_traits<char16_t> : number_of_kind<'U'> {};
template <> struct number_traits<char32_t> : number_of_kind<'U'> {};
template <> struct number_traits<wchar_t> : number_of_kind<'W'> {};
template <> struct number_traits<std::byte> : number_of_kind<'V'> {};
#ifdef __SIZEOF_INT128__
__extension__ typedef __int128 signed_16;
__extension__ typedef unsigned __int128 unsigned_16;
template <> struct number_traits<signed_16> : number_of_kind<'i'> {};
template <> struct number_traits<unsigned_16> : number_of_kind<'u'> {};
#endif
#ifdef __SIZEOF_FLOAT128__
__extension__ typedef __float128 float_16;
template <> struct number_traits<float_16> : number_of_kind<'f', 113> {};
#endif
template <class T>
    requires std::is_floating_point_v<T>
struct number_traits<std::complex<T>> : number_of_kind<'c', number_traits<T>::digits> {
};

template <class T> std::string number_name() {
    using traits = number_traits<T>;
    std::string name = traits::kind + std::to_string(sizeof(T));
    if (traits::kind == 'f' || traits::kind == 'c') {
        const std::size_t n_bytes = traits::kind == 'c' ? sizeof(T) / 2 : sizeof(T);
        // IEEE 754, table 3.5
        const int expected = n_bytes == 2 ? 11 : n_bytes == 4 ? 24 : n_bytes == 8 ? 53 : 113;
        if (traits::digits != expected) name += ':' + std::to_string(traits::digits);
    }
    return name;
}

/// Whether what a compiler prints of a type tells that something in it has no name.
///
/// Looks for what no name of the user's can look like, whether the class is called `anonymous`,
/// `lambda` or `unnamed`. GCC prints `{anonymous}::a`, in the value of an enumeration
/// `<unnamed>::a`, `f()::<lambda(int)>`, `s::<unnamed struct>`; Clang `(anonymous namespace)::a`,
/// `(lambda at file:1:2)`, `s::(unnamed struct at file:1:2)`, in earlier versions
/// `(anonymous struct at file:1:2)`.
constexpr bool tells_of_nameless(std::string_view printed) {
    char before = ' ';
    for (std::size_t i = 0; i < printed.size(); ++i) {
        const std::string_view rest = printed.substr(i);
        // Strings and characters among the template arguments may hold anything.
        if (rest[0] == '"' || rest[0] == '\'') {
            const char quote = rest[0];
            for (++i; i < printed.size() && printed[i] != quote; ++i)
                if (printed[i] == '\\') ++i;
        } else if (rest[0] == '<') {
            // After a name it opens template arguments: `a<lambda(int)>` is of a function type.
            const bool after_name = (before >= 'a' && before <= 'z') ||
                                    (before >= 'A' && before <= 'Z') ||
                                    (before >= '0' && before <= '9') || before == '_' ||
                                    before == '$' || static_cast<unsigned char>(before) > 127;
            if (!after_name && (rest.starts_with("<lambda(") || rest.starts_with("<unnamed ") ||
                                rest.starts_with("<unnamed>::")))
                return true;
        } else if (rest[0] == '{' || rest[0] == '(') {
            for (const std::string_view sign :
                 {"{anonymous}::", "(anonymous namespace)::", "(anonymous class",
                  "(anonymous struct", "(anonymous union", "(anonymous enum", "(lambda at ",
                  "(unnamed class", "(unnamed struct", "(unnamed union", "(unnamed enum"})
                if (rest.starts_with(sign)) return true;
        }
        before = i < printed.size() ? printed[i] : ' ';
    }
    return false;
}

template <class T> constexpr bool is_nameless() { return tells_of_nameless(__PRETTY_FUNCTION__); }

/// The name from a mangled one: without GCC's mark of internal linkage, and without our inline
/// namespace. (Substitutions count that still: what comes out is a name, but no mangled one.)
inline std::string name_from_mangled(std::string_view mangled) {
    if (mangled.starts_with('*')) mangled.remove_prefix(1);
    // An unnamed namespace; what Clang calls a closure that no other file can see.
    if (mangled.find("_GLOBAL__N_") != mangled.npos || mangled.find("$_") != mangled.npos)
        throw std::logic_error("no file can know a type in an unnamed namespace by its name; "
                               "specialise mmstl::persistent_name for " +
                               std::string(mangled));
    std::string name(mangled);
    constexpr std::string_view mmstl = "5mmstl";
    constexpr std::string_view version = "2v1";
    for (std::size_t at = 0; (at = name.find(mmstl, at)) != name.npos;) {
        const bool of_longer_name = at > 0 && name[at - 1] >= '0' && name[at - 1] <= '9';
        at += mmstl.size();
        if (!of_longer_name && name.compare(at, version.size(), version) == 0)
            name.erase(at, version.size());
    }
    return name;
}

template <class T> constexpr bool find_persistent_name() {
    if constexpr (!persistent_name<T>.empty()) {
        static_assert(persistent_name<T>.size() <= longest_persistent_name,
                      "a specialisation of mmstl::persistent_name has at most 255 characters");
        static_assert(persistent_name<T>.find('\0') == std::string_view::npos,
                      "a specialisation of mmstl::persistent_name has no NUL in it");
        return true;
    } else if constexpr (array_parts<T>::is_array) {
        return has_persistent_name<typename array_parts<T>::element>;
    } else if constexpr (number_traits<T>::kind != '\0') {
        return true;
    } else {
#ifdef __cpp_rtti
        return !is_nameless<T>();
#else
        return false;
#endif
    }
}

template <class T> std::string type_name() {
    using bare = std::remove_cv_t<T>;
    static_assert(has_persistent_name<bare>,
                  "a file cannot know this type by its name, because it has none or is in an "
                  "unnamed namespace (or there is no RTTI): specialise mmstl::persistent_name");
    if constexpr (!persistent_name<bare>.empty()) {
        return std::string(persistent_name<bare>);
    } else if constexpr (array_parts<bare>::is_array) {
        using parts = array_parts<bare>;
        return type_name<typename parts::element>() + '[' + std::to_string(parts::size) + ']';
    } else if constexpr (number_traits<bare>::kind != '\0') {
        return number_name<bare>();
    } else {
#ifdef __cpp_rtti
        return name_from_mangled(typeid(bare).name());
#else
        return {}; // refused above
#endif
    }
}

} // namespace detail

} // namespace mmstl::inline v1

#endif
