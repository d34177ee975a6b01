// SPDX-License-Identifier: MIT
//
// segment: a heap in a file or in shared memory, in which the containers of the standard library
// live, and are found again by name.

#ifndef MMSTL_SEGMENT_HPP
#define MMSTL_SEGMENT_HPP

#include <mmstl/access.hpp>
#include <mmstl/backing.hpp>
#include <mmstl/detail/assert.hpp>
#include <mmstl/detail/checksum.hpp>
#include <mmstl/detail/core.hpp>
#include <mmstl/detail/heap/check.hpp>
#include <mmstl/detail/heap/names.hpp>
#include <mmstl/detail/heap/thread_heap.hpp>
#include <mmstl/detail/segment_storage.hpp>
#include <mmstl/detail/undo.hpp>
#include <mmstl/error.hpp>
#include <mmstl/persistent_name.hpp>
#include <mmstl/segment_options.hpp>
#include <mmstl/segment_storable.hpp>
#include <mmstl/shared_allocator.hpp>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace mmstl::inline v1 {

/// A heap in a file or in shared memory, that grows, and whose objects have names.
///
///     auto seg   = mmstl::segment::open_or_create("index.mms");
///     auto& hits = seg.find_or_construct<mmstl::unordered_map<mmstl::string, int>>("hits");
///     ++hits["mmap"];
///
/// Owns the mapping, not the file. Movable, not copyable; a moved-from segment is closed. A segment
/// that is opened twice in a process is mapped once; the handles count.
///
/// It is mapped at the same address by everyone, which the file names: pointers within it are plain
/// pointers. Pointers that lead out of it mean nothing to others: see `segment_storable`.
///
/// Who opens a segment trusts those who have written it. What it says of its own memory is checked
/// (`check`, and all that `open` and `find` follow), but what the containers in it hold is not, nor
/// can it be: do not open segments of those whom you would not let run in your process.
///
/// Validity:   the addresses of what is in it are valid until the last handle on it in this process
///             is gone, and valid again in whatever process opens it next.
/// Threads:    any thread of any process may allocate, free, and look for names at the same time.
///             The objects are the callers' to guard, as anywhere. A handle is for one thread while it
///             is opened into, moved, flushed or closed.
/// Process:    a fork()ed child goes on with its parent's segments, and may allocate.
/// Truncation: who shortens the file takes pages away: SIGBUS.
/// Source:     docs/segment.md; the file is in docs/segment-format.md.
class segment {
public:
    /// Closed.
    segment() noexcept = default;

    /// Creates it; an existing file is an error, and stays as it is. It appears under its name when
    /// it is complete.
    ///
    /// Throws: `mapping_error`: what `backing::create` says; `address_taken` when the
    ///         `base_address` is not free, `misaligned` when it is no multiple of 32 MiB; ENOMEM
    ///         when addresses are limited (RLIMIT_AS), ENOSPC. Nothing stays.
    [[nodiscard]] static segment create(const backing& at, const segment_options& options = {}) {
        return make(at, detail::opening::create, options);
    }
    [[nodiscard]] static segment create(const backing& at, const segment_options& options,
                                        std::error_code& ec) {
        return make(at, detail::opening::create, options, ec);
    }
    [[nodiscard]] static segment create(const backing& at, std::error_code& ec) {
        return make(at, detail::opening::create, {}, ec);
    }

    /// Opens what is there.
    ///
    /// Throws: `mapping_error`: what `backing::open` says; `foreign_file`, `incomplete`, `damaged`,
    ///         `other_byte_order`, `other_version`, `other_kind`, `other_abi`, `past_the_end` for
    ///         what is in the file; `unclean` after a restart of the machine without `close()`;
    ///         `address_taken` when something else is where it has to be, `copy_is_open` when a
    ///         copy of it is; `too_many_processes`. Nothing stays open or mapped.
    /// Complexity: constant: pages are read when they are touched; with `unclean_segment::check`
    ///             linear in the heap, after a restart.
    [[nodiscard]] static segment open(const backing& at, const segment_options& options = {}) {
        return make(at, detail::opening::open, options);
    }
    [[nodiscard]] static segment open(const backing& at, const segment_options& options,
                                      std::error_code& ec) {
        return make(at, detail::opening::open, options, ec);
    }
    [[nodiscard]] static segment open(const backing& at, std::error_code& ec) {
        return make(at, detail::opening::open, {}, ec);
    }

