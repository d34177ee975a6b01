// SPDX-License-Identifier: MIT
//
// Who uses a segment, which of them live, and the locks among them: any of them may be killed at
// any instruction, and the others go on.

#ifndef MMSTL_DETAIL_HEAP_COORDINATION_HPP
#define MMSTL_DETAIL_HEAP_COORDINATION_HPP

#include <mmstl/detail/heap/layout.hpp>
#include <mmstl/detail/posix.hpp>
#include <mmstl/error.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace mmstl::inline v1::detail::heap {

/// While another thread or process is waited for that is about to be done.
inline void spin() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield"); // NOLINT(hicpp-no-assembler)
#endif
}

/// The place of this process among those that use the segment.
///
/// A process is alive as long as the byte of its record is locked, through a description of the
/// file that it has opened for that alone, and never maps: the kernel gives the lock back when the
/// process ends, however it ends. (A lock through the mapped description would live on in a
/// fork()ed child.) A fork()ed child finds the place taken by nobody, and takes one of its own.
///
/// Threads: `join` and `leave` need the caller's lock; the rest is for any thread of a member.
class membership {
public:
    membership() noexcept = default;
    membership(const membership&) = delete;
    membership& operator=(const membership&) = delete;
    ~membership() {
        if (place_ != nullptr) (void)posix::unmap(place_, page_bytes);
        close_descriptor();
    }

    /// Whether this process has joined, and not a parent of it: all of it, so that the caller may
    /// take locks. Any thread may ask.
    [[nodiscard]] bool is_member() const noexcept {
        return place_ != nullptr && place()->has_joined.load(std::memory_order_acquire) != 0;
    }
    [[nodiscard]] std::uint32_t process() const noexcept { return place()->process_and_one - 1; }

    /// Takes a record; `clean_up(p)` is called for those that dead processes have left, when the
    /// locks are free of them, and returns when nothing else is left of them.
    template <class Replay, class CleanUp>
    failure join(const image& in, int segment_fd, Replay replay, CleanUp clean_up);

    /// Cleans up behind the dead, as `join` does, and counts them.
    template <class Replay, class CleanUp>
    failure bury_the_dead(const image& in, Replay replay, CleanUp clean_up, std::size_t& n_dead);

    /// Whether other processes use the segment, or have died in it.
    [[nodiscard]] bool has_company(const image& in) const noexcept {
        for (std::uint32_t p = 0; p < most_processes; ++p)
            if (p != process() && in.process(p).is_there.load(std::memory_order_relaxed) != 0)
                return true;
        return false;
    }

    /// Gives the record back, for which nothing may be left to clean up. True if nobody else is
    /// there.
    bool leave(const image& in) noexcept;

    /// What fork() duplicates, and would keep a dead parent alive for the others.
    void close_descriptor() noexcept {
        const int fd = std::exchange(fd_, -1);
        if (fd != -1) (void)posix::close(fd);
    }

    /// Whether process `p` of that generation may still do something. When that cannot be told, it
    /// may.
    [[nodiscard]] bool is_alive(const image& in, std::uint32_t p,
                                std::uint32_t generation) const noexcept {
        if (p >= most_processes) return false;
        if (place()->process_and_one == p + 1)
            return (generation & generation_mask) == (place()->generation & generation_mask);
        bool locked = true;
        const auto f = posix::ask_byte_lock(fd_, liveness_offset + p, locked);
        return (f.failed() || locked) && (in.process(p).generation.load() & generation_mask) ==
                                             (generation & generation_mask);
    }

    // ---- what a lock's word says ----

    static constexpr std::uint32_t generation_mask = 0x7fff;
    static constexpr std::uint32_t contended = std::uint32_t{1} << 31;

