// SPDX-License-Identifier: MIT
//
// shared_allocator.hpp: containers in the memory of segments: what is in them is there too, and
// stays when it is copied, moved and assigned.

#include "support/allocation.hpp"
#include "support/catch.hpp"

#include <mmstl/containers.hpp>
#include <mmstl/segment.hpp>
#include <mmstl/shared_allocator.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <string>
#include <tuple>
#include <utility>

using mmstl::shared_allocator;
using support::allocations;

namespace {

/// A segment in memory, in which nothing may be left.
class segment {
public:
    segment() = default;
    segment(const segment&) = delete;
    segment& operator=(const segment&) = delete;
    ~segment() { CHECK(in_use_bytes() == 0); }

    template <class T> shared_allocator<T> allocator() { return in_.allocator<T>(); }
    std::uint64_t in_use_bytes() { return in_.used_bytes(); }

private:
    mmstl::segment in_ =
        mmstl::segment::create(mmstl::anonymous(), {.capacity_bytes = std::uint64_t{64} << 20});
};

/// Too long to be kept in a string itself by any library.
constexpr const char* long_text = "a text that is too long for the room within a string";

template <class T> bool is_in(segment& s, const T& what) {
    return what.get_allocator() == s.allocator<char>();
}

} // namespace

TEST_CASE("what is in a container in a segment is there too, however deep") {
    segment s;
    using row = std::pair<const mmstl::string, mmstl::vector<mmstl::list<mmstl::string>>>;
    mmstl::map<row::first_type, row::second_type> map(s.allocator<row>());
    map["short"].resize(2);
    map["short"][0].emplace_back(long_text);
    map["short"][1].push_back(mmstl::string(long_text));
    map.emplace(long_text, mmstl::vector<mmstl::list<mmstl::string>>(3));
    map.try_emplace("third", 2U);
    map.insert({"fourth", {{"a", long_text}}});
    map.insert_or_assign("fifth", mmstl::vector<mmstl::list<mmstl::string>>{{long_text}});
    for (const auto& [key, lists] : map) {
        CHECK(is_in(s, key));
        CHECK(is_in(s, lists));
        for (const auto& texts : lists) {
            CHECK(is_in(s, texts));
            for (const auto& text : texts) CHECK(is_in(s, text));
        }
    }
}

TEST_CASE("nothing of a segment's container is allocated from the process") {
    segment s;
    const long before = allocations();
    const std::size_t in_use = s.in_use_bytes();
    mmstl::vector<int> numbers(s.allocator<int>());
    numbers.resize(1000);
    CHECK(s.in_use_bytes() >= in_use + 1000 * sizeof(int));
    // The stand-in for a heap keeps its books by operator new, once for each segment.
    CHECK(allocations() <= before + 1);
}

TEST_CASE("every container can be in a segment") {
    segment s;
    const auto a = s.allocator<mmstl::string>();
    const auto check = [&s](auto container) {
        CHECK(container.get_allocator() == s.allocator<char>());
        for (const auto& text : container) CHECK(is_in(s, text));
        CHECK(std::distance(container.begin(), container.end()) == 2);
    };
    const std::initializer_list<mmstl::string> texts = {long_text, "short"};
    check(mmstl::vector<mmstl::string>(texts, a));
    check(mmstl::deque<mmstl::string>(texts, a));
    check(mmstl::list<mmstl::string>(texts, a));
    check(mmstl::forward_list<mmstl::string>(texts, a));
    check(mmstl::set<mmstl::string>(texts, a));
    check(mmstl::multiset<mmstl::string>(texts, a));
    check(mmstl::unordered_set<mmstl::string>(texts, 0, a));
    check(mmstl::unordered_multiset<mmstl::string>(texts, 0, a));
    const auto check_pairs = [&s](auto container) {
        for (const auto& [key, value] : container) {
            CHECK(is_in(s, key));
            CHECK(is_in(s, value));
        }
        CHECK(container.size() == 2);
    };
    using pair = std::pair<const mmstl::string, mmstl::string>;
    const std::initializer_list<pair> pairs = {{long_text, long_text}, {"short", long_text}};
    const auto pair_a = s.allocator<pair>();
    check_pairs(mmstl::map<mmstl::string, mmstl::string>(pairs, pair_a));
    check_pairs(mmstl::multimap<mmstl::string, mmstl::string>(pairs, pair_a));
    check_pairs(mmstl::unordered_map<mmstl::string, mmstl::string>(pairs, 0, pair_a));
    check_pairs(mmstl::unordered_multimap<mmstl::string, mmstl::string>(pairs, 0, pair_a));
    mmstl::vector<bool> bits(100, s.allocator<bool>());
    bits.push_back(true);
    CHECK(bits.back());
}

