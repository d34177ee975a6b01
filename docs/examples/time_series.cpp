// SPDX-License-Identifier: MIT
//
// One process appends ticks to a file, another follows it: tail -f, for records. The reader makes
// no call to learn of new elements, and neither takes a lock.

#include <mmstl.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string_view>
#include <thread>

#include <sys/wait.h>
#include <unistd.h>

struct tick {
    std::int64_t time_ms; // of `end_of_day`: there will be no more
    double price;
};

constexpr std::int64_t end_of_day = -1;

// By this name files know the type: it stays, whatever the struct is called one day.
template <> inline constexpr std::string_view mmstl::persistent_name<tick> = "example/tick/1";

namespace {

void write_ticks(const char* path) {
    auto ticks = mmstl::mapped_vector<tick>::open_or_create(path);
    for (std::int64_t i = 0; i < 10; ++i) {
        ticks.push_back({1000 * i, 100 + 0.25 * static_cast<double>(i % 4)});
        if (i % 3 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    ticks.push_back({end_of_day, 0});
    ticks.close(); // on the disk, and marked as complete, when this returns
}

void follow_ticks(const char* path, pid_t writer) {
    const auto ticks = mmstl::mapped_vector<const tick>::open(path);
    std::size_t seen = 0;
    for (bool writer_lives = true;;) {
        // Asked before the size: what a writer has left behind when it is gone is seen all the same.
        writer_lives = writer_lives && waitpid(writer, nullptr, WNOHANG) == 0;
        const std::size_t n = ticks.size();
        for (; seen < n; ++seen) {
            if (ticks[seen].time_ms == end_of_day) {
                std::printf("end of day, %zu ticks\n", seen);
                return;
            }
            std::printf("%5lld ms  %.2f\n", static_cast<long long>(ticks[seen].time_ms),
                        ticks[seen].price);
        }
        if (!writer_lives) {
            std::printf("the writer is gone after %zu ticks\n", seen);
            return;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

} // namespace

int main() {
    try {
        const char* const path = "ticks.mmv";
        mmstl::mapped_vector<tick>::create(path).close(); // there is a file to follow, then
        const pid_t writer = fork();
        if (writer == -1) {
            std::perror("fork");
            return 1;
        }
        if (writer == 0) {
            write_ticks(path);
            _exit(0);
        }
        follow_ticks(path, writer);
        mmstl::file(path).remove();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
