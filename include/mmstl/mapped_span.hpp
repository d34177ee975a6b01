// SPDX-License-Identifier: MIT
//
// mapped_span<T>: an owning, fixed-length view of a file (or of shared memory) as an array of T.

#ifndef MMSTL_MAPPED_SPAN_HPP
#define MMSTL_MAPPED_SPAN_HPP

#include <mmstl/access.hpp>
#include <mmstl/backing.hpp>
#include <mmstl/chunks.hpp>
#include <mmstl/detail/assert.hpp>
#include <mmstl/detail/core.hpp>
#include <mmstl/detail/small_file.hpp>
#include <mmstl/error.hpp>
#include <mmstl/mapping.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace mmstl::inline v1 {

namespace detail {

template <class T>
inline constexpr bool holds_address =
    std::is_pointer_v<T> || std::is_member_pointer_v<T> || std::is_null_pointer_v<T>;
template <class T, std::size_t N> inline constexpr bool holds_address<std::span<T, N>> = true;
template <class Char, class Traits>
inline constexpr bool holds_address<std::basic_string_view<Char, Traits>> = true;
template <class T> inline constexpr bool holds_address<std::reference_wrapper<T>> = true;
template <class T> inline constexpr bool holds_address<std::initializer_list<T>> = true;
template <> inline constexpr bool holds_address<std::error_code> = true;
template <> inline constexpr bool holds_address<std::error_condition> = true;
template <class T> inline constexpr bool holds_address<std::optional<T>> = holds_address<T>;
template <class T, class U>
inline constexpr bool holds_address<std::pair<T, U>> = holds_address<T> || holds_address<U>;
template <class T, std::size_t N>
inline constexpr bool holds_address<T[N]> = holds_address<T>; // NOLINT
template <class T, std::size_t N>
inline constexpr bool holds_address<std::array<T, N>> = holds_address<T>;

} // namespace detail

/// Whether objects of type `T` mean the same in every process and tomorrow: true for trivially
/// copyable types that are no pointer and no view. Members cannot be looked into: a struct with a
/// pointer inside is the caller's to keep away.
///
/// Specialise it to `true` for a type that is safe but not trivially copyable (`std::pair` in
/// libstdc++), to `false` for the reverse.
template <class T>
inline constexpr bool enable_mappable =
    std::is_trivially_copyable_v<T> && !detail::holds_address<T>;

/// What the elements of a mapped array must be; `const T` is a read-only element.
///
/// An alignment of more than 4096 is refused: pages may be no larger than that.
template <class T>
concept mappable = std::is_object_v<T> && !std::is_volatile_v<T> && (alignof(T) <= 4096) &&
                   enable_mappable<std::remove_const_t<T>>;

/// How to open a `mapped_span`. Every member has a default; designators name the others, in this
/// order.
struct span_options {
    /// If not given: `read_write`, for `const T` `read_only`.
    std::optional<mmstl::access> access = {};
    /// Of the first element: any byte that suits its alignment.
    std::uint64_t offset_bytes = 0;
    /// In elements; if not given, to the end of the backing.
    std::optional<std::size_t> count = {};
    /// A read-only span of fewer bytes is read into memory, not mapped. It then does not see what
    /// others write. See `recommended_copy_below_bytes`.
    std::size_t copy_below_bytes = 0;
    /// Of the mapping; `huge_tlb` is an option of the backing, and an error here.
    mmstl::pages pages = mmstl::pages::normal;
    /// Of what is created.
    mmstl::allocation allocation = mmstl::allocation::automatic;
};

/// The size below which reading a file costs less than mapping it, as measured by the benchmark
/// `many_small_files`.
inline constexpr std::size_t recommended_copy_below_bytes = std::size_t{256} << 10;

