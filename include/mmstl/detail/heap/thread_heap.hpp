// SPDX-License-Identifier: MIT
//
// The heap of a segment as a thread sees it: the spans it owns. Allocating and freeing a block of
// one's own is a few loads and stores, without a lock or an atomic operation that costs anything;
// freeing someone else's is one compare-and-swap.

#ifndef MMSTL_DETAIL_HEAP_THREAD_HEAP_HPP
#define MMSTL_DETAIL_HEAP_THREAD_HEAP_HPP

#include <mmstl/detail/assert.hpp>
#include <mmstl/detail/heap/layout.hpp>
#include <mmstl/detail/heap/robust_word.hpp>
#include <mmstl/detail/heap/shared_heap.hpp>
#include <mmstl/detail/posix.hpp>
#include <mmstl/error.hpp>
#include <mmstl/segment_options.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

namespace mmstl::inline v1::detail::heap {

struct open_heap;

/// What a thread has of one segment. In a page that a fork()ed child finds zero: there `base` is
/// the sign that nothing of it is the child's.
struct thread_heap {
    struct entry {
        span* current; ///< never null
        std::byte* start;
    };

    std::atomic<std::byte*> base; ///< of the segment's heap; null: of none any more
    cell<std::uint64_t> capacity_bytes;
    std::uint64_t lock_word; ///< that the thread has a lock: `robust_word`
    thread_id id;
    std::uint32_t n_late_uses; ///< see `late_heaps`
    open_heap* of;
    thread_heap* next_late;
    std::array<entry, n_classes> entries;
    // Rings of spans.
    std::array<std::uint32_t, n_classes> with_room;
    std::array<std::uint32_t, n_classes> full;
};
static_assert(sizeof(thread_heap) <= page_bytes);

/// Whether the thread's heap is one in the segment that `p` lies in.
inline bool is_for(const thread_heap& one, const void* p) noexcept {
    const auto first = reinterpret_cast<std::uintptr_t>(one.base.load(std::memory_order_relaxed));
    return reinterpret_cast<std::uintptr_t>(p) - first < one.capacity_bytes.get();
}

/// Of a class that a thread has no span of.
inline constinit span no_span{};
inline constinit thread_heap no_thread_heap{};
/// The heap that the thread has used last.
inline thread_local constinit thread_heap* last_used = &no_thread_heap;

/// A segment that this process has open, as far as its heap is concerned.
struct open_heap {
    open_heap(const image& in, const growing& how) : shared(in, how) {}

    shared_heap shared;
    std::vector<thread_heap*> threads; ///< under the registry's lock
    bool is_writable = true;
};

/// All of this process.
///
/// Threads: `mutex` guards what is in it, and is held as long as a thread needs for something of its
/// own. Who opens or closes a segment may wait for another process, and has `openings` meanwhile,
/// which is locked before the other. fork() waits for both.
struct open_heaps {
    std::mutex openings;
    std::mutex mutex;
    std::vector<open_heap*> all;

