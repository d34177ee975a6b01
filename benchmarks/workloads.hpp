// SPDX-License-Identifier: MIT
//
// All questions of the suite. A new one is a file with a function, listed here and in meson.build.

#ifndef MMSTL_BENCHMARKS_WORKLOADS_HPP
#define MMSTL_BENCHMARKS_WORKLOADS_HPP

#include "support/environment.hpp"

namespace bench {

/// How fast is a scan of a file that is in the page cache, and of one that is not?
void sequential_scan(registry& into, environment& in);
/// What does the second scan of a file cost, and those after it?
void repeated_scan(registry& into, environment& in);
/// How long does it take until the first element can be used?
void open_to_first_element(registry& into, environment& in);
/// What does the first read of a page cost, and what a random read after it?
void random_reads(registry& into, environment& in);
/// What does a random read of a file cost that is larger than memory?
void larger_than_memory(registry& into, environment& in);
/// What does it cost to look at a few places of a large file, and how much of it is read?
void sparse_touch(registry& into, environment& in);
/// What does it take to touch one byte of each page, when memory comes in pages?
void page_granularity(registry& into, environment& in);
/// Are pages slower to come in when several threads touch them at once?
void threads_on_one_file(registry& into, environment& in);
/// What do several processes take, in time and in memory, that have the same file?
void shared_by_processes(registry& into, environment& in);
/// What do changes cost that shall not reach the file, in time and in memory?
void copy_on_write(registry& into, environment& in);
/// Does a mapping need fewer system calls than read(), and is it faster for that?
void one_system_call_less(registry& into, environment& in);
/// From which size on is a file better mapped than read?
void many_small_files(registry& into, environment& in);
/// How fast does a vector grow in a file, and in memory?
void push_back(registry& into, environment& in);
/// How fast are records appended to a new file, with and without waiting for the disk?
void append_to_new_file(registry& into, environment& in);
/// How long does a single push_back take?
void push_back_latency(registry& into, environment& in);
/// Is a loop over a mapped_vector as fast as one over a std::vector?
void sum_of_vector(registry& into, environment& in);
/// How long does it take to have a large vector back?
void reopen_vector(registry& into, environment& in);
/// What does it cost to change a file in place, when nobody waits for the disk?
void update_in_place(registry& into, environment& in);
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
/// Which buffers are best for read() and write()?
void buffer_sizes(registry& into, environment& in);

struct question {
    void (*add)(registry&, environment&);
    bool on_any_file = false; ///< Makes sense on the user's own file.
    bool on_request = false;  ///< Only if `--only` names it.
};

/// In the order of the report. `segment_memory` comes before whatever else uses the allocators of
/// other libraries: what they have kept would be there already.
inline constexpr question questions[] = {
    {sequential_scan, true},
    {repeated_scan, true},
    {open_to_first_element, true},
    {random_reads},
    {sparse_touch},
    {larger_than_memory},
    {threads_on_one_file},
    {page_granularity},
    {copy_on_write},
    {shared_by_processes},
    {one_system_call_less},
    {many_small_files},
    {push_back},
    {push_back_latency},
    {append_to_new_file},
    {sum_of_vector},
    {reopen_vector},
    {update_in_place},
    {durable_update},
    {segment_memory},
    {allocator_churn},
    {segment_containers},
    {sum_of_segment_vector},
    {reopen_segment},
    {lock_and_unlock},
    {owner_killed},
    {buffer_sizes, false, true},
};

} // namespace bench

#endif // MMSTL_BENCHMARKS_WORKLOADS_HPP
