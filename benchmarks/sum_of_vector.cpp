// SPDX-License-Identifier: MIT
//
// Is a loop over a mapped_vector as fast as one over a std::vector?

#include "support/results.hpp"
#include "support/sum.hpp"
#include "support/vector_file.hpp"
#include "workloads.hpp"

#include <memory>
#include <optional>
#include <stdexcept>

namespace bench {
namespace {

struct vectors {
    vectors(const std::string& path, std::size_t data_bytes) : file(path, data_bytes) {}

    vector_file file;
    vector_file::writer mapped = {};
    std::vector<std::uint64_t> in_memory = {};

    // For the conclusion, when the vectors are gone.
    double faults_of_first_touch = 0;
    std::optional<std::uint64_t> huge_of_mapped = {}, huge_of_memory = {};
};

std::uint64_t sum_by_index(const vector_file::writer& words) {
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < words.size(); ++i) total += words[i];
    return total;
}

std::uint64_t touch_all(vectors& v) {
    meter watch;
    watch.restart();
    const std::uint64_t total = sum(v.mapped);
    watch.stop();
    v.faults_of_first_touch = watch.minor_faults() + watch.major_faults();
    return total;
}

std::string in_huge_pages(const std::optional<std::uint64_t>& huge, std::uint64_t of) {
    if (!huge) return "an unknown part in huge pages";
    return fmt::format("{} in huge pages", format_bytes(std::min(*huge, of)));
}

/// Which pages are compared: it is they that decide where a loop waits for the memory.
std::string compare_pages(const vectors& v) {
    const std::uint64_t size = v.file.data_bytes();
    std::string folios;
    if (v.faults_of_first_touch > 0)
        folios = fmt::format(" (and a fault for each {} of folios in the page cache)",
                             format_bytes(static_cast<std::uint64_t>(static_cast<double>(size) /
                                                                     v.faults_of_first_touch)));
    return fmt::format("page sizes, of {} each: mapped_vector has {}{}, std::vector has {}; the "
                       "rest is in pages of {}",
                       format_bytes(size), in_huge_pages(v.huge_of_mapped, size), folios,
                       in_huge_pages(v.huge_of_memory, size),
                       format_bytes(static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE))));
}

} // namespace

void sum_of_vector(registry& into, environment& in) {
    const std::size_t size = std::size_t{in.quick ? 32U : 512U} << 20;
    workload made{.name = "sum.vector",
                  .question = "Sum of a vector of 64-bit integers that is open and in memory",
                  .cache = format_bytes(size) +
                           "; warm: read through once by read(), and every page of the mapping "
                           "touched before the time",
                  .cache_key = name(cache_state::read_ahead),
                  .expected_seconds = static_cast<double>(size) / (1 << 30) * 20 + 1};
    const auto state = std::make_shared<vectors>(in.directory + "/sum.mmv", size);

    made.set_up = [state, directory = in.directory]() -> std::string {
        if (auto reason = state->file.refusal(directory, 1); !reason.empty()) return reason;
        state->file.create();
        state->file.cached().ensure(cache_state::read_ahead);
        state->mapped = vector_file::writer::open(state->file.path());
        state->in_memory = state->file.read_into_vector();
        if (touch_all(*state) != sum(state->in_memory))
            throw std::runtime_error("the two vectors do not hold the same");
        return {};
    };
    made.prepare = [state](const arm&) {
        state->file.cached().ensure(cache_state::read_ahead);
        if (sum(state->mapped) != sum(state->in_memory))
            throw std::runtime_error("the two vectors do not hold the same");
    };
    made.verified = [state] { return state->file.cached().verified(); };
    made.tear_down = [state] {
        state->huge_of_mapped = huge_page_bytes(state->mapped.data());
        state->huge_of_memory = huge_page_bytes(state->in_memory.data());
        state->mapped = vector_file::writer(); // "= {}" would assign no elements
        state->in_memory = std::vector<std::uint64_t>();
        state->file.remove();
    };

    const auto add = [&](const char* name, role r, auto work) {
        made.arms.push_back({.name = name,
                             .role = r,
                             .run = [state, work](meter&) { return work(*state); },
                             .bytes = size});
    };
    add("mapped_vector, range-for", role::ours, [](const vectors& v) { return sum(v.mapped); });
    add("mapped_vector, std::span", role::ours,
        [](const vectors& v) { return sum(std::span(v.mapped)); });
    add("mapped_vector, size() each time", role::ours,
        [](const vectors& v) { return sum_by_index(v.mapped); });
    add("std::vector, range-for", role::baseline,
        [](const vectors& v) { return sum(v.in_memory); });

    const char* const standard = "std::vector";
    made.expectations = {
        {"mapped_vector, range-for", "", standard, 0.95},
        {"mapped_vector, std::span", "", standard, 0.95},
        {"mapped_vector, size() each time", "", standard, 0}, // documented as slower
    };
    made.conclusions = [state](const results&) -> std::vector<std::string> {
        return {compare_pages(*state)};
    };
    into.push_back(std::move(made));
}

} // namespace bench
