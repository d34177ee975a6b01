// SPDX-License-Identifier: MIT
//
// How long does it take until the first element can be used?

#include "support/posix.hpp"
#include "support/results.hpp"
#include "support/sum.hpp"
#include "workloads.hpp"

#include <mmstl.hpp>

namespace bench {
namespace {

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

std::uint64_t first_of_whole(const std::string& path) {
    const descriptor in(path);
    std::vector<unsigned char> all(in.size_bytes());
    std::size_t filled = 0;
    while (filled < all.size()) { // the kernel reads at most 2 GiB at a time
        const std::size_t got = in.read(all.data() + filled, all.size() - filled);
        if (got == 0) break;
        filled += got;
    }
    return filled == 0 ? 0 : all.front();
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
    add("mapped_span", role::ours, often, first_of_span);
    add("raw mmap", role::other, often, first_of_raw);
    add("pread() of the first", role::other, often, first_of_pread);
    const char* const whole = "read() of the whole file";
    if (fits_twice(file))
        add(whole, role::baseline, iterations_for(file.size_bytes()), first_of_whole);
    else
        made.skipped.push_back({whole, "not enough memory for a copy"});

    // Of a small file there is little to read: nothing to expect then.
    const double at_least = file.size_bytes() >= std::size_t{64} << 20 ? 100 : 0;
    made.expectations = {
        {"mapped_span", "", "reading the file whole", at_least},
        {"mapped_span", "raw mmap", "raw mmap", 0},
        {"mapped_span", "pread() of the first", "pread() of the first element", 0},
    };
    made.conclusions = [](const results& of) -> std::vector<std::string> {
        const result* const span = of.find("mapped_span");
        const result* const raw = of.find("raw mmap");
        if (span == nullptr || raw == nullptr) return {};
        return {compare_counts(*span, *raw)};
    };
    into.push_back(std::move(made));
}

} // namespace bench
