// SPDX-License-Identifier: MIT
//
// How to open a segment, what it says of its contents, and what it throws when it is full.

#ifndef MMSTL_SEGMENT_OPTIONS_HPP
#define MMSTL_SEGMENT_OPTIONS_HPP

#include <mmstl/access.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace mmstl::inline v1 {

/// What to do with a segment that was not closed before the machine was restarted: its memory may
/// be of any moment, page by page.
enum class unclean_segment : unsigned char {
    refuse, ///< `errc::unclean`
    /// Open it if `segment::check` finds nothing: then the heap can be used, and what the
    /// containers in it hold is for the caller to judge.
    check,
};

/// How to open a segment. Every member has a default; designators name the others, in this order.
struct segment_options {
    /// How long the heap can get, rounded up to 32 MiB; held as addresses in every process that
    /// opens it. Of a new segment alone; if not given: 16 GiB, or less where RLIMIT_AS asks for it.
    std::optional<std::uint64_t> capacity_bytes = {};
    /// Where the heap is to be in memory, in every process: a multiple of 32 MiB. Of a new segment
    /// alone; if not given: somewhere that is free here and, most likely, elsewhere.
    void* base_address = nullptr;
    /// The most that is allocated ahead of need, at a time. If not given: 64 MiB on a disk, 1 MiB
    /// in memory.
    std::optional<std::uint64_t> growth_bytes = {};
    /// Of what the file grows by.
    mmstl::allocation allocation = mmstl::allocation::automatic;
    /// What to do with a segment that was not closed before the machine was restarted.
    mmstl::unclean_segment unclean = mmstl::unclean_segment::refuse;
    /// `read_only` or `read_write`; of `create` and `open_or_create`, `read_write`.
    mmstl::access access = mmstl::access::read_write;
};

/// Thrown when a segment has no room for a block. The segment, and the container that asked, are as
/// before.
class segment_exhausted : public std::bad_alloc {
public:
    /// Made by mmstl alone.
    segment_exhausted(std::uint64_t asked_bytes, std::uint64_t available_bytes,
                      std::error_code code)
        : asked_(asked_bytes), available_(available_bytes), code_(code),
          what_(std::make_shared<const std::string>(
              "mmstl: a segment has no room for a block of " + std::to_string(asked_bytes) +
              " bytes, there are " + std::to_string(available_bytes) + ": " + code.message())) {}

    /// How much was asked for, how much there was, and why there is no more.
    [[nodiscard]] const char* what() const noexcept override { return what_->c_str(); }
    /// How large the block was to be.
    [[nodiscard]] std::uint64_t asked_bytes() const noexcept { return asked_; }
    /// How much there was, in blocks of any size: of what the capacity allows, and of the disk where
    /// that is full.
    [[nodiscard]] std::uint64_t available_bytes() const noexcept { return available_; }
    /// Why: ENOMEM when the capacity is reached, ENOSPC, EDQUOT or EFBIG as fallocate(2) says,
    /// `too_many_threads` and the like when a thread finds no place in the segment.
    [[nodiscard]] const std::error_code& code() const noexcept { return code_; }

private:
    std::uint64_t asked_;
    std::uint64_t available_;
    std::error_code code_;
    std::shared_ptr<const std::string> what_; // shared: copying an exception must not throw
};

/// A named object, as `segment::named_objects` tells of it.
struct named_object {
    std::string name;           ///< by which `segment::find` finds it
    std::string type_name;      ///< as `persistent_name` has it
    std::size_t count = 0;      ///< 1, or the elements of an array
    std::size_t size_bytes = 0; ///< of one element
    std::size_t alignment = 0;  ///< of one element, in bytes
    std::uint64_t offset = 0;   ///< of the first, as `segment::offset_of`
};

/// What `segment::check` has found.
struct segment_report {
    /// What is wrong, a sentence each; the first hundred.
    std::vector<std::string> problems;
    std::uint64_t n_problems = 0; ///< all of them
    /// As `segment::used_bytes` and `free_bytes`, but for what someone has left half done.
    std::uint64_t used_bytes = 0;
    std::uint64_t free_bytes = 0;
    std::uint64_t n_blocks = 0;        ///< that are handed out
    std::uint64_t n_named_objects = 0; ///< as many as `segment::named_objects` has

    /// Whether no problem was found; `operator bool` says the same.
    [[nodiscard]] bool clean() const noexcept { return n_problems == 0; }
    explicit operator bool() const noexcept { return clean(); }
};

} // namespace mmstl::inline v1

#endif
