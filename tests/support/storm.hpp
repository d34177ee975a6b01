// SPDX-License-Identifier: MIT
//
// What the processes of a kill storm do: containers behind robust mutexes, objects with names, and
// blocks of their own and of each other's, all of which tell when they are not as they were made.

#ifndef MMSTL_TESTS_SUPPORT_STORM_HPP
#define MMSTL_TESTS_SUPPORT_STORM_HPP

#include "support/blocks.hpp"
#include "support/processes.hpp"

#include <mmstl/containers.hpp>
#include <mmstl/segment.hpp>
#include <mmstl/sync.hpp>

#include <array>
#include <atomic>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>

namespace support::storm {

/// Something is not as it was made.
inline void require(bool holds, const std::string& what) {
    if (!holds) throw std::runtime_error("corrupted: " + what);
}

// ---- elements ----

using string = mmstl::string;

/// A number, and letters that follow from it: up to 60 characters, some of which lie in the string
/// itself.
inline std::string text_of(std::uint64_t n) {
    std::string text = std::to_string(n % 1'000'000) + ':';
    for (std::uint64_t i = 0; i < n % 53; ++i) text += static_cast<char>('a' + (n + i * i) % 26);
    return text;
}
/// The number that a text was made of.
inline std::uint64_t number_of(std::string_view text) {
    std::uint64_t n = 0;
    std::from_chars(text.data(), text.data() + text.size(), n);
    require(text == text_of(n), "a text");
    return n;
}
inline std::uint64_t any_number(std::mt19937_64& random) { return random() % 1'000'000; }

/// What containers have, so that one that is lost, twice there or another one is noticed.
struct summary {
    std::uint64_t size = 0;
    std::uint64_t sum = 0;

    void add(std::uint64_t n) {
        ++size;
        sum += (n + 1) * 0x9e3779b97f4a7c15;
    }
    friend bool operator==(const summary&, const summary&) = default;
};

// ---- containers ----

/// No container gets larger, so that one that is abandoned costs little.
inline constexpr std::size_t most_elements = 24;

using hash_map = mmstl::unordered_map<string, std::uint64_t>;
using map = mmstl::map<std::uint64_t, string>;
using deque = mmstl::deque<string>;
using vector = mmstl::vector<string>;
using list = mmstl::list<string>;
using every_container = std::tuple<hash_map, map, deque, vector, list>;
inline constexpr std::size_t n_containers = std::tuple_size_v<every_container>;
inline constexpr std::array<const char*, n_containers> container_names{"hash map", "map", "deque",
                                                                       "vector", "list"};

template <class Container> summary summary_of(const Container& of) {
    summary all;
    for (const auto& one : of) {
        require(all.size < most_elements, "how many elements there are");
        if constexpr (requires { one.first; }) {
            std::uint64_t n = 0;
            if constexpr (std::is_same_v<Container, map>) {
                n = one.first;
                require(number_of(one.second) == n, "the value of a key");
            } else {
                n = number_of(one.first);
                require(one.second == n, "the value of a key");
            }
            require(of.contains(one.first), "how a key is found");
            all.add(n);
        } else {
            all.add(number_of(one));
        }
    }
    require(all.size == of.size(), "how many elements there are");
    return all;
}

template <class Container> auto any_element(Container& of, std::mt19937_64& random) {
    return std::next(of.begin(), static_cast<std::ptrdiff_t>(random() % of.size()));
}

/// Something or other, of all that takes or gives memory.
template <class Container> void change(Container& of, std::mt19937_64& random) {
    constexpr bool is_map = requires { typename Container::mapped_type; };
    const auto n = any_number(random);
    const auto kind = random() % 16;
    if (kind == 0) return of.clear();
    if (of.empty() || (kind < 9 && of.size() < most_elements)) {
        if constexpr (std::is_same_v<Container, map>)
            of.insert_or_assign(n, text_of(n).c_str());
        else if constexpr (is_map)
            of[string(text_of(n).c_str())] = n;
        else
            of.emplace(of.size() % 2 == 0 ? of.end() : any_element(of, random), text_of(n).c_str());
    } else if (kind < 13) {
        of.erase(any_element(of, random));
    } else if constexpr (is_map) {
        auto node = of.extract(any_element(of, random));
        if constexpr (std::is_same_v<Container, map>) {
            node.key() = n;
            node.mapped() = text_of(n).c_str();
        } else {
            node.key() = text_of(n).c_str();
            node.mapped() = n;
            of.rehash(n % 100);
        }
        of.insert(std::move(node));
    } else {
        *any_element(of, random) = text_of(n).c_str();
        if constexpr (std::is_same_v<Container, list>)
            of.sort();
        else
            of.shrink_to_fit();
    }
}

/// What goes with a container, which has a name of its own: it can be abandoned, and this cannot.
struct guard {
    mmstl::robust_mutex mutex;
    std::atomic<bool> is_changing{false}; ///< who dies then leaves it half done
    summary known;                        ///< as it is when nobody changes it
    std::atomic<std::uint64_t> n_turns{0};
    std::atomic<std::uint64_t> n_found_whole{0}; ///< of those whose owner had died
    std::atomic<std::uint64_t> n_abandoned{0};
};

// ---- all of it ----

inline constexpr std::size_t n_workers = 6;

/// What a process has for itself, and its successor after it.
struct worker {
    std::array<std::atomic<std::uint64_t>, 24> blocks{}; ///< as `blocks::pack`
    std::atomic<std::uint64_t> n_turns{0};
};

/// The object "storm" of the segment.
struct state {
    static constexpr std::size_t n_guards = n_containers + 1; ///< the last one is of the names
    static constexpr std::uint64_t n_names = 12;

