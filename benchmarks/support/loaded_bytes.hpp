// SPDX-License-Identifier: MIT
//
// How much of a file each arm has brought into the page cache.

#ifndef MMSTL_BENCHMARKS_LOADED_BYTES_HPP
#define MMSTL_BENCHMARKS_LOADED_BYTES_HPP

#include "cached_file.hpp"
#include "registry.hpp"

#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace bench {

class loaded_bytes {
public:
    /// After a run of the arm that was begun, and before anything else is done with the file. Looks
    /// once for each arm: one has to wait for a readahead to end that nobody else waits for.
    void note(const std::string& path) {
        if (arm_.empty() || bytes_.contains(arm_)) return;
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        const std::size_t pages = resident_pages(path).value_or(0);
        if (pages == 0) return; // not known, or the run whose system calls are counted was refused
        bytes_[arm_] = pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    }
    void begin(std::string arm) { arm_ = std::move(arm); }

    [[nodiscard]] std::optional<std::size_t> by(const std::string& arm) const {
        const auto found = bytes_.find(arm);
        return found == bytes_.end() ? std::nullopt : std::optional(found->second);
    }
    [[nodiscard]] std::vector<figure> figures(const std::string& arm) const {
        const auto bytes = by(arm);
        if (!bytes) return {};
        return {{"cached_bytes", static_cast<double>(*bytes)}};
    }

private:
    std::string arm_;
    std::map<std::string, std::size_t> bytes_;
};

} // namespace bench

#endif // MMSTL_BENCHMARKS_LOADED_BYTES_HPP
