// SPDX-License-Identifier: MIT
//
// robust_mutex: a lock in a segment that survives the death of its owner.

#ifndef MMSTL_SYNC_HPP
#define MMSTL_SYNC_HPP

#include <mmstl/detail/heap/robust_word.hpp>
#include <mmstl/detail/heap/thread_heap.hpp>
#include <mmstl/detail/posix.hpp>
#include <mmstl/detail/segment_storage.hpp>
#include <mmstl/detail/undo.hpp>
#include <mmstl/error.hpp>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

namespace mmstl::inline v1 {

/// Thrown to whoever asks for a `robust_mutex` whose owner died with it: what it guards may be
/// half changed. `code()` is `std::errc::owner_dead`, `path()` the name of the segment.
class owner_died : public mapping_error {
public:
    /// Made by mmstl alone.
    using mapping_error::mapping_error;
};

/// A mutex for what is in a segment: of all threads of all processes, one has it. When that one
/// dies, the others are told, and go on.
///
///     auto& mutex = seg.find_or_construct<mmstl::robust_mutex>("mutex");
///     try {
///         const std::scoped_lock lock(mutex);
///         queue.push_back(job);
///     } catch (const mmstl::owner_died&) {
///         mutex.recover([&] { queue = rebuilt(); });
///     }
///
/// Owner is the thread. It dies with the mutex when its process is killed, crashes, exits or
/// replaces its program (execve(2)), when the thread ends, and when its process lets go of the
/// segment. From then on everyone's `lock()` throws `owner_died` and holds nothing, until someone
/// has called `recover`. A process that is merely stopped (SIGSTOP) lives, and is waited for. The
/// end of a thread comes before the destructors of its thread_local objects that were made before
/// it used the segment: what one of these locks, it has to unlock itself.
///
/// A member of a struct in the segment, an element, or an object with a name; memory that is zero
/// is a mutex that nobody has. Outside of a segment, or in one that is open for reading, it
/// throws. Eight bytes, file format: a segment that is opened after a restart of the machine finds
/// its owner dead, too.
///
/// Not recursive: `lock()` by its owner throws `std::errc::resource_deadlock_would_occur`. Not
/// fair: who comes in time gets it before those that wait.
///
/// Complexity: `lock()` and `unlock()` that nobody contends for make one atomic operation each and
///             no system call, but for a thread's first one in a segment. Waiters sleep in the
///             kernel (futex(2)), and ask every 10 ms at the latest whether the owner lives.
/// Process:    a fork()ed child owns nothing of what its parent has locked; where it leaves the scope
///             of such a lock, its parent has it still.
/// Source:     [thread.mutex.requirements.mutex], [thread.timedmutex.requirements]; what POSIX calls
///             a robust mutex (pthread_mutexattr_setrobust(3)), but for `recover`.
class robust_mutex {
public:
    /// A mutex that nobody has.
    constexpr robust_mutex() noexcept = default;
    robust_mutex(const robust_mutex&) = delete;
    robust_mutex& operator=(const robust_mutex&) = delete;
    /// Requires: nobody has it, nor waits for it.
    ~robust_mutex() = default;

    /// Waits until the thread has it.
    ///
    /// Throws: `owner_died`; `mapping_error`: EDEADLK if the thread has it already,
    ///         `not_in_a_segment`, `wrong_access`, and what a thread's first allocation in a
    ///         segment may be refused for (`too_many_threads` and the like). It does not have it
    ///         then.
    void lock() {
        if (const auto& mine = *detail::heap::last_used; detail::heap::is_for(mine, this))
            if (word_.acquire(mine.lock_word)) [[likely]]
                return;
        (void)acquire_by(std::nullopt);
    }

    /// Gets it if nobody has it. Does not wait, and may ask the kernel whether the owner lives.
    ///
    /// Throws: as `lock()`, but for EDEADLK.
    [[nodiscard]] bool try_lock() { return acquire_by(clock::time_point::min()); }

    /// Waits for it no longer than that, to the next millisecond. What is not a number is no time.
    ///
    /// Throws: as `lock()`.
    template <class Rep, class Period>
    [[nodiscard]] bool try_lock_for(const std::chrono::duration<Rep, Period>& most) {
        if (!(most > most.zero())) return try_lock();
        const auto now = clock::now();
        if (seconds(most) >= seconds(clock::time_point::max() - now) / 2)
            return acquire_by(std::nullopt);
        return acquire_by(now + std::chrono::ceil<clock::duration>(most));
    }
    /// Waits for it no longer than until `end`, by that clock, which may be set meanwhile.
    ///
    /// Throws: as `lock()`.
    template <class Clock, class Duration>
    [[nodiscard]] bool try_lock_until(const std::chrono::time_point<Clock, Duration>& end) {
        for (;;) {
            const auto now = Clock::now();
            // A difference of what is very far away would overflow.
            const auto about = seconds(end.time_since_epoch()) - seconds(now.time_since_epoch());
            const bool is_far = std::abs(about.count()) > 1e9;
            if (!(is_far ? about > about.zero() : end > now)) return try_lock();
            if (is_far ? try_lock_for(about) : try_lock_for(end - now)) return true;
        } // a clock may be set meanwhile
    }

