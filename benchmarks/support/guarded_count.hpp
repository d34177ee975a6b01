// SPDX-License-Identifier: MIT
//
// A number and the mutex that guards it, of whatever kind.

#ifndef MMSTL_BENCHMARKS_GUARDED_COUNT_HPP
#define MMSTL_BENCHMARKS_GUARDED_COUNT_HPP

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mmstl.hpp>

namespace bench {

class guarded_count {
public:
    guarded_count() = default;
    guarded_count(const guarded_count&) = delete;
    guarded_count& operator=(const guarded_count&) = delete;
    virtual ~guarded_count() = default;
    /// So many times, and nothing in between.
    virtual void lock_and_unlock(std::uint64_t n) = 0;
    /// Counts up by 1, under the lock, so many times.
    virtual void count(std::uint64_t n) = 0;
    [[nodiscard]] virtual std::uint64_t value() const = 0;
};

/// In a segment, whatever the mutex: the same memory for all of them, shared with the processes
/// that are forked.
template <class Mutex> class count_guarded_by : public guarded_count {
public:
    count_guarded_by() = default;
    ~count_guarded_by() override { std::destroy_at(&shared_); }

    void lock_and_unlock(std::uint64_t n) override {
        for (std::uint64_t i = 0; i < n; ++i) {
            shared_.mutex.lock();
            shared_.mutex.unlock();
        }
    }
    void count(std::uint64_t n) override {
        for (std::uint64_t i = 0; i < n; ++i) {
            shared_.mutex.lock();
            shared_.value = shared_.value + 1;
            shared_.mutex.unlock();
        }
    }
    [[nodiscard]] std::uint64_t value() const override { return shared_.value; }

private:
    struct alignas(64) shared {
        Mutex mutex;
        std::uint64_t value = 0;
    };

    mmstl::segment keeper_ = mmstl::segment::create(mmstl::anonymous());
    shared& shared_ = *new (keeper_.allocator<shared>().allocate(1)) shared;
};

} // namespace bench

#endif // MMSTL_BENCHMARKS_GUARDED_COUNT_HPP