    /// Opens it, or creates it; an empty file becomes a segment. `created()` tells which.
    ///
    /// Throws: as `open` and `create`.
    [[nodiscard]] static segment open_or_create(const backing& at,
                                                const segment_options& options = {}) {
        return make(at, detail::opening::open_or_create, options);
    }
    [[nodiscard]] static segment open_or_create(const backing& at, const segment_options& options,
                                                std::error_code& ec) {
        return make(at, detail::opening::open_or_create, options, ec);
    }
    [[nodiscard]] static segment open_or_create(const backing& at, std::error_code& ec) {
        return make(at, detail::opening::open_or_create, {}, ec);
    }

    segment(segment&&) noexcept = default;
    segment& operator=(segment&&) noexcept = default;
    /// Lets go of it. Neither waits for the disk nor marks the file as closed: `close()` does.
    ~segment() = default;

    /// Waits until all of it is on the disk, and lets go. Who is the last of all processes to close
    /// it cuts off what is free at its end, and marks the file as closed, so that it can be opened
    /// after the machine was restarted. The segment is closed afterwards, in any case.
    ///
    /// Throws: `mapping_error`, as `flush()`, and with the errno of munmap(2) and close(2).
    void close() {
        const std::string was = name();
        detail::throw_if(storage_.close(), was);
    }
    void close(std::error_code& ec) { ec = storage_.close().code(); }

    /// Waits until all that was stored before is on the disk. A power cut during it, or after more
    /// was stored, leaves a mixture.
    ///
    /// Throws:     `mapping_error` with the errno of msync(2), now and from then on.
    /// Complexity: linear in the pages that were changed.
    void flush() { detail::throw_if(storage_.flush(), name()); }
    void flush(std::error_code& ec) { ec = storage_.flush().code(); }

    // ---- named objects ----

    /// Makes an object, and names it. `args` are what its constructor gets; the allocator of the
    /// segment is added where it takes one (uses-allocator construction). `T[]` makes an array: see
    /// `construct<T[]>`.
    ///
    /// A name is of 0 to 65535 bytes of any value.
    /// Throws: `mapping_error`: `name_taken`, `name_too_long`, `wrong_access` when it is open for
    ///         reading; `segment_exhausted`; what the constructor throws. Nothing stays then.
    /// Validity: until `destroy` or `abandon`.
    /// Process:  a child that is forked in the constructor must not come out of it (exec, `_exit`):
    ///           the object is its parent's. If it does, EPERM is thrown and nothing undone, but what
    ///           an exception destroys on its way are the parent's members.
    template <class T, class... Args>
        requires(!std::is_array_v<T>)
    T& construct(std::string_view name, Args&&... args) {
        const auto [object, is_new] = try_construct<T>(name, std::forward<Args>(args)...);
        if (!is_new) fail(errc::name_taken, "construct", name);
        return *object;
    }
    /// Makes `n` objects in a row, each from `args`; the rest is as for one.
    template <class T, class... Args>
        requires std::is_unbounded_array_v<T> std::span<std::remove_extent_t<T>>
        construct(std::string_view name, std::size_t n, const Args&... args) {
            using element = std::remove_extent_t<T>;
            const auto [node, is_new] = obtain<element>(name, n, true, args...);
            if (!is_new) fail(errc::name_taken, "construct", name);
            return {object_of<element>(*node), n};
        }

