// SPDX-License-Identifier: MIT
//
// What a segment's file is made of, behind its header: docs/segment-format.md has the same with
// words. Everything on this page is file format.

#ifndef MMSTL_DETAIL_HEAP_LAYOUT_HPP
#define MMSTL_DETAIL_HEAP_LAYOUT_HPP

#include <mmstl/detail/format.hpp>
#include <mmstl/detail/heap/size_classes.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <type_traits>

// The file, and where it is mapped: the heap begins at a multiple of 32 MiB, so that the region of
// an address is found by a mask, and what is in front of it lies below.
//
//     offset 0     header: docs/file-format.md
//     4096         locks, with what their holder is about to do      | coordination: who is there,
//     8192         processes                                         | and what he is about to do;
//     12288        threads                                           | worthless when nobody is
//     32768        root: where the named objects are, counts         | image: what is kept
//     36864        directory: a word for each region                 |
//     ...          (to a multiple of 64 KiB)                         |
//     heap_offset  region 0: slice 0 describes the other 511         |
//     + 32 MiB     region 1, ...                                     |
namespace mmstl::inline v1::detail::heap {

inline constexpr std::size_t page_bytes = 4096; ///< what things are aligned to in the file
inline constexpr std::size_t locks_offset = 4096;
inline constexpr std::size_t processes_offset = 8192;
inline constexpr std::size_t threads_offset = 12288;
inline constexpr std::size_t root_offset = 32768;
inline constexpr std::size_t directory_offset = 36864;

inline constexpr std::size_t most_processes = 256;
inline constexpr std::size_t most_threads = 2048;
/// In process number p's name, byte `liveness_offset + p` of the file is locked while it lives: far
/// behind what a file can be long, where nobody else locks.
inline constexpr std::uint64_t liveness_offset = std::uint64_t{1} << 62;
/// Locked by whoever begins or ceases to use the segment, one after the other.
inline constexpr std::uint64_t opening_offset = liveness_offset - 1;

/// A number that one writes and others may look at at any time.
template <class T> struct cell {
    std::atomic<T> value;

    [[nodiscard]] T get() const noexcept { return value.load(std::memory_order_relaxed); }
    void set(T to) noexcept { value.store(to, std::memory_order_relaxed); }
};

/// Between two stores, of which a kill must not leave the second without the first: the processor
/// keeps their order for whoever comes after, the compiler has to be told.
inline void keep_order() noexcept { std::atomic_signal_fence(std::memory_order_seq_cst); }

// ---- coordination ----

/// What the holder of the lock is in the middle of.
enum class intent_kind : std::uint32_t { none = 0, claim = 1, give_back = 2 };

/// Written before anything is changed, `kind` last; taken back when all is done.
struct intent {
    cell<std::uint32_t> kind;
    cell<std::uint32_t> n_slices; ///< of a huge block: regions
    cell<std::uint32_t> first;    ///< span index; of a huge block: its region
    cell<std::uint32_t> is_huge;
};

/// `word` is 0, or says who holds it: a process and its generation, and a bit if someone waits.
struct alignas(64) lock_line {
    std::atomic<std::uint32_t> word;
    std::uint32_t zero;
    heap::intent intent;
    std::array<unsigned char, 40> zeros;
};

struct lock_page {
    lock_line heap;  ///< spans, runs, regions
    lock_line names; ///< the table of named objects
};

struct process_record {
    /// 0: nobody, and nothing is left of whoever was; 1: somebody, dead or alive; 2: somebody who is
    /// dead for certain: whoever has the byte locked is cleaning up behind him, or nobody any more.
    std::atomic<std::uint32_t> is_there;
    std::atomic<std::uint32_t> generation; ///< how many processes had this record
    cell<std::uint32_t> id;                ///< for the eye
    cell<std::uint32_t> zero;
};

/// Whose blocks are whose: a thread is known by its record's place and generation.
struct thread_record {
    std::atomic<std::uint32_t> process; ///< its number and one; 0: nobody
    cell<std::uint32_t> generation;     ///< how many threads had this record
};

inline constexpr unsigned thread_bits = std::countr_zero(most_threads);
using thread_id = std::uint32_t; ///< never 0
constexpr thread_id make_thread_id(std::uint32_t place, std::uint32_t generation) noexcept {
    return place | (generation << thread_bits | std::uint32_t{1} << 31);
}
constexpr std::uint32_t place_of(thread_id id) noexcept { return id % most_threads; }

// ---- the image ----

struct root_page {
    std::atomic<std::uint64_t> names; ///< offset of the table of names; 0: none yet
    cell<std::uint64_t>
        committed_bytes; ///< of whole slices, and blocks of regions, that have blocks
    cell<std::uint32_t> first_with_space; ///< no region before it has a free slice
    std::uint32_t zero;
    /// Spans whose owner has gone, in rings by class: index and one of the first.
    std::array<cell<std::uint32_t>, n_classes> abandoned;
};

enum class region_kind : std::uint8_t {
    unused = 0,
    divided = 1,  ///< into slices; the value says how many of them are described
    huge = 2,     ///< begins a block; the value is its length in bytes
    huge_more = 3 ///< goes on with it
};
/// A word of the directory: the kind in the low byte, and a value above.
constexpr std::uint64_t directory_word(region_kind kind, std::uint64_t value = 0) noexcept {
    return value << 8 | static_cast<std::uint64_t>(kind);
}
constexpr region_kind kind_of(std::uint64_t word) noexcept {
    return static_cast<region_kind>(word & 0xff);
}
constexpr std::uint64_t value_of(std::uint64_t word) noexcept { return word >> 8; }

/// In the place of slice 0's description, a bit for each slice.
struct region_maps {
    std::array<cell<std::uint64_t>, slices_per_region / 64> used;
    std::array<cell<std::uint64_t>, slices_per_region / 64> committed; ///< have blocks, all of them
};

enum class span_state : std::uint8_t {
    free = 0,
    blocks = 1,  ///< of one size
    more = 2,    ///< belongs to the span or run that begins `distance` slices before
    run = 3,     ///< one block
    purging = 4, ///< a run that is being given back to the file system
};

/// What there is to know of a slice, or of the span or run that begins with it.
///
/// Blocks are linked by where they begin in their span, in bytes and one; 0 ends a list.
struct alignas(128) span {
    // The owner's line.
    std::atomic<thread_id> owner; ///< 0: nobody, and it is in a ring of the root's
    cell<span_state> state;
    cell<std::uint8_t> size_class;
    cell<std::uint16_t> distance;
    cell<std::uint32_t> local_free;
    cell<std::uint32_t> bump;  ///< blocks from here on were never handed out, in bytes
    cell<std::uint32_t> limit; ///< how far `bump` may go before more has to be committed
    cell<std::uint32_t> used;  ///< never too few; too many after a kill
    /// When `used` gets there, the owner has something to do.
    cell<std::uint32_t> alarm;
    /// Taken from `returned`, on its way to `local_free`. Of a run that is being given back: by the
    /// process of that number, and one.
    cell<std::uint32_t> pending;
    cell<std::uint32_t> next; ///< in the owner's ring, or the root's: index and one
    cell<std::uint32_t> previous;
    cell<std::uint64_t> n_bytes; ///< of a run: as asked for
    cell<std::uint32_t> ring;    ///< which of the owner's rings it is in, or the root's
    std::uint32_t zero;
    // The others' line.
    alignas(64) std::atomic<std::uint64_t> returned; ///< blocks that others freed: count, first
};

static_assert(sizeof(lock_line) == 64 && sizeof(process_record) == 16 &&
              sizeof(thread_record) == 8);
static_assert(processes_offset + most_processes * sizeof(process_record) <= threads_offset);
static_assert(threads_offset + most_threads * sizeof(thread_record) <= root_offset);
static_assert(sizeof(root_page) <= page_bytes);
static_assert(sizeof(span) == 128 && offsetof(span, returned) == 64);
static_assert(sizeof(region_maps) == sizeof(span));
static_assert(sizeof(span) * slices_per_region == slice_bytes, "slice 0 describes its region");
static_assert(std::is_standard_layout_v<span> && std::is_standard_layout_v<lock_page>);

/// How many slices are described by a page of descriptions.
inline constexpr std::size_t described_by_page = page_bytes / sizeof(span);

inline constexpr std::uint32_t no_alarm = UINT32_MAX;

constexpr std::uint64_t returned_word(std::uint32_t count, std::uint32_t first) noexcept {
    return std::uint64_t{count} << 32 | first;
}
constexpr std::uint32_t count_of(std::uint64_t returned) noexcept {
    return static_cast<std::uint32_t>(returned >> 32);
}
constexpr std::uint32_t first_of(std::uint64_t returned) noexcept {
    return static_cast<std::uint32_t>(returned);
}

// ---- what the header says of a segment ----

enum class pointer_mode : std::uint32_t { raw = 0, offset = 1 /* kept for later */ };

/// In the identity, where a vector has zeros.
struct particulars {
    std::uint64_t heap_address; ///< where region 0 has to be mapped
    std::uint64_t heap_offset;  ///< where it is in the file
    std::uint64_t n_regions;    ///< that there can be
    std::array<std::uint64_t, 2> uuid;
    pointer_mode mode;
    std::uint32_t most_processes;
    std::uint32_t most_threads;
    std::uint32_t slice_bytes;
    std::uint32_t region_bytes;
    std::uint32_t n_classes;
};
static_assert(std::is_trivially_copyable_v<particulars>);
static_assert(sizeof(particulars) <= sizeof(format::identity::particulars));

constexpr std::uint64_t heap_offset_for(std::uint64_t n_regions) noexcept {
    const std::uint64_t end = directory_offset + n_regions * sizeof(std::uint64_t);
    return (end + slice_bytes - 1) / slice_bytes * slice_bytes;
}

/// The most that the windows of addresses have room for.
inline constexpr std::uint64_t most_regions = (std::uint64_t{8} << 40) / region_bytes;

// ---- addresses ----

/// The mapped file, as what it is.
class image {
public:
    image() noexcept = default;
    image(std::byte* heap, std::uint64_t n_regions) noexcept
        : heap_(heap), file_(heap - heap_offset_for(n_regions)),
          n_regions_(static_cast<std::uint32_t>(n_regions)) {}

