// SPDX-License-Identifier: MIT
//
// What was measured, and how arms compare.

#include "results.hpp"

#include <fmt/format.h>

namespace bench {

std::vector<std::string> results::compare() {
    std::vector<std::string> complaints;
    for (const result& first : rows_) {
        if (!first.measured()) continue;
        const bool leads_its_group = std::ranges::none_of(rows_, [&](const result& r) {
            return &r < &first && r.measured() && r.arm->group == first.arm->group;
        });
        if (!leads_its_group) continue;

        const result* best = nullptr;
        bool agreed = true;
        for (const result& row : rows_) {
            if (!row.measured() || row.arm->group != first.arm->group) continue;
            if (row.checksum != first.checksum) {
                agreed = false;
                complaints.push_back(fmt::format("{}: \"{}\" and \"{}\" did not see the same data "
                                                 "(checksums {:016x} and {:016x}); "
                                                 "they are not compared",
                                                 workload_->name, first.arm->name, row.arm->name,
                                                 first.checksum.value_or(0),
                                                 row.checksum.value_or(0)));
            }
            if (row.arm->role == role::baseline &&
                (best == nullptr || row.median() < best->median()))
                best = &row;
        }
        if (!agreed) continue;
        for (result& row : rows_)
            if (row.measured() && row.arm->group == first.arm->group) row.baseline = best;
    }
    return complaints;
}

std::string verdict(const result& arm, const result& reference, std::string_view reference_in_words,
                    double at_least) {
    const double ratio = reference.median() / arm.median();
    const bool overlap = arm.low() <= reference.high() && reference.low() <= arm.high();
    const bool close_enough = std::abs(ratio - 1) < 0.02 || (overlap && std::abs(ratio - 1) < 0.1);
    const bool as_close_as_expected = at_least > 0 && ratio >= at_least && ratio < 1;
    std::string words;
    if (close_enough || as_close_as_expected)
        words =
            fmt::format("{}: as fast as {} ({:.2f} x)", arm.arm->name, reference_in_words, ratio);
    else if (ratio >= 1)
        words = fmt::format("{}: {:.{}f} x as fast as {}", arm.arm->name, ratio, ratio < 10 ? 2 : 0,
                            reference_in_words);
    else
        words = fmt::format("{} LOSES: it takes {:.2f} x as long as {}", arm.arm->name, 1 / ratio,
                            reference_in_words);
    if (at_least > 0) {
        const double ratio_at_best = reference.high() / arm.low();
        words += fmt::format("; at least {:.4g} is expected: {}", at_least,
                             ratio >= at_least           ? "holds"
                             : ratio_at_best >= at_least ? "misses, but by less than the noise"
                                                         : "DOES NOT HOLD");
    }
    if (arm.noisy() || reference.noisy()) {
        const bool far_apart = std::abs(std::log(ratio)) > 2 * (arm.spread() + reference.spread());
        words +=
            fmt::format(" [noisy, ± {:.0f} %{}]", 100 * std::max(arm.spread(), reference.spread()),
                        far_apart ? "" : ": conclude nothing, run again on a quieter machine");
    }
    return words;
}

std::string compare_counts(const result& arm, const result& reference) {
    const auto faults = [](const result& r) {
        return quantile(r.minor_faults, 0.5) + quantile(r.major_faults, 0.5);
    };
    const auto calls = [](const result& r) {
        return r.system_calls ? fmt::format("{}", r.system_calls->count) : std::string("n/a");
    };
    return fmt::format("page faults and system calls of {} and of {}: {:.0f} and {:.0f}, {} and {}",
                       arm.arm->name, reference.arm->name, faults(arm), faults(reference),
                       calls(arm), calls(reference));
}

} // namespace bench