    /// The object of that name; null if there is none (or its constructor has not returned yet).
    ///
    /// Throws:     `mapping_error`: `other_type`; `wrong_access` for a `T` that is not const when
    ///             the segment is open for reading.
    /// Complexity: constant, on average; takes no lock.
    template <class T>
        requires(!std::is_array_v<T>)
    [[nodiscard]] T* find(std::string_view name) const {
        const auto* const node = look_up<T>(name, false);
        return node == nullptr ? nullptr : object_of<T>(*node);
    }
    /// The array of that name; empty, with a null `data()`, if there is none.
    template <class T>
        requires std::is_unbounded_array_v<T>
    [[nodiscard]] std::span<std::remove_extent_t<T>> find(std::string_view name) const {
        using element = std::remove_extent_t<T>;
        const auto* const node = look_up<element>(name, true);
        if (node == nullptr) return {};
        return {object_of<element>(*node), static_cast<std::size_t>(node->count)};
    }

    /// The object of that name, made from `args` if there is none. Of all that ask at the same
    /// time, in any process, one runs the constructor, and the others wait for it.
    ///
    /// Throws: as `construct` and `find`; `std::errc::resource_deadlock_would_occur` from a
    ///         constructor that asks for the object that it makes.
    template <class T, class... Args>
        requires(!std::is_array_v<T>)
    T& find_or_construct(std::string_view name, Args&&... args) {
        return *try_construct<T>(name, std::forward<Args>(args)...).first;
    }
    template <class T, class... Args>
        requires std::is_unbounded_array_v<T> std::span<std::remove_extent_t<T>>
        find_or_construct(std::string_view name, std::size_t n, const Args&... args) {
            using element = std::remove_extent_t<T>;
            const auto* const node = obtain<element>(name, n, true, args...).first;
            return {object_of<element>(*node), static_cast<std::size_t>(node->count)};
        }

    /// As `find_or_construct`, and whether it was made.
    ///
    /// Throws: as `find_or_construct`.
    template <class T, class... Args>
        requires(!std::is_array_v<T>)
    std::pair<T*, bool> try_construct(std::string_view name, Args&&... args) {
        const auto [node, is_new] = obtain<T>(name, 1, false, std::forward<Args>(args)...);
        return {object_of<T>(*node), is_new};
    }

    /// Destroys the object (or the array, for `T[]`) of that name, and frees its memory. False if
    /// there is none. The name is gone before the destructor runs.
    ///
    /// Throws:  `mapping_error`: `other_type`, `wrong_access`.
    /// Process: a child that is forked in the destructor must not come out of it (exec, `_exit`):
    ///          members are destroyed then that are its parent's. The rest is not: EPERM is thrown.
    template <class T> bool destroy(std::string_view name) {
        using element = std::remove_extent_t<T>;
        require_writable("destroy");
        (void)type_of<element>(); // which may take its time, and fail: without the lock
        auto* const node = take_away(name, [&](const name_node& found) {
            require_type<element>(found, std::is_array_v<T>, name);
        });
        if (node == nullptr) return false;
        const auto n = static_cast<std::size_t>(node->count);
        element* const objects = object_of<element>(*node);
        const presence me(heap().members());
        for (std::size_t i = 0; i < n; ++i) {
            std::destroy_at(objects + i);
            if constexpr (!std::is_trivially_destructible_v<element>)
                if (!me.continues()) fail(detail::posix::failed("destroy", EPERM), name);
        }
        detail::heap::deallocate<alignof(element)>(base(), objects, n * sizeof(element));
        free_node(*node);
        return true;
    }

    /// Forgets the name, and leaves the object where it is: nobody uses its memory again, and its
    /// destructor never runs. For what a process has left half done that was killed. False if there
    /// is none of that name.
    ///
    /// Throws: `mapping_error`: `wrong_access`.
    bool abandon(std::string_view name) {
        auto* const node = take_away(name, [](const auto&) {});
        if (node == nullptr) return false;
        free_node(*node);
        return true;
    }

