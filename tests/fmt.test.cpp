// SPDX-License-Identifier: MIT

#include "support/catch.hpp"

#include <mmstl.hpp>

#ifdef FMT_VERSION
#error "mmstl.hpp includes fmt"
#endif

#include <mmstl/fmt.hpp>

#if __has_include(<fmt/std.h>)
#include <fmt/std.h> // its formatter of all exceptions, from version 10 on, is not to clash with ours
#endif

#include "support/in_child.hpp"
#include "support/temporary.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace {

template <class T> std::string formatted(const T& of) { return fmt::format("{}", of); }

/// The names of the values from `first` to the last that has one.
template <class Enum> std::vector<std::string> names(unsigned first = 0) {
    std::vector<std::string> all;
    for (unsigned value = first;; ++value) {
        auto name = formatted(static_cast<Enum>(value));
        if (name == std::to_string(value)) return all;
        all.push_back(std::move(name));
    }
}

} // namespace

TEST_CASE("enumerators are formatted by their names") {
    CHECK(names<mmstl::access>() ==
          std::vector<std::string>{"none", "read_only", "read_write", "copy_on_write", "execute"});
    CHECK(names<mmstl::pages>() ==
          std::vector<std::string>{"normal", "transparent_huge", "huge_tlb"});
    CHECK(names<mmstl::allocation>() == std::vector<std::string>{"automatic", "blocks", "sparse"});
    CHECK(names<mmstl::placement>() == std::vector<std::string>{"anywhere", "hint", "exact"});
    CHECK(names<mmstl::behind>() == std::vector<std::string>{"keep", "release", "evict"});
    CHECK(names<mmstl::layout>() == std::vector<std::string>{"header", "raw"});
    CHECK(names<mmstl::on_unclean>() ==
          std::vector<std::string>{"automatic", "durable", "published", "fail"});
    CHECK(names<mmstl::unclean_segment>() == std::vector<std::string>{"refuse", "check"});
    CHECK(names<mmstl::advice>().size() == static_cast<std::size_t>(mmstl::advice::dont_fork) + 1);
    CHECK(formatted(mmstl::advice::populate_read) == "populate_read");
    CHECK(names<mmstl::destructive_advice>().size() ==
          static_cast<std::size_t>(mmstl::destructive_advice::guard_remove) + 1);
    CHECK(formatted(mmstl::destructive_advice::dont_need) == "dont_need");
    CHECK(names<mmstl::errc>(1).size() == static_cast<std::size_t>(mmstl::errc::not_in_a_segment));
    CHECK(formatted(mmstl::errc::past_the_end) == "past_the_end");
}

TEST_CASE("no two enumerators of an enumeration are formatted alike") {
    for (auto all :
         {names<mmstl::advice>(), names<mmstl::destructive_advice>(), names<mmstl::errc>(1)}) {
        std::ranges::sort(all);
        CHECK(std::ranges::adjacent_find(all) == all.end());
    }
}

TEST_CASE("seals are formatted as they are combined") {
    CHECK(formatted(mmstl::seal::write) == "write");
    CHECK(formatted(mmstl::seal::shrink | mmstl::seal::seals | mmstl::seal::grow) ==
          "seals|shrink|grow");
    CHECK(formatted(mmstl::seal{}) == "0x0");
    CHECK(formatted(static_cast<mmstl::seal>(0x50)) == "future_write|0x40");
}

TEST_CASE("formatters take what a string takes between the braces") {
    CHECK(fmt::format("{:>12}|{:<6}|{:.4}", mmstl::access::read_only, mmstl::layout::raw,
                      mmstl::pages::transparent_huge) == "   read_only|raw   |tran");
    CHECK(fmt::format("{:*^21}", mmstl::segment()) == "***segment: closed***");
    const std::vector all = {mmstl::access::none, mmstl::access::read_write};
    CHECK(fmt::format("{}", all) == "[none, read_write]");
}

TEST_CASE("errors are formatted with the call, the path, what was asked for and what there was") {
    const support::temporary_directory scratch;
    const std::string path = scratch / "absent";
    try {
        mmstl::mapped_span<const int> span(path);
        FAIL();
    } catch (const mmstl::mapping_error& error) {
        CHECK(formatted(error) == "open '" + path + "': No such file or directory");
    }
    (void)mmstl::mapped_span<char>::create(path, 10);
    try {
        mmstl::mapped_span<const char> span(path, {.offset_bytes = 8, .count = 4});
        FAIL();
    } catch (const mmstl::mapping_error& error) {
        CHECK(formatted(error) == error.what());
        CHECK(formatted(error).find("asked for 12 bytes, there are 10") != std::string::npos);
    }
    CHECK(formatted(mmstl::reservation_exhausted(2000, 1000)) ==
          "mmstl: more elements than addresses are reserved for (asked for 2000, there are 1000)");
    const mmstl::segment_exhausted exhausted(4096, 100,
                                             std::make_error_code(std::errc::no_space_on_device));
    CHECK(formatted(exhausted) == exhausted.what());
    const mmstl::owner_died died(mmstl::detail::posix::failed("robust_mutex", EOWNERDEAD), "a.mms");
    CHECK(formatted(died) == "robust_mutex 'a.mms': Owner died");
}