    [[nodiscard]] std::byte* heap() const noexcept { return heap_; }
    [[nodiscard]] std::byte* file() const noexcept { return file_; }
    [[nodiscard]] std::uint32_t n_regions() const noexcept { return n_regions_; }
    [[nodiscard]] std::uint64_t heap_offset() const noexcept {
        return static_cast<std::uint64_t>(heap_ - file_);
    }

    [[nodiscard]] format::header& header() const noexcept { return at<format::header>(0); }
    [[nodiscard]] lock_page& locks() const noexcept { return at<lock_page>(locks_offset); }
    [[nodiscard]] process_record& process(std::size_t i) const noexcept {
        return at<process_record>(processes_offset + i * sizeof(process_record));
    }
    [[nodiscard]] thread_record& thread(std::size_t i) const noexcept {
        return at<thread_record>(threads_offset + i * sizeof(thread_record));
    }
    [[nodiscard]] root_page& root() const noexcept { return at<root_page>(root_offset); }
    [[nodiscard]] cell<std::uint64_t>& directory(std::size_t region) const noexcept {
        return at<cell<std::uint64_t>>(directory_offset + region * sizeof(std::uint64_t));
    }

    /// Whether so many bytes of the heap, from `offset` in it on, lie in the file.
    [[nodiscard]] bool is_there(std::uint64_t offset, std::uint64_t n_bytes) const noexcept {
        const std::uint64_t end = header().live.size.load(std::memory_order_acquire);
        const std::uint64_t there = end - std::min(end, heap_offset());
        return offset <= there && n_bytes <= there - offset;
    }
    /// How many slices of a region have descriptions that can be looked at, whatever a damaged file
    /// says: none if it is not divided.
    [[nodiscard]] std::uint32_t described(std::uint32_t region) const noexcept {
        const auto word = directory(region).get();
        const auto n = value_of(word);
        const bool fits = kind_of(word) == region_kind::divided && n <= slices_per_region &&
                          n % described_by_page == 0 &&
                          is_there(std::uint64_t{region} * region_bytes, n * sizeof(span));
        return fits ? static_cast<std::uint32_t>(n) : 0;
    }

