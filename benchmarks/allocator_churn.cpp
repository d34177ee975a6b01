// SPDX-License-Identifier: MIT
//
// How fast are blocks of a segment allocated and freed, beside those of the best allocators?

#include "peers/allocators.hpp"
#include "peers/boost_interprocess.hpp"
#include "support/churner.hpp"
#include "support/posix.hpp"
#include "support/results.hpp"
#include "workloads.hpp"

#include <barrier>
#include <exception>
#include <fmt/format.h>
#include <memory>
#include <mmstl.hpp>
#include <thread>
#include <vector>

namespace bench {
namespace {

constexpr std::size_t n_live = 4096;
/// In a run.
constexpr std::size_t n_replaced = 200'000;
/// By each of two threads, who have to meet before and after a run: a part of a millisecond.
constexpr std::size_t n_replaced_together = 1'000'000;
/// So many times four thousand blocks of a quarter of a KiB, for Boost.Interprocess.
constexpr std::size_t boost_file_bytes = std::size_t{64} << 20;

/// Threads that replace blocks of the same heap, each its own.
class churning {
public:
    churning() = default;
    churning(const churning&) = delete;
    churning& operator=(const churning&) = delete;
    virtual ~churning() = default;
    virtual std::uint64_t replace(std::size_t n) = 0;
};

/// `Keeper` is what the blocks live in.
template <class Keeper, class Allocator> class churning_alone : public churning {
public:
    churning_alone(Keeper keeper, Allocator from)
        : keeper_(std::move(keeper)), blocks_(from, n_live, 1) {
        blocks_.replace(n_replaced); // spans and lists are as they stay from now on
    }
    std::uint64_t replace(std::size_t n) override { return blocks_.replace(n); }

private:
    Keeper keeper_;
    churner<Allocator> blocks_;
};

template <class Keeper, class Allocator> class churning_in_pairs : public churning {
public:
    churning_in_pairs(Keeper keeper, Allocator from) : keeper_(std::move(keeper)) {
        for (worker& one : workers_)
            one.thread = std::thread([this, &one, from] { work(one, from); });
        meeting_.arrive_and_wait(); // all are ready
        if (const auto error = first_error()) {
            stop();
            std::rethrow_exception(error);
        }
    }
    ~churning_in_pairs() override { stop(); }

    std::uint64_t replace(std::size_t n) override {
        n_ = n;
        meeting_.arrive_and_wait(); // begin
        meeting_.arrive_and_wait(); // done
        if (const auto error = first_error()) std::rethrow_exception(error);
        std::uint64_t total = 0;
        for (const worker& one : workers_) total += one.checksum;
        return total;
    }

private:
    struct alignas(128) worker {
        std::thread thread;
        std::uint64_t checksum = 0;
        std::exception_ptr error;
    };

    void work(worker& self, Allocator from) {
        std::unique_ptr<churner<Allocator>> blocks;
        const auto guarded = [&](auto action) {
            try {
                action();
            } catch (...) {
                self.error = std::current_exception();
            }
        };
        guarded([&] {
            const auto seed = static_cast<std::uint64_t>(&self - workers_) + 1;
            blocks = std::make_unique<churner<Allocator>>(from, n_live, seed);
            blocks->replace(n_replaced);
        });
        meeting_.arrive_and_wait();
        for (;;) {
            meeting_.arrive_and_wait();
            if (stopping_) return;
            guarded([&] { self.checksum = blocks ? blocks->replace(n_) : 0; });
            meeting_.arrive_and_wait();
        }
    }
    void stop() {
        stopping_ = true;
        meeting_.arrive_and_wait();
        for (worker& one : workers_) one.thread.join();
    }
    [[nodiscard]] std::exception_ptr first_error() const {
        for (const worker& one : workers_)
            if (one.error) return one.error;
        return nullptr;
    }

    Keeper keeper_;
    worker workers_[2];
    std::barrier<> meeting_{3};
    std::size_t n_ = 0;
    bool stopping_ = false;
};

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

/// Alone or in pairs.
template <template <class, class> class Churning>
workload churn(environment& in, const char* name, const char* question, std::size_t n_threads,
               std::size_t n_each) {
    const std::string path = in.directory + "/churn";
    workload made{.name = name,
                  .question = question,
                  .cache = fmt::format("{} to {} bytes, uniformly at random; {} blocks at a time "
                                       "and thread, touched at both ends",
                                       least_block_bytes, most_block_bytes, n_live),
                  .cache_key = "new",
                  .unit = "pair",
                  .state_is_verified = false,
                  .expected_seconds = in.quick ? 2.0 : 15.0};

    // A repetition begins with a heap of its own, made outside the time.
    const auto current = std::make_shared<std::unique_ptr<churning>>();
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
                                     return (*current)->replace(n_each);
                                 },
                             .iterations = iterations,
                             .operations = n_threads * n_each});
    };
    using byte_allocator = mmstl::shared_allocator<std::byte>;
    const auto begin_in = [](mmstl::segment in_segment) -> std::unique_ptr<churning> {
        const auto from = in_segment.allocator<std::byte>();
        return std::make_unique<Churning<mmstl::segment, byte_allocator>>(std::move(in_segment),
                                                                          from);
    };
    const auto begin_by = [](auto from) -> std::unique_ptr<churning> {
        return std::make_unique<Churning<nothing, decltype(from)>>(nothing{}, from);
    };
    // About as long for each, but for Boost.Interprocess.
    const auto often = static_cast<std::int64_t>((in.quick ? 2'000'000 : 10'000'000) / n_each);
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
    if (peers::has_boost_interprocess)
        add(by_boost, role::other, 1, [=]() -> std::unique_ptr<churning> {
            auto heap = peers::make_boost_heap(path, boost_file_bytes);
            const boost_blocks from{heap.get()};
            return std::make_unique<Churning<std::unique_ptr<peers::boost_heap>, boost_blocks>>(
                std::move(heap), from);
        });
    else
        made.skipped.push_back({by_boost, peers::no_boost_interprocess});
    return made;
}

} // namespace

void allocator_churn(registry& into, environment& in) {
    workload alone =
        churn<churning_alone>(in, "churn.one_thread",
                              "Allocate and free blocks of many sizes, one thread", 1, n_replaced);
    for (const char* const ours : {in_file, in_memory}) {
        alone.expectations.push_back({ours, by_mimalloc, by_mimalloc, 1 / 1.2});
        alone.expectations.push_back({ours, by_jemalloc, by_jemalloc, 0});
        alone.expectations.push_back({ours, by_malloc, "malloc", 0});
        alone.expectations.push_back({ours, by_boost, "Boost.Interprocess's allocator", 25});
    }
    into.push_back(std::move(alone));

    workload together = churn<churning_in_pairs>(
        in, "churn.two_threads", "Allocate and free blocks of many sizes, two threads at once", 2,
        in.quick ? n_replaced : n_replaced_together);
    // Of runs so short that the threads' meeting takes a part of them, nothing is expected.
    const double at_least = in.quick ? 0 : 0.9;
    for (const char* const ours : {in_file, in_memory}) {
        together.expectations.push_back({ours, by_mimalloc, "two threads of mimalloc", at_least});
        together.expectations.push_back({ours, by_boost, "two threads of Boost.Interprocess", 0});
    }
    into.push_back(std::move(together));
}

} // namespace bench
