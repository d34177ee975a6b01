// SPDX-License-Identifier: MIT
//
// Measures one run of an arm: wall time and page faults, or marks it for the system-call counter.

#ifndef MMSTL_BENCHMARKS_METER_HPP
#define MMSTL_BENCHMARKS_METER_HPP

#include <chrono>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <utility>

namespace bench {

/// The harness starts and stops it around the whole life of an arm, from open to close. An arm
/// whose question begins later (reads after the first touch) calls `restart()` there, and one whose
/// question ends before it has let all go calls `stop()`: the first one counts.
class meter {
public:
    enum class mode { timing, tracing };

    /// The harmless call that the system-call counter takes for a mark.
    static constexpr long mark = SYS_getppid;

    explicit meter(mode m = mode::timing) noexcept : mode_(m) {}

    void restart() noexcept {
        is_running_ = true;
        if (mode_ == mode::tracing) {
            ::syscall(mark);
            return;
        }
        ::getrusage(RUSAGE_SELF, &before_);
        start_ = std::chrono::steady_clock::now();
    }

    void stop() noexcept {
        if (!std::exchange(is_running_, false)) return;
        stop_ = std::chrono::steady_clock::now();
        if (mode_ == mode::tracing) {
            ::syscall(mark);
            return;
        }
        ::getrusage(RUSAGE_SELF, &after_);
    }

    [[nodiscard]] double seconds() const noexcept {
        return std::chrono::duration<double>(stop_ - start_).count();
    }
    [[nodiscard]] double minor_faults() const noexcept {
        return static_cast<double>(after_.ru_minflt - before_.ru_minflt);
    }
    [[nodiscard]] double major_faults() const noexcept {
        return static_cast<double>(after_.ru_majflt - before_.ru_majflt);
    }

private:
    mode mode_;
    bool is_running_ = false;
    std::chrono::steady_clock::time_point start_{}, stop_{};
    rusage before_{}, after_{};
};

} // namespace bench

#endif // MMSTL_BENCHMARKS_METER_HPP
