// SPDX-License-Identifier: MIT
//
// What does the first read of a page cost, and what a random read after it?

#include "support/file_words.hpp"
#include "support/posix.hpp"
#include "support/random.hpp"
#include "support/results.hpp"
#include "support/sum.hpp"
#include "workloads.hpp"

#include <array>
#include <cstdio>
#include <memory>
#include <mmstl.hpp>
#include <span>

namespace bench {
namespace {

using words_span = mmstl::mapped_span<const std::uint64_t>;

/// The indices of one word in each page, pages in random order.
using page_order = std::vector<std::uint64_t>;

std::shared_ptr<const page_order> shuffled_pages(std::size_t file_bytes) {
    const std::size_t words_a_page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) / word_bytes;
    page_order order(file_bytes / word_bytes / words_a_page);
    for (std::size_t page = 0; page < order.size(); ++page) order[page] = page * words_a_page;
    for (std::size_t left = order.size(); left > 1; --left)
        std::swap(order[left - 1], order[index_below(left, left)]);
    return std::make_shared<const page_order>(std::move(order));
}

template <typename Words>
std::uint64_t touch_each_page(const Words& words, const page_order& order) {
    std::uint64_t total = 0;
    for (const std::uint64_t index : order) total += words[index];
    return total;
}

template <typename Words>
std::uint64_t read_at_random(const Words& words, std::size_t size, std::uint64_t reads) {
    std::uint64_t total = 0;
    for (std::uint64_t n = 0; n < reads; ++n) total += words[index_below(size, n)];
    return total;
}

/// The time of what `work()` does alone: before, pages are touched, and to let them go comes after.
template <typename Work> std::uint64_t timed(meter& watch, Work work) {
    watch.restart();
    const std::uint64_t total = work();
    watch.stop();
    return total;
}

const std::uint64_t* words_of(const raw_mapping& map) {
    return static_cast<const std::uint64_t*>(map.data());
}

workload first_touch(environment& in) {
    workload made =
        file_workload(in, "random.first_touch", "First read of every page, pages in random order",
                      cache_state::read_ahead);
    made.unit = "page";
    made.expected_seconds = static_cast<double>(in.file.size_bytes()) / (1 << 30) * 8 + 1;
    const std::string path = in.file.path();
    const auto order = shuffled_pages(in.file.size_bytes());

    const auto add = [&](const char* name, role r, auto work) {
        made.arms.push_back({.name = name, .role = r, .run = work, .operations = order->size()});
    };
    add("mapped_span", role::ours, [=](meter&) {
        const words_span words(path.c_str());
        return touch_each_page(words, *order);
    });
    add("mapped_span, prefetch() first", role::ours, [=](meter&) {
        const words_span words(path.c_str());
        words.prefetch();
        return touch_each_page(words, *order);
    });
    add("raw mmap", role::other, [=](meter&) {
        const raw_mapping map(path);
        return touch_each_page(words_of(map), *order);
    });
    add("pread() of 8 bytes", role::baseline, [=](meter&) {
        const descriptor file(path);
        return touch_each_page(file_words(file), *order);
    });
    made.expectations = {{"mapped_span", "", "pread()", 0},
                         {"mapped_span", "raw mmap", "raw mmap", 0.95}};
    return made;
}

workload after_first_touch(environment& in) {
    workload made =
        file_workload(in, "random.reads", "Random reads of 8 bytes, after the first touch",
                      cache_state::read_ahead);
    made.unit = "read";
    const std::uint64_t reads = in.quick ? std::uint64_t{1} << 16 : std::uint64_t{1} << 24;
    made.cache += fmt::format("; {} reads", reads);
    made.expected_seconds = static_cast<double>(reads) * 6e-6 + 1;
    const std::string path = in.file.path();
    const std::size_t size = in.file.size_bytes() / word_bytes;
    const auto order = shuffled_pages(in.file.size_bytes());

    const auto add = [&](const char* name, role r, auto work) {
        made.arms.push_back({.name = name, .role = r, .run = work, .operations = reads});
    };
    // The first touch enters the checksum, so that it cannot be optimised away.
    add("mapped_span", role::ours, [=](meter& watch) {
        const words_span words(path.c_str());
        const std::uint64_t touched = touch_each_page(words, *order);
        return touched + timed(watch, [&] { return read_at_random(words, size, reads); });
    });
    add("raw mmap", role::other, [=](meter& watch) {
        const raw_mapping map(path);
        const std::uint64_t touched = touch_each_page(words_of(map), *order);
        return touched + timed(watch, [&] { return read_at_random(words_of(map), size, reads); });
    });
    add("pread() of 8 bytes", role::baseline, [=](meter& watch) {
        const descriptor file(path);
        const std::uint64_t touched = touch_each_page(file_words(file), *order);
        return touched +
               timed(watch, [&] { return read_at_random(file_words(file), size, reads); });
    });
    made.expectations = {{"mapped_span", "", "pread()", 5},
                         {"mapped_span", "raw mmap", "raw mmap", 0.95}};
    return made;
}

constexpr std::size_t page_words = 4096 / word_bytes;

/// Sums pages of 4 KiB; `page(index)` is where the page is that begins with that word.
template <typename Page>
std::uint64_t read_pages_at_random(std::size_t size, std::uint64_t reads, Page page) {
    std::uint64_t total = 0;
    for (std::uint64_t n = 0; n < reads; ++n)
        total += sum(std::span(page(index_below(size / page_words, n) * page_words), page_words));
    return total;
}

workload pages_after_first_touch(environment& in) {
    workload made =
        file_workload(in, "random.pages", "Random reads of 4 KiB, after the first touch",
                      cache_state::read_ahead);
    made.unit = "read";
    const std::uint64_t reads = in.quick ? std::uint64_t{1} << 13 : std::uint64_t{1} << 20;
    made.cache += fmt::format("; {} reads, each summed", reads);
    made.expected_seconds = static_cast<double>(reads) * 4e-5 + 1;
    const std::string path = in.file.path();
    const std::size_t size = in.file.size_bytes() / word_bytes;
    const auto order = shuffled_pages(in.file.size_bytes());

    const auto add = [&](const char* name, role r, auto work) {
        made.arms.push_back({.name = name,
                             .role = r,
                             .run = work,
                             .bytes = reads * page_words * word_bytes,
                             .operations = reads});
    };
    const auto in_place = [=](const std::uint64_t* words, meter& watch) {
        const std::uint64_t touched = touch_each_page(words, *order);
        return touched + timed(watch, [&] {
                   return read_pages_at_random(size, reads,
                                               [=](std::size_t i) { return words + i; });
               });
    };
    add("mapped_span", role::ours, [=](meter& watch) {
        const words_span words(path.c_str());
        return in_place(words.data(), watch);
    });
    add("raw mmap", role::other, [=](meter& watch) {
        const raw_mapping map(path);
        return in_place(words_of(map), watch);
    });
    const char* const by_pread = "pread() of 4 KiB";
    add(by_pread, role::baseline, [=](meter& watch) {
        const descriptor file(path);
        const std::uint64_t touched = touch_each_page(file_words(file), *order);
        std::array<std::uint64_t, page_words> buffer;
        const auto page = [&](std::size_t i) {
            file.pread(buffer.data(), sizeof buffer, i * word_bytes);
            return buffer.data();
        };
        return touched + timed(watch, [&] { return read_pages_at_random(size, reads, page); });
    });
    add("fseek() and fread() of 4 KiB", role::other, [=](meter& watch) {
        const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(
            std::fopen(path.c_str(), "rb"), [](std::FILE* f) { return std::fclose(f); });
        if (!file) fail("fopen", path);
        const descriptor touching(path);
        const std::uint64_t touched = touch_each_page(file_words(touching), *order);
        std::array<std::uint64_t, page_words> buffer;
        const auto page = [&](std::size_t i) {
            (void)std::fseek(file.get(), static_cast<long>(i * word_bytes), SEEK_SET);
            if (std::fread(buffer.data(), sizeof buffer, 1, file.get()) != 1) fail("fread", path);
            return buffer.data();
        };
        return touched + timed(watch, [&] { return read_pages_at_random(size, reads, page); });
    });
    made.expectations = {{"mapped_span", "", "pread()", 0},
                         {"mapped_span", "raw mmap", "raw mmap", 0.95}};
    return made;
}

} // namespace

void random_reads(registry& into, environment& in) {
    into.push_back(first_touch(in));
    into.push_back(after_first_touch(in));
    into.push_back(pages_after_first_touch(in));
}

} // namespace bench
