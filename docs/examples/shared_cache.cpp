// SPDX-License-Identifier: MIT
//
// A cache that unrelated processes share by its name: a std::unordered_map in shared memory. One of
// them is killed while it has the lock. The others are told, make the cache anew, and go on.
//
// The program starts itself for the others:
//
//     shared_cache ask NAME     asks the cache for a hundred things, and makes those it has not
//     shared_cache hold NAME    gets the lock, and stops

#include <mmstl.hpp>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>

#include <sys/wait.h>
#include <unistd.h>

// Small numbers, which no kill leaves half changed.
struct counts {
    int found;
    int made;
    int times_anew;
};

namespace {

constexpr int n_keys = 100;

// What a cache is for: how often a number is halved, or tripled and one added, until it is 1.
int count_steps(long from) {
    int n = 0;
    for (; from != 1; ++n) from = from % 2 == 0 ? from / 2 : 3 * from + 1;
    return n;
}

class shared_cache {
public:
    explicit shared_cache(const std::string& name)
        : seg_(mmstl::segment::open_or_create(mmstl::shared_memory(name))),
          mutex_(seg_.find_or_construct<mmstl::robust_mutex>("mutex")),
          counts_(seg_.find_or_construct<counts>("counts")) {}

    int steps_from(long number) {
        const std::string key = "steps from " + std::to_string(number);
        for (;;) {
            try {
                const std::scoped_lock held(mutex_);
                // Looked up each time: another process may have abandoned what was there before.
                auto& entries = seg_.find_or_construct<entries_type>("entries");
                if (const auto it = entries.find(key); it != entries.end()) {
                    ++counts_.found;
                    return it->second;
                }
                ++counts_.made;
                return entries.emplace(key, count_steps(number)).first->second;
            } catch (const mmstl::owner_died&) {
                mutex_.recover([&] {
                    seg_.abandon("entries"); // it may be half changed
                    ++counts_.times_anew;
                });
            }
        }
    }

    // As `steps_from`, if it stopped in the middle of it.
    void hold() {
        const std::scoped_lock held(mutex_);
        std::raise(SIGSTOP);
    }
    [[nodiscard]] bool is_held() {
        const std::unique_lock held(mutex_, std::chrono::milliseconds(50));
        return !held.owns_lock();
    }

    // Since the last time.
    void print_counts() {
        const std::scoped_lock held(mutex_);
        std::printf("%d found, %d made, anew: %d\n", counts_.found, counts_.made,
                    counts_.times_anew);
        counts_ = {};
    }

private:
    using entries_type = mmstl::unordered_map<mmstl::string, int>;

    mmstl::segment seg_;
    mmstl::robust_mutex& mutex_;
    counts& counts_;
};

int ask(const std::string& name) {
    shared_cache cache(name);
    bool all_right = true;
    for (int i = 1; i <= n_keys; ++i)
        all_right = cache.steps_from(i) == count_steps(i) && all_right;
    return all_right ? 0 : 1;
}

int hold(const std::string& name) {
    shared_cache(name).hold();
    return 0;
}

pid_t start(const char* role, const std::string& name) {
    const pid_t child = fork();
    if (child == -1) throw std::system_error(errno, std::system_category(), "fork");
    if (child == 0) {
        execl("/proc/self/exe", "shared_cache", role, name.c_str(), nullptr);
        _exit(127);
    }
    return child;
}

// How it ended, or that it has stopped.
int wait_for(pid_t child) {
    int status = 0;
    while (waitpid(child, &status, WUNTRACED) == -1)
        if (errno != EINTR) throw std::system_error(errno, std::system_category(), "waitpid");
    return status;
}

// Whatever happens, the name does not stay.
struct name_of_memory {
    name_of_memory() = default;
    name_of_memory(const name_of_memory&) = delete;
    name_of_memory& operator=(const name_of_memory&) = delete;
    ~name_of_memory() {
        std::error_code ignored;
        mmstl::shared_memory(text).remove(ignored);
    }
    std::string text = "/mmstl-cache-" + std::to_string(getpid());
};

int run() {
    const name_of_memory of_this;
    const std::string& name = of_this.text;
    shared_cache cache(name);
    for (int i = 0; i < 2; ++i) {
        if (wait_for(start("ask", name)) != 0) return 1;
        std::printf("one asks: ");
        cache.print_counts();
    }

    const pid_t holder = start("hold", name);
    if (!WIFSTOPPED(wait_for(holder))) return 1;
    std::array<pid_t, 3> others{};
    for (pid_t& other : others) other = start("ask", name);
    std::printf("three wait for one that has stopped: %s\n", cache.is_held() ? "yes" : "no");

    kill(holder, SIGKILL);
    std::printf("it is killed: %s\n", WIFSIGNALED(wait_for(holder)) ? "yes" : "no");
    bool all_well = true;
    for (const pid_t child : others) all_well = wait_for(child) == 0 && all_well;
    std::printf("three ask: ");
    cache.print_counts();
    return all_well ? 0 : 1;
}

} // namespace

int main(int argc, char** argv) {
    try {
        const std::string_view role = argc > 2 ? argv[1] : "";
        if (role == "ask") return ask(argv[2]);
        if (role == "hold") return hold(argv[2]);
        return run();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
