// SPDX-License-Identifier: MIT
//
// What workloads are told when they register: the large file, where to put others, how much to do.

#ifndef MMSTL_BENCHMARKS_ENVIRONMENT_HPP
#define MMSTL_BENCHMARKS_ENVIRONMENT_HPP

#include "cached_file.hpp"
#include "format.hpp"
#include "machine.hpp"
#include "registry.hpp"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>

namespace bench {

struct environment {
    bool quick = false;
    std::string directory;   ///< For generated files; gone at the end.
    std::size_t threads = 4; ///< Where several work at once, and no number is part of the question.
    cached_file& file;       ///< The large file, generated or the user's own.
};

/// A workload on a file in a given state of the page cache, without arms yet.
[[nodiscard]] inline workload file_workload(cached_file& file, std::string name,
                                            std::string question, cache_state state) {
    workload made{.name = std::move(name),
                  .question = std::move(question),
                  .cache = format_bytes(file.size_bytes()) + "; " + describe(state),
                  .cache_key = bench::name(state)};
    made.set_up = [&file, state]() -> std::string {
        if (state != cache_state::cold && file.size_bytes() > available_memory_bytes() / 5 * 4)
            return "the file does not fit into the memory that is available";
        try {
            file.ensure(state);
        } catch (const std::exception& e) {
            return e.what();
        }
        return {};
    };
    made.prepare = [&file, state](const arm&) { file.ensure(state); };
    made.verified = [&file] { return file.verified(); };
    return made;
}

/// The same on the large file.
[[nodiscard]] inline workload file_workload(environment& in, std::string name, std::string question,
                                            cache_state state) {
    return file_workload(in.file, std::move(name), std::move(question), state);
}

/// The same on a file of its own, for what takes too long with the large one, or too much memory.
[[nodiscard]] inline workload own_file_workload(environment& in, std::size_t size_bytes,
                                                std::string name, std::string question,
                                                cache_state state,
                                                std::shared_ptr<cached_file>& file) {
    file = std::make_shared<cached_file>(in.directory + "/" + name, size_bytes,
                                         cached_file::origin::generated);
    workload made = file_workload(*file, std::move(name), std::move(question), state);
    made.tear_down = [file] { (void)std::remove(file->path().c_str()); };
    return made;
}

/// Whether there is memory for a second copy of the file.
[[nodiscard]] inline bool fits_twice(const cached_file& file) {
    return file.size_bytes() < available_memory_bytes() / 5 * 2;
}

/// How often to run what takes as long as reading `bytes`, so that it takes a millisecond or so.
[[nodiscard]] constexpr std::int64_t iterations_for(std::uint64_t bytes) noexcept {
    return static_cast<std::int64_t>(
        std::clamp<std::uint64_t>((std::uint64_t{4} << 20) / (bytes + 1), 1, 200));
}

} // namespace bench

#endif // MMSTL_BENCHMARKS_ENVIRONMENT_HPP
