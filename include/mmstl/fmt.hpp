// SPDX-License-Identifier: MIT
//
// Formatters of the {fmt} library for what mmstl has. Opt-in: nothing else includes fmt.

#ifndef MMSTL_FMT_HPP
#define MMSTL_FMT_HPP

#include <mmstl.hpp> // all of it, so that this also goes with the one file made of all headers

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

#if FMT_VERSION < 90000
#error "mmstl/fmt.hpp needs fmt 9 or newer"
#endif

/// What `fmt::format("{}", x)` makes of an `x` of mmstl's:
///
///     access, advice, errc, layout, ...     the name of the enumerator: read_only
///     seal                                  seals|shrink
///     mapping_error and other exceptions    what(): open 'a.f32': No such file or directory
///     reservation_exhausted                 what(), and how many were asked for and there are
///     mapped_span<char>                     its characters
///     mapped_span<T>, mapped_vector<T>      its elements, as fmt/ranges.h has them: [1, 2, 3]
///     span_options, growth and the like     the members that are not as by default, as one writes
///                                           them: {.access = copy_on_write, .count = 10}
///     backing                               its name
///     backing_handle, mapping, segment      a line that says how it is
///     robust_mutex                          good, or broken, as `is_broken` has it
///     recovery, segment_report              a line
///     named_object                          name, type, how many, bytes and offset
///
/// All but ranges take what a string takes between the braces: width, alignment, precision. Ranges
/// take what fmt/ranges.h says: `{::.1f}`. Strings and containers in a segment need no formatter of
/// ours.
///
/// Each formatter is for one type and `char`, so that it goes before those of fmt/std.h for all
/// exceptions.
/// Complexity: constant, but linear in a range, and for a segment as `segment::used_bytes`.

