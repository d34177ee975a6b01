// SPDX-License-Identifier: MIT
//
// Two producers and four consumers of orders, two of whom are killed: one with an order in its
// hands, one with the lock. The others go on, and no order is lost.
//
// The queue is a std::deque in anonymous shared memory. A kill can break it, but not the states of
// the orders, each of which is changed by one store: from these the queue is made anew.

#include <mmstl.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

constexpr std::size_t n_orders = 900;
constexpr std::size_t n_producers = 2;
constexpr int n_consumers = 4;

// Of an order; or else the consumer, by its number, who has it in his hands.
constexpr int to_come = -3;
constexpr int waiting = -2;
constexpr int done = -1;

class orders {
public:
    using order = std::pair<std::size_t, std::string>;
    using allocator_type = mmstl::shared_allocator<char>;
    explicit orders(const allocator_type& in) : in_(in), queue_(in) {
        for (auto& state : states_) state = to_come;
    }

    void put(std::size_t number) {
        under_lock([&] { enqueue(number); });
    }

    // What to do; nothing if nothing waits at the moment.
    std::optional<order> take(int consumer) {
        return under_lock([&]() -> std::optional<order> {
            if (queue_.empty()) return {};
            const auto& [number, text] = queue_.front();
            const order taken(number, text);
            queue_.pop_front();
            die_of(taken.first, deadly_with_lock_); // no queue has it, and no consumer
            states_[taken.first] = consumer;
            return taken;
        });
    }
    void work_on(std::size_t number) { die_of(number, deadly_in_hand_); }
    void finish(std::size_t number) { states_[number] = done; }
    [[nodiscard]] bool all_done() const {
        return std::ranges::all_of(states_, [](const auto& state) { return state == done; });
    }

    // What a consumer had in his hands who is dead.
    void put_back(int consumer) {
        under_lock([&] {
            for (std::size_t i = 0; i < n_orders; ++i)
                if (states_[i] == consumer) enqueue(i);
        });
    }

    [[nodiscard]] int times_made_anew() const { return times_made_anew_; }

private:
    // Whoever is told that someone died with the lock makes the queue anew, and tries again.
    template <class Change> std::invoke_result_t<Change> under_lock(Change change) {
        for (;;) {
            try {
                const std::scoped_lock held(mutex_);
                return change();
            } catch (const mmstl::owner_died&) {
                mutex_.recover([&] { make_anew(); });
            }
        }
    }

    // The state first: a queue that is made anew has it, too.
    void enqueue(std::size_t number) {
        states_[number] = waiting;
        queue_.emplace_back(number, std::string(number % 100, 'x'));
    }

    // The old queue may be half changed, and so is not even destroyed: its memory is lost.
    void make_anew() {
        std::construct_at(&queue_, in_);
        for (std::size_t i = 0; i < n_orders; ++i)
            if (states_[i] == waiting) enqueue(i);
        ++times_made_anew_;
    }

    // An order that is deadly kills the first one who gets it.
    static void die_of(std::size_t number, std::atomic<std::size_t>& deadly) {
        if (deadly.compare_exchange_strong(number, n_orders)) std::raise(SIGKILL);
    }

    allocator_type in_;
    mmstl::robust_mutex mutex_;
    mmstl::deque<std::pair<std::size_t, mmstl::string>> queue_;
    std::array<std::atomic<int>, n_orders> states_;
    std::atomic<std::size_t> deadly_in_hand_ = 300;
    std::atomic<std::size_t> deadly_with_lock_ = 600;
    int times_made_anew_ = 0;
};

namespace {

// What is done with an order: its letters are counted. Each has a place of its own for that.
void consume(orders& all, int me, mmstl::vector<std::size_t>& letters) {
    while (!all.all_done()) {
        const auto next = all.take(me);
        if (!next) {
            // There is no condition variable yet that could be waited for.
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
            continue;
        }
        const auto& [number, text] = *next;
        all.work_on(number);
        letters[number] += text.size();
        all.finish(number);
    }
}

template <class Work> pid_t start(Work work) {
    const pid_t child = fork();
    if (child == -1) throw std::system_error(errno, std::system_category(), "fork");
    if (child != 0) return child;
    int code = 0;
    try {
        work();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        code = 1;
    }
    _exit(code);
}

int run() {
    auto shm = mmstl::segment::create(mmstl::anonymous()); // shared with children after fork()
    auto& all = shm.construct<orders>("orders");
    auto& letters = shm.construct<mmstl::vector<std::size_t>>("letters", n_orders);

    std::vector<pid_t> consumers;
    consumers.reserve(n_consumers);
    for (int i = 0; i < n_consumers; ++i)
        consumers.push_back(start([&] { consume(all, i, letters); }));
    for (std::size_t first = 0; first < n_producers; ++first)
        start([&] {
            for (std::size_t i = first; i < n_orders; i += n_producers) all.put(i);
        });

    int n_well = 0;
    int n_killed = 0;
    for (int status = 0;;) {
        const pid_t child = wait(&status);
        if (child == -1) break; // there are none any more
        if (status == 0) ++n_well;
        const auto dead = std::ranges::find(consumers, child);
        if (!WIFSIGNALED(status) || dead == consumers.end()) continue;
        ++n_killed;
        all.put_back(static_cast<int>(dead - consumers.begin()));
    }

    std::size_t sum = 0;
    for (const auto n : letters) sum += n;
    std::printf("%zu orders, %s\n", n_orders, all.all_done() ? "all done" : "not all done");
    std::printf("%zu letters\n", sum);
    std::printf("killed: %d, well: %d\n", n_killed, n_well);
    std::printf("queue made anew: %d time\n", all.times_made_anew());
    std::printf("segment: %s\n", shm.check().clean() ? "sound" : "not sound");
    return 0;
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
