// SPDX-License-Identifier: MIT
//
// What do blocks in a segment take, in its file and in memory, beside what was asked for?

#include "peers/allocators.hpp"
#include "peers/boost_interprocess.hpp"
#include "support/ask_child.hpp"
#include "support/churner.hpp"
#include "support/posix.hpp"
#include "support/results.hpp"
#include "support/scratch.hpp"
#include "workloads.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <functional>
#include <map>
#include <memory>
#include <mmstl.hpp>
#include <optional>
#include <utility>

namespace bench {
namespace {

/// 64 MiB and more, at 240 bytes on average.
constexpr std::size_t n_weighed = 300'000;
constexpr std::size_t boost_file_bytes = std::size_t{256} << 20;

constexpr const char* in_file = "segment, file";
constexpr const char* in_memory = "segment, anonymous";
constexpr const char* by_mimalloc = "mimalloc";
constexpr const char* by_jemalloc = "jemalloc";
constexpr const char* by_boost = "Boost.Interprocess, file";

/// As of the moment when all blocks are there, and each was replaced once on average.
struct footprint {
    std::uint64_t requested_bytes = 0;
    std::uint64_t resident_bytes = 0; ///< By so much the process has grown.
    std::uint64_t file_bytes = 0;
    std::uint64_t disk_bytes = 0; ///< Of the blocks that the file has there.
};

struct file_size {
    std::uint64_t bytes = 0;
    std::uint64_t disk_bytes = 0;
};

file_size size_of(const std::string& path) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) return {};
    return {static_cast<std::uint64_t>(status.st_size),
            static_cast<std::uint64_t>(status.st_blocks) * 512};
}

/// Allocates blocks, replaces each once on average, and frees them. `to` is told what they took,
/// and in the file `path`.
template <class Allocator>
std::uint64_t hold_blocks(Allocator from, std::size_t n, footprint* to, const std::string& path) {
    const std::uint64_t before = to != nullptr ? own_memory_bytes("Rss:") : 0;
    churner<Allocator> blocks(from, n, 1);
    const std::uint64_t checksum = blocks.replace(n);
    if (to != nullptr) {
        const file_size file = size_of(path);
        *to = {.requested_bytes = blocks.requested_bytes(),
               .resident_bytes = own_memory_bytes("Rss:") - before - blocks.table_bytes(),
               .file_bytes = file.bytes,
               .disk_bytes = file.disk_bytes};
    }
    return checksum;
}

struct boost_blocks {
    peers::boost_heap* heap;

    [[nodiscard]] void* allocate(std::size_t n_bytes) const { return heap->allocate(n_bytes); }
    void deallocate(void* p, std::size_t) const noexcept { heap->deallocate(p); }
};

/// A segment with a map of ten short texts.
struct small_segment {
    std::uint64_t file_bytes = 0;
    std::uint64_t disk_bytes = 0;
};

small_segment measure_small(const std::string& path) {
    auto made = mmstl::segment::create(path);
    auto& map = made.construct<mmstl::map<int, mmstl::string>>("words");
    for (int i = 0; i < 10; ++i) map.emplace(i, "a text that takes a block of its own");
    made.close();
    const file_size closed = size_of(path);
    ::unlink(path.c_str());
    return {closed.bytes, closed.disk_bytes};
}

struct findings {
    std::map<std::string, footprint> of_arms;
    small_segment small;
};

double per_requested(std::uint64_t bytes, const footprint& of) {
    return static_cast<double>(bytes) / static_cast<double>(of.requested_bytes);
}

std::string judge(double value, double at_most) {
    return fmt::format("at most {} are expected: {}", at_most,
                       value <= at_most ? "holds" : "DOES NOT HOLD");
}

std::vector<std::string> conclude(const findings& found) {
    constexpr double at_most = 1.15;
    std::vector<std::string> lines;
    std::string resident;
    for (const auto& [name, of] : found.of_arms)
        resident += fmt::format("{}{} {:.3f}", resident.empty() ? "" : "; ", name,
                                per_requested(of.resident_bytes, of));
    if (const auto it = found.of_arms.find(in_file); it != found.of_arms.end()) {
        const double file = per_requested(it->second.file_bytes, it->second);
        const double disk = per_requested(it->second.disk_bytes, it->second);
        lines.push_back(fmt::format("{}: for each byte asked for, {:.3f} bytes of file and {:.3f} "
                                    "of disk, of {} asked for; {}",
                                    in_file, file, disk, format_bytes(it->second.requested_bytes),
                                    judge(std::max(file, disk), at_most)));
    }
    lines.push_back("resident memory for each byte asked for: " + resident);
    lines.push_back(fmt::format("a segment with a map of ten short texts, closed: {} of disk, in a "
                                "file of {}",
                                format_bytes(found.small.disk_bytes),
                                format_bytes(found.small.file_bytes)));
    return lines;
}

} // namespace

