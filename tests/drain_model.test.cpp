// SPDX-License-Identifier: MIT
//
// What is done with the lists of a span, in every order in which an owner, others that return
// blocks to it, and those that come after it can do it, whoever of them is killed at whatever
// point.
//
// The functions are the heap's own; the span is a model of one, each access to which is a step.

#include "support/catch.hpp"
#include "support/leaks.hpp"

#include <mmstl/detail/heap/thread_heap.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

namespace heap = mmstl::detail::heap;

namespace model {

constexpr std::size_t size_class = heap::find_class(heap::small_limit);
constexpr std::uint32_t block_bytes = heap::small_limit;
constexpr std::uint32_t n_blocks = 4; ///< that the span has room for
using block = std::uint32_t;          ///< its number

// ---- what there is ----

constexpr std::size_t nobody = 0;
enum class life : unsigned char { lives, has_ended, was_killed };

/// What an actor got to see when it looked at something, and the links as they were before.
struct sight {
    std::uint64_t value;
    std::array<std::uint32_t, n_blocks> links;
};

/// All that there is between two steps. An actor is in the middle of a part, where those things have
/// led it that it has seen in it so far: for each step it does the part again, from its beginning.
struct state {
    // Of the span, all as wide as the widest.
    std::uint64_t owner = nobody; ///< an actor
    std::uint64_t local_free = 0;
    std::uint64_t bump = 0;
    std::uint64_t limit = n_blocks * block_bytes;
    std::uint64_t used = 0;
    std::uint64_t pending = 0;
    std::uint64_t returned = 0;
    std::array<std::uint32_t, n_blocks> links{}; ///< that the blocks begin with

    std::uint64_t lock = nobody; ///< the heap's
    bool is_given_back = false;  ///< as a span that is empty
    std::array<std::uint64_t, n_blocks> holders{};
    std::string wrong;

