// SPDX-License-Identifier: MIT
//
// One element in a hundred of a vector's file, to be changed in place, and a look whether it was.

#ifndef MMSTL_BENCHMARKS_UPDATES_HPP
#define MMSTL_BENCHMARKS_UPDATES_HPP

#include "vector_file.hpp"

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace bench {

inline void put(const descriptor& file, const void* from, std::size_t bytes, std::size_t offset) {
    const ssize_t done = ::pwrite(file.get(), from, bytes, static_cast<off_t>(offset));
    if (done < 0 || static_cast<std::size_t>(done) != bytes) fail("pwrite", "");
}

inline void sync_data(const descriptor& file) {
    if (::fdatasync(file.get()) != 0) fail("fdatasync", "");
}

using indices = std::vector<std::uint64_t>;

enum class opened { as_vector, as_mapping, as_descriptor };

/// One file that all arms change, in turn: the extents on the disk are the same.
class updates {
public:
    explicit updates(vector_file file) : file_(std::move(file)) {}

    std::string set_up(const std::string& directory) {
        if (auto reason = file_.refusal(directory, 0); !reason.empty()) return reason;
        file_.create();
        expected_ = 0;
        for (std::uint64_t i = 0; i < file_.words(); ++i) expected_ += weighed(i, mix(i));
        for (const std::uint64_t i : sorted_) expected_ -= weighed(i, mix(i));
        file_.cached().ensure(cache_state::read_ahead); // says so at once if that is not possible
        return {};
    }

    /// Finds out whether the last run left what it should have, and opens what the next one uses.
    void prepare(opened how) {
        check();
        file_.cached().ensure(cache_state::read_ahead);
        ++round_; // other values than before, so that a run that does nothing is noticed
        switch (how) {
        case opened::as_descriptor: raw_.emplace(file_.path(), O_RDWR); break;
        case opened::as_mapping:
            raw_.emplace(file_.path(), O_RDWR);
            by_hand_.emplace(*raw_, file_.path(), PROT_READ | PROT_WRITE);
            touch(words_by_hand());
            break;
        case opened::as_vector:
            mapped_ = vector_file::writer::open(file_.path());
            touch(mapped_.data());
            break;
        }
    }

    void tear_down() {
        const removed_in_the_end removed(file_);
        check();
    }

    enum class until { in_the_cache, on_the_disk };

    std::uint64_t store(const indices& where, until what) {
        return store(mapped_.data(), where, [&] {
            if (what == until::on_the_disk) mapped_.flush();
        });
    }

    /// Without mmstl; never on the disk.
    std::uint64_t store_by_hand(const indices& where) {
        return store(words_by_hand(), where, [] {});
    }

    std::uint64_t write(const indices& where, until what) {
        for (const std::uint64_t i : where) {
            const std::uint64_t word = value(i);
            put(*raw_, &word, sizeof word, vector_file::header_bytes + i * sizeof word);
        }
        if (what == until::on_the_disk) sync_data(*raw_);
        return done(where);
    }

    /// One of every hundred, anywhere in it: no index twice.
    void choose(std::size_t count) {
        for (std::uint64_t n = 0; n < count; ++n) sorted_.push_back(100 * n + index_below(100, n));
        shuffled_ = sorted_;
        for (std::size_t left = shuffled_.size(); left > 1; --left)
            std::swap(shuffled_[left - 1], shuffled_[index_below(left, left)]);
    }

    [[nodiscard]] vector_file& file() noexcept { return file_; }
    [[nodiscard]] const indices& shuffled() const noexcept { return shuffled_; }
    [[nodiscard]] const indices& sorted() const noexcept { return sorted_; }

private:
    [[nodiscard]] std::uint64_t value(std::uint64_t i) const noexcept { return i + (round_ << 40); }
    static std::uint64_t weighed(std::uint64_t i, std::uint64_t word) noexcept {
        return word * (2 * i + 1);
    }

    [[nodiscard]] std::uint64_t* words_by_hand() const noexcept {
        return reinterpret_cast<std::uint64_t*>(static_cast<std::byte*>(by_hand_->data()) +
                                                vector_file::header_bytes);
    }

    void touch(const std::uint64_t* words) const {
        std::uint64_t total = 0;
        for (std::uint64_t i = 0; i < file_.words(); ++i) total += weighed(i, words[i]);
        if (total != last_total_) throw std::runtime_error("the file holds something else");
    }

    template <class Finish>
    std::uint64_t store(std::uint64_t* words, const indices& where, Finish finish) {
        for (const std::uint64_t i : where) words[i] = value(i);
        finish();
        return done(where);
    }

    /// The child process in which system calls are counted is stopped halfway: nothing is
    /// remembered of it here, and nothing expected.
    std::uint64_t done(const indices& where) {
        is_done_ = true;
        return where.size();
    }

    void check() {
        if (mapped_.is_open()) mapped_.close();
        by_hand_.reset();
        // Every run begins with pages that are on the disk.
        if (raw_.has_value()) sync_data(*raw_);
        raw_.reset();

        std::vector<std::uint64_t> piece((std::size_t{1} << 20) / sizeof(std::uint64_t));
        const descriptor in(file_.path());
        last_total_ = 0;
        for (std::uint64_t i = 0; i < file_.words();) {
            const std::size_t got =
                in.pread(piece.data(), piece.size() * sizeof(std::uint64_t),
                         vector_file::header_bytes + i * sizeof(std::uint64_t)) /
                sizeof(std::uint64_t);
            if (got == 0) throw std::runtime_error(file_.path() + ": ends too early");
            for (std::size_t k = 0; k < got; ++k, ++i) last_total_ += weighed(i, piece[k]);
        }
        if (!std::exchange(is_done_, false)) return;
        std::uint64_t expected = expected_;
        for (const std::uint64_t i : sorted_) expected += weighed(i, value(i));
        if (last_total_ != expected)
            throw std::runtime_error("the run before this one did not write what it should have");
    }

    vector_file file_;
    indices shuffled_, sorted_;
    vector_file::writer mapped_;
    std::optional<descriptor> raw_;
    std::optional<raw_mapping> by_hand_;
    std::uint64_t round_ = 0;
    std::uint64_t expected_ = 0;   ///< of the elements that no run changes
    std::uint64_t last_total_ = 0; ///< of what is in the file
    bool is_done_ = false;
};

} // namespace bench

#endif // MMSTL_BENCHMARKS_UPDATES_HPP
