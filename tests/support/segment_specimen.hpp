// SPDX-License-Identifier: MIT
//
// A segment to be damaged: small, with something of everything in it, whose metadata are put back
// after each time. And all that there is to ask of one, whatever is in its file.
//
// Offsets are written as numbers here, those of docs/segment-format.md.

#ifndef MMSTL_TESTS_SUPPORT_SEGMENT_SPECIMEN_HPP
#define MMSTL_TESTS_SUPPORT_SEGMENT_SPECIMEN_HPP

#include "support/in_child.hpp"

#include <mmstl/containers.hpp>
#include <mmstl/segment.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace support {

inline constexpr std::uint64_t bytes_of_slice = 65536;
inline constexpr std::uint64_t bytes_of_region = std::uint64_t{32} << 20;
inline constexpr std::uint64_t slices_of_region = 512;
inline constexpr std::uint64_t bytes_of_description = 128;

/// Where things are in a file, whatever the headers call them.
namespace at {
inline constexpr std::uint64_t checksum = 504, size = 512, state = 576, boot_id = 584;
inline constexpr std::uint64_t heap_address = 304, heap_offset = 312, n_regions = 320, uuid = 328,
                               mode = 344;
inline constexpr std::uint64_t lock = 4096, intent = 4104, names_lock = 4160;
inline constexpr std::uint64_t processes = 8192, threads = 12288;
inline constexpr std::uint64_t root = 32768, first_with_space = 32784, abandoned = 32792;
inline constexpr std::uint64_t directory = 36864;
} // namespace at

/// Of a description, counted from its begin.
namespace of {
inline constexpr std::uint64_t owner = 0, state = 4, size_class = 5, distance = 6, local_free = 8,
                               bump = 12, limit = 16, used = 20, alarm = 24, pending = 28,
                               next = 32, previous = 36, n_bytes = 40, ring = 48, returned = 64;
} // namespace of

inline std::uint64_t fnv1a_of(const void* bytes, std::size_t n) {
    std::uint64_t hash = 0xcbf29ce484222325U;
    for (std::size_t i = 0; i < n; ++i)
        hash = (hash ^ static_cast<const unsigned char*>(bytes)[i]) * 0x100000001b3U;
    return hash;
}

/// How the specimen came to be left.
enum class left : unsigned char {
    closed, ///< in order: its spans have no owner
    killed, ///< the process: its record, those of its threads and their spans are there still
};

/// The file, in memory and mapped anywhere; not open as a segment.
class segment_specimen {
public:
    /// Of this many regions: 0 with spans and a run, 1 and 2 one block, 3 with a run, and one that
    /// is not used.
    static constexpr std::uint64_t n_regions = 5;

    explicit segment_specimen(left how) : fd_(::memfd_create("specimen", MFD_CLOEXEC)) {
        if (fd_ == -1) throw std::system_error(errno, std::system_category(), "memfd_create");
        const auto result = in_child([&] { make(fd_, how); });
        if (!result.ok()) throw std::runtime_error("the specimen: " + result.message);
        map();
        find_metadata();
    }
    segment_specimen(const segment_specimen&) = delete;
    segment_specimen& operator=(const segment_specimen&) = delete;
    ~segment_specimen() {
        ::munmap(file_, mapped_);
        ::close(fd_);
    }

    /// One part of the file that tells of the others.
    struct range {
        const char* what;
        std::uint64_t first;
        std::uint64_t n_bytes;
    };
    [[nodiscard]] const std::vector<range>& metadata() const noexcept { return metadata_; }
    [[nodiscard]] std::uint64_t n_bytes() const noexcept { return length_; }
    [[nodiscard]] int fd() const noexcept { return fd_; }

    template <class T = std::uint32_t> [[nodiscard]] T get(std::uint64_t offset) const {
        T value{};
        std::memcpy(&value, file_ + offset, sizeof value);
        return value;
    }
    template <class T> void put(std::uint64_t offset, const T& value) {
        std::memcpy(file_ + offset, &value, sizeof value);
    }
    /// The identity's checksum fits again.
    void seal() { put(at::checksum, fnv1a_of(file_, at::checksum)); }
    /// As if the machine had been started again without a close.
    void make_unclean() {
        put(at::state, std::uint64_t{1});
        put(at::boot_id, std::uint32_t{0x30303030});
    }

