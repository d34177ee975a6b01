// SPDX-License-Identifier: MIT
//
// The word behind robust_mutex: who has it, who waits, and whether its last owner died with it.

#ifndef MMSTL_DETAIL_HEAP_ROBUST_WORD_HPP
#define MMSTL_DETAIL_HEAP_ROBUST_WORD_HPP

#include <mmstl/detail/heap/coordination.hpp>
#include <mmstl/detail/heap/shared_heap.hpp>
#include <mmstl/detail/posix.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <climits>
#include <cstdint>
#include <optional>

namespace mmstl::inline v1::detail::heap {

/// How an attempt to get a lock ended.
enum class lock_result : unsigned char {
    locked,
    in_use,     ///< it was not waited for, or not for longer
    owner_died, ///< nobody gets it until it is recovered
    is_mine,    ///< the thread has it already
    good,       ///< there is nothing to recover
};

/// Every change is one compare-and-swap, or one exchange by the owner: whoever is killed has made
/// it or not. Who gets it releases what says that he lives, and who judges that acquires it: nobody
/// sees the owner, and not yet the record that names him.
///
///     63          32 31        30      29       12 11               0
///     | generation  | contended | broken |   0     | place, and one   |
///
/// The lower twelve bits are 0 if nobody has it. The generation is the owner's; it and the place
/// name a thread: a place is taken again in the same generation after 2^32 others. Whatever else is in
/// the word, of a damaged file, is an owner that has died, or nobody. Waiters wait for the lower
/// half to change (futex(2)), and look every now and then whether its owner lives.
///
/// Threads: any of any process that has the segment open.
class robust_word {
public:
    using clock = std::chrono::steady_clock;
    using deadline = std::optional<clock::time_point>;

    constexpr robust_word() noexcept = default;

    static constexpr std::uint64_t owned_by(std::uint32_t place,
                                            std::uint32_t generation) noexcept {
        return std::uint64_t{generation} << 32 | (place + 1);
    }

    /// Gets it if nobody has it and nothing is wrong with it; no more.
    bool acquire(std::uint64_t me) noexcept {
        std::uint64_t free = 0;
        return state_.compare_exchange_strong(free, me, std::memory_order_acq_rel,
                                              std::memory_order_relaxed);
    }
    /// Gives it up, if `me` has it and is not recovering it; whether that was so.
    bool release(std::uint64_t me) noexcept {
        auto now = me;
        if (state_.compare_exchange_strong(now, 0, std::memory_order_release,
                                           std::memory_order_relaxed))
            return true;
        if (now != (me | contended)) return false;
        leave(0, 1);
        return true;
    }

    /// Gets it, waits for it no longer than `until`, or finds that its owner died.
    lock_result acquire_by(std::uint64_t me, const shared_heap& in, deadline until) noexcept;
    /// Does not wait.
    lock_result try_acquire(std::uint64_t me, const shared_heap& in) noexcept {
        return acquire_by(me, in, clock::time_point::min());
    }

    /// Gets it broken, from who died with it. Waits for another one that recovers it.
    lock_result begin_recovery(std::uint64_t me, const shared_heap& in) noexcept;
    /// Of who has begun it. All that wait are to know: some wait for the mutex, others for this.
    void end_recovery(std::uint64_t me, bool is_good) noexcept {
        const auto now = state_.load(std::memory_order_relaxed); // others add that they wait
        if ((now & ~contended) == (me | broken)) leave(is_good ? 0 : broken, INT_MAX);
    }

    /// Whether someone has died with it, as far as it has been noticed, and nobody has recovered it.
    [[nodiscard]] bool is_broken() const noexcept {
        return (state_.load(std::memory_order_acquire) & broken) != 0;
    }

private:
    static constexpr std::uint64_t contended = std::uint64_t{1} << 31;
    static constexpr std::uint64_t broken = std::uint64_t{1} << 30;
    static constexpr std::uint64_t place_mask = most_threads * 2 - 1;
    static_assert(most_threads < place_mask && place_mask < broken);