    /// All that have a name, in no order.
    ///
    /// Throws:     `std::bad_alloc`; `too_many_processes` in a fork()ed child.
    /// Complexity: linear.
    [[nodiscard]] std::vector<named_object> named_objects() const {
        std::vector<named_object> all;
        if (!is_open()) return all;
        const auto gather = [&] {
            names().for_each([&](const detail::heap::named_node& one) {
                const auto& node = *one.node;
                if (node.state.load(std::memory_order_acquire) != ready) return;
                all.push_back({std::string(one.name), std::string(one.type_name),
                               static_cast<std::size_t>(node.count),
                               static_cast<std::size_t>(node.size_bytes), node.alignment,
                               node.object});
            });
        };
        if (storage_.access() == access::read_only) { // nor can it keep others from freeing nodes
            gather();
        } else {
            require_writable("named_objects");
            const auto held = heap().lock_names();
            gather();
        }
        return all;
    }

    // ---- memory ----

    /// For containers whose elements are to be in the segment.
    ///
    /// Throws: `wrong_access` when it is open for reading, EBADF when it is closed.
    template <class T> [[nodiscard]] shared_allocator<T> allocator() const {
        require_writable("allocator");
        return detail::allocator_access::make<T>(base());
    }

    /// What the blocks that are handed out take. While others allocate, about so much.
    ///
    /// Complexity: linear in the heap, by slices of 64 KiB.
    [[nodiscard]] std::uint64_t used_bytes() const {
        return is_open() ? heap().usage().used_bytes : 0;
    }
    /// What can still be handed out, though not as one block.
    ///
    /// Complexity: as `used_bytes`.
    [[nodiscard]] std::uint64_t free_bytes() const {
        return is_open() ? heap().usage().free_bytes : 0;
    }
    /// How long the file is now. Of small segments, most of it has no blocks.
    [[nodiscard]] std::uint64_t size_bytes() const {
        return is_open() ? image().header().live.size.load() : 0;
    }
    /// How much the heap can hold, with what describes it (0.2 %).
    [[nodiscard]] std::uint64_t capacity_bytes() const noexcept {
        return is_open() ? heap().capacity_bytes() : 0;
    }

    /// Whether an address lies in the heap.
    [[nodiscard]] bool contains(const void* p) const noexcept {
        const auto first = reinterpret_cast<std::uintptr_t>(base());
        const auto at = reinterpret_cast<std::uintptr_t>(p);
        return is_open() && at >= first && at - first < capacity_bytes();
    }
    /// Where an address is in the file.
    ///
    /// Requires: `contains(p)`.
    [[nodiscard]] std::uint64_t offset_of(const void* p) const {
        MMSTL_ASSERT(contains(p));
        return image().offset_of(p);
    }
    /// The reverse; null for what is no offset in the heap.
    [[nodiscard]] void* address_of(std::uint64_t offset) const noexcept {
        if (!is_open() || offset < image().heap_offset() ||
            offset - image().heap_offset() >= capacity_bytes())
            return nullptr;
        return image().file() + offset;
    }
    /// Where the heap begins, in every process.
    [[nodiscard]] const void* base_address() const noexcept { return base(); }

    /// Walks over all that the segment says of its own memory and names, and tells what does not
    /// fit. Nobody may allocate meanwhile, or it tells what is no more. What someone has left half
    /// done who has died fits.
    ///
    /// Complexity: linear in the heap.
    [[nodiscard]] segment_report check() const {
        return is_open() ? detail::heap::check(image()) : segment_report{};
    }

