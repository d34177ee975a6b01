// SPDX-License-Identifier: MIT
//
// What do changes cost that shall not reach the file, in time and in memory?

#include "support/ask_child.hpp"
#include "support/posix.hpp"
#include "support/results.hpp"
#include "support/sum.hpp"
#include "support/whole_file.hpp"
#include "workloads.hpp"

#include <malloc.h>
#include <map>
#include <memory>
#include <mmstl.hpp>
#include <utility>

namespace bench {
namespace {

using words_span = mmstl::mapped_span<std::uint64_t>;

constexpr std::size_t page_words = 4096 / sizeof(std::uint64_t);

constexpr const char* mapped = "mapped_span, copy_on_write";
constexpr const char* by_hand = "raw mmap, MAP_PRIVATE";
constexpr const char* by_vector = "read() into a std::vector";
constexpr const char* by_buffer = "read() into a buffer, not zeroed";

/// Of so many pages, one is changed.
struct share {
    const char* name;
    std::size_t one_of;
};
constexpr share shares[] = {
    {"none is changed", 0}, {"1 % of the pages are changed", 100}, {"every page is changed", 1}};

/// A private mapping as a range with the interface of the others.
class private_mapping {
public:
    explicit private_mapping(const std::string& path)
        : map_(descriptor(path), path, PROT_READ | PROT_WRITE, MAP_PRIVATE) {}
    [[nodiscard]] std::uint64_t* data() const noexcept {
        return static_cast<std::uint64_t*>(map_.data());
    }
    [[nodiscard]] std::size_t size_bytes() const noexcept { return map_.size_bytes(); }

private:
    raw_mapping map_;
};

class private_span {
public:
    explicit private_span(const std::string& path)
        : span_(path.c_str(), {.access = mmstl::access::copy_on_write}) {}
    [[nodiscard]] std::uint64_t* data() noexcept { return span_.data(); }
    [[nodiscard]] std::size_t size_bytes() const noexcept {
        return span_.size() * sizeof(std::uint64_t);
    }

private:
    words_span span_;
};

/// Changes a word in one page of so many, and looks at all of them. Were a change to reach the file,
/// the next run would see another sum. `memory`, if it is given, is told what that took.
template <class Contents>
std::uint64_t change(const std::string& path, std::size_t one_of, std::uint64_t* memory) {
    const std::uint64_t before = memory != nullptr ? own_memory_bytes("Private_Dirty:") : 0;
    Contents contents(path);
    std::uint64_t* const words = contents.data();
    const std::size_t n_words = contents.size_bytes() / sizeof(std::uint64_t);
    if (one_of != 0)
        for (std::size_t i = 0; i < n_words; i += one_of * page_words) ++words[i];
    const std::uint64_t total = sum_bytes(words, n_words * sizeof(std::uint64_t));
    if (memory != nullptr) *memory = own_memory_bytes("Private_Dirty:") - before;
    return total;
}

using way = std::uint64_t (*)(const std::string& path, std::size_t one_of, std::uint64_t* memory);

} // namespace

void copy_on_write(registry& into, environment& in) {
    const std::size_t bytes = std::size_t{in.quick ? 4U : 256U} << 20;
    std::shared_ptr<cached_file> file;
    workload made =
        own_file_workload(in, bytes, "copy_on_write",
                          "Change some pages of a file in private, look at all of it, let it go",
                          cache_state::read_ahead, file);
    const std::string path = file->path();
    made.expected_seconds = static_cast<double>(bytes) / (1 << 30) * 120 + 1;
    const std::pair<const char*, way> ways[] = {{mapped, change<private_span>},
                                                {by_hand, change<private_mapping>},
                                                {by_vector, change<file_in_vector>},
                                                {by_buffer, change<file_in_buffer>}};

    using memory_of_arms = std::map<std::pair<std::string, std::string>, std::uint64_t>;
    const auto memory = std::make_shared<memory_of_arms>();
    made.set_up = [=, ways = std::to_array(ways)]() -> std::string {
        if (!fits_twice(*file)) return "not enough memory for a copy";
        file->ensure(cache_state::read_ahead);
        for (const auto& [name, work] : ways)
            for (const share& of : shares)
                if (const auto used = ask_child<std::uint64_t>(
                        [&, &work = work](std::uint64_t& to) { work(path, of.one_of, &to); }))
                    (*memory)[{name, of.name}] = *used;
        return {};
    };
    made.prepare = [=](const arm&) {
        file->ensure(cache_state::read_ahead);
        ::malloc_trim(0); // what an arm has freed, or the next one would not pay for its pages
        claim_free_memory(bytes);
    };

    for (const share& of : shares) {
        for (const auto& [name, work] : ways)
            made.arms.push_back(
                {.name = name,
                 .role = name == mapped    ? role::ours
                         : name == by_hand ? role::other
                                           : role::baseline,
                 .run = [=, &of, work = work](meter&) { return work(path, of.one_of, nullptr); },
                 .group = of.name,
                 .bytes = bytes,
                 .figures = [=, &of, name = name]() -> std::vector<figure> {
                     const auto it = memory->find({name, of.name});
                     if (it == memory->end()) return {};
                     return {{"private_bytes", static_cast<double>(it->second)}};
                 }});
        made.expectations.push_back({mapped, "", "reading a private copy", 0, of.name});
    }
    made.conclusions = [=](const results&) {
        std::vector<std::string> lines;
        for (const share& of : shares) {
            const auto mine = memory->find({mapped, of.name});
            const auto other = memory->find({by_buffer, of.name});
            if (mine == memory->end() || other == memory->end()) continue;
            lines.push_back(fmt::format("{}: {} of private memory; a copy has {}", of.name,
                                        format_bytes(mine->second), format_bytes(other->second)));
        }
        return lines;
    };
    into.push_back(std::move(made));
}

} // namespace bench
