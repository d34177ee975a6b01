// SPDX-License-Identifier: MIT
//
// From which size on is a file better mapped than read?

#include "peers/boost_iostreams.hpp"
#include "support/posix.hpp"
#include "support/results.hpp"
#include "support/sum.hpp"
#include "support/whole_file.hpp"
#include "workloads.hpp"

#include <bit>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <mmstl.hpp>
#include <span>

namespace bench {
namespace {

constexpr std::size_t kib = 1024;
constexpr std::size_t mib = 1024 * kib;
constexpr std::size_t sizes[] = {1 * kib, 4 * kib, 16 * kib, 64 * kib, 256 * kib,
                                 1 * mib, 4 * mib, 16 * mib, 64 * mib};

/// All but the largest for a quick run, of which they would take the most.
std::span<const std::size_t> sizes_for(const environment& in) {
    return std::span(sizes).first(in.quick ? std::size(sizes) - 2 : std::size(sizes));
}

constexpr std::size_t buffer_bytes = 256 * kib;

constexpr const char* mapped = "mapped_span";
constexpr const char* copied = "mapped_span, copied";
constexpr const char* by_read = "read(), 256 KiB buffer";
constexpr const char* to_the_end = "read() until it returns 0";

/// The files of one size.
struct file_set {
    std::string directory;
    std::vector<cached_file> files;

