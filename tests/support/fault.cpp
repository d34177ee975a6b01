// SPDX-License-Identifier: MIT
//
// The functions that the linker puts in front of the C library's system calls: __wrap_x calls
// __real_x, or fails.

// As many symbols as there are names: neither x renamed to x64 nor x renamed to __x_chk.
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE

#include "support/fault.hpp"

#include <cstdarg>
#include <cstddef>
#include <type_traits>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

static_assert(sizeof(off_t) == 8, "x and x64 are taken to have the same parameters");

// A sanitizer's runtime may be linked into the test, and calls these before it is ready for
// instrumented code; and they read arguments that may not have been given. (The first does not keep
// AddressSanitizer of Clang 14 away.)
#if defined(__clang__)
#define UNINSTRUMENTED                                                                             \
    __attribute__((disable_sanitizer_instrumentation, no_sanitize("address", "undefined")))
#else
#define UNINSTRUMENTED                                                                             \
    __attribute__((no_sanitize_address, no_sanitize_thread, no_sanitize_undefined))
#endif

namespace support::fault {

namespace {

constinit thread_local watch* current = nullptr;

template <class Argument> std::uint64_t to_word(Argument argument) noexcept {
    if constexpr (std::is_pointer_v<Argument>)
        return reinterpret_cast<std::uintptr_t>(argument);
    else
        return static_cast<std::uint64_t>(argument);
}

template <class... Arguments> int disturbance(call which, Arguments... arguments) {
    record made{which, {}};
    std::size_t at = 0;
    const auto keep = [&](std::uint64_t word) {
        if (at < made.arguments.size()) made.arguments[at++] = word;
    };
    (keep(to_word(arguments)), ...);
    watch* const watching = std::exchange(current, nullptr); // the vector of records may allocate
    const int answer = watching->next(made);
    current = watching;
    return answer;
}

constexpr bool gives_back(call which) noexcept {
    return which == call::close || which == call::munmap;
}

template <class Result> Result failed(int error) noexcept {
    errno = error;
    if constexpr (std::is_pointer_v<Result>)
        return reinterpret_cast<Result>(std::intptr_t{-1}); // MAP_FAILED
    else
        return -1;
}

} // namespace

watch::watch(const plan& planned) : plan_(planned), outer_(std::exchange(current, this)) {
    records_.reserve(64);
}

watch::~watch() { current = outer_; }

int watch::next(const record& made) {
    records_.push_back(made);
    const bool mine = !plan_.which || *plan_.which == made.which;
    const long so_far = plan_.which ? count(made.which) : static_cast<long>(records_.size());
    if (mine && !hit_ && so_far == plan_.nth) {
        hit_ = made.which;
        if (outer_ != nullptr) (void)outer_->next(made);
        return plan_.error;
    }
    return outer_ == nullptr ? 0 : outer_->next(made);
}

const char* name_of(call which) noexcept {
    switch (which) {
#define CALL(name, ...)                                                                            \
    case call::name:                                                                               \
        return #name;
#define CALL_64 CALL
#define TRANSFER CALL
#define TRANSFER_64 CALL
#define VARIADIC CALL
#define VARIADIC_64 CALL
#include "support/system_calls.inc"
#undef CALL
#undef CALL_64
#undef TRANSFER
#undef TRANSFER_64
#undef VARIADIC
#undef VARIADIC_64
    }
    return "?";
}

} // namespace support::fault

using support::fault::call;
using support::fault::current;
using support::fault::disturbance;
using support::fault::failed;
using support::fault::gives_back;
using support::fault::watch;

// NOLINTBEGIN: reserved names, macros and varargs are what this is made of
#define WRAP(symbol, name, result, parameters, arguments)                                          \
    extern "C" result __real_##symbol parameters;                                                  \
    extern "C" UNINSTRUMENTED result __wrap_##symbol parameters {                                  \
        if (current == nullptr) return __real_##symbol arguments;                                  \
        const int error = TELL(name, arguments);                                                   \
        if (error == 0) return __real_##symbol arguments;                                          \
        if (gives_back(call::name)) (void)__real_##symbol arguments;                               \
        return failed<result>(error);                                                              \
    }
