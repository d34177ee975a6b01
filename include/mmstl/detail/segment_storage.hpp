// SPDX-License-Identifier: MIT
//
// detail::segment_storage: what a segment is apart from the types of its objects: the file at its
// address, known once in a process however often it is opened.

#ifndef MMSTL_DETAIL_SEGMENT_STORAGE_HPP
#define MMSTL_DETAIL_SEGMENT_STORAGE_HPP

#include <mmstl/access.hpp>
#include <mmstl/backing.hpp>
#include <mmstl/detail/address_space.hpp>
#include <mmstl/detail/checksum.hpp>
#include <mmstl/detail/core.hpp>
#include <mmstl/detail/format.hpp>
#include <mmstl/detail/heap/check.hpp>
#include <mmstl/detail/heap/layout.hpp>
#include <mmstl/detail/heap/shared_heap.hpp>
#include <mmstl/detail/heap/thread_heap.hpp>
#include <mmstl/detail/posix.hpp>
#include <mmstl/error.hpp>
#include <mmstl/mapping.hpp>
#include <mmstl/segment_options.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace mmstl::inline v1::detail {

/// What containers look like depends on the standard library and on what was chosen when it was
/// compiled for; not on its release.
inline constexpr std::string_view abi_name =
#if defined(_LIBCPP_VERSION)
#if defined(_LIBCPP_ABI_ALTERNATE_STRING_LAYOUT)
    "libc++, abi " _LIBCPP_TOSTRING(_LIBCPP_ABI_VERSION) ", alternate strings, raw pointers";
#else
    "libc++, abi " _LIBCPP_TOSTRING(_LIBCPP_ABI_VERSION) ", raw pointers";
#endif
#elif defined(__GLIBCXX__)
    "libstdc++, cxx11 abi, raw pointers";
#else
    "another standard library, raw pointers";
#endif

/// What a process has open once, however many handles there are on it.
struct open_segment : heap::open_heap {
    open_segment(const heap::image& in, const heap::growing& how) : open_heap(in, how) {}

    mapping map;
    backing_handle file;
    posix::facts facts;
    std::array<std::uint64_t, 2> uuid{};
    mmstl::access access = mmstl::access::read_write;
    std::size_t n_handles = 1;
    std::atomic<bool> name_is_new{false}; ///< and its directory not yet on the disk
    std::atomic<int> poison{0}; ///< errno of the first flush that failed: what it lost stays lost
};

class segment_storage {
public:
    segment_storage() noexcept = default;
    segment_storage(segment_storage&& other) noexcept
        : open_(std::exchange(other.open_, nullptr)), created_(other.created_),
          access_(other.access_) {}
    segment_storage& operator=(segment_storage&& other) noexcept {
        segment_storage old(std::move(other));
        std::swap(open_, old.open_);
        std::swap(created_, old.created_);
        std::swap(access_, old.access_);
        return *this;
    }
    /// Lets go; neither waits for the disk nor marks anything as closed.
    ~segment_storage() { (void)let_go(false); }

    /// Into a storage that is empty. `more` says what there is to say beside the name of the
    /// backing when it fails.
    failure open(const backing& from, opening how, const segment_options& options,
                 std::string& more);

    failure flush() { return open_ == nullptr ? failure{} : sync(); }
    failure close() { return let_go(true); }

    [[nodiscard]] open_segment* get() const noexcept { return open_; }
    [[nodiscard]] bool created() const noexcept { return created_; }
    /// Of this handle: others of the process may be open for more.
    [[nodiscard]] mmstl::access access() const noexcept { return access_; }

private:
    static constexpr auto* call = "segment";
    static constexpr std::uint64_t default_capacity_bytes =
        std::min(std::uint64_t{16} << 30, std::uint64_t{SIZE_MAX} / 8);
    static constexpr std::uint64_t most_on_a_disk = std::uint64_t{64} << 20;
    static constexpr std::uint64_t most_in_memory = std::uint64_t{1} << 20;

