// SPDX-License-Identifier: MIT
//
// How fast are blocks of a segment allocated and freed, beside those of the best allocators?

#include "peers/allocators.hpp"
#include "peers/boost_interprocess.hpp"
#include "support/churner.hpp"
#include "support/posix.hpp"
#include "support/results.hpp"
#include "support/workers.hpp"
#include "workloads.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <memory>
#include <mmstl.hpp>
#include <utility>

namespace bench {
namespace {

struct crew {
    work_as what = work_as::caller;
    std::size_t size = 1;

    [[nodiscard]] const char* each() const noexcept {
        return what == work_as::processes ? "process" : "thread";
    }
};

constexpr std::size_t n_live = 4096;
/// In a run, and before the first one.
constexpr std::size_t n_replaced(bool quick) { return quick ? 50'000 : 200'000; }
/// By each of several, who are told and who tell, before and after a run: a part of a millisecond.
constexpr std::size_t n_replaced_together = 1'000'000;
/// So many times four thousand blocks of a quarter of a KiB, for Boost.Interprocess.
constexpr std::size_t boost_file_bytes(const crew& who) {
    return std::max<std::size_t>(who.size, 2) * (std::size_t{32} << 20);
}

/// Workers that replace blocks of the same heap, each its own. `keeper` is what the blocks live in.
template <class Keeper, class Allocator>
std::unique_ptr<workers> begin_churning(crew who, std::size_t n_before, Keeper keeper,
                                        Allocator from) {
    return assemble(
        who.what,
        [=, kept = std::make_shared<Keeper>(std::move(keeper))](std::size_t i) -> work {
            const auto blocks = std::make_shared<churner<Allocator>>(from, n_live, i + 1);
            blocks->replace(n_before); // spans and lists are as they stay from now on
            return [=](std::uint64_t n) { return blocks->replace(n); };
        },
        who.size);
}

struct nothing {};

struct boost_blocks {
    peers::boost_heap* heap;

