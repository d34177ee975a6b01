// SPDX-License-Identifier: MIT
//
// sync.hpp: robust_mutex, by threads and by processes that end in every way there is, at whatever
// instruction.

#include "support/catch.hpp"
#include "support/checks.hpp"
#include "support/fault.hpp"
#include "support/in_child.hpp"
#include "support/leaks.hpp"
#include "support/soak.hpp"
#include "support/step.hpp"
#include "support/temporary.hpp"

#include <mmstl/sync.hpp>

#include <mmstl/containers.hpp>
#include <mmstl/segment.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <random>
#include <ratio>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace support;
using namespace std::chrono_literals;
using mmstl::errc;
using mmstl::owner_died;
using mmstl::robust_mutex;
using mmstl::segment;
using mmstl::segment_options;
using std::chrono::steady_clock;

namespace heap = mmstl::detail::heap;

namespace {

constexpr std::uint64_t MiB = std::uint64_t{1} << 20;
constexpr segment_options little{.capacity_bytes = 64 * MiB};

/// How long what must happen may take, on a machine that has much else to do.
constexpr auto long_enough = 60s;

// ---- what is guarded, and who uses it ----

/// Two numbers that are equal, but to who has the mutex.
struct guarded {
    robust_mutex mutex;
    std::uint64_t first = 0;
    std::uint64_t second = 0;

    [[nodiscard]] bool is_whole() const { return first == second; }
    /// False if it was not whole before.
    bool change() {
        const bool was_whole = is_whole();
        first += 1;
        second += 1;
        return was_whole;
    }
    void tear() { first += 1; }
    void mend() { second = first; }
};

/// What processes share that play together in a test.
struct board {
    guarded one;
    guarded other;
    std::atomic<bool> is_held{false};
    std::atomic<bool> is_inside{false}; ///< an operation that is stepped through
    std::atomic<bool> go{false};
    std::atomic<long> n_done{0};
    std::array<std::atomic<int>, 8> answers{};
    std::array<std::atomic<int>, 8> ids{}; ///< of threads, as the kernel has them
};

/// As the file has it.
constexpr std::uint64_t contended = std::uint64_t{1} << 31;
constexpr std::uint64_t broken = std::uint64_t{1} << 30;
std::atomic<std::uint64_t>& word_of(robust_mutex& mutex) {
    return reinterpret_cast<std::atomic<std::uint64_t>&>(mutex);
}

heap::shared_heap& heap_of(const segment& in) {
    const auto* const base = static_cast<const std::byte*>(in.base_address());
    return heap::heaps_of_this_process().find(base)->shared;
}
/// How many threads have a place in the segment.
std::size_t places_taken(const segment& in) {
    std::size_t n = 0;
    for (std::size_t i = 0; i < heap::most_threads; ++i)
        n += heap_of(in).in().thread(i).process != 0 ? 1U : 0U;
    return n;
}

/// Waits until something is so that others do.
template <class Is> void await(Is is, int line = __builtin_LINE()) {
    const auto end = steady_clock::now() + long_enough;
    while (!is()) {
        expect(steady_clock::now() < end, "what was waited for", line);
        std::this_thread::sleep_for(50us); // there may be one processor for all
    }
}

enum class outcome : int { nothing, locked, not_locked, owner_died, deadlock, error };

std::ostream& operator<<(std::ostream& out, outcome which) {
    constexpr const char* names[] = {"nothing",    "locked",   "not locked",
                                     "owner died", "deadlock", "error"};
    return out << names[static_cast<int>(which)];
}

/// What an attempt to lock has come to: it returns nothing, or whether it has locked.
template <class Attempt> outcome outcome_of(Attempt attempt) {
    try {
        if constexpr (std::is_void_v<decltype(attempt())>) {
            attempt();
            return outcome::locked;
        } else {
            return attempt() ? outcome::locked : outcome::not_locked;
        }
    } catch (const owner_died&) {
        return outcome::owner_died;
    } catch (const mmstl::mapping_error& e) {
        return e.code() == std::errc::resource_deadlock_would_occur ? outcome::deadlock
                                                                    : outcome::error;
    }
}

/// The ways to ask for the first of two mutexes, or for both: what they get is given back.
constexpr std::size_t n_ways = 6;
outcome ask(std::size_t way, robust_mutex& one, robust_mutex& other) {
    return outcome_of([&] {
        switch (way) {
        case 0: {
            const std::lock_guard held(one);
            return true;
        }
        case 1: {
            const std::scoped_lock held(one, other);
            return true;
        }
        case 2: {
            const std::scoped_lock held(other, one);
            return true;
        }
        case 3: return std::unique_lock(one, std::chrono::hours::max()).owns_lock();
        case 4: return std::unique_lock(one, steady_clock::now() + 24h).owns_lock();
        default: return std::unique_lock(one, std::try_to_lock).owns_lock();
        }
    });
}
outcome ask(std::size_t way, board& on) { return ask(way, on.one.mutex, on.other.mutex); }

/// The same in another thread, that has done nothing before.
outcome ask_in_thread(board& on, std::size_t way = n_ways - 1) {
    outcome result{};
    std::thread([&] { result = ask(way, on); }).join();
    return result;
}

int thread_number() { return static_cast<int>(::syscall(SYS_gettid)); }

/// Whether a thread sleeps, of whatever process.
bool is_asleep(int thread) {
    std::ifstream stat("/proc/" + std::to_string(thread) + "/stat");
    std::string text;
    std::getline(stat, text);
    const auto name_ends = text.rfind(") ");
    return name_ends != text.npos && text[name_ends + 2] == 'S';
}

/// A segment with a board in it.
class scene {
public:
    scene()
        : in_(segment::create(mmstl::anonymous(), little)), on_(&in_.construct<board>("board")) {}

    segment& in() { return in_; }
    board& on() { return *on_; }
    robust_mutex& mutex() { return on_->one.mutex; }

    /// A process that has the first mutex, and has torn what it guards; it does `then` when `go` is
    /// set, and sleeps.
    template <class Then> child hold(Then then) {
        child holder([this, then] {
            mutex().lock();
            on().one.tear();
            on().is_held = true;
            await([&] { return on().go.load(); });
            then();
            for (;;) ::pause();
        });
        await([&] { return on().is_held.load(); });
        on().is_held = false;
        return holder;
    }
    /// And is killed with it.
    void let_one_die() {
        const auto result = in_child([&] {
            mutex().lock();
            on().one.tear();
            ::raise(SIGKILL);
        });
        INFO(result);
        REQUIRE(result.signal == SIGKILL);
    }

private:
    segment in_;
    board* on_;
};

/// The mutex is as if nothing had been: everybody can have it.
void check_good(board& on) {
    CHECK_FALSE(on.one.mutex.is_broken());
    CHECK(word_of(on.one.mutex) == 0);
    for (std::size_t way = 0; way < n_ways; ++way) {
        CHECK(ask(way, on) == outcome::locked);
        CHECK(ask_in_thread(on, way) == outcome::locked);
    }
    CHECK(in_child([&] {
              for (std::size_t way = 0; way < n_ways; ++way)
                  expect(ask(way, on) == outcome::locked);
          }).ok());
    CHECK_FALSE(on.one.mutex.recover([] { FAIL_CHECK("there is nothing to recover"); }));
    CHECK(word_of(on.one.mutex) == 0);
}

/// Nobody gets it, however he asks.
void check_broken(board& on) {
    for (std::size_t way = 0; way < n_ways; ++way) {
        INFO("asked in way " << way);
        CHECK(ask(way, on) == outcome::owner_died);
        CHECK(ask_in_thread(on, way) == outcome::owner_died);
        CHECK(on.one.mutex.is_broken());
        CHECK(word_of(on.other.mutex) == 0); // it holds nothing
    }
    CHECK(in_child([&] {
              for (std::size_t way = 0; way < n_ways; ++way)
                  expect(ask(way, on) == outcome::owner_died);
          }).ok());
}

void check_broken_and_recover(board& on) {
    check_broken(on);
    CHECK(on.one.mutex.recover([&] { on.one.mend(); }));
    check_good(on);
}

} // namespace

template <> inline constexpr std::string_view mmstl::persistent_name<board> = "test/board";

// ---- what it is ----