    /// The header, the coordination, the root and the directory; the heap comes when it is used.
    static constexpr std::uint64_t initial_bytes(std::uint64_t n_regions) noexcept {
        const auto end = heap::directory_offset + n_regions * sizeof(std::uint64_t);
        return (end + heap::page_bytes - 1) / heap::page_bytes * heap::page_bytes;
    }

    /// What is to be opened, before it is known whether it is open already.
    struct candidate {
        backing_handle file;
        mapping map;
        heap::particulars says{};
        bool begins_with_zeros = false; ///< as what is being made does
        format::state state = format::state::clean;
        std::array<char, 40> boot_id{};
    };

    // All with the registry's `openings` held, which guards `all_open()` and the handles' count.

    static failure make(backing_handle& fresh, const segment_options& options, candidate& made,
                        std::string& more);
    static failure map_fresh(const backing_handle& fresh, std::uint64_t n_regions,
                             const segment_options& options, candidate& made, std::string& more);
    static void publish(const mapping& made) noexcept;
    static failure is_unfinished(const backing_handle& file, bool& answer);
    static failure read(candidate& from);
    static failure read_once(candidate& from);
    static failure map_at(candidate& from, mmstl::access wanted, std::string& more);
    failure share(open_segment& with, mmstl::access wanted);
    template <class Vet>
    static failure look_while_nobody_joins(const heap::image& in, int fd, Vet vet);
    static failure start(candidate& from, const backing_handle& file,
                         const segment_options& options, std::string& more,
                         std::unique_ptr<open_segment>& started);
    static void forget(open_segment& whole);
    static failure leave(open_segment& whole, bool closing);
    static std::string range_text(const std::byte* first, std::uint64_t n_bytes);

    static std::vector<open_segment*>& all_open() {
        static auto& all = *new std::vector<open_segment*>; // as heaps_of_this_process()
        return all;
    }

    failure sync();
    failure let_go(bool closing);

    open_segment* open_ = nullptr;
    bool created_ = false;
    mmstl::access access_ = mmstl::access::read_write;
};

// ---- opening ----

inline failure segment_storage::open(const backing& from, opening how,
                                     const segment_options& options, std::string& more) {
    const auto wanted = options.access;
    if (wanted != access::read_write && (wanted != access::read_only || how != opening::open))
        return refuse(errc::wrong_access, call);
    // One after the other, so that a file is opened once, and mapped once: what one thread makes is
    // known here before another one finds it.
    auto& process = heap::heaps_of_this_process();
    const std::lock_guard opening(process.openings);
    {
        const std::lock_guard lock(process.mutex);
        process.all.reserve(process.all.size() + 1);
        all_open().reserve(all_open().size() + 1);
    }
    candidate found;
    std::unique_ptr<open_segment> made;
    // All that may fail comes before anyone can find it: a failure leaves nothing, and nobody who
    // has opened it meanwhile.
    const auto prepare = [&](backing_handle& fresh) {
        if (wanted != access::read_write) return refuse(errc::wrong_access, call);
        made.reset(); // what was made for a name that another process took
        auto f = make(fresh, options, found, more);
        if (!f.failed()) f = start(found, fresh, options, more, made);
        if (!f.failed()) publish(made->map);
        return f;
    };
    auto f = core::open(from, wanted, how, found.file, prepare);
    if (f.failed()) return f;
    if (f = core::own(found.file); f.failed()) return f;
    more.clear();
    created_ = found.file.created();
    if (!created_) {
        f = read(found);
        if (f.failed() && found.begins_with_zeros && how == opening::open_or_create) {
            f = core::adopt(from, found.file, is_unfinished, prepare, created_);
            if (!f.failed() && !created_) f = read(found);
        }
        if (f.failed()) return f;
    }
    if (!created_) {
        made.reset(); // as above
        for (auto* const one : all_open()) {
            if (one->uuid != found.says.uuid) continue;
            if (one->facts.same_file(core::facts(found.file))) return share(*one, wanted);
            more = "open as '" + one->map.name() + "'";
            return refuse(errc::copy_is_open, call);
        }
        if (f = map_at(found, wanted, more); f.failed()) return f;
        if (f = start(found, found.file, options, more, made); f.failed()) return f;
    }
    made->file = std::move(found.file);
    made->facts = core::facts(made->file);
    made->name_is_new = created_ && from.has_name() && core::has_disk(made->map);
    const std::lock_guard lock(process.mutex);
    process.all.push_back(made.get());
    all_open().push_back(made.get());
    access_ = wanted;
    open_ = made.release();
    return {};
}

