// SPDX-License-Identifier: MIT
//
// mapping: one mmap of a backing, owned. Bytes and pages; the typed views are built on it.

#ifndef MMSTL_MAPPING_HPP
#define MMSTL_MAPPING_HPP

#include <mmstl/access.hpp>
#include <mmstl/backing.hpp>
#include <mmstl/detail/posix.hpp>
#include <mmstl/error.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace mmstl::inline v1 {

/// How to map. Every member has a default; designators name the others, in this order.
struct mapping_options {
    /// What the pages may be used for.
    mmstl::access access = mmstl::access::read_only;
    /// Where in the backing: any byte.
    std::uint64_t offset_bytes = 0;
    /// How much of it; if not given, to the end of the backing.
    std::optional<std::uint64_t> length_bytes = {};
    /// Hold addresses for so much, past the end of the backing too.
    std::size_t reserve_bytes = 0;
    /// Where in memory `data()` should be, as `placement` says.
    void* address = nullptr;
    /// How `address` is meant.
    mmstl::placement placement = mmstl::placement::anywhere;
    /// `huge_tlb` is an option of the backing, and an error here.
    mmstl::pages pages = mmstl::pages::normal;
    /// Of a backing that is made here.
    mmstl::allocation allocation = mmstl::allocation::automatic;
    /// Fault all pages in, for reading, before returning: EINVAL before Linux 5.14, and without
    /// access.
    bool populate = false;
};

/// One mmap(2) of a backing. Movable, not copyable; a moved-from mapping is empty. Keeps no
/// descriptor.
///
/// Ranges are given as `first_byte, n_bytes`, counted from `data()`; they may be any bytes, and are
/// widened to whole pages (for `discard`, narrowed). A range that ends past `reserved_bytes()` is
/// `past_the_end`.
///
/// Validity:   addresses stay valid until destruction, assignment or `close()`; a move does not
///             disturb them.
/// Threads:    everything const is safe to call at the same time; the bytes are the caller's to
///             guard.
/// Truncation: if someone shortens the backing, touching the lost pages raises SIGBUS, in private
///             mappings too; `readable()` asks first, a memory file sealed against shrinking never
///             does it.
/// Process:    a fork()ed child inherits the mapping (see `advice::dont_fork`); exec ends it.
/// Source:     mmap(2).
class mapping {
public:
    /// An empty mapping.
    mapping() noexcept = default;

    /// Maps `from`, opening it for as long as that takes.
    ///
    /// What has no length yet (temporary file, memory file, anonymous memory) is made as long as
    /// `offset_bytes + length_bytes`. An empty range with no reserve is an empty mapping.
    /// Throws:     `mapping_error`: what `backing::open` says; `past_the_end`, `size_overflow`;
    ///             `needs_count` for what has no length; ENOMEM out of address space or of
    ///             mappings; EEXIST when an `exact` address is taken; EACCES, EPERM, ENODEV as
    ///             mmap(2) says; `misaligned` when an `exact` address and the offset are not
    ///             aligned to a page alike. Nothing stays open or mapped.
    /// Complexity: constant, four system calls; with `populate` linear in the pages.
    explicit mapping(const backing& from, const mapping_options& options = {}) {
        detail::throw_if(assign(from, options), from.name());
    }
    mapping(const backing& from, const mapping_options& options, std::error_code& ec) {
        ec = assign(from, options).code();
    }

    /// Maps an open backing, as long as it is now. The handle is not needed afterwards.
    ///
    /// Throws: `mapping_error`, as for a `backing`, but for what opening it says; the errno of
    ///         fstat(2).
    explicit mapping(const backing_handle& from, const mapping_options& options = {}) {
        detail::throw_if(assign(from, options), from.name());
    }
    mapping(const backing_handle& from, const mapping_options& options, std::error_code& ec) {
        ec = assign(from, options).code();
    }

    mapping(mapping&& other) noexcept { swap(other); }
    mapping& operator=(mapping&& other) noexcept {
        mapping old(std::move(other));
        swap(old);
        return *this;
    }
    /// Unmaps. Does not wait for the disk: the kernel writes what is dirty in its own time.
    ~mapping() { (void)release(); }

