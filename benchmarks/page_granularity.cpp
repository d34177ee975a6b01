// SPDX-License-Identifier: MIT
//
// What does it take to touch one byte of each page, when memory comes in pages?

#include "support/ask_child.hpp"
#include "support/posix.hpp"
#include "support/results.hpp"
#include "support/whole_file.hpp"
#include "workloads.hpp"

#include <functional>
#include <map>
#include <memory>
#include <mmstl.hpp>

namespace bench {
namespace {

constexpr const char* reading = "read one byte of each page";
constexpr const char* changing = "change one byte of each page, in private";

constexpr const char* mapped = "mapped_span";
constexpr const char* mapped_private = "mapped_span, copy_on_write";
constexpr const char* by_hand = "raw mmap";
constexpr const char* by_hand_private = "raw mmap, MAP_PRIVATE";
constexpr const char* by_pread = "pread() of each byte";
constexpr const char* by_read = "read() of all into a buffer";

std::size_t page_bytes() { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

std::uint64_t read_bytes(const unsigned char* bytes, std::size_t n_bytes) {
    std::uint64_t total = 0;
    const std::size_t step = page_bytes();
    for (std::size_t i = 0; i < n_bytes; i += step) total += bytes[i];
    return total;
}

std::uint64_t change_bytes(unsigned char* bytes, std::size_t n_bytes) {
    std::uint64_t total = 0;
    const std::size_t step = page_bytes();
    for (std::size_t i = 0; i < n_bytes; i += step) total += ++bytes[i];
    return total;
}

/// What is done, and in the end, before all is let go, `look()`.
using look = std::function<void()>;
using way = std::function<std::uint64_t(const std::string& path, const look& at_the_end)>;

std::uint64_t read_span(const std::string& path, const look& at_the_end) {
    const mmstl::mapped_span<const unsigned char> all(path.c_str());
    const std::uint64_t total = read_bytes(all.data(), all.size());
    at_the_end();
    return total;
}

std::uint64_t change_span(const std::string& path, const look& at_the_end) {
    mmstl::mapped_span<unsigned char> all(path.c_str(), {.access = mmstl::access::copy_on_write});
    const std::uint64_t total = change_bytes(all.data(), all.size());
    at_the_end();
    return total;
}

std::uint64_t read_by_hand(const std::string& path, const look& at_the_end) {
    const raw_mapping map(path);
    const std::uint64_t total =
        read_bytes(static_cast<const unsigned char*>(map.data()), map.size_bytes());
    at_the_end();
    return total;
}

std::uint64_t change_by_hand(const std::string& path, const look& at_the_end) {
    const raw_mapping map(descriptor(path), path, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    const std::uint64_t total =
        change_bytes(static_cast<unsigned char*>(map.data()), map.size_bytes());
    at_the_end();
    return total;
}

std::uint64_t read_by_pread(const std::string& path, const look& at_the_end) {
    const descriptor in(path);
    const std::size_t size = in.size_bytes();
    const std::size_t step = page_bytes();
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < size; i += step) {
        unsigned char byte = 0;
        in.pread(&byte, 1, i);
        total += byte;
    }
    at_the_end();
    return total;
}

template <auto Touch> std::uint64_t touch_buffer(const std::string& path, const look& at_the_end) {
    file_in_buffer all(path);
    const std::uint64_t total =
        Touch(reinterpret_cast<unsigned char*>(all.data()), all.size_bytes());
    at_the_end();
    return total;
}

} // namespace

void page_granularity(registry& into, environment& in) {
    const std::size_t bytes = std::size_t{in.quick ? 4U : 128U} << 20;
    std::shared_ptr<cached_file> file;
    workload made = own_file_workload(in, bytes, "page_granularity",
                                      "Touch one byte of each page of a file, from open to close",
                                      cache_state::read_ahead, file);
    made.unit = "page";
    const std::string path = file->path();
    const std::size_t n_pages = (bytes + page_bytes() - 1) / page_bytes();
    made.expected_seconds = static_cast<double>(bytes) / (1 << 30) * 60 + 1;

    // How much each process has of the file or of a copy, in its own tables of pages.
    const auto resident = std::make_shared<std::map<std::string, std::uint64_t>>();
    const auto ways = std::make_shared<std::map<std::string, way>>();
    made.set_up = [=]() -> std::string {
        if (!fits_twice(*file)) return "not enough memory for a copy";
        file->ensure(cache_state::read_ahead);
        for (const auto& [name, work] : *ways)
            if (const auto used = ask_child<std::uint64_t>([&, &work = work](std::uint64_t& to) {
                    const std::uint64_t before = own_memory_bytes("Rss:");
                    work(path, [&] { to = own_memory_bytes("Rss:") - before; });
                }))
                (*resident)[name] = *used;
        return {};
    };
    const auto add = [&](const char* group, const char* name, role r, const way& work) {
        const bool copies = group == changing || name == by_read;
        const std::string key = std::string(group) + name;
        (*ways)[key] = work;
        made.arms.push_back({.name = name,
                             .role = r,
                             .run = [=](meter&) { return work(path, [] {}); },
                             .group = group,
                             .operations = n_pages,
                             .fresh_bytes = copies ? bytes : 0,
                             .figures = [=]() -> std::vector<figure> {
                                 const auto it = resident->find(key);
                                 if (it == resident->end()) return {};
                                 return {{"touched_bytes", static_cast<double>(n_pages)},
                                         {"resident_bytes", static_cast<double>(it->second)}};
                             }});
    };
    add(reading, mapped, role::ours, read_span);
    add(reading, by_hand, role::other, read_by_hand);
    add(reading, by_pread, role::baseline, read_by_pread);
    add(reading, by_read, role::other, touch_buffer<read_bytes>);
    add(changing, mapped_private, role::ours, change_span);
    add(changing, by_hand_private, role::other, change_by_hand);
    add(changing, by_read, role::baseline, touch_buffer<change_bytes>);
    made.expectations = {{mapped, "", "pread() of each byte", 0, reading},
                         {mapped_private, "", "a private copy", 0, changing}};
    made.conclusions = [=](const results&) {
        std::vector<std::string> lines;
        for (const auto& [group, name] : {std::pair(reading, mapped), {changing, mapped_private}})
            if (const auto it = resident->find(std::string(group) + name); it != resident->end())
                lines.push_back(
                    fmt::format("{}: {} touched, {} resident: {:.0f} bytes for each", name,
                                format_bytes(n_pages), format_bytes(it->second),
                                static_cast<double>(it->second) / static_cast<double>(n_pages)));
        return lines;
    };
    into.push_back(std::move(made));
}

} // namespace bench
