// SPDX-License-Identifier: MIT
//
// The named objects of a segment: a hash table in its heap. It is read without a lock, also where
// nothing may be stored and where what is found may be anything.

#ifndef MMSTL_DETAIL_HEAP_NAMES_HPP
#define MMSTL_DETAIL_HEAP_NAMES_HPP

#include <mmstl/detail/checksum.hpp>
#include <mmstl/detail/heap/layout.hpp>
#include <mmstl/detail/heap/thread_heap.hpp>
#include <mmstl/persistent_name.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <string_view>

namespace mmstl::inline v1::detail::heap {

inline constexpr std::size_t longest_name = 65535;
/// The rest of a longer one is left away: it is for people, and types are told apart by the hash.
inline constexpr std::size_t longest_type_name = 65535;

enum class name_state : std::uint32_t {
    building = 1, ///< its constructor runs
    ready = 2,
};

/// What the table knows of an object. File format; the name and the name of the type follow it.
///
/// Cells are what `find` reads of a node before it knows that it is the one: its memory may be about
/// to become another's.
struct name_node {
    cell<std::uint64_t> hash; ///< of the name
    std::uint64_t type_hash;
    std::uint64_t object; ///< offset
    std::uint64_t count;
    std::uint64_t size_bytes; ///< of one element
    std::uint32_t alignment;
    std::uint32_t is_array;
    std::atomic<std::uint32_t> state;
    cell<thread_id> builder;
    cell<std::uint32_t> name_bytes;
    cell<std::uint32_t> type_name_bytes;

    [[nodiscard]] std::size_t node_bytes() const noexcept {
        return sizeof(name_node) + name_bytes.get() + type_name_bytes.get();
    }
};

/// A node with its texts, whose lengths were read once, and lie in the file.
struct named_node {
    name_node* node = nullptr;
    std::string_view name;
    std::string_view type_name;

    explicit operator bool() const noexcept { return node != nullptr; }
    [[nodiscard]] std::uint64_t node_bytes() const noexcept {
        return sizeof(name_node) + name.size() + type_name.size();
    }
};

/// A node, and what it said at a moment at which it had that name.
struct found_node {
    name_node* node = nullptr;
    std::uint32_t state = 0;
    thread_id builder = 0;

    explicit operator bool() const noexcept { return node != nullptr; }
    [[nodiscard]] bool is_ready() const noexcept {
        return state == static_cast<std::uint32_t>(name_state::ready);
    }
};

/// File format; `n_slots` words follow it: 0, a removed one's mark, or the offset of a node, with the
/// highest 16 bits of its hash in front: so that other nodes are hardly ever looked at.
struct name_table {
    std::uint64_t n_slots;  ///< a power of two
    std::uint64_t n_filled; ///< so many are not 0, or fewer
    std::uint64_t previous; ///< the table that this one replaced, which may be looked at still
    /// How many times it has become the current one, or a name was removed from it.
    std::atomic<std::uint64_t> changes;

    using slot = std::atomic<std::uint64_t>;
    static constexpr std::uint64_t removed = 1;
    static constexpr std::uint64_t tag_mask = std::uint64_t{0xffff} << 48;

    static constexpr std::uint64_t slot_word(std::uint64_t offset, std::uint64_t hash) noexcept {
        return offset | (hash & tag_mask);
    }
    static constexpr std::uint64_t offset_in(std::uint64_t word) noexcept {
        return word & ~tag_mask;
    }

    [[nodiscard]] slot& at(std::uint64_t i) const noexcept {
        auto* const first = reinterpret_cast<const std::byte*>(this + 1);
        return *std::launder(reinterpret_cast<slot*>(const_cast<std::byte*>(
            first + i * sizeof(slot)))); // NOLINT: a read-only one is not stored to
    }
    [[nodiscard]] std::size_t table_bytes() const noexcept {
        return static_cast<std::size_t>(sizeof(name_table) + n_slots * sizeof(slot));
    }
};

/// The table, wherever it is at the moment.
///
/// Whatever is read from the file is checked before it is followed: a damaged table has fewer
/// names, and does no harm.
class names {
public:
    explicit names(const image& in) noexcept : in_(in) {}

