// SPDX-License-Identifier: MIT
//
// How fast are maps filled and searched whose nodes are in a segment?

#include "peers/allocators.hpp"
#include "peers/boost_interprocess.hpp"
#include "support/posix.hpp"
#include "support/results.hpp"
#include "support/scratch.hpp"
#include "support/segment_map.hpp"
#include "workloads.hpp"

#include <fmt/format.h>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace bench {
namespace {

using word = std::uint64_t;

/// Without memory of its own: of a map on malloc.
struct nothing {};

template <class Map> std::unique_ptr<entries> make_map(const typename Map::allocator_type& from) {
    return std::make_unique<entries_in<nothing, Map>>(nothing{},
                                                      [&](nothing&) { return Map(from); });
}

/// A way to have a map, which is made new and empty in the file `path` if it needs one.
struct way {
    std::string name;
    bench::role role;
    std::function<std::unique_ptr<entries>(const std::string& path)> make;
};

struct kind {
    std::string name;     ///< "map"
    std::string standard; ///< "std::map, malloc"
    std::vector<way> ways;
    std::vector<skipped_arm> skipped = {};
};

using pair = std::pair<const word, word>;
template <class Allocator> using ordered = std::map<word, word, std::less<word>, Allocator>;
template <class Allocator>
using hashed = std::unordered_map<word, word, std::hash<word>, std::equal_to<word>, Allocator>;

constexpr const char* in_file = "segment, file";
constexpr const char* in_memory = "segment, anonymous";
constexpr const char* by_boost = "Boost.Interprocess, file";
/// For one that cannot grow: more than twice of what its nodes and its buckets take.
constexpr std::size_t boost_bytes_per_entry = 256;

/// The same map as `StandardOn`, with the allocator of another library.
template <template <class> class StandardOn, class Functions>
void add_peer(kind& to, const char* name, const peers::found<Functions>& found) {
    if (!found.functions) {
        to.skipped.push_back({name, found.reason});
        return;
    }
    to.ways.push_back({name, role::baseline, [&found](const std::string&) {
                           using allocator = peers::peer_allocator<pair, Functions>;
                           return make_map<StandardOn<allocator>>(allocator(*found.functions));
                       }});
}

template <class InSegment, template <class> class StandardOn>
kind describe(const char* name, const char* standard, const char* on_mimalloc,
              const char* on_jemalloc) {
    kind made{name,
              standard,
              {{in_file, role::ours,
                [](const std::string& path) {
                    return make_map_in<InSegment>(mmstl::segment::create(path));
                }},
               {in_memory, role::ours,
                [](const std::string&) {
                    return make_map_in<InSegment>(mmstl::segment::create(mmstl::anonymous()));
                }},
               {standard, role::baseline, [](const std::string&) {
                    return make_map<StandardOn<std::allocator<pair>>>({});
                }}}};
    add_peer<StandardOn>(made, on_mimalloc, peers::find_mimalloc());
    add_peer<StandardOn>(made, on_jemalloc, peers::find_jemalloc());
    return made;
}

std::vector<kind> kinds(std::size_t n) {
    std::vector<kind> all = {describe<mmstl::map<word, word>, ordered>("map", "std::map, malloc",
                                                                       "std::map, mimalloc",
                                                                       "std::map, jemalloc"),
                             describe<mmstl::unordered_map<word, word>, hashed>(
                                 "unordered_map", "std::unordered_map, malloc",
                                 "std::unordered_map, mimalloc", "std::unordered_map, jemalloc")};
    const std::size_t boost_bytes = n * boost_bytes_per_entry + (1 << 20);
    if (!peers::has_boost_interprocess) {
        for (kind& of : all) of.skipped.push_back({by_boost, peers::no_boost_interprocess});
        return all;
    }
    all[0].ways.push_back({by_boost, role::other, [=](const std::string& path) {
                               return peers::make_boost_map(path, boost_bytes);
                           }});
    all[1].ways.push_back({by_boost, role::other, [=](const std::string& path) {
                               return peers::make_boost_unordered_map(path, boost_bytes);
                           }});
    return all;
}

std::size_t count(const environment& in) { return in.quick ? 30'000 : 1'000'000; }

std::string lacking(const std::string& directory, std::size_t n_bytes) {
    if (2 * n_bytes > available_memory_bytes()) return "not enough memory is available";
    if (2 * n_bytes > free_bytes(directory)) return directory + " has not enough room";
    return {};
}

workload fill(environment& in, const kind& of) {
    const std::size_t n = count(in);
    const std::string path = in.directory + "/fill." + of.name;
    workload made{.name = fmt::format("{}.fill", of.name),
                  .question = fmt::format("Fill a {} in new memory, entry by entry", of.name),
                  .cache = fmt::format("{} entries of uint64_t and uint64_t, keys in no order", n),
                  .cache_key = "new",
                  .unit = "entry",
                  .state_is_verified = false,
                  .expected_seconds = static_cast<double>(n) / 1e6 * 40 + 0.5};
    const auto current = std::make_shared<std::unique_ptr<entries>>();
    const auto clear = [=, where = in.directory] {
        current->reset();
        ::unlink(path.c_str());
        ::syncfs(descriptor(where, O_RDONLY | O_DIRECTORY).get());
    };
    made.set_up = [=, where = in.directory] { return lacking(where, n * boost_bytes_per_entry); };
    made.prepare = [=](const arm&) {
        clear();
        peers::give_back_all(); // or the next one would not pay for its pages
        claim_free_memory(n * boost_bytes_per_entry);
    };
    made.tear_down = clear;
    for (const way& one : of.ways)
        made.arms.push_back({.name = one.name,
                             .role = one.role,
                             .run =
                                 [=, make = one.make](meter& watch) {
                                     *current = make(path);
                                     watch.restart();
                                     (*current)->fill(n);
                                     return (*current)->checksum(n);
                                 },
                             .operations = n});
    return made;
}

enum class use { look_up, iterate };

workload find_again(environment& in, const kind& of, use what) {
    const std::size_t n = count(in);
    const bool one_by_one = what == use::iterate;
    const char* const verb = one_by_one ? "iterate" : "lookup";
    const std::string path = fmt::format("{}/{}.{}", in.directory, verb, of.name);
    workload made{.name = fmt::format("{}.{}", of.name, verb),
                  .question = one_by_one
                                  ? fmt::format("Go through all entries of a {}", of.name)
                                  : fmt::format("Look up entries of a {}, at random", of.name),
                  .cache = fmt::format("{} entries of uint64_t and uint64_t, all in memory", n),
                  .cache_key = "new",
                  .unit = one_by_one ? "entry" : "lookup",
                  .state_is_verified = false,
                  .expected_seconds = static_cast<double>(n) / 1e6 * 40 + 0.5};
    // All maps are there all the time, or one would find the caches as it has just filled them.
    const auto maps = std::make_shared<std::vector<std::unique_ptr<entries>>>();
    const auto file_of = [=](std::size_t i) { return fmt::format("{}.{}", path, i); };
    const std::size_t n_ways = of.ways.size();
    made.set_up = [=, ways = of.ways, where = in.directory]() -> std::string {
        if (auto reason = lacking(where, 3 * n * boost_bytes_per_entry); !reason.empty())
            return reason;
        for (std::size_t i = 0; i < n_ways; ++i) {
            maps->push_back(ways[i].make(file_of(i)));
            maps->back()->fill(n);
            maps->back()->flush();
        }
        return {};
    };
    made.tear_down = [=] {
        maps->clear();
        for (std::size_t i = 0; i < n_ways; ++i) ::unlink(file_of(i).c_str());
    };
    for (std::size_t i = 0; i < n_ways; ++i)
        made.arms.push_back({.name = of.ways[i].name,
                             .role = of.ways[i].role,
                             .run =
                                 [=](meter&) {
                                     const entries& map = *(*maps)[i];
                                     return one_by_one ? map.sum() : map.look_up(n, n);
                                 },
                             .operations = n});
    return made;
}

} // namespace

void segment_containers(registry& into, environment& in) {
    for (const kind& of : kinds(count(in))) {
        const auto add = [&](workload made, double boost_at_least) {
            for (const char* const ours : {in_file, in_memory}) {
                // Of maps so small that their memory is new for most of the time, nothing is
                // expected.
                made.expectations.push_back({ours, of.standard, of.standard, in.quick ? 0.0 : 1.0});
                made.expectations.push_back(
                    {ours, by_boost, "Boost.Interprocess", in.quick ? 0 : boost_at_least});
            }
            made.skipped = of.skipped;
            into.push_back(std::move(made));
        };
        add(fill(in, of), 1.5);
        add(find_again(in, of, use::look_up), 0);
        add(find_again(in, of, use::iterate), 0);
    }
}

} // namespace bench
