// SPDX-License-Identifier: MIT
//
// Make the n-th allocation of this thread fail, or take its time, and count them.

#ifndef MMSTL_TESTS_SUPPORT_ALLOCATION_HPP
#define MMSTL_TESTS_SUPPORT_ALLOCATION_HPP

namespace support {

/// From its construction to its end, the `nth` (from 1) operator new of this thread throws
/// `std::bad_alloc`; the others do not.
class failing_allocation {
public:
    explicit failing_allocation(long nth) noexcept;
    failing_allocation(const failing_allocation&) = delete;
    failing_allocation& operator=(const failing_allocation&) = delete;
    ~failing_allocation();
};

/// From its construction to its end, the next operator new of this thread calls `what` first.
class delayed_allocation {
public:
    explicit delayed_allocation(void (*what)()) noexcept;
    delayed_allocation(const delayed_allocation&) = delete;
    delayed_allocation& operator=(const delayed_allocation&) = delete;
    ~delayed_allocation();
};

/// How many times this thread has called operator new. (Those for over-aligned types do not count.)
long allocations() noexcept;

} // namespace support

#endif
