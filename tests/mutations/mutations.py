# SPDX-License-Identifier: MIT
#
# What tests/mutations/run takes out of the headers, and which tests have to notice.

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    name: str
    header: str  # below include/mmstl
    old: str  # is there once
    new: str
    tests: tuple
    watches_threads: bool = False  # under ThreadSanitizer


THREAD = "detail/heap/thread_heap.hpp"
SHARED = "detail/heap/shared_heap.hpp"
COORDINATION = "detail/heap/coordination.hpp"
WORD = "detail/heap/robust_word.hpp"
NAMES = "detail/heap/names.hpp"
POSIX = "detail/posix.hpp"
SLICES = "detail/heap/slices.hpp"
SEGMENT = "segment.hpp"

MUTATIONS = [
    # ---- fences: the stores that they keep in order, in the other one ----
    Mutation(
        "a block is taken before it is counted",
        THREAD,
        """        from.used.set(used + 1);
        keep_order();
        from.local_free.set(next);
""",
        """        from.local_free.set(next);
        keep_order();
        from.used.set(used + 1);
""",
        ("segment_kill",),
    ),
    Mutation(
        "a new block is taken before it is counted",
        THREAD,
        """    from.used.set(used + 1);
    keep_order();
    from.bump.set(at + block);
""",
        """    from.bump.set(at + block);
    keep_order();
    from.used.set(used + 1);
""",
        ("segment_kill",),
    ),
    Mutation(
        "a block is free before it is linked",
        THREAD,
        """    set_link(p, of.local_free.get());
    keep_order();
    of.local_free.set(link);
""",
        """    const auto first = of.local_free.get();
    of.local_free.set(link);
    keep_order();
    set_link(p, first);
""",
        ("segment_kill", "drain_model"),
    ),
    Mutation(
        "a block is counted as free before it is",
        THREAD,
        """    of.local_free.set(link);
    keep_order();
    const auto used = of.used.get() - 1;
    of.used.set(used);
""",
        """    const auto used = of.used.get() - 1;
    of.used.set(used);
    keep_order();
    of.local_free.set(link);
""",
        ("segment_kill",),
    ),
    Mutation(
        "a list is taken over without a note of it",
        SHARED,
        """        of.pending.set(first_of(was));
        keep_order();
""",
        "",
        ("segment_kill", "drain_model"),
    ),
    Mutation(
        "the note of a list that is taken over goes too early",
        SHARED,
        """    keep_order();
    of.local_free.set(first_of(was));
    keep_order();
""",
        """    of.pending.set(0);
    keep_order();
    of.local_free.set(first_of(was));
    keep_order();
""",
        ("segment_kill", "drain_model"),
    ),
    Mutation(
        "blocks are counted as free before they are taken over",
        SHARED,
        """    of.local_free.set(first_of(was));
    keep_order();
    of.used.set(of.used.get() - count_of(was));
    keep_order();
""",
        """    of.used.set(of.used.get() - count_of(was));
    keep_order();
    of.local_free.set(first_of(was));
    keep_order();
""",
        ("segment_kill", "drain_model"),
    ),
    Mutation(
        "a block is returned without a release",
        THREAD,
        """                                              std::memory_order_release,
                                              std::memory_order_relaxed));
    if (is_abandoned""",
        """                                              std::memory_order_relaxed,
                                              std::memory_order_relaxed));
    if (is_abandoned""",
        ("segment_heap",),
        watches_threads=True,
    ),
    Mutation(
        "an intent is announced before it is written",
        SHARED,
        """        now.first.set(first);
        now.n_slices.set(n);
        now.is_huge.set(is_huge ? 1 : 0);
        keep_order();
        now.kind.set(static_cast<std::uint32_t>(what));
""",
        """        now.kind.set(static_cast<std::uint32_t>(what));
        keep_order();
        now.first.set(first);
        now.n_slices.set(n);
        now.is_huge.set(is_huge ? 1 : 0);
""",
        ("segment_kill",),
    ),
    Mutation(
        "a region is divided before it is described",
        SHARED,
        """    std::memset(image_.region(region), 0, page_bytes); // it may have been a huge block
    used(region).set(0, 1, true);
    committed(region).set(0, 1, true);
    keep_order();
    image_.directory(region).set(directory_word(region_kind::divided, described_by_page));
""",
        """    image_.directory(region).set(directory_word(region_kind::divided, described_by_page));
    keep_order();
    std::memset(image_.region(region), 0, page_bytes); // it may have been a huge block
    used(region).set(0, 1, true);
    committed(region).set(0, 1, true);
""",
        ("segment_kill",),
    ),
    Mutation(
        "slices are known before they are described",
        SHARED,
        """    std::memset(image_.region(region) + first, 0, end - first);
    keep_order();
    word.set(directory_word(region_kind::divided, end / sizeof(span)));
""",
        """    word.set(directory_word(region_kind::divided, end / sizeof(span)));
    keep_order();
    std::memset(image_.region(region) + first, 0, end - first);
""",
        ("segment_kill",),
    ),
    Mutation(
        "a run is given back before it is known by whom",
        SHARED,
        """        run.pending.set(members_.process() + 1);
        // Without""",
        """        // Without""",
        ("segment_kill",),
    ),
    # ---- intents ----
    Mutation(
        "no intent to claim a span",
        SHARED,
        """    intend(intent_kind::claim, at.index(), at.n, false);
    used(at.region).set(at.first, at.n, true);
    span& made = image_.span_at(at.index());
    made.size_class""",
        """    used(at.region).set(at.first, at.n, true);
    span& made = image_.span_at(at.index());
    made.size_class""",
        ("segment_kill",),
    ),
    Mutation(
        "no intent to claim a run",
        SHARED,
        """    intend(intent_kind::claim, at.index(), at.n, false);
    used(at.region).set(at.first, at.n, true);
    span& made = image_.span_at(at.index());
    made.n_bytes""",
        """    used(at.region).set(at.first, at.n, true);
    span& made = image_.span_at(at.index());
    made.n_bytes""",
        ("segment_kill",),
    ),
    Mutation(
        "no intent to claim regions",
        SHARED,
        """    intend(intent_kind::claim, first, n, true);
""",
        "",
        ("segment_kill",),
    ),
    Mutation(
        "no intent to free slices",
        SHARED,
        """        intend(intent_kind::give_back, of.index(), of.n, false);
        free_slices(of);
""",
        """        free_slices(of);
""",
        ("segment_kill",),
    ),
    Mutation(
        "no intent to free regions",
        SHARED,
        """        intend(intent_kind::give_back, region, n, true);
        free_regions(region, n);
""",
        """        free_regions(region, n);
""",
        ("segment_kill",),
    ),
    Mutation(
        "an intent is not taken back",
        SHARED,
        """        keep_order();
        image_.locks().heap.intent.kind.set(static_cast<std::uint32_t>(intent_kind::none));
""",
        "",
        ("segment_kill", "segment_heap"),
    ),
    Mutation(
        "what a dead holder was in the middle of is not finished",
        SHARED,
        """        void operator()(lock_line& line) const noexcept { self->finish_for_the_dead(line); }
""",
        """        void operator()(lock_line&) const noexcept { (void)self; }
""",
        ("segment_kill",),
    ),
    Mutation(
        "the spans without an owner are not linked anew",
        SHARED,
        """        forget_intent();
        relink_abandoned();
""",
        """        forget_intent();
""",
        ("segment_kill",),
    ),
    Mutation(
        "what the dead had taken over by half is not settled",
        SHARED,
        """            settle(of);
            abandon_or_free(of);
""",
        """            abandon_or_free(of);
""",
        ("segment_kill",),
    ),
    Mutation(
        "runs that the dead were giving back are forgotten",
        SHARED,
        """        } else if (of.state.value.load(std::memory_order_acquire) == span_state::purging &&
                   is_purged""",
        """        } else if (of.state.value.load(std::memory_order_acquire) == span_state::purging &&
                   of.pending.get() == 0 && is_purged""",
        ("segment_kill",),
    ),
    Mutation(
        "a name is there before its object is",
        SEGMENT,
        """                std::size_t made = 0;
                detail::undo half_made""",
        """                std::size_t made = 0;
                mine->state.store(ready, std::memory_order_release);
                detail::undo half_made""",
        ("segment_kill", "segment_processes", "segment"),
    ),
    Mutation(
        "names are counted as fewer before they are",
        NAMES,
        """            table.at(i).store(0, std::memory_order_relaxed);
            keep_order(); // never fewer than there are
            if (table.n_filled != 0) table.n_filled -= 1;
""",
        """            if (table.n_filled != 0) table.n_filled -= 1;
            keep_order();
            table.at(i).store(0, std::memory_order_relaxed);
""",
        ("segment_kill",),
    ),
    Mutation(
        "who looks for a name does not hear that one is removed",
        NAMES,
        """        count_change(table);
""",
        "",
        ("segment_names",),
    ),
    # ---- who lives ----
    Mutation(
        "the holder of the heap's lock is always taken for alive",
        COORDINATION,
        """                who.is_alive(in, membership::process_of(told), membership::generation_of(told)))
""",
        """                who.is_alive(in, membership::process_of(told), membership::generation_of(told)) ||
                told != 0)
""",
        ("segment_heap",),
    ),
    Mutation(
        "the holder of the heap's lock is never taken for alive",
        COORDINATION,
        """            if (line_.word.load(std::memory_order_relaxed) != told ||
                who.is_alive(in, membership::process_of(told), membership::generation_of(told)))
""",
        """            if (line_.word.load(std::memory_order_relaxed) != told)
""",
        ("segment_heap", "segment_processes"),
    ),
    Mutation(
        "processes are buried that live",
        COORDINATION,
        """        if (!locked) continue;
        if (record.is_there.load() != 0) {
""",
        """        if (record.is_there.load() != 0) {
""",
        ("segment_heap", "segment_processes"),
    ),
    Mutation(
        "who is being buried is taken for alive",
        SHARED,
        """        if (membership::is_being_buried(image_, process - 1) ||
""",
        """        if (image_.n_regions() == 0 ||
""",
        ("segment_processes",),
    ),
    Mutation(
        "a process goes before its spans are taken over",
        COORDINATION,
        """            if (auto f = bury(in, p, replay, clean_up); f.failed()) return f;
            record.is_there.store(0);
""",
        """            record.is_there.store(0);
            if (auto f = bury(in, p, replay, clean_up); f.failed()) return f;
""",
        ("segment_kill",),
    ),
    Mutation(
        "who goes does not say so",
        COORDINATION,
        """    in.process(mine).is_there.store(0);
""",
        "",
        ("segment_recovery",),
    ),
    Mutation(
        "who buries a dead holder of the lock does not take the lock",
        COORDINATION,
        "lock_word() | contended;",
        "word_of(p, in.process(p).generation.load()) | contended;",
        ("segment_recovery",),
    ),
    Mutation(
        "a lock that cannot be asked for is nobody's",
        COORDINATION,
        "        return (f.failed() || locked) &&",
        "        return !f.failed() && locked &&",
        ("segment_processes",),
    ),
    Mutation(
        "whether a process lives is asked by the description that is mapped",
        POSIX,
        """    to = through_link(fd, [](const char* link) {
        return retry([&] { return ::open(link, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); });
    });
""",
        """    to = retry([&] { return ::fcntl(fd, F_DUPFD_CLOEXEC, 0); });
""",
        ("segment_processes", "segment_heap"),
    ),
    Mutation(
        "a forked child keeps its parent's heap",
        POSIX,
        "MADV_WIPEONFORK); }) == -1) {",
        "MADV_NORMAL); }) == -1) {",
        ("segment_heap", "segment_containers"),
    ),
    Mutation(
        "a forked child keeps its dead parent alive",
        THREAD,
        """                                     one->shared.members().close_descriptor();
""",
        """                                     (void)one;
""",
        ("segment_processes",),
    ),
    Mutation(
        "places of dead threads are not given back",
        SHARED,
        """        if (record.process.load() == p + 1) record.process.store(0);
""",
        "",
        ("segment_processes", "segment_heap"),
    ),
    Mutation(
        "the dead are looked for when the file has grown already",
        THREAD,
        "const auto why = one(growth::put_off);",
        "const auto why = one(growth::allowed);",
        ("segment_recovery",),
    ),
    Mutation(
        "after a restart of the machine owners are believed",
        SHARED,
        """            forget_everyone(fnv1a(""",
        """            if (others) forget_everyone(fnv1a(""",
        ("segment_recovery",),
    ),
    Mutation(
        "after a restart what was half done stays so",
        SHARED,
        "    free_strays(left);\n",
        "",
        ("segment_kill",),
    ),
    Mutation(
        "after a restart what is half done is taken for damage",
        SLICES,
        "        return !is_huge_ && one.index() - first_ < n_;\n",
        "        return !is_huge_ && one.index() - first_ < n_ && n_ == 0;\n",
        ("segment_kill",),
    ),
    Mutation(
        "a constructor is waited for whose process has died",
        SEGMENT,
        "    if (heap().is_alive(of.builder)) return;\n",
        "    if (heap().is_alive(of.builder) || of.builder != 0) return;\n",
        ("segment", "segment_processes"),
    ),
    Mutation(
        "a constructor that still runs is taken for dead",
        SEGMENT,
        "    if (heap().is_alive(of.builder)) return;\n",
        "",
        ("segment",),
    ),
    # ---- robust_mutex ----
    Mutation(
        "the owner of a mutex is always taken for alive",
        WORD,
        "        if (!is_alive(owner, in)) {\n",
        "        if (false) {\n",
        ("sync",),
    ),
    Mutation(
        "the owner of a mutex is never taken for alive",
        WORD,
        "        if (!is_alive(owner, in)) {\n",
        "        if (waits || !is_alive(owner, in)) {\n",
        ("sync",),
    ),
    Mutation(
        "a thread is taken for the one that had its place before",
        WORD,
        "        return generation && owned_by(place, *generation) == owner;\n",
        "        return generation.has_value();\n",
        ("sync",),
    ),
    Mutation(
        "a mutex is good again when its owner has died",
        WORD,
        "            if (state_.compare_exchange_strong(now, broken, std::memory_order_acquire,\n",
        "            if (state_.compare_exchange_strong(now, 0, std::memory_order_acquire,\n",
        ("sync",),
    ),
    Mutation(
        "a mutex is good again before it is mended",
        WORD,
        "me | broken | contended, std::memory_order_acq_rel,",
        "me | contended, std::memory_order_acq_rel,",
        ("sync",),
    ),
    Mutation(
        "a mutex is given back without a release",
        WORD,
        """        if (state_.compare_exchange_strong(now, 0, std::memory_order_release,
                                           std::memory_order_relaxed))
            return true;
""",
        """        if (state_.compare_exchange_strong(now, 0, std::memory_order_relaxed,
                                           std::memory_order_relaxed))
            return true;
""",
        ("sync",),
        watches_threads=True,
    ),
    Mutation(
        "a mutex is taken without an acquire",
        WORD,
        """        return state_.compare_exchange_strong(free, me, std::memory_order_acq_rel,
""",
        """        return state_.compare_exchange_strong(free, me, std::memory_order_relaxed,
""",
        ("sync",),
        watches_threads=True,
    ),
]
