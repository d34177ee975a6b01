// SPDX-License-Identifier: MIT
//
// What does it cost to change a file and to know that the change is on the disk?

#include "support/updates.hpp"
#include "workloads.hpp"

#include <array>
#include <memory>
#include <optional>
#include <stdexcept>

namespace bench {
namespace {

// ---- in place ----

constexpr const char* by_store = "mapped_vector, stores and flush()";
constexpr const char* by_store_sorted = "the same, in sorted order";
constexpr const char* by_pwrite = "pwrite() of each and fdatasync()";
constexpr const char* by_pwrite_sorted = "the same with pwrite(), sorted";

using until = updates::until;

workload update_in_place(environment& in) {
    const std::size_t size = std::size_t{in.quick ? 16U : 256U} << 20;
    const std::size_t count = size / sizeof(std::uint64_t) / 100;
    workload made{.name = "update.durable",
                  .question = "Update of 1 % of the elements of a vector at random, durable",
                  .cache = format_bytes(size) +
                           "; warm, the file open and every page of the mapping touched before "
                           "the time; what was written is read back after it",
                  .cache_key = name(cache_state::read_ahead),
                  .unit = "element",
                  // Beyond the little that a disk takes at once, it is the disk that one waits for.
                  .expected_seconds = in.quick ? 3.0 : 165.0};
    const auto state = std::make_shared<updates>(vector_file(in.directory + "/update.mmv", size));
    made.set_up = [state, count, directory = in.directory] {
        state->choose(count);
        return state->set_up(directory);
    };
    made.prepare = [state](const arm& next) {
        state->prepare(next.role == role::ours ? opened::as_vector : opened::as_descriptor);
    };
    made.verified = [state] { return state->file().cached().verified(); };
    made.tear_down = [state] { state->tear_down(); };

    const auto add = [&](const char* arm_name, role r, auto work) {
        made.arms.push_back({.name = arm_name,
                             .role = r,
                             .run = [state, work](meter&) { return work(*state); },
                             .operations = count});
    };
    add(by_store, role::ours, [](updates& u) { return u.store(u.shuffled(), until::on_the_disk); });
    add(by_store_sorted, role::ours,
        [](updates& u) { return u.store(u.sorted(), until::on_the_disk); });
    add(by_pwrite, role::baseline,
        [](updates& u) { return u.write(u.shuffled(), until::on_the_disk); });
    // Sorting is not in the time: the writes are given their best order.
    add(by_pwrite_sorted, role::baseline,
        [](updates& u) { return u.write(u.sorted(), until::on_the_disk); });
    made.expectations = {{by_store, by_pwrite, "pwrite() in the same order", 0},
                         {by_store_sorted, by_pwrite_sorted, "pwrite() in sorted order", 0},
                         {by_store, by_pwrite_sorted, "pwrite() in sorted order", 0}};
    return made;
}

// ---- at the end ----

constexpr const char* by_push_back = "push_back() and flush()";
constexpr const char* by_write = "write() and fdatasync()";
constexpr const char* by_write_allocated = "the same into allocated blocks";

using record = std::array<std::uint64_t, 8>;
static_assert(sizeof(record) == 64);

record make_record(std::uint64_t n) noexcept {
    record made;
    for (std::size_t i = 0; i < made.size(); ++i) made[i] = mix(n * made.size() + i);
    return made;
}

/// A new file for each run, with one record in it that is on the disk, as is its name.
class journal {
public:
    journal(std::string directory, std::uint64_t count)
        : directory_(std::move(directory)), path_(directory_ + "/append"), count_(count) {}

