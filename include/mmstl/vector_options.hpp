// SPDX-License-Identifier: MIT
//
// How to open a mapped_vector, what it says of a recovery, and what it throws when it is full.

#ifndef MMSTL_VECTOR_OPTIONS_HPP
#define MMSTL_VECTOR_OPTIONS_HPP

#include <mmstl/access.hpp>

#include <cstddef>
#include <new>
#include <optional>

namespace mmstl::inline v1 {

/// What the file of a `mapped_vector` looks like.
enum class layout : unsigned char {
    /// 4096 bytes in front of the elements: their type, the byte order, how many there are and how
    /// many of them are on the disk. See docs/file-format.md.
    header,
    /// The elements alone. The file is exactly them after `close()`; until then, and after a kill,
    /// it ends in zero elements. Other processes cannot follow it.
    raw,
};

/// Which elements there are in a file that was not closed.
enum class on_unclean : unsigned char {
    /// `published` if the machine has not been restarted since (a process was killed, or is still
    /// writing), `durable` if it has.
    automatic,
    durable,   ///< those of the last `flush()`
    published, ///< all that were ever appended; after a power cut some may be zero or old bytes
    /// `errc::unclean`, also when the file is open elsewhere: for whoever wants to look first
    fail,
};

/// How much longer a full file becomes: `factor` times its length, but by no less than
/// `least_bytes` and no more than `most_bytes`; if that cannot be, by `least_bytes`. The elements
/// never move, so that steps of a fixed size cost no more than growing ones.
///
/// When the disk has less room than that, the file grows by what is needed.
struct growth {
    /// At least 1.
    double factor = 2;
    /// The shortest step.
    std::size_t least_bytes = std::size_t{64} << 10;
    /// The longest step. If not given: 64 MiB on a disk, 1 MiB in memory, which is filled with
    /// zeros at once.
    std::optional<std::size_t> most_bytes = {};
};

/// How to open a `mapped_vector`. Every member has a default; designators name the others, in this
/// order.
struct vector_options {
    /// The elements for which addresses are held: `mapped_vector::reserved()`. If not given:
    /// 64 GiB, or twice the file if that is more, or as much as RLIMIT_AS and the like allow. No
    /// less than the file has room for.
    std::optional<std::size_t> reserved = {};
    /// How much longer a full file becomes.
    mmstl::growth growth = {};
    /// Of what the file grows by.
    mmstl::allocation allocation = mmstl::allocation::automatic;
    /// What the file looks like.
    mmstl::layout layout = mmstl::layout::header;
    /// Which elements there are in a file that was not closed.
    mmstl::on_unclean on_unclean = mmstl::on_unclean::automatic;
    /// Of the mapping; `huge_tlb` is an option of the backing, and an error here.
    mmstl::pages pages = mmstl::pages::normal;
};

/// The two sizes between which a recovery chose, in elements.
struct recovery {
    std::size_t durable_size = 0;   ///< as of the last `flush()`: on the disk
    std::size_t published_size = 0; ///< as last seen: what the file still holds of it
};

/// Thrown when a vector would have more elements than `mapped_vector::reserved()`. It has not
/// changed.
///
/// A full disk is not this but `mapping_error` (ENOSPC).
class reservation_exhausted : public std::bad_alloc {
public:
    /// Made by mmstl alone.
    reservation_exhausted(std::size_t asked, std::size_t reserved) noexcept
        : asked_(asked), reserved_(reserved) {}

    /// That there are more elements than addresses; how many, the others tell.
    [[nodiscard]] const char* what() const noexcept override {
        return "mmstl: more elements than addresses are reserved for";
    }
    /// How many elements there would have been.
    [[nodiscard]] std::size_t asked() const noexcept { return asked_; }
    /// As `mapped_vector::reserved`.
    [[nodiscard]] std::size_t reserved() const noexcept { return reserved_; }

private:
    std::size_t asked_;
    std::size_t reserved_;
};

} // namespace mmstl::inline v1

#endif
