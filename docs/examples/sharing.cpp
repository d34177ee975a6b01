// SPDX-License-Identifier: MIT
//
// The code of docs/guide/sharing.md that is in no other example: memory shared by its name, memory
// shared by its descriptor, and a counter that needs no lock.

#include <mmstl.hpp>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <string>
#include <system_error>

#include <sys/wait.h>
#include <unistd.h>

// Not trivially copyable, but the same for everyone who maps it: it has neither an address in it
// nor a lock of this process.
static_assert(std::atomic<long>::is_always_lock_free);
template <> inline constexpr bool mmstl::enable_mappable<std::atomic<long>> = true;

namespace {

template <class Work> pid_t start(Work work) {
    const pid_t child = fork();
    if (child == -1) throw std::system_error(errno, std::system_category(), "fork");
    if (child == 0) {
        try {
            work();
            _exit(0);
        } catch (const std::exception& error) {
            std::fprintf(stderr, "%s\n", error.what());
            _exit(1);
        }
    }
    return child;
}

// Whether all went well in it.
bool wait_for(pid_t child) {
    int status = 0;
    while (waitpid(child, &status, 0) == -1)
        if (errno != EINTR) throw std::system_error(errno, std::system_category(), "waitpid");
    return status == 0;
}

void share_by_name() {
    const std::string name = "/mmstl-prices-" + std::to_string(getpid());
    auto prices = mmstl::mapped_span<double>::create(mmstl::shared_memory(name), 100);
    const pid_t child = start([&] { // or any process that knows the name
        mmstl::mapped_span<double> same(mmstl::shared_memory(name));
        same[7] = 101.5;
    });
    const bool went_well = wait_for(child);
    std::printf("by name: %d %g\n", went_well, prices[7]);
    mmstl::shared_memory(name).remove(); // who has it mapped keeps it
}

void share_by_descriptor() {
    auto memory = mmstl::memory_file("table").create();
    memory.resize(1000 * sizeof(int));
    memory.add_seals(mmstl::seal::shrink | mmstl::seal::grow);
    mmstl::mapped_span<int> table(mmstl::borrowed_fd(memory.native_handle()));

    const pid_t child = start([fd = memory.native_handle()] { // or by SCM_RIGHTS, to any process
        mmstl::mapped_span<int> same(mmstl::borrowed_fd(fd));
        same[0] = 42;
    });
    const bool went_well = wait_for(child);
    std::printf("by descriptor: %d %d\n", went_well, table[0]);

    std::error_code ec;
    memory.resize(0, mmstl::allocation::automatic, ec);
    if (ec == std::errc::operation_not_permitted) std::printf("nobody can make it shorter\n");
}

void count_together() {
    mmstl::mapped_span<std::atomic<long>> counters(mmstl::anonymous(), {.count = 1});
    const auto count = [&] {
        for (int i = 0; i < 100'000; ++i) ++counters[0];
    };
    const pid_t child = start(count);
    count(); // at the same time
    const bool went_well = wait_for(child);
    std::printf("counted: %d %ld\n", went_well, counters[0].load());
}

} // namespace

int main() {
    try {
        std::setvbuf(stdout, nullptr, _IOLBF, 0); // nothing for the children to print again
        share_by_name();
        share_by_descriptor();
        count_together();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