    struct actor {
        life now = life::lives;
        std::size_t n_parts = 0; ///< that it has done
        std::vector<sight> seen;
    };
    std::vector<actor> actors;
};

// ---- steps ----

/// The step that is being made: only one is at a time.
struct step {
    state* of = nullptr;
    std::uint64_t me = nobody;  ///< the number of an actor, and one
    std::size_t n_repeated = 0; ///< of what it has seen already
    std::array<std::uint32_t, n_blocks> links{};
    bool is_at_once = false;  ///< all of a part is one step
    bool is_made = false;     ///< from here on it is as if nothing happened
    bool is_hindered = false; ///< somebody else has the lock
};
inline step now;

/// Where the blocks are. Their links are set and read without further ado, which counts as part of
/// the next step: who does it has them to himself, or knows that they stay.
alignas(block_bytes) inline std::array<std::byte, n_blocks * block_bytes> memory;

std::array<std::uint32_t, n_blocks> links_in_memory() {
    std::array<std::uint32_t, n_blocks> links{};
    for (block b = 0; b < n_blocks; ++b) links[b] = heap::link_in(memory.data() + b * block_bytes);
    return links;
}
void put_links(const std::array<std::uint32_t, n_blocks>& links) {
    for (block b = 0; b < n_blocks; ++b) heap::set_link(memory.data() + b * block_bytes, links[b]);
}

/// Whether it is a step of its own, or part of the next one: what nobody else can tell from that.
enum class kind : unsigned char { step, part };

/// What `look(state)` says to the actor.
template <class Look> std::uint64_t access(kind what, Look look) {
    if (now.is_made) return 0;
    auto& seen = now.of->actors[now.me - 1].seen;
    if (now.n_repeated < seen.size()) {
        const auto value = seen[now.n_repeated++].value;
        now.links = now.n_repeated < seen.size() ? seen[now.n_repeated].links : now.of->links;
        put_links(now.links);
        return value;
    }
    const auto before = std::exchange(now.links, links_in_memory());
    now.of->links = now.links;
    const auto value = look(*now.of);
    seen.push_back({value, before});
    ++now.n_repeated;
    now.is_made = what == kind::step && !now.is_at_once;
    return value;
}

/// Who owns the span, or has the lock to see to a dead owner's, has the owner's line to himself.
inline bool has_it_alone() { return now.of->owner == now.me || now.of->lock == now.me; }

template <class T, std::uint64_t state::*Member> struct cell {
    [[nodiscard]] T get() const noexcept {
        constexpr bool is_others = Member == &state::returned;
        const auto what = !is_others && has_it_alone() ? kind::part : kind::step;
        return static_cast<T>(access(what, [](const state& in) { return in.*Member; }));
    }
    void set(T to) const noexcept {
        access(kind::step, [to](state& in) { return in.*Member = to; });
    }
    [[nodiscard]] T load(std::memory_order = std::memory_order_seq_cst) const noexcept {
        return get();
    }
    void store(T to, std::memory_order = std::memory_order_seq_cst) const noexcept { set(to); }
    bool compare_exchange_weak(T& expected, T to, std::memory_order,
                               std::memory_order) const noexcept {
        if (now.is_made) return true; // and so all loops end
        const auto before = static_cast<T>(access(kind::step, [&](state& in) {
            const auto found = in.*Member;
            if (found == expected) in.*Member = to;
            return found;
        }));
        return std::exchange(expected, before) == before;
    }
};

struct span {
    struct {
        [[nodiscard]] static std::size_t get() noexcept { return model::size_class; }
    } size_class;
    cell<heap::thread_id, &state::owner> owner;
    cell<std::uint32_t, &state::local_free> local_free;
    cell<std::uint32_t, &state::bump> bump;
    cell<std::uint32_t, &state::limit> limit;
    cell<std::uint32_t, &state::used> used;
    cell<std::uint32_t, &state::pending> pending;
    cell<std::uint64_t, &state::returned> returned;
};
inline span the_span;

std::byte* start_of(const span*) noexcept { return memory.data(); }

void go_wrong(state& in, std::string_view why) {
    if (in.wrong.empty()) in.wrong = why;
}

// ---- what actors do ----

block number_of(const void* p) {
    return static_cast<block>((static_cast<const std::byte*>(p) - memory.data()) / block_bytes);
}
constexpr std::uint32_t link_to(block b) { return b * block_bytes + 1; }

/// From now on the block is the actor's.
void take(const void* p) {
    access(kind::part, [b = number_of(p), me = now.me](state& in) {
        if (in.holders[b] != nobody) go_wrong(in, "a block is handed out twice");
        return in.holders[b] = me;
    });
}
/// It is in nobody's hands, until it is in a list.
void* let_go(block b) {
    access(kind::part, [b](state& in) { return in.holders[b] = nobody; });
    return memory.data() + b * block_bytes;
}

void lock() {
    if (!now.is_made && now.n_repeated == now.of->actors[now.me - 1].seen.size() &&
        now.of->lock != nobody) {
        now.is_hindered = now.is_made = true;
        return;
    }
    access(kind::step, [me = now.me](state& in) { return in.lock = me; });
}
void unlock() {
    access(kind::step, [](state& in) { return in.lock = nobody; });
}

/// As shared_heap::reclaim_with_lock.
void give_back_if_empty() {
    if (the_span.used.get() != heap::count_of(the_span.returned.load())) return;
    access(kind::part, [](state& in) {
        if (std::ranges::any_of(in.holders, [](auto holder) { return holder != nobody; }))
            go_wrong(in, "a span is given back with a block that is in use");
        return in.is_given_back = true;
    });
}
/// As shared_heap::reclaim, which is found from give_to_owner.
void reclaim(std::byte*, span& of) noexcept {
    lock();
    const bool is_there =
        access(kind::part, [](const state& in) { return !in.is_given_back; }) != 0;
    if (is_there && of.owner.load() == nobody) give_back_if_empty();
    unlock();
}

/// As heap::allocate.
void allocate() {
    while (!now.is_made) {
        if (void* const p = heap::pop(the_span, memory.data(), block_bytes)) return take(p);
        if (!heap::drain(the_span)) return;
    }
}

/// One of those that it has, if it has any.
std::optional<block> any_of_mine() {
    const auto b = access(kind::part, [me = now.me](const state& in) {
        return static_cast<std::uint64_t>(std::ranges::find(in.holders, me) - in.holders.begin());
    });
    return b == n_blocks ? std::nullopt : std::optional(static_cast<block>(b));
}
/// As heap::deallocate, of the owner.
void free_one() {
    if (const auto b = any_of_mine()) heap::put_back(the_span, let_go(*b), link_to(*b));
}
/// The same, of others.
void return_one() {
    if (const auto b = any_of_mine())
        heap::give_to_owner(nullptr, the_span, let_go(*b), link_to(*b));
}
/// As heap::release.
void leave() {
    if (the_span.local_free.get() == 0) heap::drain(the_span);
    lock();
    the_span.owner.store(nobody);
    give_back_if_empty();
    unlock();
}

/// Behind an owner that was killed, as shared_heap::release_threads_of.
void reap() {
    constexpr heap::thread_id dead = 1;
    lock();
    if (the_span.owner.load() == dead) {
        heap::settle(the_span);
        the_span.owner.store(nobody);
    }
    if (access(kind::part,
               [](const state& in) { return !in.is_given_back && in.owner == nobody; }) != 0)
        give_back_if_empty();
    unlock();
}

/// Takes over a span that nobody owns, as shared_heap::adopt.
void inherit() {
    lock();
    if (access(kind::part,
               [](const state& in) { return !in.is_given_back && in.owner == nobody; }) != 0) {
        the_span.owner.store(static_cast<heap::thread_id>(now.me));
        if (the_span.local_free.get() == 0) heap::drain(the_span);
    }
    unlock();
}

// ---- all orders ----

struct role {
    std::string name;
    std::vector<void (*)()> parts;
    std::function<bool(const state&)> may_begin = [](const state&) { return true; };
    bool can_be_killed = true; ///< else each of its parts is one step
    bool comes_again = false;  ///< when one was killed, the next one begins
};

class explorer {
public:
    explorer(std::vector<role> roles, std::uint64_t owner)
        : roles_(std::move(roles)), owner_(owner) {}