    [[nodiscard]] std::uint32_t lock_word() const noexcept {
        return word_of(process(), place()->generation);
    }
    static constexpr std::uint32_t word_of(std::uint32_t p, std::uint32_t generation) noexcept {
        return (p + 1) | (generation & generation_mask) << 16;
    }
    static constexpr std::uint32_t process_of(std::uint32_t word) noexcept {
        return (word & 0xffff) - 1;
    }
    static constexpr std::uint32_t generation_of(std::uint32_t word) noexcept {
        return word >> 16 & generation_mask;
    }

    /// Whether process `p` is dead, and someone has its byte locked to clean up behind it.
    [[nodiscard]] static bool is_being_buried(const image& in, std::uint32_t p) noexcept {
        return in.process(p).is_there.load() == being_buried;
    }

private:
    static constexpr std::uint32_t here = 1;
    static constexpr std::uint32_t being_buried = 2;

    struct where {
        std::uint32_t process_and_one;
        std::uint32_t generation;
        std::atomic<std::uint32_t> has_joined;
    };
    [[nodiscard]] where* place() const noexcept { return reinterpret_cast<where*>(place_); }

    template <class Replay> void settle_locks(const image& in, std::uint32_t p, Replay replay);
    template <class Replay, class CleanUp>
    failure bury(const image& in, std::uint32_t p, Replay replay, CleanUp clean_up);

    std::byte* place_ = nullptr; ///< in memory that a child does not inherit
    int fd_ = -1;
};

/// One lock among processes, held as long as this lives.
///
/// Takes it over from a dead holder: then `replay(line)` finishes or takes back what that one was
/// in the middle of. A holder that is stopped (SIGSTOP) is waited for.
class process_lock {
public:
    template <class Replay>
    process_lock(const image& in, const membership& who, lock_line& line, Replay replay) noexcept
        : line_(line), word_(who.lock_word()) {
        std::uint32_t expected = 0;
        if (line.word.compare_exchange_strong(expected, word_, std::memory_order_acquire)) return;
        wait(in, who, replay);
    }
    process_lock(const process_lock&) = delete;
    process_lock& operator=(const process_lock&) = delete;
    ~process_lock() {
        const auto was = line_.word.exchange(0, std::memory_order_release);
        if ((was & membership::contended) != 0) posix::wake(line_.word, 1);
    }

private:
    static constexpr int spins = 200;
    static constexpr unsigned patience_ms = 10;

    template <class Replay>
    void wait(const image& in, const membership& who, Replay& replay) noexcept {
        for (int i = 0; i < spins; ++i) {
            std::uint32_t now = line_.word.load(std::memory_order_relaxed);
            if (now == 0 && line_.word.compare_exchange_weak(now, word_, std::memory_order_acquire))
                return;
            spin();
        }
        // From here on the word says that someone waits: whoever gets the lock this way cannot
        // know whether he was the only one.
        const std::uint32_t mine = word_ | membership::contended;
        for (;;) {
            std::uint32_t now = line_.word.load(std::memory_order_relaxed);
            if (now == 0) {
                if (line_.word.compare_exchange_strong(now, mine, std::memory_order_acquire))
                    return;
                continue;
            }
            const std::uint32_t told = now | membership::contended;
            if (now != told && !line_.word.compare_exchange_strong(now, told)) continue;
            posix::wait(line_.word, told, patience_ms);
            if (line_.word.load(std::memory_order_relaxed) != told ||
                who.is_alive(in, membership::process_of(told), membership::generation_of(told)))
                continue;
            std::uint32_t of_the_dead = told;
            if (line_.word.compare_exchange_strong(of_the_dead, mine, std::memory_order_acquire)) {
                replay(line_);
                return;
            }
        }
    }

    lock_line& line_;
    std::uint32_t word_;
};

// ---- joining ----

/// Process `p` is dead, or this one, its byte is locked by us, and its generation has passed: whoever
/// asks now knows. So only one of those that take over wins. From then on the word names this
/// process, which other threads of it know to be alive: the kernel does not tell them so of a byte
/// that the process has locked itself. A word that names the generation that has just begun is of
/// a damaged file: nobody else would ever take it back.
template <class Replay>
void membership::settle_locks(const image& in, std::uint32_t p, Replay replay) {
    const std::uint32_t ours = lock_word() | contended;
    for (lock_line* const line : {&in.locks().heap, &in.locks().names}) {
        std::uint32_t word = line->word.load();
        if (process_of(word) != p) continue;
        if (!line->word.compare_exchange_strong(word, ours)) continue;
        replay(*line);
        line->word.store(0, std::memory_order_release);
        posix::wake(line->word, 1);
    }
}