    [[nodiscard]] std::byte* region(std::size_t i) const noexcept {
        return heap_ + i * region_bytes;
    }
    [[nodiscard]] region_maps& maps(std::size_t i) const noexcept {
        return *std::launder(reinterpret_cast<region_maps*>(region(i)));
    }
    [[nodiscard]] span& span_at(std::uint32_t index) const noexcept {
        return *std::launder(reinterpret_cast<span*>(region(index / slices_per_region) +
                                                     index % slices_per_region * sizeof(span)));
    }
    [[nodiscard]] std::uint32_t index_of(const span& of) const noexcept {
        const auto offset =
            static_cast<std::size_t>(reinterpret_cast<const std::byte*>(&of) - heap_);
        return static_cast<std::uint32_t>(offset / region_bytes * slices_per_region +
                                          offset % region_bytes / sizeof(span));
    }
    [[nodiscard]] std::uint64_t offset_of(const void* p) const noexcept {
        return static_cast<std::uint64_t>(static_cast<const std::byte*>(p) - file_);
    }

private:
    template <class T> [[nodiscard]] T& at(std::size_t offset) const noexcept {
        return *std::launder(reinterpret_cast<T*>(file_ + offset));
    }

    std::byte* heap_ = nullptr;
    std::byte* file_ = nullptr;
    std::uint32_t n_regions_ = 0;
};

/// The description of the slice that holds `p`.
inline span* slice_of(const void* p) noexcept {
    auto* const at = static_cast<std::byte*>(const_cast<void*>(p));
    const auto in_region = reinterpret_cast<std::uintptr_t>(p) % region_bytes;
    return reinterpret_cast<span*>(at - in_region + in_region / slice_bytes * sizeof(span));
}

/// The description of the span or run that holds `p`.
inline span* span_of(const void* p) noexcept {
    span* const slice = slice_of(p);
    return slice - slice->distance.get();
}

/// The first byte of a slice.
inline std::byte* start_of(const span* slice) noexcept {
    auto* const at = reinterpret_cast<std::byte*>(const_cast<span*>(slice));
    const auto in_region = reinterpret_cast<std::uintptr_t>(slice) % region_bytes;
    return at - in_region + in_region * (slice_bytes / sizeof(span));
}

/// The link that a free block begins with.
inline std::uint32_t link_in(const std::byte* block) noexcept {
    std::uint32_t next;
    std::memcpy(&next, block, sizeof next);
    return next;
}
inline void set_link(void* block, std::uint32_t next) noexcept {
    std::memcpy(block, &next, sizeof next);
}

} // namespace mmstl::inline v1::detail::heap

#endif
