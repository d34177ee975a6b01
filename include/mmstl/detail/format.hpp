// SPDX-License-Identifier: MIT
//
// The first 4096 bytes of a file of mmstl's: what they say, and whether they can be believed.
// docs/file-format.md has the same with a drawing.

#ifndef MMSTL_DETAIL_FORMAT_HPP
#define MMSTL_DETAIL_FORMAT_HPP

#include <mmstl/detail/checksum.hpp>
#include <mmstl/detail/posix.hpp>
#include <mmstl/error.hpp>
#include <mmstl/persistent_name.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <system_error>
#include <type_traits>

// Sectors of 512 bytes, which a disk writes whole or not at all:
//
//     0     identity     written once, before the file has a name; under a checksum
//     512   live         stored to while the file is used; no checksum, fields are range-checked
//     1024  durable[0]   two records, each under a checksum, overwritten in turn: whatever is
//     1536  durable[1]   cut short, one of them is whole
//     2048  zeros        for later versions, and what other kinds of file keep here
//     4096  the elements
namespace mmstl::inline v1::detail::format {

inline constexpr std::size_t sector_bytes = 512;
inline constexpr std::size_t header_bytes = 4096;
inline constexpr std::uint32_t version = 1;
inline constexpr std::uint32_t native_order = 0x01020304;
inline constexpr std::uint32_t other_order = 0x04030201;

// Not text at its begin, and a line end of either kind, so that a transfer as text shows.
inline constexpr std::array<unsigned char, 8> magic = {0x89, 'm', 'm', 's', 't', 'l', '\r', '\n'};

enum class kind : std::uint32_t { vector = 1, segment = 2 };

/// What the file is. Checksum and byte order have their place in every version.
struct identity {
    std::array<unsigned char, 8> magic;
    std::uint32_t byte_order;
    std::uint32_t version;
    format::kind kind;
    std::uint32_t header_bytes;
    std::uint64_t element_bytes;
    std::uint64_t element_alignment;
    std::uint64_t type_hash;
    std::array<char, 256> type_name;            ///< zero padded and cut short: for the eye
    std::array<unsigned char, 200> particulars; ///< of a segment: detail/heap/layout.hpp; else zero
    std::uint64_t checksum;                     ///< of the bytes before it
};

enum class state : std::uint64_t {
    clean = 0,      ///< closed: `size` elements are on the disk
    in_use = 1,     ///< by the boot that is named, maybe still
    recovering = 2, ///< as `in_use`, and the elements up to `lost_size` were not yet given up
};

/// What changes while the file is used. The size has a cache line of its own.
struct live {
    std::atomic<std::uint64_t> size; ///< in elements, as published to every process
    std::array<unsigned char, 56> apart;
    std::atomic<format::state> state;
    std::array<char, 40> boot_id; ///< of who opened it last for writing
    std::uint64_t lost_size;      ///< published before a recovery that took fewer
    std::array<unsigned char, 392> zeros;
};

/// So many elements were on the disk before this record was written.
struct durable {
    std::uint64_t sequence; ///< in the even or the odd record; the later one counts
    std::uint64_t size;
    std::uint64_t checksum; ///< of the bytes before it
    std::array<unsigned char, 488> zeros;
};

struct header {
    format::identity identity;
    format::live live;
    std::array<format::durable, 2> durable;
    std::array<unsigned char, 2048> zeros;
};

static_assert(sizeof(identity) == sector_bytes && offsetof(identity, checksum) == 504);
static_assert(sizeof(live) == sector_bytes && offsetof(live, state) == 64);
static_assert(sizeof(durable) == sector_bytes);
static_assert(sizeof(header) == header_bytes && offsetof(header, durable) == 1024);
static_assert(std::is_standard_layout_v<header>);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free &&
              sizeof(std::atomic<std::uint64_t>) == 8);

/// A header as bytes, read or to be written: what its fields say is asked of it, nothing is
/// dereferenced in place.
using header_image = std::array<std::byte, header_bytes>;

template <class Part> Part part_of(const std::byte* bytes, std::size_t offset) noexcept {
    static_assert(std::is_trivially_copyable_v<Part>);
    Part part;
    std::memcpy(&part, bytes + offset, sizeof part);
    return part;
}

template <class Part> std::uint64_t checksum_of(const Part& part) noexcept {
    const auto bytes = std::as_bytes(std::span<const Part, 1>(&part, 1));
    return fnv1a(bytes.first(offsetof(Part, checksum)));
}

inline durable durable_record(std::uint64_t sequence, std::uint64_t size) noexcept {
    durable record{.sequence = sequence, .size = size, .checksum = 0, .zeros = {}};
    record.checksum = checksum_of(record);
    return record;
}
inline std::size_t slot_of(std::uint64_t sequence) noexcept { return sequence % 2; }

/// The record that counts; null if none is whole and where it belongs.
///
/// The numbers follow each other, also from 2^64 - 1 to 0: a header may be made to say anything.
inline const durable* last_of(const durable& even, const durable& odd) noexcept {
    const auto is_whole = [](const durable& record, std::size_t slot) {
        return slot_of(record.sequence) == slot && record.checksum == checksum_of(record);
    };
    const bool has_even = is_whole(even, 0);
    const bool has_odd = is_whole(odd, 1);
    if (!has_even || !has_odd) return has_even ? &even : has_odd ? &odd : nullptr;
    return odd.sequence - even.sequence < std::uint64_t{1} << 63 ? &odd : &even;
}

