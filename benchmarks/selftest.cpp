// SPDX-License-Identifier: MIT
//
// Whether the suite is to be believed: cold is cold, arms see the same data, an arm that is slowed
// is reported as slower, what did different work is not compared, and nothing is left behind.

#include "selftest.hpp"

#include "support/ask_child.hpp"
#include "support/limited_memory.hpp"
#include "support/posix.hpp"
#include "support/random.hpp"
#include "support/report.hpp"
#include "support/runner.hpp"
#include "support/scratch.hpp"
#include "support/workers.hpp"
#include "workloads.hpp"

#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <system_error>
#include <thread>

namespace bench {
namespace {

constexpr std::size_t file_bytes = std::size_t{8} << 20;
constexpr int few = 3; // repetitions

/// What a check is not possible without.
class not_here : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

void expect(bool holds, const std::string& otherwise) {
    if (!holds) throw std::runtime_error(otherwise);
}

cached_file small_file(const std::string& directory) {
    return {directory + "/file", file_bytes, cached_file::origin::generated};
}

std::size_t resident(const std::string& path) {
    const auto pages = resident_pages(path);
    if (!pages) throw not_here("mincore answers only to who may write the file");
    return *pages;
}

void measure(results& into, int repetitions) {
    progress shown;
    run(into, shown, repetitions, 100);
}

// ---- the checks ----

void cold_is_cold(const std::string& directory) {
    cached_file file = small_file(directory);
    try {
        file.ensure(cache_state::cold);
    } catch (const std::exception& e) {
        throw not_here(e.what());
    }
    expect(resident(file.path()) == 0, "a cold file has pages in the cache");
    expect(file.verified(), "a cold file is not called verified");

    std::byte one{};
    descriptor(file.path()).pread(&one, 1, file_bytes / 2);
    expect(resident(file.path()) > 0, "mincore does not notice that a page was read");

    file.ensure(cache_state::read_ahead);
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    expect(resident(file.path()) == file_bytes / page, "a warm file lacks pages in the cache");
}

/// Also when an arm before has read all of the file.
void every_cold_run_begins_cold(const std::string& directory) {
    cached_file file = small_file(directory);
    environment in{.quick = true, .directory = directory, .threads = 2, .file = file};
    workload made = file_workload(in, "cold", "", cache_state::cold);
    if (std::string reason = set_up(made); !reason.empty()) throw not_here(reason);
    const auto read_all = [&](meter&) -> std::uint64_t {
        if (resident(file.path()) != 0) throw std::runtime_error("it does not begin cold");
        std::vector<std::byte> buffer(file_bytes);
        return descriptor(file.path()).read(buffer.data(), buffer.size());
    };
    for (const char* const name : {"one", "another"})
        made.arms.push_back({.name = name, .run = read_all});
    results measured(made);
    measure(measured, few);
    for (const result& row : measured.rows()) expect(row.measured(), row.error);
}

void arms_see_the_same(const std::string& directory) {
    cached_file file = small_file(directory);
    environment in{.quick = true, .directory = directory, .threads = 3, .file = file};
    registry all;
    for (const auto add : {sequential_scan, repeated_scan, open_to_first_element, random_reads,
                           sparse_touch, page_granularity, copy_on_write, threads_on_one_file})
        add(all, in);
    bool has_run = false;
    std::string reasons;
    for (const workload& one : all) {
        if (const std::string reason = set_up(one); !reason.empty()) {
            (void)tear_down(one);
            reasons += fmt::format("\n        {}: {}", one.name, reason);
            continue; // as a run of the suite would
        }
        has_run = true;
        results measured(one);
        measure(measured, 1);
        if (const std::string error = tear_down(one); !error.empty())
            throw std::runtime_error(one.name + ": " + error);
        for (const result& row : measured.rows())
            expect(row.measured(), fmt::format("{}: {}: {}", one.name, row.arm->name, row.error));
        for (const std::string& complaint : measured.compare()) throw std::runtime_error(complaint);
    }
    expect(has_run, "no workload can be set up:" + reasons);
    if (!reasons.empty()) fmt::print("        left out:{}\n", reasons);
}

std::uint64_t work(std::chrono::milliseconds pause) {
    std::uint64_t total = 0;
    for (std::uint64_t i = 0; i < 100'000; ++i) total += mix(i);
    std::this_thread::sleep_for(pause);
    return total;
}

/// Two arms with the same work, of which one sleeps as well.
workload with_one_slowed(role slowed) {
    constexpr std::chrono::milliseconds at_once(0);
    constexpr std::chrono::milliseconds slowly(100);
    workload made{.name = "slowed", .question = {}, .cache = {}, .cache_key = {}};
    for (const role r : {role::ours, role::baseline})
        made.arms.push_back({.name = r == role::ours ? "ours" : "baseline",
                             .role = r,
                             .run = [=](meter&) { return work(r == slowed ? slowly : at_once); }});
    made.expectations = {{"ours", "baseline", "the baseline", 0}};
    return made;
}

void a_slowed_arm_loses(const std::string&) {
    for (const bool is_slow : {true, false}) {
        const workload made = with_one_slowed(is_slow ? role::ours : role::baseline);
        results measured(made);
        measure(measured, few);
        expect(measured.compare().empty(), "the same work is called different");
        const result* const ours = measured.find("ours");
        expect(ours != nullptr && ours->baseline != nullptr, "nothing is compared");
        const double ratio = ours->ratio_to_baseline();
        expect(is_slow ? ratio < 1 : ratio > 1,
               fmt::format("the ratio is {:.2f} where {} was slowed", ratio,
                           is_slow ? "the arm" : "its baseline"));
        const std::string said = verdicts(measured).at(0);
        const bool loses = said.find("LOSES") != std::string::npos;
        expect(loses == is_slow, "the verdict is: " + said);
    }
}

void different_work_is_not_compared(const std::string& directory) {
    workload made = with_one_slowed(role::ours);
    made.arms[0].run = [](meter&) { return work({}) + 1; };
    auto table = std::make_unique<results>(made);
    measure(*table, few);
    expect(!table->compare().empty(), "nobody complains");
    for (const result& row : table->rows())
        expect(row.baseline == nullptr, "an arm has a baseline that did other work");
    expect(verdicts(*table).empty(), "there is a verdict");

    const std::string path = directory + "/results.json";
    suite_results all{.quick = true, .complete = true};
    all.measured.push_back({.table = std::move(table)});
    results_file(path).write({}, all);
    std::ifstream file(path);
    const auto written = nlohmann::json::parse(file);
    for (const auto& entry : written.at("results"))
        expect(entry.at("ratio_to_baseline").is_null(), "the results file has a ratio");
}

void changing_results_fail(const std::string&) {
    workload made = with_one_slowed(role::ours);
    const auto runs = std::make_shared<std::uint64_t>(0);
    made.arms[0].run = [=](meter&) { return ++*runs; };
    results measured(made);
    measure(measured, few);
    expect(!measured.rows()[0].measured(), "an arm whose results change is measured");
    expect(measured.rows()[1].measured(), measured.rows()[1].error);
}

void system_calls_are_counted(const std::string&) {
    const auto calls = count_system_calls(
        [](meter& watch) -> std::uint64_t {
            ::syscall(SYS_getuid);
            watch.restart();
            for (int i = 0; i < 5; ++i) ::syscall(SYS_getuid);
            return 0;
        },
        100);
    if (!calls) throw not_here("ptrace is not allowed");
    expect(calls->count == 5, fmt::format("{} are counted of 5", calls->count));
}

void a_full_disk_is_refused(const std::string& directory) {
    demand_free_bytes(directory, 1);
    try {
        demand_free_bytes(directory, free_bytes(directory) * 2);
    } catch (const std::runtime_error& e) {
        const std::string said = e.what();
        expect(said.find(directory) != std::string::npos, "the directory is not named: " + said);
        return;
    }
    throw std::runtime_error("twice of what is free is not refused");
}

/// A suite that has left files, directories and a control group, and is ended by a signal: sent to
/// the process that waits, as a terminal does, or raised by the suite itself, as a crash does.
void nothing_is_left(const std::string& directory, int signal, bool by_itself) {
    const std::string place = directory + "/interrupted";
    std::filesystem::create_directory(place);
    std::array<int, 2> pipe{};
    if (::pipe(pipe.data()) != 0) fail("pipe", "");
    const pid_t child = ::fork();
    if (child < 0) fail("fork", "");
    if (child == 0) {
        const int status = run_in_scratch_directory(place, [&](const std::string& scratch) {
            std::filesystem::create_directory(scratch + "/below");
            std::ofstream(scratch + "/below/file") << "something";
            limited_memory memory;
            std::array<char, 512> group{}; // empty where there is none to be had
            if (memory.enter(std::uint64_t{64} << 20).empty())
                memory.group().copy(group.data(), group.size() - 1);
            if (::write(pipe[1], group.data(), group.size()) != ssize_t{group.size()}) return 1;
            if (by_itself) (void)::raise(signal);
            for (;;) ::pause();
        });
        ::_exit(status);
    }
    ::close(pipe[1]);
    std::array<char, 512> group{};
    const ssize_t got = ::read(pipe[0], group.data(), group.size());
    ::close(pipe[0]);
    if (!by_itself) ::kill(child, signal);
    int status = 0;
    ::waitpid(child, &status, 0);
    expect(got == ssize_t{group.size()}, "the suite did not begin");
    expect(WIFSIGNALED(status) && WTERMSIG(status) == signal, "it does not end by the signal");
    expect(std::filesystem::is_empty(place), "a file is left");
    expect(group[0] == '\0' || ::access(group.data(), F_OK) != 0,
           fmt::format("the control group {} is left", group.data()));
    std::filesystem::remove(place);
}

void nothing_is_left_when_interrupted(const std::string& directory) {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) nothing_is_left(directory, signal, false);
    nothing_is_left(directory, SIGKILL, true);
}

/// Those who have started neither wait for the others for ever nor stay.
void threads_that_cannot_start(const std::string&) {
    const auto has_thrown = ask_child<bool>([](bool& thrown) {
        ::alarm(30);
        std::size_t n_pages = 0;
        std::ifstream("/proc/self/statm") >> n_pages;
        const rlim_t bytes = n_pages * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE)) +
                             (rlim_t{32} << 20); // room for the stacks of some, not of all
        const rlimit tight{bytes, bytes};
        if (::setrlimit(RLIMIT_AS, &tight) != 0) fail("setrlimit", "");
        try {
            const many_threads all([](std::size_t) { return [](std::uint64_t n) { return n; }; },
                                   64);
        } catch (const std::system_error&) {
            thrown = true;
        }
    });
    expect(has_thrown.value_or(false), "it does not end with an exception");
}

