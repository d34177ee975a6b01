// SPDX-License-Identifier: MIT
//
// A queue of jobs between a process and its children: a std::deque in anonymous shared memory, with
// a robust_mutex. Should one of them be killed with it, all the others fail, and say why. How to go
// on instead is in producers_and_consumers.cpp.

#include <mmstl.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

struct job {
    std::size_t number;
    mmstl::string text;

    using allocator_type = mmstl::shared_allocator<char>;
    job(std::size_t n, const char* what, const allocator_type& in) : number(n), text(what, in) {}
    job(job&& other, const allocator_type& in)
        : number(other.number), text(std::move(other.text), in) {}
    job(job&&) = default;
};

// In a segment it is at the same address for all, and so is all that its deque points at.
class job_queue {
public:
    using allocator_type = mmstl::shared_allocator<char>;
    explicit job_queue(const allocator_type& in) : waiting_(in) {}

    void push(std::size_t number, const char* text) {
        const std::scoped_lock held(mutex_);
        waiting_.emplace_back(number, text);
    }
    // There will be no more.
    void close() {
        const std::scoped_lock held(mutex_);
        is_closed_ = true;
    }
    // Waits for a job. Nothing if all are done. A *moved* string would lie in the segment still: it
    // is for whoever has the lock. Hence the copy.
    std::optional<std::pair<std::size_t, std::string>> pop() {
        for (;; std::this_thread::sleep_for(std::chrono::milliseconds(1))) { // without the lock
            const std::scoped_lock held(mutex_);
            if (waiting_.empty() && !is_closed_) continue;
            if (waiting_.empty()) return {};
            const job& next = waiting_.front();
            const std::pair<std::size_t, std::string> taken(next.number, next.text);
            waiting_.pop_front();
            return taken;
        }
    }

private:
    mmstl::robust_mutex mutex_;
    mmstl::deque<job> waiting_;
    bool is_closed_ = false;
};

namespace {

constexpr int n_workers = 3;
constexpr std::size_t n_jobs = 1000;

// What a job is: its letters, counted. Each worker has places of its own to write to.
void work(job_queue& jobs, mmstl::vector<std::size_t>& letters, mmstl::vector<int>& times_done) {
    while (const auto next = jobs.pop()) {
        const auto& [number, text] = *next;
        letters[number] = text.size();
        ++times_done[number];
    }
}

int run() {
    auto shm = mmstl::segment::create(mmstl::anonymous()); // shared with children after fork()
    auto& jobs = shm.construct<job_queue>("jobs");
    auto& letters = shm.construct<mmstl::vector<std::size_t>>("letters", n_jobs);
    auto& times_done = shm.construct<mmstl::vector<int>>("times done", n_jobs);

    std::vector<pid_t> workers;
    for (int i = 0; i < n_workers; ++i) {
        const pid_t child = fork();
        if (child == -1) throw std::system_error(errno, std::system_category(), "fork");
        if (child == 0) {
            int code = 0;
            try {
                work(jobs, letters, times_done);
            } catch (const std::exception& error) {
                std::fprintf(stderr, "worker: %s\n", error.what());
                code = 1;
            }
            _exit(code);
        }
        workers.push_back(child);
    }
    for (std::size_t i = 0; i < n_jobs; ++i) {
        const std::string text(i % 100, 'x');
        jobs.push(i, text.c_str());
    }
    jobs.close();

    bool all_well = true;
    for (const pid_t child : workers) {
        int status = 0;
        all_well = waitpid(child, &status, 0) == child && status == 0 && all_well;
    }
    std::size_t sum = 0;
    for (const auto n : letters) sum += n;
    std::printf("%zu jobs, %td of them done once\n", n_jobs,
                std::count(times_done.begin(), times_done.end(), 1));
    std::printf("%zu letters\n", sum);
    std::printf("workers: %s\n", all_well ? "well" : "not well");
    shm.destroy<job_queue>("jobs");
    return all_well ? 0 : 1;
}

} // namespace

int main() {
    try {
        return run();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
