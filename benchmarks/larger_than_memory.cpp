// SPDX-License-Identifier: MIT
//
// What does a random read of a file cost that is larger than memory?

#include "support/limited_memory.hpp"
#include "support/posix.hpp"
#include "support/random.hpp"
#include "support/results.hpp"
#include "support/sum.hpp"
#include "workloads.hpp"

#include <array>
#include <memory>
#include <mmstl.hpp>
#include <stdexcept>

namespace bench {
namespace {

constexpr std::size_t page_bytes = 4096;
constexpr std::size_t page_words = page_bytes / sizeof(std::uint64_t);
constexpr std::uint64_t times_as_large = 4;

using words_span = mmstl::mapped_span<const std::uint64_t>;

constexpr const char* mapped = "mapped_span";
constexpr const char* mapped_random = "mapped_span, advice::random";
constexpr const char* by_hand_random = "raw mmap, MADV_RANDOM";
constexpr const char* by_pread = "pread()";

/// The file, and the memory for a quarter of it.
class tight_file {
public:
    explicit tight_file(cached_file& file)
        : file_(file), limit_bytes_(file.size_bytes() / times_as_large) {}

    [[nodiscard]] std::uint64_t limit_bytes() const noexcept { return limit_bytes_; }

    std::string set_up() {
        if (limit_bytes_ < std::size_t{16} << 20) return "the file is too small";
        file_.create();
        return memory_.enter(limit_bytes_);
    }

    /// Memory is full of the file: of its end, the last that was read. Throws if it is not.
    void prepare() {
        file_.ensure(cache_state::cold);
        const descriptor in(file_.path());
        std::vector<std::byte> buffer(std::size_t{1} << 20);
        // A bit more than there is room for, so that something has had to go.
        const std::size_t first = file_.size_bytes() - limit_bytes_ / 2 * 3;
        for (std::size_t at = first; at < file_.size_bytes(); at += buffer.size())
            in.pread(buffer.data(), buffer.size(), at);
        const auto resident = resident_pages(file_.path());
        is_verified_ = resident.has_value();
        const std::uint64_t resident_bytes = resident.value_or(0) * page_bytes;
        if (is_verified_ && (resident_bytes > limit_bytes_ || resident_bytes < limit_bytes_ / 4))
            throw std::runtime_error(
                fmt::format("{} of the file are in memory, which is limited to {}",
                            format_bytes(resident_bytes), format_bytes(limit_bytes_)));
    }
    [[nodiscard]] bool verified() const noexcept { return is_verified_; }
    void tear_down() {
        if (const std::string error = memory_.leave(); !error.empty())
            throw std::runtime_error(error);
    }

private:
    cached_file& file_;
    std::uint64_t limit_bytes_;
    limited_memory memory_;
    bool is_verified_ = false;
};

/// Reads `words` words of each of `n` pages, chosen at random; `at(index)` is where they are.
template <class At>
std::uint64_t read_pages(std::size_t n_pages, std::size_t n, std::size_t words, At at) {
    std::uint64_t total = 0;
    for (std::uint64_t i = 0; i < n; ++i)
        total += sum(std::span(at(index_below(n_pages, i) * page_words), words));
    return total;
}

std::uint64_t read_mapping(const void* data, std::size_t n_pages, std::size_t n,
                           std::size_t words) {
    const auto* const first = static_cast<const std::uint64_t*>(data);
    return read_pages(n_pages, n, words, [=](std::size_t index) { return first + index; });
}

std::uint64_t read_span(const std::string& path, std::size_t n, std::size_t words, bool advised) {
    const words_span all(path.c_str());
    if (advised) all.advise(mmstl::advice::random);
    return read_mapping(all.data(), all.size() / page_words, n, words);
}

std::uint64_t read_by_hand(const std::string& path, std::size_t n, std::size_t words) {
    const raw_mapping map(path);
    ::madvise(map.data(), map.size_bytes(), MADV_RANDOM);
    return read_mapping(map.data(), map.size_bytes() / page_bytes, n, words);
}

std::uint64_t read_by_pread(const std::string& path, std::size_t n, std::size_t words) {
    const descriptor in(path);
    std::array<std::uint64_t, page_words> buffer;
    return read_pages(in.size_bytes() / page_bytes, n, words, [&](std::size_t index) {
        in.pread(buffer.data(), words * sizeof(std::uint64_t), index * sizeof(std::uint64_t));
        return buffer.data();
    });
}

} // namespace

void larger_than_memory(registry& into, environment& in) {
    const auto state = std::make_shared<tight_file>(in.file);
    const std::size_t n = in.quick ? 60 : 1000;
    workload made{.name = "random.larger_than_memory",
                  .question = "Random reads of a file that is four times as large as memory",
                  .cache = fmt::format("{}; memory is limited to {} by a control group, and full "
                                       "of the end of the file; {} reads",
                                       format_bytes(in.file.size_bytes()),
                                       format_bytes(state->limit_bytes()), n),
                  .cache_key = "larger than memory",
                  .unit = "read",
                  .expected_seconds = in.quick ? 6.0 : 200.0};
    made.set_up = [state] { return state->set_up(); };
    made.prepare = [state](const arm&) { state->prepare(); };
    made.verified = [state] { return state->verified(); };
    made.tear_down = [state] { state->tear_down(); };

    const std::string path = in.file.path();
    for (const std::size_t words : {std::size_t{1}, page_words}) {
        const std::string group = format_bytes(words * sizeof(std::uint64_t));
        const auto add = [&](const char* name, role r, auto work) {
            made.arms.push_back({.name = name,
                                 .role = r,
                                 .run = [=](meter&) { return work(path, n, words); },
                                 .group = group,
                                 .operations = n});
        };
        add(mapped, role::ours,
            [](auto& p, auto reads, auto w) { return read_span(p, reads, w, false); });
        add(mapped_random, role::ours,
            [](auto& p, auto reads, auto w) { return read_span(p, reads, w, true); });
        add(by_hand_random, role::other, read_by_hand);
        add(by_pread, role::baseline, read_by_pread);
        made.expectations.push_back({mapped_random, "", "the best read()", 0, group});
        made.expectations.push_back({mapped_random, by_hand_random, by_hand_random, 0, group});
        made.expectations.push_back({mapped, "", "the best read()", 0, group});
    }
    into.push_back(std::move(made));
}

} // namespace bench
