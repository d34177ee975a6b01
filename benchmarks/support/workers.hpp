// SPDX-License-Identifier: MIT
//
// Several that work at once, as threads or as processes, and one that works alone.

#ifndef MMSTL_BENCHMARKS_WORKERS_HPP
#define MMSTL_BENCHMARKS_WORKERS_HPP

#include "posix.hpp"

#include <array>
#include <barrier>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace bench {

/// What is done with a number, and what comes out.
using work = std::function<std::uint64_t(std::uint64_t n)>;
/// Makes the work of the i-th worker, in its own thread or process, and outlives it.
using make_work = std::function<work(std::size_t i)>;

/// Those who are ready to work as soon as they are made.
class workers {
public:
    workers() = default;
    workers(const workers&) = delete;
    workers& operator=(const workers&) = delete;
    virtual ~workers() = default;
    /// Each does its work on `n`, all at once. Returns the sum of what comes out when the last one
    /// is done.
    virtual std::uint64_t run(std::uint64_t n) = 0;
};

/// In the thread that calls.
class lone_worker : public workers {
public:
    explicit lone_worker(make_work make) : make_(std::move(make)), work_(make_(0)) {}
    std::uint64_t run(std::uint64_t n) override { return work_(n); }

private:
    make_work make_;
    work work_;
};

class many_threads : public workers {
public:
    /// Throws: what `make` throws, and `std::system_error` if a thread cannot be started; none stays.
    many_threads(make_work make, std::size_t n)
        : make_(std::move(make)), workers_(n), meeting_(static_cast<std::ptrdiff_t>(n) + 1) {
        std::size_t n_started = 0;
        try {
            for (; n_started < n; ++n_started)
                workers_[n_started].thread =
                    std::thread([this, &one = workers_[n_started]] { live(one); });
        } catch (...) {
            // Those who are there wait for the others, who do not come.
            for (; n_started < n; ++n_started) meeting_.arrive_and_drop();
            meeting_.arrive_and_wait();
            stop();
            throw;
        }
        meeting_.arrive_and_wait(); // all are ready
        if (const auto error = first_error()) {
            stop();
            std::rethrow_exception(error);
        }
    }
    ~many_threads() override { stop(); }

    std::uint64_t run(std::uint64_t n) override {
        n_ = n;
        meeting_.arrive_and_wait(); // begin
        meeting_.arrive_and_wait(); // done
        if (const auto error = first_error()) std::rethrow_exception(error);
        std::uint64_t total = 0;
        for (const worker& one : workers_) total += one.result;
        return total;
    }

private:
    struct alignas(128) worker {
        std::thread thread;
        std::uint64_t result = 0;
        std::exception_ptr error;
    };

    void live(worker& self) {
        work does;
        const auto guarded = [&](auto action) {
            try {
                action();
            } catch (...) {
                self.error = std::current_exception();
            }
        };
        guarded([&] { does = make_(static_cast<std::size_t>(&self - workers_.data())); });
        meeting_.arrive_and_wait();
        for (;;) {
            meeting_.arrive_and_wait();
            if (stopping_) return;
            guarded([&] { self.result = does ? does(n_) : 0; });
            meeting_.arrive_and_wait();
        }
    }
    void stop() {
        stopping_ = true;
        meeting_.arrive_and_wait();
        for (worker& one : workers_)
            if (one.thread.joinable()) one.thread.join();
    }
    [[nodiscard]] std::exception_ptr first_error() const {
        for (const worker& one : workers_)
            if (one.error) return one.error;
        return nullptr;
    }

    make_work make_;
    std::vector<worker> workers_;
    std::barrier<> meeting_;
    std::uint64_t n_ = 0;
    bool stopping_ = false;
};

/// A forked process. It has what the parent has mapped, and ends with this object, by SIGKILL:
/// nothing that it has is destroyed.
class process {
public:
    /// Throws: `std::system_error`. What `make` throws comes out of the first `finish()`.
    process(const make_work& make, std::size_t i) {
        std::array<int, 2> ends{};
        if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
            fail("socketpair", "");
        const pid_t parent = ::getpid();
        id_ = ::fork();
        if (id_ == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (::getppid() == parent) live(ends[1], make, i);
            ::_exit(1);
        }
        ::close(ends[1]); // so that the child's end closes when it dies
        channel_ = ends[0];
        if (id_ < 0) {
            ::close(channel_);
            fail("fork", "");
        }
    }
    process(const process&) = delete;
    process& operator=(const process&) = delete;
    ~process() {
        kill();
        ::waitpid(id_, nullptr, 0);
        ::close(channel_);
    }

    /// Tells it to begin, and returns at once. One may begin after `finish()` has returned, a first
    /// time after its construction.
    void start(std::uint64_t n) {
        if (::send(channel_, &n, sizeof n, MSG_NOSIGNAL) != sizeof n) fail("send", "a process");
    }
    /// Waits until it is done, and returns what has come out.
    ///
    /// Throws: `std::runtime_error` with what it has thrown, or if it has died.
    std::uint64_t finish() {
        answer got;
        if (::recv(channel_, &got, sizeof got, 0) != sizeof got)
            throw std::runtime_error("a process has died");
        if (got.has_failed) throw std::runtime_error(got.message.data());
        return got.result;
    }
    void kill() const noexcept { ::kill(id_, SIGKILL); }

private:
    struct answer {
        std::uint64_t result = 0;
        bool has_failed = false;
        std::array<char, 200> message{};
    };

    static void live(int channel, const make_work& make, std::size_t i) noexcept {
        work does;
        const auto answered = [&](auto action) noexcept {
            answer made;
            try {
                made.result = action();
            } catch (const std::exception& e) {
                made.has_failed = true;
                std::strncpy(made.message.data(), e.what(), made.message.size() - 1);
            }
            return ::send(channel, &made, sizeof made, MSG_NOSIGNAL) == sizeof made;
        };
        std::uint64_t n = 0;
        bool goes_on = answered([&] {
            does = make(i);
            return std::uint64_t{0};
        });
        while (goes_on && ::recv(channel, &n, sizeof n, 0) == sizeof n)
            goes_on = answered([&] { return does(n); });
    }

    pid_t id_ = -1;
    int channel_ = -1;
};

/// They do not meet: a socket wakes each, and tells when one has died.
class many_processes : public workers {
public:
    many_processes(make_work make, std::size_t n) : make_(std::move(make)) {
        for (std::size_t i = 0; i < n; ++i) workers_.push_back(std::make_unique<process>(make_, i));
        for (const auto& one : workers_) (void)one->finish();
    }

    std::uint64_t run(std::uint64_t n) override {
        for (const auto& one : workers_) one->start(n);
        std::uint64_t total = 0;
        for (const auto& one : workers_) total += one->finish();
        return total;
    }

private:
    make_work make_;
    std::vector<std::unique_ptr<process>> workers_;
};

enum class work_as { caller, threads, processes };

/// `n` of them, or one, in the thread that calls.
[[nodiscard]] inline std::unique_ptr<workers> assemble(work_as what, make_work make,
                                                       std::size_t n) {
    switch (what) {
    case work_as::threads: return std::make_unique<many_threads>(std::move(make), n);
    case work_as::processes: return std::make_unique<many_processes>(std::move(make), n);
    case work_as::caller: break;
    }
    return std::make_unique<lone_worker>(std::move(make));
}

} // namespace bench

#endif // MMSTL_BENCHMARKS_WORKERS_HPP