/// An array of `T` that lives in a file or in shared memory.
///
/// Owns the mapping, not the file, and keeps no descriptor. Movable, not copyable; a moved-from
/// span is empty. Constness is deep: a const span gives const elements, and read-only pages belong
/// to `mapped_span<const T>` alone.
///
///     mmstl::mapped_span<const double> prices("prices.f64");
///     double highest = *std::ranges::max_element(prices);
///
/// An empty file is an empty span. There is no advice by default, and no readahead but the
/// kernel's.
///
/// Validity:   pointers, references and iterators stay valid until destruction, assignment,
///             `close()` or a `refresh()` that finds another length; a move does not disturb them.
/// Threads:    concurrent reads are safe, a write needs the caller's own lock. The same between
///             processes.
/// Truncation: if someone shortens the file, touching the lost pages raises SIGBUS; `readable()`
///             asks first.
/// Lengths and positions count elements unless the name ends in `_bytes`. A range `first, n` that
/// does not lie within the span throws `past_the_end`.
template <mappable T> class mapped_span : detail::not_a_path {
public:
    /// As `std::span`'s.
    using element_type = T;
    using value_type = std::remove_const_t<T>;
    using size_type = std::size_t;
    using difference_type = std::ptrdiff_t;
    using pointer = T*;
    using const_pointer = const T*;
    using reference = T&;
    using const_reference = const T&;
    using iterator = pointer;
    using const_iterator = const_pointer;
    using reverse_iterator = std::reverse_iterator<iterator>;
    using const_reverse_iterator = std::reverse_iterator<const_iterator>;

    /// An empty span of nothing.
    mapped_span() noexcept = default;

    /// Maps the range of `from` that the options name: all of it by default. Creates only what has
    /// no name (anonymous memory, a memory file, a temporary file), and that needs a count.
    ///
    /// Throws:     `mapping_error` with the call, the path and the errno, or a code of `errc`:
    ///             `length_not_multiple` of `sizeof(T)`, `misaligned` offset, `past_the_end`,
    ///             `size_overflow`, `needs_count`, `not_mappable`, `wrong_access`; what `mapping`
    ///             and `backing::open` say. Nothing stays open or mapped.
    /// Complexity: constant: pages are read when first touched. Linear below `copy_below_bytes`.
    explicit mapped_span(const backing& from, const span_options& options = {}) {
        detail::throw_if(assign(from, options, detail::opening::open), from.name());
    }
    mapped_span(const backing& from, const span_options& options, std::error_code& ec) {
        ec = assign(from, options, detail::opening::open).code();
    }
    mapped_span(const backing& from, std::error_code& ec) : mapped_span(from, span_options{}, ec) {}

    /// Makes a new backing of `n` zero elements (after `offset_bytes` zero bytes), with blocks
    /// allocated by default. The count in the options says nothing here.
    ///
    /// Processes: as `open_or_create`.
    /// Throws:    as the constructor; EEXIST when there is one by that name, which stays as it is;
    ///            ENOSPC, EDQUOT, EFBIG. On failure nothing is left behind.
    [[nodiscard]] static mapped_span
    create(const backing& at, size_type n,
           const span_options& options = {}) requires(!std::is_const_v<T>) {
        return make(at, n, options, detail::opening::create);
    }
    [[nodiscard]] static mapped_span create(const backing& at, size_type n,
                                            const span_options& options,
                                            std::error_code& ec) requires(!std::is_const_v<T>) {
        return make(at, n, options, detail::opening::create, ec);
    }
    [[nodiscard]] static mapped_span create(const backing& at, size_type n,
                                            std::error_code& ec) requires(!std::is_const_v<T>) {
        return make(at, n, span_options{}, detail::opening::create, ec);
    }

    /// Opens what is there as the constructor does, or creates it with `n` elements; `created()`
    /// tells which happened.
    ///
    /// Throws:    as the constructor and `create`.
    /// Processes: the name appears when the file has its length, so that nobody sees half a file,
    ///            and a creator that is killed leaves nothing; of several that create at once one
    ///            does, and the others open what it made. Where the file system has no unnamed
    ///            files (NFS, FAT, overlays before Linux 6.1), one that opens while another is
    ///            creating may find the file empty or too short; after a kill it stays so, and is
    ///            opened as it is.
    /// Source:    open(2), O_TMPFILE.
    [[nodiscard]] static mapped_span
    open_or_create(const backing& at, size_type n,
                   const span_options& options = {}) requires(!std::is_const_v<T>) {
        return make(at, n, options, detail::opening::open_or_create);
    }
    [[nodiscard]] static mapped_span
    open_or_create(const backing& at, size_type n, const span_options& options,
                   std::error_code& ec) requires(!std::is_const_v<T>) {
        return make(at, n, options, detail::opening::open_or_create, ec);
    }
    [[nodiscard]] static mapped_span
    open_or_create(const backing& at, size_type n,
                   std::error_code& ec) requires(!std::is_const_v<T>) {
        return make(at, n, span_options{}, detail::opening::open_or_create, ec);
    }

    mapped_span(mapped_span&& other) noexcept { swap(other); }
    mapped_span& operator=(mapped_span&& other) noexcept {
        mapped_span old(std::move(other));
        swap(old);
        return *this;
    }
    /// Unmaps. Neither waits for the disk nor throws; what was written reaches the file in the
    /// kernel's own time.
    ~mapped_span() = default;

    // ---- elements ----

    /// As `std::span`'s, but for deep constness.
    [[nodiscard]] pointer data() noexcept { return data_; }
    [[nodiscard]] const_pointer data() const noexcept { return data_; }
    [[nodiscard]] size_type size() const noexcept { return size_; }
    [[nodiscard]] size_type size_bytes() const noexcept { return size_ * sizeof(T); }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

    /// As `std::span`'s, but for deep constness.
    [[nodiscard]] iterator begin() noexcept { return data_; }
    [[nodiscard]] iterator end() noexcept { return data_ + size_; }
    [[nodiscard]] const_iterator begin() const noexcept { return data_; }
    [[nodiscard]] const_iterator end() const noexcept { return data_ + size_; }
    [[nodiscard]] const_iterator cbegin() const noexcept { return begin(); }
    [[nodiscard]] const_iterator cend() const noexcept { return end(); }
    [[nodiscard]] reverse_iterator rbegin() noexcept { return reverse_iterator(end()); }
    [[nodiscard]] reverse_iterator rend() noexcept { return reverse_iterator(begin()); }
    [[nodiscard]] const_reverse_iterator rbegin() const noexcept {
        return const_reverse_iterator(end());
    }
    [[nodiscard]] const_reverse_iterator rend() const noexcept {
        return const_reverse_iterator(begin());
    }

    /// An element: the one at `i`, for `front` the first, for `back` the last.
    ///
    /// Requires: `i < size()` (`front`, `back`: not empty).
    [[nodiscard]] reference operator[](size_type i) noexcept { return *element(data_, i); }
    [[nodiscard]] const_reference operator[](size_type i) const noexcept {
        return *element(data(), i);
    }
    [[nodiscard]] reference front() noexcept { return *element(data_, 0); }
    [[nodiscard]] const_reference front() const noexcept { return *element(data(), 0); }
    [[nodiscard]] reference back() noexcept { return *element(data_, size_ - 1); }
    [[nodiscard]] const_reference back() const noexcept { return *element(data(), size_ - 1); }

    /// The element at `i`, checked.
    ///
    /// Throws: `std::out_of_range` when there is no element `i`.
    [[nodiscard]] reference at(size_type i) { return data_[check_index(i)]; }
    [[nodiscard]] const_reference at(size_type i) const { return data()[check_index(i)]; }

    /// Characters as a string view; a `std::span` is made of any mapped_span by std's own
    /// conversion.
    // NOLINTNEXTLINE(google-explicit-constructor): the conversion is the point
    [[nodiscard]] operator std::basic_string_view<value_type>() const noexcept
        requires(std::same_as<value_type, char> || std::same_as<value_type, wchar_t> ||
                 std::same_as<value_type, char8_t> || std::same_as<value_type, char16_t> ||
                 std::same_as<value_type, char32_t>) {
        return {data_, size_};
    }

    /// The elements in spans of `n` each, the last one shorter, for streaming through a large file:
    /// reads ahead of the caller and, if asked, drops what is behind. About 1 MiB a chunk is a good
    /// size.
    ///
    ///     for (std::span<const char> part : text.chunks(1 << 20)) count(part);
    ///
    /// Of huge pages (`huge_tlb`), only chunks of whole ones are dropped.
    /// Requires: `n > 0`. The elements outlive the range.
    /// Throws:   `wrong_access` when something is to be dropped from a copy-on-write span: its
    ///           changes would be lost.
    [[nodiscard]] chunk_range<T> chunks(size_type n, const chunk_options& options = {}) {
        return {std::span<T>(data_, size_), n, check_chunks(options)};
    }
    [[nodiscard]] chunk_range<const T> chunks(size_type n,
                                              const chunk_options& options = {}) const {
        return {std::span<const T>(data_, size_), n, check_chunks(options)};
    }

    // ---- the file behind ----

    /// Waits until the elements are on the disk. Nothing is written by read-only and copy-on-write
    /// spans.
    ///
    /// Throws: `mapping_error` with the errno of msync(2). After EIO a second, successful flush
    ///         proves nothing.
    /// Source: msync(2), MS_SYNC, of the pages that hold the range.
    void flush() { flush(0, size_); }
    void flush(size_type first, size_type n) { detail::throw_if(sync(first, n), name()); }
    void flush(std::error_code& ec) { flush(0, size_, ec); }
    void flush(size_type first, size_type n, std::error_code& ec) { ec = sync(first, n).code(); }

    /// The same without waiting: the kernel writes in its own time, as it would have anyway (see
    /// `mapping::flush_async`).
    ///
    /// Throws: as `flush`.
    void flush_async() { flush_async(0, size_); }
    void flush_async(size_type first, size_type n) {
        if (is_mapped_range("msync", first, n)) map_.flush_async(first * sizeof(T), n * sizeof(T));
    }

    /// Tells the kernel how the elements will be used. No effect on a span that was copied.
    ///
    /// Throws: `mapping_error` with the errno of madvise(2).
    void advise(advice what) const { advise(what, 0, size_); }
    void advise(advice what, size_type first, size_type n) const {
        if (is_mapped_range("madvise", first, n))
            map_.advise(what, first * sizeof(T), n * sizeof(T));
    }

    /// Faults the elements in, for reading, and returns when they are there. To write many pages of
    /// a new file soon, `advise(advice::populate_write)` does that, and dirties all of them.
    ///
    /// Throws: as `mapping::prefetch`.
    void prefetch() const { prefetch(0, size_); }
    void prefetch(size_type first, size_type n) const { advise(advice::populate_read, first, n); }

    /// Keeps the pages of the span in memory, until unlocked or unmapped.
    ///
    /// Throws: `mapping_error` with the errno of mlock(2): ENOMEM or EPERM past RLIMIT_MEMLOCK.
    ///         `wrong_access` for a copied span.
    void lock_in_memory() {
        refuse_copy("mlock");
        map_.lock_in_memory();
    }
    /// Lets the pages of the span be reclaimed again.
    ///
    /// Throws: `mapping_error` with the errno of munlock(2). `wrong_access` for a copied span.
    void unlock_from_memory() {
        refuse_copy("munlock");
        map_.unlock_from_memory();
    }

    /// Whether all elements are in memory, at this moment. The kernel says yes to whoever may not
    /// write the file.
    ///
    /// Throws: `mapping_error` with the errno of mincore(2).
    [[nodiscard]] bool resident() const { return resident(0, size_); }
    [[nodiscard]] bool resident(size_type first, size_type n) const {
        return !is_mapped_range("mincore", first, n) ||
               map_.resident(first * sizeof(T), n * sizeof(T));
    }

    /// Whether the elements can be read without a signal, at this moment: see `mapping::readable`.
    ///
    /// Throws: as `mapping::readable`.
    [[nodiscard]] bool readable() const { return readable(0, size_); }
    [[nodiscard]] bool readable(size_type first, size_type n) const {
        return !is_mapped_range("readable", first, n) ||
               map_.readable(first * sizeof(T), n * sizeof(T));
    }

    /// Follows a file that has grown (or shrunk): maps it anew as it was opened, and tells whether
    /// the length has changed.
    ///
    /// Without an argument the file is found by its name (a relative path as it is resolved now); a
    /// span of something without a name needs the backing again. A span that was copied is copied
    /// anew, of whatever stands there now, and answers true.
    /// Validity: pointers and iterators are invalidated when it returns true, and only then.
    /// Throws:   as the constructor; `replaced` when the name stands for another file by now;
    ///           `wrong_access` when the length has changed under a copy-on-write span, whose
    ///           changes would be lost; `no_name`, also after `close()`. The span is then as
    ///           before.
    bool refresh() {
        backing same = anonymous();
        detail::throw_if(detail::core::backing_of(map_, same), name());
        return refresh(same);
    }
    bool refresh(const backing& same) {
        bool changed = false;
        detail::throw_if(follow(same, changed), same.name());
        return changed;
    }

    /// Unmaps and reports; the span is empty afterwards. Does not wait for the disk: `flush()`
    /// does.
    ///
    /// Throws: `mapping_error` with the errno of munmap(2).
    void close() { detail::throw_if(release(), name()); }
    void close(std::error_code& ec) noexcept { ec = release().code(); }

    /// The access that it was opened with.
    [[nodiscard]] mmstl::access access() const noexcept { return map_.access(); }
    /// The path, or what `backing::name` says.
    [[nodiscard]] const std::string& name() const noexcept { return map_.name(); }
    /// Whether opening it made the backing.
    [[nodiscard]] bool created() const noexcept { return created_; }
    /// Whether the elements were read into memory because of `copy_below_bytes`.
    [[nodiscard]] bool is_copy() const noexcept { return !copy_.empty(); }

    /// Exchanges the two; pointers and iterators stay valid, and go with the elements.
    void swap(mapped_span& other) noexcept {
        map_.swap(other.map_);
        copy_.swap(other.copy_);
        std::swap(options_, other.options_);
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(created_, other.created_);
    }
    friend void swap(mapped_span& a, mapped_span& b) noexcept { a.swap(b); }

private:
    static constexpr auto* call = "mapped_span";
    template <class Element> Element* element(Element* first, size_type i) const noexcept {
        MMSTL_ASSERT(i < size_);
        return first + i;
    }
    [[nodiscard]] size_type check_index(size_type i) const {
        if (i >= size_) throw std::out_of_range("mapped_span::at");
        return i;
    }

    /// Checks a range of elements; false when there is nothing in it to ask the kernel about.
    bool is_mapped_range(const char* asking, size_type first, size_type n) const {
        detail::throw_if(check_range(asking, first, n), name());
        return n != 0 && !is_copy();
    }
    detail::failure check_range(const char* asking, size_type first, size_type n) const noexcept {
        if (first <= size_ && n <= size_ - first) return {};
        constexpr std::size_t most = SIZE_MAX / sizeof(T);
        const bool wraps = first > most || n > most - first;
        const std::size_t end = wraps ? SIZE_MAX : (first + n) * sizeof(T);
        return detail::refuse(errc::past_the_end, asking, end, size_bytes());
    }
    static detail::failure check_length(std::uint64_t n_bytes) noexcept {
        if (n_bytes % sizeof(T) == 0) return {};
        return detail::refuse(errc::length_not_multiple, call,
                              n_bytes / sizeof(T) * sizeof(T) + sizeof(T), n_bytes);
    }
    void refuse_copy(const char* asking) const {
        if (is_copy()) detail::throw_if(detail::refuse(errc::wrong_access, asking), name());
    }
    [[nodiscard]] chunk_options check_chunks(chunk_options options) const {
        if (options.behind != behind::keep && access() == mmstl::access::copy_on_write)
            detail::throw_if(detail::refuse(errc::wrong_access, "chunks"), name());
        if (is_copy() || !detail::core::has_disk(map_)) options.prefetch_bytes = 0;
        if (is_copy()) options.behind = behind::keep;
        return options;
    }

    detail::failure sync(size_type first, size_type n) {
        if (auto f = check_range("msync", first, n); f.failed()) return f;
        if (is_copy()) return {};
        return detail::core::flush(map_, first * sizeof(T), n * sizeof(T));
    }

    static mapped_span make(const backing& at, size_type n, span_options options,
                            detail::opening how) {
        mapped_span made;
        detail::throw_if(made.assign(at, options, how, n), at.name());
        return made;
    }
    static mapped_span make(const backing& at, size_type n, span_options options,
                            detail::opening how, std::error_code& ec) {
        mapped_span made;
        ec = made.assign(at, options, how, n).code();
        return made;
    }

    /// Opens into an empty span, which a failure leaves empty.
    detail::failure assign(const backing& from, const span_options& options, detail::opening how,
                           std::optional<size_type> count_if_created = {});
    static detail::failure make_room(backing_handle& fresh, const span_options& options,
                                     std::optional<size_type> count);
    detail::failure map(const backing_handle& from, const span_options& options,
                        mmstl::access wanted, std::optional<size_type> count);
    detail::failure copy(const backing& from, backing_handle& opened, const span_options& options);
    detail::failure follow(const backing& same, bool& changed);

    detail::failure release() noexcept {
        data_ = nullptr;
        size_ = 0;
        copy_ = {};
        return detail::core::release(map_);
    }

    static constexpr bool fits(mmstl::access wanted) noexcept {
        return wanted == mmstl::access::copy_on_write ||
               wanted ==
                   (std::is_const_v<T> ? mmstl::access::read_only : mmstl::access::read_write);
    }

    mapping map_;
    detail::small_file copy_;
    span_options options_; ///< as opened: for refresh()
    T* data_ = nullptr;
    size_type size_ = 0;
    bool created_ = false;
};

