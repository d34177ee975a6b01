// SPDX-License-Identifier: MIT
//
// The heap of a segment as all processes see it: which slices are whose. Spans of blocks, runs for
// large blocks and whole regions are handed out and taken back here, under one lock; what threads
// do with their spans is in thread_heap.hpp.

#ifndef MMSTL_DETAIL_HEAP_SHARED_HEAP_HPP
#define MMSTL_DETAIL_HEAP_SHARED_HEAP_HPP

#include <mmstl/detail/checksum.hpp>
#include <mmstl/detail/heap/coordination.hpp>
#include <mmstl/detail/heap/layout.hpp>
#include <mmstl/detail/heap/slices.hpp>
#include <mmstl/detail/posix.hpp>
#include <mmstl/error.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

namespace mmstl::inline v1::detail::heap {

/// How the file of a segment gets longer.
struct growing {
    int fd = -1;
    bool sparse = false;        ///< blocks come when pages are first stored to
    bool falls_back = false;    ///< to sparse, where the file system cannot allocate
    std::uint64_t most_bytes{}; ///< to be committed ahead, at a time
};

/// What there is to know of a heap, as of one moment.
struct heap_usage {
    std::uint64_t used_bytes = 0; ///< of blocks that are handed out
    std::uint64_t free_bytes = 0; ///< that can be handed out, though not as one block
};

/// Keeps others from beginning or ceasing to use the segment.
class opening_lock {
public:
    explicit opening_lock(int segment_fd) noexcept : why_(posix::reopen(segment_fd, fd_)) {
        if (!why_.failed()) why_ = posix::lock_byte(fd_, opening_offset);
    }
    opening_lock(const opening_lock&) = delete;
    opening_lock& operator=(const opening_lock&) = delete;
    ~opening_lock() {
        if (fd_ == -1) return;
        // Closing does not do it while a child has the description that was made just now (_Fork).
        if (!why_.failed()) (void)posix::unlock_byte(fd_, opening_offset);
        (void)posix::close(fd_);
    }
    [[nodiscard]] const failure& why() const noexcept { return why_; }

    /// Whether any process uses the segment, this one not counted.
    failure ask_for_others(bool& others) const noexcept {
        bool locked = false;
        auto f = posix::try_lock_bytes(fd_, liveness_offset, most_processes, locked);
        others = f.failed() || !locked;
        // And so they are given back: the lock itself is on another byte.
        if (locked) f = posix::unlock_bytes(fd_, liveness_offset, most_processes);
        return f;
    }

private:
    int fd_ = -1;
    failure why_;
};

// ---- rings of spans ----

// By their next and previous; whoever has the ring knows any of them, as index and one, or 0.

enum class ring_kind : std::uint32_t { none = 0, with_room = 1, full = 2, abandoned = 3 };

/// As the last.
inline void push(const image& in, std::uint32_t& ring, span& added, ring_kind which) noexcept {
    const auto index = in.index_of(added) + 1;
    added.ring.set(static_cast<std::uint32_t>(which));
    if (ring == 0) {
        added.next.set(index);
        added.previous.set(index);
        ring = index;
        return;
    }
    span& first = in.span_at(ring - 1);
    span& last = in.span_at(first.previous.get() - 1);
    added.next.set(ring);
    added.previous.set(first.previous.get());
    last.next.set(index);
    first.previous.set(index);
}

inline void remove(const image& in, std::uint32_t& ring, span& from) noexcept {
    const auto index = in.index_of(from) + 1;
    if (from.next.get() == index) {
        ring = 0;
    } else {
        in.span_at(from.next.get() - 1).previous.set(from.previous.get());
        in.span_at(from.previous.get() - 1).next.set(from.next.get());
        if (ring == index) ring = from.next.get();
    }
    from.next.set(0);
    from.previous.set(0);
    from.ring.set(static_cast<std::uint32_t>(ring_kind::none));
}

/// Whether the file may get longer for a claim. Where that is put off and others may have died, the
/// claim fails with `would_grow`: what they have left is to be looked for first.
enum class growth : unsigned char { put_off, allowed };
inline constexpr int would_grow = -1;

class shared_heap {
    /// Takes back, or finishes, what a dead holder of the heap's lock was in the middle of: in both
    /// cases what it had the slices for is free in the end.
    struct replay {
        shared_heap* self;
        void operator()(lock_line& line) const noexcept { self->finish_for_the_dead(line); }
    };

public:
    shared_heap(const image& in, const growing& how) noexcept : image_(in), growing_(how) {}

    [[nodiscard]] const image& in() const noexcept { return image_; }
    [[nodiscard]] membership& members() noexcept { return members_; }

    // ---- spans of blocks ----

    /// A span of class `c` for `owner`, with at least one block in it that is free, if `found` is
    /// not null afterwards; else the failure says what there is too little of.
    failure claim_span(std::size_t c, thread_id owner, growth may, span*& found) noexcept;
    /// Lets the span's blocks up to `limit` bytes be handed out.
    failure commit_blocks(span& of, std::uint32_t n_bytes) noexcept;
    /// A span without a block in use. Of its owner.
    void give_back(span& empty) noexcept;
    /// Of a span that its owner has no more use for: whoever needs one of that class takes it, or
    /// nobody if it is empty.
    void abandon(span& of) noexcept {
        const auto held = lock();
        abandon_or_free(of);
    }
    void reclaim(span& of) noexcept;
    void reclaim_all() noexcept;

    // ---- large blocks ----

    failure claim_run(std::size_t n_bytes, std::size_t alignment, growth may,
                      void*& found) noexcept;
    void give_back_run(void* block, std::size_t n_bytes) noexcept;

    // ---- processes and threads ----