/// A new segment: all that the first process needs, in a file that is empty or unfinished.
///
/// A kill leaves it empty, or with a header that has no magic: nobody takes it for a segment, and
/// the next one to make it finds that it is unfinished. The header comes by one write(2), which is
/// done or not, and not through the mapping; `publish` puts the magic before it.
inline failure segment_storage::make(backing_handle& fresh, const segment_options& options,
                                     candidate& made, std::string& more) {
    if (core::facts(fresh).page_bytes > posix::page_size())
        return posix::failed(call, EOPNOTSUPP); // huge pages, which slices are not
    std::random_device random;
    for (auto& word : made.says.uuid) word = std::uint64_t{random()} << 32 | random();
    const auto capacity = options.capacity_bytes.value_or(default_capacity_bytes);
    if (capacity == 0 || capacity > heap::most_regions * heap::region_bytes)
        return refuse(errc::size_overflow, call, capacity, heap::most_regions * heap::region_bytes);
    if (auto f = core::resize(fresh, 0, options.allocation); f.failed()) return f;
    auto n_regions = (capacity + heap::region_bytes - 1) / heap::region_bytes;
    for (;; n_regions /= 2) {
        const auto f = map_fresh(fresh, n_regions, options, made, more);
        if (!f.failed()) break;
        if (options.capacity_bytes || !posix::is_for_want_of_addresses(f) || n_regions == 1)
            return f;
    }
    made.says.n_regions = n_regions;
    made.says.heap_offset = heap::heap_offset_for(n_regions);
    made.says.heap_address =
        reinterpret_cast<std::uintptr_t>(core::data(made.map)) + made.says.heap_offset;
    made.says.mode = heap::pointer_mode::raw;
    made.says.most_processes = heap::most_processes;
    made.says.most_threads = heap::most_threads;
    made.says.slice_bytes = heap::slice_bytes;
    made.says.region_bytes = heap::region_bytes;
    made.says.n_classes = heap::n_classes;
    const type_identity abi{std::string(abi_name), fnv1a(abi_name), sizeof(void*), alignof(void*)};
    format::header header{};
    header.identity =
        format::identify(format::kind::segment, abi,
                         std::as_bytes(std::span<const heap::particulars, 1>(&made.says, 1)));
    header.identity.magic = {};
    const auto length = initial_bytes(n_regions);
    header.live.size.store(length);
    header.live.state.store(format::state::in_use);
    if (auto f = format::this_boot(header.live.boot_id); f.failed()) return f;
    if (auto f = posix::check_size_limit(length); f.failed()) return f;
    if (auto f = posix::write_at(fresh.native_handle(), 0,
                                 reinterpret_cast<const std::byte*>(&header), sizeof header);
        f.failed())
        return f;
    return core::resize(fresh, length, options.allocation);
}

/// From here on it is a segment, to everybody.
inline void segment_storage::publish(const mapping& made) noexcept {
    auto* const magic = reinterpret_cast<std::atomic<std::uint64_t>*>(core::data(made));
    std::launder(magic)->store(std::bit_cast<std::uint64_t>(format::magic),
                               std::memory_order_release);
}

/// Whether it is empty, or `make` was killed in it.
inline failure segment_storage::is_unfinished(const backing_handle& file, bool& answer) {
    const auto length = core::facts(file).size_bytes;
    answer = length == 0;
    if (answer) return {};
    format::header_image image;
    std::size_t n_bytes = 0;
    if (auto f = posix::read_at(file.native_handle(), 0, image.data(), image.size(), n_bytes);
        f.failed())
        return f;
    if (n_bytes < image.size() || format::part_of<std::uint64_t>(image.data(), 0) != 0) return {};
    std::memcpy(image.data(), format::magic.data(), format::magic.size());
    format::identity is;
    if (format::examine_identity(image, n_bytes, format::kind::segment, call, is).failed())
        return {};
    heap::particulars says;
    std::memcpy(&says, is.particulars.data(), sizeof says);
    answer = says.n_regions <= heap::most_regions && length <= initial_bytes(says.n_regions);
    return {};
}

