// SPDX-License-Identifier: MIT
//
// How long does it take to have a large vector back?

#include "support/results.hpp"
#include "support/vector_file.hpp"
#include "workloads.hpp"

#include <memory>
#include <optional>

namespace bench {
namespace {

constexpr const char* by_writer = "mapped_vector, writer";
constexpr const char* by_reader = "mapped_vector, reader";
constexpr const char* by_mmap = "raw mmap";
constexpr const char* by_read = "read into a std::vector";
constexpr double at_most_seconds = 1e-3;

/// The file, and what a run has opened: closing is not part of the question.
struct reopened {
    reopened(const std::string& path, std::size_t data_bytes) : file(path, data_bytes) {}

    vector_file file;
    vector_file::writer writer = {};
    vector_file::reader reader = {};
    std::optional<raw_mapping> raw = {};
    std::vector<std::uint64_t> copy = {};

    /// Lets everything go, and leaves the file as a clean close does, whoever opened it last: the
    /// child process in which system calls are counted is one of them.
    void close() {
        writer = vector_file::writer(); // "= {}" would assign no elements
        reader = vector_file::reader();
        raw.reset();
        copy = std::vector<std::uint64_t>();
        vector_file::writer::open(file.path()).close();
    }
};

std::uint64_t open_writer(reopened& state) {
    state.writer = vector_file::writer::open(state.file.path());
    return state.writer.front() + state.writer.size();
}

std::uint64_t open_reader(reopened& state) {
    state.reader = vector_file::reader::open(state.file.path());
    return state.reader.front() + state.reader.size();
}

std::uint64_t open_raw(reopened& state) {
    state.raw.emplace(state.file.path());
    const auto* const words = static_cast<const std::uint64_t*>(state.raw->data());
    const std::size_t in_header = vector_file::header_bytes / sizeof(std::uint64_t);
    return words[in_header] + state.raw->size_bytes() / sizeof(std::uint64_t) - in_header;
}

std::uint64_t read_copy(reopened& state) {
    state.copy = state.file.read_whole();
    return state.copy.front() + state.copy.size();
}

std::string judge(const result& row) {
    return fmt::format("{}: {}; less than {} is expected: {}", row.arm->name,
                       format_seconds(row.median()), format_seconds(at_most_seconds),
                       row.median() < at_most_seconds ? "holds" : "DOES NOT HOLD");
}

std::vector<std::string> conclude(const results& of) {
    std::vector<std::string> lines;
    for (const char* const name : {by_writer, by_reader})
        if (const result* const row = of.find(name)) lines.push_back(judge(*row));
    return lines;
}

workload reopen(environment& in, const char* name, const char* question, cache_state cache) {
    const std::size_t size = std::size_t{in.quick ? 128U : 1024U} << 20;
    const bool cold = cache == cache_state::cold;
    workload made{.name = name,
                  .question = question,
                  .cache = format_bytes(size) + ", closed cleanly; " + describe(cache),
                  .cache_key = bench::name(cache),
                  .expected_seconds = static_cast<double>(size) / (1 << 30) * (cold ? 30 : 20) + 1};
    const auto state = std::make_shared<reopened>(in.directory + "/reopen.mmv", size);

    made.set_up = [state, directory = in.directory]() -> std::string {
        if (auto reason = state->file.refusal(directory, 1); !reason.empty()) return reason;
        state->file.create();
        return {};
    };
    made.prepare = [state, cache](const arm&) {
        state->close();
        state->file.cached().ensure(cache);
    };
    made.verified = [state] { return state->file.cached().verified(); };
    made.tear_down = [state] {
        state->close();
        state->file.remove();
    };

    const auto add = [&](const char* arm_name, role r, auto work) {
        made.arms.push_back(
            {.name = arm_name, .role = r, .run = [state, work](meter&) { return work(*state); }});
    };
    add(by_writer, role::ours, open_writer);
    add(by_reader, role::ours, open_reader);
    add(by_mmap, role::other, open_raw);
    add(by_read, role::baseline, read_copy);
    for (const char* const ours : {by_writer, by_reader}) {
        made.expectations.push_back({ours, "", "reading the file whole", 0});
        made.expectations.push_back({ours, by_mmap, by_mmap, 0});
    }
    return made;
}

} // namespace

void reopen_vector(registry& into, environment& in) {
    workload warm = reopen(in, "reopen.warm",
                           "From open to the first element of a vector; closing not included",
                           cache_state::read_ahead);
    warm.conclusions = conclude;
    into.push_back(std::move(warm));
    into.push_back(reopen(in, "reopen.cold", "The same of a file that is not in the page cache",
                          cache_state::cold));
}

} // namespace bench