namespace mmstl::inline v1::detail::formatting {

using std::string_view;

// ---- enumerators: a compiler that knows -Wswitch tells which one is missing ----

constexpr string_view name_of(access of) noexcept {
    switch (of) {
    case access::none: return "none";
    case access::read_only: return "read_only";
    case access::read_write: return "read_write";
    case access::copy_on_write: return "copy_on_write";
    case access::execute: return "execute";
    }
    return {};
}

constexpr string_view name_of(advice of) noexcept {
    switch (of) {
    case advice::normal: return "normal";
    case advice::random: return "random";
    case advice::sequential: return "sequential";
    case advice::will_need: return "will_need";
    case advice::populate_read: return "populate_read";
    case advice::populate_write: return "populate_write";
    case advice::cold: return "cold";
    case advice::page_out: return "page_out";
    case advice::huge_page: return "huge_page";
    case advice::no_huge_page: return "no_huge_page";
    case advice::collapse: return "collapse";
    case advice::mergeable: return "mergeable";
    case advice::unmergeable: return "unmergeable";
    case advice::dump: return "dump";
    case advice::dont_dump: return "dont_dump";
    case advice::fork: return "fork";
    case advice::dont_fork: return "dont_fork";
    }
    return {};
}

constexpr string_view name_of(destructive_advice of) noexcept {
    switch (of) {
    case destructive_advice::dont_need: return "dont_need";
    case destructive_advice::dont_need_locked: return "dont_need_locked";
    case destructive_advice::free: return "free";
    case destructive_advice::remove: return "remove";
    case destructive_advice::wipe_on_fork: return "wipe_on_fork";
    case destructive_advice::keep_on_fork: return "keep_on_fork";
    case destructive_advice::guard_install: return "guard_install";
    case destructive_advice::guard_remove: return "guard_remove";
    }
    return {};
}

constexpr string_view name_of(pages of) noexcept {
    switch (of) {
    case pages::normal: return "normal";
    case pages::transparent_huge: return "transparent_huge";
    case pages::huge_tlb: return "huge_tlb";
    }
    return {};
}

constexpr string_view name_of(allocation of) noexcept {
    switch (of) {
    case allocation::automatic: return "automatic";
    case allocation::blocks: return "blocks";
    case allocation::sparse: return "sparse";
    }
    return {};
}

constexpr string_view name_of(placement of) noexcept {
    switch (of) {
    case placement::anywhere: return "anywhere";
    case placement::hint: return "hint";
    case placement::exact: return "exact";
    }
    return {};
}

constexpr string_view name_of(behind of) noexcept {
    switch (of) {
    case behind::keep: return "keep";
    case behind::release: return "release";
    case behind::evict: return "evict";
    }
    return {};
}

constexpr string_view name_of(layout of) noexcept {
    switch (of) {
    case layout::header: return "header";
    case layout::raw: return "raw";
    }
    return {};
}

constexpr string_view name_of(on_unclean of) noexcept {
    switch (of) {
    case on_unclean::automatic: return "automatic";
    case on_unclean::durable: return "durable";
    case on_unclean::published: return "published";
    case on_unclean::fail: return "fail";
    }
    return {};
}

constexpr string_view name_of(unclean_segment of) noexcept {
    switch (of) {
    case unclean_segment::refuse: return "refuse";
    case unclean_segment::check: return "check";
    }
    return {};
}

constexpr string_view name_of(errc of) noexcept {
    switch (of) {
    case errc::not_mappable: return "not_mappable";
    case errc::length_not_multiple: return "length_not_multiple";
    case errc::misaligned: return "misaligned";
    case errc::past_the_end: return "past_the_end";
    case errc::size_overflow: return "size_overflow";
    case errc::needs_count: return "needs_count";
    case errc::wrong_access: return "wrong_access";
    case errc::no_name: return "no_name";
    case errc::replaced: return "replaced";
    case errc::bad_name: return "bad_name";
    case errc::foreign_file: return "foreign_file";
    case errc::incomplete: return "incomplete";
    case errc::damaged: return "damaged";
    case errc::other_version: return "other_version";
    case errc::other_byte_order: return "other_byte_order";
    case errc::other_kind: return "other_kind";
    case errc::other_element_size: return "other_element_size";
    case errc::other_type: return "other_type";
    case errc::unclean: return "unclean";
    case errc::other_abi: return "other_abi";
    case errc::address_taken: return "address_taken";
    case errc::copy_is_open: return "copy_is_open";
    case errc::name_taken: return "name_taken";
    case errc::name_too_long: return "name_too_long";
    case errc::too_many_processes: return "too_many_processes";
    case errc::too_many_threads: return "too_many_threads";
    case errc::not_in_a_segment: return "not_in_a_segment";
    }
    return {};
}

template <class T>
concept named_enum = requires(T of) {
    name_of(of);
};

/// What is no enumerator is a number.
template <named_enum Enum> std::string text(Enum of) {
    const string_view name = name_of(of);
    return name.empty() ? std::to_string(static_cast<unsigned>(of)) : std::string(name);
}

inline std::string text(seal of) {
    struct bit {
        seal is;
        string_view name;
    };
    static constexpr bit bits[] = {{seal::seals, "seals"},
                                   {seal::shrink, "shrink"},
                                   {seal::grow, "grow"},
                                   {seal::write, "write"},
                                   {seal::future_write, "future_write"}};
    std::string all;
    auto rest = static_cast<unsigned>(of);
    for (const bit& one : bits) {
        if ((rest & static_cast<unsigned>(one.is)) == 0) continue;
        rest &= ~static_cast<unsigned>(one.is);
        all.append(all.empty() ? "" : "|").append(one.name);
    }
    if (rest != 0 || all.empty()) all.append(fmt::format("{}{:#x}", all.empty() ? "" : "|", rest));
    return all;
}

// ---- options ----

/// Gathers the members that are not as by default.
class members {
public:
    template <class T> members& add(string_view name, const T& is, const T& by_default) {
        if (is != by_default) append(name, spell(is));
        return *this;
    }
    members& append(string_view name, string_view value) {
        text_.append(text_.empty() ? "." : ", .").append(name).append(" = ").append(value);
        return *this;
    }
    [[nodiscard]] bool empty() const noexcept { return text_.empty(); }
    [[nodiscard]] std::string str() const { return "{" + text_ + "}"; }

private:
    template <class T> static std::string spell(const T& is) { return fmt::format("{}", is); }
    template <named_enum Enum> static std::string spell(const Enum& is) { return text(is); }
    template <class T> static std::string spell(const std::optional<T>& is) {
        return is ? spell(*is) : "{}";
    }

