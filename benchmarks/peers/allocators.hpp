// SPDX-License-Identifier: MIT
//
// mimalloc and jemalloc as peers, beside the malloc of the C library and not instead of it.

#ifndef MMSTL_BENCHMARKS_PEERS_ALLOCATORS_HPP
#define MMSTL_BENCHMARKS_PEERS_ALLOCATORS_HPP

#include <cstddef>
#include <cstdlib>
#include <malloc.h>
#include <new>
#include <optional>
#include <string>

namespace bench::peers {

// They allocate like an allocator of the standard library: a block is given back with its size.
// `give_back()` lets the kernel have what was freed, as far as that can be asked for.

struct c_library {
    static void* allocate(std::size_t n_bytes) { return std::malloc(n_bytes); }
    static void deallocate(void* p, std::size_t) noexcept { std::free(p); }
    static void give_back() { ::malloc_trim(0); }
};

struct mimalloc {
    void* (*mi_malloc)(std::size_t);
    void (*mi_free)(void*);
    void (*mi_collect)(bool force);

    [[nodiscard]] void* allocate(std::size_t n_bytes) const { return mi_malloc(n_bytes); }
    void deallocate(void* p, std::size_t) const noexcept { mi_free(p); }
    void give_back() const { mi_collect(true); }
};

struct jemalloc {
    void* (*malloc)(std::size_t);
    void (*sdallocx)(void*, std::size_t, int);
    int (*mallctl)(const char*, void*, std::size_t*, void*, std::size_t);

    [[nodiscard]] void* allocate(std::size_t n_bytes) const { return malloc(n_bytes); }
    /// With the size, which spares jemalloc to look it up.
    void deallocate(void* p, std::size_t n_bytes) const noexcept { sdallocx(p, n_bytes, 0); }
    void give_back() const;
};

/// For containers of the standard library. `from` outlives them.
template <class T, class Functions> class peer_allocator {
public:
    using value_type = T;

    explicit peer_allocator(const Functions& from) noexcept : from_(&from) {}
    template <class U>
    explicit(false) peer_allocator(const peer_allocator<U, Functions>& other) noexcept
        : from_(&other.from()) {}

    [[nodiscard]] T* allocate(std::size_t n) {
        static_assert(alignof(T) <= alignof(std::max_align_t));
        void* const p = from_->allocate(n * sizeof(T));
        if (p == nullptr) throw std::bad_alloc();
        return static_cast<T*>(p);
    }
    void deallocate(T* p, std::size_t n) noexcept { from_->deallocate(p, n * sizeof(T)); }

    [[nodiscard]] const Functions& from() const noexcept { return *from_; }
    template <class U>
    [[nodiscard]] bool operator==(const peer_allocator<U, Functions>&) const noexcept {
        return true;
    }

private:
    const Functions* from_;
};

/// A library that was looked for once, and is never unloaded: threads may have memory of it.
template <class Functions> struct found {
    std::optional<Functions> functions;
    std::string version;
    std::string reason; ///< Why there is none.
};

/// Loads the library with symbols of its own: `malloc` and `free` of the process are replaced by
/// neither, which is verified.
[[nodiscard]] const found<mimalloc>& find_mimalloc();
/// The same. glibc has no room for the thread-local variables of jemalloc in a program that begins
/// without it, unless told by GLIBC_TUNABLES, as benchmarks/run does.
[[nodiscard]] const found<jemalloc>& find_jemalloc();

/// Lets the kernel have what was freed, of all that are there.
void give_back_all();

} // namespace bench::peers

#endif // MMSTL_BENCHMARKS_PEERS_ALLOCATORS_HPP