    /// Takes a place among those who use the segment, and marks it as in use. If it was left by a
    /// boot before this one, `vet()` is asked first, while nobody else can join.
    template <class Vet> failure join(Vet vet);
    /// Again, in a fork()ed child: its parent was accepted.
    failure join() noexcept {
        return join([]() noexcept { return failure{}; });
    }
    /// Gives the place back, for which nothing of it may be in use any more. If nobody else is
    /// there, `last()` is called, before anybody can join.
    template <class Last> failure leave(Last last) noexcept;
    /// Takes over what processes have left that have died, and counts these.
    failure bury_the_dead(std::size_t& n_dead) noexcept {
        return members_.bury_the_dead(
            image_, replay{this},
            [this](std::uint32_t p) {
                release_threads_of(p);
                return failure{};
            },
            n_dead);
    }
    failure bury_the_dead() noexcept {
        std::size_t n_dead = 0;
        return bury_the_dead(n_dead);
    }
    failure take_thread(thread_id& id, const char* for_call) noexcept;
    void release_thread(thread_id id) noexcept {
        image_.thread(place_of(id)).process.store(0, std::memory_order_release);
    }

    /// The generation of the thread that has this place, if there is one that may still do something.
    [[nodiscard]] std::optional<std::uint32_t> living_at(std::uint32_t place) const noexcept {
        if (place >= most_threads) return std::nullopt;
        const auto& record = image_.thread(place);
        const auto process = record.process.load();
        if (process == 0 || process > most_processes) return std::nullopt; // the latter: damaged
        const auto generation = record.generation.get();
        if (membership::is_being_buried(image_, process - 1) ||
            !members_.is_alive(image_, process - 1, image_.process(process - 1).generation.load()))
            return std::nullopt;
        return generation;
    }
    [[nodiscard]] bool is_alive(thread_id id) const noexcept {
        const auto generation = living_at(place_of(id));
        return generation && make_thread_id(place_of(id), *generation) == id;
    }

    /// The lock of the table of names, which is not the heap's: constructors allocate.
    [[nodiscard]] process_lock lock_names() noexcept {
        return {image_, members_, image_.locks().names, [](lock_line&) {}};
    }

    /// Cuts off what is free at the end of the file. Nobody else may use the segment.
    failure trim() noexcept;

    [[nodiscard]] heap_usage usage() const noexcept;
    [[nodiscard]] std::uint64_t left_on_disk() const noexcept {
        return posix::free_bytes(growing_.fd);
    }
    [[nodiscard]] std::uint64_t capacity_bytes() const noexcept {
        return image_.n_regions() * std::uint64_t{region_bytes};
    }
    /// For a file that has grown so far: nothing mapped beyond may be touched.
    failure extend(std::uint64_t file_bytes) noexcept;

private:
    static constexpr auto* call = "allocate";
    /// As long as so little is committed, spans get their blocks page by page.
    static constexpr std::uint64_t small_heap_bytes = mebibyte;
    static constexpr std::uint64_t punch_bytes = mebibyte;
    /// Of the root's list, that are looked at before a new span is made.
    static constexpr int most_adopted = 8;

    [[nodiscard]] process_lock lock() noexcept {
        return {image_, members_, image_.locks().heap, replay{this}};
    }
    void intend(intent_kind what, std::uint32_t first, std::uint32_t n, bool is_huge) noexcept {
        auto& now = image_.locks().heap.intent;
        now.first.set(first);
        now.n_slices.set(n);
        now.is_huge.set(is_huge ? 1 : 0);
        keep_order();
        now.kind.set(static_cast<std::uint32_t>(what));
        keep_order();
    }
    void forget_intent() noexcept {
        keep_order();
        image_.locks().heap.intent.kind.set(static_cast<std::uint32_t>(intent_kind::none));
    }
    void finish_for_the_dead(lock_line& line) noexcept {
        if (&line != &image_.locks().heap) return;
        const auto& was = line.intent;
        const auto kind = static_cast<intent_kind>(was.kind.get());
        const auto first = was.first.get();
        const auto n = was.n_slices.get();
        if (kind != intent_kind::claim && kind != intent_kind::give_back) {
            // None; or of a damaged file, as are those below that are not believed: forgotten.
        } else if (was.is_huge.get() != 0) {
            if (can_be_huge(first, n)) free_regions(first, n);
        } else if (const auto at = at_index(first, n); can_be_one(at)) {
            free_slices(at);
        }
        forget_intent();
        relink_abandoned();
    }
    [[nodiscard]] bool can_be_huge(std::uint32_t first, std::uint32_t n) const noexcept;
    [[nodiscard]] bool can_be_one(const slices& at) const noexcept;
    [[nodiscard]] bool is_span(const slices& at) const noexcept;
    [[nodiscard]] bool is_span(const span& of) const noexcept {
        return is_span(at_index(image_.index_of(of), 1));
    }
    static slices at_index(std::uint32_t index, std::uint32_t n) noexcept {
        return {index / static_cast<std::uint32_t>(slices_per_region),
                index % static_cast<std::uint32_t>(slices_per_region), n};
    }

    // All below with the lock held.

    [[nodiscard]] slice_map used(std::uint32_t region) const noexcept {
        return slice_map(image_.maps(region).used);
    }
    [[nodiscard]] slice_map committed(std::uint32_t region) const noexcept {
        return slice_map(image_.maps(region).committed);
    }
    /// Whether no slice is in use but the one that describes the others.
    [[nodiscard]] bool is_empty(std::uint32_t region) const noexcept {
        const auto kind = kind_of(image_.directory(region).get());
        return kind == region_kind::unused ||
               (kind == region_kind::divided && used(region).next(1, true) == slices_per_region);
    }

