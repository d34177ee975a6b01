// SPDX-License-Identifier: MIT
//
// mimalloc and jemalloc as peers, beside the malloc of the C library and not instead of it.

#ifndef MMSTL_BENCHMARKS_PEERS_ALLOCATORS_HPP
#define MMSTL_BENCHMARKS_PEERS_ALLOCATORS_HPP

#include <cstddef>
#include <cstdlib>
#include <malloc.h>
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

} // namespace bench::peers

#endif // MMSTL_BENCHMARKS_PEERS_ALLOCATORS_HPP