    /// Takes over what processes have left that have died: what they were in the middle of is
    /// finished or taken back, and their free memory is everyone's. Returns how many there were.
    /// This happens by itself when a process opens the segment, before the file gets longer, and
    /// before `segment_exhausted`; the locks of the dead are taken over by whoever waits for them.
    ///
    /// Throws:     `wrong_access` when it is open for reading, EBADF when it is closed, the errno
    ///             of fcntl(2).
    /// Complexity: linear in the processes, and, if any has died, in the heap.
    std::size_t recover() {
        require_writable("recover");
        std::size_t n_dead = 0;
        const std::lock_guard lock(detail::heap::heaps_of_this_process().mutex);
        detail::throw_if(heap().bury_the_dead(n_dead), name());
        return n_dead;
    }

    /// Whether there is a segment behind it.
    [[nodiscard]] bool is_open() const noexcept { return storage_.get() != nullptr; }
    /// Whether opening it made the file.
    [[nodiscard]] bool created() const noexcept { return storage_.created(); }
    /// The path, or what `backing::name` says.
    [[nodiscard]] std::string name() const { return is_open() ? storage_.get()->map.name() : ""; }

private:
    using name_node = detail::heap::name_node;
    using found_node = detail::heap::found_node;
    static constexpr auto ready = static_cast<std::uint32_t>(detail::heap::name_state::ready);

    static segment make(const backing& at, detail::opening how, const segment_options& options) {
        segment made;
        std::string more;
        const auto f = made.storage_.open(at, how, options, more);
        if (f.failed()) detail::throw_if(f, more.empty() ? at.name() : at.name() + ": " + more);
        return made;
    }
    static segment make(const backing& at, detail::opening how, const segment_options& options,
                        std::error_code& ec) {
        segment made;
        std::string more;
        ec = made.storage_.open(at, how, options, more).code();
        return made;
    }

    [[nodiscard]] const detail::heap::image& image() const noexcept {
        return storage_.get()->shared.in();
    }
    [[nodiscard]] detail::heap::shared_heap& heap() const noexcept {
        return storage_.get()->shared;
    }
    [[nodiscard]] std::byte* base() const noexcept { return is_open() ? image().heap() : nullptr; }
    [[nodiscard]] detail::heap::names names() const noexcept {
        return detail::heap::names(image());
    }

    /// A process, as long as it is that. A child that is forked meanwhile is another one.
    class presence {
    public:
        explicit presence(const detail::heap::membership& of) noexcept
            : of_(of), word_(of.lock_word()) {}
        [[nodiscard]] bool continues() const noexcept {
            return of_.is_member() && of_.lock_word() == word_; // it may have joined by now
        }

    private:
        const detail::heap::membership& of_;
        std::uint32_t word_;
    };

    [[noreturn]] void fail(const detail::failure& why, std::string_view object) const {
        detail::raise(why, name().append(": ").append(object.substr(0, 256)));
    }
    [[noreturn]] void fail(errc code, const char* call, std::string_view object) const {
        fail(detail::refuse(code, call), object);
    }
    void require_open(const char* call) const {
        if (!is_open()) detail::throw_if(detail::posix::failed(call, EBADF), name());
    }
    void require_writable(const char* call) const {
        require_open(call);
        if (storage_.access() != access::read_write)
            detail::throw_if(detail::refuse(errc::wrong_access, call), name());
        if (heap().members().is_member()) return;
        const std::lock_guard lock(detail::heap::heaps_of_this_process().mutex); // a fork()ed child
        detail::throw_if(detail::heap::ensure_member(*storage_.get()), name());
    }

    /// Of this thread: others know it by its id.
    ///
    /// Throws: `mapping_error`, if it has no place in the segment, and gets none.
    [[nodiscard]] detail::heap::thread_heap& own_heap() const {
        detail::failure why;
        auto* const mine = detail::heap::heap_around(base(), why, "construct");
        if (mine == nullptr) detail::raise(why, name());
        return *mine;
    }

    template <class T> [[nodiscard]] T* object_of(const name_node& of) const noexcept {
        return std::launder(reinterpret_cast<T*>(image().file() + of.object));
    }

