// SPDX-License-Identifier: MIT
//
// A storm of kills: processes that work at containers in one segment die at random moments, and
// others come in their place. Nobody waits for ever, nothing is corrupted, and the segment gets no
// larger than what is in it and what the dead have lost.

#include "support/blocks.hpp"
#include "support/catch.hpp"
#include "support/checks.hpp"
#include "support/in_child.hpp"
#include "support/leaks.hpp"
#include "support/processes.hpp"
#include "support/soak.hpp"
#include "support/storm.hpp"

#include <mmstl/segment.hpp>
#include <mmstl/sync.hpp>

#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <random>
#include <sstream>
#include <string>
#include <thread>

#include <sys/wait.h>
#include <unistd.h>

using namespace support;
using mmstl::segment;

namespace {

constexpr std::uint64_t MiB = std::uint64_t{1} << 20;

/// The processes of a storm, and what is killed of them.
class kill_storm {
public:
    kill_storm(segment& in, const sample& made, kind where)
        : in_(in), at_(made.backing()), where_(where), all_(storm::make(in)) {
        start_all();
    }

    [[nodiscard]] storm::state& all() { return all_; }
    [[nodiscard]] std::uint64_t n_killed() const { return n_killed_; }

    /// Some time later somebody is killed, and replaced.
    void strike() {
        std::this_thread::sleep_for(std::chrono::microseconds(random_() % 2000));
        require_nobody_gave_up();
        const auto what = random_() % 64;
        const auto who = random_() % storm::n_workers;
        if (what == 0) { // all at once
            kill_all();
            start_all();
            return;
        }
        if (what < 6) { // stands still for a while, and goes on
            workers_[who]->kill(SIGSTOP);
            std::this_thread::sleep_for(std::chrono::microseconds(random_() % 4000));
            workers_[who]->kill(SIGCONT);
        }
        if (what < 12) workers_[who]->kill(SIGSTOP); // dies without having moved again
        kill(who);
        start(who);
    }

    /// Nobody is killed until everyone has got on, with everything: what hangs, hangs now.
    void require_progress() {
        const auto before = counts();
        const bool all_went_on = soon(
            [&] {
                require_nobody_gave_up();
                const auto now = counts();
                for (std::size_t i = 0; i < now.size(); ++i)
                    if (now[i] == before[i]) return false;
                return true;
            },
            std::chrono::seconds(60));
        if (all_went_on) return;
        std::ostringstream text;
        const auto now = counts();
        for (std::size_t i = 0; i < now.size(); ++i)
            if (now[i] == before[i])
                text << (i < storm::n_workers ? "worker " : "guard ") << i % storm::n_workers
                     << " ";
        FAIL("nothing happens: " << text.str());
    }

    void kill_all() {
        for (std::size_t i = 0; i < storm::n_workers; ++i) kill(i);
    }
    void start_all() {
        for (std::size_t i = 0; i < storm::n_workers; ++i) start(i);
    }
    /// Each ends by itself.
    void end() {
        all_.is_over = true;
        for (auto& one : workers_) {
            const auto result = one->wait();
            INFO(result);
            CHECK(result.ok());
            one.reset();
        }
    }

private:
    /// What has to move: of each worker, and of each mutex.
    [[nodiscard]] std::array<std::uint64_t, storm::n_workers + storm::state::n_guards>
    counts() const {
        std::array<std::uint64_t, storm::n_workers + storm::state::n_guards> all{};
        auto* next = all.data();
        for (const auto& one : all_.workers) *next++ = one.n_turns;
        for (const auto& one : all_.guards) *next++ = one.n_turns;
        return all;
    }

    void start(std::size_t who) {
        const auto seed = random_();
        if (where_ != kind::anonymous && random_() % 8 == 0)
            workers_[who].emplace([this, who, seed] {
                become(MMSTL_TEST_OTHER_PROCESS, std::string("storm"),
                       std::string(where_ == kind::file ? "file" : "shared_memory"), at_.name(),
                       std::to_string(who), std::to_string(seed));
                return 127;
            });
        else
            workers_[who].emplace(
                [this, who, seed] {
                    const bool can_reopen = where_ != kind::anonymous;
                    storm::process(in_, can_reopen ? &at_ : nullptr, all_, who, seed).work();
                },
                MMSTL_TESTS_SANITIZED ? forking::fork : every_forking[random_() % 3]);
    }
    void kill(std::size_t who) {
        workers_[who]->kill();
        const auto result = workers_[who]->wait();
        if (result.signal != SIGKILL) FAIL("worker " << who << ": " << result);
        ++n_killed_;
    }
    /// Whoever ends has found something that is not as it should be.
    void require_nobody_gave_up() {
        for (std::size_t i = 0; i < storm::n_workers; ++i) {
            ::siginfo_t info{};
            const auto pid = static_cast<::id_t>(workers_[i]->pid());
            if (::waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0)
                continue;
            const auto result = workers_[i]->wait();
            FAIL("worker " << i << ": " << result);
        }
    }

