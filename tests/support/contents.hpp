// SPDX-License-Identifier: MIT
//
// Every container of the standard library in a segment: how to fill them, and how to see that they
// are as they were, in whatever process.

#ifndef MMSTL_TESTS_SUPPORT_CONTENTS_HPP
#define MMSTL_TESTS_SUPPORT_CONTENTS_HPP

#include <mmstl/containers.hpp>
#include <mmstl/segment.hpp>

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace support::contents {

// Few enough for each test to be quick, many enough for every container to have grown.
inline constexpr int n = 300;

/// Longer than what a string holds within itself, for every third.
template <class String> String text(int i) {
    String made(i % 3 == 0 ? 40 : 3, static_cast<typename String::value_type>('a' + i % 26));
    made += static_cast<typename String::value_type>('0' + i % 10);
    return made;
}

inline void require(bool holds, const char* what) {
    if (!holds) throw std::runtime_error(std::string("not as it was made: ") + what);
}

using strings = mmstl::vector<mmstl::string>;
using three_deep = mmstl::map<int, mmstl::vector<mmstl::unordered_map<mmstl::string, int>>>;

/// All of them, as one object.
struct containers {
    using allocator_type = mmstl::shared_allocator<std::byte>;

    explicit containers(const allocator_type& in)
        : vector(in), bits(in), string(in), wide(in), deque(in), list(in), forward(in), map(in),
          multimap(in), set(in), multiset(in), hash_map(in), hash_multimap(in), hash_set(in),
          hash_multiset(in), texts(in), nested(in) {}

    void fill() {
        const int first = static_cast<int>(deque.size());
        for (int i = first; i < first + n; ++i) {
            const auto word = text<mmstl::string>(i); // in the heap of the process
            vector.push_back(i);
            bits.push_back(i % 3 == 0);
            string += static_cast<char>('a' + i % 26);
            wide += static_cast<wchar_t>('a' + i % 26);
            deque.push_back(word);
            list.push_back(i);
            forward.push_front(i);
            map[word] = i;
            multimap.emplace(i % 10, word);
            set.insert(i);
            multiset.insert(i % 10);
            hash_map[i] = word;
            hash_multimap.emplace(i % 10, i);
            hash_set.insert(word);
            hash_multiset.insert(i % 10);
            texts.push_back(word);
            auto& inner = nested[i % 7];
            if (inner.size() < 3) inner.emplace_back();
            inner[static_cast<std::size_t>(i) % inner.size()][word] += 1;
        }
    }

    void verify() const {
        const int size = static_cast<int>(vector.size());
        require(size != 0 && size % n == 0, "how many there are");
        int from_end = size;
        for (const int i : forward) require(i == --from_end, "forward_list");
        auto in_list = list.begin();
        for (int i = 0; i < size; ++i, ++in_list) {
            const auto at = static_cast<std::size_t>(i);
            const auto word = text<std::string>(i);
            require(vector[at] == i, "vector");
            require(bits[at] == (i % 3 == 0), "vector<bool>");
            require(string[at] == 'a' + i % 26, "string");
            require(wide[at] == static_cast<wchar_t>('a' + i % 26), "wstring");
            require(std::string_view(deque[at]) == word, "deque");
            require(*in_list == i, "list");
            require(map.find(std::string_view(word)) != map.end(), "map");
            require(set.contains(i), "set");
            require(std::string_view(hash_map.at(i)) == word, "unordered_map");
            require(hash_set.contains(std::string_view(word)), "unordered_set");
            require(std::string_view(texts[at]) == word, "vector of strings");
        }
        require(in_list == list.end(), "list");
        const auto a_tenth = static_cast<std::size_t>(size / 10);
        for (int i = 0; i < 10; ++i) {
            require(multimap.count(i) == a_tenth, "multimap");
            require(multiset.count(i) == a_tenth, "multiset");
            require(hash_multimap.count(i) == a_tenth, "unordered_multimap");
            require(hash_multiset.count(i) == a_tenth, "unordered_multiset");
        }
        int n_nested = 0;
        for (const auto& [key, inner] : nested)
            for (const auto& words : inner)
                for (const auto& [word, count] : words) n_nested += count;
        require(n_nested == size, "what is three deep");
    }

    mmstl::vector<int> vector;
    mmstl::vector<bool> bits;
    mmstl::string string;
    mmstl::wstring wide;
    mmstl::deque<mmstl::string> deque;
    mmstl::list<int> list;
    mmstl::forward_list<int> forward;
    mmstl::map<mmstl::string, int> map;
    mmstl::multimap<int, mmstl::string> multimap;
    mmstl::set<int> set;
    mmstl::multiset<int> multiset;
    mmstl::unordered_map<int, mmstl::string> hash_map;
    mmstl::unordered_multimap<int, int> hash_multimap;
    mmstl::unordered_set<mmstl::string> hash_set;
    mmstl::unordered_multiset<int> hash_multiset;
    strings texts;
    three_deep nested;
};

} // namespace support::contents

template <>
inline constexpr std::string_view mmstl::persistent_name<support::contents::containers> =
    "test/containers";

#endif