    /// The first byte asked for, not rounded to a page; null when empty.
    [[nodiscard]] const std::byte* data() const noexcept { return data_; }
    /// The same for writing.
    ///
    /// Throws: `wrong_access` unless `access()` is `read_write` or `copy_on_write`.
    [[nodiscard]] std::byte* writable_data() {
        if (access_ != mmstl::access::read_write && access_ != mmstl::access::copy_on_write)
            detail::throw_if(detail::refuse(errc::wrong_access, "writable_data"), name_);
        return data_;
    }
    /// How many bytes of the backing are mapped, from `data()`.
    [[nodiscard]] std::size_t size_bytes() const noexcept { return size_; }
    /// Whether `size_bytes()` is 0.
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    /// The bytes from `data()` for which addresses are held; those past the end of the backing
    /// raise SIGBUS until it grows.
    [[nodiscard]] std::size_t reserved_bytes() const noexcept { return reserved_; }
    /// What the mapping was made for.
    [[nodiscard]] mmstl::access access() const noexcept { return access_; }
    /// As `backing::name`.
    [[nodiscard]] const std::string& name() const noexcept { return name_; }

    /// Waits until the bytes are on the disk (msync(2), MS_SYNC). Of a private mapping nothing is
    /// ever written.
    ///
    /// Throws: `mapping_error` with the errno of msync(2). After EIO the kernel may have dropped
    ///         what it could not write: a second, successful flush proves nothing.
    void flush() { flush(0, size_); }
    void flush(std::size_t first_byte, std::size_t n_bytes) {
        detail::throw_if(sync(first_byte, n_bytes, detail::posix::sync_mode::wait), name_);
    }
    void flush(std::error_code& ec) { ec = sync(0, size_, detail::posix::sync_mode::wait).code(); }
    void flush(std::size_t first_byte, std::size_t n_bytes, std::error_code& ec) {
        ec = sync(first_byte, n_bytes, detail::posix::sync_mode::wait).code();
    }

    /// The same without waiting. Since Linux 2.6.19 this starts nothing: dirty pages are written in
    /// the kernel's own time.
    ///
    /// Throws: `mapping_error` with the errno of msync(2).
    void flush_async() { flush_async(0, size_); }
    void flush_async(std::size_t first_byte, std::size_t n_bytes) {
        detail::throw_if(sync(first_byte, n_bytes, detail::posix::sync_mode::start), name_);
    }

    /// Tells the kernel how the pages will be used. There is no advice by default.
    ///
    /// Throws: `mapping_error` with the errno of madvise(2): EINVAL where the kernel does not know
    ///         it or it does not apply.
    void advise(advice what) const { advise(what, 0, size_); }
    void advise(advice what, std::size_t first_byte, std::size_t n_bytes) const {
        detail::throw_if(on_pages("madvise", first_byte, n_bytes,
                                  [&](std::byte* first, std::size_t length) {
                                      return detail::posix::advise(first, length, what);
                                  }),
                         name_);
    }

    /// Advice that may lose bytes. Only the pages that lie wholly in the range are touched.
    ///
    /// Throws: as `advise`.
    void discard(destructive_advice what, std::size_t first_byte, std::size_t n_bytes) {
        detail::throw_if(on_whole_pages(what, first_byte, n_bytes), name_);
    }

    /// Faults the pages in, for reading, and returns when they are there (Linux 5.14).
    ///
    /// Throws: `mapping_error`: EFAULT when some lie past the end of the backing (no signal),
    ///         EINVAL on older kernels.
    void prefetch() const { prefetch(0, size_); }
    void prefetch(std::size_t first_byte, std::size_t n_bytes) const {
        advise(advice::populate_read, first_byte, n_bytes);
    }

    /// Keeps the pages in memory until unlocked or unmapped.
    ///
    /// Throws: `mapping_error` with the errno of mlock(2): ENOMEM or EPERM past RLIMIT_MEMLOCK.
    void lock_in_memory() { lock_in_memory(0, size_); }
    void lock_in_memory(std::size_t first_byte, std::size_t n_bytes) {
        detail::throw_if(on_pages("mlock", first_byte, n_bytes, detail::posix::lock), name_);
    }
    /// Lets the pages be reclaimed again.
    ///
    /// Throws: `mapping_error` with the errno of munlock(2).
    void unlock_from_memory() { unlock_from_memory(0, size_); }
    void unlock_from_memory(std::size_t first_byte, std::size_t n_bytes) {
        detail::throw_if(on_pages("munlock", first_byte, n_bytes, detail::posix::unlock), name_);
    }

