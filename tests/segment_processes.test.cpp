// SPDX-License-Identifier: MIT
//
// A segment among many processes, however they came about and whatever befalls them: forked in the
// middle of something, replaced by another program, stopped, without descriptors, without /proc, in
// namespaces of their own, one too many, or dead.
//
// A known limit. A child made by _Fork(3) or by the system call itself, of which pthread_atfork(3)
// does not hear, inherits the descriptor by which its parent is alive. Until the child uses the
// segment (beyond looking at it), becomes another program or ends, a parent that has died looks
// alive: what it held is waited for. fork(2) has no such limit.

#include "support/allocation.hpp"
#include "support/blocks.hpp"
#include "support/catch.hpp"
#include "support/checks.hpp"
#include "support/fault.hpp"
#include "support/in_child.hpp"
#include "support/leaks.hpp"
#include "support/processes.hpp"
#include "support/soak.hpp"
#include "support/temporary.hpp"

#include <mmstl/containers.hpp>
#include <mmstl/segment.hpp>
#include <mmstl/sync.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <list>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace support;
using mmstl::errc;
using mmstl::owner_died;
using mmstl::robust_mutex;
using mmstl::segment;
using mmstl::segment_exhausted;
using mmstl::segment_options;
using support::blocks::block;

namespace heap = mmstl::detail::heap;

namespace {

constexpr std::uint64_t MiB = std::uint64_t{1} << 20;
constexpr segment_options little{.capacity_bytes = 64 * MiB};

/// Thread sanitizer does not survive what it does not hear of.
forking any_forking(std::size_t i) {
    return MMSTL_TESTS_SANITIZED ? forking::fork : every_forking[i % every_forking.size()];
}

heap::shared_heap& heap_of(const segment& in) {
    auto& process = heap::heaps_of_this_process();
    const std::lock_guard lock(process.mutex);
    return process.find(blocks::base_of(in))->shared;
}

/// What allocating in it says; no error if it can.
std::error_code allocating(const segment& in) {
    try {
        expect(block::make(in, {100, 3}, 1).free(in), "whole");
    } catch (const segment_exhausted& e) {
        return e.code();
    }
    return {};
}

enum class outcome : unsigned char { not_asked, locked, owner_died, refused };

/// Asks for it, and gives it back.
outcome ask(robust_mutex& mutex) {
    try {
        const std::scoped_lock lock(mutex);
        return outcome::locked;
    } catch (const owner_died&) {
        return outcome::owner_died;
    } catch (const mmstl::mapping_error&) {
        return outcome::refused;
    }
}

/// As `support::child`, but of this program's child: nobody kills it when its parent dies.
template <class Function>::pid_t fork_an_heir(forking how, Function function) {
    const auto pid = fork_by(how);
    if (pid != 0) return pid;
    int code = 0;
    try {
        function();
    } catch (const std::exception& e) {
        std::fprintf(stderr, "heir: %s\n", e.what());
        code = 1;
    }
    ::_exit(code);
}

/// Waits until it stands still.
void stop(const child& one) {
    one.kill(SIGSTOP);
    int status = 0;
    CHECK(::waitpid(one.pid(), &status, WUNTRACED) == one.pid());
    CHECK(WIFSTOPPED(status));
}

/// All end well.
template <class Processes> void wait_for_all(Processes& processes) {
    for (auto& one : processes) {
        const auto result = one.wait(std::chrono::minutes(5));
        INFO(result);
        CHECK(result.ok());
    }
    processes.clear();
}

} // namespace

// ---- all at once ----