template <mappable T>
detail::failure mapped_span<T>::assign(const backing& from, const span_options& options,
                                       detail::opening how,
                                       std::optional<size_type> count_if_created) {
    const auto wanted = options.access.value_or(std::is_const_v<T> ? mmstl::access::read_only
                                                                   : mmstl::access::read_write);
    if (!fits(wanted)) return detail::refuse(errc::wrong_access, call);
    if (options.offset_bytes % alignof(T) != 0)
        return detail::refuse(errc::misaligned, call, options.offset_bytes);

    backing_handle opened;
    mapped_span made;
    const auto prepare = [&](backing_handle& fresh) {
        made = mapped_span(); // gives back the room of a file that did not get the name
        const auto count = count_if_created ? count_if_created : options.count;
        auto f = make_room(fresh, options, count);
        return f.failed() ? f : made.map(fresh, options, wanted, count);
    };
    if (wanted == mmstl::access::read_only && options.copy_below_bytes != 0 && !from.is_fresh()) {
        if (auto f = detail::core::open_bare(from, opened); f.failed()) return f;
        if (auto f = copy(from, opened, options); f.failed() || is_copy()) return f;
        if (auto f = detail::core::complete(opened, from); f.failed()) return f;
    } else if (auto f = detail::core::open(from, wanted, how, opened, prepare); f.failed()) {
        return f;
    }
    if (!opened.created())
        if (auto f = made.map(opened, options, wanted, options.count); f.failed()) return f;
    made.created_ = opened.created();
    swap(made);
    return {};
}

