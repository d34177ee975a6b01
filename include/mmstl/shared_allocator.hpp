// SPDX-License-Identifier: MIT
//
// shared_allocator<T>: the allocator with which containers of the standard library live in a
// segment.

#ifndef MMSTL_SHARED_ALLOCATOR_HPP
#define MMSTL_SHARED_ALLOCATOR_HPP

#include <mmstl/detail/heap/thread_heap.hpp>
#include <mmstl/detail/uses_allocator.hpp>

#include <cstddef>
#include <limits>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>
#include <vector> // for what libc++ says of AddressSanitizer

namespace mmstl::inline v1 {

class segment;

namespace detail {

struct allocator_access;

/// What of the standard library's containers is not fit for a file, and why. Hardening
/// (`_GLIBCXX_ASSERTIONS`, `_LIBCPP_HARDENING_MODE`, bounded iterators) is: it changes iterators
/// and adds checks, but no container.
template <class> struct library_in_use {
#ifdef _GLIBCXX_DEBUG
    static constexpr bool debug_containers = true;
#else
    static constexpr bool debug_containers = false;
#endif
// Before LLVM 17, where what goes by that name became hardening.
#if defined(_LIBCPP_VERSION) && _LIBCPP_VERSION < 170000 && defined(_LIBCPP_ENABLE_DEBUG_MODE)
    static constexpr bool debug_database = true;
#elif defined(_LIBCPP_DEBUG_LEVEL) // LLVM 14 and before
    static constexpr bool debug_database = _LIBCPP_DEBUG_LEVEL >= 2;
#else
    static constexpr bool debug_database = false;
#endif
#if defined(_GLIBCXX_USE_CXX11_ABI) && !_GLIBCXX_USE_CXX11_ABI
    static constexpr bool old_strings = true;
#else
    static constexpr bool old_strings = false;
#endif
};

} // namespace detail

/// Allocates from the heap of one segment, or, default constructed, of the process. As large as a
/// pointer.
///
///     std::vector<int, mmstl::shared_allocator<int>> numbers(segment.allocator<int>());
///     mmstl::string text;                         // in the heap of the process
///
/// Any container of the standard library takes it, and hands it on to the elements: a string in a
/// map in a segment has its characters in the segment. That is uses-allocator construction, and
/// goes by `std::uses_allocator` through `std::pair`, `std::tuple` and `std::array`. It ends at
/// `std::optional`, `std::variant` and structs that say nothing of allocators; what is in them is
/// to be given the allocator by hand. A struct of your own is handed the allocator if it has
///
///     using allocator_type = mmstl::shared_allocator<char>;
///
/// and every constructor, those that copy and move too, also with the allocator as last argument.
///
/// Pointers are `T*`: a segment is mapped at the same address by all that open it.
///
/// It goes with a container for the container's life. Neither assignment nor swapping changes it:
/// elements are copied, or moved one by one, when the allocators differ, and
/// `segment_strings[0] = mmstl::string("from the process")` leaves nothing of the process in the
/// segment. A *moved* container keeps the allocator, and a *copied* one is in the heap of the
/// process, wherever the first one was. To copy into a segment, name its allocator:
///
///     auto here = there;                                           // in the heap of the process
///     mmstl::vector<int> also_there(here, segment.allocator<int>());
///
/// Containers whose allocators are unequal must not be swapped, which the standard does not define
/// and its libraries check only when hardened.
///
/// Does not compile under `_GLIBCXX_DEBUG`, libc++'s debug mode before LLVM 17 and
/// `_GLIBCXX_USE_CXX11_ABI=0`, whose containers point into the memory of one process.
///
/// Validity: of an allocator and of what it allocated, until the segment is closed.
/// Threads:  any may allocate at the same time, in any process.
/// Source:   [allocator.requirements], [mem.poly.allocator.class] for what is done alike.
template <class T> class shared_allocator {
    static_assert(std::is_same_v<T, std::remove_cv_t<T>> && !std::is_reference_v<T>,
                  "a container's elements are no references, and neither const nor volatile");
    static_assert(!detail::library_in_use<T>::debug_containers,
                  "_GLIBCXX_DEBUG: its containers keep lists of their iterators, which are on the "
                  "stack of one process: compile what uses a segment without it "
                  "(_GLIBCXX_ASSERTIONS is fine)");
    static_assert(!detail::library_in_use<T>::debug_database,
                  "libc++'s debug mode knows containers by a table in one process: compile what "
                  "uses a segment without it (assertions alone are fine)");
    static_assert(!detail::library_in_use<T>::old_strings,
                  "_GLIBCXX_USE_CXX11_ABI=0: its empty strings point at a variable of one process: "
                  "compile what uses a segment with the new ABI");

public:
    /// As `std::allocator_traits` asks for them.
    using value_type = T;
    using size_type = std::size_t;
    using difference_type = std::ptrdiff_t;
    using propagate_on_container_copy_assignment = std::false_type;
    using propagate_on_container_move_assignment = std::false_type;
    using propagate_on_container_swap = std::false_type;
    using is_always_equal = std::false_type;

    /// Of the heap of the process.
    shared_allocator() noexcept = default;
    /// Of the same heap as `other`.
    template <class U>
    // NOLINTNEXTLINE(google-explicit-constructor): allocators convert
    shared_allocator(const shared_allocator<U>& other) noexcept : base_(other.base_) {}

    /// Memory for `n` objects.
    ///
    /// Throws: `std::bad_array_new_length` if that is more than can be addressed; `std::bad_alloc`,
    ///         of a segment `segment_exhausted`.
    [[nodiscard]] T* allocate(std::size_t n) {
        if (n > std::numeric_limits<std::size_t>::max() / element_bytes())
            throw std::bad_array_new_length();
        const std::size_t n_bytes = n * element_bytes();
        if (base_ != nullptr)
            return static_cast<T*>(detail::heap::allocate<alignof(T)>(base_, n_bytes));
        if constexpr (is_over_aligned())
            return static_cast<T*>(::operator new (n_bytes, std::align_val_t{alignof(T)}));
        else
            return static_cast<T*>(::operator new(n_bytes));
    }
    /// Gives back what `allocate(n)` of an equal allocator gave.
    void deallocate(T* p, std::size_t n) noexcept {
        // Without the size in the heap of the process: Clang knows sized deallocation since 19.
        if (base_ != nullptr)
            detail::heap::deallocate<alignof(T)>(base_, p, n * element_bytes());
        else if constexpr (is_over_aligned())
            ::operator delete (p, std::align_val_t{alignof(T)});
        else
            ::operator delete(p);
    }

    /// Builds an element that takes the allocator. There is none for others, so that containers do
    /// with them what they do with `std::allocator`: they copy bytes.
    ///
    /// Throws: what the constructor throws.
    template <class U, class... Args>
    void construct(U* p, Args&&... args)
        const requires detail::takes_allocator<U, shared_allocator<std::byte>> {
        // One type of allocator, however many types of nodes.
        detail::construct_at_with(shared_allocator<std::byte>(*this), p,
                                  std::forward<Args>(args)...);
    }

    /// What the copy of a container uses: the heap of the process.
    [[nodiscard]] shared_allocator select_on_container_copy_construction() const noexcept {
        return {};
    }

    /// Whether what one has allocated can be given back by the other.
    template <class U>
    [[nodiscard]] bool operator==(const shared_allocator<U>& other) const noexcept {
        return base_ == other.base_;
    }

private:
    template <class> friend class shared_allocator;
    friend struct detail::allocator_access;
    friend class segment;

    explicit shared_allocator(std::byte* base) noexcept : base_(base) {}

    /// Also of pointers, which some take for a mistake.
    static constexpr std::size_t element_bytes() {
        return sizeof(T); // NOLINT(bugprone-sizeof-expression)
    }
    static constexpr bool is_over_aligned() {
        return alignof(T) > __STDCPP_DEFAULT_NEW_ALIGNMENT__;
    }

    std::byte* base_ = nullptr; // the first address of the segment's heap
};

namespace detail {

template <class T> inline constexpr bool is_shared_allocator = false;
template <class T> inline constexpr bool is_shared_allocator<shared_allocator<T>> = true;

struct allocator_access {
    /// Of the heap that begins at `base`; of the process if that is null.
    template <class T> static shared_allocator<T> make(std::byte* base) noexcept {
        return shared_allocator<T>(base);
    }
    template <class T> static std::byte* base_of(const shared_allocator<T>& a) noexcept {
        return a.base_;
    }
};

/// Builds a `U` at `p` as a container with that allocator builds its elements.
template <class T, class U, class... Args>
U* construct_with(const shared_allocator<T>& a, U* p, Args&&... args) {
    return construct_at_with(shared_allocator<std::byte>(a), p, std::forward<Args>(args)...);
}

} // namespace detail

} // namespace mmstl::inline v1

// libc++ 17 and later tell AddressSanitizer which part of a container's memory is not in use. It
// notes that by address and in one process: in another, or for whoever gets the memory when the
// one that noted it has died, that would be wrong.
#ifdef _LIBCPP_HAS_ASAN_CONTAINER_ANNOTATIONS_FOR_ALL_ALLOCATORS
template <class T>
struct std::__asan_annotate_container_with_allocator<mmstl::shared_allocator<T>> // NOLINT
    : std::false_type {};
#endif

#endif