    /// The way to the first thing that is wrong; empty if all is well.
    std::string run(state first) {
        first.actors.resize(roles_.size());
        visit(first, "");
        return found_;
    }
    [[nodiscard]] std::size_t n_states() const noexcept { return known_.size(); }
    [[nodiscard]] std::size_t n_ends() const noexcept { return n_ends_; }

private:
    void visit(const state& at, const std::string& way) {
        if (!found_.empty() || !known_.insert(key_of(at)).second) return;
        if (const auto wrong = wrong_in(at); !wrong.empty()) return tell(wrong, way);
        bool goes_on = false;
        for (std::size_t i = 0; i < roles_.size(); ++i) {
            const auto& actor = at.actors[i];
            if (actor.now != life::lives) continue;
            if (!has_begun(actor) && !roles_[i].may_begin(at)) continue;
            state next = at;
            if (!advance(next, i)) continue; // waits for the lock
            goes_on = true;
            visit(next, way + " " + roles_[i].name);
            if (!roles_[i].can_be_killed || !has_begun(actor)) continue;
            next = at;
            if (roles_[i].comes_again)
                next.actors[i] = {};
            else
                next.actors[i].now = life::was_killed;
            if (next.lock == i + 1) next.lock = nobody; // another one takes it over
            visit(next, way + " " + roles_[i].name + "-dies");
        }
        if (goes_on) return;
        ++n_ends_;
        if (const auto wrong = wrong_at_the_end(at); !wrong.empty()) tell(wrong, way);
    }

    /// By a step, or to its end. False if it has to wait.
    bool advance(state& at, std::size_t i) {
        auto& actor = at.actors[i];
        while (actor.n_parts < roles_[i].parts.size()) {
            now = {&at, i + 1};
            now.is_at_once = !roles_[i].can_be_killed;
            now.links = actor.seen.empty() ? at.links : actor.seen.front().links;
            put_links(now.links);
            roles_[i].parts[actor.n_parts]();
            if (now.is_made) return !now.is_hindered;
            at.links = links_in_memory();
            actor.seen.clear();
            ++actor.n_parts;
        }
        actor.now = life::has_ended;
        return true;
    }
    static bool has_begun(const state::actor& one) { return one.n_parts != 0 || !one.seen.empty(); }

    static std::string key_of(const state& at) {
        std::string key;
        const auto add = [&](std::uint64_t value) {
            key.append(reinterpret_cast<const char*>(&value), sizeof value);
        };
        for (const auto value : {at.owner, at.local_free, at.bump, at.used, at.pending, at.returned,
                                 at.lock, std::uint64_t{at.is_given_back}})
            add(value);
        for (const auto link : at.links) add(link);
        for (const auto holder : at.holders) add(holder);
        for (const auto& actor : at.actors) {
            add(static_cast<std::uint64_t>(actor.now) << 32 | actor.n_parts << 16 |
                actor.seen.size());
            if (actor.now != life::lives) continue; // what it has seen is of no account any more
            for (const auto& one : actor.seen) add(one.value);
        }
        return key;
    }