    /// How many bytes of the pages that hold the range are in memory (in the page cache), at this
    /// moment.
    ///
    /// The kernel answers "all" to a process that may not write the file (mincore(2), since Linux
    /// 5.2).
    ///
    /// Throws:     `mapping_error` with the errno of mincore(2).
    /// Complexity: linear in the pages.
    [[nodiscard]] std::size_t resident_bytes() const { return resident_bytes(0, size_); }
    [[nodiscard]] std::size_t resident_bytes(std::size_t first_byte, std::size_t n_bytes) const {
        std::size_t resident_pages = 0;
        detail::throw_if(on_pages("mincore", first_byte, n_bytes,
                                  [&](std::byte* first, std::size_t length) {
                                      return detail::posix::count_resident(first, length,
                                                                           resident_pages);
                                  }),
                         name_);
        return resident_pages * detail::posix::page_size();
    }
    /// Whether all of the range is in memory: see `resident_bytes`, also for what it throws.
    [[nodiscard]] bool resident() const { return resident(0, size_); }
    [[nodiscard]] bool resident(std::size_t first_byte, std::size_t n_bytes) const {
        return n_bytes == 0 ||
               resident_bytes(first_byte, n_bytes) >= whole_pages(first_byte, n_bytes);
    }

    /// Changes what may be done with the pages that hold the range. A shared mapping cannot become
    /// private, nor the reverse (`wrong_access`); `access()` goes on to tell what the mapping was
    /// made for.
    ///
    /// Throws: `mapping_error` with the errno of mprotect(2): EACCES for writing a file that was
    ///         opened for reading.
    void protect(mmstl::access wanted) { protect(wanted, 0, size_); }
    void protect(mmstl::access wanted, std::size_t first_byte, std::size_t n_bytes) {
        detail::throw_if(change_protection(wanted, first_byte, n_bytes), name_);
    }

    /// Whether the range still lies within the backing, at this moment: false once it was shortened,
    /// and a touch may raise SIGBUS.
    ///
    /// Asks the kernel for the last page alone: files are shortened from their end. A file whose path
    /// still stands for it is also asked for its length, to the byte; of anything else, what is
    /// shortened within a page goes unnoticed (those bytes read as zero).
    /// Throws: `mapping_error`: `past_the_end`, and the errno of madvise(2).
    [[nodiscard]] bool readable() const { return readable(0, size_); }
    [[nodiscard]] bool readable(std::size_t first_byte, std::size_t n_bytes) const {
        bool answer = false;
        detail::throw_if(ask_readable(first_byte, n_bytes, answer), name_);
        return answer;
    }

    /// Unmaps and reports. Does not wait for the disk: `flush()` does. The mapping is empty
    /// afterwards.
    ///
    /// Throws: `mapping_error` with the errno of munmap(2).
    void close() {
        const auto failed = release();
        detail::throw_if(failed, name_);
    }
    void close(std::error_code& ec) noexcept { ec = release().code(); }

    /// Exchanges the two; addresses stay valid, and go with the bytes.
    void swap(mapping& other) noexcept {
        std::swap(name_, other.name_);
        std::swap(facts_, other.facts_);
        std::swap(base_, other.base_);
        std::swap(data_, other.data_);
        std::swap(mapped_, other.mapped_);
        std::swap(size_, other.size_);
        std::swap(reserved_, other.reserved_);
        std::swap(offset_, other.offset_);
        std::swap(access_, other.access_);
        std::swap(kind_, other.kind_);
    }
    friend void swap(mapping& a, mapping& b) noexcept { a.swap(b); }

private:
    friend struct detail::core;

    detail::failure assign(const backing& from, const mapping_options& options) {
        backing_handle opened;
        if (auto f = backing_handle::open(from, options.access, opened); f.failed()) return f;
        if (from.is_fresh()) {
            if (auto f = make_room(opened, options); f.failed()) return f;
        }
        return map(opened, opened.facts_, options);
    }

    detail::failure assign(const backing_handle& from, const mapping_options& options) {
        detail::posix::facts now;
        if (auto f = detail::posix::examine(from.fd_, now); f.failed()) return f;
        return map(from, now, options);
    }

    static detail::failure make_room(backing_handle& fresh, const mapping_options& options) {
        if (!options.length_bytes) return detail::refuse(errc::needs_count, "mmap");
        const std::uint64_t end = options.offset_bytes + *options.length_bytes;
        if (end < options.offset_bytes)
            return detail::refuse(errc::size_overflow, "mmap", *options.length_bytes);
        return fresh.resize_to(end, options.allocation);
    }