    [[nodiscard]] void* allocate(std::size_t n_bytes) const { return heap->allocate(n_bytes); }
    void deallocate(void* p, std::size_t) const noexcept { heap->deallocate(p); }
};

constexpr const char* in_file = "segment, file";
constexpr const char* in_memory = "segment, anonymous";
constexpr const char* by_malloc = "malloc (glibc)";
constexpr const char* by_mimalloc = "mimalloc";
constexpr const char* by_jemalloc = "jemalloc";
constexpr const char* by_boost = "Boost.Interprocess, file";

workload churn(environment& in, const char* name, const std::string& question, crew who,
               std::size_t n_each) {
    const std::string path = in.directory + "/churn";
    workload made{.name = name,
                  .question = question,
                  .cache = fmt::format("{} to {} bytes, uniformly at random; {} blocks at a time "
                                       "and {}, touched at both ends",
                                       least_block_bytes, most_block_bytes, n_live, who.each()),
                  .cache_key = "new",
                  .unit = "pair",
                  .state_is_verified = false,
                  .expected_seconds = in.quick ? 2.0 : 15.0};

    // A repetition begins with a heap of its own, made outside the time.
    const auto current = std::make_shared<std::unique_ptr<workers>>();
    const auto clear = [=] {
        current->reset();
        ::unlink(path.c_str());
    };
    made.prepare = [=](const arm&) { clear(); };
    made.tear_down = clear;

    const auto add = [&](const char* arm_name, role r, std::int64_t iterations, auto begin) {
        made.arms.push_back({.name = arm_name,
                             .role = r,
                             .run =
                                 [=](meter& watch) {
                                     if (!*current) {
                                         *current = begin();
                                         watch.restart();
                                     }
                                     return (*current)->run(n_each);
                                 },
                             .iterations = iterations,
                             .operations = who.size * n_each,
                             .works_alone = who.what == work_as::caller});
    };
    const std::size_t n_before = n_replaced(in.quick);
    const auto begin_in = [=](mmstl::segment in_segment) {
        const auto from = in_segment.allocator<std::byte>();
        return begin_churning(who, n_before, std::move(in_segment), from);
    };
    const auto begin_by = [=](auto from) { return begin_churning(who, n_before, nothing{}, from); };
    // About as long for each, but for Boost.Interprocess.
    const auto often = static_cast<std::int64_t>(
        in.quick ? std::max<std::size_t>(1, 800'000 / (who.size * n_each)) : 10'000'000 / n_each);
    add(in_file, role::ours, often, [=] { return begin_in(mmstl::segment::create(path)); });
    add(in_memory, role::ours, often,
        [=] { return begin_in(mmstl::segment::create(mmstl::anonymous())); });
    add(by_malloc, role::baseline, often, [=] { return begin_by(peers::c_library()); });
    if (const auto& found = peers::find_mimalloc(); found.functions)
        add(by_mimalloc, role::baseline, often, [=, &found] { return begin_by(*found.functions); });
    else
        made.skipped.push_back({by_mimalloc, found.reason});
    if (const auto& found = peers::find_jemalloc(); found.functions)
        add(by_jemalloc, role::baseline, often, [=, &found] { return begin_by(*found.functions); });
    else
        made.skipped.push_back({by_jemalloc, found.reason});
    if (in.quick && who.size > 1)
        made.skipped.push_back({by_boost, "quick run"}); // it takes longer than all others
    else if (peers::has_boost_interprocess)
        add(by_boost, role::other, 1, [=] {
            auto heap = peers::make_boost_heap(path, boost_file_bytes(who));
            const boost_blocks from{heap.get()};
            return begin_churning(who, n_before, std::move(heap), from);
        });
    else
        made.skipped.push_back({by_boost, peers::no_boost_interprocess});
    return made;
}

} // namespace

void allocator_churn(registry& into, environment& in) {
    workload alone =
        churn(in, "churn.one_thread", "Allocate and free blocks of many sizes, one thread", {},
              n_replaced(in.quick));
    for (const char* const ours : {in_file, in_memory}) {
        alone.expectations.push_back({ours, by_mimalloc, by_mimalloc, 1 / 1.2});
        alone.expectations.push_back({ours, by_jemalloc, by_jemalloc, 0});
        alone.expectations.push_back({ours, by_malloc, "malloc", 0});
        alone.expectations.push_back({ours, by_boost, "Boost.Interprocess's allocator", 25});
    }
    into.push_back(std::move(alone));

    const std::size_t n_each = in.quick ? n_replaced(true) : n_replaced_together;
    const auto add_together = [&](workload together, const std::string& who, double at_least) {
        for (const char* const ours : {in_file, in_memory}) {
            together.expectations.push_back(
                {ours, by_mimalloc, fmt::format("{} of mimalloc", who), at_least});
            together.expectations.push_back(
                {ours, by_boost, fmt::format("{} of Boost.Interprocess", who), 0});
        }
        into.push_back(std::move(together));
    };
    // Of runs so short that their beginning takes a part of them, nothing is expected.
    const double at_least = in.quick ? 0 : 0.9;
    add_together(churn(in, "churn.two_threads",
                       "Allocate and free blocks of many sizes, two threads at once",
                       {work_as::threads, 2}, n_each),
                 "two threads", at_least);
    add_together(churn(in, "churn.two_processes",
                       "Allocate and free blocks of many sizes, two processes at once: of one "
                       "segment, or of Boost.Interprocess's, else each by itself",
                       {work_as::processes, 2}, n_each),
                 "two processes", at_least);
    // More than there are processors: a lock whose owner waits for one is waited for by the others.
    const std::string many = fmt::format("{} threads", in.threads);
    add_together(churn(in, "churn.many_threads",
                       fmt::format("Allocate and free blocks of many sizes, {} at once", many),
                       {work_as::threads, in.threads}, n_each * 4 / in.threads),
                 many, 0);
}

} // namespace bench
