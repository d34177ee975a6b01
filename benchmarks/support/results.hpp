// SPDX-License-Identifier: MIT
//
// What was measured, and how arms compare.

#ifndef MMSTL_BENCHMARKS_RESULTS_HPP
#define MMSTL_BENCHMARKS_RESULTS_HPP

#include "registry.hpp"
#include "system_calls.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

/// The value below which the fraction `q` of `values` lies, interpolated; 0 of nothing.
[[nodiscard]] inline double quantile(std::vector<double> values, double q) {
    if (values.empty()) return 0;
    std::ranges::sort(values);
    const double position = q * static_cast<double>(values.size() - 1);
    const auto below = static_cast<std::size_t>(position);
    const std::size_t above = std::min(below + 1, values.size() - 1);
    return values[below] + (position - std::floor(position)) * (values[above] - values[below]);
}

/// One arm, measured.
struct result {
    const bench::arm* arm = nullptr;
    std::vector<double> seconds = {}; ///< Of one run, one entry a repetition.
    std::vector<double> minor_faults = {};
    std::vector<double> major_faults = {};
    std::optional<bench::system_calls> system_calls = {};
    std::optional<std::uint64_t> checksum = {};
    std::string error = {};
    const result* baseline = nullptr; ///< Null if there is none, or if checksums differ.

    [[nodiscard]] bool measured() const { return error.empty() && !seconds.empty(); }
    [[nodiscard]] double median() const { return quantile(seconds, 0.5); }
    [[nodiscard]] double low() const { return quantile(seconds, 0.25); }
    [[nodiscard]] double high() const { return quantile(seconds, 0.75); }
    /// Half the distance between the quartiles, as a fraction of the median.
    [[nodiscard]] double spread() const { return (high() - low()) / 2 / median(); }
    [[nodiscard]] bool noisy() const { return spread() > 0.1; }
    [[nodiscard]] double ratio_to_baseline() const { return baseline->median() / median(); }
};

/// All arms of one workload, in the order of their registration.
class results {
public:
    explicit results(const workload& of) : workload_(&of) {
        for (const arm& a : of.arms) rows_.push_back({.arm = &a});
    }
    results(const results&) = delete; // rows point to one another
    results& operator=(const results&) = delete;

    [[nodiscard]] const bench::workload& workload() const noexcept { return *workload_; }
    [[nodiscard]] std::vector<result>& rows() noexcept { return rows_; }
    [[nodiscard]] const std::vector<result>& rows() const noexcept { return rows_; }

    /// The measured row of that name, or null.
    [[nodiscard]] const result* find(std::string_view arm, std::string_view group = {}) const {
        for (const result& row : rows_)
            if (row.measured() && row.arm->name == arm && row.arm->group == group) return &row;
        return nullptr;
    }

    /// Chooses the baselines, and returns a complaint for each arm whose checksum is not that of
    /// the first of its group: such arms did not do the same work, so nothing is compared.
    [[nodiscard]] std::vector<std::string> compare();

    bool cache_verified = true;

private:
    const bench::workload* workload_;
    std::vector<result> rows_;
};

/// "1.58 x as fast as …", or how it loses, or that the noise hides the difference.
[[nodiscard]] std::string verdict(const result& arm, const result& reference,
                                  std::string_view reference_in_words, double at_least = 0);

/// Whether the two arms cause the same faults and system calls, in words.
[[nodiscard]] std::string compare_counts(const result& arm, const result& reference);

} // namespace bench

#endif // MMSTL_BENCHMARKS_RESULTS_HPP
