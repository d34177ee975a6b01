// SPDX-License-Identifier: MIT
//
// containers.hpp: the aliases, in the heap of the process, and lookups that make no temporary.

#include "support/allocation.hpp"
#include "support/catch.hpp"

#include <mmstl/containers.hpp>

#include <compare>
#include <cstddef>
#include <deque>
#include <forward_list>
#include <functional>
#include <list>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

using mmstl::shared_allocator;
using support::allocations;

namespace {

/// Too long to be kept in a string itself by any library.
constexpr const char* long_key = "a key that is too long for the room within a string";

template <class T, class Of>
constexpr bool is_standard = std::is_same_v<T, Of>&&
    std::is_same_v<typename T::allocator_type, shared_allocator<typename T::value_type>>;

struct descending {
    bool operator()(int a, int b) const { return a > b; }
};

/// A container with strings for keys that has `key`; `Value` is what is inserted.
template <class Container> Container with(const char* key) {
    Container made;
    if constexpr (requires { typename Container::mapped_type; })
        made.emplace(key, 1);
    else
        made.emplace(key);
    return made;
}

struct any_case : std::char_traits<char> {
    static char low(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
    static bool eq(char a, char b) { return low(a) == low(b); }
    static bool lt(char a, char b) { return low(a) < low(b); }
    static int compare(const char* a, const char* b, std::size_t n) {
        for (; n > 0; ++a, ++b, --n)
            if (!eq(*a, *b)) return lt(*a, *b) ? -1 : 1;
        return 0;
    }
};

} // namespace

TEST_CASE("the aliases are the standard library's containers with shared_allocator") {
    using mmstl::hash;
    using pair = std::pair<const int, char>;
    using a = shared_allocator<int>;
    using pair_a = shared_allocator<pair>;
    STATIC_REQUIRE(
        is_standard<mmstl::string,
                    std::basic_string<char, std::char_traits<char>, shared_allocator<char>>>);
    STATIC_REQUIRE(std::is_same_v<mmstl::wstring, mmstl::basic_string<wchar_t>>);
    STATIC_REQUIRE(std::is_same_v<mmstl::u8string, mmstl::basic_string<char8_t>>);
    STATIC_REQUIRE(std::is_same_v<mmstl::u16string, mmstl::basic_string<char16_t>>);
    STATIC_REQUIRE(std::is_same_v<mmstl::u32string, mmstl::basic_string<char32_t>>);
    STATIC_REQUIRE(is_standard<mmstl::vector<int>, std::vector<int, a>>);
    STATIC_REQUIRE(is_standard<mmstl::deque<int>, std::deque<int, a>>);
    STATIC_REQUIRE(is_standard<mmstl::list<int>, std::list<int, a>>);
    STATIC_REQUIRE(is_standard<mmstl::forward_list<int>, std::forward_list<int, a>>);
    STATIC_REQUIRE(is_standard<mmstl::map<int, char>, std::map<int, char, std::less<>, pair_a>>);
    STATIC_REQUIRE(
        is_standard<mmstl::multimap<int, char>, std::multimap<int, char, std::less<>, pair_a>>);
    STATIC_REQUIRE(is_standard<mmstl::set<int>, std::set<int, std::less<>, a>>);
    STATIC_REQUIRE(is_standard<mmstl::multiset<int>, std::multiset<int, std::less<>, a>>);
    STATIC_REQUIRE(is_standard<mmstl::unordered_map<int, char>,
                               std::unordered_map<int, char, hash<int>, std::equal_to<>, pair_a>>);
    STATIC_REQUIRE(
        is_standard<mmstl::unordered_multimap<int, char>,
                    std::unordered_multimap<int, char, hash<int>, std::equal_to<>, pair_a>>);
    STATIC_REQUIRE(is_standard<mmstl::unordered_set<int>,
                               std::unordered_set<int, hash<int>, std::equal_to<>, a>>);
    STATIC_REQUIRE(is_standard<mmstl::unordered_multiset<int>,
                               std::unordered_multiset<int, hash<int>, std::equal_to<>, a>>);
}

TEST_CASE("every container can be filled in the heap of the process") {
    const mmstl::vector<int> vector = {1, 2, 3};
    CHECK(vector.size() == 3);
    mmstl::vector<bool> bits(100);
    bits[70] = true;
    bits.resize(1000);
    CHECK(bits[70]);
    mmstl::deque<mmstl::string> deque(3, long_key);
    deque.emplace_front("first");
    CHECK(deque.back() == long_key);
    mmstl::list<mmstl::string> list = {"a", "b"};
    list.reverse();
    CHECK(list.front() == "b");
    mmstl::forward_list<int> forward = {3, 1, 2};
    forward.sort();
    CHECK(forward.front() == 1);
    mmstl::map<mmstl::string, mmstl::vector<mmstl::string>> map;
    map[long_key].emplace_back(long_key);
    CHECK(map.at(long_key).front() == long_key);
    mmstl::multimap<int, int> multimap = {{1, 1}, {1, 2}};
    CHECK(multimap.count(1) == 2);
    const mmstl::set<int, descending> set = {1, 2, 3};
    CHECK(*set.begin() == 3);
    const mmstl::multiset<int> multiset = {1, 1};
    CHECK(multiset.size() == 2);
    mmstl::unordered_map<mmstl::string, int> hits;
    ++hits["mmap"];
    ++hits[long_key];
    ++hits[long_key];
    CHECK(hits.at(long_key) == 2);
    CHECK(mmstl::unordered_multimap<int, int>{{1, 1}, {1, 2}}.size() == 2);
    CHECK(mmstl::unordered_set<std::pair<int, mmstl::string>>{{1, "a"}}.contains({1, "a"}));
    CHECK(mmstl::unordered_multiset<mmstl::string>{"a", "a"}.count("a") == 2);
    CHECK(mmstl::u16string(u"k\u00e4se").size() == 4);
}

TEMPLATE_TEST_CASE("strings are looked up by strings of any kind, and nothing is allocated", "",
                   (mmstl::map<mmstl::string, int>), (mmstl::multimap<mmstl::string, int>),
                   mmstl::set<mmstl::string>, mmstl::multiset<mmstl::string>,
                   (mmstl::unordered_map<mmstl::string, int>),
                   (mmstl::unordered_multimap<mmstl::string, int>),
                   mmstl::unordered_set<mmstl::string>, mmstl::unordered_multiset<mmstl::string>) {
    // All there are: each of them looks up in code of its own.
    TestType all = with<TestType>(long_key);
    const TestType& constant = all;
    const std::string of_std = long_key;
    const mmstl::string ours = long_key;
    const std::string_view view = of_std;
    const auto found_by = [&](const auto& key) {
        const long before = allocations();
        const bool found = all.find(key) != all.end() && constant.find(key) != constant.end() &&
                           all.contains(key) && all.count(key) == 1 &&
                           all.equal_range(key).first != all.equal_range(key).second &&
                           constant.equal_range(key).first != constant.equal_range(key).second;
        if constexpr (requires { all.lower_bound(key); })
            if (all.lower_bound(key) != all.begin() || all.upper_bound(key) != all.end())
                return false;
        return found && allocations() == before;
    };
    CHECK(found_by(ours));
    CHECK(found_by(of_std));
    CHECK(found_by(view));
    CHECK(found_by(long_key));
    CHECK(found_by("a key that is too long for the room within a string"));

    const long before = allocations();
    CHECK_FALSE(all.contains(view.substr(1)));
    CHECK_FALSE(all.contains("another key that is too long for the room within a string"));
    CHECK(allocations() == before);
    mmstl::string temporary = long_key;
    CHECK(allocations() == before + 1); // it does count
}

TEST_CASE("wide strings are looked up as well") {
    const mmstl::unordered_set<mmstl::u16string> narrow = {u"key"};
    CHECK(narrow.contains(u"key"));
    CHECK(narrow.contains(std::u16string_view(u"key")));
    CHECK(narrow.contains(std::u16string(u"key")));
    const mmstl::map<mmstl::u32string, int> wide = {{U"key", 1}};
    CHECK(wide.contains(std::u32string(U"key")));
}

TEST_CASE("strings of two allocators compare, either way round") {
    const mmstl::string ours = "b";
    const std::string same = "b";
    const std::string less = "a";
    CHECK(ours == same);
    CHECK(same == ours);
    CHECK_FALSE(ours != same);
    CHECK(ours != less);
    CHECK(less != ours);
    CHECK(less < ours);
    CHECK(ours > less);
    CHECK(ours <= same);
    CHECK(same >= ours);
    CHECK_FALSE(ours < less);
    CHECK((ours <=> same) == std::strong_ordering::equal);
    CHECK((less <=> ours) == std::strong_ordering::less);
    STATIC_REQUIRE(noexcept(ours == same)&& noexcept(ours < same));
    // By the traits that they have.
    const mmstl::basic_string<char, any_case> any("Key");
    const std::basic_string<char, any_case> of_std("kEY");
    CHECK(any == of_std);
    CHECK_FALSE(any < of_std);
    // What compared before still does.
    CHECK(ours == mmstl::string("b"));
    CHECK(ours == "b");
    CHECK(ours == std::string_view("b"));
    CHECK(std::string("b") == same);
}