void segment_memory(registry& into, environment& in) {
    const std::string path = in.directory + "/memory";
    const std::size_t n_timed = in.quick ? n_weighed / 10 : n_weighed;
    const std::size_t n_held = in.quick ? n_weighed / 3 : n_weighed;
    workload made{.name = "segment.memory",
                  .question = fmt::format("Allocate {} blocks of new memory, replace each once on "
                                          "average, free all",
                                          n_timed),
                  .cache = fmt::format("{} to {} bytes, uniformly at random", least_block_bytes,
                                       most_block_bytes),
                  .cache_key = "new",
                  .unit = "block",
                  .state_is_verified = false,
                  .expected_seconds = in.quick ? 3.0 : 12.0};
    const auto found = std::make_shared<findings>();
    using work = std::function<std::uint64_t(std::size_t, footprint*)>;
    const auto held = std::make_shared<std::map<std::string, work>>();

    made.set_up = [=, directory = in.directory]() -> std::string {
        if (free_bytes(directory) < boost_file_bytes) return directory + " has not enough room";
        if (available_memory_bytes() < 2 * boost_file_bytes)
            return "not enough memory is available";
        for (const auto& one : *held) {
            ::unlink(path.c_str());
            peers::c_library::give_back();
            if (const auto answer =
                    ask_child<footprint>([&](footprint& to) { one.second(n_held, &to); }))
                found->of_arms[one.first] = *answer;
        }
        ::unlink(path.c_str());
        found->small = measure_small(path);
        return {};
    };
    made.prepare = [=](const arm&) {
        ::unlink(path.c_str());
        // What an arm has freed, or the next one would not pay for its pages.
        peers::c_library::give_back();
        if (const auto& library = peers::find_mimalloc(); library.functions)
            library.functions->give_back();
        if (const auto& library = peers::find_jemalloc(); library.functions)
            library.functions->give_back();
        claim_free_memory(2 * n_timed * most_block_bytes);
    };
    made.tear_down = [=] { ::unlink(path.c_str()); };

    const auto add = [&](const char* name, role r, work hold) {
        (*held)[name] = hold;
        made.arms.push_back({.name = name,
                             .role = r,
                             .run = [=](meter&) { return hold(n_timed, nullptr); },
                             .operations = n_timed,
                             .figures = [=]() -> std::vector<figure> {
                                 const auto it = found->of_arms.find(name);
                                 if (it == found->of_arms.end()) return {};
                                 const auto as_figure = [](const char* key, std::uint64_t value) {
                                     return figure{key, static_cast<double>(value)};
                                 };
                                 const footprint& of = it->second;
                                 return {as_figure("requested_bytes", of.requested_bytes),
                                         as_figure("resident_bytes", of.resident_bytes),
                                         as_figure("file_bytes", of.file_bytes),
                                         as_figure("disk_bytes", of.disk_bytes)};
                             }});
    };
    add(in_file, role::ours, [=](std::size_t n, footprint* to) {
        const auto segment = mmstl::segment::create(path);
        return hold_blocks(segment.allocator<std::byte>(), n, to, path);
    });
    add(in_memory, role::ours, [=](std::size_t n, footprint* to) {
        const auto segment = mmstl::segment::create(mmstl::anonymous());
        return hold_blocks(segment.allocator<std::byte>(), n, to, "");
    });
    add("malloc (glibc)", role::baseline,
        [=](std::size_t n, footprint* to) { return hold_blocks(peers::c_library(), n, to, ""); });
    if (const auto& library = peers::find_mimalloc(); library.functions)
        add(by_mimalloc, role::baseline, [=, &library](std::size_t n, footprint* to) {
            return hold_blocks(*library.functions, n, to, "");
        });
    else
        made.skipped.push_back({by_mimalloc, library.reason});
    if (const auto& library = peers::find_jemalloc(); library.functions)
        add(by_jemalloc, role::baseline, [=, &library](std::size_t n, footprint* to) {
            return hold_blocks(*library.functions, n, to, "");
        });
    else
        made.skipped.push_back({by_jemalloc, library.reason});
    if (peers::has_boost_interprocess)
        add(by_boost, role::other, [=](std::size_t n, footprint* to) {
            const auto heap = peers::make_boost_heap(path, boost_file_bytes);
            return hold_blocks(boost_blocks{heap.get()}, n, to, path);
        });
    else
        made.skipped.push_back({by_boost, peers::no_boost_interprocess});

    for (const char* const ours : {in_file, in_memory}) {
        made.expectations.push_back({ours, by_mimalloc, by_mimalloc, 0});
        made.expectations.push_back({ours, by_boost, "Boost.Interprocess", 0});
    }
    made.conclusions = [=](const results&) { return conclude(*found); };
    into.push_back(std::move(made));
}

} // namespace bench
