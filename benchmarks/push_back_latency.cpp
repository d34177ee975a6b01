// SPDX-License-Identifier: MIT
//
// How long does a single push_back take, and the slowest of them?

#include "support/posix.hpp"
#include "support/results.hpp"
#include "support/scratch.hpp"
#include "workloads.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <ctime>
#include <deque>
#include <fcntl.h>
#include <fmt/format.h>
#include <malloc.h>
#include <memory>
#include <mmstl.hpp>
#include <vector>

namespace bench {
namespace {

using words_vector = mmstl::mapped_vector<std::uint64_t>;

std::uint64_t now_ns() noexcept {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
           static_cast<std::uint64_t>(now.tv_nsec);
}

/// Counts nanoseconds in buckets: each of its own below 128, above that 64 for each power of two,
/// so that no sample is off by 2 %. It fits into the cache, unlike all samples.
class histogram {
public:
    void add(std::uint64_t ns) noexcept {
        ++counts_[bucket_of(ns)];
        max_ns_ = std::max(max_ns_, ns);
    }

    void add(const histogram& other) noexcept {
        for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
        max_ns_ = std::max(max_ns_, other.max_ns_);
    }

    [[nodiscard]] double max_seconds() const noexcept { return static_cast<double>(max_ns_) / 1e9; }

    /// What the fraction `q` of all samples does not exceed, rounded up to the end of its bucket.
    [[nodiscard]] double seconds_at(double q) const noexcept {
        std::uint64_t total = 0;
        for (const std::uint64_t count : counts_) total += count;
        const auto rank = static_cast<std::uint64_t>(q * static_cast<double>(total));
        std::uint64_t seen = 0;
        for (std::size_t i = 0; i < counts_.size(); ++i)
            if (seen += counts_[i]; seen > rank)
                return static_cast<double>(std::min(last_of(i), max_ns_)) / 1e9;
        return max_seconds();
    }

private:
    static constexpr unsigned fine_bits = 6;
    static constexpr std::uint64_t fine = std::uint64_t{1} << fine_bits;

    // The highest bit and the six behind it.
    static std::size_t bucket_of(std::uint64_t ns) noexcept {
        const auto width = static_cast<unsigned>(std::bit_width(ns));
        if (width <= fine_bits + 1) return ns;
        const unsigned shift = width - fine_bits - 1;
        return shift * fine + (ns >> shift);
    }
    static std::uint64_t last_of(std::size_t bucket) noexcept {
        if (bucket < 2 * fine) return bucket;
        const std::uint64_t shift = bucket / fine - 1;
        return ((bucket % fine + fine + 1) << shift) - 1;
    }