inline failure segment_storage::map_fresh(const backing_handle& fresh, std::uint64_t n_regions,
                                          const segment_options& options, candidate& made,
                                          std::string& more) {
    const auto in_front = heap::heap_offset_for(n_regions);
    const auto capacity = n_regions * heap::region_bytes;
    mapping_options how;
    how.access = access::read_write;
    how.placement = placement::exact;
    how.reserve_bytes = static_cast<std::size_t>(in_front + capacity);
    const auto map_with_heap_at = [&](std::uint64_t heap) {
        how.address = reinterpret_cast<void*>(heap - in_front); // NOLINT(performance-no-int-to-ptr)
        if (!may_be_mapped(heap - in_front, how.reserve_bytes)) return posix::failed(call, EEXIST);
        return core::map(made.map, fresh, how);
    };
    if (options.base_address != nullptr) {
        const auto heap = reinterpret_cast<std::uintptr_t>(options.base_address);
        if (heap % heap::region_bytes != 0) return refuse(errc::misaligned, call, heap);
        const auto f = map_with_heap_at(heap);
        if (f.code() != std::errc::file_exists) return f;
        auto* const first = static_cast<std::byte*>(how.address);
        more = range_text(first, how.reserve_bytes) + "; choose another base_address";
        return refuse(errc::address_taken, call);
    }
    address_candidates places(made.says.uuid[0] ^ made.says.uuid[1], capacity);
    while (const auto heap = places.next()) {
        const auto f = map_with_heap_at(heap);
        if (f.code() != std::errc::file_exists) return f;
    }
    return posix::failed(call, ENOMEM);
}

/// What the header says, and whether it can be believed.
///
/// The file gets longer before the header says so, and shorter after: so it is as long as a header
/// said that was read before, unless it was cut off in between, and then the header has changed.
inline failure segment_storage::read(candidate& from) {
    constexpr int most_tries = 20;
    failure f;
    for (int i = 0; i < most_tries; ++i) {
        f = read_once(from);
        if (f.code() != errc::past_the_end) break;
    }
    return f;
}

inline failure segment_storage::read_once(candidate& from) {
    format::header_image image;
    std::size_t n_bytes = 0;
    if (auto f = posix::read_at(from.file.native_handle(), 0, image.data(), image.size(), n_bytes);
        f.failed())
        return f;
    from.begins_with_zeros = n_bytes == 0 || (n_bytes >= sizeof(std::uint64_t) &&
                                              format::part_of<std::uint64_t>(image.data(), 0) == 0);
    format::identity is;
    if (auto f = format::examine_identity(image, n_bytes, format::kind::segment, call, is);
        f.failed())
        return f;
    if (is.type_hash != fnv1a(abi_name) || is.element_bytes != sizeof(void*) ||
        is.element_alignment != alignof(void*))
        return refuse(errc::other_abi, call);
    std::memcpy(&from.says, is.particulars.data(), sizeof from.says);
    const auto& says = from.says;
    if (says.mode != heap::pointer_mode::raw || says.slice_bytes != heap::slice_bytes ||
        says.region_bytes != heap::region_bytes || says.n_classes != heap::n_classes ||
        says.most_processes != heap::most_processes || says.most_threads != heap::most_threads)
        return refuse(errc::other_version, call);
    constexpr std::uint64_t addresses = std::uint64_t{1} << 47;
    if (says.n_regions == 0 || says.n_regions > heap::most_regions ||
        says.heap_offset != heap::heap_offset_for(says.n_regions) ||
        says.heap_address % heap::region_bytes != 0 || says.heap_address <= says.heap_offset ||
        says.heap_address >= addresses - says.n_regions * heap::region_bytes)
        return refuse(errc::damaged, call);
    const auto* const live = image.data() + offsetof(format::header, live);
    const auto length = format::part_of<std::uint64_t>(live, offsetof(format::live, size));
    const auto least = heap::directory_offset + says.n_regions * sizeof(std::uint64_t);
    if (auto f = core::examine(from.file); f.failed()) return f;
    const auto there = core::facts(from.file).size_bytes;
    if (length < least) return refuse(errc::damaged, call, least, length);
    if (length > there) return refuse(errc::past_the_end, call, length, there);
    if (length > says.heap_offset + says.n_regions * heap::region_bytes)
        return refuse(errc::damaged, call);
    from.state = format::part_of<format::state>(live, offsetof(format::live, state));
    from.boot_id = format::part_of<std::array<char, 40>>(live, offsetof(format::live, boot_id));
    return {};
}