    std::string text_;
};

inline std::string text(const file_options& of) {
    members all;
    if (of.permissions != file_options{}.permissions)
        all.append("permissions", fmt::format("{:#o}", of.permissions));
    return all.str();
}

inline std::string text(const shared_memory_options& of) {
    members all;
    if (of.permissions != shared_memory_options{}.permissions)
        all.append("permissions", fmt::format("{:#o}", of.permissions));
    return all.str();
}

inline std::string text(const memory_options& of) {
    return members().add("pages", of.pages, memory_options{}.pages).str();
}

inline std::string text(const mapping_options& of) {
    const mapping_options by_default;
    return members()
        .add("access", of.access, by_default.access)
        .add("offset_bytes", of.offset_bytes, by_default.offset_bytes)
        .add("length_bytes", of.length_bytes, by_default.length_bytes)
        .add("reserve_bytes", of.reserve_bytes, by_default.reserve_bytes)
        .add("address", of.address, by_default.address)
        .add("placement", of.placement, by_default.placement)
        .add("pages", of.pages, by_default.pages)
        .add("allocation", of.allocation, by_default.allocation)
        .add("populate", of.populate, by_default.populate)
        .str();
}

inline std::string text(const span_options& of) {
    const span_options by_default;
    return members()
        .add("access", of.access, by_default.access)
        .add("offset_bytes", of.offset_bytes, by_default.offset_bytes)
        .add("count", of.count, by_default.count)
        .add("copy_below_bytes", of.copy_below_bytes, by_default.copy_below_bytes)
        .add("pages", of.pages, by_default.pages)
        .add("allocation", of.allocation, by_default.allocation)
        .str();
}

inline std::string text(const chunk_options& of) {
    const chunk_options by_default;
    return members()
        .add("prefetch_bytes", of.prefetch_bytes, by_default.prefetch_bytes)
        .add("behind", of.behind, by_default.behind)
        .str();
}

inline members members_of(const growth& of) {
    const growth by_default;
    return members()
        .add("factor", of.factor, by_default.factor)
        .add("least_bytes", of.least_bytes, by_default.least_bytes)
        .add("most_bytes", of.most_bytes, by_default.most_bytes);
}
inline std::string text(const growth& of) { return members_of(of).str(); }

inline std::string text(const vector_options& of) {
    const vector_options by_default;
    members all;
    all.add("reserved", of.reserved, by_default.reserved);
    if (!members_of(of.growth).empty()) all.append("growth", text(of.growth));
    return all.add("allocation", of.allocation, by_default.allocation)
        .add("layout", of.layout, by_default.layout)
        .add("on_unclean", of.on_unclean, by_default.on_unclean)
        .add("pages", of.pages, by_default.pages)
        .str();
}

inline std::string text(const segment_options& of) {
    const segment_options by_default;
    return members()
        .add("capacity_bytes", of.capacity_bytes, by_default.capacity_bytes)
        .add("base_address", of.base_address, by_default.base_address)
        .add("growth_bytes", of.growth_bytes, by_default.growth_bytes)
        .add("allocation", of.allocation, by_default.allocation)
        .add("unclean", of.unclean, by_default.unclean)
        .add("access", of.access, by_default.access)
        .str();
}

// ---- errors ----

inline std::string text(const mapping_error& of) { return of.what(); }
inline std::string text(const segment_exhausted& of) { return of.what(); }
inline std::string text(const reservation_exhausted& of) {
    return fmt::format("{} (asked for {}, there are {})", of.what(), of.asked(), of.reserved());
}

// ---- what there is ----

/// As `mapping_error::what` has it.
inline std::string quoted(string_view name) {
    std::string text = "'";
    for (char c : name) c == '\0' ? text.append("\\0") : text.append(1, c);
    return text.append("'");
}

inline std::string text(const backing& of) { return of.name(); }

inline std::string text(const backing_handle& of) {
    if (!of.is_open()) return "backing_handle: closed";
    return fmt::format("backing_handle {}: descriptor {}", quoted(of.name()), of.native_handle());
}

inline std::string text(const mapping& of) {
    if (of.data() == nullptr) return "mapping: empty";
    auto all = fmt::format("mapping {}: {} bytes", quoted(of.name()), of.size_bytes());
    if (of.reserved_bytes() != of.size_bytes())
        all.append(fmt::format(", addresses for {}", of.reserved_bytes()));
    return all.append(", ").append(name_of(of.access()));
}

inline std::string text(const segment& of) {
    if (!of.is_open()) return "segment: closed";
    return fmt::format("segment {}: {} bytes used, {} free", quoted(of.name()), of.used_bytes(),
                       of.free_bytes());
}

inline std::string text(const named_object& of) {
    return fmt::format("{}: {} of {}, {} bytes at {}", quoted(of.name), of.count, of.type_name,
                       of.count * of.size_bytes, of.offset);
}

inline std::string text(const segment_report& of) {
    if (of.clean())
        return fmt::format("no problem; {} blocks, {} named objects, {} bytes used, {} free",
                           of.n_blocks, of.n_named_objects, of.used_bytes, of.free_bytes);
    auto all = fmt::format("{} problem{}: {}", of.n_problems, of.n_problems == 1 ? "" : "s",
                           fmt::join(of.problems, "; "));
    return of.n_problems > of.problems.size() ? all.append("; ...") : all;
}

inline std::string text(const recovery& of) {
    return fmt::format("{} elements durable, {} published", of.durable_size, of.published_size);
}

inline std::string text(const robust_mutex& of) {
    return of.is_broken() ? "robust_mutex: broken, its owner has died" : "robust_mutex: good";
}

/// Formats what `text` makes of it: not as a string itself, which has quotes in a range.
class as_text {
public:
    template <class Context> constexpr auto parse(Context& context) {
        return string_.parse(context);
    }
    template <class T, class Context> auto format(const T& of, Context& context) const {
        const std::string all = text(of);
        return string_.format({all.data(), all.size()}, context);
    }

private:
    fmt::formatter<fmt::string_view> string_;
};

/// Formats what converts to a `std::string_view`.
struct as_string : fmt::formatter<fmt::string_view> {
    template <class Context> auto format(string_view of, Context& context) const {
        return fmt::formatter<fmt::string_view>::format({of.data(), of.size()}, context);
    }
};

} // namespace mmstl::inline v1::detail::formatting