TEST_CASE("what is assigned to an element is copied into the segment") {
    segment s;
    mmstl::vector<mmstl::string> texts(2, s.allocator<mmstl::string>());
    const long before = allocations();
    mmstl::string of_process(long_text);
    texts[0] = std::move(of_process);
    texts[1] = mmstl::string(long_text);
    CHECK(allocations() <= before + 2); // those of the two strings themselves
    for (const auto& text : texts) {
        CHECK(is_in(s, text));
        CHECK(text == long_text);
    }
}

TEST_CASE("containers of two segments are assigned by their elements") {
    segment s;
    segment other;
    mmstl::vector<mmstl::string> from({long_text, "short"}, s.allocator<mmstl::string>());
    mmstl::vector<mmstl::string> to(other.allocator<mmstl::string>());
    to = from;
    CHECK(to == from);
    for (const auto& text : to) CHECK(is_in(other, text));
    mmstl::map<int, mmstl::string> map({{1, long_text}},
                                       s.allocator<std::pair<const int, mmstl::string>>());
    mmstl::map<int, mmstl::string> moved(other.allocator<std::pair<const int, mmstl::string>>());
    moved = std::move(map);
    CHECK(is_in(other, moved.at(1)));
    CHECK(moved.at(1) == long_text);
}

TEST_CASE("a copy is in the process unless an allocator is named, a moved container stays") {
    segment s;
    segment other;
    using texts = mmstl::vector<mmstl::string>;
    texts original({long_text}, s.allocator<mmstl::string>());
    const std::size_t in_use = s.in_use_bytes();
    const texts copy = original;
    CHECK(s.in_use_bytes() == in_use);
    CHECK(copy.get_allocator() == shared_allocator<int>());
    CHECK(copy[0].get_allocator() == shared_allocator<int>());
    const texts copy_in_other(original, other.allocator<mmstl::string>());
    CHECK(is_in(other, copy_in_other[0]));
    const texts moved = std::move(original);
    CHECK(s.in_use_bytes() == in_use);
    CHECK(is_in(s, moved));
    CHECK(is_in(s, moved[0]));
}

TEST_CASE("containers of one segment are swapped, spliced, merged and taken apart") {
    segment s;
    using map = mmstl::map<mmstl::string, mmstl::string>;
    const auto a = s.allocator<map::value_type>();
    map one({{long_text, long_text}, {"a", "1"}}, a);
    map two({{"b", "2"}}, a);
    one.swap(two);
    CHECK(two.size() == 2);
    auto node = two.extract(long_text);
    one.insert(std::move(node));
    CHECK(is_in(s, one.at(long_text)));
    one.merge(two);
    CHECK(one.size() == 3);
    mmstl::list<mmstl::string> list({"a"}, s.allocator<mmstl::string>());
    mmstl::list<mmstl::string> more({long_text}, s.allocator<mmstl::string>());
    list.splice(list.end(), more);
    CHECK(is_in(s, list.back()));
}

TEST_CASE("tuples, arrays and pairs in a container hand the allocator on") {
    segment s;
    using element = std::pair<std::tuple<mmstl::string, int>, std::array<mmstl::string, 2>>;
    mmstl::vector<element> all(s.allocator<element>());
    all.emplace_back();
    all.emplace_back(std::tuple(long_text, 1), std::array<mmstl::string, 2>{long_text, "b"});
    all.push_back(all.back());
    all.push_back(element{{long_text, 2}, {"a", long_text}});
    all.resize(10);
    for (const auto& [tuple, array] : all) {
        CHECK(is_in(s, std::get<0>(tuple)));
        CHECK(is_in(s, array[0]));
        CHECK(is_in(s, array[1]));
    }
    CHECK(all[3].second[1] == long_text);
}

TEST_CASE("over-aligned elements are aligned in a segment") {
    struct alignas(128) line {
        char bytes[128];
    };
    segment s;
    // By chance one of them may be.
    mmstl::list<mmstl::vector<line>> all(s.allocator<char>());
    for (std::size_t n = 1; n <= 10; ++n) {
        all.emplace_back(n);
        CHECK(reinterpret_cast<std::uintptr_t>(all.back().data()) % alignof(line) == 0);
    }
}