inline failure segment_storage::map_at(candidate& from, mmstl::access wanted, std::string& more) {
    mapping_options how;
    how.access = wanted;
    how.placement = placement::exact;
    how.reserve_bytes =
        static_cast<std::size_t>(from.says.heap_offset + from.says.n_regions * heap::region_bytes);
    how.address =
        reinterpret_cast<void*>(from.says.heap_address - // NOLINT(performance-no-int-to-ptr)
                                from.says.heap_offset);
    const auto first = from.says.heap_address - from.says.heap_offset;
    const auto f = may_be_mapped(first, how.reserve_bytes) ? core::map(from.map, from.file, how)
                                                           : posix::failed(call, EEXIST);
    const bool is_taken = f.code() == std::errc::file_exists;
    if (!is_taken && f.code() != std::errc::not_enough_memory) return f;
    more = range_text(static_cast<std::byte*>(how.address), how.reserve_bytes);
    return is_taken ? refuse(errc::address_taken, call) : f;
}

/// The range, and what is there already.
inline std::string segment_storage::range_text(const std::byte* first, std::uint64_t n_bytes) {
    const auto hex = [](std::uint64_t n) {
        char digits[16]; // NOLINT: written by to_chars
        const auto end = std::to_chars(digits, digits + sizeof digits, n, 16).ptr;
        return "0x" + std::string(digits, end);
    };
    const auto at = reinterpret_cast<std::uintptr_t>(first);
    std::string text = "addresses " + hex(at) + " to " + hex(at + n_bytes);
    // By its name, which the kernel does not know of a file that was named later.
    for (const auto* const one : all_open()) {
        const auto in = one->shared.in();
        if (in.file() < first + n_bytes && first < in.heap() + one->shared.capacity_bytes())
            return text + ", where the segment '" + one->map.name() + "' is open";
    }
    if (!may_be_mapped(at, n_bytes)) return text + ", which a sanitizer has for itself";
    const auto taken_by = posix::mapped_in(first, static_cast<std::size_t>(n_bytes));
    if (!taken_by.empty()) text += ", where there is " + taken_by;
    return text;
}

/// One more handle on what is open in this process.
inline failure segment_storage::share(open_segment& with, mmstl::access wanted) {
    if (with.access == access::read_only && wanted == access::read_write)
        return refuse(errc::wrong_access, call); // its pages may be read by other threads just now
    with.n_handles += 1;
    open_ = &with;
    access_ = wanted;
    return {};
}

/// For a reader of what a boot before has left: whoever joins now changes what is looked at, and by
/// then it may be in use.
template <class Vet>
failure segment_storage::look_while_nobody_joins(const heap::image& in, int fd, Vet vet) {
    // Where there are no locks, nobody can join.
    const bool locked = !posix::lock_byte(fd, heap::opening_offset, F_RDLCK).failed();
    const undo given_back([&] {
        if (locked) (void)posix::unlock_byte(fd, heap::opening_offset);
    });
    const auto& live = in.header().live;
    if (live.state.load() == format::state::clean) return {};
    bool same_boot = false;
    if (auto f = format::is_this_boot(live.boot_id, same_boot); f.failed() || same_boot) return f;
    return vet();
}