template <mappable T>
detail::failure mapped_span<T>::make_room(backing_handle& fresh, const span_options& options,
                                          std::optional<size_type> count) {
    if (!count) return detail::refuse(errc::needs_count, call);
    if (*count > (UINT64_MAX - options.offset_bytes) / sizeof(T))
        return detail::refuse(errc::size_overflow, call, UINT64_MAX);
    return detail::core::resize(fresh, options.offset_bytes + std::uint64_t{*count} * sizeof(T),
                                options.allocation);
}

template <mappable T>
detail::failure mapped_span<T>::map(const backing_handle& from, const span_options& options,
                                    mmstl::access wanted, std::optional<size_type> count) {
    const std::uint64_t available = detail::core::facts(from).size_bytes;
    const std::uint64_t offset = options.offset_bytes;
    if (offset > available) return detail::refuse(errc::past_the_end, call, offset, available);
    std::uint64_t n_bytes = available - offset;
    if (count) {
        if (*count > (UINT64_MAX - offset) / sizeof(T))
            return detail::refuse(errc::size_overflow, call, UINT64_MAX, available);
        if (std::uint64_t{*count} * sizeof(T) > n_bytes)
            return detail::refuse(errc::past_the_end, call,
                                  offset + std::uint64_t{*count} * sizeof(T), available);
        n_bytes = std::uint64_t{*count} * sizeof(T);
    } else if (auto f = check_length(n_bytes); f.failed()) {
        return f;
    }
    if (n_bytes > SIZE_MAX) return detail::refuse(errc::size_overflow, call, n_bytes, SIZE_MAX);

    options_ = options;
    mapping_options how;
    how.access = wanted;
    how.offset_bytes = offset;
    how.length_bytes = n_bytes;
    how.pages = options.pages;
    if (auto f = detail::core::map(map_, from, how); f.failed()) return f;
    data_ = reinterpret_cast<T*>(detail::core::data(map_));
    size_ = static_cast<size_type>(n_bytes / sizeof(T));
    return {};
}

