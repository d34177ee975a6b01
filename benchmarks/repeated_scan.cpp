// SPDX-License-Identifier: MIT
//
// What does the second scan of a file cost, and those after it?

#include "support/posix.hpp"
#include "support/results.hpp"
#include "support/sum.hpp"
#include "support/whole_file.hpp"
#include "workloads.hpp"

#include <memory>
#include <mmstl.hpp>

namespace bench {
namespace {

using bytes_span = mmstl::mapped_span<const unsigned char>;

constexpr const char* first_pass = "first pass, with open and close";
constexpr const char* later_passes = "each later pass";
constexpr std::size_t n_later = 4;

constexpr const char* mapped = "mapped_span";
constexpr const char* by_hand = "raw mmap";
constexpr const char* by_read = "read(), 256 KiB buffer, again";
constexpr const char* by_copy = "read() into one buffer, kept";

/// Scans once, or once and then `n_later` times, with the time of these alone. `pass()` is one.
/// A pass goes through volatile, so that the compiler does not take the next for the same.
template <class Pass> std::uint64_t scan(bool is_first, meter& watch, Pass pass) {
    std::uint64_t total = pass();
    if (is_first) return total;
    watch.restart();
    for (std::size_t i = 0; i < n_later; ++i) total += pass();
    watch.stop(); // to let go of the file is no part of a later pass
    return total;
}

template <class Data> std::uint64_t pass_over(const Data* data, std::size_t bytes) {
    const void* const volatile at = data;
    return sum_bytes(at, bytes);
}

std::uint64_t scan_span(const std::string& path, bool is_first, meter& watch) {
    const bytes_span all(path.c_str());
    return scan(is_first, watch, [&] { return pass_over(all.data(), all.size()); });
}

std::uint64_t scan_by_hand(const std::string& path, bool is_first, meter& watch) {
    const raw_mapping map(path);
    return scan(is_first, watch, [&] { return pass_over(map.data(), map.size_bytes()); });
}

std::uint64_t scan_read(const std::string& path, bool is_first, meter& watch, word_buffer& buffer) {
    const descriptor in(path);
    return scan(is_first, watch, [&] {
        ::lseek(in.get(), 0, SEEK_SET);
        return sum_stream(buffer, [&](void* to, std::size_t bytes) { return in.read(to, bytes); });
    });
}

std::uint64_t scan_copy(const std::string& path, bool is_first, meter& watch) {
    file_in_buffer all(path);
    return scan(is_first, watch, [&] { return pass_over(all.data(), all.size_bytes()); });
}

} // namespace

void repeated_scan(registry& into, environment& in) {
    workload made = file_workload(in, "scan.repeated",
                                  "Several scans of a file that stays open, the first pass apart",
                                  cache_state::read_ahead);
    made.unit = "pass";
    made.expected_seconds = static_cast<double>(in.file.size_bytes()) / (1 << 30) * 40 + 1;
    const std::string path = in.file.path();
    const auto buffer = std::make_shared<word_buffer>((256U << 10) / sizeof(std::uint64_t));
    const std::string no_copy = in.quick              ? "quick run"
                                : fits_twice(in.file) ? ""
                                                      : "not enough memory for a copy";

    for (const char* const group : {first_pass, later_passes}) {
        const bool is_first = group == first_pass;
        const std::size_t passes = is_first ? 1 : n_later;
        const auto add = [&](const char* name, role r, auto work) {
            made.arms.push_back({.name = name,
                                 .role = r,
                                 .run = [=](meter& watch) { return work(path, is_first, watch); },
                                 .group = group,
                                 .bytes = passes * in.file.size_bytes(),
                                 .operations = passes});
        };
        add(mapped, role::ours, scan_span);
        add(by_hand, role::other, scan_by_hand);
        add(by_read, role::baseline, [=](const std::string& p, bool first, meter& watch) {
            return scan_read(p, first, watch, *buffer);
        });
        if (no_copy.empty()) {
            add(by_copy, role::other, scan_copy);
            made.arms.back().fresh_bytes = in.file.size_bytes();
        }
        made.expectations.push_back({mapped, "", "read()", 0, group});
        made.expectations.push_back({mapped, by_copy, "a copy in memory", 0, group});
    }
    if (!no_copy.empty()) made.skipped.push_back({by_copy, no_copy});
    into.push_back(std::move(made));
}

} // namespace bench
