// SPDX-License-Identifier: MIT
//
// Make the n-th system call fail, or come back interrupted or half done; or only count and record
// the calls.
//
// The linker puts our functions in front of the C library's (--wrap), so there is no seam in the
// library under test. Only what is linked into the test itself is caught: calls that the C library
// makes inside itself are not.

#ifndef MMSTL_TESTS_SUPPORT_FAULT_HPP
#define MMSTL_TESTS_SUPPORT_FAULT_HPP

#include "support/catch.hpp"
#include "support/leaks.hpp"

#include <mmstl/error.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <exception>
#include <initializer_list>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

namespace support::fault {

/// The calls of system_calls.inc.
enum class call : unsigned char {
#define CALL(name, ...) name,
#define CALL_64(name, ...) name,
#define TRANSFER(name, ...) name,
#define TRANSFER_64(name, ...) name,
#define VARIADIC(name, ...) name,
#define VARIADIC_64(name, ...) name,
#include "support/system_calls.inc"
#undef CALL
#undef CALL_64
#undef TRANSFER
#undef TRANSFER_64
#undef VARIADIC
#undef VARIADIC_64
};

/// As the manual spells it.
const char* name_of(call which) noexcept;

/// One call that was made while watched, with its first arguments as words.
struct record {
    call which{};
    std::array<std::uint64_t, 4> arguments{};
};

/// Watches the calls of this thread from its construction to its end, and may disturb one of them.
/// Of nested watches all see every call, and the innermost that wants to disturb it does.
///
/// A call that gives something back (close, munmap) is carried out and then reported as failed, as
/// Linux does with close.
class watch {
public:
    /// Counts and records alone.
    watch() : watch(plan{}) {}
    watch(const watch&) = delete;
    watch& operator=(const watch&) = delete;
    ~watch();

    /// How often `which` was called so far.
    [[nodiscard]] long count(call which) const {
        return std::ranges::count(records_, which, &record::which);
    }
    /// All calls so far, in their order.
    [[nodiscard]] const std::vector<record>& records() const noexcept { return records_; }
    /// The call that was disturbed, if that has happened.
    [[nodiscard]] std::optional<call> hit() const noexcept { return hit_; }

    /// What fault.cpp asks before each call: the error to report, 0 for none, `partial` for a part
    /// of the bytes.
    int next(const record& made);
    static constexpr int partial = -1;

protected:
    struct plan {
        std::optional<call> which{}; ///< any call, if not given
        long nth = 0;                ///< counted from 1; 0 never
        int error = 0;
    };
    explicit watch(const plan& planned);

private:
    plan plan_;
    std::vector<record> records_;
    std::optional<call> hit_;
    watch* outer_;
};

/// Fails the `nth` call of `which`, or of any call, with `error`.
class fail : public watch {
public:
    fail(call which, long nth, int error) : watch(plan{which, nth, error}) {}
    fail(long nth, int error) : watch(plan{std::nullopt, nth, error}) {}
};

/// Lets the `nth` read, pread, write or pwrite move half of the bytes (at least one).
class shorten : public watch {
public:
    shorten(call which, long nth) : watch(plan{which, nth, partial}) {}
};

/// What one run with a disturbed call came to.
struct outcome {
    call which{};
    long nth = 0;
    std::exception_ptr exception; ///< null if the operation succeeded all the same
};

/// Runs `operation` with its first system call failing, then with its second, and so on until a run
/// meets no failure; calls `check(outcome)` after each. Returns how many calls failed in their
/// turn. The last run, undisturbed, must succeed.
template <class Operation, class Check>
long for_each_failure(Operation operation, int error, Check check) {
    for (long nth = 1;; ++nth) {
        outcome result;
        std::optional<call> hit;
        {
            fail armed(nth, error);
            try {
                operation();
            } catch (...) {
                result.exception = std::current_exception();
            }
            hit = armed.hit();
        }
        if (!hit) {
            if (result.exception) std::rethrow_exception(result.exception);
            return nth - 1;
        }
        result.which = *hit;
        result.nth = nth;
        check(result);
    }
}

/// Fails every system call of `operation` in turn with `error`. Each run must leave no descriptor
/// or mapping behind and end in a `mapping_error` that has the call and the errno; the calls in
/// `ignored` may fail unnoticed.
///
/// `operation` must undo what it does to the world.
template <class Operation>
long require_every_failure_is_reported(Operation operation, int error,
                                       std::initializer_list<call> ignored = {}) {
    const auto before = holdings::now();
    return for_each_failure(operation, error, [&](const outcome& result) {
        INFO("call " << result.nth << ", " << name_of(result.which) << ", fails with errno "
                     << error);
        CHECK(holdings::now().beyond(before) == "");
        if (!result.exception) {
            CHECK(std::ranges::find(ignored, result.which) != ignored.end());
            return;
        }
        try {
            std::rethrow_exception(result.exception);
        } catch (const mmstl::mapping_error& e) {
            CHECK(e.code() == std::error_code(error, std::system_category()));
            CHECK(std::string(e.call()) == name_of(result.which));
            CHECK_FALSE(e.path().empty());
        } catch (const std::exception& e) {
            FAIL_CHECK("not a mapping_error: " << e.what());
        }
    });
}

/// Interrupts (EINTR) every call of `operation` in turn that Linux may interrupt. Each run must
/// succeed: the call is made again.
template <class Operation> long require_every_interruption_is_survived(Operation operation) {
    constexpr std::array interruptible{
        call::open,     call::openat,    call::close,     call::shm_open,
        call::mkostemp, call::ftruncate, call::fallocate, call::msync,
        call::madvise,  call::fstatfs,   call::read,      call::pread,
        call::write,    call::pwrite,    call::fsync,     call::fdatasync};
    const auto before = holdings::now();
    long interrupted = 0;
    for (const auto which : interruptible)
        for (long nth = 1;; ++nth, ++interrupted) {
            INFO("call " << nth << " of " << name_of(which) << " is interrupted");
            fail armed(which, nth, EINTR);
            REQUIRE_NOTHROW(operation());
            CHECK(holdings::now().beyond(before) == "");
            if (!armed.hit()) break;
        }
    return interrupted;
}

} // namespace support::fault

#endif
