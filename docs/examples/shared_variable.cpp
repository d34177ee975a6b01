// SPDX-License-Identifier: MIT
//
// Two variables across fork(): one in shared memory, one that is not. Each process sees what the
// other writes to the first.

#include <mmstl.hpp>

#include <cstdio>
#include <exception>

#include <sys/wait.h>
#include <unistd.h>

int main() {
    try {
        int unshared = 15;
        mmstl::mapped_span<int> memory(mmstl::anonymous(),
                                       {.count = 1}); // one int that a child shares
        int& shared = memory.front();
        shared = 1;

        const pid_t child = fork();
        if (child == -1) {
            std::perror("fork");
            return 1;
        }
        if (child == 0) {
            std::printf("Child process running...\n");
            std::printf("Value of `unshared` is %i, value of `shared` is %i\n", unshared, shared);
            std::printf("Child process changing `shared` and `unshared`...\n");
            unshared = 64;
            shared = 128;
            std::printf("On child process, `unshared` is %i, `shared` is %i\n", unshared, shared);
            std::fflush(stdout); // _exit does not
            _exit(0);
        }
        waitpid(child, nullptr, 0);
        std::printf("Parent process checking `shared` and `unshared`...\n");
        std::printf("On parent process, `unshared` is %i, `shared` is %i\n", unshared, shared);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
