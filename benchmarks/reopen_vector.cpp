// SPDX-License-Identifier: MIT
//
// How long does it take to have a large vector back?

#include "support/loaded_bytes.hpp"
#include "support/results.hpp"
#include "support/vector_file.hpp"
#include "workloads.hpp"

#include <array>
#include <memory>
#include <optional>
#include <stdexcept>

namespace bench {
namespace {

constexpr const char* by_writer = "mapped_vector, writer";
constexpr const char* by_reader = "mapped_vector, reader";
constexpr const char* by_mmap = "raw mmap";
constexpr const char* by_header = "raw mmap, header read first";
constexpr const char* by_read = "read into a std::vector";
constexpr const char* by_buffer = "read into a buffer, not zeroed";
constexpr double at_most_seconds = 1e-3;

/// The file, and what a run has opened: closing is not part of the question.
struct reopened {
    reopened(const std::string& path, std::size_t data_bytes) : file(path, data_bytes) {}

    vector_file file;
    vector_file::writer writer = {};
    vector_file::reader reader = {};
    std::optional<raw_mapping> raw = {};
    std::vector<std::uint64_t> copy = {};
    std::unique_ptr<std::uint64_t[]> buffer = {};
    loaded_bytes loaded = {};

    /// Lets everything go, and leaves the file as a clean close does, whoever opened it last: the
    /// child process in which system calls are counted is one of them.
    void close() {
        writer = vector_file::writer(); // "= {}" would assign no elements
        reader = vector_file::reader();
        raw.reset();
        copy = std::vector<std::uint64_t>();
        buffer.reset();
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

std::uint64_t touch(const raw_mapping& map) {
    const auto* const words = static_cast<const std::uint64_t*>(map.data());
    const std::size_t in_header = vector_file::header_bytes / sizeof(std::uint64_t);
    return words[in_header] + map.size_bytes() / sizeof(std::uint64_t) - in_header;
}

std::uint64_t open_raw(reopened& state) { return touch(state.raw.emplace(state.file.path())); }

/// What someone writes whose file says in a header what it holds.
std::uint64_t open_raw_with_header(reopened& state) {
    const descriptor in(state.file.path());
    std::array<std::byte, vector_file::header_bytes> header;
    if (in.pread(header.data(), header.size(), 0) != header.size())
        throw std::runtime_error(state.file.path() + ": ends too early");
    return touch(state.raw.emplace(in, state.file.path()));
}

std::uint64_t read_copy(reopened& state) {
    state.copy = state.file.read_into_vector();
    return state.copy.front() + state.copy.size();
}

std::uint64_t read_buffer(reopened& state) {
    state.buffer = state.file.read_into_buffer();
    return state.buffer[0] + state.file.words();
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

/// Why arms that all wait for one page of the disk do not wait for the same time.
std::vector<std::string> explain(const reopened& state) {
    std::string sizes;
    for (const char* const name : {by_writer, by_reader, by_mmap, by_header}) {
        const auto bytes = state.loaded.by(name);
        if (!bytes) return {};
        sizes += fmt::format("{}{} {}", sizes.empty() ? "" : "; ", name, format_bytes(*bytes));
    }
    sizes = "of the file in the page cache afterwards: " + sizes;
    if (state.loaded.by(by_mmap) <= state.loaded.by(by_header)) return {sizes};
    return {sizes,
            fmt::format("{}: its first read is a page fault, which begins with all of a readahead "
                        "(read_ahead_kb, above); the first read of the others is a pread() of the "
                        "header, which begins with little and brings the first element along",
                        by_mmap)};
}

workload reopen(environment& in, const char* name, const char* question, cache_state cache) {
    const std::size_t size = std::size_t{in.quick ? 16U : 1024U} << 20;
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
    made.prepare = [state, cache, cold](const arm& next) {
        if (cold) state->loaded.note(state->file.path());
        state->close();
        state->file.cached().ensure(cache);
        state->loaded.begin(next.name);
    };
    made.verified = [state] { return state->file.cached().verified(); };
    made.tear_down = [state, cold] {
        const removed_in_the_end removed(state->file);
        if (cold) state->loaded.note(state->file.path());
        state->close();
    };

    const auto add = [&](const char* arm_name, role r, auto work) {
        made.arms.push_back({.name = arm_name,
                             .role = r,
                             .run = [state, work](meter&) { return work(*state); },
                             .figures = [=] { return state->loaded.figures(arm_name); }});
    };
    add(by_writer, role::ours, open_writer);
    add(by_reader, role::ours, open_reader);
    add(by_mmap, role::other, open_raw);
    add(by_header, role::other, open_raw_with_header);
    const auto add_copying = [&](const char* arm_name, auto work) {
        add(arm_name, role::baseline, work);
        made.arms.back().fresh_bytes = (cold ? 2 : 1) * size; // the page cache's, too
    };
    add_copying(by_read, read_copy);
    add_copying(by_buffer, read_buffer);
    for (const char* const ours : {by_writer, by_reader}) {
        made.expectations.push_back({ours, "", "reading the file whole", 0});
        made.expectations.push_back({ours, by_mmap, by_mmap, 0});
        made.expectations.push_back({ours, by_header, "raw mmap that reads a header as well", 0});
    }
    made.conclusions = [state, cold](const results& of) {
        return cold ? explain(*state) : conclude(of);
    };
    return made;
}

} // namespace

void reopen_vector(registry& into, environment& in) {
    into.push_back(reopen(in, "reopen.warm",
                          "From open to the first element of a vector; closing not included",
                          cache_state::read_ahead));
    into.push_back(reopen(in, "reopen.cold", "The same of a file that is not in the page cache",
                          cache_state::cold));
}

} // namespace bench