TEST_CASE("a robust_mutex is eight bytes that may lie in a segment") {
    STATIC_REQUIRE(sizeof(robust_mutex) == 8);
    STATIC_REQUIRE(alignof(robust_mutex) == 8);
    STATIC_REQUIRE(std::is_standard_layout_v<robust_mutex>);
    STATIC_REQUIRE(std::is_nothrow_default_constructible_v<robust_mutex>);
    STATIC_REQUIRE(std::is_trivially_destructible_v<robust_mutex>);
    STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<robust_mutex>);
    STATIC_REQUIRE_FALSE(std::is_move_constructible_v<robust_mutex>);
    STATIC_REQUIRE_FALSE(std::is_copy_assignable_v<robust_mutex>);
    STATIC_REQUIRE_FALSE(std::is_move_assignable_v<robust_mutex>);
    STATIC_REQUIRE(mmstl::segment_storable<robust_mutex>);
    STATIC_REQUIRE(mmstl::segment_storable<guarded>);
    STATIC_REQUIRE(std::is_base_of_v<mmstl::mapping_error, owner_died>);
    STATIC_REQUIRE(std::is_nothrow_copy_constructible_v<owner_died>);
    STATIC_REQUIRE(noexcept(std::declval<robust_mutex&>().unlock()));
    STATIC_REQUIRE(noexcept(std::declval<const robust_mutex&>().is_broken()));
    static constinit robust_mutex made_at_compile_time; // and not at the start of the program
    CHECK(word_of(made_at_compile_time) == 0);
    // Files know it by these.
    CHECK(mmstl::detail::type_name<robust_mutex>() == "N5mmstl12robust_mutexE");
}

TEST_CASE("a thread's lock is in the file as its format says") {
    scene of;
    CHECK(word_of(of.mutex()) == 0);
    of.mutex().lock();
    const auto word = word_of(of.mutex()).load();
    of.mutex().unlock();
    CHECK(word_of(of.mutex()) == 0);
    const auto& in = heap_of(of.in()).in();
    const auto place = (word & 0xfff) - 1;
    REQUIRE(place < heap::most_threads);
    CHECK((word >> 12 & 0xfffff) == 0);
    CHECK(word >> 32 == in.thread(place).generation.get());
    CHECK(in.thread(place).process != 0);
}

// ---- one at a time ----

namespace {

/// Asks so many times, in all ways, and changes what it then may. Returns how often it had it, or
/// -1 if somebody else changed it at the same time.
long change_often(board& on, unsigned seed, long n) {
    std::mt19937 random(seed);
    const auto change = [&](guarded& one) {
        const bool was_whole = one.is_whole();
        one.tear();
        if (random() % 32 == 0) std::this_thread::yield(); // so that others meet it
        one.mend();
        return was_whole;
    };
    long n_had = 0;
    for (long i = 0; i < n; ++i) {
        std::unique_lock first(on.one.mutex, std::defer_lock);
        std::unique_lock second(on.other.mutex, std::defer_lock);
        switch (random() % 8) {
        case 0: (void)first.try_lock(); break;
        case 1: (void)first.try_lock_for(1us * (random() % 200)); break;
        case 2: (void)first.try_lock_until(std::chrono::system_clock::now() + 100us); break;
        case 3: std::lock(first, second); break;
        case 4: std::lock(second, first); break;
        default: first.lock();
        }
        if (first && !change(on.one)) return -1;
        if (second && !change(on.other)) return -1;
        n_had += first ? 1 : 0;
    }
    return n_had;
}

} // namespace

