// SPDX-License-Identifier: MIT
//
// The operators new and delete of the test programs.

#include "support/allocation.hpp"

#include <cstddef>
#include <cstdlib>
#include <new>
#include <utility>

namespace {

thread_local long until_failure = 0; // 0: none is to fail
thread_local long so_far = 0;
thread_local void (*before_next)() = nullptr;

} // namespace

namespace support {

failing_allocation::failing_allocation(long nth) noexcept { until_failure = nth; }
failing_allocation::~failing_allocation() { until_failure = 0; }
delayed_allocation::delayed_allocation(void (*what)()) noexcept { before_next = what; }
delayed_allocation::~delayed_allocation() { before_next = nullptr; }
long allocations() noexcept { return so_far; }

} // namespace support

void* operator new(std::size_t n_bytes) {
    ++so_far;
    if (auto* const what = std::exchange(before_next, nullptr)) what();
    if (until_failure != 0 && --until_failure == 0) throw std::bad_alloc();
    void* const got = std::malloc(n_bytes == 0 ? 1 : n_bytes);
    if (got == nullptr) throw std::bad_alloc();
    return got;
}
// A sanitizer's own would not go with the operator delete here.
void* operator new(std::size_t n_bytes, const std::nothrow_t&) noexcept {
    ++so_far;
    return std::malloc(n_bytes == 0 ? 1 : n_bytes);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