    void lock() {
        openings.lock();
        mutex.lock();
    }
    void unlock() {
        mutex.unlock();
        openings.unlock();
    }
    [[nodiscard]] open_heap* find(const std::byte* base) const noexcept {
        const auto at = std::find_if(all.begin(), all.end(), [&](const open_heap* one) {
            return one->shared.in().heap() == base;
        });
        return at == all.end() ? nullptr : *at;
    }
    [[nodiscard]] open_heap* find_around(const void* p) const noexcept {
        const auto at = std::find_if(all.begin(), all.end(), [&](const open_heap* one) {
            const auto first = reinterpret_cast<std::uintptr_t>(one->shared.in().heap());
            return reinterpret_cast<std::uintptr_t>(p) - first < one->shared.capacity_bytes();
        });
        return at == all.end() ? nullptr : *at;
    }
};

/// Never destroyed: blocks may be freed while the program ends.
inline open_heaps& heaps_of_this_process() {
    static open_heaps& all = []() -> open_heaps& {
        auto* const made = new open_heaps;
        // Where it fails, a child that is forked while another thread opens a segment may wait for
        // ever when it opens one too.
        (void)posix::on_fork([] { heaps_of_this_process().lock(); },
                             [] { heaps_of_this_process().unlock(); },
                             [] {
                                 auto& inherited = heaps_of_this_process();
                                 for (auto* const one : inherited.all)
                                     one->shared.members().close_descriptor();
                                 inherited.unlock();
                             });
        return *made;
    }();
    return all;
}

// ---- the fast paths ----

/// A block of a span that is the caller's; null if there is none.
template <class Span> inline void* pop(Span& from, std::byte* start, std::uint32_t block) noexcept {
    const auto used = from.used.get();
    if (const auto link = from.local_free.get(); link != 0) {
        std::byte* const p = start + (link - 1);
        const auto next = link_in(p);
        from.used.set(used + 1);
        keep_order();
        from.local_free.set(next);
        return p;
    }
    const auto at = from.bump.get();
    if (at + block > from.limit.get()) return nullptr;
    from.used.set(used + 1);
    keep_order();
    from.bump.set(at + block);
    return start + at;
}

/// Back to a span that is the caller's. How many of its blocks are in use then.
template <class Span>
inline std::uint32_t put_back(Span& of, void* p, std::uint32_t link) noexcept {
    set_link(p, of.local_free.get());
    keep_order();
    of.local_free.set(link);
    keep_order();
    const auto used = of.used.get() - 1;
    of.used.set(used);
    return used;
}

void* allocate_slowly(std::byte* base, std::size_t n_bytes, std::size_t alignment, std::size_t c);
bool switch_to(std::byte* base) noexcept;
void deallocate_run(std::byte* base, void* p, std::size_t n_bytes) noexcept;
void attend(thread_heap& mine, span& of) noexcept;
void reclaim(std::byte* base, span& of) noexcept;

/// By another than the owner: for the owner to collect. Where there is none, whoever returns the
/// last block gives the span back.
template <class Span>
inline void give_to_owner(std::byte* base, Span& of, void* p, std::uint32_t link) noexcept {
    const bool is_abandoned = of.owner.load(std::memory_order_relaxed) == 0;
    const auto used = of.used.get();
    auto was = of.returned.load(std::memory_order_relaxed);
    do set_link(p, first_of(was));
    while (!of.returned.compare_exchange_weak(was, returned_word(count_of(was) + 1, link),
                                              std::memory_order_release,
                                              std::memory_order_relaxed));
    if (is_abandoned && count_of(was) + 1 == used) [[unlikely]]
        reclaim(base, of);
}

/// A block of the segment whose heap begins at `base`.
///
/// Throws: `segment_exhausted`; nothing has changed then.
template <std::size_t Alignment> void* allocate(std::byte* base, std::size_t n_bytes) {
    const std::size_t c = class_for<Alignment>(n_bytes);
    thread_heap& mine = *last_used;
    if (c < n_classes && mine.base.load(std::memory_order_relaxed) == base) [[likely]] {
        const auto& entry = mine.entries[c];
        if (void* const p = pop(*entry.current, entry.start, classes[c].block_bytes)) [[likely]]
            return p;
    }
    return allocate_slowly(base, n_bytes, Alignment, c);
}

/// Frees what `allocate<Alignment>(base, n_bytes)` has returned, in any thread of any process.
template <std::size_t Alignment>
void deallocate(std::byte* base, void* p, std::size_t n_bytes) noexcept {
    if (is_large<Alignment>(n_bytes)) return deallocate_run(base, p, n_bytes);
    span& of = is_small<Alignment>(n_bytes) ? *slice_of(p) : *span_of(p);
    MMSTL_ASSERT(of.state.get() == span_state::blocks &&
                 of.size_class.get() == class_for<Alignment>(n_bytes));
    const auto in_span = is_small<Alignment>(n_bytes)
                             ? reinterpret_cast<std::uintptr_t>(p) % slice_bytes
                             : static_cast<std::size_t>(static_cast<std::byte*>(p) - start_of(&of));
    const auto link = static_cast<std::uint32_t>(in_span) + 1;
    if (last_used->base.load(std::memory_order_relaxed) != base && !switch_to(base)) [[unlikely]]
        return give_to_owner(base, of, p, link);
    thread_heap& mine = *last_used;
    if (of.owner.load(std::memory_order_relaxed) != mine.id)
        return give_to_owner(base, of, p, link);
    if (put_back(of, p, link) == of.alarm.get()) [[unlikely]]
        attend(mine, of);
}

// ---- the slow paths ----

/// The last or the first block of a span has been freed that the thread does not allocate from.
[[gnu::noinline, gnu::cold]] inline void attend(thread_heap& mine, span& of) noexcept {
    auto& shared = mine.of->shared;
    const std::size_t c = of.size_class.get();
    if (of.ring.get() == static_cast<std::uint32_t>(ring_kind::full)) {
        remove(shared.in(), mine.full[c], of);
        push(shared.in(), mine.with_room[c], of, ring_kind::with_room);
        of.alarm.set(0);
    }
    // One that is empty is kept, for a thread that frees and allocates one block in turn.
    const bool is_only_one = of.next.get() == shared.in().index_of(of) + 1;
    if (of.used.get() != 0 || is_only_one) return;
    remove(shared.in(), mine.with_room[c], of);
    shared.give_back(of);
}

inline void make_current(thread_heap& mine, std::size_t c, span& of) noexcept {
    of.alarm.set(no_alarm);
    mine.entries[c] = {&of, start_of(&of)};
}

/// Looks for blocks that others have freed among the spans that were full, those first that were
/// not looked at for the longest time. Few at a time, so that it costs little beside the blocks of
/// the span that is taken otherwise; a span with few of them is left until it has more.
inline span* find_returned(thread_heap& mine, std::size_t c, bool thoroughly) noexcept {
    constexpr int most_looked_at = 16;
    const image& in = mine.of->shared.in();
    auto& ring = mine.full[c];
    const auto start = ring;
    for (int i = 0; ring != 0 && (thoroughly || i < most_looked_at); ++i) {
        span& of = in.span_at(ring - 1);
        const auto n = count_of(of.returned.load(std::memory_order_relaxed));
        if (n != 0 && (thoroughly || n * 8 >= classes[c].n_blocks)) {
            remove(in, ring, of);
            return &of;
        }
        ring = of.next.get();
        if (ring == start) break;
    }
    return nullptr;
}

/// Claims something; before the file gets longer for it, what the dead have left is looked for.
template <class Claim> failure claim(shared_heap& shared, Claim one) noexcept {
    const auto why = one(growth::put_off);
    if (why.value != would_grow) return why;
    {
        const std::lock_guard lock(heaps_of_this_process().mutex);
        (void)shared.bury_the_dead(); // those it cannot find out about, it takes nothing from
    }
    return one(growth::allowed);
}

/// Null, and why, if there is no room.
inline void* allocate_block(thread_heap& mine, std::size_t c, failure& why) noexcept {
    auto& shared = mine.of->shared;
    const image& in = shared.in();
    const auto& facts = classes[c];
    auto& entry = mine.entries[c];
    for (;;) {
        span& now = *entry.current;
        if (void* const p = pop(now, entry.start, facts.block_bytes)) return p;
        if (&now != &no_span) {
            if (drain(now)) continue;
            const auto needed = now.bump.get() + facts.block_bytes;
            if (needed <= facts.span_bytes) {
                why = shared.commit_blocks(now, needed);
                if (!why.failed()) continue;
                // The room that it has is for better times.
            }
            now.alarm.set(now.used.get() - 1);
            push(in, mine.full[c], now, ring_kind::full);
            entry = {&no_span, nullptr};
        }
        span* next = nullptr;
        if (auto& ring = mine.with_room[c]; ring != 0) {
            next = &in.span_at(ring - 1);
            remove(in, ring, *next);
        } else {
            next = find_returned(mine, c, false);
        }
        if (next == nullptr) {
            why =
                claim(shared, [&](growth may) { return shared.claim_span(c, mine.id, may, next); });
            if (why.failed()) next = find_returned(mine, c, true);
        }
        if (next == nullptr) return nullptr;
        make_current(mine, c, *next);
    }
}

/// Gives the spans back, of whatever class, in which nothing is in use: others may have freed what
/// was in them, of which the owner hears nothing.
inline void give_back_empty(thread_heap& mine) noexcept {
    auto& shared = mine.of->shared;
    const image& in = shared.in();
    const auto is_empty = [](const span& of) {
        return of.used.get() == count_of(of.returned.load(std::memory_order_acquire));
    };
    for (std::size_t c = 0; c < n_classes; ++c) {
        auto& entry = mine.entries[c];
        if (entry.current != &no_span && is_empty(*entry.current)) {
            shared.give_back(*entry.current);
            entry = {&no_span, nullptr};
        }
        for (auto* const ring : {&mine.with_room[c], &mine.full[c]}) {
            std::uint32_t first_kept = 0;
            for (auto at = *ring; *ring != 0 && at != first_kept;) {
                span& of = in.span_at(at - 1);
                const auto next = of.next.get();
                if (is_empty(of)) {
                    remove(in, *ring, of);
                    shared.give_back(of);
                } else if (first_kept == 0) {
                    first_kept = at;
                }
                at = next;
            }
        }
    }
}

/// Gives everything back that a thread has of a segment, for others to use.
inline void release(thread_heap& mine) noexcept {
    auto& shared = mine.of->shared;
    const image& in = shared.in();
    const auto let_go = [&](span& of) {
        if (of.local_free.get() == 0) drain(of);
        shared.abandon(of);
    };
    for (std::size_t c = 0; c < n_classes; ++c) {
        auto& entry = mine.entries[c];
        if (entry.current != &no_span) let_go(*std::exchange(entry.current, &no_span));
        for (auto* const ring : {&mine.with_room[c], &mine.full[c]})
            while (*ring != 0) {
                span& of = in.span_at(*ring - 1);
                remove(in, *ring, of);
                let_go(of);
            }
    }
    shared.release_thread(mine.id);
    mine.capacity_bytes.set(0);
    mine.base.store(nullptr, std::memory_order_relaxed);
}

/// The heaps that a thread has, in all segments.
class thread_heaps {
public:
    thread_heaps() noexcept = default;
    thread_heaps(const thread_heaps&) = delete;
    thread_heaps& operator=(const thread_heaps&) = delete;
    ~thread_heaps() {
        last_used = &no_thread_heap;
        is_gone = true;
        auto& process = heaps_of_this_process();
        const std::lock_guard lock(process.mutex);
        for (thread_heap* const one : all_) {
            if (one->base.load(std::memory_order_relaxed) != nullptr) {
                std::erase(one->of->threads, one);
                release(*one);
            }
            unmap(one);
        }
    }

