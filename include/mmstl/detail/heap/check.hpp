// SPDX-License-Identifier: MIT
//
// check: reads all that a segment says of itself, believes none of it, and tells what does not fit.

#ifndef MMSTL_DETAIL_HEAP_CHECK_HPP
#define MMSTL_DETAIL_HEAP_CHECK_HPP

#include <mmstl/detail/checksum.hpp>
#include <mmstl/detail/heap/layout.hpp>
#include <mmstl/detail/heap/names.hpp>
#include <mmstl/detail/heap/slices.hpp>
#include <mmstl/segment_options.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mmstl::inline v1::detail::heap {

/// One walk over all of it.
///
/// Nothing beyond the length of the file is touched, and nothing is stored. No list is followed
/// further than there can be blocks, and no text read more often than it can be there: how long it
/// takes depends on the length of the file alone.
class checker {
public:
    explicit checker(const image& in) : in_(in), left_(in) {}

    segment_report run() {
        length_ = in_.header().live.size.load();
        for (std::uint32_t region = 0; region < in_.n_regions(); ++region) check_region(region);
        check_abandoned();
        check_names();
        return std::move(report_);
    }

private:
    static constexpr std::size_t most_told = 100;

    void tell(std::string what) {
        ++report_.n_problems;
        if (report_.problems.size() < most_told) report_.problems.push_back(std::move(what));
    }
    static std::string at(std::uint32_t region, std::uint32_t slice) {
        return "region " + std::to_string(region) + ", slice " + std::to_string(slice);
    }
    /// Whether so much of a region lies in the file.
    [[nodiscard]] bool is_there(std::uint32_t region, std::uint64_t n_bytes) const {
        return in_.heap_offset() + std::uint64_t{region} * region_bytes + n_bytes <= length_;
    }

    void check_region(std::uint32_t region) {
        const auto word = in_.directory(region).get();
        const auto value = value_of(word);
        switch (kind_of(word)) {
        case region_kind::unused:
            if (value != 0)
                tell("region " + std::to_string(region) + ": an unused one has a value");
            report_.free_bytes += region_bytes - slice_bytes;
            return;
        case region_kind::divided: return check_divided(region, value);
        case region_kind::huge: return check_huge(region, value);
        case region_kind::huge_more:
            if (region < huge_until_) return;
            if (left_.has_region(region))
                report_.free_bytes += region_bytes - slice_bytes;
            else
                tell("region " + std::to_string(region) + ": goes on with no block");
            return;
        }
        tell("region " + std::to_string(region) + ": of no known kind");
    }

    void check_huge(std::uint32_t region, std::uint64_t n_bytes) {
        if (region < huge_until_) return; // what it goes on from has told
        const auto n = regions_for(n_bytes);
        if (n > in_.n_regions() - region) {
            tell("region " + std::to_string(region) + ": a block longer than the heap");
            return;
        }
        if (!is_there(region, n_bytes))
            tell("region " + std::to_string(region) + ": a block that ends behind the file");
        huge_until_ = region + static_cast<std::uint32_t>(n);
        for (auto i = region + 1; i < huge_until_; ++i)
            if (kind_of(in_.directory(i).get()) != region_kind::huge_more)
                tell("region " + std::to_string(i) + ": a block does not go on");
        report_.used_bytes += n_bytes;
        ++report_.n_blocks;
    }

    void check_divided(std::uint32_t region, std::uint64_t described) {
        if (described == 0 || described > slices_per_region || described % described_by_page != 0 ||
            !is_there(region, described * sizeof(span))) {
            tell("region " + std::to_string(region) + ": its description does not lie in the file");
            return;
        }
        const slice_map used(in_.maps(region).used);
        if (!used.test(0)) tell(at(region, 0) + ": the description is not in use");
        for (std::uint32_t i = 1; i < slices_per_region;) {
            const slices one{region, i, 1};
            if (!used.test(i)) {
                if (i < described && in_.span_at(one.index()).state.get() != span_state::free &&
                    !left_.has_slice(one))
                    tell(at(region, i) + ": free, and says that it is not");
                report_.free_bytes += slice_bytes;
                ++i;
            } else if (i >= described) {
                tell(at(region, i) + ": in use, and not described");
                return;
            } else if (left_.has_slice(one) && whole_at(in_, region, i) == 0) {
                report_.free_bytes += slice_bytes;
                ++i;
            } else {
                i += check_slice(region, i, static_cast<std::uint32_t>(described), used);
            }
        }
    }

