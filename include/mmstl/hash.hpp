// SPDX-License-Identifier: MIT
//
// hash<Key>: a hash whose values are part of the file format, unlike those of std::hash.

#ifndef MMSTL_HASH_HPP
#define MMSTL_HASH_HPP

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace mmstl::inline v1 {

/// Hashes a `Key` for the unordered containers, to the same value on every machine, with every
/// standard library and in every later version: the values lie in files, as the order of a
/// container's buckets.
///
/// There is one for integers, `bool`, characters, enumerations, `float`, `double`, strings and
/// string views; for `std::pair`, `std::tuple`, `std::array` and `std::optional` of these. For a
/// key of your own, specialise it, and change it no more:
///
///     template <> struct mmstl::hash<point> {
///         std::size_t operator()(const point& p) const noexcept {
///             return mmstl::hash<std::pair<int, int>>()({p.x, p.y});
///         }
///     };
///
/// There is none for pointers and `long double`, which differ from run to run or from machine to
/// machine, and for strings with character traits of their own, which may be equal though their
/// characters are not.
///
/// Integers hash by value, whatever their type: `long` as `long long`, `char` as `unsigned char`.
/// Strings, views and literals of the same character type hash alike, so that the containers look
/// up one by the other and make no temporary.
///
/// The hash of an integer is the integer, as std::hash of both libraries has it, whose containers
/// divide by primes: the fastest there is, and all others are well mixed in all their bits. None
/// is made to withstand keys that were chosen to collide: whoever can choose them can make lookups
/// slow.
///
/// The algorithm, version 1, in arithmetic of 64 bits. (On a machine of 32, whose files no other
/// shares, the lower half of each value is the hash.)
///
///     mix(a, b)    the 128-bit product of a and b, its upper half xor its lower
///     integer      its value; sign-extended, but characters zero-extended
///     float        mix(mix(bits xor A, B), C) of its bits as an integer; -0.0 as 0.0
///     string       its n bytes, those of a code unit and of a number here from the lowest:
///                  h = C; while more than 16 are left, h = mix(8 bytes xor A, 8 more xor h) xor h;
///                  a and b are the first and the last 8 of the r that are left then, and may
///                  overlap; of 4 to 7, the first and the last 4; of 1 to 3, a is the first, the
///                  one at r/2 and the last, b is 0; of none, both are 0;
///                  mix(B xor n, mix(a xor A, b xor h) xor h)
///     tuple        h = D; for each element, h = mix(h xor A, its hash xor C) + h; that of an
///                  integer is mixed for it as that of a float is of its bits. Pairs and arrays
///                  are tuples; an optional is the tuple of what is in it
///
/// A to D are the first 64 bits of the fractions of the square roots of 2, 3, 5 and 7, A made odd.
///
/// Complexity: linear in the length of strings and arrays.
template <class Key> struct hash {
    static_assert(!std::is_same_v<Key, Key>,
                  "there is no frozen hash for this type of key: specialise mmstl::hash, or name a "
                  "hash of your own as the container's");
    /// The hash of `key`. Of strings, and of what holds any, not noexcept.
    std::size_t operator()(const Key& key) const noexcept;
};

namespace detail {

inline constexpr std::uint64_t hash_a = 0x6a09e667f3bcc909;
inline constexpr std::uint64_t hash_b = 0xbb67ae8584caa73b;
inline constexpr std::uint64_t hash_c = 0x3c6ef372fe94f82b;
inline constexpr std::uint64_t hash_d = 0xa54ff53a5f1d36f1;

/// `hash_mix` where the compiler has no product of 128 bits.
constexpr std::uint64_t hash_mix_by_halves(std::uint64_t a, std::uint64_t b) noexcept {
    constexpr std::uint64_t low = 0xffffffff;
    const std::uint64_t low_low = (a & low) * (b & low);
    const std::uint64_t low_high = (a & low) * (b >> 32);
    const std::uint64_t high_low = (a >> 32) * (b & low);
    const std::uint64_t high_high = (a >> 32) * (b >> 32);
    const std::uint64_t middle = (low_low >> 32) + (low_high & low) + (high_low & low);
    const std::uint64_t high = high_high + (low_high >> 32) + (high_low >> 32) + (middle >> 32);
    return high ^ (a * b);
}

constexpr std::uint64_t hash_mix(std::uint64_t a, std::uint64_t b) noexcept {
#ifdef __SIZEOF_INT128__
    __extension__ using wide = unsigned __int128;
    const wide product = static_cast<wide>(a) * b;
    return static_cast<std::uint64_t>(product >> 64) ^ static_cast<std::uint64_t>(product);
#else
    return hash_mix_by_halves(a, b);
#endif
}

constexpr std::uint64_t hash_integer(std::uint64_t value) noexcept {
    return hash_mix(hash_mix(value ^ hash_a, hash_b), hash_c); // one alone mixes one half
}

/// The bytes of a string, from the first: each code unit with its low byte first, whatever the
/// order on this machine.
template <class CharT> class string_bytes {
public:
    constexpr explicit string_bytes(const CharT* first) noexcept : first_(first) {}

    /// The `N` bytes at `at`, the first of them lowest.
    template <std::size_t N> [[nodiscard]] constexpr std::uint64_t get(std::size_t at) const {
        if constexpr (std::endian::native == std::endian::little) {
            if (!std::is_constant_evaluated()) {
                std::conditional_t<N == 8, std::uint64_t, std::uint32_t> got = 0;
                static_assert(sizeof(got) == N);
                std::memcpy(&got, reinterpret_cast<const char*>(first_) + at, N);
                return got;
            }
        }
        std::uint64_t got = 0;
        for (std::size_t i = 0; i < N; ++i) got |= byte(at + i) << (8 * i);
        return got;
    }
    [[nodiscard]] constexpr std::uint64_t byte(std::size_t at) const {
        const auto unit = static_cast<std::make_unsigned_t<CharT>>(first_[at / sizeof(CharT)]);
        return static_cast<std::uint64_t>(unit) >> (8 * (at % sizeof(CharT))) & 0xff;
    }

private:
    const CharT* first_;
};

template <class CharT>
constexpr std::uint64_t hash_string(const CharT* first, std::size_t n) noexcept {
    const string_bytes<CharT> bytes(first);
    const std::size_t n_bytes = n * sizeof(CharT);
    std::uint64_t h = hash_c;
    std::size_t at = 0;
    for (; n_bytes - at > 16; at += 16)
        h ^= hash_mix(bytes.template get<8>(at) ^ hash_a, bytes.template get<8>(at + 8) ^ h);
    const std::size_t left = n_bytes - at;
    std::uint64_t a = 0;
    std::uint64_t b = 0;
    if (left >= 8) {
        a = bytes.template get<8>(at);
        b = bytes.template get<8>(n_bytes - 8);
    } else if (left >= 4) {
        a = bytes.template get<4>(at);
        b = bytes.template get<4>(n_bytes - 4);
    } else if (left > 0) {
        a = bytes.byte(at) | bytes.byte(at + left / 2) << 8 | bytes.byte(n_bytes - 1) << 16;
    }
    return hash_mix(hash_b ^ n_bytes, hash_mix(a ^ hash_a, b ^ h) ^ h);
}

template <class T> inline constexpr bool is_character = false;
template <> inline constexpr bool is_character<char> = true;
template <> inline constexpr bool is_character<wchar_t> = true;
template <> inline constexpr bool is_character<char8_t> = true;
template <> inline constexpr bool is_character<char16_t> = true;
template <> inline constexpr bool is_character<char32_t> = true;

/// Integers that are the same with and without the extensions of the compiler.
template <class T>
concept plain_integer = std::integral<T> && sizeof(T) <= sizeof(std::uint64_t);

template <class T> constexpr std::uint64_t mixed_hash(const T& of);

template <class... Ts> struct hash_of_tuple {
    template <class Tuple> static constexpr std::uint64_t of(const Tuple& all) {
        return of(all, std::index_sequence_for<Ts...>());
    }
    static constexpr void add(std::uint64_t& h, std::uint64_t more) noexcept {
        h += hash_mix(h ^ hash_a, more ^ hash_c);
    }
    static constexpr bool is_noexcept =
        (std::is_nothrow_invocable_v<const hash<std::remove_cv_t<Ts>>&, const Ts&> && ...);

private:
    template <class Tuple, std::size_t... I>
    static constexpr std::uint64_t of(const Tuple& all, std::index_sequence<I...>) {
        std::uint64_t h = hash_d;
        (add(h, mixed_hash(std::get<I>(all))), ...);
        return h;
    }
};

/// Of an element of something larger.
template <class T> constexpr std::uint64_t mixed_hash(const T& of) {
    const std::uint64_t h = hash<T>()(of);
    if constexpr (plain_integer<T> || std::is_enum_v<T>)
        return hash_integer(h);
    else
        return h;
}

/// For strings of any kind. Not noexcept, for then libstdc++ keeps the hash of each element beside
/// it, as it does for std::hash of strings: a layout that is in files.
template <class CharT> struct hash_of_string {
    using is_transparent = void;

    [[nodiscard]] constexpr std::size_t operator()(std::basic_string_view<CharT> text) const {
        return static_cast<std::size_t>(hash_string(text.data(), text.size()));
    }
};

} // namespace detail

template <detail::plain_integer Key> struct hash<Key> {
    [[nodiscard]] constexpr std::size_t operator()(Key key) const noexcept {
        if constexpr (detail::is_character<Key>)
            return hash<std::make_unsigned_t<Key>>()(static_cast<std::make_unsigned_t<Key>>(key));
        else
            return static_cast<std::size_t>(key);
    }
};

template <class Key>
    requires std::is_enum_v<Key>
struct hash<Key> {
    [[nodiscard]] constexpr std::size_t operator()(Key key) const noexcept {
        return hash<std::underlying_type_t<Key>>()(static_cast<std::underlying_type_t<Key>>(key));
    }
};

template <class Key>
    requires std::same_as<Key, float> || std::same_as<Key, double>
struct hash<Key> {
    static_assert(std::numeric_limits<Key>::is_iec559);
    using bits =
        std::conditional_t<sizeof(Key) == sizeof(std::uint32_t), std::uint32_t, std::uint64_t>;

    [[nodiscard]] constexpr std::size_t operator()(Key key) const noexcept {
        return static_cast<std::size_t>(
            detail::hash_integer(key == 0 ? 0 : std::bit_cast<bits>(key)));
    }
};

template <class CharT, class Alloc>
struct hash<std::basic_string<CharT, std::char_traits<CharT>, Alloc>>
    : detail::hash_of_string<CharT> {};
template <class CharT>
struct hash<std::basic_string_view<CharT>> : detail::hash_of_string<CharT> {};

template <class... Ts> struct hash<std::tuple<Ts...>> {
    [[nodiscard]] constexpr std::size_t operator()(const std::tuple<Ts...>& key) const
        noexcept(detail::hash_of_tuple<Ts...>::is_noexcept) {
        return static_cast<std::size_t>(detail::hash_of_tuple<Ts...>::of(key));
    }
};

template <class A, class B> struct hash<std::pair<A, B>> {
    [[nodiscard]] constexpr std::size_t operator()(const std::pair<A, B>& key) const
        noexcept(detail::hash_of_tuple<A, B>::is_noexcept) {
        return static_cast<std::size_t>(detail::hash_of_tuple<A, B>::of(key));
    }
};

template <class T, std::size_t N> struct hash<std::array<T, N>> {
    [[nodiscard]] constexpr std::size_t operator()(const std::array<T, N>& key) const
        noexcept(detail::hash_of_tuple<T>::is_noexcept) {
        std::uint64_t h = detail::hash_d;
        for (const T& one : key) detail::hash_of_tuple<T>::add(h, detail::mixed_hash(one));
        return static_cast<std::size_t>(h);
    }
};

template <class T> struct hash<std::optional<T>> {
    [[nodiscard]] constexpr std::size_t operator()(const std::optional<T>& key) const
        noexcept(detail::hash_of_tuple<T>::is_noexcept) {
        std::uint64_t h = detail::hash_d;
        if (key) detail::hash_of_tuple<T>::add(h, detail::mixed_hash(*key));
        return static_cast<std::size_t>(h);
    }
};

} // namespace mmstl::inline v1

#endif
