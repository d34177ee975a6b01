// SPDX-License-Identifier: MIT
//
// mapped_vector<T>: a vector that lives in a file or in shared memory, and grows without ever
// moving an element.

#ifndef MMSTL_MAPPED_VECTOR_HPP
#define MMSTL_MAPPED_VECTOR_HPP

#include <mmstl/access.hpp>
#include <mmstl/backing.hpp>
#include <mmstl/detail/assert.hpp>
#include <mmstl/detail/vector_storage.hpp>
#include <mmstl/error.hpp>
#include <mmstl/mapped_span.hpp>
#include <mmstl/persistent_name.hpp>
#include <mmstl/vector_options.hpp>

#include <algorithm>
#include <array>
#include <compare>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>
#include <ranges>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

namespace mmstl::inline v1 {

namespace detail {
/// Has no values.
struct nothing {
    nothing() = delete;
};
} // namespace detail

/// What the elements of a `mapped_vector` must be: `mappable`, of a size that may be moved as
/// bytes, with nothing to be done when they go.
template <class T>
concept vector_element = mappable<T> && std::is_trivially_destructible_v<T> && !std::is_array_v<T>;

/// A vector of `T` that lives in a file or in shared memory.
///
/// The interface of `std::vector`, with the same requirements, complexities and guarantees, and
/// with more: elements never move when the vector grows, an argument may be an element of the
/// vector, and whatever throws leaves the vector as it was, unless the function says otherwise. The
/// differences are: no allocator; move-only, for it owns what is behind it; elements are trivially
/// copyable; it can run out of disk. It is opened, not constructed with elements, and closed.
///
///     auto ticks = mmstl::mapped_vector<tick>::open_or_create("ticks.mmv");
///     ticks.push_back({now, 101.5});
///     ticks.flush();
///
/// `mapped_vector<const T>` is a reader: it sees what writers append, with no call of its own, and
/// has nothing to write with.
///
/// Growth:     the addresses of `reserved()` elements are held from the beginning; to grow makes
///             the file longer, and copies nothing. Blocks of the disk are allocated, so that a
///             full disk is an exception (ENOSPC) and not SIGBUS; `allocation::sparse` is a choice.
/// Validity:   pointers, references and iterators stay valid until the vector is closed, destroyed
///             or assigned to, or their element is erased or moved by an insertion before it. A
///             move does not disturb them.
/// Threads:    one that appends (`push_back`, `emplace_back`, `append_*`, `commit`, insertions at
///             the end) and any number that read need no lock, whether they are threads or
///             processes: a reader sees an element whole, or not yet. Everything else needs one:
///             other changes, two that append, `flush()` beside another flush, `capacity()` beside
///             growth. `shrink_to_fit`, and `close` of `layout::raw`, are not for a file that other
///             handles write; nor is opening it with `on_unclean::durable`.
/// Loops:      `size()` is an acquiring load, so that a loop that asks for it each time is not
///             vectorised. Range-for asks once, as do the algorithms and `std::span(v)`.
/// Process:    a fork()ed child shares the elements and, but for `layout::raw`, the size.
/// Crashes:    see docs/persistence.md. After the end of a process all published elements are
///             there; after a power cut at least those of the last `flush()`.
/// Truncation: if someone else shortens the file, touching the lost pages raises SIGBUS;
///             `readable()` asks first.
///
/// Sizes and positions count elements unless the name ends in `_bytes`.
/// Throws, whatever makes the vector longer: `mapping_error` with ENOSPC or EDQUOT when the disk is
///             full, EFBIG past the file size limit (and no signal); `reservation_exhausted`, a
///             `std::bad_alloc`, when there would be more elements than `reserved()`;
///             `std::length_error` past `max_size()`.
template <vector_element T> class mapped_vector {
    static constexpr bool is_writer = !std::is_const_v<T>;
    using element = std::remove_const_t<T>;

public:
    /// As `std::vector`'s.
    using value_type = element;
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

    // ---- opening and closing ----

    /// A vector that is closed: no elements, and no room for any.
    mapped_vector() noexcept = default;

    /// The same as `open`.
    explicit mapped_vector(const backing& from, const vector_options& options = {})
        : mapped_vector(open(from, options)) {}
    mapped_vector(const backing& from, const vector_options& options, std::error_code& ec)
        : mapped_vector(open(from, options, ec)) {}
    mapped_vector(const backing& from, std::error_code& ec) : mapped_vector(open(from, ec)) {}

    /// Opens what is there; what has no name (anonymous memory, a memory file, a temporary file) is
    /// made, empty.
    ///
    /// Never destroys: after an unclean end `on_unclean` says which elements there are, and
    /// `recovered()` what happened.
    /// Throws:     `mapping_error` with the call, the path and the errno, or a code of `errc`:
    ///             `foreign_file`, `incomplete`, `damaged`, `other_version`, `other_byte_order`,
    ///             `other_kind`, `other_element_size`, `other_type`, `past_the_end` (more elements
    ///             than the file has room for), `unclean`; of `layout::raw` `length_not_multiple`;
    ///             what `backing::open` and `mapping` say; the errno of reading the boot id from
    ///             /proc, with which writers mark the file, if it is there. Nothing stays open or
    ///             mapped.
    /// Complexity: constant, whatever the size.
    [[nodiscard]] static mapped_vector open(const backing& from,
                                            const vector_options& options = {}) {
        return make(from, options, detail::opening::open);
    }
    [[nodiscard]] static mapped_vector open(const backing& from, const vector_options& options,
                                            std::error_code& ec) {
        return make(from, options, detail::opening::open, ec);
    }
    [[nodiscard]] static mapped_vector open(const backing& from, std::error_code& ec) {
        return make(from, {}, detail::opening::open, ec);
    }

    /// Makes a new file, or shared memory, without elements.
    ///
    /// Throws:    as `open`; EEXIST when there is one by that name, which stays as it is.
    /// Processes: it appears under its name when it is complete; a creator that is killed leaves
    ///            nothing. (Where the file system has no unnamed files, NFS and FAT, a kill may
    ///            leave an empty file, which `open_or_create` takes over.)
    [[nodiscard]] static mapped_vector
    create(const backing& at, const vector_options& options = {}) requires is_writer {
        return make(at, options, detail::opening::create);
    }
    [[nodiscard]] static mapped_vector create(const backing& at, const vector_options& options,
                                              std::error_code& ec) requires is_writer {
        return make(at, options, detail::opening::create, ec);
    }
    [[nodiscard]] static mapped_vector create(const backing& at,
                                              std::error_code& ec) requires is_writer {
        return make(at, {}, detail::opening::create, ec);
    }

    /// Opens what is there, or creates it; an empty file becomes a vector. `created()` tells which
    /// happened. Of several processes that do this at the same time, one creates.
    ///
    /// Throws: as `open` and `create`.
    [[nodiscard]] static mapped_vector
    open_or_create(const backing& at, const vector_options& options = {}) requires is_writer {
        return make(at, options, detail::opening::open_or_create);
    }
    [[nodiscard]] static mapped_vector open_or_create(const backing& at,
                                                      const vector_options& options,
                                                      std::error_code& ec) requires is_writer {
        return make(at, options, detail::opening::open_or_create, ec);
    }
    [[nodiscard]] static mapped_vector open_or_create(const backing& at,
                                                      std::error_code& ec) requires is_writer {
        return make(at, {}, detail::opening::open_or_create, ec);
    }

    mapped_vector(mapped_vector&& other) noexcept = default;
    mapped_vector& operator=(mapped_vector&& other) noexcept = default;
    /// Lets go without waiting for the disk, and without marking the file as closed: what was
    /// published stays published, and reaches the disk in the kernel's own time. `close()` does
    /// more, and says how it went.
    ~mapped_vector() = default;

    /// Flushes, marks the file as closed and lets it go; the vector is closed afterwards, in any
    /// case. Of `layout::raw`, cuts the file to its elements.
    ///
    /// Throws: `mapping_error`, as `flush()`, and with the errno of munmap(2) and close(2).
    void close() { finish(storage_.close()); }
    void close(std::error_code& ec) { ec = storage_.close().code(); }

    /// Whether there is a file, or memory, behind it.
    [[nodiscard]] bool is_open() const noexcept { return storage_.is_open(); }
    /// Whether opening it made the file.
    [[nodiscard]] bool created() const noexcept { return storage_.created(); }
    /// The path, or what `backing::name` says.
    [[nodiscard]] const std::string& name() const noexcept { return storage_.name(); }
    /// What there was to choose from, when the file was not closed before the machine was restarted
    /// (or was opened after that, and not flushed since); else nothing.
    ///
    /// The elements behind those that were taken are still in the file until they are overwritten:
    /// where `published_size > size()`, they can be looked at after
    /// `append_uninitialized(published_size - size())`, and committed as far as they are good.
    [[nodiscard]] const std::optional<recovery>& recovered() const noexcept {
        return storage_.recovered();
    }

    // ---- elements ----

    /// As `std::vector`'s.
    [[nodiscard]] iterator begin() noexcept { return first(); }
    [[nodiscard]] iterator end() noexcept { return first() + size(); }
    [[nodiscard]] const_iterator begin() const noexcept { return first(); }
    [[nodiscard]] const_iterator end() const noexcept { return first() + size(); }
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
    [[nodiscard]] const_reverse_iterator crbegin() const noexcept { return rbegin(); }
    [[nodiscard]] const_reverse_iterator crend() const noexcept { return rend(); }

    /// As `std::vector`'s.
    [[nodiscard]] pointer data() noexcept { return first(); }
    [[nodiscard]] const_pointer data() const noexcept { return first(); }

    /// An element: the one at `i`, for `front` the first, for `back` the last.
    ///
    /// Requires: `i < size()` (`front`, `back`: not empty).
    [[nodiscard]] reference operator[](size_type i) noexcept { return *at_index(i); }
    [[nodiscard]] const_reference operator[](size_type i) const noexcept { return *at_index(i); }
    [[nodiscard]] reference front() noexcept { return *at_index(0); }
    [[nodiscard]] const_reference front() const noexcept { return *at_index(0); }
    [[nodiscard]] reference back() noexcept { return *at_index(size() - 1); }
    [[nodiscard]] const_reference back() const noexcept { return *at_index(size() - 1); }

    /// The element at `i`, checked.
    ///
    /// Throws: `std::out_of_range` when there is no element `i`.
    [[nodiscard]] reference at(size_type i) { return first()[check_index(i)]; }
    [[nodiscard]] const_reference at(size_type i) const { return first()[check_index(i)]; }

    // ---- how many ----

    /// How many elements are published, by whichever process; see "Loops" above.
    [[nodiscard]] size_type size() const noexcept { return storage_.size(); }
    /// Whether `size()` is 0.
    [[nodiscard]] bool empty() const noexcept { return size() == 0; }
    /// The most elements that a vector of any kind could have.
    [[nodiscard]] static constexpr size_type max_size() noexcept {
        return static_cast<size_type>(std::numeric_limits<difference_type>::max()) / sizeof(T);
    }
    /// How many elements fit into the file as it is, as far as this vector knows: that many do not
    /// need the disk to have room.
    [[nodiscard]] size_type capacity() const noexcept { return storage_.capacity(); }
    /// How many elements there are addresses for. Up to here it grows and pointers stay valid; to
    /// have more, open it anew.
    [[nodiscard]] size_type reserved() const noexcept { return storage_.reserved(); }
    /// How many elements were on the disk at the last `flush()`, by whichever process; 0 of
    /// `layout::raw`. Needs a lock beside a flush.
    [[nodiscard]] size_type durable_size() const noexcept { return storage_.durable_size(); }

    /// Makes the file long enough for `n` elements, and has the disk set the blocks aside.
    ///
    /// Throws:     as the class says of whatever makes the vector longer.
    /// Complexity: a handful of system calls, if it has to.
    void reserve(size_type n) requires is_writer {
        if (n > max_size()) throw std::length_error("mapped_vector: past max_size()");
        storage_.reserve(n);
    }
    /// Gives what is behind the last element back to the file system. Readers are not disturbed;
    /// other writers are: see "Threads" above.
    ///
    /// Throws: `mapping_error` with the errno of ftruncate(2); of msync(2), when the size has
    ///         shrunk since the last `flush()`, or there was none since it was opened: the disk must
    ///         know before the blocks are gone.
    void shrink_to_fit() requires is_writer { finish(storage_.shrink_to_fit()); }

    // ---- changes at the end ----

    /// Appends an element, which may be a copy of one of the vector. Readers see it whole, or not
    /// yet.
    ///
    /// Throws:     as the class says of whatever makes the vector longer; nothing has changed then.
    /// Complexity: constant; a handful of system calls when the file has to be longer.
    void push_back(const T& value) requires is_writer { emplace_back(value); }
    void push_back(T&& value) requires is_writer { emplace_back(std::move(value)); }

    /// Appends an element made of `args`, as `push_back` does, and returns it.
    ///
    /// Throws:     as `push_back`, and what its constructor throws.
    /// Complexity: as `push_back`.
    template <class... Args>
    reference emplace_back(Args&&... args) requires is_writer
        && std::constructible_from<T, Args...> {
        const size_type n = storage_.own_size();
        if (n >= storage_.ready()) [[unlikely]]
            make_room(n, 1);
        T* const made = std::construct_at(first() + n, std::forward<Args>(args)...);
        publish(n, n + 1);
        return *made;
    }

    /// Appends all of `range`, which may be a part of the vector; readers see all of it at once.
    ///
    /// Throws:     as `push_back`, and what `range` throws.
    /// Complexity: linear in the elements appended.
    template <std::ranges::input_range Range>
    void append_range(Range&& range) // NOLINT(cppcoreguidelines-missing-std-forward): iterated
        requires is_writer && std::constructible_from<T, std::ranges::range_reference_t<Range>> {
        const size_type n = storage_.own_size();
        publish(n, n + construct_behind(n, std::ranges::begin(range), std::ranges::end(range)));
    }

    /// Room for `n` more elements behind the last, to be stored to by whatever means (`read()` into
    /// it, for one) and then published by `commit`. What is in it is whatever the file holds.
    ///
    /// Throws:   as `push_back`.
    /// Validity: until the vector is changed in another way.
    [[nodiscard]] std::span<T> append_uninitialized(size_type n) requires is_writer {
        const size_type size = storage_.own_size();
        make_room(size, n);
        return {first() + size, n};
    }
    /// Publishes the first `n` elements of what `append_uninitialized` gave.
    ///
    /// Requires: `n <= capacity() - size()`.
    void commit(size_type n) noexcept requires is_writer {
        const size_type size = storage_.own_size();
        MMSTL_ASSERT(n <= capacity() - size);
        publish(size, size + n);
    }

    /// Takes the last element away.
    ///
    /// Requires: not empty.
    void pop_back() noexcept requires is_writer {
        const size_type n = storage_.own_size();
        MMSTL_ASSERT(n != 0);
        publish(n, n - 1);
    }

    /// Grows by value-initialised elements (zeros), or by copies of `value`; or shrinks. The file
    /// stays as long as it is: see `shrink_to_fit`.
    ///
    /// Throws:     as `push_back`.
    /// Complexity: linear in the elements added; zeros that are new in the file cost nothing.
    void resize(size_type n) requires is_writer {
        const size_type size = storage_.own_size();
        if (n > size) {
            const size_type zero_from = make_room(size, n - size);
            // New bytes of a file are zero already, and need no page each to say so.
            const bool zero_will_do = is_zero_bytes();
            std::uninitialized_value_construct(
                first() + size, first() + (zero_will_do ? std::clamp(zero_from, size, n) : n));
        }
        publish(size, n);
    }
    void resize(size_type n, const T& value) requires is_writer {
        const size_type size = storage_.own_size();
        if (n > size) {
            make_room(size, n - size);
            std::uninitialized_fill(first() + size, first() + n, value);
        }
        publish(size, n);
    }

    // ---- changes anywhere ----

    /// Inserts before `where`, as `std::vector`'s `insert` and `emplace`, and returns where the
    /// first of what was inserted is; arguments may be elements of the vector.
    ///
    /// First makes room, then moves what is behind the place as bytes, then stores, then publishes.
    /// A process that is killed in between leaves a vector of its old size whose elements from
    /// there on are unspecified; so it is with `erase` and `assign`.
    /// Throws:     as `push_back`, and what the values or iterators throw.
    /// Complexity: linear in the elements stored and moved.
    /// Validity:   of what is at `where` and behind, pointers and iterators are to other elements.
    iterator insert(const_iterator where, const T& value) requires is_writer {
        return emplace(where, value);
    }
    iterator insert(const_iterator where, T&& value) requires is_writer {
        return emplace(where, std::move(value));
    }
    template <class... Args>
    iterator emplace(const_iterator where, Args&&... args) requires is_writer
        && std::constructible_from<T, Args...> {
        const size_type at = index_of(where);
        if (at == storage_.own_size())
            return std::addressof(emplace_back(std::forward<Args>(args)...));
        T made(std::forward<Args>(args)...); // while the arguments are where they were
        return fill_gap(at, 1, [&](T* gap) { std::construct_at(gap, std::move(made)); });
    }
    iterator insert(const_iterator where, size_type n, const T& value) requires is_writer {
        const T copy(value);
        return fill_gap(index_of(where), n,
                        [&](T* gap) { std::uninitialized_fill_n(gap, n, copy); });
    }
    template <std::input_iterator Iterator>
    iterator insert(const_iterator where, Iterator from, Iterator to) requires is_writer {
        return insert_between(where, std::move(from), std::move(to));
    }
    iterator insert(const_iterator where, std::initializer_list<T> values) requires is_writer {
        return insert_between(where, values.begin(), values.end());
    }
    /// Inserts all of `range`, which may be a contiguous part of the vector: see `insert`.
    template <std::ranges::input_range Range>
    iterator insert_range(const_iterator where, Range&& range) requires is_writer
        && std::constructible_from<T, std::ranges::range_reference_t<Range>> {
        return insert_between(where, std::ranges::begin(range), std::ranges::end(range));
    }

    /// Erases an element, or those of a range, as `std::vector`'s, and returns where the next one
    /// is; or all, for `clear`. The file stays as long as it is: see `shrink_to_fit`.
    ///
    /// Throws:     `reservation_exhausted` when another writer has more elements than this one has
    ///             addresses for; `clear` nothing.
    /// Complexity: linear in the elements behind; `clear` constant.
    /// Validity:   as of `insert`.
    iterator erase(const_iterator where) requires is_writer {
        MMSTL_ASSERT(where != cend());
        return erase(where, where + 1);
    }
    iterator erase(const_iterator from, const_iterator to) requires is_writer {
        const size_type at = index_of(from);
        const size_type n = index_of(to) - at;
        const size_type size = storage_.own_size();
        if (size > reserved()) make_room(size, 0); // another writer has more addresses: throws
        move_bytes(at, at + n, size - at - n);
        publish(size, size - n);
        return first() + at;
    }
    void clear() noexcept requires is_writer { publish(storage_.own_size(), 0); }

    /// Replaces all elements. When the range itself throws, the vector has its old size, and
    /// elements of both. A range that can be read only once takes room behind the old elements
    /// first.
    ///
    /// Throws:     as `push_back`, and what the iterators throw.
    /// Complexity: linear in the new elements.
    void assign(size_type n, const T& value) requires is_writer {
        const T copy(value);
        const size_type size = storage_.own_size();
        if (n > storage_.ready()) make_room(0, n);
        std::uninitialized_fill_n(first(), n, copy);
        publish(size, n);
    }
    template <std::input_iterator Iterator>
    void assign(Iterator from, Iterator to) requires is_writer {
        assign_between(std::move(from), std::move(to));
    }
    void assign(std::initializer_list<T> values) requires is_writer {
        assign_between(values.begin(), values.end());
    }
    /// The same with a range, which may be a contiguous part of the vector.
    template <std::ranges::input_range Range>
    void assign_range(Range&& range) requires is_writer
        && std::constructible_from<T, std::ranges::range_reference_t<Range>> {
        assign_between(std::ranges::begin(range), std::ranges::end(range));
    }
    /// The same as `assign(values)`.
    mapped_vector& operator=(std::initializer_list<T> values) requires is_writer {
        assign(values);
        return *this;
    }
    /// `v = {}` is refused as ambiguous: it would empty the file of who only wants to let go of it.
    /// `clear()` does the one, `close()` and `v = mapped_vector<T>()` do the other.
    mapped_vector& operator=(std::initializer_list<detail::nothing>) = delete;

    /// As `std::vector`'s.
    void swap(mapped_vector& other) noexcept { storage_.swap(other.storage_); }
    friend void swap(mapped_vector& a, mapped_vector& b) noexcept { a.swap(b); }

    // ---- the file behind ----

    /// Waits until all elements that are published now are on the disk, and then until the header
    /// says so: from then on a power cut cannot take them.
    ///
    /// Throws: `mapping_error` with the errno of msync(2), or of fsync(2) of the directory that a
    ///         new file is in. After that nothing more is promised: this and every later `flush()`
    ///         and `close()` of this vector throw that error, because the kernel may have dropped
    ///         what it could not write, and a second attempt would succeed all the same.
    /// Source: msync(2), MS_SYNC.
    void flush() requires is_writer { finish(storage_.flush()); }
    void flush(std::error_code& ec) requires is_writer { ec = storage_.flush().code(); }
    /// The same for elements that were changed in place; `durable_size()` stays as it is.
    void flush(size_type first, size_type n) requires is_writer {
        finish(storage_.flush(first, n));
    }
    void flush(size_type first, size_type n, std::error_code& ec) requires is_writer {
        ec = storage_.flush(first, n).code();
    }
    /// Has the kernel start to write what has changed, and does not wait. Promises nothing, but
    /// leaves less to a `flush()` later.
    ///
    /// Throws: `mapping_error` with the errno of sync_file_range(2), or that of an earlier
    ///         `flush()` that failed.
    /// Source: sync_file_range(2).
    void flush_async() requires is_writer { finish(storage_.flush_async()); }

    /// Tells the kernel how the elements will be used.
    ///
    /// Throws: `mapping_error` with the errno of madvise(2); `past_the_end`.
    void advise(advice what) const { advise(what, 0, size()); }
    void advise(advice what, size_type first, size_type n) const {
        storage_.map().advise(what, byte_of(first, n), n * sizeof(T));
    }
    /// Faults elements in, for reading, and returns when they are there.
    ///
    /// Throws: as `mapping::prefetch`; `past_the_end`.
    void prefetch() const { prefetch(0, size()); }
    void prefetch(size_type first, size_type n) const { advise(advice::populate_read, first, n); }
    /// Whether the elements can be read without a signal, at this moment: see `mapping::readable`.
    ///
    /// Throws: as `mapping::readable`; `past_the_end`.
    [[nodiscard]] bool readable() const { return readable(0, size()); }
    [[nodiscard]] bool readable(size_type first, size_type n) const {
        return storage_.map().readable(byte_of(first, n), n * sizeof(T));
    }

private:
    static mapped_vector make(const backing& from, const vector_options& options,
                              detail::opening how) {
        mapped_vector made;
        detail::throw_if(made.assign_storage(from, options, how), from.name());
        return made;
    }
    static mapped_vector make(const backing& from, const vector_options& options,
                              detail::opening how, std::error_code& ec) {
        mapped_vector made;
        ec = made.assign_storage(from, options, how).code();
        return made;
    }
    detail::failure assign_storage(const backing& from, const vector_options& options,
                                   detail::opening how) {
        static_assert(detail::has_persistent_name<T>,
                      "the file has to name its elements: specialise mmstl::persistent_name");
        return storage_.open(from, is_writer ? access::read_write : access::read_only, how,
                             detail::identify<T>(), options);
    }
    void finish(const detail::failure& failed) const { detail::throw_if(failed, name()); }

    /// Whether a value-initialised element is nothing but zero bytes.
    static bool is_zero_bytes() noexcept {
        if constexpr (std::is_trivially_default_constructible_v<T>) {
            const T made = T();
            return std::ranges::all_of(std::as_bytes(std::span<const T, 1>(&made, 1)),
                                       [](std::byte b) { return b == std::byte{0}; });
        }
        return false;
    }

    [[nodiscard]] element* first() const noexcept {
        return reinterpret_cast<element*>(storage_.data());
    }
    [[nodiscard]] element* at_index(size_type i) const noexcept {
        MMSTL_ASSERT(i < size());
        return first() + i;
    }
    [[nodiscard]] size_type check_index(size_type i) const {
        if (i >= size()) throw std::out_of_range("mapped_vector::at");
        return i;
    }
    [[nodiscard]] size_type index_of(const_iterator where) const noexcept {
        MMSTL_ASSERT(where >= begin() && where <= end());
        return static_cast<size_type>(where - begin());
    }
    /// Where a range of elements begins in the mapping.
    [[nodiscard]] size_type byte_of(size_type first, size_type n) const {
        detail::throw_if(storage_.check_range("mapped_vector", first, n), name());
        return storage_.byte_of(first);
    }

    /// In debug builds, finds a second writer that appends at the same time.
    void publish([[maybe_unused]] size_type before, size_type n) noexcept {
        MMSTL_ASSERT(storage_.own_size() == before && "two writers without a lock");
        if (n != before) storage_.publish(n);
    }

    // Kept out of the loops that append.
    [[gnu::noinline, gnu::cold]] size_type make_room(size_type n, size_type more) {
        if (more > max_size() - n) throw std::length_error("mapped_vector: past max_size()");
        return storage_.make_room(n, more);
    }

    /// Elements are values that files keep: to copy their bytes is to move them.
    void move_bytes(size_type to, size_type from, size_type n) noexcept {
        if (n != 0)
            std::memmove(static_cast<void*>(first() + to), static_cast<const void*>(first() + from),
                         n * sizeof(T));
    }

    /// As std::rotate, and cannot throw.
    void rotate_bytes(size_type from, size_type middle, size_type to) noexcept {
        struct alignas(T) bytes {
            std::array<std::byte, sizeof(T)> all;
        };
        auto* const at = reinterpret_cast<bytes*>(first());
        std::rotate(at + from, at + middle, at + to);
    }

    /// Constructs what is between the iterators behind the first `n` elements, unpublished, and
    /// returns how many that were.
    template <class Iterator, class Sentinel>
    size_type construct_behind(size_type n, Iterator from, Sentinel to) {
        size_type more = 0;
        if constexpr (std::sized_sentinel_for<Sentinel, Iterator> ||
                      std::forward_iterator<Iterator>) {
            more = static_cast<size_type>(std::ranges::distance(from, to));
            if (more != 0) make_room(n, more);
            construct_from(first() + n, std::move(from), more);
        } else {
            for (; from != to; ++from, ++more) {
                if (n + more >= storage_.ready()) make_room(n + more, 1);
                std::construct_at(first() + n + more, *from);
            }
        }
        return more;
    }
    template <class Iterator> static void construct_from(T* at, Iterator from, size_type n) {
        if constexpr (std::contiguous_iterator<Iterator> &&
                      std::same_as<std::iter_value_t<Iterator>, element> &&
                      std::is_trivially_copyable_v<T>) {
            if (n != 0) std::memmove(static_cast<void*>(at), std::to_address(from), n * sizeof(T));
        } else {
            for (; n != 0; --n, ++at, ++from) std::construct_at(at, *from);
        }
    }

    /// Opens a gap of `n` elements, and closes it again when `fill` throws.
    template <class Fill> iterator fill_gap(size_type at, size_type n, Fill fill) {
        const size_type size = storage_.own_size();
        if (n == 0) return first() + at;
        make_room(size, n);
        move_bytes(at + n, at, size - at);
        try {
            fill(first() + at);
        } catch (...) {
            move_bytes(at, at + n, size - at);
            throw;
        }
        publish(size, size + n);
        return first() + at;
    }

    template <class Iterator, class Sentinel>
    iterator insert_between(const_iterator where, Iterator from, Sentinel to) {
        const size_type at = index_of(where);
        if constexpr (std::forward_iterator<Iterator>) {
            if (!may_overlap(from)) {
                const auto n = static_cast<size_type>(std::ranges::distance(from, to));
                return fill_gap(at, n, [&](T* gap) { construct_from(gap, std::move(from), n); });
            }
        }
        // What comes only once, or from where the gap would be: behind the last element first.
        const size_type size = storage_.own_size();
        const size_type n = construct_behind(size, std::move(from), std::move(to));
        rotate_bytes(at, size, size + n);
        publish(size, size + n);
        return first() + at;
    }

    template <class Iterator, class Sentinel> void assign_between(Iterator from, Sentinel to) {
        const size_type size = storage_.own_size();
        if constexpr (std::forward_iterator<Iterator>) {
            const auto n = static_cast<size_type>(std::ranges::distance(from, to));
            if (n > storage_.ready()) make_room(0, n);
            construct_from(first(), std::move(from), n);
            publish(size, n);
        } else {
            const size_type n = construct_behind(size, std::move(from), std::move(to));
            move_bytes(0, size, n);
            publish(size, n);
        }
    }

    /// Whether an iterator points to elements of this vector.
    template <class Iterator> [[nodiscard]] bool may_overlap(const Iterator& from) const {
        if constexpr (std::contiguous_iterator<Iterator>) {
            const auto at = reinterpret_cast<std::uintptr_t>(std::to_address(from));
            const auto begins = reinterpret_cast<std::uintptr_t>(first());
            return at >= begins && at < begins + reserved() * sizeof(T);
        } else {
            return false;
        }
    }

    detail::vector_storage storage_;
};

/// Compares elements, whichever of the two may write.
template <class T, class U>
    requires std::same_as<std::remove_const_t<T>, std::remove_const_t<U>>
[[nodiscard]] bool operator==(const mapped_vector<T>& a, const mapped_vector<U>& b) {
    return std::ranges::equal(a, b);
}
/// Orders as `std::vector` does, whichever of the two may write; by `<`, of elements without
/// `<=>`.
template <class T, class U>
    requires std::same_as<std::remove_const_t<T>, std::remove_const_t<U>> &&
        requires(const T& x, const T& y) {
        x < y;
    }
[[nodiscard]] auto operator<=>(const mapped_vector<T>& a, const mapped_vector<U>& b) {
    const auto compare = [](const T& x, const T& y) {
        if constexpr (std::three_way_comparable<T>)
            return x <=> y;
        else
            return x < y   ? std::weak_ordering::less
                   : y < x ? std::weak_ordering::greater
                           : std::weak_ordering::equivalent;
    };
    // By hand: not every library has lexicographical_compare_three_way yet.
    using ordering = decltype(compare(a.front(), b.front()));
    const std::span<const std::remove_const_t<T>> left(a), right(b);
    for (std::size_t i = 0; i < left.size() && i < right.size(); ++i)
        if (const ordering order = compare(left[i], right[i]); order != 0) return order;
    return ordering(left.size() <=> right.size());
}

/// Erases all elements equal to `value`; returns how many. When a comparison throws, the vector has
/// its old size, and unspecified elements.
///
/// Complexity: linear.
template <class T, class U = T>
typename mapped_vector<T>::size_type erase(mapped_vector<T>& from, const U& value) {
    // An element of the vector would be moved meanwhile.
    const std::conditional_t<std::same_as<T, U>, const T, const U&> wanted = value;
    return erase_if(from, [&](const T& one) { return one == wanted; });
}
/// Erases all elements for which `pred` holds; returns how many. When `pred` throws, the vector has
/// its old size, and unspecified elements.
///
/// Complexity: linear.
template <class T, class Predicate>
typename mapped_vector<T>::size_type erase_if(mapped_vector<T>& from, Predicate pred) {
    from.erase(from.end(), from.end()); // what it refuses, it refuses before anything is moved
    const auto kept = std::remove_if(from.begin(), from.end(), std::ref(pred));
    const auto n = from.end() - kept;
    from.erase(kept, from.end());
    return static_cast<typename mapped_vector<T>::size_type>(n);
}

} // namespace mmstl::inline v1

#endif