    static constexpr int spins = 100;
    static constexpr unsigned first_patience_ms = 1; // then twice as long, each time, up to ...
    static constexpr unsigned longest_patience_ms = 10;

    /// Without the flags; 0 if nobody has it.
    static constexpr std::uint64_t owner_of(std::uint64_t state) noexcept {
        return (state & place_mask) == 0 ? 0 : state & ~(contended | broken);
    }
    static bool is_alive(std::uint64_t owner, const shared_heap& in) noexcept {
        const auto place = static_cast<std::uint32_t>(owner & place_mask) - 1;
        const auto generation = in.living_at(place);
        return generation && owned_by(place, *generation) == owner;
    }

    void leave(std::uint64_t next, int n_to_wake) noexcept {
        const auto was = state_.exchange(next, std::memory_order_release);
        if ((was & contended) != 0) posix::wake(posix::low_half(state_), n_to_wake);
    }
    /// No longer than the state is `now`.
    void sleep(std::uint64_t now, unsigned milliseconds) const noexcept {
        posix::wait(posix::low_half(state_), static_cast<std::uint32_t>(now), milliseconds);
    }
    static unsigned milliseconds_until(clock::time_point end) noexcept {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - clock::now()).count();
        return static_cast<unsigned>(std::clamp<decltype(left)>(left, 0, longest_patience_ms));
    }

    std::atomic<std::uint64_t> state_{0};
};

inline lock_result robust_word::acquire_by(std::uint64_t me, const shared_heap& in,
                                           deadline until) noexcept {
    const bool waits = until != clock::time_point::min();
    for (int i = 0; waits && i < spins; ++i) {
        if (state_.load(std::memory_order_relaxed) == 0 && acquire(me)) return lock_result::locked;
        spin();
    }
    // From here on the word says that someone waits: whoever gets the lock this way cannot know
    // whether he was the only one.
    for (auto patience = first_patience_ms;;
         patience = std::min(2 * patience, longest_patience_ms)) {
        auto now = state_.load(std::memory_order_acquire);
        const auto owner = owner_of(now);
        if (owner == 0) {
            if ((now & broken) != 0) return lock_result::owner_died;
            if (state_.compare_exchange_strong(now, waits ? me | contended : me,
                                               std::memory_order_acq_rel,
                                               std::memory_order_relaxed))
                return lock_result::locked;
            continue;
        }
        if (owner == me) return waits ? lock_result::is_mine : lock_result::in_use;
        if (!is_alive(owner, in)) {
            // For everyone. Whoever finds the word changed was not the only one to look.
            if (state_.compare_exchange_strong(now, broken, std::memory_order_acquire,
                                               std::memory_order_relaxed))
                posix::wake(posix::low_half(state_), INT_MAX);
            continue;
        }
        if (!waits) return lock_result::in_use;
        const auto milliseconds = until ? std::min(patience, milliseconds_until(*until)) : patience;
        if (milliseconds == 0) return lock_result::in_use;
        const auto told = now | contended;
        if (now == told || state_.compare_exchange_strong(now, told, std::memory_order_relaxed))
            sleep(told, milliseconds);
    }
}

inline lock_result robust_word::begin_recovery(std::uint64_t me, const shared_heap& in) noexcept {
    for (auto patience = first_patience_ms;;
         patience = std::min(2 * patience, longest_patience_ms)) {
        auto now = state_.load(std::memory_order_acquire);
        const auto owner = owner_of(now);
        const bool is_broken = (now & broken) != 0;
        if (owner == me) return is_broken ? lock_result::is_mine : lock_result::good;
        if (owner != 0 && is_alive(owner, in)) {
            if (!is_broken) return lock_result::good;
            const auto told = now | contended; // another one is at it
            if (now == told || state_.compare_exchange_strong(now, told, std::memory_order_relaxed))
                sleep(told, patience);
            continue;
        }
        if (owner == 0 && !is_broken) return lock_result::good;
        if (state_.compare_exchange_strong(now, me | broken | contended, std::memory_order_acq_rel,
                                           std::memory_order_relaxed))
            return lock_result::locked;
    }
}

} // namespace mmstl::inline v1::detail::heap

#endif
