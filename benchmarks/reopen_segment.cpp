// SPDX-License-Identifier: MIT
//
// How long does it take to have a large map back?

#include "peers/boost_interprocess.hpp"
#include "peers/lmdb.hpp"
#include "support/cached_file.hpp"
#include "support/posix.hpp"
#include "support/results.hpp"
#include "support/scratch.hpp"
#include "support/segment_map.hpp"
#include "workloads.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <memory>
#include <utility>
#include <vector>

namespace bench {
namespace {

using word = std::uint64_t;
using pair = std::pair<word, word>;
using segment_map = mmstl::map<word, word>;
using standard_map = std::map<word, word>;

constexpr const char* by_segment = "segment";
constexpr const char* by_boost = "Boost.Interprocess";
constexpr const char* by_lmdb = "LMDB";
constexpr const char* by_insertion = "read pairs, insert";
constexpr const char* by_hint = "read sorted pairs, insert at the end";
constexpr double at_most_seconds = 1e-3;

struct files {
    explicit files(const std::string& directory)
        : segment(directory + "/reopen.mms"), boost(directory + "/reopen.boost"),
          lmdb(directory + "/reopen.lmdb"), pairs(directory + "/reopen.pairs"),
          sorted(directory + "/reopen.sorted") {}

    std::string segment, boost, lmdb, pairs, sorted;
};

void write_pairs(const std::string& path, const std::vector<pair>& all) {
    auto made = mmstl::mapped_span<word>::create(path, 2 * all.size());
    for (std::size_t i = 0; i < all.size(); ++i) {
        made[2 * i] = all[i].first;
        made[2 * i + 1] = all[i].second;
    }
    made.flush();
}

std::vector<word> read_pairs(const std::string& path) {
    const descriptor in(path);
    std::vector<word> words(in.size_bytes() / sizeof(word));
    if (in.read(words.data(), words.size() * sizeof(word)) != words.size() * sizeof(word))
        throw std::runtime_error(path + ": ends too early");
    return words;
}

standard_map insert_pairs(const std::string& path) {
    const std::vector<word> words = read_pairs(path);
    standard_map made;
    for (std::size_t i = 0; i < words.size(); i += 2) made.emplace(words[i], words[i + 1]);
    return made;
}

standard_map insert_sorted_pairs(const std::string& path) {
    const std::vector<word> words = read_pairs(path);
    standard_map made;
    for (std::size_t i = 0; i < words.size(); i += 2)
        made.emplace_hint(made.end(), words[i], words[i + 1]);
    return made;
}

struct nothing {};

/// A map that a function makes of a file.
std::unique_ptr<entries> made_of(const std::string& path,
                                 standard_map (*make)(const std::string&)) {
    return std::make_unique<entries_in<nothing, standard_map>>(
        nothing{}, [&](nothing&) { return make(path); });
}

std::vector<std::string> judge(const results& of) {
    const result* const row = of.find(by_segment);
    if (row == nullptr) return {};
    return {fmt::format("{}: {}; less than {} is expected: {}", row->arm->name,
                        format_seconds(row->median()), format_seconds(at_most_seconds),
                        row->median() < at_most_seconds ? "holds" : "DOES NOT HOLD")};
}

} // namespace

void reopen_segment(registry& into, environment& in) {
    const std::size_t n = in.quick ? 30'000 : 1'000'000;
    workload made{.name = "reopen.segment",
                  .question = "From open to the first lookup in a map; closing not included",
                  .cache = fmt::format("{} entries of uint64_t and uint64_t; the files are in the "
                                       "page cache",
                                       n),
                  .cache_key = "warm",
                  .state_is_verified = false,
                  .expected_seconds = static_cast<double>(n) / 1e6 * 20 + 1};
    const files at(in.directory);
    const auto current = std::make_shared<std::unique_ptr<entries>>();

    made.set_up = [=, directory = in.directory]() -> std::string {
        if (n * 1024 > available_memory_bytes()) return "not enough memory is available";
        if (n * 1024 > free_bytes(directory)) return directory + " has not enough room";
        auto in_segment = mmstl::segment::create(at.segment);
        auto& map = in_segment.construct<segment_map>(entries_name);
        std::vector<pair> all;
        for (std::size_t i = 0; i < n; ++i) {
            all.emplace_back(key_of(i), value_of(i));
            map.emplace(all.back());
        }
        in_segment.close();
        write_pairs(at.pairs, all);
        std::ranges::sort(all);
        write_pairs(at.sorted, all);
        if (auto boost = peers::make_boost_map(at.boost, n * 256 + (1 << 20))) {
            boost->fill(n);
            boost->flush();
        }
        if (auto lmdb = peers::make_lmdb(at.lmdb, n * 256 + (1 << 20))) {
            lmdb->fill(n);
            lmdb->flush();
        }
        return {};
    };
    // Whoever opened it last, the child in which system calls are counted too, it is as a clean
    // close leaves it.
    made.prepare = [=](const arm&) {
        current->reset();
        mmstl::segment::open(at.segment).close();
    };
    made.tear_down = [=] {
        current->reset();
        for (const auto& path : {at.segment, at.boost, at.lmdb, at.pairs, at.sorted})
            ::unlink(path.c_str());
    };

    const auto add = [&](const char* name, role r, auto open) {
        made.arms.push_back({.name = name, .role = r, .run = [=](meter&) {
                                 *current = open();
                                 return (*current)->look_up(n, 1);
                             }});
    };
    add(by_segment, role::ours,
        [=] { return find_map_in<segment_map>(mmstl::segment::open(at.segment)); });
    add(by_insertion, role::baseline, [=] { return made_of(at.pairs, insert_pairs); });
    add(by_hint, role::baseline, [=] { return made_of(at.sorted, insert_sorted_pairs); });
    if (peers::has_boost_interprocess)
        add(by_boost, role::other, [=] { return peers::open_boost_map(at.boost); });
    else
        made.skipped.push_back({by_boost, peers::no_boost_interprocess});

    if (peers::has_lmdb)
        add(by_lmdb, role::other, [=] { return peers::open_lmdb(at.lmdb); });
    else
        made.skipped.push_back({by_lmdb, peers::no_lmdb});

    made.expectations = {
        {by_segment, by_insertion, "reading the pairs and inserting them", 0},
        {by_segment, by_hint, "reading them sorted", 0},
        {by_segment, by_boost, "opening a map of Boost.Interprocess", 0},
        {by_segment, by_lmdb, "opening a database of LMDB", 0},
    };
    made.conclusions = judge;
    into.push_back(std::move(made));
}

} // namespace bench
