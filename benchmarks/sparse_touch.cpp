// SPDX-License-Identifier: MIT
//
// What does it cost to look at a few places of a large file, and how much of it is read?

#include "support/file_words.hpp"
#include "support/loaded_bytes.hpp"
#include "support/posix.hpp"
#include "support/random.hpp"
#include "support/results.hpp"
#include "support/sum.hpp"
#include "workloads.hpp"

#include <memory>
#include <mmstl.hpp>

namespace bench {
namespace {

using words_span = mmstl::mapped_span<const std::uint64_t>;

constexpr std::size_t n_places = 64;

constexpr const char* mapped = "mapped_span";
constexpr const char* mapped_random = "mapped_span, advice::random";
constexpr const char* by_hand = "raw mmap";
constexpr const char* by_hand_random = "raw mmap, MADV_RANDOM";
constexpr const char* by_pread = "pread() of 8 bytes";
constexpr const char* by_read = "read() of all, 256 KiB buffer";

/// The index of the i-th word that is looked at: one of each of so many equal parts, in order.
std::size_t place(std::size_t i, std::size_t n_words) {
    const std::size_t part = n_words / n_places;
    return i * part + index_below(part, i);
}

template <class Words> std::uint64_t look_at(const Words& words, std::size_t n_words) {
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < n_places; ++i) total += words[place(i, n_words)];
    return total;
}

std::uint64_t look_at_span(const std::string& path, bool advised) {
    const words_span words(path.c_str());
    if (advised) words.advise(mmstl::advice::random);
    return look_at(words.data(), words.size());
}

std::uint64_t look_by_hand(const std::string& path, bool advised) {
    const raw_mapping map(path);
    if (advised) ::madvise(map.data(), map.size_bytes(), MADV_RANDOM);
    return look_at(static_cast<const std::uint64_t*>(map.data()),
                   map.size_bytes() / sizeof(std::uint64_t));
}

std::uint64_t look_by_pread(const std::string& path) {
    const descriptor in(path);
    return look_at(file_words(in), in.size_bytes() / sizeof(std::uint64_t));
}

/// What a program does that knows of nothing else: reads it all, and takes what it wants.
std::uint64_t look_by_read(const std::string& path, word_buffer& buffer) {
    const descriptor in(path);
    const std::size_t n_words = in.size_bytes() / sizeof(std::uint64_t);
    std::size_t first = 0; // of the words in the buffer
    std::size_t i = 0;
    std::uint64_t total = 0;
    while (const std::size_t got = in.read(buffer.data(), buffer.size() * sizeof(std::uint64_t))) {
        const std::size_t n = got / sizeof(std::uint64_t);
        for (; i < n_places && place(i, n_words) < first + n; ++i)
            total += buffer[place(i, n_words) - first];
        first += n;
    }
    return total;
}

} // namespace

void sparse_touch(registry& into, environment& in) {
    workload made =
        file_workload(in, "sparse.cold",
                      fmt::format("Look at {} places of a large file that is not in the "
                                  "page cache, one after the other",
                                  n_places),
                      cache_state::cold);
    made.unit = "place";
    made.expected_seconds = static_cast<double>(in.file.size_bytes()) / (1 << 30) * 40 + 1;
    const auto found = std::make_shared<loaded_bytes>();
    cached_file& file = in.file;
    made.prepare = [&file, found](const arm& next) {
        found->note(file.path());
        file.ensure(cache_state::cold);
        found->begin(next.name);
    };
    made.tear_down = [&file, found] { found->note(file.path()); };

    const std::string path = file.path();
    const auto buffer = std::make_shared<word_buffer>((256U << 10) / sizeof(std::uint64_t));
    const auto add = [&](const char* name, role r, auto work) {
        made.arms.push_back({.name = name,
                             .role = r,
                             .run = [=](meter&) { return work(path); },
                             .operations = n_places,
                             .figures = [=] { return found->figures(name); }});
    };
    add(mapped, role::ours, [](const std::string& p) { return look_at_span(p, false); });
    add(mapped_random, role::ours, [](const std::string& p) { return look_at_span(p, true); });
    add(by_hand, role::other, [](const std::string& p) { return look_by_hand(p, false); });
    add(by_hand_random, role::other, [](const std::string& p) { return look_by_hand(p, true); });
    add(by_pread, role::baseline, look_by_pread);
    add(by_read, role::other, [=](const std::string& p) { return look_by_read(p, *buffer); });
    made.expectations = {{mapped_random, "", "pread()", 0},
                         {mapped_random, by_hand_random, by_hand_random, 0},
                         {mapped, "", "pread()", 0},
                         {mapped, by_read, "reading it all", 0}};
    made.conclusions = [=](const results&) -> std::vector<std::string> {
        std::string sizes;
        for (const char* const name : {mapped, mapped_random, by_pread, by_read})
            if (const auto bytes = found->by(name))
                sizes +=
                    fmt::format("{}{} {}", sizes.empty() ? "" : "; ", name, format_bytes(*bytes));
        if (sizes.empty()) return {};
        return {"of the file in the page cache afterwards: " + sizes};
    };
    into.push_back(std::move(made));
}

} // namespace bench
