// SPDX-License-Identifier: MIT
//
// How fast does a vector grow that lives in a file, and one that lives in memory?

#include "support/growing_file.hpp"
#include "support/posix.hpp"
#include "support/results.hpp"
#include "support/scratch.hpp"
#include "workloads.hpp"

#include <array>
#include <deque>
#include <fmt/format.h>
#include <malloc.h>
#include <memory>
#include <mmstl.hpp>
#include <stdexcept>
#include <vector>

namespace bench {
namespace {

using words_vector = mmstl::mapped_vector<std::uint64_t>;

template <typename Vector> void append_all(Vector& to, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) to.push_back(element(i));
}

std::uint64_t fill(words_vector vector, std::size_t n) {
    const auto* const before = vector.data();
    append_all(vector, n);
    if (vector.data() != before) throw std::runtime_error("mapped_vector has moved its elements");
    return checksum(vector, vector.size());
}

template <typename Vector> std::uint64_t fill_standard(std::size_t n) {
    Vector vector;
    append_all(vector, n);
    return checksum(vector, vector.size());
}

std::uint64_t fill_vector(std::size_t n) { return fill_standard<std::vector<std::uint64_t>>(n); }

std::uint64_t fill_deque(std::size_t n) { return fill_standard<std::deque<std::uint64_t>>(n); }

// ---- by hand ----

std::uint64_t fill_raw(const std::string& path, std::size_t n, faults how) {
    growing_file file(path, how);
    store_all(file, n, make_element);
    return checksum(file.words(), n);
}

// ---- write() ----

template <std::size_t BufferBytes>
std::uint64_t fill_by_write(const std::string& path, std::size_t n) {
    const descriptor file(path, O_RDWR | O_CREAT | O_EXCL);
    std::array<std::uint64_t, BufferBytes / word_bytes> buffer;
    write_all_through(buffer, file, n, make_element);
    return checksum(file_words(file), n);
}

// ---- the workloads ----

std::size_t count(const environment& in) {
    return in.quick ? std::size_t{1} << 20 : std::size_t{64} << 20;
}

/// "growth copies 0 bytes": the arm itself fails if an element moves.
std::vector<std::string> count_growth(const results& of, std::string_view arm) {
    const result* const row = of.find(arm);
    if (row == nullptr) return {};
    const double a_gibibyte =
        static_cast<double>(std::uint64_t{1} << 30) / static_cast<double>(row->arm->bytes);
    const double n_faults = quantile(row->minor_faults, 0.5) + quantile(row->major_faults, 0.5);
    const std::string n_calls =
        row->system_calls
            ? fmt::format("{:.0f}", static_cast<double>(row->system_calls->count) * a_gibibyte)
            : "n/a";
    return {fmt::format("{}: growth copies 0 bytes; {} system calls and {:.0f} page faults per GiB",
                        arm, n_calls, n_faults * a_gibibyte)};
}

/// Why there is not room enough to append so much: a vector that grows has its elements twice, and
/// the pages of a file that is gone may take a moment to be free.
std::string lacking(const std::string& directory, std::size_t n_bytes) {
    if (n_bytes * 4 > available_memory_bytes()) return "not enough memory is available";
    if (!directory.empty() && n_bytes * 2 > free_bytes(directory))
        return directory + " has not enough room";
    return {};
}

workload into_a_file(environment& in) {
    const std::size_t n = count(in);
    const std::string path = in.directory + "/push_back";
    workload made{.name = "push_back.file",
                  .question = "push_back into a new file, from its creation to letting it go",
                  .cache = format_bytes(n * word_bytes) + " of uint64_t; written to the page "
                                                          "cache, nothing waits for the disk",
                  .cache_key = "new",
                  .unit = "element",
                  .state_is_verified = false,
                  .expected_seconds = static_cast<double>(n * word_bytes) / (1 << 30) * 60 + 1};

    made.set_up = [=, where = in.directory] { return lacking(where, n * word_bytes); };
    // What is left to do for the file before, the journal and the device included, is done before
    // the time begins.
    const auto clear = [=, where = in.directory] {
        ::unlink(path.c_str());
        ::syncfs(descriptor(where, O_RDONLY | O_DIRECTORY).get());
    };
    made.prepare = [=](const arm&) {
        clear();
        ::malloc_trim(0); // what an arm has freed, or the next one would not pay for its pages
        claim_free_memory(2 * n * word_bytes);
    };
    made.tear_down = clear;

    const auto add = [&](const char* name, role r, auto work) {
        made.arms.push_back({.name = name,
                             .role = r,
                             .run = [work](meter&) { return work(); },
                             .bytes = n * word_bytes,
                             .operations = n});
    };
    add("mapped_vector", role::ours,
        [=] { return fill(words_vector::create(mmstl::file(path)), n); });
    add("mapped_vector, sparse", role::ours, [=] {
        const mmstl::vector_options sparse{.allocation = mmstl::allocation::sparse};
        return fill(words_vector::create(mmstl::file(path), sparse), n);
    });
    const char* const same_growth = "raw mmap, the same growth";
    const char* const same_faults = "raw mmap, same growth, prefaulting";
    const char* const vector = "std::vector (no file)";
    const char* const deque = "std::deque (no file)";
    const char* const by_write = "write(), 64 KiB buffer";
    add(same_growth, role::other, [=] { return fill_raw(path, n, faults::one_by_one); });
    add(same_faults, role::other, [=] { return fill_raw(path, n, faults::ahead); });
    add(vector, role::other, [=] { return fill_vector(n); });
    add(deque, role::other, [=] { return fill_deque(n); });
    add(by_write, role::baseline, [=] { return fill_by_write<(64U << 10)>(path, n); });
    add("write(), 256 KiB buffer", role::baseline,
        [=] { return fill_by_write<(256U << 10)>(path, n); });

    // Of a small file nothing is expected: the table tells.
    const double large = in.quick ? 0 : 1;
    made.expectations = {
        {"mapped_vector", same_growth, same_growth, large * 0.95},
        {"mapped_vector", same_faults, "raw mmap that prefaults as well", 0},
        {"mapped_vector", vector, "std::vector, which copies and keeps nothing", large * 1.5},
        {"mapped_vector", deque, "std::deque, which keeps nothing", 0},
        {"mapped_vector", "", "the best buffered write() loop", large * 0.8},
    };
    made.conclusions = [](const results& of) {
        auto lines = count_growth(of, "mapped_vector");
        for (auto& line : count_growth(of, "mapped_vector, sparse")) lines.push_back(line);
        return lines;
    };
    return made;
}

workload into_memory(environment& in) {
    const std::size_t n = count(in);
    workload made{.name = "push_back.memory",
                  .question = "push_back into new memory, from its creation to giving it back",
                  .cache = format_bytes(n * word_bytes) + " of uint64_t",
                  .cache_key = "new",
                  .unit = "element",
                  .state_is_verified = false,
                  .expected_seconds = static_cast<double>(n * word_bytes) / (1 << 30) * 60 + 1};
    made.set_up = [=] { return lacking("", n * word_bytes); };
    // What an arm has freed, or the next one would not pay for its pages.
    made.prepare = [=](const arm&) {
        ::malloc_trim(0);
        claim_free_memory(2 * n * word_bytes);
    };

    const auto add = [&](const char* name, role r, auto work) {
        made.arms.push_back({.name = name,
                             .role = r,
                             .run = [work](meter&) { return work(); },
                             .bytes = n * word_bytes,
                             .operations = n});
    };
    const char* const anonymous = "mapped_vector, anonymous";
    const char* const memory_file = "mapped_vector, memory_file";
    const char* const shared = "mapped_vector, shared_memory";
    const char* const vector = "std::vector";
    add(anonymous, role::ours, [=] { return fill(words_vector::create(mmstl::anonymous()), n); });
    add(memory_file, role::ours,
        [=] { return fill(words_vector::create(mmstl::memory_file("push_back")), n); });
    if (const std::string reason = lacking("/dev/shm", n * word_bytes); !reason.empty()) {
        made.skipped.push_back({shared, reason});
    } else {
        add(shared, role::ours, [=] {
            const auto at = mmstl::shared_memory(fmt::format("/mmstl_push_back.{}", ::getpid()));
            words_vector made_there = words_vector::create(at);
            at.remove(); // so that nothing stays, however this ends
            return fill(std::move(made_there), n);
        });
    }
    add(vector, role::baseline, [=] { return fill_vector(n); });

    const double at_least = in.quick ? 0 : 1;
    for (const char* const ours : {anonymous, memory_file, shared})
        made.expectations.push_back({ours, vector, "std::vector", at_least});
    made.conclusions = [=](const results& of) {
        std::vector<std::string> lines;
        for (const char* const arm : {anonymous, memory_file, shared})
            for (auto& line : count_growth(of, arm)) lines.push_back(line);
        return lines;
    };
    return made;
}

} // namespace

void push_back(registry& into, environment& in) {
    into.push_back(into_a_file(in));
    into.push_back(into_memory(in));
}

} // namespace bench
