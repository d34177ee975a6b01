// SPDX-License-Identifier: MIT
//
// How fast is a scan of a file that is in the page cache, and of one that is not?

#include "peers/boost_iostreams.hpp"
#include "support/posix.hpp"
#include "support/results.hpp"
#include "support/sum.hpp"
#include "support/whole_file.hpp"
#include "workloads.hpp"

#include <cstdio>
#include <fstream>
#include <memory>
#include <mmstl.hpp>
#include <stdexcept>

namespace bench {
namespace {

using bytes_span = mmstl::mapped_span<const unsigned char>;
using words_span = mmstl::mapped_span<const std::uint64_t>;

std::uint64_t scan_span(const cached_file& file) {
    if (file.size_bytes() % sizeof(std::uint64_t) == 0) return sum(words_span(file.path().c_str()));
    const bytes_span all(file.path().c_str());
    return sum_bytes(all.data(), all.size());
}

std::uint64_t scan_chunks(const cached_file& file) {
    const bytes_span all(file.path().c_str());
    std::uint64_t total = 0;
    for (const auto chunk : all.chunks(1 << 20)) total += sum_bytes(chunk.data(), chunk.size());
    return total;
}

std::uint64_t scan_raw(const cached_file& file) {
    const raw_mapping map(file.path());
    return sum_bytes(map.data(), map.size_bytes());
}

std::uint64_t scan_raw_sequential(const cached_file& file) {
    const raw_mapping map(file.path());
    ::madvise(map.data(), map.size_bytes(), MADV_SEQUENTIAL);
    return sum_bytes(map.data(), map.size_bytes());
}

std::uint64_t scan_read(const cached_file& file, word_buffer& buffer) {
    return sum_by_read(file.path(), buffer);
}

std::uint64_t scan_pread(const cached_file& file, word_buffer& buffer) {
    return sum_by_pread(file.path(), buffer);
}

/// Reads all of it before it looks at any.
template <class Contents> std::uint64_t scan_whole(const cached_file& file) {
    Contents all(file.path());
    return sum_bytes(all.data(), all.size_bytes());
}

std::uint64_t scan_ifstream(const cached_file& file, word_buffer& buffer) {
    std::ifstream in;
    in.rdbuf()->pubsetbuf(nullptr, 0); // ours is the buffer: nothing is copied twice
    in.open(file.path(), std::ios::binary);
    if (!in) throw std::runtime_error("ifstream cannot open " + file.path());
    return sum_stream(buffer, [&](void* to, std::size_t bytes) {
        in.read(static_cast<char*>(to), static_cast<std::streamsize>(bytes));
        return static_cast<std::size_t>(in.gcount());
    });
}

std::uint64_t scan_fread(const cached_file& file, word_buffer& buffer) {
    struct closer {
        void operator()(std::FILE* f) const noexcept { (void)std::fclose(f); }
    };
    const std::unique_ptr<std::FILE, closer> in(std::fopen(file.path().c_str(), "rb"));
    if (!in) fail("fopen", file.path());
    return sum_stream(
        buffer, [&](void* to, std::size_t bytes) { return std::fread(to, 1, bytes, in.get()); });
}

workload scan(environment& in, const char* name, const char* question, cache_state state) {
    workload made = file_workload(in, name, question, state);
    const cached_file& file = in.file;
    const bool cold = state == cache_state::cold;
    const double gibibytes = static_cast<double>(file.size_bytes()) / (1 << 30);
    made.expected_seconds = gibibytes * (cold ? 100 : 30) + 1;

    // What is not in the page cache comes into new memory.
    const std::uint64_t cached_anew = cold ? file.size_bytes() : 0;
    const arm like{.iterations = cold ? 1 : iterations_for(file.size_bytes()),
                   .bytes = file.size_bytes(),
                   .fresh_bytes = cached_anew};
    const auto add = [&](std::string arm_name, role r, auto work) {
        arm a = like;
        a.name = std::move(arm_name);
        a.role = r;
        a.run = [&file, work](meter&) { return work(file); };
        made.arms.push_back(std::move(a));
    };
    const auto add_copying = [&](const char* arm_name, auto work) {
        add(arm_name, role::other, work);
        made.arms.back().fresh_bytes = cached_anew + file.size_bytes();
    };
    const auto add_buffered = [&](const std::string& call, role r, std::size_t bytes, auto work) {
        const auto buffer = std::make_shared<word_buffer>(bytes / sizeof(std::uint64_t));
        add(call + ", " + format_bytes(bytes) + " buffer", r,
            [=](const cached_file& f) { return work(f, *buffer); });
    };

    add("mapped_span", role::ours, scan_span);
    add("mapped_span, chunks of 1 MiB", role::ours, scan_chunks);
    add("raw mmap", role::other, scan_raw);
    if (cold) add("raw mmap, MADV_SEQUENTIAL", role::other, scan_raw_sequential);
    for (const std::size_t kibibytes : {64U, 256U, 1024U})
        add_buffered("read()", role::baseline, kibibytes << 10, scan_read);
    if (in.quick && state != cache_state::read_ahead) {
        made.skipped.push_back({"pread(), vector, ifstream, fread(), peers", "quick run"});
        return made;
    }
    add_buffered("pread()", role::other, 256U << 10, scan_pread);
    if (fits_twice(file)) {
        add_copying("read() into a fresh vector", scan_whole<file_in_vector>);
        add_copying("read() into a fresh buffer", scan_whole<file_in_buffer>);
    } else
        made.skipped.push_back({"read() into a fresh vector", "not enough memory for a copy"});
    add_buffered("ifstream", role::other, 256U << 10, scan_ifstream);
    add_buffered("fread()", role::other, 256U << 10, scan_fread);
    peers::add_boost_scan(made, file, like);
    return made;
}

std::vector<std::string> compare_with_raw(const results& of) {
    const result* const span = of.find("mapped_span");
    const result* const raw = of.find("raw mmap");
    if (span == nullptr || raw == nullptr) return {};
    return {compare_counts(*span, *raw)};
}

} // namespace

void sequential_scan(registry& into, environment& in) {
    const char* const best = "the best read()";
    // Of a small file nothing is expected: the table tells.
    const double large = in.file.size_bytes() >= std::size_t{64} << 20 ? 1 : 0;

    workload cached = scan(in, "scan.cached", "Sequential scan of a file in the page cache",
                           cache_state::read_ahead);
    cached.expectations = {
        {"mapped_span", "", best, large * 1.15},
        {"mapped_span", "read() into a fresh vector", "read() into a fresh vector", large * 8},
        {"mapped_span", "raw mmap", "raw mmap", large * 0.95},
        {"mapped_span, chunks of 1 MiB", "", best, 0},
    };
    cached.conclusions = compare_with_raw;
    into.push_back(std::move(cached));

    if (!in.file.given()) { // it would have to be written
        workload small = scan(in, "scan.small_folios",
                              "Sequential scan of a file that was just written in small pieces",
                              cache_state::small_pieces);
        small.expectations = {{"mapped_span", "", best, 0}};
        small.conclusions = compare_with_raw;
        into.push_back(std::move(small));
    }

    workload cold = scan(in, "scan.cold", "Sequential scan of a file that is not in the page cache",
                         cache_state::cold);
    cold.expectations = {
        {"mapped_span, chunks of 1 MiB", "", best, large},
        {"mapped_span", "", best, 0},
    };
    into.push_back(std::move(cold));
}

} // namespace bench