    /// How many blocks there are in a list, none of which may be in another or in use.
    static std::size_t follow(const state& at, std::uint64_t link, std::vector<bool>& in_lists,
                              std::string& wrong) {
        std::size_t n = 0;
        for (; link != 0; ++n) {
            const auto b = (link - 1) / block_bytes;
            if ((link - 1) % block_bytes != 0 || b * block_bytes >= at.bump) {
                wrong = "a list leads astray";
                break;
            }
            if (in_lists[b]) wrong = "a block is in two lists, or twice in one";
            if (at.holders[b] != nobody) wrong = "a block is in a list, and in use";
            if (!wrong.empty()) break;
            in_lists[b] = true;
            link = at.links[b];
        }
        return n;
    }
    static std::string wrong_in(const state& at) {
        std::string wrong = at.wrong;
        if (at.is_given_back || !wrong.empty()) return wrong;
        std::vector<bool> in_lists(n_blocks);
        const auto n_local = follow(at, at.local_free, in_lists, wrong);
        const auto n_returned = follow(at, heap::first_of(at.returned), in_lists, wrong);
        if (wrong.empty() && n_returned != heap::count_of(at.returned))
            wrong = "not as many returned as are counted";
        if (wrong.empty() && at.used + n_local < at.bump / block_bytes)
            wrong = "fewer counted than are in use";
        return wrong;
    }
    /// When nobody can do anything any more.
    [[nodiscard]] std::string wrong_at_the_end(const state& at) const {
        for (std::size_t i = 0; i < roles_.size(); ++i)
            if (at.actors[i].now == life::lives && has_begun(at.actors[i]))
                return roles_[i].name + " waits for ever";
        if (at.is_given_back) return "";
        std::string wrong;
        std::vector<bool> in_lists(n_blocks);
        const auto n_local = follow(at, at.local_free, in_lists, wrong);
        (void)follow(at, heap::first_of(at.returned), in_lists, wrong);
        std::size_t n_lost = 0;
        for (block b = 0; b * block_bytes < at.bump; ++b)
            n_lost += !in_lists[b] && at.holders[b] == nobody ? 1U : 0U;
        // Who reaps loses nothing.
        std::size_t n_killed = 0;
        for (std::size_t i = 0; i < roles_.size(); ++i)
            n_killed += at.actors[i].now == life::was_killed ? 1U : 0U;
        if (n_lost > n_killed)
            return std::to_string(n_lost) + " blocks are lost, and " + std::to_string(n_killed) +
                   " were killed";
        if (at.pending != 0) return "a list is on its way for ever";
        if (at.used + n_local != at.bump / block_bytes) return "not as many in use as are counted";
        if (at.owner == owner_ && at.actors[owner_ - 1].now == life::was_killed)
            return "a dead one owns it";
        return wrong;
    }
    void tell(const std::string& wrong, const std::string& way) { found_ = wrong + ":" + way; }

    std::vector<role> roles_;
    std::uint64_t owner_;
    std::unordered_set<std::string> known_;
    std::size_t n_ends_ = 0;
    std::string found_;
};

} // namespace model

TEST_CASE("in whatever order a span's blocks are allocated, freed and returned, and whoever is "
          "killed, none is lost or handed out twice") {
    using namespace model;
    std::size_t n_states = 0;
    std::size_t n_ends = 0;
    const auto parts_of = [](std::string_view letters) {
        std::vector<void (*)()> parts;
        for (const char each : letters)
            parts.push_back(each == 'a' ? allocate : each == 'f' ? free_one : leave);
        return parts;
    };
    // Whose the blocks are at first, the owner's being 1; 0 has never been handed out.
    using holders = std::array<std::uint64_t, n_blocks>;
    for (const auto& at_first : {holders{1, 1, 2, 0}, {1, 1, 2, 2}, {1, 2, 2, 2}, {1, 1, 2, 3}})
        for (const std::string_view owner :
             {"aaa", "afa", "aff", "faa", "ffaa", "l", "fal", "ffl"}) {
            const bool is_long = at_first.back() == 3;
            if (is_long && MMSTL_TESTS_SANITIZED) continue;
            const auto n = static_cast<std::size_t>(
                std::ranges::count_if(at_first, [](auto holder) { return holder != nobody; }));
            state first;
            first.owner = 1;
            first.bump = n * block_bytes;
            first.used = n;
            first.holders = at_first;
            std::vector<role> roles;
            roles.push_back({.name = "owner", .parts = parts_of(owner)});
            for (std::uint64_t who = 2; who <= std::ranges::max(at_first); ++who) {
                const auto n_returned = static_cast<std::size_t>(std::ranges::count(at_first, who));
                roles.push_back(
                    {.name = who == 2 ? "A" : "B", .parts = std::vector(n_returned, &return_one)});
            }
            roles.push_back({.name = "reaper",
                             .parts = {reap},
                             .may_begin =
                                 [](const state& at) {
                                     return at.actors[0].now == life::was_killed && at.owner <= 1 &&
                                            !at.is_given_back;
                                 },
                             .comes_again = true});
            roles.push_back({.name = "heir",
                             .parts = {inherit},
                             .may_begin = [](const state& at) { return at.owner == nobody; },
                             .can_be_killed = false});
            explorer all(std::move(roles), 1);
            INFO("the owner does " << owner << ", and the blocks are of " << at_first[0]
                                   << at_first[1] << at_first[2] << at_first[3]);
            CHECK(all.run(first) == "");
            n_states += all.n_states();
            n_ends += all.n_ends();
        }
    std::printf("a span's lists: %zu states, %zu of them at the end\n", n_states, n_ends);
}
