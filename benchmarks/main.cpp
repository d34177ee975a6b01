// SPDX-License-Identifier: MIT
//
// Runs the benchmarks, prints a table for each question, and leaves the results in a file if asked.

#include "selftest.hpp"
#include "support/options.hpp"
#include "support/posix.hpp"
#include "support/report.hpp"
#include "support/runner.hpp"
#include "support/scratch.hpp"
#include "workloads.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace bench {
namespace {

constexpr std::uint64_t mib = std::uint64_t{1} << 20;

/// 1 GiB, or 64 MiB for a quick run, or less where memory does not hold it three times.
std::uint64_t generated_file_bytes(bool quick) {
    std::uint64_t bytes = (quick ? 64 : 1024) * mib;
    while (bytes > 16 * mib && bytes > available_memory_bytes() / 3) bytes /= 2;
    return bytes;
}

cached_file describe_file(const options& chosen, const std::string& directory) {
    if (chosen.file.empty())
        return {directory + "/large", generated_file_bytes(chosen.quick),
                cached_file::origin::generated};
    struct stat status {};
    if (::stat(chosen.file.c_str(), &status) != 0) fail("stat", chosen.file);
    if (!S_ISREG(status.st_mode)) throw usage_error(chosen.file + " is not a regular file");
    return {chosen.file, descriptor(chosen.file).size_bytes(), cached_file::origin::given};
}

registry chosen_workloads(const options& chosen, environment& in) {
    registry all;
    for (const question& q : questions) {
        if (!chosen.file.empty() && !q.on_any_file) continue;
        if (q.on_request && chosen.only.empty() && !chosen.list) continue;
        q.add(all, in);
    }
    std::erase_if(all, [&](const workload& w) { return !w.name.starts_with(chosen.only); });
    if (all.empty()) throw usage_error("no workload is called " + chosen.only + "; see --list");
    return all;
}

/// At least 4, so that there is a crowd, and no more than 16: each has to have its blocks before the
/// time begins.
std::size_t thread_count(const options& chosen) {
    if (chosen.threads != 0) return chosen.threads;
    return std::clamp<std::size_t>(std::thread::hardware_concurrency(), 4, 16);
}

/// Measures a workload that has been set up, prints its table and tears it down. Returns whether
/// all went well: what goes wrong ends this workload, not the suite.
bool measure(finished_workload& into, progress& shown, bool quick) {
    results& table = *into.table;
    std::vector<std::string> complaints;
    try {
        run(table, shown, repetitions(quick), quick ? 1'000 : 20'000);
    } catch (const std::exception& e) {
        into.error = e.what();
    }
    // Before there is a verdict: some arms find out more when all is over.
    if (const std::string error = tear_down(table.workload()); !error.empty())
        into.error += (into.error.empty() ? "" : "; ") + error;
    try {
        complaints = table.compare();
        into.verdicts = verdicts(table);
    } catch (const std::exception& e) {
        into.error += (into.error.empty() ? "" : "; ") + std::string(e.what());
    }
    shown.clear();
    print_table(table, into.verdicts);
    for (const std::string& complaint : complaints) fmt::print("  ERROR: {}\n", complaint);
    if (!into.error.empty()) fmt::print("  ERROR: {}: {}\n", table.workload().name, into.error);
    return complaints.empty() && into.error.empty() &&
           std::ranges::all_of(table.rows(), &result::measured);
}

int run_suite(const options& chosen, const std::string& directory) {
    cached_file file = describe_file(chosen, directory);
    environment in{.quick = chosen.quick,
                   .directory = directory,
                   .threads = thread_count(chosen),
                   .file = file};
    const registry workloads = chosen_workloads(chosen, in);

    // Beside the large file, workloads have others, one after the other.
    const std::uint64_t others = (chosen.quick ? 512 : 1024) * mib;
    if (chosen.file.empty()) demand_free_bytes(directory, file.size_bytes() + others);

    const machine_facts facts = describe_machine(chosen.file.empty() ? directory : chosen.file);
    fmt::print("mmstl benchmarks: {}, {} of {}\n\n", chosen.quick ? "quick run" : "full run",
               chosen.file.empty() ? "on a generated file" : chosen.file,
               format_bytes(file.size_bytes()));
    print_machine(facts);
    fmt::print(
        "\n  Each figure is the median of {} runs, arms in random order, from open to close, the "
        "mapping and the unmapping included.\n  minor flt, major, sys calls: page faults and "
        "system calls of one run. ratio: times as fast as the baseline.\n",
        repetitions(chosen.quick));
    if (load_average() > 0.5 * std::thread::hardware_concurrency())
        fmt::print("\n  WARNING: the machine is busy (load average {:.2f}): figures may mislead\n",
                   load_average());

    const results_file file_of_results(chosen.json);
    suite_results all{.quick = chosen.quick};
    file_of_results.write(facts, all); // if that cannot be done: better now than in the end

    double expected_seconds = 0;
    for (const workload& w : workloads) expected_seconds += w.expected_seconds;
    progress shown(expected_seconds);

    bool sound = true;
    for (const workload& w : workloads) {
        if (std::string reason = set_up(w); !reason.empty()) {
            (void)tear_down(w); // of what there is: no wonder if it fails, too
            shown.clear();
            fmt::print("\n{}\n  [{}]  skipped: {}\n", w.question, w.name, reason);
            all.skipped.push_back({w.name, std::move(reason)});
        } else {
            finished_workload& finished =
                all.measured.emplace_back(finished_workload{std::make_unique<results>(w)});
            sound = measure(finished, shown, chosen.quick) && sound;
        }
        all.complete = &w == &workloads.back();
        try {
            file_of_results.write(facts, all); // now, so that a run that is cut keeps it
        } catch (const std::exception& e) {
            fmt::print("\nERROR: {}\n", e.what());
            sound = false;
        }
    }

    const bool noisy = std::ranges::any_of(all.measured, [](const finished_workload& one) {
        return std::ranges::any_of(one.table->rows(), &result::noisy);
    });
    if (noisy)
        fmt::print("\nWARNING: rows marked noisy spread by more than 10 %: the machine did other "
                   "work. Draw no conclusion from them.\n");
    if (!sound)
        fmt::print("\nERROR: something failed (above), or arms did not see the same data.\n");
    return sound ? 0 : 1;
}

/// Turns what went wrong into a line and an exit status.
int report_errors(const std::function<int()>& run) {
    try {
        return run();
    } catch (const usage_error& e) {
        fmt::print(stderr, "mmstl_benchmarks: {}\n", e.what());
        return 2;
    } catch (const std::exception& e) {
        fmt::print(stderr, "mmstl_benchmarks: {}\n", e.what());
        return 1;
    }
}

int list(const options& chosen) {
    cached_file file = describe_file(chosen, chosen.directory);
    environment in{.quick = chosen.quick,
                   .directory = chosen.directory,
                   .threads = thread_count(chosen),
                   .file = file};
    for (const workload& w : chosen_workloads(chosen, in))
        fmt::print("{:<26} {}\n", w.name, w.question);
    return 0;
}

} // namespace
} // namespace bench

int main(int argc, char** argv) {
    return bench::report_errors([&] {
        const bench::options chosen = bench::parse(argc, argv);
        if (chosen.help) {
            fmt::print("usage: {} [options]\n\n{}", argv[0], bench::help_text);
            return 0;
        }
        if (chosen.list) return bench::list(chosen);

        bench::initialize_google_benchmark(argv[0]);
        if (chosen.self_test) return bench::run_self_test(chosen.directory);
        if (!chosen.file.empty()) return bench::run_suite(chosen, "");
        return bench::run_in_scratch_directory(chosen.directory, [&](const std::string& directory) {
            return bench::report_errors([&] { return bench::run_suite(chosen, directory); });
        });
    });
}