    /// The object of that name, in any state; false if there is none.
    ///
    /// A node that is removed may be freed, and its memory be something else's when it is looked at, also
    /// another name's. So what was read counts if no name has been removed meanwhile; else it is looked
    /// for again. Who reads what was stored there since, reads that as well: see `count_change`.
    [[nodiscard]] found_node find(std::string_view name) const noexcept {
        const std::uint64_t hash = fnv1a(name);
        for (;;) {
            const name_table* const table = current();
            if (table == nullptr) return {};
            const auto changes = table->changes.load(std::memory_order_acquire);
            if (current() != table) continue; // else the count may be of its next use, half filled
            found_node found;
            if (auto* const node = look_up(*table, name, hash).node)
                found = {node, node->state.load(std::memory_order_acquire), node->builder.get()};
            fence(std::memory_order_acquire);
            if (current() == table && table->changes.load(std::memory_order_relaxed) == changes)
                return found;
        }
    }

    /// Calls `look(named_node)` for each, in no order. As many as the file has room for: a damaged table
    /// may name one node as often as it has slots.
    template <class Look> void for_each(Look look) const {
        const name_table* const table = current();
        if (table == nullptr) return;
        std::uint64_t room = in_.header().live.size.load(std::memory_order_acquire);
        for (std::uint64_t i = 0; i < table->n_slots; ++i) {
            const auto word = table->at(i).load(std::memory_order_acquire);
            const named_node one = node_at(name_table::offset_in(word));
            if (!one) continue;
            if (one.node_bytes() > room) return;
            room -= one.node_bytes();
            look(one);
        }
    }

    // ---- with the names' lock held ----

    /// Adds a node, which nobody has of that name.
    ///
    /// Throws: `segment_exhausted`.
    void insert(name_node& node) {
        name_table* table = current();
        if (table == nullptr || (table->n_filled + 1) * 4 > table->n_slots * 3) table = grow(table);
        place(*table, node.hash.get(), in_.offset_of(&node));
    }

    /// Afterwards the node may be freed.
    void remove(const name_node& node) noexcept {
        const named_node one = node_at(in_.offset_of(&node));
        name_table* const current_one = current();
        if (!one || current_one == nullptr) return;
        auto& table = *current_one;
        const slot_of found = look_up(table, one.name, node.hash.get());
        if (found.node != &node) return;
        const std::uint64_t mask = table.n_slots - 1;
        // Marks are needed only in front of a slot that is not 0.
        table.at(found.i).store(name_table::removed, std::memory_order_release);
        count_change(table);
        if (table.at((found.i + 1) & mask).load(std::memory_order_relaxed) != 0) return;
        for (auto i = found.i; table.at(i).load(std::memory_order_relaxed) == name_table::removed;
             i = (i - 1) & mask) {
            table.at(i).store(0, std::memory_order_relaxed);
            keep_order(); // never fewer than there are
            if (table.n_filled != 0) table.n_filled -= 1;
        }
    }

    /// Where it leads to if it is the offset of a node, all of which lies in the file.
    [[nodiscard]] named_node node_at(std::uint64_t offset) const noexcept {
        if (offset % alignof(name_node) != 0 || !is_in_heap(offset, sizeof(name_node))) return {};
        auto* const node = std::launder(reinterpret_cast<name_node*>(in_.file() + offset));
        const std::uint64_t n_name = node->name_bytes.get();
        const std::uint64_t n_type_name = node->type_name_bytes.get();
        if (n_name > longest_name || n_type_name > longest_type_name ||
            !is_in_heap(offset, sizeof(name_node) + n_name + n_type_name))
            return {};
        const auto* const text = reinterpret_cast<const char*>(node + 1);
        return {node,
                {text, static_cast<std::size_t>(n_name)},
                {text + n_name, static_cast<std::size_t>(n_type_name)}};
    }
    [[nodiscard]] bool is_in_heap(std::uint64_t offset, std::uint64_t n_bytes) const noexcept {
        const std::uint64_t end = in_.header().live.size.load(std::memory_order_acquire);
        return offset >= in_.heap_offset() && offset <= end && n_bytes <= end - offset;
    }
    [[nodiscard]] name_table* table_at(std::uint64_t offset) const noexcept {
        if (offset % alignof(name_table) != 0 || !is_in_heap(offset, sizeof(name_table)))
            return nullptr;
        auto* const table = std::launder(reinterpret_cast<name_table*>(in_.file() + offset));
        const bool fits = std::has_single_bit(table->n_slots) && table->n_slots <= most_slots &&
                          is_in_heap(offset, table->table_bytes());
        return fits ? table : nullptr;
    }
    [[nodiscard]] name_table* current() const noexcept {
        return table_at(in_.root().names.load(std::memory_order_acquire));
    }

private:
    static constexpr std::uint64_t first_slots = 16;
    static constexpr std::uint64_t most_slots = std::uint64_t{1} << 40;

