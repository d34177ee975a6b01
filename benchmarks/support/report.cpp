// SPDX-License-Identifier: MIT
//
// The tables that people read and the file that programs read.

#include "report.hpp"

#include "format.hpp"
#include "runner.hpp"

#include <cstdio>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <system_error>

namespace bench {
namespace {

constexpr std::string_view row_format = "  {:<34} {:>9} {:>8} {:>11} {:>9} {:>9} {:>7} {:>11}{}\n";

std::string count(double faults) { return fmt::format("{:.{}f}", faults, faults < 9.5 ? 1 : 0); }

std::string count_calls(const result& row) {
    if (!row.arm->works_alone) return "not counted";
    if (!row.system_calls) return "n/a";
    return (row.system_calls->at_least ? "> " : "") + std::to_string(row.system_calls->count);
}

/// The time of an operation where the workload has operations, else a throughput.
std::string rate(const workload& of, const result& row) {
    if (!of.unit.empty())
        return format_seconds(row.median() / static_cast<double>(row.arm->operations));
    if (row.arm->bytes == 0) return "";
    return fmt::format("{:.2f}", static_cast<double>(row.arm->bytes) / row.median() / 1e9);
}

std::string ratio(const result& row) {
    if (row.baseline == nullptr) return "";
    if (row.baseline == &row) return "baseline";
    const double value = row.ratio_to_baseline();
    return fmt::format("{:.{}f} x", value, value < 99.95 ? 2 : 0);
}

std::string_view remark(const result& row) {
    if (row.noisy()) return "  noisy";
    if (row.arm->role != role::ours || row.baseline == nullptr) return "";
    const double value = row.ratio_to_baseline();
    return value < 0.95 ? "  LOSES" : value > 1.05 ? "  wins" : "  par";
}

void print_row(const workload& of, const result& row) {
    if (!row.measured()) {
        fmt::print("  {:<34} failed: {}\n", row.arm->name, row.error);
        return;
    }
    fmt::print(fmt::runtime(row_format), row.arm->name, format_seconds(row.median()),
               fmt::format("± {:.1f} %", 100 * row.spread()), rate(of, row), ratio(row),
               count(quantile(row.minor_faults, 0.5)), count(quantile(row.major_faults, 0.5)),
               count_calls(row), remark(row));
}

/// Beside the file of the results, which it replaces when all is in it.
constexpr const char* unfinished = ".unfinished";

using json = nlohmann::ordered_json;

json describe(const machine_facts& facts, const suite_results& so_far) {
    json machine = json::object();
    for (const auto& [key, value] : facts) machine[key] = value;

    json entries = json::array();
    json left_out = json::array();
    json questions = json::array();
    for (const auto& [table, verdicts, error] : so_far.measured) {
        const workload& of = table->workload();
        questions.push_back({{"workload", of.name},
                             {"question", of.question},
                             {"state", of.cache},
                             {"unit", of.unit},
                             {"verdicts", verdicts}});
        if (!error.empty()) questions.back()["error"] = error;
        for (const result& row : table->rows()) {
            const std::string group = row.arm->group.empty() ? "" : row.arm->group + "/";
            json entry = {{"name", of.name + "/" + group + row.arm->name},
                          {"workload", of.name},
                          {"group", row.arm->group},
                          {"arm", row.arm->name}};
            if (!row.measured()) {
                entry["error"] = row.error;
                entries.push_back(std::move(entry));
                continue;
            }
            entry["role"] = row.arm->role == role::ours       ? "ours"
                            : row.arm->role == role::baseline ? "baseline"
                                                              : "other";
            entry["median_seconds"] = row.median();
            entry["spread"] = row.spread();
            entry["quartile_seconds"] = {row.low(), row.high()};
            entry["bytes"] = row.arm->bytes;
            entry["operations"] = row.arm->operations;
            entry["ratio_to_baseline"] =
                row.baseline != nullptr ? json(row.ratio_to_baseline()) : json();
            entry["baseline"] = row.baseline != nullptr ? json(row.baseline->arm->name) : json();
            entry["minor_faults"] = quantile(row.minor_faults, 0.5);
            entry["major_faults"] = quantile(row.major_faults, 0.5);
            entry["system_calls"] = row.system_calls ? json(row.system_calls->count) : json();
            entry["system_calls_at_least"] = row.system_calls && row.system_calls->at_least;
            entry["repetitions"] = row.seconds.size();
            entry["iterations"] = row.arm->iterations;
            entry["cache"] = of.cache_key;
            entry["cache_verified"] = of.state_is_verified && table->cache_verified;
            entry["checksum"] = fmt::format("{:016x}", row.checksum.value_or(0));
            for (const figure& f : row.arm->figures()) entry["figures"][f.key] = f.value;
            entries.push_back(std::move(entry));
        }
        for (const skipped_arm& s : of.skipped)
            left_out.push_back({{"workload", of.name}, {"arm", s.name}, {"reason", s.reason}});
    }
    for (const skipped_workload& s : so_far.skipped)
        left_out.push_back({{"workload", s.name}, {"arm", nullptr}, {"reason", s.reason}});

    return {{"schema", 1},
            {"quick", so_far.quick},
            {"complete", so_far.complete},
            {"machine", std::move(machine)},
            {"questions", std::move(questions)},
            {"results", std::move(entries)},
            {"skipped", std::move(left_out)}};
}

} // namespace

void print_machine(const machine_facts& facts) {
    for (const auto& [key, value] : facts) fmt::print("  {:<26}{}\n", key, value);
    (void)std::fflush(stdout);
}

std::vector<std::string> verdicts(const results& measured) {
    std::vector<std::string> lines;
    for (const expectation& e : measured.workload().expectations) {
        const result* const arm = measured.find(e.arm, e.group);
        const result* reference = nullptr;
        if (arm != nullptr)
            reference = e.reference.empty() ? arm->baseline : measured.find(e.reference, e.group);
        if (reference == nullptr) continue;
        // Of those who saw different data, nothing is said.
        if (arm->checksum != reference->checksum) continue;
        const std::string which =
            e.reference.empty() ? fmt::format(" ({})", reference->arm->name) : "";
        lines.push_back((e.group.empty() ? "" : e.group + ": ") +
                        verdict(*arm, *reference, e.in_words + which, e.at_least));
    }
    for (std::string& line : measured.workload().conclusions(measured))
        lines.push_back(std::move(line));
    return lines;
}

void print_table(const results& measured, const std::vector<std::string>& verdicts) {
    const workload& of = measured.workload();
    fmt::print("\n{}\n  [{}]  {}{}\n\n", of.question, of.name, of.cache,
               !of.state_is_verified ? ""
               : measured.cache_verified
                   ? "; verified by mincore"
                   : "; CANNOT VERIFY: mincore answers only to who may write the file");
    fmt::print(fmt::runtime(row_format), "arm", "median", "± IQR/2",
               of.unit.empty() ? "GB/s" : "per " + of.unit, "ratio", "minor flt", "major",
               "sys calls", "");
    std::string group;
    for (const result& row : measured.rows()) {
        if (row.arm->group != group) fmt::print("  -- {}\n", group = row.arm->group);
        print_row(of, row);
    }
    for (const skipped_arm& s : of.skipped) fmt::print("  {:<34} skipped: {}\n", s.name, s.reason);
    fmt::print("\n");

    for (const std::string& line : verdicts) fmt::print("  => {}\n", line);
    (void)std::fflush(stdout);
}

results_file::results_file(const std::string& path) {
    if (path.empty()) return;
    std::error_code ignored;
    is_replaced_ =
        !std::filesystem::exists(path, ignored) || std::filesystem::is_regular_file(path, ignored);
    // A symbolic link stays one: it is its target that is replaced.
    path_ = is_replaced_ ? std::filesystem::weakly_canonical(path).string() : path;
}

void results_file::write(const machine_facts& facts, const suite_results& so_far) const {
    if (path_.empty() || (!is_replaced_ && !so_far.complete)) return;
    const std::string to = is_replaced_ ? path_ + unfinished : path_;
    std::ofstream file(to);
    file << describe(facts, so_far).dump(2) << '\n';
    file.close();
    if (!file || (is_replaced_ && std::rename(to.c_str(), path_.c_str()) != 0)) {
        if (is_replaced_) (void)std::remove(to.c_str());
        throw std::runtime_error(path_ + ": cannot be written");
    }
}

} // namespace bench