TEST_CASE("of threads, one has it at a time, however they ask") {
    scene of;
    std::atomic<long> n_had{0}, n_wrong{0};
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 4; ++t)
        threads.emplace_back([&, t] {
            const long n = change_often(of.on(), t, soaked(20'000));
            n_had += std::max(0L, n);
            n_wrong += n < 0 ? 1 : 0;
        });
    for (auto& one : threads) one.join();
    CHECK(n_wrong == 0);
    CHECK(of.on().one.first == static_cast<std::uint64_t>(n_had));
    CHECK(of.on().one.is_whole());
    check_good(of.on());
}

TEST_CASE("of processes, one has it at a time, however they ask") {
    scene of;
    std::vector<child> processes;
    for (unsigned p = 0; p < 4; ++p)
        processes.emplace_back([&, p] {
            const long n = change_often(of.on(), p, soaked(20'000));
            expect(n > 0, "alone");
            of.on().n_done += n;
        });
    for (auto& one : processes) {
        const auto result = one.wait(10min);
        INFO(result);
        CHECK(result.ok());
    }
    CHECK(of.on().one.first == static_cast<std::uint64_t>(of.on().n_done));
    CHECK(of.on().one.is_whole());
    check_good(of.on());
}

TEST_CASE("a lock that nobody contends for makes no system call") {
    scene of;
    scene another;
    const auto use = [](scene& one) {
        auto& mutex = one.mutex();
        mutex.lock();
        mutex.unlock();
        bool had = mutex.try_lock();
        mutex.unlock();
        had = mutex.try_lock_for(1h) && had;
        mutex.unlock();
        const std::scoped_lock both(mutex, one.on().other.mutex);
        return had;
    };
    CHECK(use(of)); // the first makes a place for the thread
    CHECK(use(another));
    const fault::watch seen;
    for (int i = 0; i < 100; ++i) CHECK((use(of) && use(another)));
    CHECK(seen.records().empty());
    // Nor does the kernel see one.
    const auto steps = single_step([&] {
        if (!use(of)) std::abort();
    });
    if (!steps.allowed) skip_loudly("ptrace is not allowed here");
}

TEST_CASE("two segments' mutexes are used in turn, and together") {
    scene of;
    scene another;
    std::atomic<long> n_wrong{0};
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 3; ++t)
        threads.emplace_back([&, t] {
            for (long i = soaked(3000); i > 0; --i) {
                auto& one = (t + static_cast<unsigned long>(i)) % 2 == 0 ? of.on() : another.on();
                {
                    const std::scoped_lock held(one.one.mutex);
                    n_wrong += one.one.change() ? 0 : 1;
                }
                auto& first = t % 2 == 0 ? of.on() : another.on();
                auto& second = t % 2 == 0 ? another.on() : of.on();
                const std::scoped_lock both(first.other.mutex, second.other.mutex);
                n_wrong += first.other.change() && second.other.change() ? 0 : 1;
                // Given back in whatever order.
                std::unique_lock inner(first.one.mutex);
                std::unique_lock outer(second.one.mutex, std::try_to_lock);
                inner.unlock();
            }
        });
    for (auto& one : threads) one.join();
    CHECK(n_wrong == 0);
    CHECK(of.on().other.first == static_cast<std::uint64_t>(3 * soaked(3000)));
    check_good(of.on());
    check_good(another.on());
}

TEST_CASE("a segment is closed while threads that have used it lock in another one") {
    scene of;
    for (int i = 0; i < 20; ++i) {
        auto closing = std::make_unique<scene>();
        std::atomic<int> n_ready{0};
        std::atomic<bool> is_closed{false};
        std::vector<std::thread> threads;
        for (int t = 0; t < 2; ++t)
            threads.emplace_back([&] {
                const auto use = [&] {
                    const std::scoped_lock held(of.mutex());
                    return of.on().one.change();
                };
                (void)use();
                (void)ask(0, closing->on());
                ++n_ready;
                while (!is_closed && use()) {
                }
            });
        await([&] { return n_ready == 2; });
        closing.reset();
        is_closed = true;
        for (auto& one : threads) one.join();
        CHECK(of.on().one.is_whole());
    }
    check_good(of.on());
}

// ---- waiting ----

TEST_CASE("who waits gets it when it is given back") {
    scene of;
    auto& on = of.on();
    of.mutex().lock();
    std::vector<child> processes;
    for (std::size_t i = 0; i < 3; ++i)
        processes.emplace_back([&, i] {
            (void)ask(0, on.other.mutex, on.other.mutex);
            on.ids[i] = thread_number();
            if (i == 0)
                on.one.mutex.lock();
            else if (i == 1)
                expect(on.one.mutex.try_lock_for(1h));
            else
                expect(on.one.mutex.try_lock_until(std::chrono::system_clock::now() + 1h));
            expect(on.one.change(), "alone");
            on.one.mutex.unlock();
        });
    await([&] {
        return std::all_of(on.ids.begin(), on.ids.begin() + 3,
                           [](const auto& id) { return id != 0 && is_asleep(id); });
    });
    CHECK(on.one.change());
    {
        const fault::watch seen;
        of.mutex().unlock();
        CHECK(seen.count(fault::call::syscall) == 1); // wakes one
        CHECK(seen.records().size() == 1);
    }
    for (auto& one : processes) {
        const auto result = one.wait();
        INFO(result);
        CHECK(result.ok());
    }
    CHECK(on.one.first == 4);
    check_good(on);
}

namespace {

/// Whether `attempt()` was in vain, and lasted `least` or longer.
template <class Attempt> bool lasts(std::chrono::nanoseconds least, Attempt attempt) {
    const auto begin = steady_clock::now();
    return !attempt() && steady_clock::now() - begin >= least;
}

} // namespace

TEST_CASE("waiting ends when it is to end") {
    using std::chrono::duration;
    using std::chrono::system_clock;
    using std::chrono::time_point;
    scene of;
    auto& mutex = of.mutex();
    auto holder = of.hold([] {});
    const auto try_for = [&](auto most) {
        return [&mutex, most] { return mutex.try_lock_for(most); };
    };
    const auto try_until = [&](auto end) {
        return [&mutex, end] { return mutex.try_lock_until(end); };
    };
    CHECK(lasts(0ns, [&] { return mutex.try_lock(); }));
    CHECK(lasts(0ns, try_for(0s)));
    CHECK(lasts(0ns, try_for(-1ns)));
    CHECK(lasts(0ns, try_for(std::chrono::hours::min())));
    CHECK(lasts(0ns, try_for(std::chrono::nanoseconds::min())));
    CHECK(lasts(0ns, try_for(duration<double>(-1e300))));
    CHECK(lasts(0ns, try_for(-duration<double>(std::numeric_limits<double>::infinity()))));
    CHECK(lasts(0ns, try_for(duration<double>(std::numeric_limits<double>::quiet_NaN()))));
    CHECK(lasts(1ns, try_for(1ns)));
    CHECK(lasts(1us, try_for(1us)));
    CHECK(lasts(0ns, try_for(duration<double, std::pico>(0.25))));
    CHECK(lasts(2ms, try_for(2ms)));
    CHECK(lasts(2500us, try_for(duration<double, std::milli>(2.5))));
    CHECK(lasts(30ms, try_for(duration<float>(0.031f))));
    CHECK(lasts(30ms, try_for(duration<unsigned char, std::milli>(30))));

    CHECK(lasts(0ns, try_until(steady_clock::now())));
    CHECK(lasts(0ns, try_until(steady_clock::now() - 1h)));
    CHECK(lasts(0ns, try_until(steady_clock::time_point::min())));
    CHECK(lasts(0ns, try_until(system_clock::time_point::min())));
    CHECK(lasts(0ns, try_until(time_point<system_clock, std::chrono::hours>::min())));
    CHECK(lasts(0ns, try_until(time_point<steady_clock, duration<double>>::min())));
    CHECK(lasts(0ns, try_until(system_clock::now() - 1h)));
    CHECK(lasts(0ns, try_until(time_point<steady_clock, duration<double>>(
                         duration<double>(std::numeric_limits<double>::quiet_NaN())))));
    for (int i = 0; i < 3; ++i) {
        const auto end = steady_clock::now() + 3ms;
        CHECK_FALSE(mutex.try_lock_until(end));
        CHECK(steady_clock::now() >= end);
        const auto end_of_day = system_clock::now() + 3ms;
        CHECK_FALSE(mutex.try_lock_until(end_of_day));
        CHECK(system_clock::now() >= end_of_day);
    }
    // It has never had it, and whose it is has not changed.
    CHECK(ask_in_thread(of.on()) == outcome::not_locked);
    holder.kill();
    (void)holder.wait();
    CHECK(ask(5, of.on()) == outcome::owner_died);
}

TEST_CASE("waiting for ever lasts until it can be had") {
    using std::chrono::duration;
    using std::chrono::system_clock;
    using std::chrono::time_point;
    scene of;
    auto& mutex = of.mutex();
    std::atomic<bool> is_held{false};
    // Each of them waits for a thread that gives it back when it sees that someone waits.
    const auto gets_it = [&](auto attempt) {
        is_held = false;
        std::thread holder([&] {
            mutex.lock();
            is_held = true;
            await([&] { return (word_of(mutex) & contended) != 0; });
            mutex.unlock();
        });
        await([&] { return is_held.load(); });
        const bool has = attempt();
        holder.join();
        if (has) mutex.unlock();
        return has;
    };
    CHECK(gets_it([&] {
        mutex.lock();
        return (word_of(mutex) & contended) != 0; // it cannot know that it was the only one
    }));
    CHECK(gets_it([&] { return mutex.try_lock_for(std::chrono::hours::max()); }));
    CHECK(gets_it([&] { return mutex.try_lock_for(std::chrono::nanoseconds::max()); }));
    CHECK(gets_it([&] { return mutex.try_lock_for(std::chrono::seconds::max()); }));
    CHECK(gets_it([&] { return mutex.try_lock_for(duration<double>(1e300)); }));
    CHECK(gets_it([&] {
        return mutex.try_lock_for(duration<float>(std::numeric_limits<float>::infinity()));
    }));
    CHECK(gets_it([&] { return mutex.try_lock_for(duration<std::uint64_t>::max()); }));
    CHECK(gets_it([&] { return mutex.try_lock_until(steady_clock::time_point::max()); }));
    CHECK(gets_it([&] { return mutex.try_lock_until(system_clock::time_point::max()); }));
    CHECK(gets_it(
        [&] { return mutex.try_lock_until(time_point<system_clock, std::chrono::hours>::max()); }));
    CHECK(gets_it(
        [&] { return mutex.try_lock_until(time_point<steady_clock, duration<double>>::max()); }));
    CHECK(gets_it([&] { return mutex.try_lock_until(system_clock::now() + 24h); }));
    check_good(of.on());
}

TEST_CASE("its owner does not wait for itself") {
    scene of;
    auto& mutex = of.mutex();
    mutex.lock();
    const auto again = says(EDEADLK, "robust_mutex", of.in().name());
    CHECK(error_of([&] { mutex.lock(); }) == again);
    CHECK(error_of([&] { (void)mutex.try_lock_for(1h); }) == again);
    CHECK(error_of([&] { (void)mutex.try_lock_until(steady_clock::now() + 1h); }) == again);
    CHECK(ask(0, of.on()) == outcome::deadlock);
    CHECK(ask(5, of.on()) == outcome::not_locked); // try_lock
    CHECK_FALSE(mutex.try_lock_for(0s));
    CHECK_FALSE(mutex.recover([] { FAIL_CHECK("it is good"); }));
    CHECK_FALSE(mutex.is_broken());
    CHECK(ask_in_thread(of.on()) == outcome::not_locked); // it has it still
    mutex.unlock();
    check_good(of.on());
}

// ---- owners that die ----

namespace {

struct end_of_owner {
    const char* name;
    void (*come)(scene&); ///< in the process that has it; may return
};

constexpr end_of_owner ends[] = {
    {"it is killed", [](scene&) { ::raise(SIGKILL); }},
    {"it crashes", [](scene&) { ::raise(SIGSEGV); }},
    {"it exits", [](scene&) { ::_exit(0); }},
    {"it is another program from now on",
     [](scene&) { ::execl("/bin/sleep", "sleep", "1000", static_cast<char*>(nullptr)); }},
    {"it is another program, which ends",
     [](scene&) { ::execl("/bin/true", "true", static_cast<char*>(nullptr)); }},
    {"it lets go of the segment", [](scene& of) { of.in() = segment(); }},
};

} // namespace

TEST_CASE("when its owner dies, everyone is told, those that sleep too, until it is recovered") {
    for (const auto& end : ends) {
        INFO(end.name);
        scene of;
        auto& on = of.on();
        auto holder = of.hold([&] { end.come(of); });
        const auto wait_and_tell = [&](std::size_t i) {
            (void)ask(0, on.other.mutex, on.other.mutex); // makes its place in the segment
            on.ids[i] = thread_number();
            on.answers[i] = static_cast<int>(ask(i % (n_ways - 1), on));
        };
        std::vector<child> processes;
        for (std::size_t i = 0; i < 5; ++i) processes.emplace_back([&, i] { wait_and_tell(i); });
        std::vector<std::thread> threads;
        for (std::size_t i = 5; i < on.ids.size(); ++i)
            threads.emplace_back([&, i] { wait_and_tell(i); });
        await([&] {
            return std::all_of(on.ids.begin(), on.ids.end(),
                               [](const auto& id) { return id != 0 && is_asleep(id); });
        });
        CHECK(ask(n_ways - 1, on) == outcome::not_locked);
        CHECK_FALSE(of.mutex().recover([] { FAIL_CHECK("its owner lives"); }));
        CHECK_FALSE(of.mutex().is_broken());
        on.go = true;
        for (auto& one : processes) {
            const auto result = one.wait();
            INFO(result);
            CHECK(result.ok());
        }
        for (auto& one : threads) one.join();
        for (const auto& answer : on.answers)
            CHECK(static_cast<outcome>(answer.load()) == outcome::owner_died);
        check_broken_and_recover(on);
        holder.kill();
        (void)holder.wait();
        check_good(on);
    }
}

TEST_CASE("a thread that ends with it is dead, though its process lives") {
    scene of;
    const auto hold_and_end = [&] {
        std::thread([&] {
            of.mutex().lock();
            of.on().one.tear();
        }).join();
    };
    {
        INFO("in this process");
        hold_and_end();
        check_broken_and_recover(of.on());
    }
    {
        INFO("in another process");
        child other([&] {
            (void)ask(0, of.on());
            hold_and_end();
            of.on().is_held = true;
            for (;;) ::pause();
        });
        await([&] { return of.on().is_held.load(); });
        check_broken_and_recover(of.on());
    }
    // Whoever gets its place in the segment afterwards is not it.
    hold_and_end();
    const auto dead = word_of(of.mutex()).load();
    std::thread([&] {
        of.on().other.mutex.lock();
        const auto mine = word_of(of.on().other.mutex).load();
        CHECK((mine & 0xfff) == (dead & 0xfff));
        CHECK(mine != dead);
        CHECK(ask(0, of.mutex(), of.mutex()) == outcome::owner_died);
        of.on().other.mutex.unlock();
    }).join();
}

TEST_CASE("a handle that is closed lets go of what its process has locked") {
    const temporary_directory directory;
    const auto path = directory / "x";
    {
        auto in = segment::create(path, little);
        in.construct<board>("board").one.mutex.lock();
        {
            auto second = segment::open(path); // one of two: it is open still
            CHECK(second.find<board>("board")->one.mutex.try_lock_for(0s) == false);
            second.close();
        }
        CHECK(ask_in_thread(*in.find<board>("board")) == outcome::not_locked);
        in.close();
    }
    const auto in = segment::open(path);
    check_broken_and_recover(*in.find<board>("board"));
}

TEST_CASE("owner_died says of which segment, and what") {
    const temporary_directory directory;
    const auto path = directory / "jobs.mms";
    auto in = segment::create(path, little);
    auto& mutex = in.construct<robust_mutex>("mutex");
    std::thread([&] { mutex.lock(); }).join();
    for (int i = 0; i < 2; ++i) try {
            mutex.lock();
            FAIL_CHECK("it is not broken");
        } catch (const owner_died& e) {
            CHECK(e.code() == std::errc::owner_dead);
            CHECK(e.code() == std::error_code(EOWNERDEAD, std::system_category()));
            CHECK(e.path() == path);
            CHECK(e.call() == std::string("robust_mutex"));
            CHECK_THAT(e.what(), contains_text("robust_mutex '" + path + "': "));
            CHECK_THAT(e.what(), contains_text(std::error_code(e.code()).message()));
        }
    CHECK(error_of([&] { (void)mutex.try_lock(); }) == says(EOWNERDEAD, "robust_mutex", path));
    const auto unnamed = segment::create(mmstl::anonymous(), little);
    CHECK(unnamed.name() == "anonymous");
}

TEST_CASE("a stopped owner lives, and is waited for until it goes on") {
    scene of;
    auto& on = of.on();
    auto holder = of.hold([&] {
        expect(!on.one.is_whole(), "nobody else was in it");
        on.one.mend();
        on.one.mutex.unlock();
    });
    holder.kill(SIGSTOP);
    int status = 0;
    REQUIRE(::waitpid(holder.pid(), &status, WUNTRACED) == holder.pid());
    REQUIRE(WIFSTOPPED(status));
    CHECK_FALSE(on.one.mutex.try_lock());
    CHECK_FALSE(on.one.mutex.try_lock_for(60ms)); // more than a waiter's patience
    CHECK_FALSE(on.one.mutex.recover([] { FAIL_CHECK("its owner lives"); }));
    std::array<outcome, 4> answers{};
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < answers.size(); ++i)
        threads.emplace_back([&, i] {
            on.ids[i] = thread_number();
            answers[i] = ask(i, on);
        });
    await([&] {
        return std::all_of(on.ids.begin(), on.ids.begin() + answers.size(),
                           [](const auto& id) { return id != 0 && is_asleep(id); });
    });
    on.go = true;
    CHECK_FALSE(on.one.mutex.try_lock_for(5ms)); // it cannot see it
    holder.kill(SIGCONT);
    for (auto& one : threads) one.join();
    for (const auto answer : answers) CHECK(answer == outcome::locked);
    CHECK(on.one.is_whole());
    check_good(on);
    holder.kill();
    (void)holder.wait();
    check_good(on); // it had it no more
}

TEST_CASE("who is killed while it waits has nothing") {
    scene of;
    auto& on = of.on();
    of.mutex().lock();
    for (int i = 0; i < 3; ++i) {
        on.ids[0] = 0;
        child waits([&] {
            (void)ask(0, on.other.mutex, on.other.mutex);
            on.ids[0] = thread_number();
            (void)ask(0, on);
        });
        await([&] { return on.ids[0] != 0 && is_asleep(on.ids[0]); });
        waits.kill();
        CHECK(waits.wait().signal == SIGKILL);
    }
    CHECK((word_of(of.mutex()) & contended) != 0);
    of.mutex().unlock();
    check_good(on);
}

TEST_CASE("of two that scoped_lock asks for, one that is broken leaves the other free") {
    scene of;
    auto& on = of.on();
    std::thread([&] { on.other.mutex.lock(); }).join();
    for (const std::size_t way : {1U, 2U}) {
        CHECK(ask(way, on) == outcome::owner_died);
        CHECK(word_of(on.one.mutex) == 0);
    }
    CHECK(on.other.mutex.recover([] {}));
    check_good(on);
}

// ---- recovering ----

TEST_CASE("there is nothing to recover of a mutex that is good") {
    scene of;
    const auto must_not = [] { FAIL_CHECK("there is nothing to recover"); };
    CHECK_FALSE(of.mutex().recover(must_not));
    of.mutex().lock();
    CHECK_FALSE(of.mutex().recover(must_not)); // one's own
    std::thread([&] { CHECK_FALSE(of.mutex().recover(must_not)); }).join();
    CHECK(in_child([&] { expect(!of.mutex().recover([] { expect(false); })); }).ok());
    of.mutex().unlock();
    check_good(of.on());
}

TEST_CASE("of all that want to recover it one does, and the others wait until it is done") {
    for (const bool is_noticed : {false, true}) {
        INFO((is_noticed ? "after" : "before") << " someone has asked for it");
        scene of;
        auto& on = of.on();
        of.let_one_die();
        if (is_noticed) CHECK(ask(0, on) == outcome::owner_died);
        const auto race = [&] {
            on.n_done += 1;
            await([&] { return on.n_done == 8; });
            bool is_mine = false;
            const auto lock = [&] {
                is_mine = on.one.mutex.recover([&] {
                    expect(!on.one.is_whole(), "the first");
                    std::this_thread::sleep_for(20ms); // so that they meet it
                    on.one.mend();
                }) || is_mine;
                return std::unique_lock(on.one.mutex);
            };
            const auto lock_if_known = [&] {
                try {
                    return lock();
                } catch (const owner_died&) { // that he is just being buried looks like life
                    expect(!is_noticed, "known");
                    return lock();
                }
            };
            const auto held = lock_if_known();
            on.answers[is_mine ? 0 : 1] += 1;
            expect(on.one.change(), "done");
        };
        std::vector<child> processes;
        for (int p = 0; p < 4; ++p) processes.emplace_back(race);
        std::vector<std::thread> threads;
        std::array<std::string, 4> failures;
        for (auto& failure : failures)
            threads.emplace_back([&] {
                try {
                    race();
                } catch (const std::exception& e) {
                    failure = e.what();
                }
            });
        for (auto& one : processes) {
            const auto result = one.wait();
            INFO(result);
            CHECK(result.ok());
        }
        for (auto& one : threads) one.join();
        for (const auto& failure : failures) CHECK(failure == "");
        CHECK(on.answers[0] == 1);
        CHECK(on.answers[1] == 7);
        check_good(on);
    }
}

TEST_CASE("while it is recovered, it is locked, and broken still") {
    scene of;
    auto& on = of.on();
    of.let_one_die();
    std::array<outcome, 2> answers{};
    std::vector<std::thread> threads;
    const fault::watch seen;
    const bool was_broken = of.mutex().recover([&] {
        CHECK(of.mutex().is_broken());
        CHECK(ask_in_thread(on) == outcome::not_locked); // try_lock
        std::thread([&] { CHECK_FALSE(of.mutex().try_lock_for(3ms)); }).join();
        // And not by the one that recovers it.
        CHECK(ask(0, on) == outcome::deadlock);
        CHECK(error_of([&] { (void)of.mutex().try_lock_for(1h); }) ==
              says(EDEADLK, "robust_mutex", of.in().name()));
        CHECK_FALSE(of.mutex().try_lock());
        CHECK(error_of([&] { of.mutex().recover([] { FAIL_CHECK("it is at it"); }); }) ==
              says(EDEADLK, "robust_mutex", of.in().name()));
        CHECK(ask(0, on.other.mutex, on.other.mutex) == outcome::locked);
        for (std::size_t i = 0; i < answers.size(); ++i)
            threads.emplace_back([&, i] {
                on.ids[i] = thread_number();
                answers[i] = ask(i, on);
            });
        await([&] {
            return std::all_of(on.ids.begin(), on.ids.begin() + answers.size(),
                               [](const auto& id) { return id != 0 && is_asleep(id); });
        });
        on.one.mend();
    });
    CHECK(was_broken);
    REQUIRE_FALSE(seen.records().empty());
    CHECK(seen.records().back().which == fault::call::syscall); // wakes them
    CHECK(seen.records().back().arguments[0] == SYS_futex);
    for (auto& one : threads) one.join();
    for (const auto answer : answers) CHECK(answer == outcome::locked);
    check_good(on);
}

TEST_CASE("what unlocks it while it is recovered does not make it good") {
    scene of;
    of.let_one_die();
    CHECK_THROWS_AS(of.mutex().recover([&] {
        of.mutex().unlock();
        CHECK(of.mutex().is_broken());
        CHECK(ask_in_thread(of.on()) == outcome::not_locked);
        throw std::runtime_error("cannot be mended");
    }),
                    std::runtime_error);
    check_broken_and_recover(of.on());
}

TEST_CASE("a recovery that throws leaves it broken, and others try in turn") {
    scene of;
    auto& on = of.on();
    of.let_one_die();
    for (int i = 0; i < 3; ++i) {
        CHECK_THROWS_WITH(on.one.mutex.recover([] { throw std::runtime_error("in vain"); }),
                          "in vain");
        check_broken(on);
    }
    // With one that waits for it.
    std::thread waits;
    bool has_recovered = false;
    CHECK_THROWS_AS(on.one.mutex.recover([&] {
        waits = std::thread([&] {
            on.ids[0] = thread_number();
            has_recovered = on.one.mutex.recover([&] { on.one.mend(); });
        });
        await([&] { return on.ids[0] != 0 && is_asleep(on.ids[0]); });
        throw 1; // NOLINT: anything
    }),
                    int);
    waits.join();
    CHECK(has_recovered);
    CHECK(on.one.is_whole());
    check_good(on);
}

TEST_CASE("who dies while it recovers leaves it broken, and another goes on") {
    for (const auto& end : ends) {
        INFO(end.name);
        scene of;
        auto& on = of.on();
        of.let_one_die();
        child mender([&] {
            (void)on.one.mutex.recover([&] {
                on.is_held = true;
                await([&] { return on.go.load(); });
                end.come(of);
                for (;;) ::pause();
            });
        });
        await([&] { return on.is_held.load(); });
        std::array<child, 2> waiting{child([&] {
                                         on.ids[0] = thread_number();
                                         const bool mine =
                                             on.one.mutex.recover([&] { on.one.mend(); });
                                         on.answers[0] = mine ? 1 : 2;
                                     }),
                                     child([&] {
                                         on.ids[1] = thread_number();
                                         on.answers[1] = static_cast<int>(ask(0, on));
                                     })};
        await([&] {
            return on.ids[0] != 0 && is_asleep(on.ids[0]) && on.ids[1] != 0 && is_asleep(on.ids[1]);
        });
        on.go = true;
        for (auto& one : waiting) {
            const auto result = one.wait();
            INFO(result);
            CHECK(result.ok());
        }
        CHECK(on.answers[0] == 1);
        // It found it broken, or recovered.
        const auto answer = static_cast<outcome>(on.answers[1].load());
        CHECK((answer == outcome::owner_died || answer == outcome::locked));
        CHECK(on.one.is_whole());
        check_good(on);
    }
}

TEST_CASE("a recovery may abandon what the mutex is in") {
    scene of;
    of.let_one_die();
    auto& mutex = of.mutex();
    CHECK(mutex.recover([&] {
        CHECK(of.in().abandon("board"));
        of.in().construct<board>("board");
    }));
    CHECK(word_of(mutex) == 0); // its memory is nobody else's
    auto& anew = *of.in().find<board>("board");
    CHECK(&anew.one.mutex != &mutex);
    check_good(anew);
    CHECK(of.in().check().clean());
}

// ---- where it may be ----

// Not in an unnamed namespace: files know it by its name.
namespace named {

struct job {
    int number = 0;
    robust_mutex mutex{};
};

} // namespace named

TEST_CASE("it works wherever in a segment it is") {
    auto in = segment::create(mmstl::anonymous(), little);
    const auto works = [&](robust_mutex& mutex) {
        CHECK(in.contains(&mutex));
        CHECK(outcome_of([&] { const std::scoped_lock held(mutex); }) == outcome::locked);
        const auto result = in_child([&] {
            mutex.lock();
            ::raise(SIGKILL);
        });
        CHECK(result.signal == SIGKILL);
        CHECK(outcome_of([&] { mutex.lock(); }) == outcome::owner_died);
        CHECK(mutex.recover([] {}));
        CHECK(outcome_of([&] { const std::scoped_lock held(mutex); }) == outcome::locked);
    };
    using named::job;
    works(in.construct<robust_mutex>("named"));
    works(in.find_or_construct<job>("a member").mutex);
    works(in.construct<robust_mutex[]>("some", 1000)[777]);
    works(in.construct<mmstl::vector<job>>("vector", std::size_t{100})[99].mutex);
    works(in.construct<mmstl::deque<job>>("deque").emplace_back().mutex);
    works(in.construct<mmstl::map<int, job>>("map").try_emplace(7).first->second.mutex);
    works(in.construct<mmstl::unordered_map<mmstl::string, job>>("hash")["one"].mutex);
    works(in.construct<mmstl::list<std::array<job, 3>>>("list").emplace_back()[2].mutex);
    // Memory that is zero, without a constructor.
    const auto base = static_cast<std::byte*>(const_cast<void*>(in.base_address()));
    void* const zero = heap::allocate<8>(base, sizeof(robust_mutex));
    std::memset(zero, 0, sizeof(robust_mutex));
    works(*static_cast<robust_mutex*>(zero));
    heap::deallocate<8>(base, zero, sizeof(robust_mutex));
    void* const large = heap::allocate<8>(base, 20 * MiB); // new memory of a file is zero
    works(static_cast<robust_mutex*>(large)[2 * MiB]);
    heap::deallocate<8>(base, large, 20 * MiB);
    CHECK(in.check().clean());
}

TEST_CASE("in a file it is found as its last owner has left it") {
    const temporary_directory directory;
    const auto path = directory / "x";
    const shared_memory_name name;
    for (const auto& at : {mmstl::file(path), mmstl::shared_memory(name.text())}) {
        segment::create(at, little).construct<board>("board");
        const auto use_in_process = [&](auto use) {
            return in_child([&] {
                auto in = segment::open(at);
                use(in, in.find<board>("board")->one.mutex);
            });
        };
        const auto good = [](segment&, robust_mutex& mutex) {
            mutex.lock();
            mutex.unlock();
        };
        const auto broken_by_now = [](segment&, robust_mutex& mutex) {
            expect(outcome_of([&] { mutex.lock(); }) == outcome::owner_died);
        };
        const auto recovers = [](segment& in, robust_mutex& mutex) {
            expect(outcome_of([&] { mutex.lock(); }) == outcome::owner_died);
            expect(mutex.recover([] {}));
            in.close();
        };
        CHECK(use_in_process(good).ok());
        // Killed, exited, or closed as it should be, with and without it.
        CHECK(use_in_process([](segment&, robust_mutex& mutex) {
                  mutex.lock();
                  ::raise(SIGKILL);
              }).signal == SIGKILL);
        CHECK(use_in_process(broken_by_now).ok());
        CHECK(use_in_process(recovers).ok());
        CHECK(use_in_process(good).ok());
        CHECK(use_in_process([](segment&, robust_mutex& mutex) {
                  mutex.lock();
                  ::_exit(0);
              }).ok());
        CHECK(use_in_process(recovers).ok());
        CHECK(use_in_process([](segment& in, robust_mutex& mutex) {
                  mutex.lock();
                  in.close();
              }).ok());
        CHECK(use_in_process(recovers).ok());
        CHECK(use_in_process([](segment& in, robust_mutex& mutex) {
                  const std::lock_guard held(mutex);
                  (void)in.flush();
              }).ok());
        CHECK(use_in_process(good).ok());
        CHECK(use_in_process([](segment& in, robust_mutex& mutex) {
                  mutex.lock();
                  mutex.unlock();
                  in.close();
              }).ok());
        CHECK(use_in_process(good).ok());
        CHECK(segment::open(at).check().clean());
    }
}

TEST_CASE("after a restart of the machine its owner is dead") {
    const temporary_directory directory;
    const auto path = directory / "x";
    segment::create(path, little).construct<board>("board");
    CHECK(in_child([&] {
              const auto in = segment::open(path);
              in.find<board>("board")->one.mutex.lock();
              ::raise(SIGKILL);
          }).signal == SIGKILL);
    auto bytes = read_file(path);
    bytes.replace(512 + 72, 4, "0000"); // of the boot's id
    const auto other = directory / "y"; // what was locked of the file is not of this one
    write_file(other, bytes);
    const auto in = segment::open(other, {.unclean = mmstl::unclean_segment::check});
    check_broken_and_recover(*in.find<board>("board"));
}

TEST_CASE("outside of a segment that can be written to, it throws and says why") {
    const auto attempts = [](robust_mutex& mutex) {
        const auto first = error_of([&] { mutex.lock(); });
        CHECK(error_of([&] { (void)mutex.try_lock(); }) == first);
        CHECK(error_of([&] { (void)mutex.try_lock_for(1h); }) == first);
        CHECK(error_of([&] { (void)mutex.try_lock_until(steady_clock::now() + 1h); }) == first);
        CHECK(error_of([&] { mutex.recover([] { FAIL_CHECK("it has not got it"); }); }) == first);
        return first;
    };
    robust_mutex on_the_stack;
    static constinit robust_mutex global;
    const auto none = says(errc::not_in_a_segment, "robust_mutex", "");
    CHECK(attempts(on_the_stack) == none);
    CHECK(attempts(global) == none);
    CHECK(attempts(*std::make_unique<robust_mutex>()) == none);

    const temporary_directory directory;
    const auto path = directory / "x";
    auto in = segment::create(path, little);
    auto* const mutex = &in.construct<robust_mutex>("mutex");
    CHECK(attempts(on_the_stack) == none);
    mutex->lock();
    mutex->unlock();
    in.close();
    CHECK(attempts(*mutex) == none); // where it was there is nothing

    in = segment::open(path, {.access = read_only});
    REQUIRE(in.find<const robust_mutex>("mutex") == mutex);
    CHECK_FALSE(mutex->is_broken());
    CHECK(attempts(*mutex) == says(errc::wrong_access, "robust_mutex", path));
    in = segment();
    in = segment::open(path);
    mutex->lock();
    mutex->unlock();
}

// ---- threads that end, processes that fork ----

namespace {

/// Destroyed after the thread's places in segments, if it was made before them.
struct late_user {
    scene* of = nullptr;
    scene* another = nullptr;
    std::atomic<long>* n_wrong = nullptr;

    ~late_user() {
        if (of == nullptr) return;
        const auto require = [&](bool holds) { *n_wrong += holds ? 0 : 1; };
        auto& one = of->on();
        auto& other = another->on();
        for (std::size_t way = 0; way < n_ways; ++way) require(ask(way, one) == outcome::locked);
        {
            const std::scoped_lock held(one.one.mutex, one.other.mutex);
            require(one.one.change());
            require(ask(0, one) == outcome::deadlock);
            require(ask(0, one.other.mutex, one.other.mutex) == outcome::deadlock);
            // In another segment, and with blocks that are allocated meanwhile.
            mmstl::vector<int> numbers(100, of->in().allocator<int>());
            const std::scoped_lock more(other.one.mutex);
            numbers.resize(100'000);
            require(other.one.change());
            require(ask(0, one) == outcome::deadlock);
            require(ask(0, other) == outcome::deadlock);
            require(ask_in_thread(one) == outcome::not_locked);
        }
        // One that is broken is told of, and recovered.
        std::thread([&] { one.one.mutex.lock(); }).join();
        require(ask(0, one) == outcome::owner_died);
        require(one.one.mutex.recover([&] {
            require(ask(0, one) == outcome::deadlock);
            require(ask(0, one.other.mutex, one.other.mutex) == outcome::locked);
        }));
        require(!one.one.mutex.recover([&] { require(false); }));
        require(ask(0, one) == outcome::locked);
    }
};

/// Has a lock from before the thread's places in segments are gone.
struct late_owner {
    scene* of = nullptr;
    std::function<void(std::unique_lock<robust_mutex>&)> at_the_end{};
    std::unique_lock<robust_mutex> held{};

    ~late_owner() {
        if (of != nullptr) at_the_end(held);
    }
};

} // namespace

TEST_CASE("what is destroyed late in a thread may lock") {
    scene of;
    scene another;
    std::atomic<long> n_wrong{0};
    const auto n_before = places_taken(of.in()) + places_taken(another.in());
    for (int i = 0; i < 100; ++i)
        std::thread([&] {
            thread_local late_user late;
            late.n_wrong = &n_wrong;
            late.of = &of;
            late.another = &another;
            if (i % 2 == 0) (void)ask(0, of.on());
            if (i % 3 == 0) (void)ask(0, another.on());
        }).join();
    CHECK(n_wrong == 0);
    const auto n_taken = places_taken(of.in()) + places_taken(another.in());
    CHECK(n_taken == n_before); // what they have had is for others to take
    check_good(of.on());
    CHECK(of.in().check().clean());
}

TEST_CASE("what a thread unlocks when it is dead stays as it is") {
    scene of;
    const auto end_with = [&](std::function<void(std::unique_lock<robust_mutex>&)> at_the_end) {
        std::thread([&] {
            thread_local late_owner late;
            late.of = &of;
            late.at_the_end = std::move(at_the_end);
            late.held = std::unique_lock(of.mutex());
        }).join();
    };
    end_with([](auto& held) { held.unlock(); });
    check_broken_and_recover(of.on());
    // When others have found out, and recovered it, and it is another's by now.
    end_with([&](auto& held) {
        std::atomic<int> step{0};
        std::thread other([&] {
            CHECK(ask(0, of.on()) == outcome::owner_died);
            CHECK(of.mutex().recover([&] { of.on().one.mend(); }));
            of.mutex().lock();
            step = 1;
            await([&] { return step == 2; });
            CHECK(ask(0, of.on()) == outcome::deadlock);
            of.mutex().unlock();
        });
        await([&] { return step == 1; });
        held.unlock();
        step = 2;
        other.join();
    });
    check_good(of.on());
}

namespace {

/// Runs `function` in a child that is made in another way than by fork(3), of which
/// pthread_atfork(3) hears nothing, and returns its exit code.
template <class Function> int exit_code_of_clone(Function function) {
    std::fflush(nullptr);
    const auto pid =
        static_cast<::pid_t>(::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr));
    if (pid == 0) {
        ::alarm(120); // it ends, whatever it waits for
        int code = 0;
        try {
            function();
        } catch (const std::exception& e) {
            std::fprintf(stderr, "child: %s\n", e.what());
            code = exit_code_of_exception;
        }
        ::_exit(code);
    }
    int status = -1;
    if (::waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) return -1;
    return WEXITSTATUS(status);
}

} // namespace

TEST_CASE("a forked child has nothing of what its parent has locked") {
    scene of;
    auto& on = of.on();
    const bool was_used = GENERATE(true, false);
    if (was_used) CHECK(ask(0, on) == outcome::locked);
    of.mutex().lock();
    const auto as_child = [&] {
        expect(!of.mutex().try_lock());
        expect(!of.mutex().try_lock_for(15ms));
        expect(!of.mutex().recover([] { expect(false); }));
        expect(ask(0, on.other.mutex, on.other.mutex) == outcome::locked);
        // Nor does it take from its parent what it unlocks at the end of a scope.
        of.mutex().unlock();
        on.other.mutex.lock();
        of.mutex().unlock();
        on.other.mutex.unlock();
        expect(!of.mutex().try_lock());
    };
    CHECK(check_in_child(as_child));
    CHECK(check_in_child([&] { of.mutex().unlock(); })); // the first that it does
    if (!MMSTL_TESTS_SANITIZED) CHECK(exit_code_of_clone(as_child) == 0);
    CHECK(ask_in_thread(on) == outcome::not_locked);
    CHECK(ask(0, on) == outcome::deadlock);
    // What a child has locked, and dies with, is not its parent's.
    CHECK(in_child([&] {
              on.other.mutex.lock();
              ::raise(SIGKILL);
          }).signal == SIGKILL);
    CHECK(ask(0, on.other.mutex, on.other.mutex) == outcome::owner_died);
    CHECK(on.other.mutex.recover([] {}));
    of.mutex().unlock();
    check_good(on);
}

TEST_CASE("a forked child waits for its parent, and the parent for it") {
    scene of;
    auto& on = of.on();
    of.mutex().lock();
    child waits([&] {
        (void)ask(0, on.other.mutex, on.other.mutex);
        on.ids[0] = thread_number();
        of.mutex().lock();
        expect(on.one.change());
        on.is_held = true;
        await([&] { return on.go.load(); });
        expect(on.one.change());
        of.mutex().unlock();
    });
    await([&] { return on.ids[0] != 0 && is_asleep(on.ids[0]); });
    CHECK(on.one.change());
    of.mutex().unlock();
    await([&] { return on.is_held.load(); });
    std::thread waits_too([&] {
        on.ids[1] = thread_number();
        const std::scoped_lock held(of.mutex());
        if (!on.one.change()) std::abort();
    });
    await([&] { return on.ids[1] != 0 && is_asleep(on.ids[1]); });
    on.go = true;
    waits_too.join();
    CHECK(waits.wait().ok());
    CHECK(on.one.first == 4);
    check_good(on);
}

TEST_CASE("the death of a parent is seen by its children, that of a child by its parent") {
    scene of;
    auto& on = of.on();
    child parent([&] {
        on.one.mutex.lock();
        const auto pid = ::fork(); // which outlives it
        if (pid != 0) {
            await([&] { return on.ids[0] != 0 && is_asleep(on.ids[0]); });
            ::raise(SIGKILL);
        }
        ::alarm(120);
        (void)ask(0, on.other.mutex, on.other.mutex);
        on.ids[0] = thread_number();
        on.answers[0] = static_cast<int>(ask(0, on));
        ::_exit(0);
    });
    CHECK(parent.wait().signal == SIGKILL);
    await([&] { return on.answers[0] != 0; });
    CHECK(static_cast<outcome>(on.answers[0].load()) == outcome::owner_died);
    check_broken_and_recover(on);
}

// ---- no place ----

TEST_CASE("a thread that finds no place in the segment locks nothing") {
    scene of;
    auto& shared = heap_of(of.in());
    std::vector<heap::thread_id> taken;
    for (heap::thread_id id = 0; !shared.take_thread(id, "test").failed();) taken.push_back(id);
    CHECK(taken.size() >= heap::most_threads - 2);
    std::thread([&] {
        for (std::size_t way = 0; way < n_ways; ++way) {
            CHECK(ask(way, of.on()) == outcome::error);
            CHECK(word_of(of.mutex()) == 0);
        }
        const auto error = error_of([&] { of.mutex().lock(); });
        CHECK(error.code == errc::too_many_threads);
        CHECK(error.call == std::string("robust_mutex"));
        CHECK(error.path == of.in().name());
        CHECK(error_of([&] { of.mutex().recover([] { FAIL_CHECK("good"); }); }).code ==
              errc::too_many_threads);
    }).join();
    CHECK(ask(0, of.on()) == outcome::locked); // who has a place has it still
    shared.release_thread(taken.back());
    CHECK(ask_in_thread(of.on()) == outcome::locked);
    for (const auto id : taken) shared.release_thread(id);
    check_good(of.on());
}

TEST_CASE("a child without descriptors is told, and neither waits nor takes the living for dead") {
    scene of;
    auto& on = of.on();
    of.mutex().lock();
    check_in_child([&] {
        ::rlimit limit{};
        expect(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
        const ::rlimit none{0, limit.rlim_max};
        expect(::setrlimit(RLIMIT_NOFILE, &none) == 0);
        for (int i = 0; i < 2; ++i) {
            const auto error = error_of([&] { of.mutex().lock(); });
            expect(error.code == std::errc::too_many_files_open, error.code.message());
            expect(error.path == of.in().name(), error.path);
            for (std::size_t way = 0; way < n_ways; ++way)
                expect(ask(way, on.other.mutex, on.one.mutex) == outcome::error);
            of.mutex().unlock();
        }
        expect(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
        expect(!of.mutex().try_lock());
        expect(ask(0, on.other.mutex, on.other.mutex) == outcome::locked);
    });
    CHECK(ask_in_thread(on) == outcome::not_locked);
    of.mutex().unlock();
    check_good(on);
}

TEST_CASE("whichever system call fails, a lock is had or not, and nobody is taken for dead") {
    scene of;
    auto& on = of.on();
    const bool is_held = GENERATE(true, false);
    if (is_held) of.mutex().lock();
    constexpr int not_reached = 7;
    long nth = 1;
    for (int exit_code = 0; exit_code == 0; ++nth) {
        const auto result = in_child([&] {
            std::optional<fault::call> hit;
            outcome had{};
            {
                fault::fail armed(nth, EMFILE);
                had = outcome_of([&] { return on.one.mutex.try_lock_for(3ms); });
                hit = armed.hit();
            }
            const auto otherwise = is_held ? outcome::not_locked : outcome::locked;
            expect(had == otherwise || (hit && had == outcome::error));
            if (had == outcome::locked) on.one.mutex.unlock();
            expect(ask(n_ways - 1, on) == otherwise);
            return hit ? 0 : not_reached;
        });
        INFO("call " << nth << ": " << result);
        exit_code = result.exit_code;
        CHECK((exit_code == 0 || exit_code == not_reached));
    }
    CHECK(nth > 5);
    if (is_held) of.mutex().unlock();
    check_good(on);
}

// ---- whatever is in it ----

TEST_CASE("whatever its eight bytes are, it is free or broken, and can be had again") {
    scene of;
    auto& on = of.on();
    of.mutex().lock();
    const auto mine = word_of(of.mutex()).load();
    of.mutex().unlock();
    std::vector<std::uint64_t> words;
    for (unsigned bit = 0; bit < 64; ++bit) {
        words.push_back(std::uint64_t{1} << bit);
        words.push_back(~(std::uint64_t{1} << bit));
        if (bit < 30 || bit > 31) words.push_back(mine ^ std::uint64_t{1} << bit);
        words.push_back((mine ^ std::uint64_t{1} << (12 + bit % 18)) | contended);
    }
    for (std::uint64_t place = 0; place < 4096; place += 13)
        for (const auto flags : {std::uint64_t{0}, contended, broken, contended | broken})
            words.push_back(place | flags | (mine >> 32 << 32) << 1);
    for (const auto flags : {std::uint64_t{0}, contended, broken, contended | broken})
        for (const std::uint64_t low : {0U, 1U, 2048U, 2049U, 4095U}) {
            words.push_back(low | flags);
            words.push_back(low | flags | 0xffff'ffffULL << 32);
            words.push_back(low | flags | (mine >> 32 << 32));
        }
    std::mt19937_64 random(5);
    for (long i = soaked(1000); i > 0; --i) words.push_back(random());
    std::erase_if(words, [&](std::uint64_t word) { // a lock that this thread has, as it should be
        return (word & ~contended & ~broken) == mine;
    });
    std::size_t n_free = 0;
    std::size_t n_broken = 0;
    for (const auto word : words) {
        INFO("0x" << std::hex << word);
        for (std::size_t way = 0; way < n_ways; ++way) {
            word_of(of.mutex()) = word;
            const auto answer = ask(way, on);
            CHECK((answer == outcome::locked || answer == outcome::owner_died));
            CHECK(word_of(on.other.mutex) == 0);
            const bool was_broken = answer == outcome::owner_died;
            CHECK(of.mutex().is_broken() == was_broken);
            CHECK(of.mutex().recover([] {}) == was_broken);
            CHECK(word_of(of.mutex()) == 0);
            (was_broken ? n_broken : n_free) += 1;
        }
        word_of(of.mutex()) = word;
        (void)of.mutex().recover([] {});
        CHECK(ask(0, on) == outcome::locked);
        word_of(of.mutex()) = word; // which it has not
        of.mutex().unlock();
        CHECK(word_of(of.mutex()) == word);
    }
    word_of(of.mutex()) = 0;
    CHECK(n_free > 100);
    CHECK(n_broken > 1000);
    check_good(on);
}

// ---- killed at every instruction ----

namespace {

/// What a process is killed in, and what others do meanwhile.
struct scenario {
    const char* name;
    /// In the one that is killed: before the operation, and the operation.
    std::function<void(board&)> prepare;
    std::function<void(board&)> operation;
    /// What is in the mutex at first: nothing, or the word of one that has died.
    std::uint64_t word = 0;
    /// In a thread of the test's process: ahead of all (until it sets `is_held`, the others wait),
    /// or when the one that is killed stands before the operation (until the mutex is contended).
    std::function<void(board&)> ahead{};
    std::function<void(board&)> beside{};
};

struct kill_counts {
    long kills = 0;
    long broken = 0; ///< how often its owner had died
    std::chrono::nanoseconds longest{};
};

/// Gets it, changes what it guards, and gives it back; before that, what has died with it is mended.
/// False if that was not needed.
template <class Meanwhile> bool get_on(guarded& one, Meanwhile meanwhile) {
    bool was_broken = false;
    for (;;) {
        const auto answer = outcome_of([&] { return one.mutex.try_lock_for(long_enough); });
        if (answer == outcome::locked) break;
        expect(answer == outcome::owner_died, "locked, or told that its owner died");
        was_broken = one.mutex.recover([&] { one.mend(); }) || was_broken;
    }
    expect(one.is_whole(), "whole, or else it is said that its owner died");
    one.tear();
    meanwhile();
    one.mend();
    one.mutex.unlock();
    return was_broken;
}
bool get_on(guarded& one) {
    return get_on(one, [] {});
}

/// Steps through the operation and kills it after `n` instructions, or, if `n` is -1, after all.
/// Returns how many it was through.
template <class EachStep>
long step_and_kill(board& on, const scenario& one, long n, kill_counts& counts, EachStep each) {
    on.one.mend();
    if (one.word != 0) on.one.tear();
    word_of(on.one.mutex) = one.word;
    on.go = false;
    on.is_held = false;
    on.is_inside = false;
    on.ids[0] = 0;
    std::thread other;
    const auto start = [&](const auto& does) { other = std::thread([&] { does(on); }); };
    if (one.ahead) {
        start(one.ahead);
        await([&] { return on.is_held.load(); });
    }
    long k = 0;
    {
        const auto operation = [&] {
            on.is_inside = true;
            one.operation(on);
            on.is_inside = false;
        };
        stepped_child walker(operation, [&] { one.prepare(on); });
        REQUIRE(walker.now() == stepped_child::state::inside);
        if (one.beside) {
            start(one.beside);
            await([&] { return (word_of(on.one.mutex) & contended) != 0; });
        }
        for (; k != n && walker.now() == stepped_child::state::inside; ++k) {
            each(k);
            walker.step();
        }
        if (n == -1) REQUIRE(walker.now() == stepped_child::state::at_end);
        // It lives: whoever gets it now has it alone.
        if (outcome_of([&] { return on.one.mutex.try_lock(); }) == outcome::locked) {
            CHECK(on.one.is_whole());
            on.one.mutex.unlock();
        }
    }
    on.go = true;
    if (other.joinable()) other.join();
    const auto begin = steady_clock::now();
    counts.broken += get_on(on.one) ? 1 : 0;
    (void)get_on(on.other);
    const auto end = steady_clock::now();
    counts.longest = std::max<std::chrono::nanoseconds>(counts.longest, end - begin);
    counts.kills += 1;
    CHECK(word_of(on.one.mutex) == 0);
    CHECK(word_of(on.other.mutex) == 0);
    return k;
}

/// Kills after every instruction; in a long operation (one that spins, or throws) after those next
/// to each change of the mutex or of what it guards, and after some of the others.
void kill_everywhere(const scenario& one) {
    INFO(one.name);
    scene of;
    auto& on = of.on();
    kill_counts counts;
    std::vector<long> inside;
    std::vector<long> changes;
    std::array<std::uint64_t, 4> last{};
    (void)step_and_kill(on, one, -1, counts, [&](long k) {
        if (on.is_inside) inside.push_back(k);
        const std::array<std::uint64_t, 4> now = {word_of(on.one.mutex), word_of(on.other.mutex),
                                                  on.one.first, on.one.second};
        if (now != std::exchange(last, now)) changes.push_back(k);
    });
    REQUIRE_FALSE(inside.empty());
    const long from = inside.front();
    const long to = inside.back() + 1;
    constexpr long near = 5;
    const bool all = to - from < soaked(250);
    const long stride = (to * to - from * from) / 2 / soaked(20'000) | 1; // odd: most loops are not
    for (long k = from; k <= to; ++k) {
        const bool is_near = std::any_of(changes.begin(), changes.end(),
                                         [&](long change) { return std::abs(change - k) <= near; });
        if (!all && !is_near && (k - from) % stride != 0) continue;
        INFO("killed after instruction " << k - from << " of " << to - from);
        (void)step_and_kill(on, one, k, counts, [](long) {});
    }
    std::printf("%s: %ld instructions, %zu changes, killed %ld times%s, %ld times its owner had "
                "died; others got on within %.1f ms\n",
                one.name, to - from, changes.size(), counts.kills, all ? " (at all of them)" : "",
                counts.broken + on.n_done,
                std::chrono::duration<double, std::milli>(counts.longest).count());
    check_good(on);
    CHECK(of.in().check().clean());
}

/// Of the first place in a segment, in a generation that does not come.
constexpr std::uint64_t of_the_dead = 0xffff'ffff'0000'0001;

std::vector<scenario> scenarios() {
    const auto change = [](board& on) {
        on.one.tear();
        heap::keep_order();
        on.one.mend();
    };
    // In the one that is killed.
    const auto joins = [](board& on) {
        (void)ask(0, on.other.mutex, on.other.mutex);
        on.ids[0] = thread_number();
    };
    const auto locks = [](board& on) {
        on.one.mutex.lock();
        on.one.tear();
        on.one.mend();
    };
    const auto lock_and_change = [change](board& on) {
        const std::scoped_lock held(on.one.mutex);
        change(on);
    };
    const auto recover = [](board& on) { (void)on.one.mutex.recover([&] { on.one.mend(); }); };
    const auto lock_in_vain = [](board& on) { (void)ask(0, on); };
    // In the other thread.
    const auto someone_waits = [](board& on) {
        return on.go || (word_of(on.one.mutex) & contended) != 0;
    };
    const auto holds = [=](board& on) {
        const std::scoped_lock held(on.one.mutex);
        on.is_held = true;
        await([&] { return someone_waits(on); });
        change(on);
    };
    const auto holds_and_ends = [=](board& on) {
        on.one.mutex.lock();
        on.one.tear();
        on.is_held = true;
        await([&] { return someone_waits(on); });
    };
    const auto holds_on = [](board& on) {
        const std::scoped_lock held(on.one.mutex);
        on.is_held = true;
        await([&] { return on.go.load(); });
    };
    const auto recovers = [](board& on) {
        (void)on.one.mutex.recover([&] {
            on.is_held = true;
            await([&] { return on.go || (on.ids[0] != 0 && is_asleep(on.ids[0])); });
            on.one.mend();
        });
    };
    const auto waits = [](board& on) { on.n_done += get_on(on.one) ? 1 : 0; };

    std::vector<scenario> all;
    all.push_back({"lock, change, unlock", joins, lock_and_change});
    all.push_back({"try_lock, change, unlock", joins, [=](board& on) {
                       const std::unique_lock held(on.one.mutex, std::try_to_lock);
                       if (held.owns_lock()) change(on);
                   }});
    all.push_back({"a lock that waits", joins, lock_and_change, 0, holds});
    all.push_back({"a lock that waits in vain", joins,
                   [](board& on) { (void)on.one.mutex.try_lock_for(2ms); }, 0, holds_on});
    all.push_back({"unlock", locks, [](board& on) { on.one.mutex.unlock(); }});
    all.push_back({"unlock when someone waits",
                   locks,
                   [](board& on) { on.one.mutex.unlock(); },
                   0,
                   {},
                   waits});
    all.push_back({"a lock that finds its owner dead", joins, lock_in_vain, of_the_dead});
    all.push_back(
        {"a lock that waits until its owner dies", joins, lock_in_vain, 0, holds_and_ends});
    all.push_back({"a lock that is broken", joins, lock_in_vain, broken});
    all.push_back({"recover", joins, recover, broken});
    all.push_back({"recover, before anybody knows", joins, recover, of_the_dead});
    all.push_back({"recover, while another one does", joins, recover, broken, recovers});
    all.push_back({"recover, in vain", joins,
                   [](board& on) {
                       try {
                           on.one.mutex.recover([] { throw 1; }); // NOLINT: anything
                       } catch (int) {
                           return;
                       }
                   },
                   broken});
    return all;
}

} // namespace

TEST_CASE("whoever is killed at whatever instruction, others get on, and are told what they must") {
    // They make thousands of instructions of two stores.
    if (MMSTL_TESTS_SANITIZED) return skip_loudly("a sanitizer is not stepped through");
    if (!single_step([] {}).allowed) return skip_loudly("ptrace is not allowed here");
    for (const auto& one : scenarios()) kill_everywhere(one);
}

TEST_CASE("a child that is forked while a mutex is recovered leaves it to its parent") {
    auto in = segment::create(mmstl::anonymous(), {.capacity_bytes = std::uint64_t{64} << 20});
    auto& mutex = in.construct<robust_mutex>("mutex");
    CHECK(in_child([&] { mutex.lock(); }).ok());
    const bool allocates = GENERATE(false, true);
    const bool closes = GENERATE(false, true);
    bool is_child = false;
    const bool is_mended = mutex.recover([&] {
        const ::pid_t pid = ::fork();
        is_child = pid == 0;
        if (is_child) { // out of recover(), as if it had mended
            if (allocates) (void)in.allocator<char>().allocate(10); // joins, and has its own heap
            if (closes) in = segment();
            return;
        }
        int status = -1;
        CHECK(::waitpid(pid, &status, 0) == pid);
        CHECK(status == 0);
        CHECK(in_child([&] { return mutex.try_lock() ? 1 : 0; }).exit_code == 0);
    });
    if (is_child) ::_exit(is_mended ? 1 : 0);
    CHECK(is_mended);
    mutex.lock();
    mutex.unlock();
}

TEST_CASE("processes that are killed at any moment stop nobody, and what they tore is mended") {
    scene of;
    auto& on = of.on();
    const auto work = [&] {
        for (;;) {
            for (auto* const one : {&on.one, &on.other})
                if (get_on(*one, [] { std::this_thread::yield(); })) on.answers[0] += 1;
            on.n_done += 1;
        }
    };
    std::vector<std::unique_ptr<child>> workers;
    std::mt19937 random(1);
    for (long i = soaked(150); i > 0; --i) {
        while (workers.size() < 3) workers.push_back(std::make_unique<child>(work));
        const long before = on.n_done;
        await([&] { return on.n_done > before + static_cast<long>(random() % 50); });
        std::swap(workers[random() % workers.size()], workers.back());
        workers.back()->kill();
        const auto result = workers.back()->wait();
        INFO(result);
        CHECK(result.signal == SIGKILL);
        workers.pop_back();
    }
    workers.clear();
    (void)get_on(on.one);
    (void)get_on(on.other);
    std::printf("%ld turns, %d times an owner had died\n", on.n_done.load(), on.answers[0].load());
    check_good(on);
    CHECK(of.in().check().clean());
}