    detail::failure map(const backing_handle& from, const detail::posix::facts& facts,
                        const mapping_options& options);

    detail::failure sync(std::size_t first_byte, std::size_t n_bytes,
                         detail::posix::sync_mode mode) {
        return on_pages("msync", first_byte, n_bytes, [&](std::byte* first, std::size_t length) {
            return detail::posix::sync_range(first, length, mode);
        });
    }

    detail::failure change_protection(mmstl::access wanted, std::size_t first_byte,
                                      std::size_t n_bytes) {
        const bool either_way = wanted == mmstl::access::none || wanted == mmstl::access::read_only;
        if (!either_way && detail::posix::is_private(wanted) != detail::posix::is_private(access_))
            return detail::refuse(errc::wrong_access, "mprotect");
        return on_pages("mprotect", first_byte, n_bytes, [&](std::byte* first, std::size_t length) {
            return detail::posix::protect(first, length, wanted);
        });
    }

    detail::failure check_range(const char* call, std::size_t first_byte,
                                std::size_t n_bytes) const noexcept {
        if (first_byte <= reserved_ && n_bytes <= reserved_ - first_byte) return {};
        const auto end = n_bytes > SIZE_MAX - first_byte ? SIZE_MAX : first_byte + n_bytes;
        return detail::refuse(errc::past_the_end, call, end, reserved_);
    }

    /// The bytes of the pages that hold a range which is not empty.
    [[nodiscard]] std::size_t whole_pages(std::size_t first_byte,
                                          std::size_t n_bytes) const noexcept {
        const auto page = facts_.page_bytes;
        const std::size_t before = reinterpret_cast<std::uintptr_t>(data_ + first_byte) % page;
        return (before + n_bytes + page - 1) / page * page;
    }

    /// Calls `act(first, length)` with the pages that hold the range, unless it is empty:
    ///
    ///     page:      |-------|-------|-------|
    ///     range:         [first_byte, + n_bytes)
    ///     act:       [first ... length ......................)
    template <class Act>
    detail::failure on_pages(const char* call, std::size_t first_byte, std::size_t n_bytes,
                             Act act) const {
        if (auto f = check_range(call, first_byte, n_bytes); f.failed()) return f;
        if (n_bytes == 0) return {};
        std::byte* const wanted = data_ + first_byte;
        const std::size_t before = reinterpret_cast<std::uintptr_t>(wanted) % facts_.page_bytes;
        return act(wanted - before, whole_pages(first_byte, n_bytes));
    }

    detail::failure on_whole_pages(destructive_advice what, std::size_t first_byte,
                                   std::size_t n_bytes);

    detail::failure ask_readable(std::size_t first_byte, std::size_t n_bytes, bool& answer) const;

    detail::failure release() noexcept {
        std::byte* const base = std::exchange(base_, nullptr);
        const std::size_t length = std::exchange(mapped_, 0);
        data_ = nullptr;
        size_ = reserved_ = 0;
        kind_ = backing::kind::anonymous; // what is closed cannot be found again by its name
        facts_ = {};
        return base == nullptr ? detail::failure{} : detail::posix::unmap(base, length);
    }

    // One mapping, over a backing whose end may come before or after it:
    //
    //     base_     data_                 data_ + size_        data_ + reserved_
    //     |-- skew --|---- what was asked ----|---- reserve ----------|-- to a whole page --|
    //     |<------------------------------- mapped_ --------------------------------------->|
    std::string name_;
    detail::posix::facts facts_; ///< of the backing, as it was mapped
    std::byte* base_ = nullptr;
    std::byte* data_ = nullptr;
    std::size_t mapped_ = 0;
    std::size_t size_ = 0;
    std::size_t reserved_ = 0;
    std::uint64_t offset_ = 0; ///< of data_ in the backing
    mmstl::access access_ = mmstl::access::read_only;
    backing::kind kind_ = backing::kind::anonymous;
};