#define WRAP_TRANSFER(symbol, name, result, parameters, arguments)                                 \
    extern "C" result __real_##symbol parameters;                                                  \
    extern "C" UNINSTRUMENTED result __wrap_##symbol parameters {                                  \
        if (current == nullptr) return __real_##symbol arguments;                                  \
        const int error = TELL(name, arguments);                                                   \
        if (error == watch::partial) n_bytes = n_bytes > 1 ? n_bytes / 2 : n_bytes;                \
        return error > 0 ? failed<result>(error) : __real_##symbol arguments;                      \
    }
#define UNPACK(...) __VA_ARGS__
#define TELL(name, arguments) disturbance(call::name, UNPACK arguments)

#define CALL(name, ...) WRAP(name, name, __VA_ARGS__)
#define CALL_64(name, ...) WRAP(name, name, __VA_ARGS__) WRAP(name##64, name, __VA_ARGS__)
#define TRANSFER(name, ...) WRAP_TRANSFER(name, name, __VA_ARGS__)
#define TRANSFER_64(name, ...)                                                                     \
    WRAP_TRANSFER(name, name, __VA_ARGS__) WRAP_TRANSFER(name##64, name, __VA_ARGS__)
#define VARIADIC(name, ...)
#define VARIADIC_64(name, ...)
#include "support/system_calls.inc"

// The mode is there only if something may be created.
#define OPEN(symbol)                                                                               \
    extern "C" int __real_##symbol(const char* path, int flags, ...);                              \
    extern "C" UNINSTRUMENTED int __wrap_##symbol(const char* path, int flags, ...) {              \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        const unsigned mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, unsigned) : 0;   \
        va_end(rest);                                                                              \
        const int error = current == nullptr ? 0 : disturbance(call::open, path, flags, mode);     \
        return error == 0 ? __real_##symbol(path, flags, mode) : failed<int>(error);               \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(symbol)                                                                             \
    extern "C" int __real_##symbol(int directory, const char* path, int flags, ...);               \
    extern "C" UNINSTRUMENTED int __wrap_##symbol(int directory, const char* path, int flags,      \
                                                  ...) {                                           \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        const unsigned mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, unsigned) : 0;   \
        va_end(rest);                                                                              \
        const int error =                                                                          \
            current == nullptr ? 0 : disturbance(call::openat, directory, path, flags, mode);      \
        return error == 0 ? __real_##symbol(directory, path, flags, mode) : failed<int>(error);    \
    }
OPENAT(openat)
OPENAT(openat64)

// Whatever the argument is, it comes in a register of a pointer's width; the C library reads it the
// same way.
#define FCNTL(symbol)                                                                              \
    extern "C" int __real_##symbol(int fd, int command, ...);                                      \
    extern "C" UNINSTRUMENTED int __wrap_##symbol(int fd, int command, ...) {                      \
        va_list rest;                                                                              \
        va_start(rest, command);                                                                   \
        void* const argument = va_arg(rest, void*);                                                \
        va_end(rest);                                                                              \
        const int error =                                                                          \
            current == nullptr ? 0 : disturbance(call::fcntl, fd, command, argument);              \
        return error == 0 ? __real_##symbol(fd, command, argument) : failed<int>(error);           \
    }
FCNTL(fcntl)
FCNTL(fcntl64)

// As for fcntl; no call of ours has more than six arguments.
extern "C" long __real_syscall(long number, ...);
extern "C" UNINSTRUMENTED long __wrap_syscall(long number, ...) {
    va_list rest;
    va_start(rest, number);
    void* arguments[6]; // NOLINT: filled below
    for (void*& one : arguments) one = va_arg(rest, void*);
    va_end(rest);
    const auto& [a, b, c, d, e, f] = arguments;
    const int error = current == nullptr ? 0 : disturbance(call::syscall, number, a, b, c);
    return error == 0 ? __real_syscall(number, a, b, c, d, e, f) : failed<long>(error);
}

extern "C" void* __real_mremap(void* old, std::size_t old_length, std::size_t length, int flags,
                               ...);
extern "C" UNINSTRUMENTED void* __wrap_mremap(void* old, std::size_t old_length, std::size_t length,
                                              int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    void* const address = (flags & MREMAP_FIXED) != 0 ? va_arg(rest, void*) : nullptr;
    va_end(rest);
    const int error =
        current == nullptr ? 0 : disturbance(call::mremap, old, old_length, length, flags);
    return error == 0 ? __real_mremap(old, old_length, length, flags, address)
                      : failed<void*>(error);
}
// NOLINTEND