    void ensure_cached() {
        for (cached_file& file : files) file.ensure(cache_state::read_ahead);
    }
};

using file_sets = std::map<std::string, file_set>; // by the name of the group

file_sets describe_files(const environment& in) {
    file_sets sets;
    for (const std::size_t size : sizes_for(in)) {
        const std::size_t total = (in.quick ? 4 : 128) * mib;
        const std::size_t count = std::clamp<std::size_t>(total / size, 1, in.quick ? 64 : 1000);
        file_set& set = sets[format_bytes(size)];
        set.directory = fmt::format("{}/{}", in.directory, size);
        for (std::size_t i = 0; i < count; ++i)
            set.files.emplace_back(fmt::format("{}/{:04}", set.directory, i), size,
                                   cached_file::origin::generated);
    }
    return sets;
}

std::uint64_t sum_span(const std::string& path, const mmstl::span_options& how) {
    const mmstl::mapped_span<const std::uint64_t> words(path.c_str(), how);
    return sum(words);
}

std::uint64_t sum_raw(const std::string& path) {
    const raw_mapping map(path);
    return sum_bytes(map.data(), map.size_bytes());
}

/// What a program does that does not take a short read for the end of the file.
std::uint64_t sum_to_the_end(const std::string& path, word_buffer& buffer) {
    const descriptor in(path);
    std::uint64_t total = 0;
    while (const auto got = in.read(buffer.data(), buffer.size() * sizeof(std::uint64_t)))
        total += sum_bytes(buffer.data(), got);
    return total;
}

/// What a program does that wants to keep the contents, as a span does.
std::uint64_t sum_fresh(const std::string& path) {
    file_in_buffer all(path);
    return sum_bytes(all.data(), all.size_bytes());
}

std::uint64_t sum_ifstream(const std::string& path, word_buffer& buffer) {
    std::ifstream in(path, std::ios::binary);
    return sum_stream(buffer, [&](void* to, std::size_t bytes) {
        in.read(static_cast<char*>(to), static_cast<std::streamsize>(bytes));
        return static_cast<std::size_t>(in.gcount());
    });
}

std::uint64_t sum_fread(const std::string& path, word_buffer& buffer) {
    std::FILE* const in = std::fopen(path.c_str(), "rb");
    if (in == nullptr) fail("fopen", path);
    const std::uint64_t total = sum_stream(
        buffer, [&](void* to, std::size_t bytes) { return std::fread(to, 1, bytes, in); });
    (void)std::fclose(in);
    return total;
}

/// The smallest size from which `first` is no more than `margin` times as fast as `second`,
/// interpolated between two sizes that were measured; 0 if it never is, nothing if it always is.
std::optional<std::size_t> crossover(const results& of, const char* first, const char* second,
                                     double margin = 1) {
    double size_below = 0;
    double lead_below = 0;
    for (const std::size_t size : sizes) {
        const std::string group = format_bytes(size);
        const result* const a = of.find(first, group);
        const result* const b = of.find(second, group);
        if (a == nullptr || b == nullptr) continue; // too large for a quick run
        const double lead = std::log(b->median() / a->median() / margin);
        const double here = std::log2(static_cast<double>(size));
        if (lead <= 0) {
            if (size == sizes[0]) return 0;
            const double at = size_below + (here - size_below) * lead_below / (lead_below - lead);
            return static_cast<std::size_t>(std::exp2(at));
        }
        size_below = here;
        lead_below = lead;
    }
    return std::nullopt;
}

std::string describe_crossover(const char* first, const char* second,
                               const std::optional<std::size_t>& at) {
    if (!at) return fmt::format("{} is faster than {} at all sizes measured", first, second);
    if (*at == 0) return fmt::format("{} is faster than {} at all sizes measured", second, first);
    return fmt::format("{} wins below {}, {} above", first, format_bytes(*at), second);
}

std::vector<std::string> conclude(const results& of) {
    const auto against_read = crossover(of, by_read, mapped);
    // Memory for a copy is only worth it where the copy saves a fifth or more.
    const auto against_copy = crossover(of, copied, mapped, 1.25);
    std::vector<std::string> lines = {describe_crossover(by_read, mapped, against_read)};
    if (!against_copy || *against_copy == 0) return lines;
    const std::size_t recommended = std::bit_floor(*against_copy);
    lines.push_back(
        fmt::format("a copy saves a fifth or more below {}; recommended on this machine: "
                    "copy_below_bytes = {} ({})",
                    format_bytes(*against_copy), recommended, format_bytes(recommended)));

    for (const char* const reading : {by_read, to_the_end}) {
        double worst = HUGE_VAL;
        for (const std::size_t size : sizes) {
            if (size >= recommended) break;
            const std::string group = format_bytes(size);
            const result* const copy = of.find(copied, group);
            const result* const read = of.find(reading, group);
            if (copy != nullptr && read != nullptr)
                worst = std::min(worst, read->median() / copy->median());
        }
        lines.push_back(fmt::format("below that size a copied mapped_span is at its worst {:.2f} x "
                                    "as fast as {}; at least 0.9 is expected: {}",
                                    worst, reading, worst >= 0.9 ? "holds" : "DOES NOT HOLD"));
    }
    return lines;
}

} // namespace

void many_small_files(registry& into, environment& in) {
    workload made{.name = "small_files",
                  .question = "Many small files: open, sum, close, one after the other",
                  .cache = describe(cache_state::read_ahead),
                  .cache_key = name(cache_state::read_ahead),
                  .unit = "file",
                  .expected_seconds = in.quick ? 10.0 : 40.0};
    const auto sets = std::make_shared<file_sets>(describe_files(in));
    const auto buffer = std::make_shared<word_buffer>(buffer_bytes / sizeof(std::uint64_t));

    made.set_up = [sets, directory = in.directory]() -> std::string {
        for (auto& [group, set] : *sets) {
            std::filesystem::create_directory(set.directory);
            for (cached_file& file : set.files) file.create();
        }
        ::syncfs(descriptor(directory).get()); // all at once, not file by file
        for (auto& [group, set] : *sets) set.ensure_cached();
        return {};
    };
    made.prepare = [sets](const arm& next) { sets->at(next.group).ensure_cached(); };
    made.tear_down = [sets] {
        for (auto& [group, set] : *sets) std::filesystem::remove_all(set.directory);
    };
    made.conclusions = conclude;

    for (const std::size_t size : sizes_for(in)) {
        const std::string group = format_bytes(size);
        const std::size_t count = sets->at(group).files.size();
        const auto add = [&](const char* arm_name, role r, auto work) {
            const auto run = [sets, group, work](meter&) {
                std::uint64_t total = 0;
                for (const cached_file& file : sets->at(group).files) total += work(file.path());
                return total;
            };
            made.arms.push_back({.name = arm_name,
                                 .role = r,
                                 .run = run,
                                 .group = group,
                                 .bytes = count * size,
                                 .operations = count});
        };
        add(mapped, role::ours, [](const std::string& path) { return sum_span(path, {}); });
        add(copied, role::ours, [](const std::string& path) {
            return sum_span(path, {.copy_below_bytes = 2 * sizes[std::size(sizes) - 1]});
        });
        add("raw mmap", role::other, sum_raw);
        add(by_read, role::baseline, [=](const std::string& p) { return sum_by_read(p, *buffer); });
        add("pread(), 256 KiB buffer", role::other,
            [=](const std::string& p) { return sum_by_pread(p, *buffer); });
        add(to_the_end, role::other,
            [=](const std::string& p) { return sum_to_the_end(p, *buffer); });
        add("read() into a fresh buffer", role::other, sum_fresh);
        add("ifstream", role::other,
            [=](const std::string& p) { return sum_ifstream(p, *buffer); });
        add("fread()", role::other, [=](const std::string& p) { return sum_fread(p, *buffer); });
        if (peers::has_boost_iostreams)
            add(peers::boost_mapped_file, role::other, peers::sum_by_boost);
    }
    if (!peers::has_boost_iostreams)
        made.skipped.push_back({peers::boost_mapped_file, peers::no_boost_iostreams});
    into.push_back(std::move(made));
}

} // namespace bench
