// SPDX-License-Identifier: MIT
//
// Hands the arms of a workload to Google Benchmark and collects what it measured.

#include "runner.hpp"

#include "machine.hpp"
#include "posix.hpp"

#include <algorithm>
#include <benchmark/benchmark.h>
#include <malloc.h>

namespace bench {
namespace {

std::string full_name(const arm& a) { return a.group + "/" + a.name; }

/// Whatever was done before, the run does not pay for it that memory is the host's, nor does it get
/// what another arm has freed.
void have_memory(std::uint64_t bytes) {
    if (bytes == 0) return;
    ::malloc_trim(0);
    claim_free_memory(std::min(bytes, available_memory_bytes() / 2));
}

/// One repetition: the state is prepared outside the time, each run times itself.
void repeat(benchmark::State& state, const workload& of, result& row) {
    double minor_faults = 0;
    double major_faults = 0;
    try {
        of.prepare(*row.arm);
        have_memory(row.arm->fresh_bytes);
        while (state.KeepRunning()) {
            meter watch;
            watch.restart();
            const std::uint64_t checksum = row.arm->run(watch);
            watch.stop();
            state.SetIterationTime(watch.seconds());
            minor_faults += watch.minor_faults();
            major_faults += watch.major_faults();
            if (row.checksum.value_or(checksum) != checksum)
                throw std::runtime_error("two runs returned different checksums");
            row.checksum = checksum;
        }
    } catch (const std::exception& e) {
        row.error = e.what();
        state.SkipWithError(e.what());
    }
    using benchmark::Counter;
    state.counters["minor_faults"] = Counter(minor_faults, Counter::kAvgIterations);
    state.counters["major_faults"] = Counter(major_faults, Counter::kAvgIterations);
}

/// Keeps the repetitions that Google Benchmark reports. The table needs all arms, so it comes
/// later.
class collector : public benchmark::BenchmarkReporter {
public:
    explicit collector(results& into) : into_(into) {}

    bool ReportContext(const Context&) override { return true; }

    void ReportRuns(const std::vector<Run>& runs) override {
        for (const Run& run : runs) {
            if (run.run_type != Run::RT_Iteration || run.iterations == 0) continue;
            for (result& row : into_.rows()) {
                if (full_name(*row.arm) != run.run_name.function_name || !row.error.empty())
                    continue;
                row.seconds.push_back(run.real_accumulated_time /
                                      static_cast<double>(run.iterations));
                row.minor_faults.push_back(run.counters.at("minor_faults"));
                row.major_faults.push_back(run.counters.at("major_faults"));
            }
        }
    }

private:
    results& into_;
};

} // namespace

void initialize_google_benchmark(const char* program) {
    std::string arguments[] = {program, "--benchmark_enable_random_interleaving=true"};
    char* pointers[] = {arguments[0].data(), arguments[1].data(), nullptr};
    int count = 2;
    benchmark::Initialize(&count, pointers);
}

std::string set_up(const workload& of) {
    try {
        return of.set_up();
    } catch (const std::exception& e) {
        return e.what();
    }
}

std::string tear_down(const workload& of) {
    try {
        of.tear_down();
        return {};
    } catch (const std::exception& e) {
        return e.what();
    }
}

void run(results& measured, progress& shown, int repetitions, std::uint64_t most_system_calls) {
    const workload& of = measured.workload();
    shown.begin(of.name, of.expected_seconds);

    for (result& row : measured.rows()) {
        if (!row.arm->works_alone) continue;
        try {
            of.prepare(*row.arm);
            row.system_calls = count_system_calls(row.arm->run, most_system_calls);
        } catch (const std::exception& e) {
            row.error = e.what();
        }
    }

    const std::size_t total = measured.rows().size() * static_cast<std::size_t>(repetitions);
    std::size_t done = 0;
    benchmark::ClearRegisteredBenchmarks();
    for (result& row : measured.rows()) {
        const auto body = [&](benchmark::State& state) {
            repeat(state, of, row);
            shown.update(static_cast<double>(++done) / static_cast<double>(total));
        };
        benchmark::RegisterBenchmark(full_name(*row.arm).c_str(), body)
            ->Iterations(row.arm->iterations)
            ->Repetitions(repetitions)
            ->UseManualTime();
    }
    collector reporter(measured);
    benchmark::RunSpecifiedBenchmarks(&reporter, nullptr, ".");
    benchmark::ClearRegisteredBenchmarks();
    measured.cache_verified = of.verified();
}

} // namespace bench