    failure find_slices(std::uint32_t n, std::uint32_t alignment, growth may,
                        slices& found) noexcept;
    failure find_committed(std::uint32_t n, std::uint32_t alignment, slices& found) noexcept;
    failure divide(std::uint32_t region) noexcept;
    failure describe(std::uint32_t region, std::uint32_t n_slices) noexcept;
    failure commit(std::uint64_t offset, std::uint64_t n_bytes) noexcept;
    failure commit_span(const slices& of, std::uint32_t first_block_bytes,
                        std::uint32_t& limit) noexcept;
    void set_committed(const slices& of, bool to) noexcept;
    void free_slices(const slices& of) noexcept;
    void free_with_intent(const slices& of) noexcept {
        intend(intent_kind::give_back, of.index(), of.n, false);
        free_slices(of);
        forget_intent();
    }
    [[nodiscard]] slices run_of(const span& first, std::size_t n_bytes) const noexcept {
        return at_index(image_.index_of(first), static_cast<std::uint32_t>(slices_for(n_bytes)));
    }
    [[nodiscard]] slices slices_of(const span& of) const noexcept {
        return at_index(image_.index_of(of), classes[of.size_class.get()].n_slices);
    }
    void free_regions(std::uint32_t first, std::uint32_t n) noexcept;
    failure claim_regions(std::size_t n_bytes, growth may, void*& found) noexcept;
    /// Fails if claiming so much is to be put off, since the file would get longer.
    [[nodiscard]] failure ask_to_grow(std::uint64_t offset, std::uint64_t n_bytes,
                                      growth may) const noexcept {
        const bool is_put_off = may == growth::put_off &&
                                offset + n_bytes > image_.header().live.size.load() &&
                                members_.has_company(image_);
        return is_put_off ? failure{would_grow, nullptr, call} : failure{};
    }
    span* adopt(std::size_t c, thread_id owner, bool thoroughly) noexcept;
    void push_abandoned(span& of) noexcept;
    void remove_abandoned(span& of) noexcept;
    void abandon_or_free(span& of) noexcept {
        push_abandoned(of);
        reclaim_with_lock(of);
    }
    void reclaim_with_lock(span& of) noexcept;
    void relink_abandoned() noexcept;
    void release_threads_of(std::uint32_t p) noexcept;
    template <class IsDead, class IsPurged>
    void release_spans(IsDead is_dead, IsPurged is_purged) noexcept;
    void forget_everyone(std::uint64_t boot) noexcept;
    void free_strays(const unfinished& left) noexcept;

    /// All that are in use: `look(slice)`.
    template <class Look> void for_each_slice(Look look) const noexcept {
        for (std::uint32_t region = 0; region < image_.n_regions(); ++region) {
            const auto known = image_.described(region);
            if (known == 0) continue;
            const auto map = used(region);
            for (auto i = map.next(1, true); i < known; i = map.next(i + 1, true))
                look(image_.span_at(slices{region, i, 1}.index()));
        }
    }

    [[nodiscard]] std::uint64_t offset_of(const slices& of) const noexcept {
        return image_.heap_offset() + std::uint64_t{of.index()} * slice_bytes;
    }