    [[nodiscard]] std::uint64_t heap() const noexcept { return heap_offset_; }
    /// The description of a slice.
    [[nodiscard]] std::uint64_t slice(std::uint64_t i, std::uint64_t region = 0) const noexcept {
        return heap_offset_ + region * bytes_of_region + i * bytes_of_description;
    }
    /// The first slice of region 0 that begins a span of blocks with `fits(description)`.
    template <class Fits> [[nodiscard]] std::uint64_t span_that(Fits fits) const {
        for (std::uint64_t i = 1; i < described(0); ++i)
            if (get<std::uint8_t>(slice(i) + of::state) == 1 && fits(slice(i))) return i;
        throw std::runtime_error("the specimen has no such span");
    }
    [[nodiscard]] std::uint64_t described(std::uint64_t region) const {
        return get<std::uint64_t>(at::directory + region * 8) >> 8;
    }
    [[nodiscard]] std::uint64_t table() const { return get<std::uint64_t>(at::root); }
    /// The slot of the table that a name has, and its node.
    [[nodiscard]] std::uint64_t slot_of(std::string_view name) const {
        for (std::uint64_t i = 0; i < get<std::uint64_t>(table()); ++i) {
            const auto node = get<std::uint64_t>(table() + 32 + i * 8) & offsets_in_slots;
            if (node > 1 && std::string_view(reinterpret_cast<const char*>(file_ + node + 64),
                                             get(node + 56)) == name)
                return table() + 32 + i * 8;
        }
        throw std::runtime_error("the specimen has no such name");
    }
    [[nodiscard]] std::uint64_t node_of(std::string_view name) const {
        return get<std::uint64_t>(slot_of(name)) & offsets_in_slots;
    }
    /// In front of it are bits of the name's hash.
    static constexpr std::uint64_t offsets_in_slots = (std::uint64_t{1} << 48) - 1;

    /// All metadata as they were, and the length.
    void mend() {
        if (::ftruncate(fd_, static_cast<::off_t>(length_)) != 0)
            throw std::system_error(errno, std::system_category(), "ftruncate");
        const char* from = sound_.data();
        for (const auto& one : metadata_) {
            std::memcpy(file_ + one.first, from, one.n_bytes);
            from += one.n_bytes;
        }
    }
    void cut(std::uint64_t n_bytes) {
        if (::ftruncate(fd_, static_cast<::off_t>(n_bytes)) != 0)
            throw std::system_error(errno, std::system_category(), "ftruncate");
    }
    /// Whether nothing but metadata has changed since it was made.
    [[nodiscard]] bool is_whole() {
        mend();
        return fnv1a_of(file_ + heap_offset_, probed_) == hash_;
    }

