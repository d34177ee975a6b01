// SPDX-License-Identifier: MIT
//
// segment_storable<T>: which types may lie in a segment, and why the others may not.

#ifndef MMSTL_SEGMENT_STORABLE_HPP
#define MMSTL_SEGMENT_STORABLE_HPP

#include <mmstl/detail/aggregate_members.hpp>
#include <mmstl/detail/uses_allocator.hpp>
#include <mmstl/shared_allocator.hpp>

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

namespace mmstl::inline v1 {

namespace detail {

template <class T> constexpr bool find_segment_storable();
template <class T> constexpr void require_segment_storable();

} // namespace detail

/// Whether a `T` may lie in a segment: means the same in every process that opens it, and tomorrow.
///
/// Numbers, enumerations and classes may, containers with a `shared_allocator`, pairs,
/// tuples and arrays of these. Not those that own or point at what is in one process:
///
///     references; pointers to functions and to member functions
///     polymorphic classes: they point at a table in the program
///     containers and strings with any other allocator, such as std::string
///     std::function, std::any, smart pointers, threads, std::mutex, streams, std::locale and the
///     like; std::string_view and std::span; std::atomic if it is not lock-free
///     std::optional, std::variant and arrays (not std::array) of what takes an allocator: they do
///     not hand it on, so that a string assigned to an empty one is in the heap of the process
///
///     aggregates with a base or member of these types, or that takes an allocator: they do not
///     hand one on either (if it can be seen: up to about 32 members are)
///
/// A pointer to an object may, and has to point into the same segment.
///
/// The members of classes with constructors or private members cannot be looked into: what holds
/// for these is for whoever writes the class to see to. Specialise it, for a type of your own or of
/// another library's, to `false` where that is not so, and to `true` where it is after all:
///
///     template <> inline constexpr bool mmstl::segment_storable<window> = false;
///
/// Whatever contains such a type goes by that. `const` and `volatile` do not count.
template <class T> inline constexpr bool segment_storable = detail::find_segment_storable<T>();
template <class T> inline constexpr bool segment_storable<const T> = segment_storable<T>;
template <class T> inline constexpr bool segment_storable<volatile T> = segment_storable<T>;
template <class T> inline constexpr bool segment_storable<const volatile T> = segment_storable<T>;

namespace detail {

/// Why a type may not lie in a segment, apart from what is in it.
enum class obstacle : unsigned char {
    none,
    no_object,
    function_pointer,
    member_function_pointer,
    polymorphic,
    view,
    synchronises,
    in_process,
    locking_atomic,
    foreign_allocator,
    keeps_allocator,
    member_takes_allocator,
    member_reference,
};

template <class T> constexpr const char* printed_name() { return __PRETTY_FUNCTION__; }

/// Whether `T` is the class, or comes from the class template, that is called `name` in namespace
/// std. By what the compiler prints, so that nobody has to include <regex> for it. Inline
/// namespaces (`std::__1::`, `std::__cxx11::`) do not count.
constexpr bool is_called(std::string_view printed, std::string_view name) {
    const std::size_t begin = printed.find("T = ");
    if (begin == printed.npos) return false;
    printed.remove_prefix(begin + 4);
    if (!printed.starts_with("std::")) return false;
    printed.remove_prefix(5);
    for (;;) {
        const std::string_view scope = printed.substr(0, printed.find_first_of(":<];"));
        const bool is_scope = printed.substr(scope.size()).starts_with("::");
        if (is_scope && scope.starts_with('_')) { // reserved: an inline namespace
            printed.remove_prefix(scope.size() + 2);
            continue;
        }
        const std::size_t end = name.find("::");
        if (end == name.npos) break;
        if (!is_scope || scope != name.substr(0, end)) return false;
        printed.remove_prefix(end + 2);
        name.remove_prefix(end + 2);
    }
    if (!printed.starts_with(name)) return false;
    printed.remove_prefix(name.size());
    return printed.empty() || printed[0] == '<' || printed[0] == ']' || printed[0] == ';';
}

template <std::size_t N>
constexpr bool is_called_one_of(std::string_view printed, const std::string_view (&names)[N]) {
    for (const std::string_view name : names)
        if (is_called(printed, name)) return true;
    return false;
}

// As GCC and Clang print them: Clang by the name of the alias where there is one.
inline constexpr std::string_view views[] = {
    "basic_string_view", "string_view", "wstring_view",     "u8string_view",     "u16string_view",
    "u32string_view",    "span",        "initializer_list", "reference_wrapper",
};
inline constexpr std::string_view synchronisers[] = {
    "thread",
    "jthread",
    "mutex",
    "recursive_mutex",
    "timed_mutex",
    "recursive_timed_mutex",
    "shared_mutex",
    "shared_timed_mutex",
    "condition_variable",
    "condition_variable_any",
    "once_flag",
    "counting_semaphore",
    "latch",
    "barrier",
    "lock_guard",
    "unique_lock",
    "shared_lock",
    "scoped_lock",
};
inline constexpr std::string_view owners[] = {
    "function",
    "move_only_function",
    "copyable_function",
    "any",
    "shared_ptr",
    "weak_ptr",
    "unique_ptr",
    "auto_ptr",
    "promise",
    "future",
    "shared_future",
    "packaged_task",
    "exception_ptr",
    "coroutine_handle",
    "locale",
    "filesystem::path",
    "filesystem::directory_entry",
    "filesystem::directory_iterator",
    "filesystem::recursive_directory_iterator",
    "basic_regex",
    "regex",
    "wregex",
    "valarray",
    "error_code",
    "error_condition",
    "type_index",
    "stop_token",
    "stop_source",
    "stop_callback",
    "random_device",
};

template <class T>
concept has_allocator = requires {
    typename T::allocator_type;
};

/// Whether a `T` does not hand the allocator on to what is in it and takes one.
template <class T, class Alloc> inline constexpr bool keeps_allocator = false;
template <class T, class Alloc>
inline constexpr bool keeps_allocator<std::optional<T>, Alloc> = takes_allocator<T, Alloc>;
template <class... Ts, class Alloc>
inline constexpr bool keeps_allocator<std::variant<Ts...>, Alloc> = (takes_allocator<Ts, Alloc> ||
                                                                     ...);
template <class T, std::size_t N, class Alloc>
inline constexpr bool keeps_allocator<T[N], Alloc> = takes_allocator<T, Alloc>; // NOLINT
// A tuple hands it on to its elements, but these are built as they are: no pair looks within.
template <class... Ts, class Alloc>
inline constexpr bool keeps_allocator<std::tuple<Ts...>, Alloc> =
    ((takes_allocator<Ts, Alloc> && (is_pair<Ts> || is_std_array<Ts>)) || ...);

template <class T>
inline constexpr bool takes_shared = takes_allocator<T, shared_allocator<std::byte>>;

struct takes_shared_allocator {
    template <class U> static constexpr bool accepts = takes_shared<U>;
};
/// What takes the allocator is not asked for: that is seen before, or it is in an aggregate that
/// takes one too, and may contain that.
struct not_storable {
    template <class U> static constexpr bool is_refused() {
        if constexpr (takes_shared<U>)
            return false;
        else
            return !segment_storable<U>;
    }
    template <class U> static constexpr bool accepts = is_refused<U>();
};

/// What stands in the way of a `T`, whatever is in it.
template <class T> constexpr obstacle find_obstacle() {
    if constexpr (!std::is_object_v<T>) {
        return obstacle::no_object;
    } else if constexpr (std::is_pointer_v<T>) {
        return std::is_function_v<std::remove_pointer_t<T>> ? obstacle::function_pointer
                                                            : obstacle::none;
    } else if constexpr (std::is_member_function_pointer_v<T>) {
        return obstacle::member_function_pointer;
    } else if constexpr (keeps_allocator<T, shared_allocator<std::byte>>) {
        return obstacle::keeps_allocator;
    } else if constexpr (std::is_class_v<T>) {
        constexpr std::string_view name = printed_name<T>();
        if constexpr (std::is_polymorphic_v<T>) {
            return obstacle::polymorphic;
        } else if constexpr (is_called_one_of(name, views)) {
            return obstacle::view;
        } else if constexpr (is_called_one_of(name, synchronisers)) {
            return obstacle::synchronises;
        } else if constexpr (is_called_one_of(name, owners)) {
            return obstacle::in_process;
        } else if constexpr (is_called(name, "atomic")) {
            return T::is_always_lock_free ? obstacle::none : obstacle::locking_atomic;
        } else if constexpr (has_allocator<T>) {
            return is_shared_allocator<typename T::allocator_type> ? obstacle::none
                                                                   : obstacle::foreign_allocator;
        } else if constexpr (is_std_array<T>) { // NOLINT(bugprone-branch-clone): is not looked into
            return obstacle::none;
        } else if constexpr (!takes_shared<T> && has_member<T, takes_shared_allocator>()) {
            return obstacle::member_takes_allocator;
        } else if constexpr (has_reference<T>()) {
            return obstacle::member_reference;
        } else {
            return obstacle::none;
        }
    } else {
        return obstacle::none;
    }
}

/// The elements of a container: what its allocator is for. (A `value_type` may well be a container
/// of the class that has it.)
template <class T> constexpr auto find_elements() {
    if constexpr (has_allocator<T>) {
        using element = typename T::allocator_type::value_type;
        if constexpr (!std::is_void_v<element> && !std::is_same_v<element, T>)
            return type_list<element>();
        else
            return type_list<>();
    } else if constexpr (requires { typename T::container_type; }) { // std::stack
        return type_list<typename T::container_type>();
    } else {
        return type_list<>();
    }
}
template <class T> constexpr auto find_comparison() {
    if constexpr (has_allocator<T> && requires { typename T::key_compare; })
        return type_list<typename T::key_compare>();
    else
        return type_list<>();
}
template <class T> constexpr auto find_hash() {
    if constexpr (has_allocator<T> && requires {
                      typename T::hasher;
                      typename T::key_equal;
                  })
        return type_list<typename T::hasher, typename T::key_equal>();
    else
        return type_list<>();
}

/// What is in a `T`, as far as it can be known.
template <class T>
inline constexpr auto parts_of = find_elements<T>() + find_comparison<T>() + find_hash<T>();
template <class T, std::size_t N> inline constexpr auto parts_of<T[N]> = type_list<T>(); // NOLINT
template <class T, std::size_t N> inline constexpr auto parts_of<std::array<T, N>> = type_list<T>();
template <class A, class B> inline constexpr auto parts_of<std::pair<A, B>> = type_list<A, B>();
template <class... Ts> inline constexpr auto parts_of<std::tuple<Ts...>> = type_list<Ts...>();
template <class T> inline constexpr auto parts_of<std::optional<T>> = type_list<T>();
template <class... Ts> inline constexpr auto parts_of<std::variant<Ts...>> = type_list<Ts...>();

template <class... Ts> constexpr bool all_storable(type_list<Ts...>) {
    return (segment_storable<Ts> && ...);
}

template <class T> constexpr bool find_segment_storable() {
    if constexpr (find_obstacle<T>() == obstacle::none) {
        if constexpr (all_storable(parts_of<T>)) {
            if constexpr (is_std_array<T>)
                return true;
            else
                return !has_member<T, not_storable>();
        }
    }
    return false;
}

template <class... Ts> constexpr void require_all_storable(type_list<Ts...>);

/// Filters that do not compile for a member that is refused, so that the compiler tells its type.
struct required_without_allocator {
    template <class U> static constexpr bool requires_it() {
        static_assert(!takes_shared<U>,
                      "not in a segment: a member takes an allocator, which an aggregate does not "
                      "hand on: give the struct an allocator_type and constructors that take it, "
                      "or specialise mmstl::segment_storable to true if you give each member the "
                      "allocator yourself");
        return false;
    }
    template <class U> static constexpr bool accepts = requires_it<U>();
};
struct required_storable {
    template <class U> static constexpr bool requires_it() {
        if constexpr (!takes_shared<U>) require_segment_storable<U>();
        return false;
    }
    template <class U> static constexpr bool accepts = requires_it<U>();
};

/// Does not compile unless `segment_storable<T>`, and says why not: which of the types in `T`, the
/// compiler tells as the place of the instantiation.
template <class T> constexpr void require_segment_storable() {
    if constexpr (!segment_storable<T>) {
        using bare = std::remove_cv_t<T>;
        constexpr obstacle found = find_obstacle<bare>();
        static_assert(found != obstacle::no_object,
                      "not in a segment: a reference or void is no object");
        static_assert(found != obstacle::function_pointer,
                      "not in a segment: functions have other addresses in other processes");
        static_assert(found != obstacle::member_function_pointer,
                      "not in a segment: member functions have other addresses in other processes");
        static_assert(found != obstacle::polymorphic,
                      "not in a segment: an object with virtual functions points at a table in "
                      "the program, which is elsewhere in another process");
        static_assert(found != obstacle::view,
                      "not in a segment: a view points at memory of this process (if it does not, "
                      "store a pointer and a length)");
        static_assert(found != obstacle::synchronises,
                      "not in a segment: threads and the library's locks are of one process; "
                      "use mmstl's");
        static_assert(found != obstacle::in_process,
                      "not in a segment: what this owns or points at is in the memory of this "
                      "process");
        static_assert(found != obstacle::locking_atomic,
                      "not in a segment: an atomic that is not lock-free has its lock in this "
                      "process");
        static_assert(found != obstacle::foreign_allocator,
                      "not in a segment: this container's elements would be in the memory of this "
                      "process; use one with mmstl::shared_allocator, such as mmstl::string or "
                      "mmstl::vector");
        static_assert(found != obstacle::keeps_allocator,
                      "not in a segment: this hands no allocator on to what is in it, which would "
                      "come to be in the memory of this process; std::pair, std::array and a "
                      "std::tuple of neither do. If you give the allocator to each value yourself, "
                      "specialise mmstl::segment_storable to true");
        static_assert(found != obstacle::member_reference,
                      "not in a segment: a member is a reference; if it is to what is in the same "
                      "segment, make it a pointer");
        if constexpr (found == obstacle::member_takes_allocator) {
            static_assert(has_member<bare, required_without_allocator>(),
                          "not in a segment: a member of this aggregate is refused");
        } else if constexpr (found == obstacle::none) {
            constexpr auto parts = parts_of<bare>;
            if constexpr (!all_storable(parts))
                require_all_storable(parts);
            else if constexpr (is_std_array<bare> || !has_member<bare, not_storable>())
                static_assert(!std::is_same_v<bare, bare>,
                              "not in a segment: mmstl::segment_storable is specialised to false "
                              "for this type");
            else
                static_assert(has_member<bare, required_storable>(),
                              "not in a segment: a member of this aggregate is refused");
        }
    }
}

template <class... Ts> constexpr void require_all_storable(type_list<Ts...>) {
    (require_segment_storable<Ts>(), ...);
}

} // namespace detail

} // namespace mmstl::inline v1

#endif
