// SPDX-License-Identifier: MIT
//
// All questions of the suite. A new one is a file with a function, listed here and in meson.build.

#ifndef MMSTL_BENCHMARKS_WORKLOADS_HPP
#define MMSTL_BENCHMARKS_WORKLOADS_HPP

#include "support/environment.hpp"

namespace bench {

/// How fast is a scan of a file that is in the page cache, and of one that is not?
void sequential_scan(registry& into, environment& in);
/// How long does it take until the first element can be used?
void open_to_first_element(registry& into, environment& in);
/// What does the first read of a page cost, and what a random read after it?
void random_reads(registry& into, environment& in);
/// From which size on is a file better mapped than read?
void many_small_files(registry& into, environment& in);
/// How fast does a vector grow in a file, and in memory?
void push_back(registry& into, environment& in);
/// How long does a single push_back take?
void push_back_latency(registry& into, environment& in);
/// Is a loop over a mapped_vector as fast as one over a std::vector?
void sum_of_vector(registry& into, environment& in);
/// How long does it take to have a large vector back?
void reopen_vector(registry& into, environment& in);
/// What does it cost to change a file and to know that the change is on the disk?
void durable_update(registry& into, environment& in);
/// What do blocks in a segment take, in its file and in memory?
void segment_memory(registry& into, environment& in);
/// How fast are blocks of a segment allocated and freed?
void allocator_churn(registry& into, environment& in);
/// How fast are maps in a segment filled and searched?
void segment_containers(registry& into, environment& in);
/// Is a loop over a std::vector in a segment as fast as over one elsewhere?
void sum_of_segment_vector(registry& into, environment& in);
/// How long does it take to have a large map back?
void reopen_segment(registry& into, environment& in);
/// What do lock() and unlock() of a robust_mutex cost?
void lock_and_unlock(registry& into, environment& in);
/// How long does it take until others go on when the owner of a lock is killed?
void owner_killed(registry& into, environment& in);

struct question {
    void (*add)(registry&, environment&);
    bool on_any_file; ///< Makes sense on the user's own file.
};

/// In the order of the report. `segment_memory` comes before whatever else uses the allocators of
/// other libraries: what they have kept would be there already.
inline constexpr question questions[] = {
    {sequential_scan, true},
    {open_to_first_element, true},
    {random_reads, false},
    {many_small_files, false},
    {push_back, false},
    {push_back_latency, false},
    {sum_of_vector, false},
    {reopen_vector, false},
    {durable_update, false},
    {segment_memory, false},
    {allocator_churn, false},
    {segment_containers, false},
    {sum_of_segment_vector, false},
    {reopen_segment, false},
    {lock_and_unlock, false},
    {owner_killed, false},
};

} // namespace bench

#endif // MMSTL_BENCHMARKS_WORKLOADS_HPP