    /// Worked out once: looking up a name is to cost no memory. Never destroyed: names may be looked
    /// up while the program ends. Nor is it a static variable's initial value, for which a child would
    /// wait for ever that is forked while another thread works it out.
    template <class T> static const detail::type_identity& type_of() {
        static std::atomic<const detail::type_identity*> known{nullptr};
        const auto* now = known.load(std::memory_order_acquire);
        if (now != nullptr) return *now;
        auto made = std::make_unique<const detail::type_identity>(detail::identify<T>());
        const bool is_first = known.compare_exchange_strong(
            now, made.get(), std::memory_order_acq_rel, std::memory_order_acquire);
        return is_first ? *made.release() : *now;
    }

    /// Also of one that a damaged file tells of: it lies in the heap.
    template <class T>
    void require_type(const name_node& of, bool is_array, std::string_view name) const {
        const auto& type = type_of<T>();
        const bool fits = of.type_hash == type.hash && of.size_bytes == type.size_bytes &&
                          of.alignment == type.alignment && (of.is_array != 0) == is_array;
        if (!fits) fail(errc::other_type, "find", name);
        const auto at = reinterpret_cast<std::uintptr_t>(image().file()) + of.object;
        if (of.count > SIZE_MAX / sizeof(T) || (!is_array && of.count != 1) ||
            at % alignof(T) != 0 || !names().is_in_heap(of.object, of.count * sizeof(T)))
            fail(errc::damaged, "find", name);
    }

    template <class T>
    [[nodiscard]] const name_node* look_up(std::string_view name, bool is_array) const {
        detail::require_segment_storable<std::remove_const_t<T>>();
        require_open("find");
        if (!std::is_const_v<T>) require_writable("find");
        const found_node found = names().find(name);
        if (!found.is_ready()) return nullptr;
        require_type<T>(*found.node, is_array, name);
        return found.node;
    }

    template <class T, class... Args>
    std::pair<const name_node*, bool> obtain(std::string_view name, std::size_t n, bool is_array,
                                             Args&&... args);
    name_node* new_node(std::string_view name, const detail::type_identity& type, std::size_t n,
                        bool is_array, std::uint64_t object, detail::heap::thread_id builder);
    void free_node(name_node& of) noexcept {
        detail::heap::deallocate<alignof(name_node)>(base(), &of, of.node_bytes());
    }
    template <class Allowed> name_node* take_away(std::string_view name, Allowed allowed);
    void wait_for(const found_node& of, std::string_view name);

    detail::segment_storage storage_;
};

// ---- bodies ----

/// A node that nobody can find yet, of an object that is being made by this thread.
inline segment::name_node* segment::new_node(std::string_view name,
                                             const detail::type_identity& type, std::size_t n,
                                             bool is_array, std::uint64_t object,
                                             detail::heap::thread_id builder) {
    const auto type_name = std::string_view(type.name).substr(0, detail::heap::longest_type_name);
    const std::size_t text_bytes = name.size() + type_name.size();
    auto* const made = static_cast<name_node*>(
        detail::heap::allocate<alignof(name_node)>(base(), sizeof(name_node) + text_bytes));
    new (made) name_node{};
    made->hash.set(detail::fnv1a(name));
    made->type_hash = type.hash;
    made->object = object;
    made->count = n;
    made->size_bytes = type.size_bytes;
    made->alignment = static_cast<std::uint32_t>(type.alignment);
    made->is_array = is_array ? 1 : 0;
    made->state.store(static_cast<std::uint32_t>(detail::heap::name_state::building));
    made->builder.set(builder);
    made->name_bytes.set(static_cast<std::uint32_t>(name.size()));
    made->type_name_bytes.set(static_cast<std::uint32_t>(type_name.size()));
    auto* const text = reinterpret_cast<char*>(made + 1);
    name.copy(text, name.size());
    type_name.copy(text + name.size(), type_name.size());
    return made;
}

