// SPDX-License-Identifier: MIT
//
// A stand-in for the heap of a segment: memory of the process, counted by the segment it is for.

#ifndef MMSTL_DETAIL_HEAP_THREAD_HEAP_HPP
#define MMSTL_DETAIL_HEAP_THREAD_HEAP_HPP

#include <cstddef>
#include <map>
#include <new>

namespace mmstl::inline v1::detail::heap {

/// How many bytes are allocated for each base.
inline std::map<std::byte*, std::size_t>& allocated_bytes() {
    static std::map<std::byte*, std::size_t> by_base;
    return by_base;
}

template <std::size_t Alignment> void* allocate(std::byte* base, std::size_t n_bytes) {
    void* const got = ::operator new (n_bytes, std::align_val_t{Alignment});
    allocated_bytes()[base] += n_bytes;
    return got;
}

template <std::size_t Alignment>
void deallocate(std::byte* base, void* p, std::size_t n_bytes) noexcept {
    allocated_bytes()[base] -= n_bytes;
    ::operator delete (p, std::align_val_t{Alignment});
}

} // namespace mmstl::inline v1::detail::heap

#endif