    image image_;
    growing growing_;
    membership members_;
};

/// Takes all that others have freed to the end of `local_free`, which is empty. False if there was
/// nothing. Of the owner.
///
/// A kill leaves `pending` as the sign that, and how far, this had come: see `settle`. It is the
/// last to be taken back, so that where it is 0 everything fits, `used` too.
///
/// This, and what else is done with a span's lists, is a template for the model of a span that goes
/// through it in every order: tests/drain_model.test.cpp.
template <class Span> inline bool drain(Span& of) noexcept {
    std::uint64_t was = of.returned.load(std::memory_order_relaxed);
    if (was == 0) return false;
    do {
        of.pending.set(first_of(was));
        keep_order();
    } while (!of.returned.compare_exchange_weak(was, 0, std::memory_order_acquire,
                                                std::memory_order_relaxed));
    keep_order();
    of.local_free.set(first_of(was));
    keep_order();
    of.used.set(of.used.get() - count_of(was));
    keep_order();
    of.pending.set(0);
    keep_order();
    return true;
}

/// What a thread has left that was killed, as its blocks tell: a free block is never lost that is
/// in one of the lists, and none is in two.
///
/// Requires: a span of which all lies in the file that was ever handed out.
template <class Span> inline void settle(Span& of) noexcept {
    const auto& facts = classes[of.size_class.get()];
    const auto bump = of.bump.get();
    std::byte* const start = start_of(&of);
    const auto is_link = [&](std::uint32_t link) {
        return link != 0 && link <= bump && (link - 1) % facts.block_bytes == 0;
    };
    // How far a list leads, if it is one: no longer than there are blocks.
    const auto length_of = [&](std::uint32_t link, std::uint32_t stop_at) {
        std::uint32_t n = 0;
        while (link != stop_at && is_link(link) && n <= facts.n_blocks) {
            link = link_in(start + link - 1);
            ++n;
        }
        return std::pair(n, link);
    };
    if (const auto pending = of.pending.get(); pending != 0) {
        const auto returned = first_of(of.returned.load(std::memory_order_acquire));
        const bool is_merged = of.local_free.get() == pending;
        const bool is_still_there =
            returned == pending || length_of(returned, pending).second == pending;
        if (!is_merged && !is_still_there && of.local_free.get() == 0 && is_link(pending))
            of.local_free.set(pending);
        keep_order();
    }
    // What others have returned counts as used until it is taken over.
    const auto n_free = length_of(of.local_free.get(), 0).first;
    const auto n_bumped = bump / facts.block_bytes;
    of.used.set(n_bumped > n_free ? n_bumped - n_free : 0);
    keep_order();
    of.pending.set(0);
    keep_order(); // before another one can have it
}

// ---- what the dead have left, in a file that may be damaged ----

/// Whether these regions are one block, or partly so.
inline bool shared_heap::can_be_huge(std::uint32_t first, std::uint32_t n) const noexcept {
    if (first >= image_.n_regions() || n > image_.n_regions() - first) return false;
    const auto end = first + n;
    for (auto i = first; i < end; ++i) {
        const auto word = image_.directory(i).get();
        switch (kind_of(word)) {
        case region_kind::huge:
            if (i != first || regions_for(value_of(word)) != n) return false;
            break;
        case region_kind::huge_more:
            if (i == first) return false;
            break;
        case region_kind::unused: break;
        default:
            if (image_.described(i) == 0 || !is_empty(i)) return false;
        }
    }
    // Else it goes on.
    return end == image_.n_regions() ||
           kind_of(image_.directory(end).get()) != region_kind::huge_more;
}

/// Whether these slices are one span or run, or partly so.
inline bool shared_heap::can_be_one(const slices& at) const noexcept {
    const auto known = at.region < image_.n_regions() ? image_.described(at.region) : 0;
    if (at.first == 0 || at.first >= known || at.n > known - at.first) return false;
    const auto belongs = [&](std::uint32_t i) {
        const span& slice = image_.span_at(at.index() + i);
        const auto state = slice.state.get();
        return i == 0 ? state != span_state::more
                      : state == span_state::more && slice.distance.get() == i;
    };
    for (std::uint32_t i = 0; i < at.n; ++i)
        if (image_.span_at(at.index() + i).state.get() != span_state::free && !belongs(i))
            return false;
    return at.end() == known || !belongs(at.n); // else it goes on
}

/// Whether a span of blocks begins there, of which all lies in the file that was ever handed out.
inline bool shared_heap::is_span(const slices& at) const noexcept {
    const auto known = image_.described(at.region);
    if (at.first == 0 || at.first >= known) return false;
    const span& of = image_.span_at(at.index());
    const auto c = of.size_class.get();
    if (of.state.get() != span_state::blocks || c >= n_classes) return false;
    const auto bump = of.bump.get();
    return classes[c].n_slices <= known - at.first && bump <= classes[c].span_bytes &&
           bump % classes[c].block_bytes == 0 &&
           image_.is_there(std::uint64_t{at.index()} * slice_bytes, bump);
}

// ---- slices ----

inline failure shared_heap::extend(std::uint64_t file_bytes) noexcept {
    auto& length = image_.header().live.size;
    if (length.load(std::memory_order_relaxed) >= file_bytes) return {};
    if (growing_.sparse) { // else allocating has made it so long
        const auto most = image_.heap_offset() + capacity_bytes();
        const auto ahead = std::clamp<std::uint64_t>(file_bytes / 8, slice_bytes, run_limit);
        const auto wanted = std::min(file_bytes + ahead, most);
        posix::facts now;
        if (auto f = posix::examine(growing_.fd, now); f.failed()) return f;
        auto f = posix::check_size_limit(wanted);
        if (!f.failed() && now.size_bytes < wanted) f = posix::truncate(growing_.fd, wanted);
        if (!f.failed())
            file_bytes = wanted;
        else if (now.size_bytes < file_bytes) // without what is ahead of need
            if (f = posix::truncate(growing_.fd, file_bytes); f.failed()) return f;
    }
    length.store(file_bytes);
    return {};
}

/// Blocks for a range of the file, which is not shortened by it.
inline failure shared_heap::commit(std::uint64_t offset, std::uint64_t n_bytes) noexcept {
    const std::uint64_t page = posix::page_size();
    const std::uint64_t first = offset / page * page;
    const std::uint64_t end = (offset + n_bytes + page - 1) / page * page;
    if (auto f = posix::check_size_limit(end); f.failed()) return f;
    if (!growing_.sparse) {
        const auto f = posix::allocate(growing_.fd, first, end - first);
        const bool cannot = growing_.falls_back && f.code() == std::errc::operation_not_supported;
        if (f.failed() && !cannot) return f;
        if (cannot) growing_.sparse = true;
    }
    return extend(end);
}

/// Makes a region's first slices known.
inline failure shared_heap::divide(std::uint32_t region) noexcept {
    const std::uint64_t offset = image_.heap_offset() + std::uint64_t{region} * region_bytes;
    if (auto f = commit(offset, page_bytes); f.failed()) return f;
    std::memset(image_.region(region), 0, page_bytes); // it may have been a huge block
    used(region).set(0, 1, true);
    committed(region).set(0, 1, true);
    keep_order();
    image_.directory(region).set(directory_word(region_kind::divided, described_by_page));
    return {};
}

/// Makes the descriptions of the first `n_slices` usable.
inline failure shared_heap::describe(std::uint32_t region, std::uint32_t n_slices) noexcept {
    const std::uint64_t offset = image_.heap_offset() + std::uint64_t{region} * region_bytes;
    auto& word = image_.directory(region);
    const auto known = value_of(word.get());
    if (known >= n_slices) return {};
    const auto first = static_cast<std::size_t>(known * sizeof(span));
    const auto end = static_cast<std::size_t>((n_slices * sizeof(span) + page_bytes - 1) /
                                              page_bytes * page_bytes);
    if (auto f = commit(offset + first, end - first); f.failed()) return f;
    std::memset(image_.region(region) + first, 0, end - first);
    keep_order();
    word.set(directory_word(region_kind::divided, end / sizeof(span)));
    return {};
}

inline failure shared_heap::find_slices(std::uint32_t n, std::uint32_t alignment, growth may,
                                        slices& found) noexcept {
    auto& hint = image_.root().first_with_space;
    for (std::uint32_t region = n == 1 ? hint.get() : 0; region < image_.n_regions(); ++region) {
        const auto kind = kind_of(image_.directory(region).get());
        if (kind != region_kind::divided && kind != region_kind::unused) continue;
        if (kind == region_kind::unused) {
            const auto offset = image_.heap_offset() + std::uint64_t{region} * region_bytes;
            auto f = ask_to_grow(offset, page_bytes, may);
            if (!f.failed()) f = divide(region);
            if (f.failed()) return f;
        }
        const auto at = used(region).find_clear(n, alignment, 1);
        if (at == slices_per_region) continue;
        if (auto f = describe(region, at + n); f.failed()) return f;
        if (n == 1) hint.set(region);
        found = {region, at, n};
        return {};
    }
    return posix::failed(call, ENOMEM); // of addresses: the capacity is reached
}

/// The same among the slices that have their blocks: for a disk that is full.
inline failure shared_heap::find_committed(std::uint32_t n, std::uint32_t alignment,
                                           slices& found) noexcept {
    for (std::uint32_t region = 0; region < image_.n_regions(); ++region) {
        if (image_.described(region) == 0) continue;
        const auto& maps = image_.maps(region);
        slice_map::words not_to_have;
        for (std::size_t i = 0; i < not_to_have.size(); ++i)
            not_to_have[i].set(maps.used[i].get() | ~maps.committed[i].get());
        const auto at = slice_map(not_to_have).find_clear(n, alignment, 1);
        if (at == slices_per_region || describe(region, at + n).failed()) continue;
        found = {region, at, n};
        return {};
    }
    return posix::failed(call, ENOSPC);
}

/// Whole slices alone are counted: what is known of one that has some of its blocks goes with the
/// span or run that has it.
inline void shared_heap::set_committed(const slices& of, bool to) noexcept {
    auto map = committed(of.region);
    auto& total = image_.root().committed_bytes;
    const std::uint64_t before = map.count(of.first, of.n) * std::uint64_t{slice_bytes};
    const std::uint64_t after = to ? of.n * std::uint64_t{slice_bytes} : 0;
    map.set(of.first, of.n, to);
    total.set(total.get() + after - std::min(total.get() + after, before));
}

/// `limit` says how many of the span's bytes may be handed out then.
inline failure shared_heap::commit_span(const slices& of, std::uint32_t first_block_bytes,
                                        std::uint32_t& limit) noexcept {
    const auto whole = static_cast<std::uint32_t>(of.n * slice_bytes);
    const auto map = committed(of.region);
    const auto& total = image_.root().committed_bytes;
    if (map.all(of.first, of.n)) {
        limit = whole;
        return {};
    }
    if (growing_.sparse) {
        limit = whole;
        if (auto f = commit(offset_of(of), whole); f.failed()) return f;
        set_committed(of, true);
        return {};
    }
    if (total.get() < small_heap_bytes) {
        limit = static_cast<std::uint32_t>((first_block_bytes + page_bytes - 1) / page_bytes *
                                           page_bytes);
        return commit(offset_of(of), limit);
    }
    // Ahead, as far as the slices behind are free, so that there are few calls for many spans.
    const std::uint64_t step = std::clamp<std::uint64_t>(
        total.get() / 16, whole, std::max<std::uint64_t>(growing_.most_bytes, whole));
    const auto end = std::min({used(of.region).next(of.end(), true), map.next(of.end(), true),
                               of.first + static_cast<std::uint32_t>(step / slice_bytes)});
    limit = whole;
    slices ahead = of;
    ahead.n = std::max(end, of.end()) - of.first;
    if (commit(offset_of(ahead), ahead.n * slice_bytes).failed()) {
        ahead.n = of.n;
        if (auto f = commit(offset_of(ahead), ahead.n * slice_bytes); f.failed()) return f;
    }
    set_committed(ahead, true);
    return {};
}

inline failure shared_heap::commit_blocks(span& of, std::uint32_t n_bytes) noexcept {
    const std::uint64_t start = image_.offset_of(start_of(&of));
    const auto facts = classes[of.size_class.get()];
    const auto old = of.limit.get();
    const auto whole = static_cast<std::uint32_t>(facts.n_slices * slice_bytes);
    auto wanted = std::min(std::max(old * 2, n_bytes), whole);
    wanted = std::min(
        static_cast<std::uint32_t>((wanted + page_bytes - 1) / page_bytes * page_bytes), whole);
    // The file gets longer: where it cannot be told to by fallocate(2), by one at a time.
    const auto held = lock();
    if (auto f = commit(start + old, wanted - old); f.failed()) return f;
    of.limit.set(wanted);
    if (wanted == whole) set_committed(slices_of(of), true);
    return {};
}

inline void shared_heap::free_slices(const slices& of) noexcept {
    for (std::uint32_t i = 0; i < of.n; ++i) {
        span& slice = image_.span_at(of.index() + i);
        slice.owner.store(0, std::memory_order_relaxed);
        slice.state.set(span_state::free);
        keep_order(); // so that who finishes this knows it for what it is: `can_be_one`
        slice.distance.set(0);
        slice.returned.store(0, std::memory_order_relaxed);
    }
    used(of.region).set(of.first, of.n, false);
    auto& hint = image_.root().first_with_space;
    hint.set(std::min(hint.get(), of.region));
}

// ---- spans ----

inline void shared_heap::push_abandoned(span& of) noexcept {
    auto& head = image_.root().abandoned[of.size_class.get()];
    of.owner.store(0, std::memory_order_relaxed);
    of.alarm.set(no_alarm);
    auto ring = head.get();
    push(image_, ring, of, ring_kind::abandoned);
    head.set(ring);
}

inline void shared_heap::remove_abandoned(span& of) noexcept {
    auto& head = image_.root().abandoned[of.size_class.get()];
    auto ring = head.get();
    remove(image_, ring, of);
    head.set(ring);
}

/// Whoever is killed with the lock held leaves the rings of spans without an owner as they are just
/// then, and a span, perhaps, in none.
inline void shared_heap::relink_abandoned() noexcept {
    for (auto& head : image_.root().abandoned) head.set(0);
    for_each_slice([&](span& of) {
        if (is_span(of) && of.owner.load() == 0) push_abandoned(of);
    });
}

/// A span that has room, of the first few without an owner; those that have none are then the last.
inline span* shared_heap::adopt(std::size_t c, thread_id owner, bool thoroughly) noexcept {
    const auto& head = image_.root().abandoned[c];
    const auto last = head.get() == 0 ? 0 : image_.span_at(head.get() - 1).previous.get();
    for (int i = 0; head.get() != 0 && (thoroughly || i < most_adopted); ++i) {
        const auto index = head.get();
        span& of = image_.span_at(index - 1);
        remove_abandoned(of);
        of.owner.store(owner, std::memory_order_relaxed);
        if (of.local_free.get() == 0) drain(of);
        if (of.local_free.get() != 0 || of.bump.get() + classes[c].block_bytes <= of.limit.get())
            return &of;
        push_abandoned(of);
        if (index == last) break; // once round
    }
    return nullptr;
}

inline failure shared_heap::claim_span(std::size_t c, thread_id owner, growth may,
                                       span*& found) noexcept {
    const auto& facts = classes[c];
    const auto held = lock();
    found = adopt(c, owner, false);
    if (found != nullptr) return {};
    slices at;
    std::uint32_t limit = 0;
    auto f = find_slices(facts.n_slices, 1, may, at);
    if (f.value == would_grow) return f;
    if (!f.failed()) // of a span that the file ends in, more is to be committed than is there
        if (auto later = ask_to_grow(offset_of(at), at.n * slice_bytes, may); later.failed())
            return later;
    if (!f.failed()) f = commit_span(at, facts.block_bytes, limit);
    if (f.failed()) {
        found = adopt(c, owner, true);
        if (found != nullptr) return {};
        if (find_committed(facts.n_slices, 1, at).failed()) return f;
        limit = static_cast<std::uint32_t>(facts.n_slices * slice_bytes);
    }
    intend(intent_kind::claim, at.index(), at.n, false);
    used(at.region).set(at.first, at.n, true);
    span& made = image_.span_at(at.index());
    made.size_class.set(static_cast<std::uint8_t>(c));
    made.local_free.set(0);
    made.bump.set(0);
    made.limit.set(limit);
    made.used.set(0);
    made.alarm.set(no_alarm);
    made.pending.set(0);
    made.next.set(0);
    made.previous.set(0);
    made.returned.store(0, std::memory_order_relaxed);
    for (std::uint32_t i = 0; i < at.n; ++i) {
        span& slice = image_.span_at(at.index() + i);
        slice.distance.set(static_cast<std::uint16_t>(i));
        keep_order();
        slice.state.set(i == 0 ? span_state::blocks : span_state::more);
    }
    made.owner.store(owner, std::memory_order_relaxed);
    forget_intent();
    found = &made;
    return {};
}

inline void shared_heap::give_back(span& empty) noexcept {
    const auto held = lock();
    free_with_intent(slices_of(empty));
}

/// Gives back a span without an owner, if all its blocks have been returned. For whoever has
/// returned one, when the span may be anything by now, and its description part of a huge block.
inline void shared_heap::reclaim(span& of) noexcept {
    const auto held = lock();
    if (is_span(of) && of.owner.load() == 0) reclaim_with_lock(of);
}

/// Those that nobody has given back, because their owner was about to go just then.
inline void shared_heap::reclaim_all() noexcept {
    const auto held = lock();
    for_each_slice([&](span& of) {
        if (is_span(of) && of.owner.load() == 0) reclaim_with_lock(of);
    });
}

inline void shared_heap::reclaim_with_lock(span& of) noexcept {
    if (of.used.get() != count_of(of.returned.load(std::memory_order_acquire))) return;
    remove_abandoned(of);
    free_with_intent(slices_of(of));
}

// ---- runs ----

inline failure shared_heap::claim_run(std::size_t n_bytes, std::size_t alignment, growth may,
                                      void*& found) noexcept {
    const auto held = lock();
    if (n_bytes > run_limit || alignment > run_limit) {
        if (alignment > region_bytes) return posix::failed(call, EINVAL);
        return claim_regions(n_bytes, may, found);
    }
    const auto n = static_cast<std::uint32_t>(slices_for(n_bytes));
    const auto aligned =
        static_cast<std::uint32_t>(std::max<std::size_t>(alignment / slice_bytes, 1));
    slices at;
    auto f = find_slices(n, aligned, may, at);
    if (f.value == would_grow) return f;
    if (!f.failed() && !committed(at.region).all(at.first, at.n)) {
        if (auto later = ask_to_grow(offset_of(at), n_bytes, may); later.failed()) return later;
        f = commit(offset_of(at), std::max<std::size_t>(n_bytes, 1));
        slices whole = at;
        whole.n = static_cast<std::uint32_t>(n_bytes / slice_bytes);
        if (!f.failed()) set_committed(whole, true);
    }
    if (f.failed() && find_committed(n, aligned, at).failed()) return f;
    intend(intent_kind::claim, at.index(), at.n, false);
    used(at.region).set(at.first, at.n, true);
    span& made = image_.span_at(at.index());
    made.n_bytes.set(n_bytes);
    for (std::uint32_t i = 0; i < at.n; ++i) {
        span& slice = image_.span_at(at.index() + i);
        slice.owner.store(0, std::memory_order_relaxed);
        slice.distance.set(static_cast<std::uint16_t>(i));
        keep_order();
        slice.state.set(i == 0 ? span_state::run : span_state::more);
    }
    forget_intent();
    found = start_of(&made);
    return {};
}

/// Whole regions, the descriptions in them included.
inline failure shared_heap::claim_regions(std::size_t n_bytes, growth may, void*& found) noexcept {
    if (n_bytes > capacity_bytes()) return posix::failed(call, ENOMEM);
    const auto n = static_cast<std::uint32_t>(regions_for(n_bytes));
    std::uint32_t first = 0;
    for (std::uint32_t i = 0; i - first < n; ++i) {
        if (i == image_.n_regions()) return posix::failed(call, ENOMEM);
        if (!is_empty(i)) first = i + 1;
    }
    const std::uint64_t offset = image_.heap_offset() + std::uint64_t{first} * region_bytes;
    if (auto later = ask_to_grow(offset, n_bytes, may); later.failed()) return later;
    if (auto f = commit(offset, std::max<std::size_t>(n_bytes, 1)); f.failed()) return f;
    for (std::uint32_t i = first; i < first + n; ++i)
        if (image_.described(i) != 0) set_committed({i, 0, slices_per_region}, false);
    auto& total = image_.root().committed_bytes;
    total.set(total.get() + n_bytes);
    intend(intent_kind::claim, first, n, true);
    for (std::uint32_t i = n; i-- > 0;)
        image_.directory(first + i).set(i == 0 ? directory_word(region_kind::huge, n_bytes)
                                               : directory_word(region_kind::huge_more));
    forget_intent();
    found = image_.region(first);
    return {};
}

inline void shared_heap::free_regions(std::uint32_t first, std::uint32_t n) noexcept {
    for (std::uint32_t i = 0; i < n; ++i)
        image_.directory(first + i).set(directory_word(region_kind::unused));
    auto& hint = image_.root().first_with_space;
    hint.set(std::min(hint.get(), first));
}

inline void shared_heap::give_back_run(void* block, std::size_t n_bytes) noexcept {
    const std::uint64_t offset = image_.offset_of(block);
    const auto region = static_cast<std::uint32_t>((offset - image_.heap_offset()) / region_bytes);
    const bool is_huge = kind_of(image_.directory(region).get()) != region_kind::divided;
    // What nobody else can touch any more, until its slices are free, is emptied without the lock.
    bool punched = false;
    if (!is_huge) {
        span& run = *slice_of(block);
        run.pending.set(members_.process() + 1);
        // Without the lock, which others who look at it have.
        run.state.value.store(span_state::purging, std::memory_order_release);
    }
    if (n_bytes >= punch_bytes) {
        const std::uint64_t page = posix::page_size();
        punched = !posix::punch(growing_.fd, offset, (n_bytes + page - 1) / page * page).failed();
    }
    const auto held = lock();
    if (is_huge) {
        const auto n = static_cast<std::uint32_t>(regions_for(n_bytes));
        intend(intent_kind::give_back, region, n, true);
        free_regions(region, n);
        auto& total = image_.root().committed_bytes;
        total.set(total.get() - std::min<std::uint64_t>(total.get(), n_bytes));
        forget_intent();
    } else {
        const auto at = run_of(*slice_of(block), n_bytes);
        if (punched) set_committed(at, false);
        free_with_intent(at);
    }
}

// ---- processes and threads ----

template <class Vet> failure shared_heap::join(Vet vet) {
    const opening_lock alone(growing_.fd);
    if (alone.why().failed()) return alone.why();
    auto& live = image_.header().live;
    std::array<char, 40> this_boot{};
    if (auto f = format::this_boot(this_boot); f.failed()) return f;
    const bool is_other_boot = live.boot_id != this_boot;
    if (is_other_boot && live.state.load() != format::state::clean) {
        bool others = true;
        if (auto f = alone.ask_for_others(others); f.failed()) return f;
        if (!others) {
            if (auto f = vet(); f.failed()) return f;
            forget_everyone(fnv1a(std::string_view(this_boot.data(), this_boot.size())));
        }
    }
    auto f = members_.join(image_, growing_.fd, replay{this}, [this](std::uint32_t p) {
        release_threads_of(p);
        return failure{};
    });
    if (f.failed()) return f;
    live.boot_id = this_boot;
    live.state.store(format::state::in_use);
    return {};
}

template <class Last> failure shared_heap::leave(Last last) noexcept {
    const opening_lock alone(growing_.fd);
    auto f = alone.why();
    if (!f.failed()) f = bury_the_dead();
    const bool is_last = members_.leave(image_);
    return f.failed() || !is_last ? f : last();
}

inline failure shared_heap::take_thread(thread_id& id, const char* for_call) noexcept {
    const std::uint32_t process = members_.process() + 1;
    for (int tries = 0; tries < 2; ++tries) {
        for (std::uint32_t i = 0; i < most_threads; ++i) {
            auto& record = image_.thread(i);
            std::uint32_t nobody = 0;
            if (record.process.load(std::memory_order_relaxed) != 0 ||
                !record.process.compare_exchange_strong(nobody, process))
                continue;
            record.generation.set(record.generation.get() + 1);
            id = make_thread_id(i, record.generation.get());
            return {};
        }
        if (auto f = bury_the_dead(); f.failed()) return f;
    }
    return refuse(errc::too_many_threads, for_call, most_threads + 1, most_threads);
}

/// Nothing of what the dead had is lost, but the blocks that they were just about to hand out:
/// `is_dead(owner)` of a span, or `is_purged(process)` of a run that was about to be given back. Can
/// be done again from the beginning, whenever it was cut short.
///
/// The rings of abandoned spans are linked anew: a kill may have left a span between two of them.
template <class IsDead, class IsPurged>
void shared_heap::release_spans(IsDead is_dead, IsPurged is_purged) noexcept {
    for (auto& head : image_.root().abandoned) head.set(0); // in a damaged file they lead anywhere
    for_each_slice([&](span& of) {
        const auto owner = of.owner.load();
        if ((owner == 0 || is_dead(owner)) && is_span(of)) {
            if (owner == 0) return abandon_or_free(of);
            settle(of);
            abandon_or_free(of);
        } else if (of.state.value.load(std::memory_order_acquire) == span_state::purging &&
                   is_purged(of.pending.get() - 1)) {
            const auto at = run_of(of, static_cast<std::size_t>(of.n_bytes.get()));
            if (!can_be_one(at)) return;
            set_committed(at, false); // of which it may have given blocks back
            free_with_intent(at);
        }
    });
}

inline void shared_heap::release_threads_of(std::uint32_t p) noexcept {
    const auto held = lock();
    release_spans(
        [&](thread_id owner) {
            const auto& record = image_.thread(place_of(owner));
            return record.process.load() == p + 1 &&
                   make_thread_id(place_of(owner), record.generation.get()) == owner;
        },
        [&](std::uint32_t process) { return process == p; });
    for (std::uint32_t i = 0; i < most_threads; ++i) {
        auto& record = image_.thread(i);
        if (record.process.load() == p + 1) record.process.store(0);
    }
}

/// After a restart of the machine, of a segment that was not closed: what the coordination says may
/// be older than the image, as its pages came to the disk. So the image alone is believed: nobody
/// holds a lock, and nobody owns a span. What somebody was in the middle of is taken back only where
/// the image shows it: slices that have become something whole since are in use. Generations go on
/// from somewhere else, so that no thread is taken for one of those before.
///
/// Nobody else may use the segment. Who is killed here leaves the lock as somebody's, and is done
/// with in the same way.
inline void shared_heap::forget_everyone(std::uint64_t boot) noexcept {
    auto& line = image_.locks().heap;
    const unfinished left(image_);
    line.word.store(membership::contended);
    free_strays(left);
    forget_intent();
    image_.locks().names.word.store(0);
    release_spans([](thread_id) { return true; }, [](std::uint32_t) { return true; });
    for (std::uint32_t i = 0; i < most_threads; ++i) {
        auto& record = image_.thread(i);
        record.process.store(0);
        record.generation.set(record.generation.get() + static_cast<std::uint32_t>(boot >> 32 | 1));
    }
    for (std::uint32_t p = 0; p < most_processes; ++p) image_.process(p).is_there.store(0);
    line.word.store(0);
}

/// Of what somebody was in the middle of, that which belongs to nothing.
inline void shared_heap::free_strays(const unfinished& left) noexcept {
    std::uint64_t huge_until = 0;
    for (std::uint32_t region = 0; region < image_.n_regions(); ++region) {
        auto& word = image_.directory(region);
        if (kind_of(word.get()) == region_kind::huge)
            huge_until = region + regions_for(value_of(word.get()));
        if (kind_of(word.get()) == region_kind::huge_more && region >= huge_until &&
            left.has_region(region))
            free_regions(region, 1);
        const auto known = image_.described(region);
        for (std::uint32_t i = 1; i < known;) {
            const slices one{region, i, 1};
            const auto n = whole_at(image_, region, i);
            if (n == 0 && left.has_slice(one)) free_slices(one); // if it is, it says so then
            i += std::max(n, std::uint32_t{1});
        }
    }
}

inline failure shared_heap::trim() noexcept {
    std::uint64_t end = image_.heap_offset();
    for (std::uint32_t region = image_.n_regions(); region-- > 0;) {
        const auto offset = image_.heap_offset() + std::uint64_t{region} * region_bytes;
        const auto word = image_.directory(region).get();
        if (kind_of(word) == region_kind::huge) {
            end = offset + value_of(word);
            break;
        }
        if (kind_of(word) != region_kind::divided) continue;
        if (image_.described(region) == 0) return {}; // a damaged file is left as it is
        std::uint32_t n_left = slices_per_region;
        while (n_left > 1 && !used(region).test(n_left - 1)) --n_left;
        set_committed({region, n_left, static_cast<std::uint32_t>(slices_per_region) - n_left},
                      false);
        end = offset + n_left * slice_bytes;
        if (n_left > 1) break;
        image_.directory(region).set(directory_word(region_kind::unused));
        end = image_.heap_offset();
    }
    auto& length = image_.header().live.size;
    if (length.load() <= end) return {};
    const auto page = posix::page_size();
    end = (end + page - 1) / page * page;
    length.store(std::min(length.load(), end)); // first: a file is never shorter than it says
    return posix::truncate(growing_.fd, end);
}

// ---- what there is ----

inline heap_usage shared_heap::usage() const noexcept {
    heap_usage all;
    for (std::uint32_t region = 0; region < image_.n_regions(); ++region) {
        const auto word = image_.directory(region).get();
        switch (kind_of(word)) {
        case region_kind::unused: all.free_bytes += region_bytes - slice_bytes; break;
        case region_kind::huge: all.used_bytes += value_of(word); break;
        case region_kind::divided: {
            const auto known = image_.described(region);
            for (std::uint32_t i = 1; known != 0 && i < slices_per_region; ++i) {
                if (!used(region).test(i)) {
                    all.free_bytes += slice_bytes;
                    continue;
                }
                if (i >= known) break; // damaged
                const span& of = image_.span_at(slices{region, i, 1}.index());
                if (of.state.get() == span_state::run) {
                    all.used_bytes += of.n_bytes.get();
                } else if (of.state.get() == span_state::blocks &&
                           of.size_class.get() < n_classes) {
                    const auto& facts = classes[of.size_class.get()];
                    const auto returned = count_of(of.returned.load(std::memory_order_relaxed));
                    const auto in_use = std::min(of.used.get() - returned, facts.n_blocks);
                    all.used_bytes += std::uint64_t{in_use} * facts.block_bytes;
                    all.free_bytes += std::uint64_t{facts.n_blocks - in_use} * facts.block_bytes;
                }
            }
            break;
        }
        case region_kind::huge_more: break;
        }
    }
    return all;
}

} // namespace mmstl::inline v1::detail::heap

#endif
