// SPDX-License-Identifier: MIT
//
// Is a loop over a std::vector in a segment as fast as one over a std::vector elsewhere?

#include "support/machine.hpp"
#include "support/random.hpp"
#include "support/results.hpp"
#include "support/scratch.hpp"
#include "support/sum.hpp"
#include "workloads.hpp"

#include <fmt/format.h>
#include <memory>
#include <mmstl.hpp>
#include <vector>

namespace bench {
namespace {

using word = std::uint64_t;

struct vectors {
    mmstl::segment file = {};
    mmstl::segment memory = {};
    mmstl::vector<word>* in_file = nullptr;
    mmstl::vector<word>* in_memory = nullptr;
    std::vector<word> on_malloc = {};
};

template <class Vector> void fill(Vector& words, std::size_t n) {
    words.resize(n);
    for (std::size_t i = 0; i < n; ++i) words[i] = mix(i);
}

} // namespace

void sum_of_segment_vector(registry& into, environment& in) {
    const std::size_t n = in.quick ? 4'000'000 : 50'000'000;
    const std::string path = in.directory + "/sum.mms";
    workload made{.name = "sum.segment_vector",
                  .question = "Sum of a vector of 64-bit integers in a segment",
                  .cache = format_bytes(n * sizeof(word)) + ", all in memory and touched before",
                  .cache_key = "new",
                  .state_is_verified = false,
                  .expected_seconds = static_cast<double>(n) / 5e7 * 12};
    const auto state = std::make_shared<vectors>();

    made.set_up = [=, directory = in.directory]() -> std::string {
        if (5 * n * sizeof(word) > available_memory_bytes())
            return "not enough memory is available";
        if (2 * n * sizeof(word) > free_bytes(directory)) return directory + " has not enough room";
        state->file = mmstl::segment::create(path);
        state->memory = mmstl::segment::create(mmstl::anonymous());
        state->in_file = &state->file.construct<mmstl::vector<word>>("words");
        state->in_memory = &state->memory.construct<mmstl::vector<word>>("words");
        fill(*state->in_file, n);
        fill(*state->in_memory, n);
        fill(state->on_malloc, n);
        state->file.flush(); // or the kernel writes it while the time is taken
        return {};
    };
    made.tear_down = [=] {
        *state = vectors();
        mmstl::file(path).remove();
    };

    const auto add = [&](const char* name, role r, auto of) {
        made.arms.push_back({.name = name,
                             .role = r,
                             .run = [=](meter&) { return sum(of(*state)); },
                             .bytes = n * sizeof(word)});
    };
    using segment_vector = mmstl::vector<word>;
    constexpr const char* in_file = "std::vector, segment, file";
    constexpr const char* in_memory = "std::vector, segment, anonymous";
    add(in_file, role::ours, [](vectors& v) -> const segment_vector& { return *v.in_file; });
    add(in_memory, role::ours, [](vectors& v) -> const segment_vector& { return *v.in_memory; });
    add("std::vector, malloc", role::baseline,
        [](vectors& v) -> const std::vector<word>& { return v.on_malloc; });
    for (const char* const ours : {in_file, in_memory})
        made.expectations.push_back({ours, "", "std::vector", 0.95});
    into.push_back(std::move(made));
}

} // namespace bench