    /// Returns how many slices that was about.
    std::uint32_t check_slice(std::uint32_t region, std::uint32_t i, std::uint32_t described,
                              const slice_map& used) {
        const span& of = in_.span_at(slices{region, i, 1}.index());
        std::uint64_t n = 1;
        std::uint64_t n_bytes = 0;
        bool is_span = false;
        switch (of.state.get()) {
        case span_state::blocks:
            if (of.size_class.get() >= n_classes) {
                tell(at(region, i) + ": blocks of no known size");
                return 1;
            }
            is_span = true;
            n = classes[of.size_class.get()].n_slices;
            break;
        case span_state::run:
        case span_state::purging:
            n_bytes = of.n_bytes.get();
            n = slices_for(n_bytes);
            break;
        case span_state::free:
        case span_state::more: tell(at(region, i) + ": in use, by nothing"); return 1;
        default: tell(at(region, i) + ": in no known state"); return 1;
        }
        if (n > described - i) {
            tell(at(region, i) + ": longer than its region");
            return 1;
        }
        for (std::uint32_t k = 1; k < n; ++k) {
            const span& more = in_.span_at(slices{region, i + k, 1}.index());
            if (!used.test(i + k) || more.state.get() != span_state::more ||
                more.distance.get() != k) {
                tell(at(region, i + k) + ": does not belong to what begins before it");
                return k;
            }
        }
        if (of.distance.get() != 0) tell(at(region, i) + ": does not begin where it begins");
        if (is_span) {
            check_blocks(region, i, of);
        } else {
            if (!is_there(region, std::uint64_t{i} * slice_bytes + n_bytes))
                tell(at(region, i) + ": a block that ends behind the file");
            report_.used_bytes += n_bytes;
            ++report_.n_blocks;
        }
        return static_cast<std::uint32_t>(n);
    }

    void check_blocks(std::uint32_t region, std::uint32_t i, const span& of) {
        const auto& facts = classes[of.size_class.get()];
        const auto bump = of.bump.get();
        const auto limit = of.limit.get();
        if (bump % facts.block_bytes != 0 || bump > facts.span_bytes || bump > limit ||
            limit > facts.n_slices * slice_bytes) {
            tell(at(region, i) + ": blocks handed out beyond its end");
            return;
        }
        if (!is_there(region, std::uint64_t{i} * slice_bytes + limit)) {
            tell(at(region, i) + ": blocks that lie behind the file");
            return;
        }
        if (of.owner.load() == 0) unowned_.push_back(slices{region, i, 1}.index());
        const auto n_bumped = bump / facts.block_bytes;
        seen_.assign(n_bumped, false);
        const auto returned = of.returned.load(std::memory_order_acquire);
        const auto n_local = follow(region, i, of, of.local_free.get());
        const auto n_returned = follow(region, i, of, first_of(returned));
        if (n_returned != count_of(returned))
            tell(at(region, i) + ": " + std::to_string(count_of(returned)) +
                 " blocks were returned, and " + std::to_string(n_returned) + " are in the list");
        const auto n_free = std::min(n_local + n_returned, n_bumped);
        if (of.used.get() < n_bumped - std::min(n_local, n_bumped))
            tell(at(region, i) + ": counts fewer blocks than are in use");
        report_.used_bytes += std::uint64_t{n_bumped - n_free} * facts.block_bytes;
        report_.n_blocks += n_bumped - n_free;
        report_.free_bytes +=
            std::uint64_t{facts.n_blocks - (n_bumped - n_free)} * facts.block_bytes;
    }

    /// How many blocks there are in a list; none of them may be in another.
    std::uint32_t follow(std::uint32_t region, std::uint32_t i, const span& of,
                         std::uint32_t link) {
        const auto& facts = classes[of.size_class.get()];
        std::uint32_t n = 0;
        while (link != 0) {
            const auto offset = link - 1;
            if (offset % facts.block_bytes != 0 || offset / facts.block_bytes >= seen_.size()) {
                tell(at(region, i) + ": a list of free blocks leads astray");
                return n;
            }
            if (seen_[offset / facts.block_bytes]) {
                tell(at(region, i) + ": a block is free twice");
                return n;
            }
            seen_[offset / facts.block_bytes] = true;
            ++n;
            link = link_in(start_of(&of) + offset);
        }
        return n;
    }