    /// Of the elements of "numbers".
    static constexpr std::size_t n_numbers = 1000;

private:
    static void make(int fd, left how) {
        using namespace mmstl;
        auto& made = *new segment(
            segment::open_or_create(borrowed_fd(fd), {.capacity_bytes = n_regions * bytes_of_region,
                                                      .allocation = allocation::sparse}));
        made.construct<vector<std::uint64_t>>("numbers", n_numbers, 7U);
        auto& words = made.construct<mmstl::map<string, std::uint64_t>>("words");
        const auto word = [](int i) { return std::to_string(i) + " is longer than a string has"; };
        for (int i = 0; i < 400; ++i) words.emplace(word(i).c_str(), static_cast<std::uint64_t>(i));
        for (int i = 0; i < 400; i += 3) words.erase(words.begin());
        auto& table = made.construct<unordered_map<int, int>>("table");
        for (int i = 0; i < 200; ++i) table[i] = i;
        made.construct<std::uint64_t[]>("array", 100, 7U);
        made.construct<vector<char>>("medium", 40'000U, 'm');
        made.construct<vector<char>>("run", 200'000U, 'r');
        made.construct<int>("", 7); // a name as any other
        for (int i = 0; i < 40; ++i) made.construct<int>("name " + std::to_string(i), i);
        for (int i = 0; i < 40; i += 5) made.destroy<int>("name " + std::to_string(i));
        // What was never stored to takes no memory.
        (void)made.allocator<char>().allocate(std::size_t{40} << 20);
        (void)made.allocator<char>().allocate(std::size_t{16} << 20);
        (void)made.allocator<char>().allocate(std::size_t{16} << 20);
        // Freed by another than the owner, and by the owner.
        auto& shared = made.construct<vector<string>>("shared");
        for (int i = 0; i < 300; ++i)
            shared.emplace_back((word(i) + " and longer than a word in the map").c_str());
        const auto shrink = [&](std::size_t i) {
            shared[i] = "";
            shared[i].shrink_to_fit();
        };
        std::thread([&] {
            for (std::size_t i = 0; i < shared.size(); i += 2) shrink(i);
        }).join();
        for (std::size_t i = 1; i < shared.size(); i += 4) shrink(i);
        if (how == left::closed) made.close();
        ::_exit(0); // or the destructors of the thread would give back what it has
    }

    void map() {
        struct ::stat facts {};
        ::fstat(fd_, &facts);
        length_ = static_cast<std::uint64_t>(facts.st_size);
        // Longer, for tests that make it longer.
        mapped_ = std::uint64_t{64} << 10 | (n_regions + 1) * bytes_of_region;
        void* const got = ::mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
        if (got == MAP_FAILED) // NOLINT: the macro casts
            throw std::system_error(errno, std::system_category(), "mmap");
        file_ = static_cast<char*>(got);
        heap_offset_ = get<std::uint64_t>(at::heap_offset);
    }
    void find_metadata() {
        metadata_ = {{"identity", 0, 512},
                     {"live", 512, 512},
                     {"locks", at::lock, 128},
                     {"processes", at::processes, 64},
                     {"more processes", at::processes + 64, 4096 - 64},
                     {"threads", at::threads, 64},
                     {"more threads", at::threads + 64, 2048 * 8 - 64},
                     {"root", at::root, 24 + 88 * 4},
                     {"directory", at::directory, n_regions * 8}};
        for (const std::uint64_t region : {0U, 3U}) {
            metadata_.push_back({"bitmaps", slice(0, region), bytes_of_description});
            // Those in use, and the others, which are mostly not looked at.
            std::uint64_t n_used = 1;
            while (get<std::uint8_t>(slice(n_used, region) + of::state) != 0 &&
                   n_used < (region == 0 ? 40 : 2))
                ++n_used;
            metadata_.push_back({"slices", slice(1, region), (n_used - 1) * bytes_of_description});
            metadata_.push_back({"more slices", slice(n_used, region),
                                 (described(region) - n_used) * bytes_of_description});
        }
        // Links of free blocks, of two spans that have some.
        for (const auto list : {of::local_free, of::returned}) {
            const auto i = span_that([&](auto span) { return get(span + list) != 0; });
            metadata_.push_back(
                {"links", heap_offset_ + i * bytes_of_slice, get(slice(i) + of::bump) / 8 * 8});
        }
        const auto n_slots = get<std::uint64_t>(table());
        metadata_.push_back({"table", table(), 32 + n_slots * 8});
        const auto n_before = get<std::uint64_t>(get<std::uint64_t>(table() + 16));
        metadata_.push_back({"table before", get<std::uint64_t>(table() + 16), 32 + n_before * 8});
        for (std::uint64_t i = 0; i < n_slots; ++i) {
            const auto node = get<std::uint64_t>(table() + 32 + i * 8) & offsets_in_slots;
            if (node > 1) // its block is of whole words
                metadata_.push_back(
                    {"name", node, (64 + get(node + 56) + get(node + 60) + 7) / 8 * 8});
        }
        for (const auto& one : metadata_)
            sound_.insert(sound_.end(), file_ + one.first, file_ + one.first + one.n_bytes);
        probed_ = 64 * bytes_of_slice;
        hash_ = fnv1a_of(file_ + heap_offset_, probed_);
    }

    int fd_;
    char* file_ = nullptr;
    std::uint64_t mapped_ = 0;
    std::uint64_t length_ = 0;
    std::uint64_t heap_offset_ = 0;
    std::vector<range> metadata_;
    std::vector<char> sound_;
    std::uint64_t probed_ = 0;
    std::uint64_t hash_ = 0;
};

/// What opening a segment has come to, and asking it all there is to ask.
struct segment_answer {
    std::error_code refused;
    mmstl::segment_report report;
    std::vector<mmstl::named_object> names;
    std::uint64_t used_bytes = 0;
    std::uint64_t free_bytes = 0;
};

/// What may be said of a file that is not, or not quite, a segment.
inline bool is_refusal(const std::error_code& code) {
    using mmstl::errc;
    for (const errc one : {errc::foreign_file, errc::incomplete, errc::damaged, errc::other_version,
                           errc::other_byte_order, errc::other_kind, errc::other_abi,
                           errc::past_the_end, errc::unclean, errc::address_taken})
        if (code == make_error_code(one)) return true;
    return false;
}

namespace detail {

/// Reads where something is said to be.
inline void touch(const void* first, std::size_t n_bytes) {
    if (n_bytes == 0) return;
    const auto* const bytes = static_cast<const volatile char*>(first);
    (void)bytes[0];
    (void)bytes[n_bytes / 2];
    (void)bytes[n_bytes - 1];
}

template <class T> void ask_for(const mmstl::segment& in, std::string_view name) {
    try {
        if constexpr (std::is_array_v<T>) {
            const auto found = in.find<T>(name);
            touch(found.data(), found.size_bytes());
            expect(found.empty() || in.contains(found.data()), "an array lies in the heap");
        } else {
            const auto* const found = in.find<T>(name);
            if (found == nullptr) return;
            touch(found, sizeof(T));
            expect(in.contains(found), "an object lies in the heap");
        }
    } catch (const mmstl::mapping_error& e) {
        using mmstl::errc;
        expect(e.code() == make_error_code(errc::other_type) ||
                   e.code() == make_error_code(errc::damaged),
               e.what());
    }
}

} // namespace detail

/// Opens it, asks, and closes it.
inline segment_answer ask_segment(int fd, mmstl::access access, mmstl::unclean_segment unclean) {
    using namespace mmstl;
    segment_answer answer;
    auto in =
        segment::open(borrowed_fd(fd), {.unclean = unclean, .access = access}, answer.refused);
    expect(in.is_open() != static_cast<bool>(answer.refused), "open, or refused");
    if (!in.is_open()) return answer;
    answer.names = in.named_objects();
    for (const auto* const name : {"numbers", "words", "array", "", "name 7", "no name"}) {
        detail::ask_for<const vector<std::uint64_t>>(in, name);
        detail::ask_for<const mmstl::map<string, std::uint64_t>>(in, name);
        detail::ask_for<const std::uint64_t[]>(in, name);
        detail::ask_for<const int>(in, name);
        if (access == access::read_write) detail::ask_for<int>(in, name);
    }
    answer.used_bytes = in.used_bytes();
    answer.free_bytes = in.free_bytes();
    answer.report = in.check();
    expect(answer.report.problems.size() == std::min<std::uint64_t>(answer.report.n_problems, 100),
           "a sentence for each problem");
    expect(in.size_bytes() <= in.capacity_bytes() + in.offset_of(in.base_address()), "a length");
    std::error_code closed;
    in.close(closed);
    expect(!closed, "closed");
    return answer;
}

/// In every way there is; the metadata are what they were made to be each time. Returns what the
/// most patient reader has got.
template <class Damage> segment_answer ask_in_every_way(segment_specimen& of, Damage damage) {
    using mmstl::access;
    using mmstl::unclean_segment;
    segment_answer last;
    for (const auto how : {access::read_write, access::read_only})
        for (const auto unclean : {unclean_segment::refuse, unclean_segment::check}) {
            of.mend();
            damage(of);
            last = ask_segment(of.fd(), how, unclean);
            expect(!last.refused || is_refusal(last.refused), last.refused.message());
        }
    of.mend();
    return last;
}

} // namespace support

#endif
