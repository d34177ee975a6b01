// SPDX-License-Identifier: MIT
//
// How long does it take until the first element can be used?

#include "support/posix.hpp"
#include "support/results.hpp"
#include "support/whole_file.hpp"
#include "workloads.hpp"

#include <mmstl.hpp>

namespace bench {
namespace {

constexpr const char* mapped = "mapped_span";
constexpr const char* by_hand = "raw mmap";
constexpr const char* by_pread = "pread() of the first";
constexpr const char* by_vector = "read() of the whole file";
constexpr const char* by_buffer = "read() of the whole, not zeroed";

// Elements are bytes here, so that a user's own file may have any length.
using bytes_span = mmstl::mapped_span<const unsigned char>;

std::uint64_t first_of_span(const std::string& path) {
    const bytes_span all(path.c_str());
    return all.empty() ? 0 : all.front();
}

std::uint64_t first_of_raw(const std::string& path) {
    const raw_mapping map(path);
    return map.size_bytes() == 0 ? 0 : *static_cast<const unsigned char*>(map.data());
}

std::uint64_t first_of_pread(const std::string& path) {
    const descriptor in(path);
    unsigned char first = 0;
    in.pread(&first, 1, 0);
    return first;
}

template <class Contents> std::uint64_t first_of_whole(const std::string& path) {
    Contents all(path);
    return all.size_bytes() == 0 ? 0 : *reinterpret_cast<const unsigned char*>(all.data());
}

} // namespace

void open_to_first_element(registry& into, environment& in) {
    workload made =
        file_workload(in, "open.first_element", "From open to the first element, and close again",
                      cache_state::read_ahead);
    const cached_file& file = in.file;
    made.expected_seconds = static_cast<double>(file.size_bytes()) / (1 << 30) * 20 + 1;

    const auto add = [&](const char* name, role r, std::int64_t iterations, auto work) {
        made.arms.push_back({.name = name,
                             .role = r,
                             .run = [&file, work](meter&) { return work(file.path()); },
                             .iterations = iterations});
    };
    const std::int64_t often = in.quick ? 100 : 500;
    add(mapped, role::ours, often, first_of_span);
    add(by_hand, role::other, often, first_of_raw);
    add(by_pread, role::baseline, often, first_of_pread);
    const auto add_copying = [&](const char* name, auto work) {
        add(name, role::other, iterations_for(file.size_bytes()), work);
        made.arms.back().fresh_bytes = file.size_bytes();
    };
    const char* const no_copy = fits_twice(file) ? nullptr : "not enough memory for a copy";
    if (no_copy != nullptr)
        made.skipped.push_back({by_buffer, no_copy});
    else
        add_copying(by_buffer, first_of_whole<file_in_buffer>);
    if (in.quick || no_copy != nullptr)
        made.skipped.push_back({by_vector, in.quick ? "quick run" : no_copy});
    else
        add_copying(by_vector, first_of_whole<file_in_vector>);

    // Of a small file there is little to read: nothing to expect then.
    const double at_least = file.size_bytes() >= std::size_t{64} << 20 ? 100 : 0;
    made.expectations = {
        {mapped, by_buffer, "reading the file whole", at_least},
        {mapped, by_vector, "reading it whole into a vector", 0},
        {mapped, by_hand, by_hand, 0},
        {mapped, by_pread, "pread() of the first element", 0},
    };
    made.conclusions = [](const results& of) -> std::vector<std::string> {
        const result* const span = of.find(mapped);
        const result* const raw = of.find(by_hand);
        if (span == nullptr || raw == nullptr) return {};
        return {compare_counts(*span, *raw)};
    };
    into.push_back(std::move(made));
}

} // namespace bench