    std::array<guard, n_guards> guards{};
    std::array<worker, n_workers> workers{};
    blocks::mailboxes mailboxes{};
    std::atomic<bool> is_over{false};
};

inline std::string name_of(std::uint64_t n) { return "name " + std::to_string(n); }

template <class Function> void for_each_container(Function function) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
        (function(std::type_identity<std::tuple_element_t<I, every_container>>(), I), ...);
    }
    (std::make_index_sequence<n_containers>());
}

inline state& make(mmstl::segment& in) {
    for_each_container([&]<class Container>(std::type_identity<Container>, std::size_t i) {
        in.construct<Container>(container_names[i]);
    });
    return in.construct<state>("storm");
}

/// A container that nobody changes is as it was left.
template <class Container>
Container& whole_container(const mmstl::segment& in, const guard& of, std::size_t i) {
    auto* const found = in.find<Container>(container_names[i]);
    require(found != nullptr, std::string("the name of the ") + container_names[i]);
    require(summary_of(*found) == of.known, std::string("the ") + container_names[i]);
    return *found;
}

/// Of a mutex whose owner has died: finds the container whole, or makes it anew.
template <class Container> void mend(mmstl::segment& in, guard& of, std::size_t i) {
    if (!of.is_changing) {
        (void)whole_container<Container>(in, of, i);
        ++of.n_found_whole;
        return;
    }
    ++of.n_abandoned; // first: it may be done more than once, if this one is killed as well
    in.abandon(container_names[i]);
    in.construct<Container>(container_names[i]);
    of.known = {};
    std::atomic_signal_fence(std::memory_order_seq_cst);
    of.is_changing = false;
}

/// An object that is there is as its name says, whoever was killed while it was made or destroyed.
inline void verify_name(const mmstl::segment& in, std::uint64_t n) {
    const auto* const found = in.find<const string>(name_of(n));
    require(found == nullptr || number_of(*found) == n, "an object with a name");
}