TEST_CASE("spans and vectors are formatted as ranges, spans of characters as strings") {
    mmstl::mapped_span<int> numbers(mmstl::anonymous(), {.count = 3});
    numbers[1] = 7;
    CHECK(formatted(numbers) == "[0, 7, 0]");
    CHECK(fmt::format("{::02}", numbers) == "[00, 07, 00]");
    CHECK(fmt::format("{}", fmt::join(numbers, "; ")) == "0; 7; 0");
    CHECK(formatted(mmstl::mapped_span<const int>()) == "[]");

    auto vector = mmstl::mapped_vector<double>::create(mmstl::anonymous());
    vector = {0.5, 2};
    CHECK(fmt::format("{::.1f}", vector) == "[0.5, 2.0]");
    CHECK(fmt::format("{}", std::as_const(vector)) == "[0.5, 2]");

    mmstl::mapped_span<char> characters(mmstl::anonymous(), {.count = 4});
    std::ranges::copy(std::string_view("mmap"), characters.begin());
    CHECK(formatted(characters) == "mmap");
    CHECK(fmt::format("{:>6.2}", characters) == "    mm");
    CHECK(formatted(mmstl::mapped_span<const char>()).empty());
}

TEST_CASE("what is in a segment is formatted as what is not") {
    auto segment = mmstl::segment::create(mmstl::anonymous());
    auto& map = segment.construct<mmstl::map<mmstl::string, mmstl::vector<int>>>("map");
    map["a"] = mmstl::vector<int>{1, 2};
    CHECK(formatted(map) == R"({"a": [1, 2]})");
    CHECK(formatted(map.begin()->first) == "a");
}

TEST_CASE("options are formatted as one writes them, without what is by default") {
    CHECK(formatted(mmstl::file_options{}) == "{}");
    CHECK(formatted(mmstl::file_options{.permissions = 0640}) == "{.permissions = 0640}");
    CHECK(formatted(mmstl::shared_memory_options{}) == "{}");
    CHECK(formatted(mmstl::shared_memory_options{.permissions = 0666}) == "{.permissions = 0666}");
    CHECK(formatted(mmstl::memory_options{}) == "{}");
    CHECK(formatted(mmstl::memory_options{.pages = mmstl::pages::huge_tlb}) ==
          "{.pages = huge_tlb}");
    CHECK(formatted(mmstl::mapping_options{}) == "{}");
    CHECK(
        formatted(mmstl::mapping_options{.access = mmstl::access::read_write,
                                         .offset_bytes = 6,
                                         .length_bytes = 0,
                                         .reserve_bytes = 4096,
                                         .address = reinterpret_cast<void*>(0x10000),
                                         .placement = mmstl::placement::exact,
                                         .pages = mmstl::pages::transparent_huge,
                                         .allocation = mmstl::allocation::blocks,
                                         .populate = true}) ==
        "{.access = read_write, .offset_bytes = 6, .length_bytes = 0, .reserve_bytes = 4096, "
        ".address = 0x10000, .placement = exact, .pages = transparent_huge, .allocation = blocks, "
        ".populate = true}");
    CHECK(formatted(mmstl::span_options{}) == "{}");
    CHECK(formatted(mmstl::span_options{.access = mmstl::access::copy_on_write,
                                        .offset_bytes = 6,
                                        .count = 1201,
                                        .copy_below_bytes = 1,
                                        .pages = mmstl::pages::transparent_huge,
                                        .allocation = mmstl::allocation::sparse}) ==
          "{.access = copy_on_write, .offset_bytes = 6, .count = 1201, .copy_below_bytes = 1, "
          ".pages = transparent_huge, .allocation = sparse}");
    CHECK(formatted(mmstl::chunk_options{}) == "{}");
    CHECK(formatted(mmstl::chunk_options{.prefetch_bytes = 0, .behind = mmstl::behind::evict}) ==
          "{.prefetch_bytes = 0, .behind = evict}");
    CHECK(formatted(mmstl::growth{}) == "{}");
    CHECK(formatted(mmstl::vector_options{}) == "{}");
    CHECK(formatted(mmstl::vector_options{
              .reserved = 1000,
              .growth = {.factor = 1.5, .least_bytes = 4096, .most_bytes = 8192},
              .allocation = mmstl::allocation::sparse,
              .layout = mmstl::layout::raw,
              .on_unclean = mmstl::on_unclean::fail,
              .pages = mmstl::pages::transparent_huge}) ==
          "{.reserved = 1000, .growth = {.factor = 1.5, .least_bytes = 4096, .most_bytes = 8192}, "
          ".allocation = sparse, .layout = raw, .on_unclean = fail, .pages = transparent_huge}");
    CHECK(formatted(mmstl::segment_options{}) == "{}");
    CHECK(formatted(mmstl::segment_options{.capacity_bytes = 64 << 20,
                                           .base_address = reinterpret_cast<void*>(0x2000000),
                                           .growth_bytes = 0,
                                           .allocation = mmstl::allocation::sparse,
                                           .unclean = mmstl::unclean_segment::check,
                                           .access = mmstl::access::read_only}) ==
          "{.capacity_bytes = 67108864, .base_address = 0x2000000, .growth_bytes = 0, "
          ".allocation = sparse, .unclean = check, .access = read_only}");
}

