// SPDX-License-Identifier: MIT
//
// Does a mapping need fewer system calls than read(), and is it faster for that?

#include "support/posix.hpp"
#include "support/results.hpp"
#include "support/sum.hpp"
#include "support/whole_file.hpp"
#include "workloads.hpp"

#include <array>
#include <memory>
#include <mmstl.hpp>

namespace bench {
namespace {

constexpr std::size_t sizes[] = {std::size_t{4} << 10, std::size_t{64} << 10, std::size_t{1} << 20,
                                 std::size_t{16} << 20};

constexpr const char* mapped = "mapped_span";
constexpr const char* by_hand = "open, fstat, mmap, close, munmap";
constexpr const char* by_buffer = "open, read into 64 KiB, close";
constexpr const char* by_page = "open, read into 4 KiB, close";
constexpr const char* by_whole = "open, fstat, read all, close";

std::uint64_t sum_span(const std::string& path) {
    return sum(mmstl::mapped_span<const std::uint64_t>(path.c_str()));
}

std::uint64_t sum_by_hand(const std::string& path) {
    const raw_mapping map(path);
    return sum_bytes(map.data(), map.size_bytes());
}

std::uint64_t sum_whole(const std::string& path) {
    file_in_buffer all(path);
    return sum_bytes(all.data(), all.size_bytes());
}

std::vector<std::string> conclude(const results& of) {
    std::vector<std::string> lines;
    for (const std::size_t size : sizes) {
        const std::string group = format_bytes(size);
        const result* const map = of.find(by_hand, group);
        const result* const read = of.find(by_buffer, group);
        if (map == nullptr || read == nullptr || !map->system_calls || !read->system_calls)
            continue;
        lines.push_back(fmt::format("{}: {} system calls by mmap and {} by read(), {} and {}",
                                    group, map->system_calls->count, read->system_calls->count,
                                    format_seconds(map->median()), format_seconds(read->median())));
    }
    return lines;
}

} // namespace

void one_system_call_less(registry& into, environment& in) {
    workload made{.name = "system_calls",
                  .question = "One file, open, sum, close: system calls and their time",
                  .cache = describe(cache_state::read_ahead),
                  .cache_key = name(cache_state::read_ahead),
                  .expected_seconds = in.quick ? 1.0 : 5.0};
    const auto files = std::make_shared<std::vector<cached_file>>();
    for (const std::size_t size : sizes)
        files->emplace_back(fmt::format("{}/system_calls.{}", in.directory, size), size,
                            cached_file::origin::generated);
    made.set_up = [=]() -> std::string {
        for (cached_file& file : *files) file.ensure(cache_state::read_ahead);
        return {};
    };
    made.prepare = [=](const arm& next) {
        for (cached_file& file : *files)
            if (format_bytes(file.size_bytes()) == next.group) file.ensure(cache_state::read_ahead);
    };
    made.tear_down = [=] {
        for (const cached_file& file : *files) ::unlink(file.path().c_str());
    };
    made.conclusions = conclude;

    const auto buffer = std::make_shared<word_buffer>((64U << 10) / sizeof(std::uint64_t));
    const auto page = std::make_shared<word_buffer>((4U << 10) / sizeof(std::uint64_t));
    for (const cached_file& file : *files) {
        const std::string group = format_bytes(file.size_bytes());
        const auto add = [&, path = file.path()](const char* arm_name, role r, auto work) {
            made.arms.push_back({.name = arm_name,
                                 .role = r,
                                 .run = [=](meter&) { return work(path); },
                                 .iterations = iterations_for(file.size_bytes()),
                                 .group = group,
                                 .bytes = file.size_bytes()});
        };
        add(mapped, role::ours, sum_span);
        add(by_hand, role::other, sum_by_hand);
        add(by_buffer, role::baseline,
            [=](const std::string& p) { return sum_by_read(p, *buffer); });
        add(by_page, role::other, [=](const std::string& p) { return sum_by_read(p, *page); });
        add(by_whole, role::other, sum_whole);
        made.expectations.push_back({mapped, "", "read()", 0, group});
    }
    into.push_back(std::move(made));
}

} // namespace bench