class process {
public:
    /// One that is given the backing leaves the segment now and then, and opens it again.
    process(mmstl::segment& in, const mmstl::backing* at, state& all, std::size_t who,
            std::uint64_t seed)
        : in_(in), at_(at), all_(all), mine_(all.workers[who]), random_(seed) {}

    /// Until it is over, or it is killed, or something is found that is not as it should be.
    void work() {
        for (const auto& one : mine_.blocks) // which somebody had that was killed
            if (const auto word = one.load(); word != 0)
                require(blocks::unpack(in_, word).is_whole(), "a block of one's own");
        while (!all_.is_over) {
            turn();
            ++mine_.n_turns;
        }
    }

private:
    void turn() {
        const auto what = random_() % 256;
        if (what < 32) return exchange_own();
        if (what < 48) return exchange_with_others(random_);
        if (what == 48) return in_a_thread();
        if (what == 49 && at_ != nullptr) return leave_and_come_again();
        const auto i = random_() % state::n_guards;
        if (i == n_containers) return use_a_name();
        for_each_container([&]<class Container>(std::type_identity<Container>, std::size_t k) {
            if (k == i) use<Container>(k);
        });
    }

    std::size_t any_kind() {
        return random_() %
               (random_() % 8 == 0 ? blocks::n_large_requests : blocks::n_small_requests);
    }
    /// One of its own blocks is freed, or there is a new one: its word is there as long as it is.
    void exchange_own() {
        auto& one = mine_.blocks[random_() % mine_.blocks.size()];
        if (const auto word = one.exchange(0); word != 0)
            return require(blocks::unpack(in_, word).free(in_), "a block of one's own");
        const auto word = blocks::make_word(in_, random_, any_kind());
        require(word != 0, "where a block is");
        one = word;
    }
    void exchange_with_others(std::mt19937_64& random) {
        require(all_.mailboxes.turn(in_, random, any_kind()), "a block of anybody's");
    }
    void in_a_thread() {
        std::string what;
        std::thread([&] {
            std::mt19937_64 random(random_());
            try {
                for (int i = 0; i < 4; ++i) exchange_with_others(random);
            } catch (const std::exception& e) {
                what = e.what();
            }
        }).join();
        if (!what.empty()) throw std::runtime_error(what);
    }

    void leave_and_come_again() {
        in_ = mmstl::segment();
        in_ = mmstl::segment::open(*at_); // where it was
    }

    /// `function()` with the lock; after its owner's death `mend()`.
    template <class Function, class Mend> void with(guard& of, Function function, Mend mend_it) {
        try {
            const std::scoped_lock lock(of.mutex);
            function();
            ++of.n_turns;
            return;
        } catch (const mmstl::owner_died&) {
        }
        of.mutex.recover(mend_it);
    }
    template <class Container> void use(std::size_t i) {
        guard& of = all_.guards[i];
        with(
            of,
            [&] {
                auto& found = whole_container<Container>(in_, of, i);
                of.is_changing = true;
                std::atomic_signal_fence(std::memory_order_seq_cst);
                change(found, random_);
                of.known = summary_of(found);
                std::atomic_signal_fence(std::memory_order_seq_cst);
                of.is_changing = false;
            },
            [&] { mend<Container>(in_, of, i); });
    }
    /// Objects with names come and go, in one operation each: nothing is half done.
    void use_a_name() {
        guard& of = all_.guards[n_containers];
        with(
            of,
            [&] {
                const auto n = random_() % state::n_names;
                verify_name(in_, n);
                if (!in_.destroy<string>(name_of(n)))
                    in_.find_or_construct<string>(name_of(n), text_of(n).c_str());
            },
            [&] {
                for (std::uint64_t n = 0; n < state::n_names; ++n) verify_name(in_, n);
                ++of.n_found_whole;
            });
    }

    mmstl::segment& in_;
    const mmstl::backing* at_;
    state& all_;
    worker& mine_;
    std::mt19937_64 random_;
};

} // namespace support::storm

#endif