inline detail::failure mapping::map(const backing_handle& from, const detail::posix::facts& facts,
                                    const mapping_options& options) {
    constexpr auto* call = "mmap";
    if (options.pages == pages::huge_tlb) return detail::refuse(errc::wrong_access, call);

    // The range in the backing.
    const std::uint64_t offset = options.offset_bytes;
    if (options.length_bytes && *options.length_bytes > UINT64_MAX - offset)
        return detail::refuse(errc::size_overflow, call, *options.length_bytes, facts.size_bytes);
    const std::uint64_t end =
        options.length_bytes ? offset + *options.length_bytes : facts.size_bytes;
    if (offset > facts.size_bytes || end > facts.size_bytes)
        return detail::refuse(errc::past_the_end, call, end > offset ? end : offset,
                              facts.size_bytes);
    const std::uint64_t length = end - offset;
    const std::uint64_t skew = offset % facts.page_bytes;
    const std::uint64_t reserve = length > options.reserve_bytes ? length : options.reserve_bytes;
    if (reserve > SIZE_MAX - skew - facts.page_bytes)
        return detail::refuse(errc::size_overflow, call, reserve, facts.size_bytes);

    mapping made;
    made.name_ = from.name();
    made.kind_ = from.kind_;
    made.facts_ = facts;
    made.offset_ = offset;
    made.access_ = options.access;
    if (reserve != 0) {
        const auto whole_pages =
            (static_cast<std::size_t>(skew + reserve) + facts.page_bytes - 1) / facts.page_bytes;
        detail::posix::map_request request;
        request.fd = from.fd_;
        request.offset = offset - skew;
        request.length = whole_pages * facts.page_bytes;
        request.wanted = options.access;
        request.where = options.placement;
        request.past_the_end = reserve > length;
        // The page that would hold data(): page 0 is nobody's.
        const auto address = reinterpret_cast<std::uintptr_t>(options.address);
        if (options.placement == placement::exact) {
            if (address % facts.page_bytes != skew)
                return detail::refuse(errc::misaligned, call, address);
            if (address == skew) return detail::posix::failed(call, EINVAL);
        }
        if (address > skew)
            request.address = static_cast<std::byte*>(options.address) - skew;
        else
            request.where = placement::anywhere;
        // On hugetlbfs a writable mapping makes the file as long as itself; one that becomes
        // writable later does not.
        const bool write_later = request.past_the_end &&
                                 facts.page_bytes > detail::posix::page_size() &&
                                 (options.access == mmstl::access::read_write ||
                                  options.access == mmstl::access::copy_on_write);
        if (write_later) request.wanted = mmstl::access::none;
        if (auto f = detail::posix::map(request, made.base_); f.failed()) return f;
        made.mapped_ = request.length;
        if (write_later) {
            if (auto f = detail::posix::protect(made.base_, made.mapped_, options.access);
                f.failed())
                return f;
        }
        made.data_ = made.base_ + skew;
        made.size_ = static_cast<std::size_t>(length);
        made.reserved_ = static_cast<std::size_t>(reserve);
        if (request.past_the_end) {
            if (auto f = detail::posix::advise(made.base_, made.mapped_, advice::dont_dump);
                f.failed())
                return f;
        }
        if (options.pages == pages::transparent_huge) // a wish: kernels without say EINVAL
            (void)detail::posix::advise(made.base_, made.mapped_, advice::huge_page);
        if (options.populate && length != 0) {
            const auto populated = static_cast<std::size_t>(skew + length);
            if (auto f = detail::posix::advise(made.base_, populated, advice::populate_read);
                f.failed())
                return f;
        }
    }
    swap(made);
    return {};
}

inline detail::failure mapping::on_whole_pages(destructive_advice what, std::size_t first_byte,
                                               std::size_t n_bytes) {
    if (auto f = check_range("madvise", first_byte, n_bytes); f.failed()) return f;
    if (n_bytes == 0) return {};
    const auto page = facts_.page_bytes;
    const std::size_t from_base = static_cast<std::size_t>(data_ - base_) + first_byte;
    const std::size_t first = (from_base + page - 1) / page * page;
    const std::size_t last = (from_base + n_bytes) / page * page;
    return first < last ? detail::posix::advise(base_ + first, last - first, what)
                        : detail::failure{};
}

inline detail::failure mapping::ask_readable(std::size_t first_byte, std::size_t n_bytes,
                                             bool& answer) const {
    answer = true;
    if (auto f = check_range("readable", first_byte, n_bytes); f.failed()) return f;
    if (n_bytes == 0) return {};
    detail::posix::facts now;
    if (kind_ == backing::kind::file && detail::posix::examine_path(name_.c_str(), now) &&
        now.same_file(facts_) && offset_ + first_byte + n_bytes > now.size_bytes) {
        answer = false;
        return {};
    }
    return detail::posix::probe(data_ + (first_byte + n_bytes - 1),
                                answer); // shortening takes from the end
}

} // namespace mmstl::inline v1

#endif