/// Takes a place in what is mapped, which the process does not know as open yet.
inline failure segment_storage::start(candidate& from, const backing_handle& file,
                                      const segment_options& options, std::string& more,
                                      std::unique_ptr<open_segment>& started) {
    const heap::image in(core::data(from.map) + from.says.heap_offset, from.says.n_regions);
    heap::growing how;
    how.fd = file.native_handle();
    how.sparse = core::is_sparse(from.map, options.allocation);
    how.falls_back = options.allocation == allocation::automatic;
    how.most_bytes =
        options.growth_bytes.value_or(core::has_disk(from.map) ? most_on_a_disk : most_in_memory);
    auto made = std::make_unique<open_segment>(in, how);
    made->map = std::move(from.map);
    made->uuid = from.says.uuid;
    made->access = options.access;
    made->is_writable = options.access == access::read_write;

    const auto vet = [&] {
        if (options.unclean == unclean_segment::refuse) return refuse(errc::unclean, call);
        const auto report = heap::check(in);
        if (report.clean()) return failure{};
        more = report.problems.front();
        return refuse(errc::damaged, call);
    };
    failure f;
    if (options.access == access::read_write) {
        f = made->shared.join(vet);
    } else if (from.state != format::state::clean) {
        bool same_boot = false;
        f = format::is_this_boot(from.boot_id, same_boot);
        if (!f.failed() && !same_boot) f = look_while_nobody_joins(in, file.native_handle(), vet);
    }
    if (f.failed()) return f;
    started = std::move(made);
    return {};
}

// ---- to the disk, and away ----

inline failure segment_storage::sync() {
    open_segment& whole = *open_;
    if (whole.access != access::read_write) return {};
    if (const int error = whole.poison.load(); error != 0) return posix::failed("msync", error);
    const auto length = whole.shared.in().header().live.size.load();
    auto f = core::flush(whole.map, 0, static_cast<std::size_t>(length));
    if (!f.failed() && whole.name_is_new) {
        f = posix::sync_directory_of(whole.map.name().c_str());
        whole.name_is_new = f.failed();
        return f;
    }
    if (f.failed()) whole.poison.store(f.value);
    return f;
}

inline failure segment_storage::let_go(bool closing) {
    if (open_ == nullptr) return {};
    failure f;
    if (closing) f = sync();
    const std::lock_guard opening(heap::heaps_of_this_process().openings);
    open_segment* const whole = std::exchange(open_, nullptr);
    if (--whole->n_handles != 0) return f;
    std::erase(all_open(), whole);
    const std::unique_ptr<open_segment> owned(whole);
    forget(*whole);
    if (whole->access == access::read_write) {
        const auto left = leave(*whole, closing && !f.failed());
        if (!f.failed()) f = left;
    }
    const auto unmapped = core::release(whole->map);
    std::error_code closed;
    whole->file.close(closed);
    if (!f.failed()) f = unmapped;
    if (!f.failed() && closed) f = posix::failed("close", closed.value());
    return f;
}

/// No thread finds it any more, and what each has of its heap is given back.
inline void segment_storage::forget(open_segment& whole) {
    auto& process = heap::heaps_of_this_process();
    const std::lock_guard lock(process.mutex);
    std::erase(process.all, &whole);
    if (!whole.shared.members().is_member()) return; // a fork()ed child that has never allocated
    for (auto* const one : whole.threads) heap::release(*one);
    whole.threads.clear();
}

/// Who is the last to close it, marks it as closed.
inline failure segment_storage::leave(open_segment& whole, bool closing) {
    auto& shared = whole.shared;
    if (!shared.members().is_member()) return {}; // as above
    return shared.leave([&] {
        if (!closing) return failure{};
        // What the others have stored since this one's flush, and then the mark.
        auto& live = shared.in().header().live;
        auto f = shared.trim();
        if (f.failed()) return f;
        f = core::flush(whole.map, 0, static_cast<std::size_t>(live.size.load()));
        if (f.failed()) return f;
        live.state.store(format::state::clean);
        f = core::flush(whole.map, 0, format::header_bytes);
        if (f.failed()) live.state.store(format::state::in_use);
        return f;
    });
}

} // namespace mmstl::inline v1::detail

#endif
