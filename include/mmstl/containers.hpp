// SPDX-License-Identifier: MIT
//
// The containers of the standard library with shared_allocator, under their own names.

#ifndef MMSTL_CONTAINERS_HPP
#define MMSTL_CONTAINERS_HPP

#include <mmstl/hash.hpp>
#include <mmstl/shared_allocator.hpp>

#include <compare>
#include <deque>
#include <forward_list>
#include <functional>
#include <list>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace mmstl::inline v1 {

/// These are the containers of the standard library, and whatever is said of them is true here.
///
///     auto& hits = segment.find_or_construct<mmstl::unordered_map<mmstl::string, int>>("hits");
///     ++hits["mmap"];                                // the key's characters in the segment
///     auto it = hits.find(std::string_view("mmap")); // no temporary string
///
/// Default constructed, they are in the heap of the process; see `shared_allocator` for how they
/// come into a segment and what of them stays there.
///
/// Maps and sets compare by `std::less<>`, the unordered ones by `std::equal_to<>` and
/// `mmstl::hash`. So one with strings for keys looks up string views, literals and strings of any
/// allocator as they are: `find`, `contains`, `count` and `equal_range`; ordered ones by
/// `lower_bound` and `upper_bound` too. (`at`, `operator[]` and `erase` of C++20 take a key.)

template <class CharT, class Traits = std::char_traits<CharT>>
using basic_string = std::basic_string<CharT, Traits, shared_allocator<CharT>>;
using string = basic_string<char>;
using wstring = basic_string<wchar_t>;
using u8string = basic_string<char8_t>;
using u16string = basic_string<char16_t>;
using u32string = basic_string<char32_t>;

template <class T> using vector = std::vector<T, shared_allocator<T>>;
template <class T> using deque = std::deque<T, shared_allocator<T>>;
template <class T> using list = std::list<T, shared_allocator<T>>;
template <class T> using forward_list = std::forward_list<T, shared_allocator<T>>;

template <class Key, class T, class Compare = std::less<>>
using map = std::map<Key, T, Compare, shared_allocator<std::pair<const Key, T>>>;
template <class Key, class T, class Compare = std::less<>>
using multimap = std::multimap<Key, T, Compare, shared_allocator<std::pair<const Key, T>>>;
template <class Key, class Compare = std::less<>>
using set = std::set<Key, Compare, shared_allocator<Key>>;
template <class Key, class Compare = std::less<>>
using multiset = std::multiset<Key, Compare, shared_allocator<Key>>;

template <class Key, class T, class Hash = hash<Key>, class Equal = std::equal_to<>>
using unordered_map =
    std::unordered_map<Key, T, Hash, Equal, shared_allocator<std::pair<const Key, T>>>;
template <class Key, class T, class Hash = hash<Key>, class Equal = std::equal_to<>>
using unordered_multimap =
    std::unordered_multimap<Key, T, Hash, Equal, shared_allocator<std::pair<const Key, T>>>;
template <class Key, class Hash = hash<Key>, class Equal = std::equal_to<>>
using unordered_set = std::unordered_set<Key, Hash, Equal, shared_allocator<Key>>;
template <class Key, class Hash = hash<Key>, class Equal = std::equal_to<>>
using unordered_multiset = std::unordered_multiset<Key, Hash, Equal, shared_allocator<Key>>;

/// Compares with a string of another allocator, which the standard library does not; these make
/// lookups by a `std::string` possible.
template <class CharT, class Traits, class Alloc>
    requires(!detail::is_shared_allocator<Alloc>)
[[nodiscard]] bool operator==(const basic_string<CharT, Traits>& a,
                              const std::basic_string<CharT, Traits, Alloc>& b) noexcept {
    return std::basic_string_view<CharT, Traits>(a) == std::basic_string_view<CharT, Traits>(b);
}
/// Orders by the characters, as a `std::string_view` does.
template <class CharT, class Traits, class Alloc>
    requires(!detail::is_shared_allocator<Alloc>)
[[nodiscard]] auto operator<=>(const basic_string<CharT, Traits>& a,
                               const std::basic_string<CharT, Traits, Alloc>& b) noexcept {
    return std::basic_string_view<CharT, Traits>(a) <=> std::basic_string_view<CharT, Traits>(b);
}

} // namespace mmstl::inline v1

#endif
