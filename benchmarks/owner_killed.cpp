// SPDX-License-Identifier: MIT
//
// How long does it take until others go on when the owner of a lock is killed?

#include "peers/posix_mutex.hpp"
#include "support/posix.hpp"
#include "support/results.hpp"
#include "support/workers.hpp"
#include "workloads.hpp"

#include <chrono>
#include <cstring>
#include <fmt/format.h>
#include <memory>
#include <mmstl.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace bench {
namespace {

constexpr const char* ours = "robust_mutex";
constexpr const char* by_robust = "pthread mutex, robust, shared";
constexpr double at_most_seconds = 50e-3; // for an owner that has little

constexpr const char* has_little = "the owner has little memory";
constexpr const char* has_much = "the owner has 256 MiB in small pages";
constexpr std::size_t much = std::size_t{256} << 20;

using clock = std::chrono::steady_clock; // the same in all processes
using std::chrono::microseconds;

/// A waiter has slept for so long that it looks but every 10 ms whether the owner lives.
constexpr microseconds patience{25'000};
/// Then the owner is killed, in one kill after the other a bit later between two looks.
constexpr microseconds between_looks{10'000};

bool lock_and_mend(mmstl::robust_mutex& mutex) {
    for (bool mended = false;;) {
        try {
            mutex.lock();
            return mended;
        } catch (const mmstl::owner_died&) {
            mended = mutex.recover([] {}) || mended;
        }
    }
}
bool lock_and_mend(peers::posix_mutex<true>& mutex) { return mutex.lock_and_mend(); }

/// Memory that a process has until it dies.
void occupy(std::size_t n_bytes) {
    if (n_bytes == 0) return;
    void* const at =
        ::mmap(nullptr, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) fail("mmap", "");
    ::madvise(at, n_bytes, MADV_NOHUGEPAGE);
    std::memset(at, 1, n_bytes);
}

/// A mutex in a segment, whose owner is killed, one after the other.
class deaths {
public:
    deaths() = default;
    deaths(const deaths&) = delete;
    deaths& operator=(const deaths&) = delete;
    virtual ~deaths() = default;
    /// Of one that has so much memory. Returns after how many seconds another process has the
    /// mutex, and what it guards is mended. `watch` shows when this process has heard of it.
    virtual double kill_owner(meter& watch, std::size_t owner_bytes, microseconds later) = 0;
};

template <class Mutex> class deaths_with : public deaths {
public:
    deaths_with() { (void)waiter_.finish(); }
    ~deaths_with() override { std::destroy_at(&mutex_); }

    double kill_owner(meter& watch, std::size_t owner_bytes, microseconds later) override {
        owner_.reset(); // waits until the one before has gone altogether
        owner_.emplace(
            [=, this](std::size_t) {
                occupy(owner_bytes);
                mutex_.lock();
                return work();
            },
            0);
        (void)owner_->finish();
        waiter_.start(0);
        std::this_thread::sleep_for(patience + later);
        watch.restart();
        const auto begin = clock::now().time_since_epoch();
        owner_->kill();
        const auto end = clock::duration(static_cast<clock::rep>(waiter_.finish()));
        return std::chrono::duration<double>(end - begin).count();
    }

private:
    std::uint64_t wait() {
        if (!lock_and_mend(mutex_)) throw std::runtime_error("nobody had died");
        const auto now = clock::now().time_since_epoch();
        mutex_.unlock();
        return static_cast<std::uint64_t>(now.count());
    }

    mmstl::segment keeper_ = mmstl::segment::create(mmstl::anonymous());
    Mutex& mutex_ = *new (keeper_.allocator<Mutex>().allocate(1)) Mutex;
    process waiter_{[this](std::size_t) { return [this](std::uint64_t) { return wait(); }; }, 0};
    std::optional<process> owner_;
};

/// In seconds, one a kill, of all repetitions of an arm.
using samples = std::vector<double>;

std::string describe(const arm& of, const samples& seconds) {
    const double p99 = quantile(seconds, 0.99);
    std::string words =
        fmt::format("{}: {}: median {}, p99 {}, longest {}, of {} kills", of.group, of.name,
                    format_seconds(quantile(seconds, 0.5)), format_seconds(p99),
                    format_seconds(quantile(seconds, 1)), seconds.size());
    if (of.name == ours && of.group == has_little)
        words +=
            fmt::format("; less than {} is expected of p99: {}", format_seconds(at_most_seconds),
                        p99 < at_most_seconds ? "holds" : "DOES NOT HOLD");
    return words;
}

} // namespace

void owner_killed(registry& into, environment& in) {
    workload made{.name = "mutex.owner_killed",
                  .question = "From SIGKILL of a mutex's owner until the next one has it",
                  .cache = "which sleeps in lock(), is told, mends, and locks; in the table, until "
                           "the killer hears of it",
                  .cache_key = "new",
                  .state_is_verified = false,
                  .expected_seconds = in.quick ? 4.0 : 50.0};
    const auto current = std::make_shared<std::unique_ptr<deaths>>();
    const auto clear = [=] { current->reset(); };
    made.prepare = [=](const arm&) { clear(); };
    made.tear_down = clear;

    const auto collected = std::make_shared<std::vector<std::shared_ptr<samples>>>();
    const auto add_to = [&](const char* group, std::size_t owner_bytes, std::int64_t n_kills) {
        const auto add = [&](const char* name, role r, auto begin) {
            const auto of_this = collected->emplace_back(std::make_shared<samples>());
            const auto kill = [=](meter& watch) {
                if (!*current) *current = begin();
                const auto n = static_cast<std::int64_t>(of_this->size());
                const auto later = between_looks * (n % n_kills) / n_kills;
                of_this->push_back((*current)->kill_owner(watch, owner_bytes, later));
                return std::uint64_t{1};
            };
            made.arms.push_back({.name = name,
                                 .role = r,
                                 .run = kill,
                                 .iterations = n_kills,
                                 .group = group,
                                 .works_alone = false,
                                 .figures = [=]() -> std::vector<figure> {
                                     return {{"p50_seconds", quantile(*of_this, 0.5)},
                                             {"p99_seconds", quantile(*of_this, 0.99)},
                                             {"max_seconds", quantile(*of_this, 1)}};
                                 }});
        };
        add(ours, role::ours, [] { return std::make_unique<deaths_with<mmstl::robust_mutex>>(); });
        add(by_robust, role::baseline,
            [] { return std::make_unique<deaths_with<peers::posix_mutex<true>>>(); });
    };
    add_to(has_little, 0, in.quick ? 4 : 40);
    if (in.quick)
        made.skipped.push_back({has_much, "quick run"});
    else
        add_to(has_much, much, 5);
    for (const char* const other : {"pthread mutex, shared", "Boost.Interprocess"})
        made.skipped.push_back({other, "who waits for it waits for ever"});

    made.set_up = [=, quick = in.quick]() -> std::string {
        if (!quick && available_memory_bytes() < 4 * much) return "not enough memory is available";
        return {};
    };
    made.conclusions = [=](const results& of) {
        std::vector<std::string> lines;
        for (std::size_t i = 0; i < collected->size(); ++i)
            if (const result& row = of.rows()[i]; row.measured())
                lines.push_back(describe(*row.arm, *(*collected)[i]));
        if (of.find(ours, has_much) != nullptr)
            lines.push_back("the kernel takes the memory of the dead apart before it gives back "
                            "the locks by which a segment knows the living; what it does for a "
                            "robust pthread mutex comes first");
        return lines;
    };
    into.push_back(std::move(made));
}

} // namespace bench