    /// Gives it up. If the thread has not got it, nothing happens.
    void unlock() noexcept {
        const auto& mine = *detail::heap::last_used;
        if (detail::heap::is_for(mine, this)) [[likely]]
            (void)word_.release(mine.lock_word);
        else
            unlock_slowly();
    }

    /// If an owner has died with it: gets it, calls `mend()`, which is to check what the mutex
    /// guards, and to mend, replace or abandon it, and makes the mutex good again, which nobody has
    /// then. True if so; false, and `mend` is not called, if there was nothing to recover, as when
    /// another one has done it meanwhile (which is waited for). Of a death that nobody has been told
    /// of, it may not know yet: then `lock()` tells.
    ///
    /// A child that is forked in `mend` and comes out of it gets false: it is its parent's.
    ///
    /// If `mend` throws, or its process dies, the mutex is as before: `lock()` throws `owner_died`.
    ///
    /// Throws: what `mend` throws; as `lock()`, but for `owner_died`; EDEADLK from within `mend`.
    template <class Mend> bool recover(Mend&& mend) {
        auto& mine = own_heap();
        const auto result = word_.begin_recovery(mine.lock_word, mine.of->shared);
        if (!note(mine, result)) return false;
        const auto word = mine.lock_word;
        const auto end = [&, word](bool is_mended) {
            // A child that is forked in `mend` has no heap, or another one where that one was.
            auto* const now = detail::heap::find_heap_around(this);
            if (now == nullptr || now->lock_word != word) return false;
            word_.end_recovery(word, is_mended);
            detail::heap::count_use(*now, -1);
            return true;
        };
        detail::undo unmended([&] { end(false); });
        std::forward<Mend>(mend)();
        unmended.cancel();
        return end(true);
    }

    /// Whether it is known that an owner has died with it, and nobody has recovered it yet. Does
    /// not ask whether the owner lives that it has now.
    [[nodiscard]] bool is_broken() const noexcept { return word_.is_broken(); }

private:
    using clock = detail::heap::robust_word::clock;
    using result_type = detail::heap::lock_result;
    static constexpr auto* call = "robust_mutex";

    using seconds = std::chrono::duration<double>; ///< which do not overflow

    bool acquire_by(detail::heap::robust_word::deadline end) {
        auto& mine = own_heap();
        return note(mine, word_.acquire_by(mine.lock_word, mine.of->shared, end));
    }
    /// Whether the thread has it now; throws if there was more to it.
    static bool note(detail::heap::thread_heap& mine, result_type result) {
        const auto& in = static_cast<const detail::open_segment&>(*mine.of);
        const bool has_it = result == result_type::locked;
        detail::heap::count_use(mine, has_it ? 1 : 0);
        if (result == result_type::owner_died)
            throw owner_died(detail::posix::failed(call, EOWNERDEAD), in.map.name());
        if (result == result_type::is_mine)
            throw mapping_error(detail::posix::failed(call, EDEADLK), in.map.name());
        return has_it;
    }
    [[gnu::noinline, gnu::cold]] void unlock_slowly() noexcept {
        auto* const mine = detail::heap::find_heap_around(this);
        if (mine != nullptr && word_.release(mine->lock_word)) detail::heap::count_use(*mine, -1);
    }

    /// Of this thread, in the segment that the mutex is in.
    detail::heap::thread_heap& own_heap() {
        if (detail::heap::is_for(*detail::heap::last_used, this)) return *detail::heap::last_used;
        detail::failure why;
        detail::heap::thread_heap* const found = detail::heap::heap_around(this, why, call);
        if (found == nullptr) throw mapping_error(why, segment_name());
        return *found;
    }
    /// Empty if there is none around it.
    [[nodiscard]] std::string segment_name() const {
        auto& process = detail::heap::heaps_of_this_process();
        const std::lock_guard lock(process.mutex);
        const auto* const of = process.find_around(this);
        return of == nullptr ? "" : static_cast<const detail::open_segment*>(of)->map.name();
    }

    detail::heap::robust_word word_;
};

} // namespace mmstl::inline v1

#endif