template <> struct fmt::formatter<mmstl::access> : mmstl::detail::formatting::as_text {};
template <> struct fmt::formatter<mmstl::advice> : mmstl::detail::formatting::as_text {};
template <>
struct fmt::formatter<mmstl::destructive_advice> : mmstl::detail::formatting::as_text {};
template <> struct fmt::formatter<mmstl::pages> : mmstl::detail::formatting::as_text {};
template <> struct fmt::formatter<mmstl::allocation> : mmstl::detail::formatting::as_text {};
template <> struct fmt::formatter<mmstl::placement> : mmstl::detail::formatting::as_text {};
template <> struct fmt::formatter<mmstl::behind> : mmstl::detail::formatting::as_text {};
template <> struct fmt::formatter<mmstl::layout> : mmstl::detail::formatting::as_text {};
template <> struct fmt::formatter<mmstl::on_unclean> : mmstl::detail::formatting::as_text {};
template <> struct fmt::formatter<mmstl::unclean_segment> : mmstl::detail::formatting::as_text {};
template <> struct fmt::formatter<mmstl::errc> : mmstl::detail::formatting::as_text {};
template <> struct fmt::formatter<mmstl::seal> : mmstl::detail::formatting::as_text {};

template <> struct fmt::formatter<mmstl::file_options> : mmstl::detail::formatting::as_text {};
template <>
struct fmt::formatter<mmstl::shared_memory_options> : mmstl::detail::formatting::as_text {};
template <> struct fmt::formatter<mmstl::memory_options> : mmstl::detail::formatting::as_text {};
template <> struct fmt::formatter<mmstl::mapping_options> : mmstl::detail::formatting::as_text {};
template <> struct fmt::formatter<mmstl::span_options> : mmstl::detail::formatting::as_text {};
template <> struct fmt::formatter<mmstl::chunk_options> : mmstl::detail::formatting::as_text {};
template <> struct fmt::formatter<mmstl::growth> : mmstl::detail::formatting::as_text {};
template <> struct fmt::formatter<mmstl::vector_options> : mmstl::detail::formatting::as_text {};
template <> struct fmt::formatter<mmstl::segment_options> : mmstl::detail::formatting::as_text {};

template <> struct fmt::formatter<mmstl::mapping_error> : mmstl::detail::formatting::as_text {};
template <> struct fmt::formatter<mmstl::owner_died> : mmstl::detail::formatting::as_text {};
template <> struct fmt::formatter<mmstl::segment_exhausted> : mmstl::detail::formatting::as_text {};
template <>
struct fmt::formatter<mmstl::reservation_exhausted> : mmstl::detail::formatting::as_text {};

template <> struct fmt::formatter<mmstl::backing> : mmstl::detail::formatting::as_text {};
template <> struct fmt::formatter<mmstl::backing_handle> : mmstl::detail::formatting::as_text {};
template <> struct fmt::formatter<mmstl::mapping> : mmstl::detail::formatting::as_text {};
template <> struct fmt::formatter<mmstl::segment> : mmstl::detail::formatting::as_text {};
template <> struct fmt::formatter<mmstl::named_object> : mmstl::detail::formatting::as_text {};
template <> struct fmt::formatter<mmstl::segment_report> : mmstl::detail::formatting::as_text {};
template <> struct fmt::formatter<mmstl::recovery> : mmstl::detail::formatting::as_text {};
template <> struct fmt::formatter<mmstl::robust_mutex> : mmstl::detail::formatting::as_text {};

template <>
struct fmt::formatter<mmstl::mapped_span<char>> : mmstl::detail::formatting::as_string {};
template <>
struct fmt::formatter<mmstl::mapped_span<const char>> : mmstl::detail::formatting::as_string {};

#endif