    void prepare(const arm& next) {
        remove();
        const record first = make_record(0);
        if (next.role == role::ours) {
            mapped_ = mmstl::mapped_vector<record>::create(path_);
            mapped_.push_back(first);
            mapped_.flush();
        } else {
            const bool allocated = next.name == by_write_allocated;
            raw_.emplace(path_, O_RDWR | O_CREAT | (allocated ? 0 : O_APPEND));
            if (allocated) {
                const auto bytes = static_cast<off_t>((1 + count_) * sizeof(record));
                if (const int error = ::posix_fallocate(raw_->get(), 0, bytes); error != 0) {
                    errno = error;
                    fail("posix_fallocate", path_);
                }
            }
            put(*raw_, &first, sizeof first, 0);
            if (::fsync(raw_->get()) != 0) fail("fsync", path_);
            if (::fsync(descriptor(directory_).get()) != 0) fail("fsync", directory_);
            if (!allocated) ::lseek(raw_->get(), 0, SEEK_END);
        }
    }

    void remove() {
        mapped_ = mmstl::mapped_vector<record>(); // "= {}" would assign no elements
        raw_.reset();
        ::unlink(path_.c_str());
    }

    std::uint64_t push_back() {
        for (std::uint64_t n = 1; n <= count_; ++n) {
            mapped_.push_back(make_record(n));
            mapped_.flush();
        }
        return read_back(vector_file::header_bytes);
    }

    std::uint64_t write() {
        for (std::uint64_t n = 1; n <= count_; ++n) {
            const record next = make_record(n);
            if (::write(raw_->get(), &next, sizeof next) != ssize_t{sizeof next})
                fail("write", path_);
            sync_data(*raw_);
        }
        return read_back(0);
    }

    std::uint64_t write_allocated() {
        for (std::uint64_t n = 1; n <= count_; ++n) {
            const record next = make_record(n);
            put(*raw_, &next, sizeof next, n * sizeof next);
            sync_data(*raw_);
        }
        return read_back(0);
    }

private:
    /// In the time, for all arms: microseconds, beside so many writes to the disk.
    [[nodiscard]] std::uint64_t read_back(std::size_t offset) const {
        std::vector<record> records(1 + count_);
        const std::size_t bytes = records.size() * sizeof(record);
        if (descriptor(path_).pread(records.data(), bytes, offset) != bytes)
            throw std::runtime_error(path_ + ": ends too early");
        std::uint64_t total = 0;
        for (std::size_t n = 0; n < records.size(); ++n)
            for (const std::uint64_t word : records[n]) total += word * (2 * n + 1);
        return total;
    }

    std::string directory_;
    std::string path_;
    std::uint64_t count_;
    mmstl::mapped_vector<record> mapped_;
    std::optional<descriptor> raw_;
};

workload append_one_by_one(environment& in) {
    const std::uint64_t count = in.quick ? 20 : 500;
    workload made{.name = "append.durable",
                  .question = "Append of a record of 64 bytes, durable before the next one",
                  .cache =
                      fmt::format("{} records into a new file, which is open and has its first "
                                  "record on the disk",
                                  count),
                  .cache_key = "new",
                  .unit = "record",
                  .state_is_verified = false,
                  .expected_seconds = static_cast<double>(count) * 0.12 + 1};
    const auto state = std::make_shared<journal>(in.directory, count);
    made.set_up = [directory = in.directory]() -> std::string {
        return free_bytes(directory) < (std::uint64_t{64} << 20) ? "the disk is full" : "";
    };
    made.prepare = [state](const arm& next) { state->prepare(next); };
    made.tear_down = [state] { state->remove(); };

    const auto add = [&](const char* arm_name, role r, auto work) {
        made.arms.push_back({.name = arm_name,
                             .role = r,
                             .run = [state, work](meter&) { return work(*state); },
                             .operations = count});
    };
    add(by_push_back, role::ours, [](journal& j) { return j.push_back(); });
    add(by_write, role::baseline, [](journal& j) { return j.write(); });
    // Does not say how many records there are: a reader has to find the end.
    add(by_write_allocated, role::other, [](journal& j) { return j.write_allocated(); });
    made.expectations = {
        {by_push_back, by_write, by_write, 0},
        {by_push_back, by_write_allocated, "pwrite() into allocated blocks and fdatasync()", 0}};
    return made;
}

} // namespace

void durable_update(registry& into, environment& in) {
    into.push_back(update_in_place(in));
    into.push_back(append_one_by_one(in));
}

} // namespace bench
