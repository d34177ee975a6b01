// SPDX-License-Identifier: MIT
//
// What several processes do in one segment: those that the tests fork, and the program
// other_process, which has nothing in common with them.

#ifndef MMSTL_TESTS_SUPPORT_PROCESSES_HPP
#define MMSTL_TESTS_SUPPORT_PROCESSES_HPP

#include "support/blocks.hpp"

#include <mmstl/segment.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <thread>

#include <unistd.h>

namespace support {

/// Waits until it holds. False if that takes so long that something hangs.
template <class Predicate>
bool soon(Predicate holds, std::chrono::seconds limit = std::chrono::seconds(60)) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!holds()) {
        if (std::chrono::steady_clock::now() > end) return holds();
        std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    return true;
}

/// What `check` says, a line each; nothing if all is in order.
inline std::string problems_in(const mmstl::segment& in) {
    std::string text;
    for (const auto& one : in.check().problems) text.append(one).append("\n");
    return text;
}

/// Becomes the program at `path`, with these arguments. Returns if that fails.
template <class... Arguments> void become(const char* path, const Arguments&... arguments) {
    ::execl(path, path, arguments.c_str()..., static_cast<char*>(nullptr));
}

/// Processes that hand blocks to each other until it is over.
struct exchange {
    static constexpr std::size_t n_processes = 8;

    blocks::mailboxes mailboxes;
    std::array<std::atomic<std::uint64_t>, n_processes> n_turns{};
    std::atomic<std::uint64_t> n_wrong{0};
    std::atomic<bool> is_over{false};

    void work(const mmstl::segment& in, std::size_t who) {
        std::mt19937_64 random(who);
        while (!is_over) {
            if (!mailboxes.turn(in, random, blocks::any_kind(random))) ++n_wrong;
            ++n_turns[who];
        }
    }
};

/// Processes that ask for the same objects at the same time.
struct race {
    static constexpr int n_objects = 40;
    static constexpr std::size_t n_elements = 5;

    /// Takes a while to be made, and is of a value then.
    struct slow {
        explicit slow(std::atomic<int>* n_made) {
            for (int i = 0; i < 20; ++i) std::this_thread::yield();
            value = ++*n_made;
        }
        int value = 0;
    };

    std::atomic<int> n_ready{0};
    std::atomic<bool> has_begun{false};
    std::array<std::atomic<int>, n_objects> n_made{};
    std::atomic<int> n_wrong{0};

    /// All of them, every third as an array.
    void run(mmstl::segment& in) {
        ++n_ready;
        while (!has_begun) std::this_thread::yield();
        for (int i = 0; i < n_objects; ++i) {
            const auto name = "object " + std::to_string(i);
            auto* const made = &n_made[static_cast<std::size_t>(i)];
            if (i % 3 == 0) {
                const auto all = in.find_or_construct<slow[]>(name, n_elements, made);
                for (std::size_t k = 0; k < n_elements; ++k)
                    n_wrong += all[k].value == static_cast<int>(k) + 1 ? 0 : 1;
            } else {
                n_wrong += in.find_or_construct<slow>(name, made).value == 1 ? 0 : 1;
            }
        }
    }
    [[nodiscard]] int expected(int i) const {
        return i % 3 == 0 ? static_cast<int>(n_elements) : 1;
    }
};

} // namespace support

#endif