inline identity identify(kind which, const type_identity& type,
                         std::span<const std::byte> particulars = {}) noexcept {
    identity made{};
    made.magic = magic;
    made.byte_order = native_order;
    made.version = version;
    made.kind = which;
    made.header_bytes = header_bytes;
    made.element_bytes = type.size_bytes;
    made.element_alignment = type.alignment;
    made.type_hash = type.hash;
    std::copy_n(type.name.begin(), std::min(type.name.size(), made.type_name.size() - 1),
                made.type_name.begin());
    std::copy_n(particulars.begin(), std::min(particulars.size(), made.particulars.size()),
                std::as_writable_bytes(std::span(made.particulars)).begin());
    made.checksum = checksum_of(made);
    return made;
}

/// The header of a new vector without elements.
inline void compose(header_image& to, const type_identity& type) noexcept {
    to = {};
    const identity first = identify(kind::vector, type);
    const durable none = durable_record(1, 0);
    std::memcpy(to.data(), &first, sizeof first);
    std::memcpy(to.data() + offsetof(header, durable) + slot_of(1) * sector_bytes, &none,
                sizeof none);
}

/// Checks what every file of mmstl's begins with, from the first `n_bytes` of it; from the most
/// general doubt to the most particular one, so that each has an error of its own. What is in
/// `found` then is to be checked by `which`.
inline failure examine_identity(const header_image& bytes, std::size_t n_bytes, kind which,
                                const char* call, identity& found) noexcept {
    if (std::memcmp(bytes.data(), magic.data(), std::min(n_bytes, magic.size())) != 0)
        return refuse(errc::foreign_file, call);
    if (n_bytes < header_bytes) return refuse(errc::incomplete, call, header_bytes, n_bytes);

    found = part_of<identity>(bytes.data(), 0);
    if (found.byte_order == other_order) return refuse(errc::other_byte_order, call);
    if (found.byte_order != native_order || found.checksum != checksum_of(found))
        return refuse(errc::damaged, call);
    if (found.version != version || found.header_bytes != header_bytes)
        return refuse(errc::other_version, call);
    if (found.kind != which) return refuse(errc::other_kind, call);
    return {};
}

/// What a vector's header says of sizes, once it is believed.
struct contents {
    std::uint64_t published_size = 0;
    std::uint64_t lost_size = 0; ///< 0 unless recovering
    durable last;                ///< the record that counts
    format::state state = format::state::clean;
    std::array<char, 40> boot_id{};
};

/// Checks the first `n_bytes` of a vector's file, those that it has of a header, against what is
/// expected.
inline failure examine(const header_image& bytes, std::size_t n_bytes, const type_identity& type,
                       contents& found) noexcept {
    constexpr auto* call = "mapped_vector";
    identity is;
    if (auto f = examine_identity(bytes, n_bytes, kind::vector, call, is); f.failed()) return f;
    if (is.element_bytes != type.size_bytes)
        return refuse(errc::other_element_size, call, type.size_bytes, is.element_bytes);
    if (is.type_hash != type.hash || is.element_alignment != type.alignment)
        return refuse(errc::other_type, call);

    const auto* const records = bytes.data() + offsetof(header, durable);
    const auto even = part_of<durable>(records, 0);
    const auto odd = part_of<durable>(records, sector_bytes);
    const auto* const last = last_of(even, odd);
    if (last == nullptr) return refuse(errc::damaged, call);
    found.last = *last;

    const auto* const now = bytes.data() + offsetof(header, live);
    found.published_size = part_of<std::uint64_t>(now, offsetof(live, size));
    found.state = part_of<state>(now, offsetof(live, state));
    if (found.state > state::recovering) found.state = state::in_use; // and the boot decides
    if (found.state == state::recovering)
        found.lost_size = part_of<std::uint64_t>(now, offsetof(live, lost_size));
    found.boot_id = part_of<std::array<char, 40>>(now, offsetof(live, boot_id));
    return {};
}

/// What this process has found out of the boot that it runs in.
///
/// Words, since threads may find it out at the same time: all store the same. No lock, which a
/// fork()ed child might find taken.
struct known_boot {
    std::array<std::atomic<std::uint64_t>, 5> words{};
    std::atomic<bool> is_known{false};
};
inline constinit known_boot boot_of_this_process;

/// The boot that this process runs in. What fails is not remembered: the next time there may be a
/// descriptor for it. Who writes zeros instead to a file is taken by everybody else for one who has
/// not closed it before a restart.
inline failure this_boot(std::array<char, 40>& to) noexcept {
    auto& known = boot_of_this_process;
    std::array<std::uint64_t, 5> words{};
    if (known.is_known.load(std::memory_order_acquire)) {
        for (std::size_t i = 0; i < words.size(); ++i)
            words[i] = known.words[i].load(std::memory_order_relaxed);
        to = std::bit_cast<std::array<char, 40>>(words);
        return {};
    }
    std::array<char, 40> found;
    if (auto f = posix::boot_id(found); f.failed()) return f;
    words = std::bit_cast<std::array<std::uint64_t, 5>>(found);
    for (std::size_t i = 0; i < words.size(); ++i)
        known.words[i].store(words[i], std::memory_order_relaxed);
    known.is_known.store(true, std::memory_order_release);
    to = found;
    return {};
}

/// Whether that boot is the one that this process runs in. Where there is no such thing (ENOENT), it
/// counts as another.
inline failure is_this_boot(const std::array<char, 40>& boot, bool& answer) noexcept {
    std::array<char, 40> now{};
    const auto f = this_boot(now);
    answer = !f.failed() && boot == now;
    return f.code() == std::errc::no_such_file_or_directory ? failure{} : f;
}

} // namespace mmstl::inline v1::detail::format

#endif