TEST_CASE("processes of all kinds allocate, and free each other's blocks") {
    const auto where = GENERATE(kind::file, kind::shared_memory, kind::anonymous);
    // Ten seconds in all, ten minutes when there is time.
    const auto duration = std::chrono::milliseconds(10'000) / 3 * std::min(soak_scale(), 60L);
    const sample made(where);
    auto in = segment::create(made.backing(), {.capacity_bytes = 1024 * MiB});
    auto& shared = in.construct<exchange>("exchange");
    const auto before = in.check().n_blocks;
    const auto used = in.used_bytes();
    std::vector<child> processes;
    for (std::size_t p = 0; p < exchange::n_processes; ++p) {
        const bool is_related = where == kind::anonymous || p % 4 != 0;
        if (is_related)
            processes.emplace_back(
                [&, p] {
                    shared.work(in, p);
                    if (p % 2 == 0) in = segment(); // of the others, the end is the end
                },
                any_forking(p));
        else
            processes.emplace_back([&, p] {
                become(MMSTL_TEST_OTHER_PROCESS, std::string("exchange"),
                       std::string(where == kind::file ? "file" : "shared_memory"),
                       made.backing().name(), std::to_string(p));
                return 127;
            });
    }
    const auto end = std::chrono::steady_clock::now() + duration;
    while (std::chrono::steady_clock::now() < end && shared.n_wrong == 0)
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    CHECK(soon([&] {
        return std::all_of(shared.n_turns.begin(), shared.n_turns.end(),
                           [](const auto& n) { return n > 100; });
    }));
    shared.is_over = true;
    wait_for_all(processes);
    CHECK(shared.n_wrong == 0);
    in.recover();
    CHECK(problems_in(in) == "");
    CHECK(shared.mailboxes.clear(in) == 0);
    CHECK(problems_in(in) == "");
    CHECK(in.check().n_blocks == before);
    CHECK(in.used_bytes() == used);
    // 256 blocks of 20 KB on average, of several classes, and what eight processes keep. Now and
    // then a block has a region to itself, or two, behind those that others are in.
    CHECK(in.size_bytes() < 512 * MiB);
    std::uint64_t n_turns = 0;
    for (const auto& n : shared.n_turns) n_turns += n;
    std::printf("8 processes, %.1f s: %llu blocks allocated and freed, file of %.1f MiB\n",
                std::chrono::duration<double>(duration).count(),
                static_cast<unsigned long long>(n_turns),
                static_cast<double>(in.size_bytes()) / static_cast<double>(MiB));
}

TEST_CASE("of many processes that ask for an object at the same time, one makes it") {
    const auto where = GENERATE(kind::file, kind::shared_memory);
    const sample made(where);
    auto in = segment::create(made.backing(), little);
    auto& shared = in.construct<race>("race");
    constexpr int n_processes = 8;
    std::vector<child> processes;
    for (int p = 0; p < n_processes; ++p)
        if (p % 2 == 0)
            processes.emplace_back([&] { shared.run(in); },
                                   any_forking(static_cast<std::size_t>(p / 2)));
        else
            processes.emplace_back([&] {
                become(MMSTL_TEST_OTHER_PROCESS, std::string("construct"),
                       std::string(where == kind::file ? "file" : "shared_memory"),
                       made.backing().name());
                return 127;
            });
    CHECK(soon([&] { return shared.n_ready == n_processes; }));
    shared.has_begun = true;
    wait_for_all(processes);
    CHECK(shared.n_wrong == 0);
    for (int i = 0; i < race::n_objects; ++i) {
        INFO("object " << i);
        CHECK(shared.n_made[static_cast<std::size_t>(i)] == shared.expected(i));
    }
    in.recover();
    CHECK(problems_in(in) == "");
    CHECK(in.check().n_named_objects == race::n_objects + 1);
}

TEST_CASE("a segment can be opened while it gets longer") {
    const sample made(kind::file);
    auto in = segment::create(made.backing(), {.capacity_bytes = 256 * MiB});
    auto& is_full = in.construct<std::atomic<bool>>("is full", false);
    child grower([&] {
        for (std::uint64_t i = 0; i < 700; ++i) (void)block::make(in, {70'000, 3}, i);
        is_full = true;
    });
    std::size_t n_opened = 0;
    said failed;
    while (!is_full && !failed.code) {
        failed = error_of([&] { (void)segment::open(made.backing()); });
        ++n_opened;
    }
    INFO(n_opened << " times");
    CHECK(failed == said());
    CHECK(grower.wait().ok());
}

TEST_CASE("a segment can be opened while others close it, the last of whom cuts it off") {
    const sample made(kind::shared_memory);
    segment::create(made.backing(), little).close();
    std::vector<child> processes;
    for (std::size_t p = 0; p < 3; ++p)
        processes.emplace_back([&] {
            for (long i = soaked(300); i > 0; --i) {
                auto in = segment::open(made.backing());
                expect(block::make(in, {300'000, 3}, 1).free(in), "whole");
                in.close();
            }
        });
    wait_for_all(processes);
    const auto in = segment::open(made.backing());
    CHECK(problems_in(in) == "");
    CHECK(in.check().n_blocks == 0);
    CHECK(in.size_bytes() < MiB);
}

// ---- how processes come about, and go ----

TEST_CASE("a child that is forked in the middle of others' allocations allocates") {
    // Blocks go from one thread to another by way of a process that it does not see.
    if (MMSTL_TESTS_SANITIZED) return skip_loudly("a sanitizer would see races");
    auto in = segment::create(mmstl::anonymous(), {.capacity_bytes = 512 * MiB});
    auto& mailboxes = in.construct<blocks::mailboxes>("mailboxes");
    auto& mutex = in.construct<robust_mutex>("mutex");
    auto& n_locked = in.construct<long>("locked", 0);
    const auto before = in.check().n_blocks;
    std::atomic<bool> is_over{false};
    std::atomic<long> n_wrong{0};
    // 70 KB and more, so that the heap's own lock is taken often as well.
    const auto work = [&](std::mt19937_64& random) {
        const auto which =
            random() % 4 == 0 ? std::size_t{17} : random() % blocks::n_small_requests;
        n_wrong += mailboxes.turn(in, random, which) ? 0 : 1;
        if (random() % 16 != 0) return;
        const std::scoped_lock lock(mutex);
        ++n_locked;
    };
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 3; ++t)
        threads.emplace_back([&, t] {
            std::mt19937_64 random(t);
            while (!is_over) work(random);
        });
    for (unsigned i = 0; i < static_cast<unsigned>(soaked(40)); ++i) {
        const auto result = in_child([&] {
            std::mt19937_64 random(100 + i);
            for (int k = 0; k < 100; ++k) work(random);
            expect(n_wrong == 0, "whole");
            if (i % 2 == 0) in = segment();
        });
        INFO("child " << i << ": " << result);
        CHECK(result.ok());
    }
    is_over = true;
    for (auto& one : threads) one.join();
    CHECK(n_wrong == 0);
    CHECK(ask(mutex) == outcome::locked);
    in.recover();
    CHECK(problems_in(in) == "");
    CHECK(mailboxes.clear(in) == 0);
    CHECK(in.check().n_blocks == before);
}

namespace {

/// Of a name so long that it has to be allocated when it is learnt.
struct learnt_late {
    int unused = 0;
};

struct {
    std::atomic<bool> has_begun{false}, may_end{false};
} learning;

} // namespace

template <>
inline constexpr std::string_view mmstl::persistent_name<learnt_late> =
    "test/a type that a thread is about to learn";

TEST_CASE("a child that is forked while a thread learns a type does not wait for it") {
    auto in = segment::create(mmstl::anonymous(), little);
    in.construct<int>("object", 1);
    std::thread learner([&] {
        const delayed_allocation slow([] {
            learning.has_begun = true;
            while (!learning.may_end) std::this_thread::yield();
        });
        CHECK_THROWS_AS(in.find<learnt_late>("object"), mmstl::mapping_error);
    });
    CHECK(soon([] { return learning.has_begun.load(); }));
    child forked([&] {
        const auto said = error_of([&] { in.destroy<learnt_late>("object"); });
        expect(said.code == errc::other_type, "it is of another type");
        in.construct<learnt_late>("late");
    });
    const auto result = forked.wait(std::chrono::seconds(10));
    INFO(result);
    CHECK(result.ok());
    learning.may_end = true;
    learner.join();
    CHECK(in.find<learnt_late>("late") != nullptr);
    CHECK(*in.find<int>("object") == 1);
}

namespace {

/// Forks when it is made or destroyed.
struct forks {
    static inline std::function<void()> when_made = [] {};
    static inline std::function<void()> when_destroyed = [] {};

    explicit forks(std::atomic<int>* count) : n_destroyed(count) { when_made(); }
    forks(const forks&) = delete;
    forks& operator=(const forks&) = delete;
    ~forks() {
        ++*n_destroyed;
        when_destroyed();
    }
    std::atomic<int>* n_destroyed;
};
struct gave_up {};

/// Forks a child that goes on from there, as its parent does when that has ended.
struct fork_in_the_middle {
    forking how;
    bool throws = false;
    bool uses_it = false;
    bool is_child = false;
    int status = -1;

    void operator()(segment& in) {
        const ::pid_t pid = fork_by(how);
        is_child = pid == 0;
        if (!is_child) {
            CHECK(::waitpid(pid, &status, 0) == pid);
            return;
        }
        detail::become_plain_process();
        if (uses_it && allocating(in)) ::_exit(1);
        if (throws) throw gave_up();
    }
    /// With 0 if it ends as it should: by `gave_up`, or by an error that says whose the object is.
    template <class Function> void run(Function function) {
        int code = 2;
        try {
            function();
        } catch (const gave_up&) {
            code = throws ? 0 : 3;
        } catch (const mmstl::mapping_error& e) {
            code = !throws && e.code() == std::errc::operation_not_permitted ? 0 : 4;
        }
        if (is_child) ::_exit(code);
        CHECK(code == 2);
        CHECK(status == 0);
    }
};

} // namespace

template <> inline constexpr std::string_view mmstl::persistent_name<forks> = "test/forks";

TEST_CASE("a child that is forked in a constructor leaves the object to its parent") {
    fork_in_the_middle now{any_forking(GENERATE(as<std::size_t>(), 0, 1, 2))};
    now.throws = GENERATE(false, true);
    now.uses_it = GENERATE(false, true);
    const bool is_array = GENERATE(false, true);
    CAPTURE(now.how, now.throws, now.uses_it, is_array);
    auto in = segment::create(mmstl::anonymous(), little);
    auto& n_destroyed = in.construct<std::atomic<int>>("destroyed", 0);
    const auto before = in.check().n_blocks;
    int n_made = 0;
    forks::when_made = [&] {
        if (++n_made != (is_array ? 2 : 1)) return;
        now(in);
        if (now.is_child) return;
        CHECK(in.find<forks>("object") == nullptr);
        CHECK(in.find<forks[]>("object").empty());
        CHECK(n_destroyed == 0);
        CHECK(in.check().n_blocks == before + 2);
        CHECK(error_of([&] { in.find_or_construct<forks>("object", &n_destroyed); }).code ==
              std::errc::resource_deadlock_would_occur);
    };
    now.run([&] {
        if (is_array)
            in.construct<forks[]>("object", 3, &n_destroyed);
        else
            in.find_or_construct<forks>("object", &n_destroyed);
    });
    forks::when_made = [] {};
    CHECK(n_made == (is_array ? 3 : 1));
    CHECK(n_destroyed == 0);
    CHECK(problems_in(in) == "");
    in.recover();
    CHECK(in.check().n_blocks == before + 2);
    CHECK(heap_of(in).in().locks().names.word == 0);
    CHECK((is_array ? in.destroy<forks[]>("object") : in.destroy<forks>("object")));
    CHECK(n_destroyed == (is_array ? 3 : 1));
    CHECK(in.check().n_blocks == before);
    CHECK(problems_in(in) == "");
}

TEST_CASE("a child that is forked in a destructor leaves the memory to its parent") {
    fork_in_the_middle now{any_forking(GENERATE(as<std::size_t>(), 0, 1, 2))};
    now.uses_it = GENERATE(false, true);
    const bool is_array = GENERATE(false, true);
    CAPTURE(now.how, now.uses_it, is_array);
    auto in = segment::create(mmstl::anonymous(), little);
    auto& n_destroyed = in.construct<std::atomic<int>>("destroyed", 0);
    const auto before = in.check().n_blocks;
    if (is_array)
        in.construct<forks[]>("object", 3, &n_destroyed);
    else
        in.construct<forks>("object", &n_destroyed);
    forks::when_destroyed = [&] {
        if (n_destroyed != (is_array ? 2 : 1)) return;
        now(in);
        if (now.is_child) return;
        CHECK(n_destroyed == (is_array ? 2 : 1));
        CHECK(in.check().n_blocks == before + 2);
    };
    now.run([&] { is_array ? in.destroy<forks[]>("object") : in.destroy<forks>("object"); });
    forks::when_destroyed = [] {};
    CHECK(n_destroyed == (is_array ? 3 : 1));
    in.recover();
    CHECK(in.check().n_blocks == before);
    CHECK(problems_in(in) == "");
}

TEST_CASE("what a process had that becomes another program is taken over") {
    auto in = segment::create(mmstl::anonymous(), little);
    auto& mailboxes = in.construct<blocks::mailboxes>("mailboxes");
    auto& mutex = in.construct<robust_mutex>("mutex");
    const auto before = in.check().n_blocks;
    int to_child[2];
    int to_parent[2];
    REQUIRE(::pipe2(to_child, O_CLOEXEC) == 0);
    REQUIRE(::pipe2(to_parent, O_CLOEXEC) == 0);
    child other([&] {
        std::mt19937_64 random(1);
        for (auto& slot : mailboxes.slots)
            slot = blocks::make_word(in, random, random() % blocks::n_small_requests);
        mutex.lock();
        ::dup2(to_child[0], STDIN_FILENO);
        ::dup2(to_parent[1], STDOUT_FILENO);
        become(MMSTL_TEST_OTHER_PROCESS, std::string("idle"));
        return 127;
    });
    ::close(to_child[0]);
    ::close(to_parent[1]);
    char byte = 0;
    CHECK(::read(to_parent[0], &byte, 1) == 1); // it is another program now, and lives
    CHECK(ask(mutex) == outcome::owner_died);
    CHECK(in.recover() == 1);
    CHECK(mutex.recover([] {}));
    CHECK(ask(mutex) == outcome::locked);
    CHECK(problems_in(in) == "");
    CHECK(in.check().n_blocks == before + mailboxes.slots.size());
    const auto size_bytes = in.size_bytes();
    CHECK(mailboxes.clear(in) == 0);
    std::mt19937_64 random(1);
    for (auto& slot : mailboxes.slots)
        slot = blocks::make_word(in, random, random() % blocks::n_small_requests);
    CHECK(in.size_bytes() == size_bytes); // in the memory that the other has left
    CHECK(mailboxes.clear(in) == 0);
    CHECK(in.check().n_blocks == before);
    ::close(to_child[1]);
    ::close(to_parent[0]);
    const auto result = other.wait();
    INFO(result);
    CHECK(result.ok());
}

TEST_CASE("a thread that ends with a lock is dead, though its process lives") {
    auto in = segment::create(mmstl::anonymous(), little);
    auto& mutex = in.construct<robust_mutex>("mutex");
    auto& has_ended = in.construct<std::atomic<bool>>("has ended", false);
    auto& is_over = in.construct<std::atomic<bool>>("is over", false);
    const auto leave_it_locked = [&] { std::thread([&] { mutex.lock(); }).join(); };
    // In this process, and in another one.
    leave_it_locked();
    CHECK(ask(mutex) == outcome::owner_died);
    CHECK(in.recover() == 0);
    CHECK(mutex.recover([] {}));
    CHECK(ask(mutex) == outcome::locked);
    child other([&] {
        leave_it_locked();
        has_ended = true;
        expect(soon([&] { return is_over.load(); }));
    });
    CHECK(soon([&] { return has_ended.load(); }));
    CHECK(ask(mutex) == outcome::owner_died);
    CHECK(in.recover() == 0);
    CHECK(mutex.recover([] {}));
    CHECK(ask(mutex) == outcome::locked);
    is_over = true;
    CHECK(other.wait().ok());
    CHECK(problems_in(in) == "");
}

TEST_CASE("a child that outlives its parent goes on, and the parent's death is noticed") {
    const auto how = GENERATE(forking::fork, forking::without_handlers, forking::raw_clone);
    if (MMSTL_TESTS_SANITIZED && how != forking::fork) return;
    INFO(how);
    // So that what the child says at its end is heard here.
    REQUIRE(::prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    auto in = segment::create(mmstl::anonymous(), little);
    auto& mailboxes = in.construct<blocks::mailboxes>("mailboxes");
    auto& mutex = in.construct<robust_mutex>("mutex");
    struct state {
        std::atomic<::pid_t> heir{0};
        std::atomic<bool> is_there{false}, is_orphan{false};
    };
    auto& now = in.construct<state>("state");
    const auto before = in.check().n_blocks;
    child parent([&] {
        std::mt19937_64 random(1);
        for (auto& slot : mailboxes.slots)
            slot = blocks::make_word(in, random, random() % blocks::n_small_requests);
        mutex.lock();
        now.heir = fork_an_heir(how, [&] {
            const auto own = block::make(in, {100, 3}, 1); // and so it has a place of its own
            expect(!mutex.try_lock(), "the parent lives");
            now.is_there = true;
            expect(soon([&] { return now.is_orphan.load(); }));
            expect(ask(mutex) == outcome::owner_died, "the parent is dead");
            expect(mailboxes.clear(in) == 0, "what the parent has left");
            expect(own.free(in), "whole");
            mutex.recover([] {});
            expect(ask(mutex) == outcome::locked);
        });
        for (;;) ::pause();
    });
    CHECK(soon([&] { return now.heir != 0 && now.is_there; }));
    CHECK(in.recover() == 0);
    parent.kill();
    CHECK(parent.wait().signal == SIGKILL);
    CHECK(in.recover() == 1);
    CHECK(problems_in(in) == "");
    now.is_orphan = true;
    int status = 0;
    CHECK(::waitpid(now.heir, &status, 0) == now.heir);
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
    CHECK(::prctl(PR_SET_CHILD_SUBREAPER, 0) == 0);
    CHECK(in.recover() == 1);
    CHECK(ask(mutex) == outcome::locked);
    CHECK(problems_in(in) == "");
    CHECK(in.check().n_blocks == before);
}

TEST_CASE("a child that does not use the segment hides its parent's death no longer than it must") {
    const auto how = GENERATE(forking::fork, forking::without_handlers, forking::raw_clone);
    const bool uses_it = GENERATE(true, false);
    if (MMSTL_TESTS_SANITIZED && how != forking::fork) return;
    INFO(how << (uses_it ? ", and uses the segment later" : ", and ends"));
    REQUIRE(::prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    auto in = segment::create(mmstl::anonymous(), little);
    struct state {
        std::atomic<::pid_t> heir{0};
        std::atomic<bool> is_there{false}, may_go_on{false}, has_used_it{false};
    };
    auto& now = in.construct<state>("state");
    child parent([&] {
        auto mine = block::make(in, {100, 3}, 1);
        now.heir = fork_an_heir(how, [&] {
            now.is_there = true;
            expect(soon([&] { return now.may_go_on.load(); }));
            if (!uses_it) return;
            expect(mine.free(in), "whole"); // which needs no place
            expect(!allocating(in));
            now.has_used_it = true;
            for (;;) ::pause();
        });
        for (;;) ::pause();
    });
    CHECK(soon([&] { return now.heir != 0 && now.is_there; }));
    parent.kill();
    CHECK(parent.wait().signal == SIGKILL);
    // If pthread_atfork(3) has not heard of the child, the parent may look alive until here: see
    // above. It does no longer when ...
    std::size_t n_dead = how == forking::fork ? in.recover() : 0;
    CHECK(n_dead == (how == forking::fork ? 1 : 0));
    now.may_go_on = true;
    int status = 0;
    if (uses_it) {
        CHECK(soon([&] { return now.has_used_it.load(); }));
        n_dead += in.recover();
        CHECK(n_dead <= 1); // else the heir was first
        ::kill(now.heir, SIGKILL);
    }
    CHECK(::waitpid(now.heir, &status, 0) == now.heir);
    n_dead += in.recover();
    CHECK(n_dead >= 1);
    CHECK_FALSE(heap_of(in).members().has_company(heap_of(in).in()));
    CHECK(::prctl(PR_SET_CHILD_SUBREAPER, 0) == 0);
    CHECK(problems_in(in) == "");
}

// ---- stopped ----

TEST_CASE("who is stopped with a lock is waited for, and only who is dead is robbed") {
    const int then = GENERATE(SIGCONT, SIGKILL);
    INFO((then == SIGCONT ? "goes on" : "is killed"));
    auto in = segment::create(mmstl::anonymous(), little);
    struct state {
        robust_mutex mutex{};
        std::atomic<int> n_held{0}, n_waiting{0}, n_done{0};
        std::atomic<bool> may_let_go{false};
        std::atomic<outcome> asked{outcome::not_asked};
    };
    auto& now = in.construct<state>("state");
    auto& shared = heap_of(in);
    const auto hold = [&] {
        ++now.n_held;
        expect(soon([&] { return now.may_let_go.load(); }));
    };
    std::vector<child> holders;
    holders.emplace_back([&] {
        const std::scoped_lock lock(now.mutex);
        hold();
    });
    holders.emplace_back([&] {
        expect(!allocating(in)); // joins
        const heap::process_lock lock(shared.in(), shared.members(), shared.in().locks().heap,
                                      [](heap::lock_line&) {});
        hold();
    });
    CHECK(soon([&] { return now.n_held == 2; }));
    for (const auto& one : holders) stop(one);
    std::vector<child> waiters;
    waiters.emplace_back([&] {
        ++now.n_waiting;
        now.asked = ask(now.mutex);
        ++now.n_done;
    });
    waiters.emplace_back([&] {
        ++now.n_waiting;
        expect(block::make(in, {100'000, 3}, 1).free(in), "whole");
        ++now.n_done;
    });
    CHECK(soon([&] { return now.n_waiting == 2; }));
    // They have asked, more than once, whether the holder lives.
    CHECK_FALSE(now.mutex.try_lock_for(std::chrono::milliseconds(100)));
    CHECK_FALSE(now.mutex.try_lock());
    CHECK_FALSE(now.mutex.is_broken());
    CHECK(in.recover() == 0);
    CHECK(now.n_done == 0);
    now.may_let_go = true; // which they do not hear
    CHECK_FALSE(now.mutex.try_lock_for(std::chrono::milliseconds(30)));
    CHECK(now.n_done == 0);
    for (const auto& one : holders) one.kill(then);
    wait_for_all(waiters);
    CHECK(now.n_done == 2);
    if (then == SIGCONT) {
        CHECK(now.asked == outcome::locked);
        wait_for_all(holders);
        CHECK_FALSE(now.mutex.recover([] {}));
    } else {
        CHECK(now.asked == outcome::owner_died);
        for (auto& one : holders) CHECK(one.wait().signal == SIGKILL);
        CHECK(now.mutex.recover([] {}));
    }
    CHECK(ask(now.mutex) == outcome::locked);
    in.recover();
    CHECK(problems_in(in) == "");
    CHECK(in.check().n_blocks == 3); // the object, its name, the table of names
}

TEST_CASE("who waits for another process to make a segment keeps no thread from using others") {
    const temporary_directory dir;
    const auto path = dir / "empty.mms";
    auto used = segment::create(mmstl::anonymous(), little);
    mmstl::backing(path).create().close();
    auto& has_lock = used.construct<std::atomic<bool>>("it has it", false);
    child maker([&] {
        const auto file = mmstl::backing(path).open(mmstl::access::read_write);
        has_lock = !mmstl::detail::posix::lock_file(file.native_handle()).failed();
        for (;;) ::pause();
    });
    REQUIRE(soon([&] { return has_lock.load(); }));

    std::atomic<bool> is_open{false};
    std::thread opener([&] {
        const auto made = segment::open_or_create(path, little);
        is_open = made.created();
    });
    // Longer than it takes, by far; it has no way to tell that it waits.
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    std::atomic<bool> has_allocated{false};
    std::thread other([&] {
        CHECK_FALSE(allocating(used));
        CHECK(used.find_or_construct<int>("object", 7) == 7);
        has_allocated = true;
    });
    CHECK(soon([&] { return has_allocated.load(); }, std::chrono::seconds(10)));
    CHECK_FALSE(is_open);
    maker.kill(SIGKILL);
    opener.join();
    other.join();
    CHECK(is_open);
}

TEST_CASE("a lock that is being taken over from the dead is not taken by a thread beside") {
    auto in = segment::create(mmstl::anonymous(), little);
    auto& is_held = in.construct<std::atomic<bool>>("is held", false);
    auto& shared = heap_of(in);
    auto& line = shared.in().locks().heap;
    child holder([&] {
        expect(!allocating(in)); // joins
        const heap::process_lock lock(shared.in(), shared.members(), line, [](heap::lock_line&) {});
        is_held = true;
        for (;;) ::pause();
    });
    CHECK(soon([&] { return is_held.load(); }));
    holder.kill();
    CHECK(holder.wait().signal == SIGKILL);
    std::atomic<bool> has_begun{false}, is_finished{false};
    std::atomic<int> n_replayed{0}, n_too_early{0};
    std::thread beside([&] {
        if (!soon([&] { return has_begun.load(); })) return;
        const heap::process_lock lock(shared.in(), shared.members(), line,
                                      [&](heap::lock_line&) { ++n_replayed; });
        n_too_early += is_finished ? 0 : 1;
    });
    std::size_t n_dead = 0;
    const auto f = shared.members().bury_the_dead(
        shared.in(),
        [&](heap::lock_line&) {
            ++n_replayed;
            has_begun = true;
            // As long as it takes in a large heap; the other one asks several times meanwhile.
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
            is_finished = true;
        },
        [](std::uint32_t) { return mmstl::detail::failure{}; }, n_dead);
    beside.join();
    CHECK_FALSE(f.failed());
    CHECK(n_dead == 1);
    CHECK(n_replayed == 1);
    CHECK(n_too_early == 0);
    CHECK(line.word.load() == 0);
}

TEST_CASE("who is stopped while it takes over from the dead does not keep their locks") {
    const temporary_directory directory;
    const auto path = directory / "x";
    auto in = segment::create(path, little);
    struct state {
        std::atomic<std::uint32_t> holder{0}; ///< its place, and one
        std::atomic<bool> is_waiting{false};
    };
    auto& now = in.construct<state>("state");
    auto& shared = heap_of(in);
    child holder([&] {
        expect(!allocating(in)); // joins
        const heap::process_lock lock(shared.in(), shared.members(), shared.in().locks().heap,
                                      [](heap::lock_line&) {});
        now.holder = shared.members().process() + 1;
        for (;;) ::pause();
    });
    CHECK(soon([&] { return now.holder != 0; }));
    child other([&] {
        now.is_waiting = true;
        expect(block::make(in, {100'000, 3}, 1).free(in), "whole");
    });
    CHECK(soon([&] { return now.is_waiting.load(); }));
    // What whoever takes over has done when it has just begun: see membership::bury_the_dead.
    const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    REQUIRE(fd != -1);
    holder.kill();
    CHECK(holder.wait().signal == SIGKILL);
    CHECK(soon([&] {
        bool is_locked = false;
        (void)mmstl::detail::posix::try_lock_byte(fd, heap::liveness_offset + now.holder - 1,
                                                  is_locked);
        return is_locked;
    }));
    shared.in().process(now.holder - 1).generation.fetch_add(1);
    const auto result = other.wait(); // goes on, whatever that one does
    INFO(result);
    CHECK(result.ok());
    ::close(fd);
    CHECK(in.recover() >= 1);
    CHECK(problems_in(in) == "");
}

TEST_CASE("who is being buried has no mutex and no name, however long that takes") {
    auto in = segment::create(mmstl::anonymous(), little);
    struct state {
        std::atomic<bool> is_building{false};
    };
    static bool stays_in_it = false;
    struct built {
        explicit built(state& now) {
            if (!stays_in_it) return;
            now.is_building = true;
            for (;;) ::pause();
        }
        int whole = 1;
    };
    auto& now = in.construct<state>("state");
    auto& mutex = in.construct<robust_mutex>("mutex");
    child holder([&] {
        const std::scoped_lock lock(mutex);
        stays_in_it = true;
        in.find_or_construct<built>("object", now);
    });
    CHECK(soon([&] { return now.is_building.load(); }));
    holder.kill();
    CHECK(holder.wait().signal == SIGKILL);
    auto& shared = heap_of(in);
    std::size_t n_dead = 0;
    child_result result;
    const auto f = shared.members().bury_the_dead(
        shared.in(), [](heap::lock_line&) {},
        [&](std::uint32_t) { // as one who is stopped in it, or waits for one who is
            child other([&] {
                expect(ask(mutex) == outcome::owner_died);
                expect(in.find_or_construct<built>("object", now).whole == 1);
            });
            result = other.wait(std::chrono::seconds(10));
            return mmstl::detail::failure{};
        },
        n_dead);
    CHECK_FALSE(f.failed());
    CHECK(n_dead >= 1); // the other one has ended as well
    INFO(result);
    CHECK(result.ok());
}

TEST_CASE("a child that is made while its parent opens or closes keeps nobody else from it") {
    if (MMSTL_TESTS_SANITIZED) return skip_loudly("a sanitizer wants to hear of children");
    const temporary_directory directory;
    const auto path = directory / "x";
    auto in = segment::create(path, little);
    const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    REQUIRE(fd != -1);
    const auto is_locked = [&](std::uint64_t at) {
        bool is = false;
        CHECK_FALSE(mmstl::detail::posix::ask_byte_lock(fd, at, is).failed());
        return is;
    };
    auto opening = std::make_optional<heap::opening_lock>(fd);
    // It has all descriptors, and no handler of fork(2) waits for those who open.
    const child inherits([] { ::pause(); }, forking::without_handlers);
    CHECK(is_locked(heap::opening_offset));
    opening.reset();
    CHECK_FALSE(is_locked(heap::opening_offset));
    CHECK(check_in_child([&] { (void)segment::open(path); }));
    // Nor does the child keep the place that its parent has given back.
    const auto mine = heap::liveness_offset + heap_of(in).members().process();
    CHECK(is_locked(mine));
    in = segment();
    CHECK_FALSE(is_locked(mine));
    ::close(fd);
}

// ---- one too many ----

TEST_CASE("when all places of processes are taken, those of the dead are given away first") {
    const sample made(kind::shared_memory);
    auto in = segment::create(made.backing(), little);
    auto& mutex = in.construct<robust_mutex>("mutex");
    auto& n_there = in.construct<std::atomic<int>>("there", 0);
    const auto before = in.check().n_blocks;
    int is_open[2]; // as long as they are to be there
    REQUIRE(::pipe2(is_open, O_CLOEXEC) == 0);
    std::list<child> processes;
    const auto start = [&](int n) {
        const int already = n_there;
        for (int i = 0; i < n; ++i)
            processes.emplace_back([&] {
                ::close(is_open[1]);
                const auto mine = block::make(in, {100, 3}, 1);
                ++n_there;
                char end = 0;
                expect(::read(is_open[0], &end, 1) == 0);
                expect(mine.free(in), "whole");
            });
        CHECK(soon([&] { return n_there == already + n; }));
    };
    const auto is_refused_everything = [&] {
        return check_in_child([&] {
            expect(allocating(in) == errc::too_many_processes);
            expect(error_of([&] { mutex.lock(); }).code == errc::too_many_processes);
            expect(error_of([&] { in.recover(); }).code == errc::too_many_processes);
            // Nor is there a place for who opens it himself.
            in = segment();
            expect(error_of([&] { (void)segment::open(made.backing()); }) ==
                   says(errc::too_many_processes, "segment", made.backing().name()));
            // But for who looks.
            const auto looked_at = segment::open(made.backing(), {.access = read_only});
            expect(looked_at.find<const std::atomic<int>>("there") == &n_there);
        });
    };
    constexpr int n_others = heap::most_processes - 1;
    constexpr int n_dead = 7;
    start(n_others);
    CHECK(is_refused_everything());
    for (int round = 0; round < 2; ++round) {
        for (int i = 0; i < n_dead; ++i) { // at places that do not adjoin
            const auto at = std::next(processes.begin(), (round + 1) * 60 - i * 8);
            at->kill();
            CHECK(at->wait().signal == SIGKILL);
            processes.erase(at);
        }
        start(n_dead);
        CHECK(is_refused_everything());
    }
    CHECK(in.recover() == 0);
    ::close(is_open[1]);
    wait_for_all(processes);
    ::close(is_open[0]);
    CHECK(in.recover() == n_others);
    CHECK(in.recover() == 0);
    CHECK(ask(mutex) == outcome::locked);
    CHECK(problems_in(in) == "");
    CHECK(in.check().n_blocks == before + 2 * n_dead);
}

TEST_CASE("when all places of threads are taken, those of the dead are given away first") {
    auto in = segment::create(mmstl::anonymous(), little);
    auto& mutex = in.construct<robust_mutex>("mutex");
    auto& n_of_child = in.construct<std::atomic<int>>("of the child", 0);
    const auto mine = block::make(in, {100, 3}, 1); // this thread has a place
    const auto before = in.check().n_blocks;
    auto& shared = heap_of(in);
    const auto take = [&](std::size_t n, std::vector<heap::thread_id>& taken) {
        for (std::size_t i = 0; i < n; ++i) {
            heap::thread_id id = 0;
            if (shared.take_thread(id, "test").failed()) return false;
            taken.push_back(id);
        }
        return true;
    };
    constexpr std::size_t n_others = heap::most_threads - 1;
    constexpr int n_dead = 700;
    std::vector<heap::thread_id> taken;
    child doomed([&] {
        expect(!allocating(in)); // joins, and has one place
        expect(take(n_dead - 1, taken));
        n_of_child = n_dead;
        for (;;) ::pause();
    });
    CHECK(soon([&] { return n_of_child == n_dead; }));
    CHECK(take(n_others - n_dead, taken));
    const auto in_a_thread = [](const std::function<void()>& function) {
        std::thread(function).join();
    };
    const auto is_refused_everything = [&] {
        std::error_code why;
        said of_the_lock;
        in_a_thread([&] { why = allocating(in); });
        in_a_thread([&] { of_the_lock = error_of([&] { mutex.lock(); }); });
        return why == errc::too_many_threads && of_the_lock.code == errc::too_many_threads;
    };
    CHECK(is_refused_everything());
    in_a_thread([&] { CHECK(block(mine).is_whole()); });
    doomed.kill();
    CHECK(doomed.wait().signal == SIGKILL);
    // Nobody has noticed yet.
    in_a_thread([&] { CHECK_FALSE(allocating(in)); });
    CHECK(take(n_dead, taken));
    CHECK(is_refused_everything());
    CHECK_FALSE(allocating(in)); // who has a place keeps it
    for (const auto id : taken) shared.release_thread(id);
    in_a_thread([&] {
        CHECK_FALSE(allocating(in));
        CHECK(ask(mutex) == outcome::locked);
    });
    CHECK(mine.free(in));
    CHECK(problems_in(in) == "");
    CHECK(in.check().n_blocks == before - 1);
}

// ---- without what is needed to know who is alive ----

namespace {

/// What a process is refused that cannot show that it is alive, nor see whether others are. Nobody
/// is dead for it, and it is dead for nobody.
void expect_refusals(segment& in, robust_mutex& locked, const block& of_parent, int error) {
    const auto why = says(error, "open", in.name());
    expect(allocating(in) == std::error_code(error, std::system_category()), "allocate");
    expect(error_of([&] { locked.lock(); }).code == why.code, "lock");
    expect(error_of([&] { (void)locked.try_lock(); }).code == why.code, "try_lock");
    expect(error_of([&] { locked.recover([] {}); }).code == why.code, "recover the mutex");
    expect(error_of([&] { in.recover(); }) == why, "recover");
    expect(error_of([&] { in.construct<int>("a new one", 1); }) == why, "construct");
    expect(error_of([&] { (void)in.allocator<int>(); }) == why, "allocator");
    expect(!locked.is_broken());
    // It may look at everything, and give back what is someone else's.
    expect(in.find<const robust_mutex>("mutex") == &locked);
    expect(in.check().clean());
    expect(of_parent.free(in), "whole");
}

} // namespace

TEST_CASE("a child without descriptors is refused, thinks nobody dead, and finds its place later") {
    auto in = segment::create(mmstl::anonymous(), little);
    auto& mutex = in.construct<robust_mutex>("mutex");
    const auto mine = block::make(in, {100, 3}, 1);
    const auto before = in.check().n_blocks;
    mutex.lock();
    check_in_child([&] {
        ::rlimit limit{};
        expect(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
        const auto all = limit.rlim_cur;
        limit.rlim_cur = 0;
        expect(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
        expect_refusals(in, mutex, mine, EMFILE);
        limit.rlim_cur = all;
        expect(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
        expect(!allocating(in));
        expect(!mutex.try_lock(), "the parent lives");
        expect(in.recover() == 0);
        in.construct<int>("a new one", 1);
    });
    CHECK_FALSE(mutex.is_broken());
    mutex.unlock();
    CHECK(ask(mutex) == outcome::locked);
    CHECK(in.recover() == 1);
    CHECK(problems_in(in) == "");
    CHECK(in.check().n_blocks == before - 1 + 2); // the object and its name
}

TEST_CASE("when the kernel does not say who is alive, everybody is") {
    auto in = segment::create(mmstl::anonymous(), little);
    auto& mutex = in.construct<robust_mutex>("mutex");
    auto& is_held = in.construct<std::atomic<bool>>("is held", false);
    auto& is_over = in.construct<std::atomic<bool>>("is over", false);
    child owner([&] {
        const std::scoped_lock lock(mutex);
        is_held = true;
        expect(soon([&] { return is_over.load(); }));
    });
    CHECK(soon([&] { return is_held.load(); }));
    const auto when_asking_fails = [&](auto ask_it) {
        const fault::fail armed(fault::call::fcntl, 1, ENOLCK);
        ask_it();
        CHECK(armed.hit().has_value());
    };
    when_asking_fails([&] { CHECK_FALSE(mutex.try_lock()); });
    when_asking_fails([&] { CHECK_FALSE(mutex.try_lock_for(std::chrono::milliseconds(20))); });
    when_asking_fails([&] { CHECK_FALSE(mutex.recover([] {})); });
    when_asking_fails(
        [&] { CHECK(error_of([&] { in.recover(); }) == says(ENOLCK, "fcntl", in.name())); });
    CHECK_FALSE(mutex.is_broken());
    is_over = true;
    CHECK(owner.wait().ok());
    CHECK(ask(mutex) == outcome::locked);
    CHECK(in.recover() == 1);
}

TEST_CASE("without /proc no segment is opened, and nobody is thought dead") {
    const temporary_directory directory;
    const auto path = directory / "x";
    const auto closed = directory / "closed";
    const auto fresh = directory / "fresh";
    auto in = segment::create(path, little);
    auto& mutex = in.construct<robust_mutex>("mutex");
    const auto mine = block::make(in, {100, 3}, 1);
    segment::create(closed, little).close();
    mutex.lock();
    constexpr int not_allowed = 77;
    const auto result = in_child([&] {
        if (!hide_proc()) return not_allowed;
        expect_refusals(in, mutex, mine, ENOENT);
        in = segment();
        for (const auto& one : {path, closed})
            expect(error_of([&] { (void)segment::open(one); }) == says(ENOENT, "open", one), one);
        expect(error_of([&] { (void)segment::create(fresh, little); }) ==
                   says(ENOENT, "open", fresh),
               "create");
        return 0;
    });
    if (result.exit_code == not_allowed) {
        skip_loudly("nothing can be mounted on /proc here");
    } else {
        INFO(result);
        CHECK(result.ok());
        CHECK_FALSE(mutex.is_broken());
        CHECK(in.recover() == 0);
        CHECK(problems_in(in) == "");
        CHECK_FALSE(segment::open(closed).find<int>("x"));
    }
    mutex.unlock();
    CHECK(ask(mutex) == outcome::locked);
}

TEST_CASE("a boot that could not be asked for is asked for again, and others open what is in use") {
    const temporary_directory directory;
    const auto path = directory / "x";
    const bool is_there = GENERATE(true, false);
    auto& known = mmstl::detail::format::boot_of_this_process;
    auto meeting = segment::create(mmstl::anonymous(), little);
    auto& is_open = meeting.construct<std::atomic<bool>>("is open", false);
    long nth = 1;
    for (;; ++nth, std::filesystem::remove(path)) {
        if (is_there) segment::create(path, little).close();
        is_open = false;
        child other([&] { // which has nothing of the segment
            expect(soon([&] { return is_open.load(); }));
            for (long n = 1;; ++n) { // of those who only read nobody is told that it is unclean
                known.is_known = false;
                const fault::fail armed(fault::call::open, n, EMFILE);
                const auto found =
                    error_of([&] { (void)segment::open(path, {.access = read_only}); });
                if (!armed.hit()) break;
                expect(found == says(EMFILE, "open", path), "refused for a reason");
            }
            const auto in = segment::open(path);
            expect(*in.find<const int>("one") == 1);
        });
        known.is_known = false;
        {
            segment in; // let go of when nothing fails any more
            const fault::fail armed(fault::call::open, nth, EMFILE);
            const auto found = error_of([&] { in = segment::open_or_create(path, little); });
            if (!armed.hit()) break;
            CHECK(found == says(EMFILE, "open", path));
        }
        CHECK((std::filesystem::exists(path) == is_there));
        auto in = segment::open_or_create(path, little);
        CHECK(read_file(path).substr(584, 36) ==
              read_file("/proc/sys/kernel/random/boot_id").substr(0, 36));
        in.construct<int>("one", 1);
        is_open = true;
        const auto result = other.wait();
        INFO(result);
        CHECK(result.ok());
    }
    CHECK(nth > 3);
}

TEST_CASE("where there is no boot id a segment is not opened for writing") {
    const temporary_directory directory;
    const auto path = directory / "x";
    segment::create(path, little).close();
    const auto before = read_file(path);
    auto& known = mmstl::detail::format::boot_of_this_process;
    const auto without_boot = [&](long nth, auto function) {
        known.is_known = false;
        const fault::fail armed(fault::call::open, nth, ENOENT);
        return error_of(function);
    };
    const auto refused = says(ENOENT, "open", path);
    CHECK(without_boot(3, [&] { (void)segment::open(path); }) == refused);
    CHECK((read_file(path) == before));
    std::filesystem::remove(path);
    CHECK(without_boot(3, [&] { (void)segment::create(path, little); }) == refused);
    CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("a process whose first thread has ended opens, allocates and closes as any other") {
    const temporary_directory directory;
    const auto path = directory / "x";
    const auto result = in_child([&] {
        const auto is_gone = [] { // "number (name) state ..."
            std::ifstream about("/proc/self/stat");
            std::string number, name, state;
            about >> number >> name >> state;
            return state == "Z";
        };
        std::thread([&] {
            try {
                expect(soon(is_gone), "the first thread has ended");
                auto in = segment::create(path, little);
                expect(block::make(in, {100, 3}, 1).free(in), "whole");
                in.construct<int>("one", 1);
                const auto ended = in_child([&] { in.construct<int>("another", 2); });
                expect(ended.ok(), ended.message);
                expect(in.recover() == 1, "the child has died");
                in.close();
                ::_exit(0);
            } catch (const std::exception& e) {
                std::fprintf(stderr, "%s\n", e.what());
                ::_exit(1);
            }
        }).detach();
        // As pthread_exit(3), which would unwind what must not be unwound.
        ::syscall(SYS_exit, 0);
    });
    INFO(result);
    REQUIRE(result.ok());
    CHECK(read_file(path).substr(576, 8) == std::string(8, '\0')); // state: closed
    const auto in = segment::open(path);
    CHECK(*in.find<const int>("one") == 1);
    CHECK(*in.find<const int>("another") == 2);
    CHECK(problems_in(in) == "");
}

TEST_CASE("who is alive is known across namespaces, in which processes have the same number") {
    auto in = segment::create(mmstl::anonymous(), little);
    struct state {
        robust_mutex mutex{};
        std::atomic<int> n_there{0};
        std::atomic<bool> is_held{false}, was_asked{false}, is_dead{false};
        std::atomic<outcome> while_alive{outcome::not_asked}, when_dead{outcome::not_asked};
    };
    auto& now = in.construct<state>("state");
    auto& shared = heap_of(in);
    constexpr int not_allowed = 77;
    // Each makes a namespace, and a child that is number 1 in it.
    const auto in_a_namespace = [&](auto as_number_1, auto meanwhile) {
        return child([=] {
            if (::unshare(CLONE_NEWPID) != 0) return not_allowed;
            child one([=] {
                expect(::getpid() == 1);
                as_number_1();
            });
            return meanwhile(one) ? 0 : 1;
        });
    };
    auto owner = in_a_namespace(
        [&] {
            now.mutex.lock();
            ++now.n_there;
            now.is_held = true;
            for (;;) ::pause();
        },
        [&](child& one) {
            const bool is_time = soon([&] { return now.was_asked.load(); });
            one.kill();
            const bool was_killed = one.wait().signal == SIGKILL;
            now.is_dead = true;
            return is_time && was_killed;
        });
    auto other = in_a_namespace(
        [&] {
            expect(!allocating(in));
            ++now.n_there;
            expect(soon([&] { return now.is_held.load(); }));
            expect(in.recover() == 0);
            now.while_alive = now.mutex.try_lock_for(std::chrono::milliseconds(50))
                                  ? outcome::locked
                                  : outcome::refused;
            std::size_t n_number_1 = 0;
            for (std::size_t p = 0; p < heap::most_processes; ++p)
                n_number_1 += shared.in().process(p).id.get() == 1 ? 1U : 0U;
            expect(n_number_1 == 2, "two are number 1");
            now.was_asked = true;
            now.when_dead = ask(now.mutex);
            expect(soon([&] { return now.is_dead.load(); }));
            expect(in.recover() == 1);
            expect(now.mutex.recover([] {}));
        },
        [&](child& one) {
            const auto result = one.wait();
            if (!result.ok()) std::fprintf(stderr, "%s\n", result.message.c_str());
            return result.ok();
        });
    const auto of_other = other.wait();
    const auto of_owner = owner.wait();
    if (of_owner.exit_code == not_allowed)
        return skip_loudly("no namespaces of processes can be made here");
    INFO(of_owner << ", " << of_other);
    CHECK(of_owner.ok());
    CHECK(of_other.ok());
    CHECK(now.while_alive == outcome::refused);
    CHECK(now.when_dead == outcome::owner_died);
    CHECK(ask(now.mutex) == outcome::locked);
    CHECK(in.recover() == 1);
    CHECK(problems_in(in) == "");
}

// ---- what the dead leave ----

TEST_CASE("what the dead have left free is used before the file gets longer") {
    const auto where = GENERATE(kind::file, kind::anonymous);
    const auto n_bytes = GENERATE(std::size_t{48}, std::size_t{5000}, std::size_t{20'000});
    INFO(where << ", " << n_bytes << " bytes");
    const sample made(where);
    auto in = segment::create(made.backing(), {.capacity_bytes = 512 * MiB});
    const auto before = in.check().n_blocks;
    constexpr std::size_t kept_of = 64; // one in so many stays in use
    const std::size_t n = std::min(4 * MiB / n_bytes, std::uint64_t{40'000});
    std::vector<block> all;
    const auto fill = [&](std::size_t up_to) {
        while (all.size() < up_to) all.push_back(block::make(in, {n_bytes, 3}, all.size()));
    };
    std::uint64_t size_bytes = 0;
    std::uint64_t n_kept = 0;
    for (int round = 0; round < 6; ++round) {
        const auto result = in_child([&] {
            fill(n);
            for (std::size_t i = 0; i < n; ++i)
                if (i % kept_of != 0) expect(all[i].free(in), "whole");
            ::raise(SIGKILL);
        });
        INFO("round " << round << ": " << result);
        CHECK(result.signal == SIGKILL);
        n_kept += (n + kept_of - 1) / kept_of;
        const auto size_with_child = in.size_bytes();
        if (round == 0) size_bytes = size_with_child;
        // Nobody has come or gone since. A thread, so that it gives back what it has.
        std::thread([&] { fill(n - 2 * (n / kept_of)); }).join();
        CHECK(in.size_bytes() == size_with_child);
        CHECK(in.check().n_blocks == before + n_kept + all.size());
        long n_spoilt = 0;
        for (const auto& one : all) n_spoilt += one.free(in) ? 0 : 1;
        CHECK(n_spoilt == 0);
        all.clear();
    }
    // What the dead keep adds up. In memory, the file gets longer by an eighth at a time.
    CHECK(in.size_bytes() <= size_bytes + size_bytes / 4 + n_kept * (n_bytes + n_bytes / 8));
    CHECK(problems_in(in) == "");
}

TEST_CASE("recover says how many have died, once, and what they had free is there") {
    auto in = segment::create(mmstl::anonymous(), little);
    auto& n_ready = in.construct<std::atomic<int>>("ready", 0);
    CHECK(in.recover() == 0);
    const auto used = in.used_bytes();
    for (int n = 1; n <= 4; ++n) {
        n_ready = 0;
        {
            std::vector<child> processes;
            for (int i = 0; i < n; ++i)
                processes.emplace_back([&] {
                    // Half of it is freed. Blocks of which a span has exactly eight.
                    std::vector<block> all;
                    for (std::uint64_t k = 0; k < 160; ++k)
                        all.push_back(block::make(in, {8192, 3}, k));
                    for (const auto& one : all) expect(one.free(in), "whole");
                    ++n_ready;
                    for (;;) ::pause();
                });
            CHECK(soon([&] { return n_ready == n; }));
            CHECK(in.recover() == 0);
        }
        CHECK(in.recover() == static_cast<std::size_t>(n));
        CHECK(in.recover() == 0);
        CHECK(in.used_bytes() == used);
        CHECK(problems_in(in) == "");
    }
}

namespace {

/// Its process dies in the constructor of the `fatal`th.
struct fragile {
    fragile(std::byte* base, std::atomic<int>* n_made, int fatal)
        : own_block(heap::allocate<8>(base, 100)) {
        if (++*n_made == fatal) ::raise(SIGKILL);
    }
    void* own_block;
};

} // namespace

template <> inline constexpr std::string_view mmstl::persistent_name<fragile> = "test/fragile";

TEST_CASE("the name of an object whose constructor was killed is there for the next one") {
    auto in = segment::create(mmstl::anonymous(), little);
    auto& n_made = in.construct<std::atomic<int>>("made", 0);
    auto* const base = blocks::base_of(in);
    const auto before = in.check().n_blocks;
    constexpr std::size_t n_elements = 10;
    constexpr int fatal = 4;
    std::uint64_t n_lost = 0;
    for (const bool is_array : {false, true}) {
        INFO((is_array ? "an array" : "one object"));
        n_made = is_array ? 0 : fatal - 1;
        const auto result = in_child([&] {
            if (is_array)
                in.construct<fragile[]>("object", n_elements, base, &n_made, fatal);
            else
                in.construct<fragile>("object", base, &n_made, fatal);
        });
        CHECK(result.signal == SIGKILL);
        // The object or the array, its name, and what each constructor has allocated.
        n_lost += 2 + (is_array ? std::uint64_t{fatal} : 1);
        CHECK(in.find<fragile>("object") == nullptr);
        CHECK(in.find<fragile[]>("object").empty());
        CHECK_FALSE(in.destroy<fragile>("object"));
        CHECK_FALSE(in.abandon("object"));
        CHECK(in.named_objects().size() == 1);
        CHECK(problems_in(in) == "");
        CHECK(in.check().n_blocks == before + n_lost);
        // As whatever is made next, which takes its name.
        n_made = 0;
        if (is_array) {
            CHECK(in.construct<int>("object", 5) == 5);
            CHECK(in.destroy<int>("object"));
        } else {
            CHECK(in.construct<fragile[]>("object", n_elements, base, &n_made, 0).size() ==
                  n_elements);
            CHECK(n_made == static_cast<int>(n_elements));
            CHECK(in.destroy<fragile[]>("object"));
            n_lost += n_elements; // they have no destructor
        }
        in.recover();
        CHECK(problems_in(in) == "");
        CHECK(in.check().n_blocks == before + n_lost);
    }
}

TEST_CASE("of many that wait for a constructor whose process dies, one makes the object") {
    const bool is_array = GENERATE(false, true);
    INFO((is_array ? "an array" : "one object"));
    auto in = segment::create(mmstl::anonymous(), little);
    struct state {
        std::atomic<int> n_made{0}, n_waiting{0}, n_got{0};
        std::atomic<bool> has_begun{false};
    };
    auto& now = in.construct<state>("state");
    struct stuck {
        stuck(state* of, bool ends) {
            ++of->n_made;
            of->has_begun = true;
            while (!ends) ::pause();
        }
        int value = 7;
    };
    constexpr int n_elements = 6;
    const auto obtain = [&](bool ends) {
        const auto& one =
            is_array ? in.find_or_construct<stuck[]>("object", n_elements, &now, ends).back()
                     : in.find_or_construct<stuck>("object", &now, ends);
        return one.value;
    };
    child builder([&] { obtain(false); });
    CHECK(soon([&] { return now.has_begun.load(); }));
    std::vector<child> processes;
    for (std::size_t p = 0; p < 6; ++p)
        processes.emplace_back(
            [&] {
                ++now.n_waiting;
                expect(obtain(true) == 7);
                ++now.n_got;
            },
            any_forking(p));
    CHECK(soon([&] { return now.n_waiting == 6; }));
    CHECK(now.n_got == 0);
    CHECK(now.n_made == 1);
    builder.kill();
    wait_for_all(processes);
    CHECK(now.n_got == 6);
    CHECK(now.n_made == 1 + (is_array ? n_elements : 1));
    CHECK(builder.wait().signal == SIGKILL);
    in.recover();
    CHECK(problems_in(in) == "");
}
