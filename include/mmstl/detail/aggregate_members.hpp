// SPDX-License-Identifier: MIT
//
// The members of aggregates: whether one of them is of a type that a filter accepts.

#ifndef MMSTL_DETAIL_AGGREGATE_MEMBERS_HPP
#define MMSTL_DETAIL_AGGREGATE_MEMBERS_HPP

#include <cstddef>
#include <type_traits>
#include <utility>

namespace mmstl::inline v1::detail {

// An aggregate is initialised by a list with something for each of its bases and members in turn,
// and all that can be asked is whether it compiles with a given list:
//
//     struct job { mmstl::string name; char tag[64]; int n; };
//     job{ stand_in,      {},       stand_in }
//          ^ its conversion to any type is asked for one to mmstl::string
//
// So the longest list that compiles is looked for first. Then, one place after the other, the
// stand-in there is replaced by one whose conversion may throw if it is to one of some types:
// whether the initialisation may throw tells about the type of the member. (A conversion to these
// types only would not tell: where there is none to a class, the list is for the members of that.)
//
// Structured bindings would give the types, but a wrong number of them, or a union without a name,
// is an error that cannot be asked for before. Here, what is not understood is only not seen.

template <class... Ts> struct type_list {};
template <class... Ts, class... Us>
constexpr type_list<Ts..., Us...> operator+(type_list<Ts...>, type_list<Us...>) {
    return {};
}

// ---- what may be in a list ----

/// The filter that accepts nothing.
struct no_type {
    template <class U> static constexpr bool accepts = false;
};

template <class U> void take(U);
template <class From, class To>
concept becomes = requires {
    take<To>(std::declval<From>());
};

template <class T, int Level = 0, class Filter = no_type> struct stand_in;

/// Whether the stand-ins of the lower levels do not become a `U`.
template <class T, class U, int Level> constexpr bool is_left_to() {
    if constexpr (Level == 0)
        return true;
    else
        return is_left_to<T, U, Level - 1>() && !becomes<stand_in<T, Level - 1>, U>;
}

/// Converts to the type of a member of `T`, and throws if `Filter` accepts that.
///
/// A member that takes whatever its own elements take, such as a std::optional, cannot tell which
/// of its constructors is meant, or the conversion. A stand-in of the next level converts to such
/// types only, and thereby not to their elements.
///
/// Not copyable, since std::any takes whatever is.
template <class T, int Level, class Filter> struct stand_in {
    stand_in(const stand_in&) = delete;
    template <class U>
        requires(!std::is_same_v<U, T>)
    &&(is_left_to<T, U, Level>())
    operator U() noexcept(!Filter::template accepts<U>); // NOLINT: implicit
};

/// For an array of numbers or the like.
template <class T> struct scalar_stand_in {
    scalar_stand_in(const scalar_stand_in&) = delete;
    template <class U>
        requires std::is_scalar_v<U>
    operator U() noexcept; // NOLINT: implicit
};

/// For members that are references.
template <class T> struct referred {
    referred(const referred&) = delete;
    template <class U>
        requires(!std::is_same_v<std::remove_const_t<U>, T>)
    operator U&() noexcept; // NOLINT: implicit
};
/// To what is not changed.
template <class T> struct referred_as_const {
    referred_as_const(const referred_as_const&) = delete;
    template <class U>
        requires(!std::is_same_v<U, T>)
    operator const U&() noexcept; // NOLINT: implicit
};

/// A list within the list: an empty one is an array, or anything, by default.
template <class... Ts> struct braces {};

// ---- whether a list compiles ----

// Too short lists and braces left out are what is asked for.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wmissing-braces"
#ifdef __clang__
#pragma GCC diagnostic ignored "-Wgnu-flexible-array-initializer"
#pragma GCC diagnostic ignored "-Wzero-length-array"
#endif

enum class compiles : unsigned char { no, throwing, not_throwing };

constexpr compiles if_noexcept(bool is_noexcept) {
    return is_noexcept ? compiles::not_throwing : compiles::throwing;
}

template <class T, class... Parts> inline constexpr compiles with_parts = compiles::no;

template <class T, class... A>
    requires requires { T{std::declval<A>()...}; }
inline constexpr compiles with_parts<T, type_list<A...>> =
    if_noexcept(noexcept(T{std::declval<A>()...}));

template <class T, class... A, class... X, class... B>
    requires requires { T{std::declval<A>()..., {std::declval<X>()...}, std::declval<B>()...}; }
inline constexpr compiles with_parts<T, type_list<A...>, braces<X...>, type_list<B...>> =
    if_noexcept(noexcept(T{std::declval<A>()..., {std::declval<X>()...}, std::declval<B>()...}));

template <class T, class... A, class... X, class... B, class... Y, class... C>
    requires requires {
        T{std::declval<A>()...,
          {std::declval<X>()...},
          std::declval<B>()...,
          {std::declval<Y>()...},
          std::declval<C>()...};
    }
inline constexpr compiles
    with_parts<T, type_list<A...>, braces<X...>, type_list<B...>, braces<Y...>, type_list<C...>> =
        if_noexcept(noexcept(T{std::declval<A>()...,
                               {std::declval<X>()...},
                               std::declval<B>()...,
                               {std::declval<Y>()...},
                               std::declval<C>()...}));

template <class T, class... A, class... X, class... B, class... Y, class... C, class... Z,
          class... D>
    requires requires {
        T{std::declval<A>()...,   {std::declval<X>()...}, std::declval<B>()...,
          {std::declval<Y>()...}, std::declval<C>()...,   {std::declval<Z>()...},
          std::declval<D>()...};
    }
inline constexpr compiles with_parts<T, type_list<A...>, braces<X...>, type_list<B...>,
                                     braces<Y...>, type_list<C...>, braces<Z...>, type_list<D...>> =
    if_noexcept(noexcept(T{std::declval<A>()...,
                           {std::declval<X>()...},
                           std::declval<B>()...,
                           {std::declval<Y>()...},
                           std::declval<C>()...,
                           {std::declval<Z>()...},
                           std::declval<D>()...}));

#pragma GCC diagnostic pop

template <class T, class... Parts, class... Now>
constexpr compiles with_split(type_list<Parts...>, type_list<Now...>, type_list<>) {
    return with_parts<T, Parts..., type_list<Now...>>;
}
template <class T, class... Parts, class... Now, class... X, class... Rest>
constexpr compiles with_split(type_list<Parts...>, type_list<Now...>,
                              type_list<braces<X...>, Rest...>) {
    return with_split<T>(type_list<Parts..., type_list<Now...>, braces<X...>>(), type_list<>(),
                         type_list<Rest...>());
}
template <class T, class... Parts, class... Now, class Next, class... Rest>
constexpr compiles with_split(type_list<Parts...> parts, type_list<Now...>,
                              type_list<Next, Rest...>) {
    return with_split<T>(parts, type_list<Now..., Next>(), type_list<Rest...>());
}

/// Whether `T{…}` compiles with the things in `List`, of which up to three are braces.
template <class T, class List>
inline constexpr compiles with = with_split<T>(type_list<>(), type_list<>(), List());
template <class T, class List> inline constexpr bool is_made_of = with<T, List> != compiles::no;

// ---- the longest list ----

inline constexpr std::size_t most_stand_ins = 16;
inline constexpr std::size_t most_members = 32;

template <class... Ts> constexpr std::size_t count(type_list<Ts...>) { return sizeof...(Ts); }

template <class Kind, std::size_t... I> constexpr auto repeat(std::index_sequence<I...>) {
    return (type_list<>() + ... + std::enable_if_t<(I + 1 > 0), type_list<Kind>>());
}
/// `N` times `Kind`.
template <class Kind, std::size_t N>
using repeated = decltype(repeat<Kind>(std::make_index_sequence<N>()));

/// Says that there is no list.
struct no_list {};

/// The longest list of `Kind` alone, of `N` at the most.
template <class T, class Kind, std::size_t N = most_stand_ins> constexpr auto longest_of() {
    if constexpr (is_made_of<T, repeated<Kind, N>>)
        return repeated<Kind, N>();
    else if constexpr (N == 0)
        return no_list();
    else
        return longest_of<T, Kind, N - 1>();
}

/// A list of `N` or more with `Odd` at `At` and stand-ins elsewhere.
template <class T, class Odd, std::size_t N = 1, std::size_t At = 0> constexpr auto one_odd() {
    using list = decltype(repeated<stand_in<T>, At>() + type_list<Odd>() +
                          repeated<stand_in<T>, N - At - 1>());
    if constexpr (is_made_of<T, list>)
        return list();
    else if constexpr (At + 1 < N)
        return one_odd<T, Odd, N, At + 1>();
    else if constexpr (N < most_stand_ins)
        return one_odd<T, Odd, N + 1, 0>();
    else
        return no_list();
}

/// Whether a `T` goes on behind `List` with an array of numbers or the like.
template <class T, class List>
inline constexpr bool array_follows =
    is_made_of<T, decltype(List() + type_list<scalar_stand_in<T>>())>&&
        is_made_of<T, decltype(List() + type_list<braces<stand_in<T>, stand_in<T>>>())>;

template <class T, class List> constexpr auto extended();

template <class T, class List, class Kind, class... Others>
constexpr auto extended_by(type_list<Kind, Others...>) {
    using longer = decltype(List() + type_list<Kind>());
    if constexpr (is_made_of<T, longer>)
        return extended<T, longer>();
    else if constexpr (sizeof...(Others) != 0)
        return extended_by<T, List>(type_list<Others...>());
    else
        return List();
}

/// `List`, and behind it all that can follow.
template <class T, class List> constexpr auto extended() {
    using kinds = type_list<stand_in<T>, stand_in<T, 1>, stand_in<T, 2>, referred<T>, braces<>>;
    if constexpr (count(List()) >= most_members)
        return List();
    else if constexpr (array_follows<T, List>)
        return extended_by<T, List>(type_list<braces<>>() + kinds());
    else
        return extended_by<T, List>(kinds());
}

template <class T> constexpr auto find_members() {
    // A list of stand-ins only is tried first, the longest first: it needs no default of a member,
    // which may not compile. Arrays take one for each element.
    using plain = decltype(longest_of<T, stand_in<T>>());
    if constexpr (!std::is_same_v<plain, no_list>) {
        if constexpr (count(plain()) < most_stand_ins)
            return extended<T, plain>();
        else if constexpr (is_made_of<T, type_list<>>)
            return extended<T, type_list<>>(); // so as not to end within a long array
        else
            return plain();
    } else {
        // Something has no default, and is behind or is what no stand-in stands for.
        using references = decltype(longest_of<T, referred<T>>());
        using reference = decltype(one_odd<T, referred<T>>());
        using optional = decltype(one_odd<T, stand_in<T, 1>>());
        using other = decltype(one_odd<T, braces<>>());
        if constexpr (!std::is_same_v<reference, no_list>)
            return extended<T, reference>();
        else if constexpr (!std::is_same_v<references, no_list>)
            return extended<T, references>();
        else if constexpr (!std::is_same_v<optional, no_list>)
            return extended<T, optional>();
        else if constexpr (!std::is_same_v<other, no_list>)
            return extended<T, other>();
        else
            return type_list<>();
    }
}

/// What a `T` is made of: a `type_list` of stand-ins, of `referred` and `braces`.
template <class T> using members_of = decltype(find_members<T>());

// ---- the types of the members ----

/// What `Kind` is replaced by to ask for the type.
template <class T, class Kind, class Filter> struct asking;
template <class T, int Level, class Filter> struct asking<T, stand_in<T, Level>, Filter> {
    using type = stand_in<T, Level, Filter>;
};
template <class T, class Filter> struct asking<T, braces<>, Filter> {
    using type = braces<stand_in<T, 0, Filter>>;
};

/// Whether the member of `T` between `Before` and `After` is of a type that `Filter` accepts.
template <class T, class Filter, class Before, class Kind, class After>
constexpr bool is_accepted() {
    using known = decltype(Before() + type_list<Kind>() + After());
    // What comes later is not to be asked where the first is so.
    // NOLINTNEXTLINE(bugprone-branch-clone)
    if constexpr (std::is_same_v<Kind, referred<T>> || with<T, known> != compiles::not_throwing) {
        return false;
    } else if constexpr (std::is_same_v<Kind, braces<>> && !array_follows<T, Before>) {
        return false;
    } else {
        using kind = typename asking<T, Kind, Filter>::type;
        return with<T, decltype(Before() + type_list<kind>() + After())> == compiles::throwing;
    }
}

template <class T, class Filter, class Before, class Kind, class... After>
constexpr bool one_is_accepted(Before, type_list<Kind, After...>) {
    if constexpr (is_accepted<T, Filter, Before, Kind, type_list<After...>>())
        return true;
    else if constexpr (sizeof...(After) != 0)
        return one_is_accepted<T, Filter>(Before() + type_list<Kind>(), type_list<After...>());
    else
        return false;
}
template <class T, class Before, class Kind, class... After>
constexpr bool one_is_reference(Before, type_list<Kind, After...>) {
    using refers_to_const =
        decltype(Before() + type_list<referred_as_const<T>>() + type_list<After...>());
    if constexpr (std::is_same_v<Kind, referred<T>> && !is_made_of<T, refers_to_const>)
        return true;
    else if constexpr (sizeof...(After) != 0)
        return one_is_reference<T>(Before() + type_list<Kind>(), type_list<After...>());
    else
        return false;
}

/// Whether `T` is an aggregate with members to look for.
template <class T>
inline constexpr bool has_visible_members =
    std::is_class_v<T>&& std::is_aggregate_v<T> && !std::is_empty_v<T>;

/// Whether a base or member of the aggregate `T` is of a type that `Filter` accepts, or an array of
/// such a type. `false` if it cannot be seen.
///
/// A `const X&` counts as an `X`. Not seen are other references, what is behind the 32nd member or
/// a long array of classes; and at times, what is beside members that can be made of anything or
/// that throw when they are destroyed.
template <class T, class Filter> constexpr bool has_member() {
    if constexpr (has_visible_members<T>)
        if constexpr (count(members_of<T>()) != 0)
            return one_is_accepted<T, Filter>(type_list<>(), members_of<T>());
    return false;
}

/// Whether a member of the aggregate `T` is an `X&`, of an `X` that is not const. `false` if it
/// cannot be seen.
template <class T> constexpr bool has_reference() {
    if constexpr (has_visible_members<T>)
        if constexpr (count(members_of<T>()) != 0)
            return one_is_reference<T>(type_list<>(), members_of<T>());
    return false;
}

} // namespace mmstl::inline v1::detail

#endif