template <mappable T>
detail::failure mapped_span<T>::copy(const backing& from, backing_handle& opened,
                                     const span_options& options) {
    detail::small_file::request wanted;
    if (!from.has_name()) { // borrowed: its position is not ours to move
        if (auto f = detail::core::complete(opened, from); f.failed()) return f;
        wanted.end = detail::core::facts(opened).size_bytes;
    }
    wanted.fd = opened.native_handle();
    wanted.offset = options.offset_bytes;
    wanted.below_bytes = options.copy_below_bytes;
    wanted.alignment = alignof(T);
    if (options.count) {
        if (*options.count > SIZE_MAX / sizeof(T)) return {}; // not small; map() says what it is
        wanted.n_bytes = *options.count * sizeof(T);
    }
    detail::small_file read;
    if (auto f = detail::small_file::read(wanted, read); f.failed()) {
        // Another kind of file says so first.
        const auto other_kind = detail::core::complete(opened, from);
        return other_kind.failed() ? other_kind : f;
    }
    if (read.empty()) return {};
    if (auto f = check_length(read.size_bytes()); f.failed()) return f;
    detail::core::remember(map_, from);
    options_ = options;
    data_ = reinterpret_cast<T*>(read.data());
    size_ = read.size_bytes() / sizeof(T);
    copy_.swap(read);
    return {};
}

template <mappable T> detail::failure mapped_span<T>::follow(const backing& same, bool& changed) {
    mapped_span made;
    if (is_copy()) {
        if (auto f = made.assign(same, options_, detail::opening::open); f.failed()) return f;
    } else {
        const detail::posix::facts& known = detail::core::facts(map_);
        if (known.inode == 0) return detail::refuse(errc::no_name, "refresh"); // closed
        backing_handle opened;
        if (auto f = detail::core::open(same, access(), detail::opening::open, opened); f.failed())
            return f;
        const detail::posix::facts& found = detail::core::facts(opened);
        if (!found.same_file(known)) return detail::refuse(errc::replaced, "refresh");
        const std::uint64_t end = options_.offset_bytes + size_bytes();
        if (options_.count ? end <= found.size_bytes : end == found.size_bytes) return {};
        if (access() == mmstl::access::copy_on_write)
            return detail::refuse(errc::wrong_access, "refresh");
        if (auto f = made.map(opened, options_, access(), options_.count); f.failed()) return f;
    }
    made.created_ = created_;
    swap(made);
    changed = true;
    return {};
}

} // namespace mmstl::inline v1

#endif