    segment& in_;
    mmstl::backing at_;
    kind where_;
    storm::state& all_;
    std::mt19937_64 random_{static_cast<std::uint64_t>(where_)};
    std::array<std::optional<child>, storm::n_workers> workers_;
    std::uint64_t n_killed_ = 0;
};

/// Nobody is there any more: all is as it should be, and goes.
void verify_and_clear(segment& in, storm::state& all) {
    storm::for_each_container([&]<class C>(std::type_identity<C>, std::size_t i) {
        auto& of = all.guards[i];
        of.mutex.recover([&] { storm::mend<C>(in, of, i); });
        CHECK_NOTHROW(storm::whole_container<C>(in, of, i));
        CHECK(in.destroy<C>(storm::container_names[i]));
    });
    all.guards[storm::n_containers].mutex.recover([] {});
    for (std::uint64_t n = 0; n < storm::state::n_names; ++n) {
        CHECK_NOTHROW(storm::verify_name(in, n));
        in.destroy<storm::string>(storm::name_of(n));
    }
    long n_spoilt = all.mailboxes.clear(in);
    for (auto& one : all.workers)
        for (auto& word : one.blocks)
            if (word != 0) n_spoilt += blocks::unpack(in, word).free(in) ? 0 : 1;
    CHECK(n_spoilt == 0);
}

} // namespace

TEST_CASE(
    "of processes that are killed while they work the others go on, and nothing is corrupted") {
    const auto where = GENERATE(kind::file, kind::shared_memory, kind::anonymous);
    const auto n_kills = static_cast<std::uint64_t>(soaked(340)); // of each, 1020 in all
    const sample made(where);
    auto in = segment::create(made.backing());
    const auto begin = std::chrono::steady_clock::now();
    kill_storm storm(in, made, where);
    auto& all = storm.all();
    std::uint64_t n_recovered = 0;
    for (std::uint64_t i = 1; storm.n_killed() < n_kills; ++i) {
        storm.strike();
        if (i % 50 == 0) storm.require_progress();
        if (i % 200 == 0) { // nobody moves: all that the dead have left fits together
            storm.kill_all();
            n_recovered += in.recover();
            CHECK(problems_in(in) == "");
            storm.start_all();
        }
    }
    storm.require_progress();
    storm.end();
    n_recovered += in.recover();
    CHECK(in.recover() == 0);
    CHECK(problems_in(in) == "");
    std::uint64_t n_turns = 0, n_found_whole = 0, n_abandoned = 0;
    for (const auto& one : all.workers) n_turns += one.n_turns;
    for (const auto& one : all.guards) {
        n_found_whole += one.n_found_whole;
        n_abandoned += one.n_abandoned;
    }
    verify_and_clear(in, all);
    CHECK(in.destroy<storm::state>("storm"));
    const auto report = in.check();
    CHECK(problems_in(in) == "");
    CHECK(report.n_named_objects == 0);
    // Who is killed loses the block that he allocates or frees, or an object that he makes or
    // destroys, with its name, what it has allocated, and a table of names: four of them. With a
    // container go its elements, of two blocks each, and what holds them together.
    CHECK(report.n_blocks <= storm.n_killed() * 4 + n_abandoned * (storm::most_elements * 2 + 12));
    // What is in use at a time takes a few MiB; six processes, and the dead that nobody has missed
    // yet, have spans of some twenty sizes; and behind all that, blocks of 300 KB come and go. The
    // rest are the blocks that are lost, one or two of which can keep a span from being used for
    // another size.
    CHECK(in.size_bytes() <= 64 * MiB + 4 * report.used_bytes);
    std::printf("kill storm in %s: %llu kills, %.1f s, %llu turns; %llu mutexes recovered, %llu "
                "containers of them abandoned; %llu dead found at rest; %llu blocks lost (%.2f "
                "MiB), file of %.1f MiB\n",
                where == kind::file            ? "a file"
                : where == kind::shared_memory ? "shared memory"
                                               : "anonymous memory",
                static_cast<unsigned long long>(storm.n_killed()),
                std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(),
                static_cast<unsigned long long>(n_turns),
                static_cast<unsigned long long>(n_found_whole + n_abandoned),
                static_cast<unsigned long long>(n_abandoned),
                static_cast<unsigned long long>(n_recovered),
                static_cast<unsigned long long>(report.n_blocks),
                static_cast<double>(report.used_bytes) / static_cast<double>(MiB),
                static_cast<double>(in.size_bytes()) / static_cast<double>(MiB));
}