    /// A span is in one list of them, once.
    void check_abandoned() {
        if (left_.is_locked()) return; // they are linked anew by whoever has the lock next
        std::vector<bool> listed(unowned_.size());
        for (std::size_t c = 0; c < n_classes; ++c) {
            const auto first = in_.root().abandoned[c].get();
            auto link = first;
            std::uint32_t previous = 0;
            while (link != 0) {
                const auto found = std::lower_bound(unowned_.begin(), unowned_.end(), link - 1);
                const auto i = static_cast<std::size_t>(found - unowned_.begin());
                if (found == unowned_.end() || *found != link - 1 || listed[i] ||
                    in_.span_at(link - 1).size_class.get() != c ||
                    (previous != 0 && in_.span_at(link - 1).previous.get() != previous)) {
                    link = 0;
                    break;
                }
                listed[i] = true;
                previous = link;
                link = in_.span_at(link - 1).next.get();
                if (link == first) break;
            }
            if (first != link)
                tell("class " + std::to_string(c) +
                     ": the ring of spans without an owner leads astray");
        }
    }

    void check_names() {
        const names all(in_);
        const auto offset = in_.root().names.load();
        if (offset == 0) return;
        const name_table* const table = all.current();
        if (table == nullptr) return tell("the table of names does not lie in the heap");
        // A name is found if no slot is 0 between the one where it is looked for first and its own:
        // so round from one that is 0, counting those that are not.
        const auto n_slots = table->n_slots;
        const auto is_end = [&](std::uint64_t i) { return table->at(i).load() == 0; };
        std::uint64_t first = 0;
        while (first < n_slots && !is_end(first)) ++first;
        std::uint64_t in_a_row = first == n_slots ? n_slots : 0;
        std::uint64_t n_filled = 0;
        std::uint64_t room = length_;
        std::vector<std::string_view> found;
        for (std::uint64_t k = 0; k < n_slots; ++k) {
            const std::uint64_t i = (first + k) % n_slots;
            const auto at = table->at(i).load();
            in_a_row = at == 0 ? 0 : in_a_row + 1;
            if (at == 0) continue;
            ++n_filled;
            if (at == name_table::removed) continue;
            const auto offset_there = name_table::offset_in(at);
            const named_node one = all.node_at(offset_there);
            if (one.node_bytes() > room) return tell("the names are longer than the file");
            const auto hash = fnv1a(one.name);
            if (!one || one.node->hash.get() != hash ||
                at != name_table::slot_word(offset_there, hash)) {
                tell("name " + std::to_string(i) + " of the table is none");
                continue;
            }
            room -= one.node_bytes();
            found.push_back(one.name);
            const bool is_found = (i - hash) % n_slots < in_a_row;
            check_name(all, one, is_found);
        }
        if (table->n_filled < n_filled) tell("the table of names counts fewer than there are");
        std::sort(found.begin(), found.end());
        for (auto same = found.begin();;) {
            same = std::adjacent_find(same, found.end());
            if (same == found.end()) break;
            tell(quoted(*same++) + " is there twice");
        }
    }

    static std::string quoted(std::string_view name) {
        std::string text("'");
        return text.append(name.substr(0, 64)).append("'");
    }

    void check_name(const names& all, const named_node& one, bool is_found) {
        const auto& node = *one.node;
        const auto name = quoted(one.name);
        if (!is_found) tell(name + " is not found under its name");
        if (node.state.load() != static_cast<std::uint32_t>(name_state::ready)) return;
        ++report_.n_named_objects;
        const bool wraps = node.size_bytes != 0 && node.count > SIZE_MAX / node.size_bytes;
        if (wraps || !all.is_in_heap(node.object, node.size_bytes * node.count))
            tell(name + " does not lie in the heap");
        else if (!std::has_single_bit(node.alignment) ||
                 reinterpret_cast<std::uintptr_t>(in_.file() + node.object) % node.alignment != 0)
            tell(name + " is not aligned");
    }

    image in_;
    unfinished left_;
    std::uint64_t length_ = 0;
    std::uint32_t huge_until_ = 0;
    segment_report report_;
    std::vector<bool> seen_;
    std::vector<std::uint32_t> unowned_; ///< spans, in their order
};

inline segment_report check(const image& in) { return checker(in).run(); }

} // namespace mmstl::inline v1::detail::heap

#endif
