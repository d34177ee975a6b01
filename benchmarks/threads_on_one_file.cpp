// SPDX-License-Identifier: MIT
//
// Are pages slower to come in when several threads touch them at once?

#include "support/file_words.hpp"
#include "support/posix.hpp"
#include "support/results.hpp"
#include "support/workers.hpp"
#include "workloads.hpp"

#include <memory>
#include <mmstl.hpp>

namespace bench {
namespace {

using words_span = mmstl::mapped_span<const std::uint64_t>;

constexpr std::size_t page_words = 4096 / sizeof(std::uint64_t);

constexpr const char* together = "mapped_span, threads, one for all";
constexpr const char* apart = "mapped_span, a process each";
constexpr const char* by_pread = "pread() of 8 bytes, threads";

/// The i-th of `n` looks at a word in each page of its part of the file.
template <class WordAt>
std::uint64_t look_at_part(std::size_t i, std::size_t n, std::size_t n_pages, WordAt word_at) {
    std::uint64_t total = 0;
    for (std::size_t page = n_pages * i / n; page < n_pages * (i + 1) / n; ++page)
        total += word_at(page * page_words);
    return total;
}

struct state {
    words_span span = {}; ///< Opened and closed by each run.
    std::unique_ptr<workers> here = {};
};

} // namespace

void threads_on_one_file(registry& into, environment& in) {
    workload made = file_workload(in, "threads.first_touch",
                                  "First read of every page of a file, in order, divided among "
                                  "several",
                                  cache_state::read_ahead);
    made.unit = "page";
    const std::string path = in.file.path();
    const std::size_t n_pages = in.file.size_bytes() / 4096;
    made.expected_seconds = static_cast<double>(in.file.size_bytes()) / (1 << 30) * 40 + 1;

    const auto current = std::make_shared<state>();
    made.prepare = [=, &file = in.file](const arm&) {
        current->here.reset();
        file.ensure(cache_state::read_ahead);
    };
    made.tear_down = [=] { current->here.reset(); };

    std::vector<std::size_t> counts = {1, 2};
    if (in.threads > 2) counts.push_back(in.threads);
    for (const std::size_t n : counts) {
        const std::string group = n == 1 ? "one" : fmt::format("{} at once", n);
        // They begin in the first run of a repetition, outside the time.
        const auto add = [&](const char* name, role r, work_as what, const make_work& make,
                             bool is_shared) {
            made.arms.push_back({.name = name,
                                 .role = r,
                                 .run =
                                     [=](meter& watch) {
                                         if (!current->here) {
                                             current->here = assemble(what, make, n);
                                             watch.restart();
                                         }
                                         if (is_shared) current->span = words_span(path.c_str());
                                         const std::uint64_t total = current->here->run(0);
                                         current->span = words_span();
                                         return total;
                                     },
                                 .group = group,
                                 .operations = n_pages,
                                 .works_alone = false});
        };
        add(
            together, role::ours, work_as::threads,
            [=](std::size_t i) -> work {
                return [=](std::uint64_t) {
                    const std::uint64_t* const words = current->span.data();
                    return look_at_part(i, n, n_pages, [=](std::size_t at) { return words[at]; });
                };
            },
            true);
        add(
            apart, role::other, work_as::processes,
            [=](std::size_t i) -> work {
                return [=](std::uint64_t) {
                    const words_span words(path.c_str());
                    return look_at_part(i, n, n_pages, [&](std::size_t at) { return words[at]; });
                };
            },
            false);
        add(
            by_pread, role::baseline, work_as::threads,
            [=](std::size_t i) -> work {
                const auto file = std::make_shared<descriptor>(path);
                return [=](std::uint64_t) {
                    const file_words words(*file);
                    return look_at_part(i, n, n_pages, [&](std::size_t at) { return words[at]; });
                };
            },
            false);
        made.expectations.push_back({together, "", "pread()", 0, group});
        made.expectations.push_back({together, apart, "that many processes", 0, group});
    }
    into.push_back(std::move(made));
}

} // namespace bench