    struct slot_of {
        name_node* node = nullptr;
        std::uint64_t i = 0;
    };

    [[nodiscard]] slot_of look_up(const name_table& table, std::string_view name,
                                  std::uint64_t hash) const noexcept {
        const std::uint64_t mask = table.n_slots - 1;
        for (std::uint64_t n = 0; n <= mask; ++n) {
            const std::uint64_t i = (hash + n) & mask;
            const std::uint64_t word = table.at(i).load(std::memory_order_acquire);
            if (word == 0) return {};
            const std::uint64_t offset = name_table::offset_in(word);
            if (word == name_table::removed || word != name_table::slot_word(offset, hash))
                continue;
            const named_node one = node_at(offset);
            if (!one || one.node->hash.get() != hash || one.name != name) continue;
            return {one.node, i};
        }
        return {};
    }

    /// Between two loads, or two stores, for the processor, too.
    static void fence(std::memory_order order) noexcept {
#if defined(__SANITIZE_THREAD__)
        std::atomic_signal_fence(order); // GCC has no other for what the sanitizer looks at
#else
        std::atomic_thread_fence(order);
#endif
    }

    /// Before anything else is stored that `find` could take for what it looks for.
    static void count_change(name_table& of) noexcept {
        const auto before = of.changes.load(std::memory_order_relaxed);
        of.changes.store(before + 1, std::memory_order_release);
        fence(std::memory_order_release);
    }

    static void place(name_table& in, std::uint64_t hash, std::uint64_t offset) noexcept {
        const std::uint64_t mask = in.n_slots - 1;
        for (std::uint64_t i = hash & mask;; i = (i + 1) & mask) {
            auto& slot = in.at(i);
            const auto now = slot.load(std::memory_order_relaxed);
            if (now != 0 && now != name_table::removed) continue;
            if (now == 0) in.n_filled += 1;
            slot.store(name_table::slot_word(offset, hash), std::memory_order_release);
            return;
        }
    }

    /// Whoever looks at the old table meanwhile finds in it what there was. It is kept, and used in
    /// turn with the new one as long as that is as long; so all tables together take no more than
    /// three times the last.
    name_table* grow(name_table* old) {
        std::uint64_t n_live = 0;
        for_each([&](const named_node&) { ++n_live; });
        std::uint64_t n_slots = first_slots;
        while (n_slots < n_live * 2 + 2) n_slots *= 2;
        const auto n_bytes =
            static_cast<std::size_t>(sizeof(name_table) + n_slots * sizeof(name_table::slot));
        name_table* made = old == nullptr ? nullptr : table_at(old->previous);
        const bool is_used_again = made != nullptr && made != old && made->n_slots == n_slots;
        if (!is_used_again) made = static_cast<name_table*>(allocate<8>(in_.heap(), n_bytes));
        if (!is_used_again) { // else others may be looking at it
            made->changes.store(0, std::memory_order_relaxed);
            made->n_slots = n_slots;
        }
        count_change(*made);
        made->n_filled = 0;
        for (std::uint64_t i = 0; i < n_slots; ++i) made->at(i).store(0, std::memory_order_relaxed);
        made->previous = old == nullptr ? 0 : in_.offset_of(old);
        for_each([&](const named_node& one) {
            place(*made, one.node->hash.get(), in_.offset_of(one.node));
        });
        in_.root().names.store(in_.offset_of(made), std::memory_order_release);
        return made;
    }

    image in_;
};

} // namespace mmstl::inline v1::detail::heap

#endif