    /// With the registry's lock held.
    thread_heap* find(const std::byte* base) noexcept {
        std::erase_if(all_, [](thread_heap* one) {
            if (one->base.load(std::memory_order_relaxed) != nullptr) return false;
            if (last_used == one) last_used = &no_thread_heap;
            unmap(one);
            return true;
        });
        return look_up(base);
    }
    /// Without the lock, as the next one.
    [[nodiscard]] thread_heap* look_around(const void* p) const noexcept {
        for (thread_heap* const one : all_)
            if (is_for(*one, p)) return one;
        return nullptr;
    }
    /// Without the lock: none is ever added by another thread.
    [[nodiscard]] thread_heap* look_up(const std::byte* base) const noexcept {
        for (thread_heap* const one : all_)
            if (one->base.load(std::memory_order_relaxed) == base) return one;
        return nullptr;
    }
    void add(thread_heap* one) { all_.push_back(one); }
    void make_room() { all_.reserve(all_.size() + 1); }

    /// Blocks may be freed, and allocated, by what is destroyed later in the thread.
    static inline thread_local constinit bool is_gone = false;

private:
    static void unmap(thread_heap* one) noexcept { (void)posix::unmap(one, page_bytes); }

    std::vector<thread_heap*> all_;
};
inline thread_local thread_heaps heaps_of_this_thread;

/// Makes the thread's heap in the segment at `base` the one that was used last, if there is one.
[[gnu::noinline, gnu::cold]] inline bool switch_to(std::byte* base) noexcept {
    thread_heap* const found = thread_heaps::is_gone ? nullptr : heaps_of_this_thread.look_up(base);
    if (found != nullptr) last_used = found;
    return found != nullptr;
}

/// Makes this process a member of the segment, if a fork() has made it forget.
///
/// With the registry's lock held.
inline failure ensure_member(open_heap& in) noexcept {
    if (in.shared.members().is_member()) return {};
    in.threads.clear(); // the parent's
    return in.shared.join();
}

/// The heap of this thread in the segment at `base`, made if there is none.
///
/// Throws: `std::bad_alloc`.
inline thread_heap* heap_of_this_thread(std::byte* base, failure& why, const char* call) {
    auto& process = heaps_of_this_process();
    const std::lock_guard lock(process.mutex);
    open_heap* const of = process.find(base);
    MMSTL_ASSERT(of != nullptr && "the segment of this allocator is not open");
    if (of == nullptr) {
        why = posix::failed(call, EBADF);
        return nullptr;
    }
    if (!thread_heaps::is_gone)
        if (thread_heap* const found = heaps_of_this_thread.find(base)) return found;
    if (why = ensure_member(*of); why.failed()) return nullptr;
    if (!thread_heaps::is_gone) heaps_of_this_thread.make_room();
    of->threads.reserve(of->threads.size() + 1);
    thread_id id = 0;
    if (why = of->shared.take_thread(id, call); why.failed()) return nullptr;
    std::byte* page = nullptr;
    if (why = posix::map_forgetful(page_bytes, page); why.failed()) {
        of->shared.release_thread(id);
        return nullptr;
    }
    auto* const made = new (page) thread_heap{};
    made->id = id;
    made->capacity_bytes.set(of->shared.capacity_bytes());
    made->lock_word =
        robust_word::owned_by(place_of(id), of->shared.in().thread(place_of(id)).generation.get());
    made->of = of;
    made->entries.fill({&no_span, nullptr});
    made->base.store(base, std::memory_order_relaxed);
    of->threads.push_back(made);
    if (!thread_heaps::is_gone) heaps_of_this_thread.add(made);
    return made;
}

[[noreturn]] inline void throw_exhausted(open_heap* of, std::size_t n_bytes, const failure& why) {
    std::uint64_t available = 0;
    if (of != nullptr) {
        available = of->shared.usage().free_bytes;
        if (why.value != ENOMEM) available = std::min(available, of->shared.left_on_disk());
    }
    throw segment_exhausted(n_bytes, available, why.code());
}

/// A heap that a thread has made whose others are gone already, for one block or while it has a
/// lock: nobody would give back later what it has.
inline void dismiss(thread_heap& late) noexcept {
    last_used = &no_thread_heap;
    const std::lock_guard lock(heaps_of_this_process().mutex);
    std::erase(late.of->threads, &late);
    release(late);
    (void)posix::unmap(reinterpret_cast<std::byte*>(&late), page_bytes);
}

[[gnu::noinline, gnu::cold]] inline void* allocate_slowly(std::byte* base, std::size_t n_bytes,
                                                          std::size_t alignment, std::size_t c) {
    failure why;
    if (last_used->base.load(std::memory_order_relaxed) != base && !switch_to(base)) {
        thread_heap* const mine = heap_of_this_thread(base, why, "allocate");
        if (mine == nullptr) throw_exhausted(nullptr, n_bytes, why);
        last_used = mine;
    }
    thread_heap& mine = *last_used;
    open_heap* const of = mine.of;
    void* p = nullptr;
    const auto try_it = [&] {
        if (c < n_classes)
            p = allocate_block(mine, c, why);
        else
            why = claim(of->shared, [&](growth may) {
                return of->shared.claim_run(n_bytes, alignment, may, p);
            });
        return p != nullptr;
    };
    if (!try_it()) { // until all that is free has been found
        {
            const std::lock_guard lock(heaps_of_this_process().mutex);
            (void)of->shared.bury_the_dead();
        }
        give_back_empty(mine);
        of->shared.reclaim_all();
        try_it();
    }
    if (thread_heaps::is_gone) dismiss(mine);
    if (p == nullptr) throw_exhausted(of, n_bytes, why);
    return p;
}

// ---- for those that must go by one name for a while: owners of locks, constructors ----

/// Those that a thread has made for its name when its others were gone already: it has each as long
/// as it has locks in that segment, or makes named objects. They are never the one used last.
inline thread_local constinit thread_heap* late_heaps = nullptr;

/// The heap of this thread in the segment that `p` lies in; null if it has none.
inline thread_heap* find_heap_around(const void* p) noexcept {
    if (!thread_heaps::is_gone) return heaps_of_this_thread.look_around(p);
    thread_heap* found = late_heaps;
    while (found != nullptr && !is_for(*found, p)) found = found->next_late;
    return found;
}

/// The same, made if there is none. Null, and why, if there is no such segment, or no place in it.
///
/// Throws: `std::bad_alloc`.
[[gnu::noinline, gnu::cold]] inline thread_heap* heap_around(const void* p, failure& why,
                                                             const char* call) {
    thread_heap* found = find_heap_around(p);
    if (found == nullptr) {
        std::byte* base = nullptr;
        {
            auto& process = heaps_of_this_process();
            const std::lock_guard lock(process.mutex);
            const open_heap* const of = process.find_around(p);
            if (of == nullptr)
                why = refuse(errc::not_in_a_segment, call);
            else if (!of->is_writable)
                why = refuse(errc::wrong_access, call);
            else
                base = of->shared.in().heap();
        }
        if (base != nullptr) found = heap_of_this_thread(base, why, call);
        if (found == nullptr) return nullptr;
        if (thread_heaps::is_gone) found->next_late = std::exchange(late_heaps, found);
    }
    if (!thread_heaps::is_gone) last_used = found;
    return found;
}

/// The thread has got a lock in the segment (1), or one less (-1), or was refused one (0). Of a heap
/// that was made late, the last one takes it with it.
inline void count_use(thread_heap& mine, int change) noexcept {
    if (!thread_heaps::is_gone) return;
    mine.n_late_uses += static_cast<std::uint32_t>(change);
    if (mine.n_late_uses != 0) return;
    thread_heap** link = &late_heaps;
    while (*link != &mine) link = &(*link)->next_late;
    *link = mine.next_late;
    dismiss(mine);
}

/// What is open at `base`, for a process that is a member, which it is made; null if it cannot be
/// (a child that has no descriptors left).
inline open_heap* opened_at(std::byte* base) noexcept {
    if (last_used->base.load(std::memory_order_relaxed) == base || switch_to(base))
        return last_used->of;
    auto& process = heaps_of_this_process();
    const std::lock_guard lock(process.mutex);
    open_heap* const of = process.find(base);
    MMSTL_ASSERT(of != nullptr && "the segment of this allocator is not open");
    return of == nullptr || ensure_member(*of).failed() ? nullptr : of;
}

/// Where the process cannot become a member, the block stays allocated.
inline void deallocate_run(std::byte* base, void* p, std::size_t n_bytes) noexcept {
    if (open_heap* const of = opened_at(base)) of->shared.give_back_run(p, n_bytes);
}

/// Where the process cannot become a member, the span is given back later.
[[gnu::noinline, gnu::cold]] inline void reclaim(std::byte* base, span& of) noexcept {
    if (open_heap* const in = opened_at(base)) in->shared.reclaim(of);
}

} // namespace mmstl::inline v1::detail::heap

#endif
