// SPDX-License-Identifier: MIT
//
// The recipes of docs/when-processes-die.md, with a child that is killed at the worst moment of each.

#include <mmstl.hpp>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <mutex>
#include <numeric>
#include <string>
#include <string_view>
#include <system_error>

#include <sys/wait.h>
#include <unistd.h>

// What is being changed is noted first, so that a change that was cut short can be taken back.
struct accounts {
    mmstl::robust_mutex mutex;
    std::array<long, 100> balances;
    struct change {
        std::size_t from, to;
        long from_was, to_was;
    } last;
    std::atomic<bool> is_changing;
};

// The prices themselves are objects of their own: "prices 0", "prices 1", ...
struct price_list {
    mmstl::robust_mutex mutex;
    std::atomic<int> version;
};

// Dies in its constructor, the first time.
struct catalogue {
    using allocator_type = mmstl::shared_allocator<char>;
    catalogue(std::atomic<bool>& is_deadly, const allocator_type& in) : titles(3, in) {
        if (is_deadly.exchange(false)) std::raise(SIGKILL);
    }
    mmstl::vector<mmstl::string> titles;
};

namespace {

using hit_map = mmstl::unordered_map<mmstl::string, int>;
using prices = mmstl::map<mmstl::string, double>;

template <class Work> void die_in(Work work) {
    const pid_t child = fork();
    if (child == -1) throw std::system_error(errno, std::system_category(), "fork");
    if (child == 0) {
        work();
        std::raise(SIGKILL);
    }
    waitpid(child, nullptr, 0);
}

// ---- abandon, and make anew ----

void count(mmstl::segment& seg, std::string_view word) {
    auto& mutex = seg.find_or_construct<mmstl::robust_mutex>("hits mutex");
    for (;;) {
        try {
            const std::scoped_lock held(mutex);
            auto& hits =
                seg.find_or_construct<hit_map>("hits"); // another one may have abandoned it
            ++hits[mmstl::string(word)];
            return;
        } catch (const mmstl::owner_died&) { // this thread does not have it, nor has anyone
            mutex.recover([&] { seg.abandon("hits"); });
        }
    }
}

// As the README shows it.
void readme(mmstl::segment& seg) {
    auto& mutex = seg.find_or_construct<mmstl::robust_mutex>("hits mutex");
    try {
        const std::scoped_lock held(mutex); // among all threads of all processes
        auto& hits = seg.find_or_construct<mmstl::unordered_map<mmstl::string, int>>("hits");
        ++hits["mmap"];
    } catch (const mmstl::owner_died&) { // for everyone, until someone has
        mutex.recover([&] { seg.abandon("hits"); });
    }
}

void abandon(mmstl::segment& seg) {
    readme(seg);
    for (const char* const word : {"mmap", "mmap", "fork"}) count(seg, word);
    die_in([&] { seg.find<mmstl::robust_mutex>("hits mutex")->lock(); });
    count(seg, "exec");
    const auto& hits = *seg.find<hit_map>("hits");
    std::printf("%zu word, %d time\n", hits.size(), hits.at("exec"));
}

// ---- take back ----

void note(accounts& of, std::size_t from, std::size_t to) {
    of.last = {from, to, of.balances[from], of.balances[to]};
    of.is_changing = true;
    std::atomic_signal_fence(std::memory_order_seq_cst); // nothing of what follows before that
}

void transfer(accounts& of, std::size_t from, std::size_t to, long amount) {
    const std::scoped_lock held(of.mutex);
    note(of, from, to);
    of.balances[from] -= amount;
    of.balances[to] += amount;
    of.is_changing = false;
}

void take_back(accounts& of) {
    if (!of.is_changing) return; // nobody was in the middle of it
    of.balances[of.last.from] = of.last.from_was;
    of.balances[of.last.to] = of.last.to_was;
    of.is_changing = false;
}

void repair(mmstl::segment& seg) {
    auto& bank = seg.construct<accounts>("bank");
    transfer(bank, 0, 1, 10);
    die_in([&] {
        bank.mutex.lock();
        note(bank, 0, 1);
        bank.balances[0] -= 20;
    });
    try {
        transfer(bank, 1, 2, 5);
    } catch (const mmstl::owner_died& e) {
        std::printf("%s\n", e.what());
        bank.mutex.recover([&] { take_back(bank); });
        transfer(bank, 1, 2, 5);
    }
    std::printf("%ld %ld %ld, sum %ld\n", bank.balances[0], bank.balances[1], bank.balances[2],
                std::accumulate(bank.balances.begin(), bank.balances.end(), 0L));
}

// ---- change a copy ----

std::string name_of(int version) { return "prices " + std::to_string(version); }

template <class Change> void change_prices(mmstl::segment& seg, price_list& list, Change change) {
    const std::scoped_lock held(list.mutex);
    const int now = list.version;
    const auto& old = seg.find_or_construct<prices>(name_of(now));
    seg.destroy<prices>(name_of(now + 1)); // if the last change has thrown
    change(seg.construct<prices>(name_of(now + 1), old));
    list.version = now + 1; // up to this store it is the old one, from then on the new one
    seg.destroy<prices>(name_of(now));
}

void forget_others(mmstl::segment& seg, price_list& list) {
    seg.abandon(name_of(list.version - 1));
    seg.abandon(name_of(list.version + 1));
}

void change_a_copy(mmstl::segment& seg) {
    auto& list = seg.construct<price_list>("price list");
    change_prices(seg, list, [](prices& all) { all["DAX"] = 15'000; });
    die_in([&] {
        change_prices(seg, list, [](prices& all) {
            all.clear();
            std::raise(SIGKILL);
        });
    });
    try {
        change_prices(seg, list, [](prices& all) { all["DOW"] = 34'000; });
    } catch (const mmstl::owner_died&) {
        list.mutex.recover([&] { forget_others(seg, list); });
        change_prices(seg, list, [](prices& all) { all["DOW"] = 34'000; });
    }
    std::printf("%s: %zu\n", name_of(list.version).c_str(),
                seg.find<prices>(name_of(list.version))->size());
}

// ---- what needs no lock of the user's ----

void construct_again(mmstl::segment& seg) {
    auto& is_deadly = seg.construct<std::atomic<bool>>("is deadly", true);
    die_in([&] { seg.find_or_construct<catalogue>("catalogue", is_deadly); });
    std::printf("%d\n", seg.find<catalogue>("catalogue") == nullptr);
    auto& made = seg.find_or_construct<catalogue>("catalogue", is_deadly);
    std::printf("%zu\n", made.titles.size());
}

void clean_up_now(mmstl::segment& seg) {
    seg.recover(); // those that have died so far
    die_in([&] { seg.construct<int>("its last word", 1); });
    const std::size_t n_dead = seg.recover(); // now, instead of when it is next needed
    std::printf("%zu has died, and left %d; %s\n", n_dead, *seg.find<int>("its last word"),
                seg.check().clean() ? "sound" : "not sound");
}

} // namespace

int main() {
    try {
        auto seg = mmstl::segment::create(mmstl::anonymous());
        abandon(seg);
        repair(seg);
        change_a_copy(seg);
        construct_again(seg);
        clean_up_now(seg);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