/// With its byte locked by us.
template <class Replay, class CleanUp>
failure membership::bury(const image& in, std::uint32_t p, Replay replay, CleanUp clean_up) {
    in.process(p).is_there.store(being_buried);
    in.process(p).generation.fetch_add(1);
    settle_locks(in, p, replay);
    return clean_up(p);
}

template <class Replay, class CleanUp>
failure membership::join(const image& in, int segment_fd, Replay replay, CleanUp clean_up) {
    if (place_ == nullptr)
        if (auto f = posix::map_forgetful(page_bytes, place_); f.failed()) return f;
    close_descriptor();
    if (auto f = posix::reopen(segment_fd, fd_); f.failed()) return f;
    // A place nobody has been in, or else one of the dead.
    for (const bool of_the_dead : {false, true})
        for (std::uint32_t p = 0; p < most_processes; ++p) {
            auto& record = in.process(p);
            if ((record.is_there.load() != 0) != of_the_dead) continue;
            bool locked = false;
            if (auto f = posix::try_lock_byte(fd_, liveness_offset + p, locked); f.failed())
                return f;
            if (!locked) continue;
            const bool is_dead = record.is_there.load() != 0;
            record.is_there.store(is_dead ? being_buried : here);
            const auto generation = record.generation.fetch_add(1) + 1;
            record.id.set(posix::process_id());
            place()->process_and_one = p + 1;
            place()->generation = generation;
            settle_locks(in, p, replay); // a damaged file may say that nobody was there
            failure f;
            if (is_dead) f = clean_up(p);
            record.is_there.store(here);
            std::size_t n_dead = 0;
            if (!f.failed()) f = bury_the_dead(in, replay, clean_up, n_dead);
            if (f.failed()) { // for another to clean up
                place()->process_and_one = 0;
                (void)posix::unlock_byte(fd_, liveness_offset + p); // as in `leave`
                close_descriptor();
            } else {
                place()->has_joined.store(1, std::memory_order_release);
            }
            return f;
        }
    return refuse(errc::too_many_processes, "segment", most_processes + 1, most_processes);
}

template <class Replay, class CleanUp>
failure membership::bury_the_dead(const image& in, Replay replay, CleanUp clean_up,
                                  std::size_t& n_dead) {
    for (std::uint32_t p = 0; p < most_processes; ++p) {
        auto& record = in.process(p);
        if (p == process() || record.is_there.load() == 0) continue;
        bool locked = false;
        if (auto f = posix::try_lock_byte(fd_, liveness_offset + p, locked); f.failed()) return f;
        if (!locked) continue;
        if (record.is_there.load() != 0) {
            if (auto f = bury(in, p, replay, clean_up); f.failed()) return f;
            record.is_there.store(0);
            ++n_dead;
        }
        if (auto f = posix::unlock_byte(fd_, liveness_offset + p); f.failed()) return f;
    }
    return {};
}

inline bool membership::leave(const image& in) noexcept {
    if (!is_member()) return false;
    const auto mine = process();
    bool alone = true;
    for (std::uint32_t p = 0; p < most_processes && alone; ++p)
        alone = p == mine || in.process(p).is_there.load() == 0;
    in.process(mine).is_there.store(0);
    place()->has_joined.store(0, std::memory_order_relaxed);
    place()->process_and_one = 0;
    // Closing does not give it back while a child has the descriptor (_Fork).
    (void)posix::unlock_byte(fd_, liveness_offset + mine);
    close_descriptor();
    return alone;
}

} // namespace mmstl::inline v1::detail::heap

#endif