TEST_CASE("backings, handles and mappings are formatted by name and state") {
    CHECK(formatted(mmstl::backing("a.f32")) == "a.f32");
    CHECK(formatted(mmstl::anonymous()) == "anonymous");
    CHECK(fmt::format("{:>7}", mmstl::borrowed_fd(3)) == "   fd 3");

    mmstl::backing_handle handle;
    CHECK(formatted(handle) == "backing_handle: closed");
    handle = mmstl::memory_file("label").create();
    CHECK(formatted(handle) ==
          fmt::format("backing_handle 'label': descriptor {}", handle.native_handle()));

    CHECK(formatted(mmstl::mapping()) == "mapping: empty");
    mmstl::mapping mapping(mmstl::anonymous(),
                           {.access = mmstl::access::read_write, .length_bytes = 10});
    CHECK(formatted(mapping) == "mapping 'anonymous': 10 bytes, read_write");
    handle.resize(5);
    mapping = mmstl::mapping(handle, {.reserve_bytes = 100});
    CHECK(formatted(mapping) == fmt::format("mapping 'label': 5 bytes, addresses for {}, read_only",
                                            mapping.reserved_bytes()));
    mapping = mmstl::mapping(handle, {.length_bytes = 0});
    CHECK(formatted(mapping) == "mapping: empty");
}

TEST_CASE("a NUL byte in a name is formatted as in an error") {
    const mmstl::named_object object{std::string("a\0b", 3), "int", 2, 4, 4, 64};
    CHECK(formatted(object) == R"('a\0b': 2 of int, 8 bytes at 64)");
}

TEST_CASE("segments, what they report and what they name are formatted as lines") {
    auto segment = mmstl::segment::create(mmstl::memory_file("heap"));
    CHECK(formatted(segment) == fmt::format("segment 'heap': {} bytes used, {} free",
                                            segment.used_bytes(), segment.free_bytes()));
    segment.construct<double[]>("grid", 3);
    const auto objects = segment.named_objects();
    REQUIRE(objects.size() == 1);
    CHECK(formatted(objects[0]) ==
          fmt::format("'grid': 3 of {}, 24 bytes at {}", objects[0].type_name, objects[0].offset));
    auto report = segment.check();
    CHECK(formatted(report) ==
          fmt::format("no problem; {} blocks, 1 named objects, {} bytes used, {} free",
                      report.n_blocks, report.used_bytes, report.free_bytes));
    report.problems = {"one is"};
    report.n_problems = 1;
    CHECK(formatted(report) == "1 problem: one is");
    report.problems.emplace_back("two are");
    report.n_problems = 3;
    CHECK(formatted(report) == "3 problems: one is; two are; ...");
    segment.close();
    CHECK(formatted(segment) == "segment: closed");
    CHECK(formatted(mmstl::recovery{3, 5}) == "3 elements durable, 5 published");
}

TEST_CASE("a robust_mutex is formatted as good or broken") {
    auto segment = mmstl::segment::create(mmstl::anonymous());
    auto& mutex = segment.construct<mmstl::robust_mutex>("mutex");
    CHECK(formatted(mutex) == "robust_mutex: good");
    (void)support::in_child([&] { mutex.lock(); });
    CHECK_THROWS_AS(mutex.lock(), mmstl::owner_died);
    CHECK(formatted(mutex) == "robust_mutex: broken, its owner has died");
}
