// SPDX-License-Identifier: MIT
//
// pthread mutexes that processes share, as peers.

#ifndef MMSTL_BENCHMARKS_PEERS_POSIX_MUTEX_HPP
#define MMSTL_BENCHMARKS_PEERS_POSIX_MUTEX_HPP

#include <cerrno>
#include <pthread.h>
#include <system_error>

namespace bench::peers {

/// With `PTHREAD_MUTEX_ROBUST`, or without.
template <bool IsRobust> class posix_mutex {
public:
    posix_mutex() {
        pthread_mutexattr_t how;
        ::pthread_mutexattr_init(&how);
        ::pthread_mutexattr_setpshared(&how, PTHREAD_PROCESS_SHARED);
        if (IsRobust) ::pthread_mutexattr_setrobust(&how, PTHREAD_MUTEX_ROBUST);
        const int error = ::pthread_mutex_init(&mutex_, &how);
        ::pthread_mutexattr_destroy(&how);
        if (error != 0) throw std::system_error(error, std::generic_category(), "mutex");
    }
    posix_mutex(const posix_mutex&) = delete;
    posix_mutex& operator=(const posix_mutex&) = delete;
    ~posix_mutex() { ::pthread_mutex_destroy(&mutex_); }

    void lock() {
        if (const int error = ::pthread_mutex_lock(&mutex_); error != 0)
            throw std::system_error(error, std::generic_category(), "lock");
    }
    /// Gets it in any case, and mends it if its owner has died. Returns whether it had to.
    bool lock_and_mend() {
        const int error = ::pthread_mutex_lock(&mutex_);
        if (error == EOWNERDEAD) ::pthread_mutex_consistent(&mutex_);
        if (error != 0 && error != EOWNERDEAD)
            throw std::system_error(error, std::generic_category(), "lock");
        return error == EOWNERDEAD;
    }
    void unlock() { ::pthread_mutex_unlock(&mutex_); }

private:
    pthread_mutex_t mutex_{};
};

} // namespace bench::peers

#endif // MMSTL_BENCHMARKS_PEERS_POSIX_MUTEX_HPP
