// SPDX-License-Identifier: MIT
//
// What do lock() and unlock() of a robust_mutex cost, alone and when two want it?

#include "peers/boost_interprocess.hpp"
#include "peers/posix_mutex.hpp"
#include "support/guarded_count.hpp"
#include "support/results.hpp"
#include "support/workers.hpp"
#include "workloads.hpp"

#include <fmt/format.h>
#include <functional>
#include <memory>
#include <mmstl.hpp>
#include <mutex>
#include <semaphore>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

namespace bench {
namespace {

constexpr const char* ours = "robust_mutex";
constexpr const char* by_standard = "std::mutex";
constexpr const char* by_robust = "pthread mutex, robust, shared";
constexpr const char* by_shared = "pthread mutex, shared";
constexpr const char* by_boost = "Boost.Interprocess";

/// A kind of mutex, and a number that one of them guards.
struct kind {
    std::string name;
    bool is_for_processes;
    std::function<std::unique_ptr<guarded_count>()> make;
};

template <class Mutex> kind describe(const char* name, bool is_for_processes = true) {
    return {name, is_for_processes, [] { return std::make_unique<count_guarded_by<Mutex>>(); }};
}

std::vector<kind> kinds() {
    std::vector<kind> all = {describe<mmstl::robust_mutex>(ours),
                             describe<std::mutex>(by_standard, false),
                             describe<peers::posix_mutex<true>>(by_robust),
                             describe<peers::posix_mutex<false>>(by_shared)};
    if (peers::has_boost_interprocess)
        all.push_back({by_boost, true, peers::make_boost_guarded_count});
    return all;
}

/// A thread that sleeps. The C library leaves the atomic operations of a `std::mutex` out as long
/// as a process has never had a second thread, and who has none needs no mutex.
class sleeping_thread {
public:
    sleeping_thread() = default;
    sleeping_thread(const sleeping_thread&) = delete;
    sleeping_thread& operator=(const sleeping_thread&) = delete;
    ~sleeping_thread() {
        end_.release();
        thread_.join();
    }

private:
    std::binary_semaphore end_{0};
    std::thread thread_{[this] { end_.acquire(); }};
};

workload uncontended(environment& in) {
    constexpr std::uint64_t n = 100'000;
    workload made{.name = "mutex.uncontended",
                  .question = "lock() and unlock() of a mutex that nobody else wants",
                  .cache = "nothing between the two; another thread of the process is asleep",
                  .cache_key = "new",
                  .unit = "pair",
                  .state_is_verified = false,
                  .expected_seconds = in.quick ? 0.5 : 3.0};
    const auto sleeping = std::make_shared<std::unique_ptr<sleeping_thread>>();
    made.set_up = [=] {
        *sleeping = std::make_unique<sleeping_thread>();
        return std::string();
    };
    const auto current = std::make_shared<std::unique_ptr<guarded_count>>();
    made.prepare = [=](const arm&) { current->reset(); };
    made.tear_down = [=] {
        current->reset();
        sleeping->reset();
    };
    for (const kind& one : kinds())
        made.arms.push_back({.name = one.name,
                             .role = one.name == ours          ? role::ours
                                     : one.name == by_standard ? role::baseline
                                                               : role::other,
                             .run =
                                 [=, make = one.make](meter& watch) {
                                     if (!*current) *current = make();
                                     (*current)->count(1); // a thread's first one takes longer
                                     watch.restart();
                                     (*current)->lock_and_unlock(n);
                                     return n;
                                 },
                             .iterations = in.quick ? 10 : 60,
                             .operations = n});
    made.expectations = {{ours, by_standard, by_standard, 1 / 1.2},
                         {ours, by_robust, "a robust pthread mutex", 0},
                         {ours, by_shared, "a pthread mutex that is not robust", 0},
                         {ours, by_boost, "Boost.Interprocess's, which is not robust", 0}};
    if (!peers::has_boost_interprocess)
        made.skipped.push_back({by_boost, peers::no_boost_interprocess});
    return made;
}

constexpr const char* threads = "two threads";
constexpr const char* processes = "two processes";

/// A number that two count up at once.
struct contest {
    std::unique_ptr<guarded_count> number;
    std::unique_ptr<workers> counting;
};

workload contended(environment& in) {
    const std::uint64_t n_each = in.quick ? 50'000 : 2'000'000;
    workload made{.name = "mutex.contended",
                  .question = "Two count up a number as fast as they can, under one mutex",
                  .cache = "nothing else is done, with the mutex or without",
                  .cache_key = "new",
                  .unit = "count",
                  .state_is_verified = false,
                  .expected_seconds = in.quick ? 1.5 : 10.0};
    const auto current = std::make_shared<contest>();
    const auto clear = [=] {
        current->counting.reset();
        current->number.reset();
    };
    made.prepare = [=](const arm&) { clear(); };
    made.tear_down = clear;

    const auto add = [&](const char* group, work_as who) {
        for (const kind& one : kinds()) {
            if (who == work_as::processes && !one.is_for_processes) continue;
            const auto run = [=, make = one.make](meter& watch) {
                if (!current->counting) {
                    current->number = make();
                    const auto begin = [number = current->number.get()](std::size_t) {
                        number->count(1);
                        return [=](std::uint64_t n) {
                            number->count(n);
                            return n;
                        };
                    };
                    current->counting = assemble(who, begin, 2);
                    watch.restart();
                }
                const std::uint64_t before = current->number->value();
                current->counting->run(n_each);
                return current->number->value() - before;
            };
            made.arms.push_back({.name = one.name,
                                 .role = one.name == ours        ? role::ours
                                         : one.name == by_robust ? role::baseline
                                                                 : role::other,
                                 .run = run,
                                 .iterations = 4,
                                 .group = group,
                                 .operations = 2 * n_each,
                                 .works_alone = false});
        }
    };
    add(threads, work_as::threads);
    add(processes, work_as::processes);

    made.conclusions = [](const results& of) {
        std::vector<std::string> lines;
        for (const char* const group : {threads, processes})
            for (const char* const other : {by_standard, by_robust, by_shared, by_boost}) {
                const result* const mine = of.find(ours, group);
                const result* const reference = of.find(other, group);
                if (mine != nullptr && reference != nullptr)
                    lines.push_back(
                        fmt::format("{}: {}", group, verdict(*mine, *reference, other)));
            }
        return lines;
    };
    if (!peers::has_boost_interprocess)
        made.skipped.push_back({by_boost, peers::no_boost_interprocess});
    return made;
}

} // namespace

void lock_and_unlock(registry& into, environment& in) {
    into.push_back(uncontended(in));
    into.push_back(contended(in));
}

} // namespace bench
