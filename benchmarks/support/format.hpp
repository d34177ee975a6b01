// SPDX-License-Identifier: MIT
//
// Quantities as people read them.

#ifndef MMSTL_BENCHMARKS_FORMAT_HPP
#define MMSTL_BENCHMARKS_FORMAT_HPP

#include <cstdint>
#include <fmt/format.h>
#include <string>

namespace bench {

/// "44.1 ms": three significant digits.
[[nodiscard]] inline std::string format_seconds(double seconds) {
    const auto scaled = [](double value, const char* unit) {
        return fmt::format("{:.{}f} {}", value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0, unit);
    };
    if (seconds < 1e-6) return scaled(seconds * 1e9, "ns");
    if (seconds < 1e-3) return scaled(seconds * 1e6, "µs");
    if (seconds < 1) return scaled(seconds * 1e3, "ms");
    return scaled(seconds, "s");
}

/// "256 KiB", "1.5 GiB".
[[nodiscard]] inline std::string format_bytes(std::uint64_t bytes) {
    constexpr const char* units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double value = static_cast<double>(bytes);
    std::size_t unit = 0;
    while (value >= 1024 && unit + 1 < std::size(units)) {
        value /= 1024;
        ++unit;
    }
    return fmt::format("{:.4g} {}", value, units[unit]);
}

} // namespace bench

#endif // MMSTL_BENCHMARKS_FORMAT_HPP
