// SPDX-License-Identifier: MIT
//
// What is running and how long it will take, on stderr.

#include "progress.hpp"

#include <algorithm>
#include <cstdio>
#include <fmt/format.h>
#include <unistd.h>

namespace bench {

progress::progress(double expected_seconds)
    : expected_total_(expected_seconds), terminal_(::isatty(STDERR_FILENO) == 1) {}

void progress::begin(const std::string& workload, double expected_seconds) {
    expected_done_ += expected_here_;
    expected_here_ = expected_seconds;
    workload_ = workload;
    update(0);
}

void progress::update(double fraction) {
    const auto now = clock::now();
    const std::chrono::milliseconds pause(terminal_ ? 100 : 10'000);
    if (silent_ || now - last_ < pause) return;
    last_ = now;

    // The guesses are only trusted for the proportions between workloads: the pace is this
    // machine's.
    const double expected_done = expected_done_ + fraction * expected_here_;
    const double elapsed = std::chrono::duration<double>(now - start_).count();
    const double pace = expected_done > 0.05 * expected_total_ ? elapsed / expected_done : 1;
    const double left = std::max(0.0, (expected_total_ - expected_done) * pace);
    const std::string line = fmt::format("{:3.0f} %  {:<24} about {:.0f} s left",
                                         100 * expected_done / expected_total_, workload_, left);
    fmt::print(stderr, "{}{:<70}{}", terminal_ ? "\r" : "", line, terminal_ ? "" : "\n");
    (void)std::fflush(stderr);
    shown_ = true;
}

void progress::clear() {
    if (terminal_ && shown_) fmt::print(stderr, "\r{:70}\r", "");
    shown_ = false;
}

} // namespace bench