struct check {
    const char* name;
    void (*run)(const std::string& directory);
};

constexpr check checks[] = {
    {"a cold file has no page in the cache, and mincore notices one", cold_is_cold},
    {"every run of a cold workload begins cold", every_cold_run_begins_cold},
    {"the arms of a workload see the same data", arms_see_the_same},
    {"an arm that is slowed is reported as slower", a_slowed_arm_loses},
    {"what did different work is not compared", different_work_is_not_compared},
    {"an arm whose results change fails", changing_results_fail},
    {"system calls are counted", system_calls_are_counted},
    {"a disk that is too small is refused", a_full_disk_is_refused},
    {"threads that cannot start are an error", threads_that_cannot_start},
    {"nothing is left behind by a run that is interrupted", nothing_is_left_when_interrupted},
};

} // namespace

int run_self_test(const std::string& directory) {
    return run_in_scratch_directory(directory, [](const std::string& scratch) {
        int passed = 0;
        int failed = 0;
        for (const check& one : checks) {
            const auto print = [&](const char* outcome, const std::string& why) {
                fmt::print("{:<8}{}{}{}\n", outcome, one.name, why.empty() ? "" : ": ", why);
                (void)std::fflush(stdout);
            };
            try {
                one.run(scratch);
                print("ok", "");
                ++passed;
            } catch (const not_here& e) {
                print("skipped", e.what());
            } catch (const std::exception& e) {
                print("FAILED", e.what());
                ++failed;
            }
        }
        fmt::print("{} passed, {} failed\n", passed, failed);
        return passed > 0 && failed == 0 ? 0 : 1;
    });
}

} // namespace bench
