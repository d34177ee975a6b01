// SPDX-License-Identifier: MIT
//
// How fast are records appended to a new file, with and without waiting for the disk?

#include "support/growing_file.hpp"
#include "support/posix.hpp"
#include "support/results.hpp"
#include "support/scratch.hpp"
#include "workloads.hpp"

#include <array>
#include <cstdio>
#include <fstream>
#include <memory>
#include <mmstl.hpp>
#include <span>
#include <stdexcept>
#include <vector>

namespace bench {
namespace {

constexpr std::size_t buffer_bytes = std::size_t{64} << 10;

enum class durable : bool { no, yes };

constexpr const char* name_of(durable until) {
    return until == durable::yes ? "until it is on the disk" : "not waiting for the disk";
}

constexpr const char* by_vector = "mapped_vector, push_back()";
constexpr const char* by_ranges = "mapped_vector, append_range()";
constexpr const char* by_hand = "raw mmap, the same growth";
constexpr const char* by_hand_ahead = "raw mmap, same growth, prefaulting";
constexpr const char* by_fwrite = "fwrite(), 64 KiB buffer";
constexpr const char* by_ofstream = "ofstream, 64 KiB buffer";

using record = std::array<std::uint64_t, 8>;
constexpr std::size_t words_a_record = std::tuple_size_v<record>;
static_assert(sizeof(record) == 64);

constexpr auto make_record = [](std::size_t n) noexcept {
    record made;
    for (std::size_t i = 0; i < made.size(); ++i) made[i] = element(n * words_a_record + i);
    return made;
};

/// The file and its name, as flush() does.
void sync(int file, const std::string& path) {
    if (::fsync(file) != 0) fail("fsync", path);
    const descriptor directory(path.substr(0, path.rfind('/')), O_RDONLY | O_DIRECTORY);
    if (::fsync(directory.get()) != 0) fail("fsync", "the directory of " + path);
}

/// What the file holds, read back through a descriptor: of a few elements, so that it takes no time.
std::uint64_t look_at(const std::string& path, std::size_t header_bytes, std::size_t n) {
    const descriptor file(path);
    return checksum(file_words(file, header_bytes), n * words_a_record);
}

std::uint64_t push_back_all(const std::string& path, std::size_t n, durable until) {
    auto vector = mmstl::mapped_vector<record>::create(path);
    for (std::size_t i = 0; i < n; ++i) vector.push_back(make_record(i));
    if (until == durable::yes) vector.flush();
    return look_at(path, 4096, n);
}

std::uint64_t append_ranges(const std::string& path, std::size_t n, durable until) {
    auto vector = mmstl::mapped_vector<record>::create(path);
    std::vector<record> buffer(buffer_bytes / sizeof(record));
    buffer_all(buffer, n, make_record, [&](const record* first, std::size_t count) {
        vector.append_range(std::span(first, count));
    });
    if (until == durable::yes) vector.flush();
    return look_at(path, 4096, n);
}

template <faults How>
std::uint64_t store_by_hand(const std::string& path, std::size_t n, durable until) {
    {
        growing_file file(path, How);
        store_all(file, n, make_record);
    }
    // Writes what was stored by a mapping, too.
    if (until == durable::yes) sync(descriptor(path).get(), path);
    return look_at(path, 4096, n);
}

template <std::size_t BufferBytes>
std::uint64_t write_buffers(const std::string& path, std::size_t n, durable until) {
    {
        const descriptor file(path, O_RDWR | O_CREAT | O_EXCL);
        std::array<record, BufferBytes / sizeof(record)> buffer;
        write_all_through(buffer, file, n, make_record);
        if (until == durable::yes) sync(file.get(), path);
    }
    return look_at(path, 0, n);
}

std::uint64_t fwrite_all(const std::string& path, std::size_t n, durable until) {
    struct closer {
        void operator()(std::FILE* f) const noexcept { (void)std::fclose(f); }
    };
    std::vector<char> buffer(buffer_bytes);
    {
        const std::unique_ptr<std::FILE, closer> file(std::fopen(path.c_str(), "wbx"));
        if (!file) fail("fopen", path);
        (void)std::setvbuf(file.get(), buffer.data(), _IOFBF, buffer.size());
        for (std::size_t i = 0; i < n; ++i) {
            const record made = make_record(i);
            if (std::fwrite(&made, sizeof made, 1, file.get()) != 1) fail("fwrite", path);
        }
        if (std::fflush(file.get()) != 0) fail("fflush", path);
        if (until == durable::yes) sync(::fileno(file.get()), path);
    }
    return look_at(path, 0, n);
}

std::uint64_t stream_all(const std::string& path, std::size_t n, durable until) {
    std::vector<char> buffer(buffer_bytes);
    {
        std::ofstream file;
        file.rdbuf()->pubsetbuf(buffer.data(), static_cast<std::streamsize>(buffer.size()));
        file.open(path, std::ios::binary);
        for (std::size_t i = 0; i < n; ++i) {
            const record made = make_record(i);
            file.write(reinterpret_cast<const char*>(&made), sizeof made);
        }
        if (!file.flush()) throw std::runtime_error(path + ": cannot be written");
    }
    // A stream does not tell its descriptor.
    if (until == durable::yes) sync(descriptor(path).get(), path);
    return look_at(path, 0, n);
}

} // namespace

void append_to_new_file(registry& into, environment& in) {
    const std::size_t bytes = std::size_t{in.quick ? 8U : 256U} << 20;
    const std::size_t n = bytes / sizeof(record);
    const std::string path = in.directory + "/append_to_new_file";
    workload made{.name = "append.new_file",
                  .question = "Append records of 64 bytes to a new file, from its creation to its "
                              "end",
                  .cache = format_bytes(bytes),
                  .cache_key = "new",
                  .unit = "record",
                  .state_is_verified = false,
                  .expected_seconds = in.quick ? 4.0 : 60.0};
    made.set_up = [=, directory = in.directory]() -> std::string {
        if (4 * bytes > available_memory_bytes()) return "not enough memory is available";
        if (2 * bytes > free_bytes(directory)) return directory + " has not enough room";
        return {};
    };
    // What is left to do for the file before is done before the time begins.
    const auto clear = [=, where = in.directory] {
        ::unlink(path.c_str());
        ::syncfs(descriptor(where, O_RDONLY | O_DIRECTORY).get());
    };
    made.prepare = [=](const arm&) {
        clear();
        claim_free_memory(2 * bytes);
    };
    made.tear_down = clear;

    for (const durable until : {durable::no, durable::yes}) {
        const auto add = [&](const char* arm_name, role r, auto work) {
            made.arms.push_back({.name = arm_name,
                                 .role = r,
                                 .run = [=](meter&) { return work(path, n, until); },
                                 .group = name_of(until),
                                 .bytes = bytes,
                                 .operations = n});
        };
        add(by_vector, role::ours, push_back_all);
        add(by_ranges, role::ours, append_ranges);
        add(by_hand, role::other, store_by_hand<faults::one_by_one>);
        add(by_hand_ahead, role::other, store_by_hand<faults::ahead>);
        add("write(), 64 KiB buffer", role::baseline, write_buffers<(64U << 10)>);
        add("write(), 256 KiB buffer", role::baseline, write_buffers<(256U << 10)>);
        add(by_fwrite, role::other, fwrite_all);
        add(by_ofstream, role::other, stream_all);
        made.expectations.push_back({by_vector, "", "the best write()", 0, name_of(until)});
        for (const char* const reference : {by_hand, by_hand_ahead, by_ofstream})
            made.expectations.push_back({.arm = by_vector,
                                         .reference = reference,
                                         .in_words = reference,
                                         .group = name_of(until)});
    }
    into.push_back(std::move(made));
}

} // namespace bench
