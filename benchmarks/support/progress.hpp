// SPDX-License-Identifier: MIT
//
// What is running and how long it will take, on stderr.

#ifndef MMSTL_BENCHMARKS_PROGRESS_HPP
#define MMSTL_BENCHMARKS_PROGRESS_HPP

#include <chrono>
#include <string>

namespace bench {

/// On a terminal one line that is written over; elsewhere a line every ten seconds.
class progress {
public:
    /// Shows nothing.
    progress() : expected_total_(0), terminal_(false), silent_(true) {}
    explicit progress(double expected_seconds);
    ~progress() { clear(); }
    progress(const progress&) = delete;
    progress& operator=(const progress&) = delete;

    void begin(const std::string& workload, double expected_seconds);
    /// The workload that was begun is done by this fraction.
    void update(double fraction);
    void clear();

private:
    using clock = std::chrono::steady_clock;

    double expected_total_;
    double expected_done_ = 0;
    double expected_here_ = 0;
    std::string workload_;
    bool terminal_;
    bool silent_ = false;
    bool shown_ = false;
    clock::time_point start_ = clock::now();
    clock::time_point last_ = start_ - std::chrono::seconds(60);
};

} // namespace bench

#endif // MMSTL_BENCHMARKS_PROGRESS_HPP
