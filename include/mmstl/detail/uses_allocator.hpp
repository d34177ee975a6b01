// SPDX-License-Identifier: MIT
//
// Uses-allocator construction: what is built in the memory of an allocator gets that allocator too,
// down through pairs and arrays. The standard library's own (std::uses_allocator_construction_args)
// is missing in libc++ 14, and knows no arrays.

#ifndef MMSTL_DETAIL_USES_ALLOCATOR_HPP
#define MMSTL_DETAIL_USES_ALLOCATOR_HPP

#include <array>
#include <cstddef>
#include <memory>
#include <new>
#include <tuple>
#include <type_traits>
#include <utility>

namespace mmstl::inline v1::detail {

template <class T> inline constexpr bool is_pair = false;
template <class A, class B> inline constexpr bool is_pair<std::pair<A, B>> = true;
template <class T> inline constexpr bool is_std_array = false;
template <class T, std::size_t N> inline constexpr bool is_std_array<std::array<T, N>> = true;
/// What has `std::get<0>` and `std::get<1>`, and no more.
template <class T> inline constexpr bool is_couple = is_pair<T>;
template <class A, class B> inline constexpr bool is_couple<std::tuple<A, B>> = true;
template <class T> inline constexpr bool is_couple<std::array<T, 2>> = true;

template <class T, class Alloc>
inline constexpr bool takes_allocator_bare = std::uses_allocator_v<T, Alloc>;

/// Whether a `T` is built in another way because `Alloc` is there: it takes the allocator, or one
/// in it does. Of a tuple `std::uses_allocator` says yes in any case, which would cost containers
/// of plain tuples their fast paths.
template <class T, class Alloc>
inline constexpr bool takes_allocator = takes_allocator_bare<std::remove_cv_t<T>, Alloc>;

template <class A, class B, class Alloc>
inline constexpr bool takes_allocator_bare<std::pair<A, B>, Alloc> =
    takes_allocator<A, Alloc> || takes_allocator<B, Alloc>;
template <class... Ts, class Alloc>
inline constexpr bool
    takes_allocator_bare<std::tuple<Ts...>, Alloc> = (takes_allocator<Ts, Alloc> || ...);
template <class T, std::size_t N, class Alloc>
inline constexpr bool takes_allocator_bare<std::array<T, N>, Alloc> =
    N != 0 && takes_allocator<T, Alloc>;

/// The arguments, as a tuple, with which a `T` is built from `args` so that it gets `a`.
///
/// Validity: until the end of the full-expression: the tuple refers to `args`.
/// Source:   [allocator.uses.construction] of C++23, and arrays.
template <class T, class Alloc, class... Args>
constexpr auto construction_args(const Alloc& a, Args&&... args);

/// A `T` that is built from `args` with `a`.
template <class T, class Alloc, class... Args>
constexpr T make_with(const Alloc& a, Args&&... args) {
    return std::make_from_tuple<T>(construction_args<T>(a, std::forward<Args>(args)...));
}

template <class Array, class Alloc, std::size_t... I>
constexpr Array make_array_with(const Alloc& a, std::index_sequence<I...>) {
    return Array{{(static_cast<void>(I), make_with<typename Array::value_type>(a))...}};
}
template <class Array, class Alloc, std::size_t... I, class From>
constexpr Array make_array_with(const Alloc& a, std::index_sequence<I...>, From&& from) {
    return Array{
        {make_with<typename Array::value_type>(a, std::get<I>(std::forward<From>(from)))...}};
}

/// Becomes a `T` where one is asked for: an array, or a pair from what converts to one.
template <class T, class Alloc, class... Args> class made_late {
public:
    constexpr explicit made_late(const Alloc& a, Args&&... args) noexcept
        : allocator_(a), args_(std::forward<Args>(args)...) {}

    // NOLINTNEXTLINE(google-explicit-constructor): the conversion is the point
    constexpr operator T() && {
        return std::apply([this](auto&&... args) { return make(static_cast<Args&&>(args)...); },
                          std::move(args_));
    }

private:
    constexpr T make(Args&&... args) const {
        if constexpr (is_std_array<T>) {
            constexpr auto all = std::make_index_sequence<std::tuple_size_v<T>>();
            return make_array_with<T>(allocator_, all, std::forward<Args>(args)...);
        } else {
            return convert(std::forward<Args>(args)...);
        }
    }
    // One that is a pair by conversion only is taken as the pair that it gives.
    template <class From> constexpr T convert(From&& from) const {
        if constexpr (std::is_convertible_v<From, T&&>) {
            T&& got = std::forward<From>(from);
            return make_with<T>(allocator_, std::move(got));
        } else {
            const T& got = std::forward<From>(from);
            return make_with<T>(allocator_, got);
        }
    }

    Alloc allocator_;
    std::tuple<Args&&...> args_;
};

template <class Pair, class Alloc, class A, class B>
constexpr auto pair_args(const Alloc& a, std::piecewise_construct_t, A&& first, B&& second) {
    return std::make_tuple(std::piecewise_construct,
                           std::apply(
                               [&a](auto&&... args) {
                                   return construction_args<typename Pair::first_type>(
                                       a, std::forward<decltype(args)>(args)...);
                               },
                               std::forward<A>(first)),
                           std::apply(
                               [&a](auto&&... args) {
                                   return construction_args<typename Pair::second_type>(
                                       a, std::forward<decltype(args)>(args)...);
                               },
                               std::forward<B>(second)));
}

template <class Pair, class Alloc, class... Args>
constexpr auto pair_args(const Alloc& a, Args&&... args) {
    static_assert(sizeof...(Args) <= 2,
                  "a pair is built from nothing, a pair, two values or std::piecewise_construct");
    if constexpr (sizeof...(Args) == 0) {
        return std::make_tuple(std::piecewise_construct,
                               construction_args<typename Pair::first_type>(a),
                               construction_args<typename Pair::second_type>(a));
    } else if constexpr (sizeof...(Args) == 2) {
        return pair_args<Pair>(a, std::piecewise_construct,
                               std::forward_as_tuple(std::forward<Args>(args))...);
    } else if constexpr ((is_couple<std::remove_cvref_t<Args>> && ...)) {
        return std::make_tuple(std::piecewise_construct,
                               construction_args<typename Pair::first_type>(
                                   a, std::get<0>(std::forward<Args>(args))...),
                               construction_args<typename Pair::second_type>(
                                   a, std::get<1>(std::forward<Args>(args))...));
    } else {
        return std::tuple<made_late<Pair, Alloc, Args...>>(
            made_late<Pair, Alloc, Args...>(a, std::forward<Args>(args)...));
    }
}

template <class T, class Alloc, class... Args>
constexpr auto construction_args(const Alloc& a, Args&&... args) {
    using bare = std::remove_cv_t<T>;
    if constexpr (!takes_allocator<bare, Alloc>) {
        return std::forward_as_tuple(std::forward<Args>(args)...);
    } else if constexpr (is_pair<bare>) {
        return pair_args<bare>(a, std::forward<Args>(args)...);
    } else if constexpr (is_std_array<bare>) {
        return std::tuple<made_late<bare, Alloc, Args...>>(
            made_late<bare, Alloc, Args...>(a, std::forward<Args>(args)...));
    } else if constexpr (std::is_constructible_v<bare, std::allocator_arg_t, const Alloc&,
                                                 Args...>) {
        return std::tuple<std::allocator_arg_t, const Alloc&, Args&&...>(
            std::allocator_arg, a, std::forward<Args>(args)...);
    } else {
        static_assert(std::is_constructible_v<bare, Args..., const Alloc&>,
                      "this type takes an allocator (by its allocator_type or "
                      "std::uses_allocator), and so needs a constructor for these arguments with "
                      "(std::allocator_arg, allocator) before or the allocator after them");
        return std::tuple<Args&&..., const Alloc&>(std::forward<Args>(args)..., a);
    }
}

// What the caller's arguments are converted to is between him and the type, as it is where the
// standard library builds elements: no warnings from here.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"

/// Builds a `T` at `p` from `args`; it gets `a`, if it can take it.
///
/// An aggregate that takes no allocator is built from its members' values as well.
template <class T, class Alloc, class... Args>
T* construct_at_with(const Alloc& a, T* p, Args&&... args) {
    static_assert(!std::is_array_v<T>, "std::array can be built in place, an array cannot");
    void* const at = const_cast<void*>(static_cast<const volatile void*>(p));
    if constexpr (takes_allocator<T, Alloc>) {
        return std::apply(
            [at](auto&&... all) { return ::new (at) T(std::forward<decltype(all)>(all)...); },
            construction_args<T>(a, std::forward<Args>(args)...));
    } else if constexpr (std::is_constructible_v<T, Args...> || !std::is_aggregate_v<T>) {
        return ::new (at) T(std::forward<Args>(args)...);
    } else {
        return ::new (at) T{std::forward<Args>(args)...};
    }
}

#pragma GCC diagnostic pop

} // namespace mmstl::inline v1::detail

#endif