    std::array<std::uint64_t, (64 - fine_bits + 1) * fine> counts_{};
    std::uint64_t max_ns_ = 0;
};

/// Of all repetitions of an arm.
struct samples {
    histogram all;
    std::vector<double> max_seconds; ///< One a repetition.
};

template <typename Work> [[gnu::noinline]] histogram time_each(std::size_t n, Work work) {
    histogram times;
    for (std::size_t i = 0; i < n; ++i) {
        const std::uint64_t start = now_ns();
        work(i);
        asm volatile("" ::: "memory"); // stored before the clock is read
        times.add(now_ns() - start);
    }
    return times;
}

template <typename Vector>
std::uint64_t push_all(Vector& to, std::size_t n, const std::shared_ptr<samples>& into) {
    asm volatile("" ::"g"(&to) : "memory"); // for all the compiler knows, someone looks at it
    const histogram times = time_each(n, [&](std::size_t i) { to.push_back(i); });
    into->all.add(times);
    into->max_seconds.push_back(times.max_seconds());
    std::uint64_t total = to.size();
    for (std::size_t i = 0; i < n; i += 4096) total = std::rotl(total, 1) + to[i];
    return total;
}

std::string describe(const histogram& times) {
    return fmt::format(
        "median {}, p99 {}, p99.9 {}, p99.99 {}", format_seconds(times.seconds_at(0.5)),
        format_seconds(times.seconds_at(0.99)), format_seconds(times.seconds_at(0.999)),
        format_seconds(times.seconds_at(0.9999)));
}

} // namespace

void push_back_latency(registry& into, environment& in) {
    const std::size_t n = in.quick ? std::size_t{1} << 17 : std::size_t{16} << 20;
    const std::string path = in.directory + "/push_back_latency";
    workload made{.name = "push_back.latency",
                  .question = "The time of each single push_back",
                  .cache = fmt::format("{} of uint64_t into what is new; the clock is read before "
                                       "and after each",
                                       format_bytes(n * sizeof(std::uint64_t))),
                  .cache_key = "new",
                  .unit = "element",
                  .state_is_verified = false,
                  .expected_seconds = static_cast<double>(n) * 4e-6 + 1};

    const auto clock_alone = std::make_shared<histogram>();
    made.set_up = [=, where = in.directory]() -> std::string {
        const std::size_t n_bytes = n * sizeof(std::uint64_t);
        if (n_bytes * 4 > available_memory_bytes()) return "not enough memory is available";
        if (n_bytes * 2 > free_bytes(where)) return where + " has not enough room";
        *clock_alone = time_each(n, [](std::size_t) {});
        return {};
    };
    // The journal and the device are done with the file before. What an arm has freed goes back to
    // the system, or the next one would not pay for its pages.
    const auto clear = [=, where = in.directory] {
        ::unlink(path.c_str());
        ::syncfs(descriptor(where, O_RDONLY | O_DIRECTORY).get());
    };
    made.prepare = [=](const arm&) {
        clear();
        ::malloc_trim(0);
        claim_free_memory(2 * n * sizeof(std::uint64_t));
    };
    made.tear_down = clear;

    const auto collected = std::make_shared<std::vector<std::shared_ptr<samples>>>();
    const auto add = [&](const char* name, role r, auto make) {
        const auto of_this = collected->emplace_back(std::make_shared<samples>());
        made.arms.push_back({.name = name,
                             .role = r,
                             .run =
                                 [=](meter&) {
                                     auto vector = make();
                                     return push_all(vector, n, of_this);
                                 },
                             .bytes = n * sizeof(std::uint64_t),
                             .operations = n,
                             .figures = [=]() -> std::vector<figure> {
                                 const histogram& all = of_this->all;
                                 return {
                                     {"p50_seconds", all.seconds_at(0.5)},
                                     {"p99_seconds", all.seconds_at(0.99)},
                                     {"p99_9_seconds", all.seconds_at(0.999)},
                                     {"p99_99_seconds", all.seconds_at(0.9999)},
                                     {"max_seconds", all.max_seconds()},
                                     {"median_max_seconds", quantile(of_this->max_seconds, 0.5)}};
                             }});
    };
    // Nothing is compared: it is the distribution that tells.
    add("mapped_vector in a file", role::ours,
        [=] { return words_vector::create(mmstl::file(path)); });
    add("mapped_vector, anonymous", role::ours,
        [] { return words_vector::create(mmstl::anonymous()); });
    add("std::vector", role::other, [] { return std::vector<std::uint64_t>(); });
    add("std::deque", role::other, [] { return std::deque<std::uint64_t>(); });

    made.conclusions = [=](const results& of) {
        std::vector<std::string> lines;
        for (std::size_t i = 0; i < collected->size(); ++i) {
            const samples& times = *(*collected)[i];
            if (!of.rows()[i].measured()) continue;
            lines.push_back(fmt::format("{}: {}; longest {} (median of the longest of each run {})",
                                        of.rows()[i].arm->name, describe(times.all),
                                        format_seconds(times.all.max_seconds()),
                                        format_seconds(quantile(times.max_seconds, 0.5))));
        }
        lines.push_back(fmt::format(
            "the clock alone, which all of these include: {}; longest {}: the longest of each is "
            "reported, not promised",
            describe(*clock_alone), format_seconds(clock_alone->max_seconds())));
        return lines;
    };
    into.push_back(std::move(made));
}

} // namespace bench
