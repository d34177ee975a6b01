// SPDX-License-Identifier: MIT
//
// What does it cost to change a file in place, when nobody waits for the disk?

#include "support/updates.hpp"
#include "workloads.hpp"

#include <memory>

namespace bench {
namespace {

constexpr const char* by_store = "mapped_vector, stores";
constexpr const char* by_store_sorted = "the same, in sorted order";
constexpr const char* by_hand = "raw mmap, stores";
constexpr const char* by_pwrite = "pwrite() of each";
constexpr const char* by_pwrite_sorted = "the same with pwrite(), sorted";

} // namespace

void update_in_place(registry& into, environment& in) {
    const std::size_t size = std::size_t{in.quick ? 16U : 256U} << 20;
    const std::size_t count = size / sizeof(std::uint64_t) / 100;
    workload made{.name = "update.in_place",
                  .question = "Update of 1 % of the elements of a vector at random, in the page "
                              "cache",
                  .cache = format_bytes(size) +
                           "; warm, on the disk, the file open and every page of the mapping read "
                           "before the time; what was written is read back after it",
                  .cache_key = name(cache_state::read_ahead),
                  .unit = "element",
                  .expected_seconds = in.quick ? 2.0 : 60.0};
    const auto state =
        std::make_shared<updates>(vector_file(in.directory + "/update_in_place.mmv", size));
    made.set_up = [state, count, directory = in.directory] {
        state->choose(count);
        return state->set_up(directory);
    };
    made.prepare = [state](const arm& next) {
        state->prepare(next.role == role::ours       ? opened::as_vector
                       : next.role == role::baseline ? opened::as_descriptor
                                                     : opened::as_mapping);
    };
    made.verified = [state] { return state->file().cached().verified(); };
    made.tear_down = [state] { state->tear_down(); };

    const auto add = [&](const char* arm_name, role r, auto work) {
        made.arms.push_back({.name = arm_name,
                             .role = r,
                             .run = [state, work](meter&) { return work(*state); },
                             .operations = count});
    };
    constexpr auto in_the_cache = updates::until::in_the_cache;
    add(by_store, role::ours, [](updates& u) { return u.store(u.shuffled(), in_the_cache); });
    add(by_store_sorted, role::ours, [](updates& u) { return u.store(u.sorted(), in_the_cache); });
    add(by_hand, role::other, [](updates& u) { return u.store_by_hand(u.shuffled()); });
    add(by_pwrite, role::baseline, [](updates& u) { return u.write(u.shuffled(), in_the_cache); });
    // Sorting is not in the time: the writes are given their best order.
    add(by_pwrite_sorted, role::baseline,
        [](updates& u) { return u.write(u.sorted(), in_the_cache); });
    made.expectations = {{by_store, by_pwrite, "pwrite() in the same order", 0},
                         {by_store, by_hand, "raw mmap", 0},
                         {by_store_sorted, by_pwrite_sorted, "pwrite() in sorted order", 0}};
    into.push_back(std::move(made));
}

} // namespace bench
