// SPDX-License-Identifier: MIT
//
// Which buffers are best for read() and write()? The baselines of the other tables depend on it.

#include "support/growing_file.hpp"
#include "support/posix.hpp"
#include "support/results.hpp"
#include "support/scratch.hpp"
#include "support/sum.hpp"
#include "support/whole_file.hpp"
#include "workloads.hpp"

#include <algorithm>
#include <memory>

namespace bench {
namespace {

constexpr std::size_t kib = 1024;
constexpr std::size_t sizes[] = {4 * kib,    16 * kib,   32 * kib,   64 * kib,
                                 128 * kib,  256 * kib,  512 * kib,  1024 * kib,
                                 2048 * kib, 4096 * kib, 16384 * kib};
/// What the tables use. The fastest of several is their baseline.
constexpr std::size_t used_for_read[] = {64 * kib, 256 * kib, 1024 * kib};
constexpr std::size_t used_for_write[] = {64 * kib, 256 * kib};

std::vector<std::string> conclude(const results& of, std::span<const std::size_t> used) {
    const result* best = nullptr;
    for (const result& row : of.rows())
        if (row.measured() && (best == nullptr || row.median() < best->median())) best = &row;
    if (best == nullptr) return {};
    std::string close;
    for (const result& row : of.rows())
        if (row.measured() && row.median() <= 1.05 * best->median())
            close += (close.empty() ? "" : ", ") + row.arm->name;
    std::vector<std::string> lines = {
        fmt::format("the best buffer: {}; within 5 % of it: {}", best->arm->name, close)};
    const result* ours = nullptr;
    for (const std::size_t size : used) {
        const result* const row = of.find(format_bytes(size));
        if (row != nullptr && (ours == nullptr || row->median() < ours->median())) ours = row;
    }
    if (ours != nullptr) {
        const double ratio = ours->median() / best->median();
        lines.push_back(fmt::format("the baseline of the other tables, {}: {:.2f} x as long as the "
                                    "best; at most 1.05 is expected: {}",
                                    ours->arm->name, ratio,
                                    ratio <= 1.05 ? "holds" : "DOES NOT HOLD"));
    }
    return lines;
}

workload sweep_read(environment& in, const char* name, const char* question, cache_state state) {
    workload made = file_workload(in, name, question, state);
    made.expected_seconds = static_cast<double>(in.file.size_bytes()) / (1 << 30) * 100 + 1;
    for (const std::size_t size : sizes) {
        const auto buffer = std::make_shared<word_buffer>(size / sizeof(std::uint64_t));
        made.arms.push_back(
            {.name = format_bytes(size),
             .role = role::baseline,
             .run = [=, path = in.file.path()](meter&) { return sum_by_read(path, *buffer); },
             .bytes = in.file.size_bytes()});
    }
    made.conclusions = [](const results& of) { return conclude(of, used_for_read); };
    return made;
}

workload sweep_write(environment& in) {
    const std::size_t bytes = std::size_t{in.quick ? 64U : 512U} << 20;
    const std::size_t n = bytes / sizeof(std::uint64_t);
    const std::string path = in.directory + "/sweep";
    workload made{.name = "sweep.write",
                  .question = "write() to a new file, by the size of its buffer",
                  .cache = format_bytes(bytes) + "; nothing waits for the disk",
                  .cache_key = "new",
                  .state_is_verified = false,
                  .expected_seconds = static_cast<double>(bytes) / (1 << 30) * 100 + 1};
    made.set_up = [=, directory = in.directory]() -> std::string {
        if (4 * bytes > available_memory_bytes()) return "not enough memory is available";
        if (2 * bytes > free_bytes(directory)) return directory + " has not enough room";
        return {};
    };
    const auto clear = [=, where = in.directory] {
        ::unlink(path.c_str());
        ::syncfs(descriptor(where, O_RDONLY | O_DIRECTORY).get());
    };
    made.prepare = [=](const arm&) {
        clear();
        claim_free_memory(bytes);
    };
    made.tear_down = clear;
    for (const std::size_t size : sizes) {
        const auto buffer = std::make_shared<word_buffer>(size / sizeof(std::uint64_t));
        made.arms.push_back({.name = format_bytes(size),
                             .role = role::baseline,
                             .run =
                                 [=](meter&) {
                                     const descriptor file(path, O_RDWR | O_CREAT | O_EXCL);
                                     write_all_through(*buffer, file, n, make_element);
                                     return checksum(file_words(file), n);
                                 },
                             .bytes = bytes});
    }
    made.conclusions = [](const results& of) { return conclude(of, used_for_write); };
    return made;
}

} // namespace

void buffer_sizes(registry& into, environment& in) {
    into.push_back(sweep_read(in, "sweep.read.cached",
                              "read() of a file in the page cache, by the size of its buffer",
                              cache_state::read_ahead));
    into.push_back(sweep_read(in, "sweep.read.cold",
                              "read() of a file that is not in the page cache, by the size of its "
                              "buffer",
                              cache_state::cold));
    into.push_back(sweep_write(in));
}

} // namespace bench
