// SPDX-License-Identifier: MIT
//
// What do several processes take, in time and in memory, that have the same file?

#include "support/posix.hpp"
#include "support/results.hpp"
#include "support/scratch.hpp"
#include "support/sum.hpp"
#include "support/whole_file.hpp"
#include "support/workers.hpp"
#include "workloads.hpp"

#include <map>
#include <memory>
#include <mmstl.hpp>
#include <optional>

namespace bench {
namespace {

constexpr const char* mapped = "mapped_span";
constexpr const char* by_hand = "raw mmap";
constexpr const char* by_hand_private = "raw mmap, MAP_PRIVATE";
constexpr const char* by_vector = "read() into a std::vector";
constexpr const char* by_buffer = "read() into a buffer, not zeroed";

/// What a process is told to do.
enum command : std::uint64_t { note_memory, open_and_sum, tell_memory };

/// What a process has in memory, each page of it divided by the number of those who have it.
std::uint64_t proportional_bytes() { return own_memory_bytes("Pss:"); }

/// Opens `Contents`, sums it and keeps it; and then says by how much that has made the process grow
/// since it was told to note what it has. All have to be there by then, or what they have together
/// would be divided by more of them later.
template <class Contents, class... Options> work hold(const std::string& path, Options... options) {
    struct state {
        std::optional<Contents> contents;
        std::uint64_t before = 0;
    };
    return [=, held = std::make_shared<state>()](std::uint64_t what) -> std::uint64_t {
        if (what == note_memory) return held->before = proportional_bytes();
        if (what == tell_memory) {
            const std::uint64_t now = proportional_bytes();
            return now > held->before ? now - held->before : 0;
        }
        held->contents.reset();
        Contents& contents = held->contents.emplace(path, options...);
        return sum_bytes(contents.data(), contents.size_bytes());
    };
}

/// With the interface of the others.
class file_in_span {
public:
    explicit file_in_span(const std::string& path) : all_(path.c_str()) {}
    [[nodiscard]] const std::uint64_t* data() const noexcept { return all_.data(); }
    [[nodiscard]] std::size_t size_bytes() const noexcept {
        return all_.size() * sizeof(std::uint64_t);
    }

private:
    mmstl::mapped_span<const std::uint64_t> all_;
};

/// Of which a page is this process's alone as soon as it is changed, and before that everyone's.
class private_mapping : public raw_mapping {
public:
    explicit private_mapping(const std::string& path)
        : raw_mapping(descriptor(path), path, PROT_READ | PROT_WRITE, MAP_PRIVATE) {}
};

struct processes {
    std::string arm = {};
    std::unique_ptr<many_processes> here = {};
    bool are_done = false;
    std::map<std::string, std::uint64_t> memory = {}; ///< Of all together, by arm.

    /// Once for each arm, while all of them have the file.
    void end() {
        if (are_done && !memory.contains(arm)) memory[arm] = here->run(tell_memory);
        are_done = false;
        here.reset();
    }
};

} // namespace

void shared_by_processes(registry& into, environment& in) {
    const std::size_t n = in.quick ? 4 : 8;
    const std::size_t bytes = std::size_t{in.quick ? 4U : 64U} << 20;
    const auto file = std::make_shared<cached_file>(in.directory + "/shared", bytes,
                                                    cached_file::origin::generated);
    workload made{.name = "shared.processes",
                  .question =
                      fmt::format("{} processes have the same file: open it, sum it, keep it", n),
                  .cache = format_bytes(bytes) + "; " + describe(cache_state::read_ahead),
                  .cache_key = name(cache_state::read_ahead),
                  .unit = "process",
                  .expected_seconds = in.quick ? 4.0 : 40.0};
    const auto state = std::make_shared<processes>();
    const auto ways = std::make_shared<std::map<std::string, work (*)(const std::string&)>>();
    made.set_up = [=, directory = in.directory]() -> std::string {
        if ((n + 2) * bytes > available_memory_bytes()) return "not enough memory is available";
        if (2 * bytes > free_bytes(directory)) return directory + " has not enough room";
        file->ensure(cache_state::read_ahead);
        return {};
    };
    made.prepare = [=](const arm& next) {
        state->end();
        file->ensure(cache_state::read_ahead);
        claim_free_memory(n * bytes);
        state->arm = next.name;
        const auto make = [work = ways->at(next.name), path = file->path()](std::size_t) {
            return work(path);
        };
        state->here = std::make_unique<many_processes>(make, n);
        (void)state->here->run(note_memory);
    };
    made.verified = [=] { return file->verified(); };
    made.tear_down = [=] {
        state->end();
        ::unlink(file->path().c_str());
    };

    const auto add = [&](const char* arm_name, role r, work (*make)(const std::string&)) {
        (*ways)[arm_name] = make;
        made.arms.push_back({.name = arm_name,
                             .role = r,
                             .run =
                                 [=](meter&) {
                                     const std::uint64_t total = state->here->run(open_and_sum);
                                     state->are_done = true;
                                     return total;
                                 },
                             .bytes = n * bytes,
                             .operations = n,
                             .works_alone = false,
                             .figures = [=]() -> std::vector<figure> {
                                 const auto it = state->memory.find(arm_name);
                                 if (it == state->memory.end()) return {};
                                 return {{"proportional_bytes", static_cast<double>(it->second)},
                                         {"file_bytes", static_cast<double>(bytes)},
                                         {"processes", static_cast<double>(n)}};
                             }});
    };
    add(mapped, role::ours, [](const std::string& p) { return hold<file_in_span>(p); });
    add(by_hand, role::other, [](const std::string& p) { return hold<raw_mapping>(p); });
    add(by_hand_private, role::other,
        [](const std::string& p) { return hold<private_mapping>(p); });
    add(by_vector, role::baseline, [](const std::string& p) { return hold<file_in_vector>(p); });
    add(by_buffer, role::baseline, [](const std::string& p) { return hold<file_in_buffer>(p); });
    made.expectations = {{mapped, "", "each reading it in", 0}, {mapped, by_hand, by_hand, 0}};
    made.conclusions = [=](const results&) {
        std::vector<std::string> lines;
        for (const auto& [name, used] : state->memory)
            lines.push_back(fmt::format("{}: {} processes have {} together, {:.2f} times the file",
                                        name, n, format_bytes(used),
                                        static_cast<double>(used) / static_cast<double>(bytes)));
        return lines;
    };
    into.push_back(std::move(made));
}

} // namespace bench