template <class T, class... Args>
std::pair<const segment::name_node*, bool> segment::obtain(std::string_view name, std::size_t n,
                                                           bool is_array, Args&&... args) {
    detail::require_segment_storable<T>();
    require_writable("construct");
    if (name.size() > detail::heap::longest_name) fail(errc::name_too_long, "construct", name);
    if (n > SIZE_MAX / sizeof(T)) throw std::bad_array_new_length();
    for (;;) {
        found_node found = names().find(name);
        if (!found) {
            // Memory first, so that little is done under the lock. All of it goes back when the
            // name was taken meanwhile, or the constructor throws.
            const auto& type = type_of<T>();
            const std::size_t n_bytes = n * sizeof(T);
            auto* const objects =
                static_cast<T*>(detail::heap::allocate<alignof(T)>(base(), n_bytes));
            detail::undo memory(
                [&] { detail::heap::deallocate<alignof(T)>(base(), objects, n_bytes); });
            auto& maker = own_heap();
            detail::heap::count_use(maker, 1);
            const detail::undo used([&] { detail::heap::count_use(maker, -1); }); // in any case
            name_node* const mine =
                new_node(name, type, n, is_array, image().offset_of(objects), maker.id);
            detail::undo named([&] { free_node(*mine); });
            {
                const auto held = heap().lock_names();
                found = names().find(name);
                if (!found) names().insert(*mine);
            }
            if (!found) {
                const presence me(heap().members());
                detail::undo published([&] {
                    const auto held = heap().lock_names();
                    names().remove(*mine);
                });
                std::size_t made = 0;
                detail::undo half_made([&] { std::destroy_n(objects, made); });
                // Of a child that the constructor has forked nothing of this is.
                const detail::undo inherited([&] {
                    if (me.continues()) return;
                    half_made.cancel();
                    published.cancel();
                    named.cancel();
                    memory.cancel();
                });
                for (const auto in = detail::allocator_access::make<T>(base()); made < n; ++made) {
                    detail::construct_with(in, objects + made, std::forward<Args>(args)...);
                    if constexpr (!std::is_trivially_constructible_v<T, Args&&...>)
                        if (!me.continues()) break;
                }
                if (!me.continues()) fail(detail::posix::failed("construct", EPERM), name);
                mine->state.store(ready, std::memory_order_release);
                detail::posix::wake(mine->state, INT_MAX);
                half_made.cancel();
                published.cancel();
                named.cancel();
                memory.cancel();
                return {mine, true};
            }
        }
        if (!found.is_ready()) {
            wait_for(found, name);
            continue;
        }
        require_type<T>(*found.node, is_array, name);
        return {found.node, false};
    }
}

/// Until its constructor has returned, or has thrown, or it is known that it never will.
///
/// The node may be gone already, and what is in its place be waited for: not for long.
inline void segment::wait_for(const found_node& of, std::string_view name) {
    constexpr unsigned patience_ms = 10;
    const auto* const mine = detail::heap::find_heap_around(base());
    if (mine != nullptr && mine->id == of.builder)
        fail(detail::posix::failed("construct", EDEADLK), name);
    detail::posix::wait(of.node->state,
                        static_cast<std::uint32_t>(detail::heap::name_state::building),
                        patience_ms);
    if (heap().is_alive(of.builder)) return;
    const auto held = heap().lock_names();
    const found_node now = names().find(name);
    if (now.node == of.node && !now.is_ready() && now.builder == of.builder)
        names().remove(*now.node);
}

/// The node of that name, which nobody finds any more; null if there was none.
template <class Allowed>
segment::name_node* segment::take_away(std::string_view name, Allowed allowed) {
    require_writable("destroy");
    const auto held = heap().lock_names();
    const found_node found = names().find(name);
    if (!found.is_ready()) return nullptr;
    allowed(*found.node);
    names().remove(*found.node);
    return found.node;
}

} // namespace mmstl::inline v1

#endif
