// SPDX-License-Identifier: MIT
//
// mapping.hpp: one mmap, its ranges, its advice, and what the kernel refuses.

#include "support/catch.hpp"
#include "support/checks.hpp"
#include "support/fault.hpp"
#include "support/in_child.hpp"
#include "support/leaks.hpp"
#include "support/temporary.hpp"

#include <mmstl/mapping.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace support;
using mmstl::advice;
using mmstl::backing;
using mmstl::destructive_advice;
using mmstl::errc;
using mmstl::mapping;
using mmstl::mapping_options;
using mmstl::placement;

namespace {

/// `n` bytes that differ from page to page and from byte to byte.
std::string pattern(std::size_t n) {
    std::string text(n, '\0');
    for (std::size_t i = 0; i < n; ++i)
        text[i] = static_cast<char>('!' + (i + i / page_size()) % 90);
    return text;
}

std::string_view text_of(const mapping& map) {
    return {reinterpret_cast<const char*>(map.data()), map.size_bytes()};
}

/// A file of so many bytes of `pattern`.
struct patterned_file {
    explicit patterned_file(std::size_t n) : text(pattern(n)), path(directory / "patterned") {
        write_file(path, text);
    }
    temporary_directory directory;
    std::string text;
    std::string path;
};

/// Both forms of mapping fail with `expected`, and leave nothing open or mapped.
void check_map_fails(const backing& what, const mapping_options& options, const said& expected) {
    const leak_check guard;
    CHECK(error_of([&] { const mapping map(what, options); }) == expected);
    std::error_code ec;
    const mapping map(what, options, ec);
    CHECK(ec == expected.code);
    CHECK(map.empty());
}

bool touch(const std::byte* at) {
    return *static_cast<const volatile std::byte*>(at) == std::byte{0};
}
/// Also where the mapping would not hand out a mutable pointer: what happens then is tested.
void write(const std::byte* at, char c) {
    *static_cast<volatile std::byte*>(const_cast<std::byte*>(at)) = static_cast<std::byte>(c);
}

/// A number from /proc/self/status, in kB.
long status_of(const std::string& name) {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        if (line.starts_with(name + ":")) return std::stol(line.substr(name.size() + 1));
    return -1;
}

} // namespace

// ---- what is mapped ----

TEST_CASE("a mapping of a file holds its bytes, and keeps no descriptor") {
    const patterned_file file(3 * page_size() + 5);
    const auto before = holdings::now();
    mapping map(file.path);
    CHECK(map.size_bytes() == file.text.size());
    CHECK(text_of(map) == file.text);
    CHECK(map.access() == read_only);
    CHECK(map.name() == file.path);
    CHECK(map.reserved_bytes() == map.size_bytes());
    CHECK_THAT(holdings::now().beyond(before),
               !contains_text("descriptor") && contains_text("mapping"));
    map.close();
    CHECK(map.empty());
    CHECK(map.data() == nullptr);
    CHECK(holdings::now().beyond(before) == "");
}

TEST_CASE("any byte can be the first, and any the last") {
    const auto page = page_size();
    const patterned_file file(4 * page);
    for (const std::size_t first : {std::size_t{0}, std::size_t{1}, page - 1, page, page + 1,
                                    2 * page, 4 * page - 1, 4 * page}) {
        for (const std::size_t n : {std::size_t{0}, std::size_t{1}, page - 1, page, page + 1}) {
            if (first + n > file.text.size()) continue;
            INFO("offset " << first << ", length " << n);
            const leak_check guard;
            const mapping part(file.path, {.offset_bytes = first, .length_bytes = n});
            CHECK(text_of(part) == std::string_view(file.text).substr(first, n));
        }
        const mapping rest(file.path, {.offset_bytes = first});
        CHECK(text_of(rest) == std::string_view(file.text).substr(first));
    }
}

TEST_CASE("a range past the end is refused, also when its end wraps around") {
    const auto page = page_size();
    const patterned_file file(page + 10);
    const auto past = says(errc::past_the_end, "mmap", file.path);
    check_map_fails(file.path, {.offset_bytes = page + 11}, past);
    check_map_fails(file.path, {.offset_bytes = 2 * page}, past);
    check_map_fails(file.path, {.length_bytes = page + 11}, past);
    check_map_fails(file.path, {.offset_bytes = 1, .length_bytes = page + 10}, past);
    check_map_fails(file.path, {.offset_bytes = page + 10, .length_bytes = 1}, past);
    check_map_fails(file.path, {.offset_bytes = UINT64_MAX}, past);
    const auto wraps = says(errc::size_overflow, "mmap", file.path);
    check_map_fails(file.path, {.offset_bytes = 2, .length_bytes = UINT64_MAX - 1}, wraps);
    check_map_fails(file.path, {.offset_bytes = UINT64_MAX, .length_bytes = 1}, wraps);
    check_map_fails(file.path, {.offset_bytes = UINT64_MAX, .length_bytes = UINT64_MAX}, wraps);
    check_map_fails(file.path, {.length_bytes = UINT64_MAX}, past);
    CHECK_NOTHROW(mapping(file.path, {.offset_bytes = page + 10, .length_bytes = 0}));
}

TEST_CASE("an error about a range says what was asked for and what there is") {
    const patterned_file file(100);
    try {
        const mapping map(file.path, {.offset_bytes = 60, .length_bytes = 50});
        FAIL("should be past the end");
    } catch (const mmstl::mapping_error& e) {
        CHECK(e.asked_bytes() == 110);
        CHECK(e.available_bytes() == 100);
        CHECK_THAT(e.what(), contains_text(file.path));
    }
}

TEST_CASE("an empty file is an empty mapping, of which everything can be asked") {
    const temporary_directory directory;
    write_file(directory / "empty", "");
    const leak_check guard;
    mapping map(directory / "empty", {.access = read_write});
    CHECK(map.empty());
    CHECK(map.data() == nullptr);
    CHECK_NOTHROW(map.flush());
    CHECK_NOTHROW(map.flush_async());
    CHECK_NOTHROW(map.advise(advice::random));
    CHECK_NOTHROW(map.discard(destructive_advice::dont_need, 0, 0));
    CHECK_NOTHROW(map.prefetch());
    CHECK_NOTHROW(map.lock_in_memory());
    CHECK_NOTHROW(map.unlock_from_memory());
    CHECK_NOTHROW(map.protect(read_only));
    CHECK(map.resident());
    CHECK(map.resident_bytes() == 0);
    CHECK(map.readable());
    CHECK_NOTHROW(map.close());
    CHECK_NOTHROW(map.close());
}

TEST_CASE("a mapping made by default is empty") {
    STATIC_REQUIRE(std::is_nothrow_default_constructible_v<mapping>);
    mapping map;
    CHECK(map.empty());
    CHECK(map.size_bytes() == 0);
    CHECK(map.reserved_bytes() == 0);
    CHECK_NOTHROW(map.flush());
    CHECK(map.readable());
    CHECK_NOTHROW(map.close());
}

TEST_CASE("every backing can be mapped, and children share it") {
    const auto which = every_kind();
    INFO(which);
    const auto n = 2 * page_size() + 3;
    const sample one(which);
    const auto where = one.backing_of(n);
    const leak_check guard;
    mapping map(where, {.access = read_write, .length_bytes = n});
    REQUIRE(map.size_bytes() == n);
    CHECK(std::all_of(map.data(), map.data() + n, [](std::byte b) { return b == std::byte{0}; }));
    CHECK(map.name() == where.name());
    check_in_child([&] { write(map.data() + n - 1, 'c'); });
    CHECK(map.data()[n - 1] == std::byte{'c'});
    map.flush();
    CHECK(map.readable());
}

TEST_CASE("what has no length of its own needs one") {
    const auto which = GENERATE(kind::temporary_file, kind::memory_file, kind::anonymous);
    INFO(which);
    const sample one(which);
    check_map_fails(one.backing(), {}, says(errc::needs_count, "mmap", one.backing().name()));
    check_map_fails(one.backing(),
                    {.access = read_write, .offset_bytes = UINT64_MAX, .length_bytes = 2},
                    says(errc::size_overflow, "mmap", one.backing().name()));
    const mapping offset(
        one.backing(), {.access = read_write, .offset_bytes = page_size() + 1, .length_bytes = 7});
    CHECK(offset.size_bytes() == 7);
    const mapping empty(one.backing(), {.access = read_write, .length_bytes = 0});
    CHECK(empty.empty());
}

TEST_CASE("an open handle is mapped as long as it is now, and not needed afterwards") {
    const patterned_file file(100);
    auto handle = backing(file.path).open(read_write);
    handle.resize(200);
    mapping map(handle, {.access = read_write});
    CHECK(map.size_bytes() == 200);
    handle.close();
    write(map.data(), 'Z');
    CHECK(read_file(file.path)[0] == 'Z');
    std::error_code ec;
    const mapping none(handle, {}, ec);
    CHECK(ec == std::errc::bad_file_descriptor);
}

TEST_CASE("errors of opening pass through, with their call and path") {
    const temporary_directory directory;
    check_map_fails(directory / "missing", {}, says(ENOENT, "open", directory / "missing"));
    check_map_fails(directory.path(), {}, says(EISDIR, "open", directory.path()));
    check_map_fails("/dev/null", {}, says(errc::not_mappable, "open", "/dev/null"));
}

// ---- access ----

TEST_CASE("a read-write mapping reaches the file, at once for other readers") {
    const patterned_file file(page_size() + 1);
    mapping map(file.path, {.access = read_write, .offset_bytes = 1});
    write(map.data(), 'X');
    CHECK(read_file(file.path)[1] == 'X');
}

TEST_CASE("a copy-on-write mapping never reaches the file, and needs only permission to read") {
    const patterned_file file(page_size() + 1);
    ::chmod(file.path.c_str(), 0444);
    ::chmod(file.directory.path().c_str(), 0755);
    check_in_child([&] {
        become_nobody();
        mapping map(file.path, {.access = copy_on_write});
        write(map.data() + page_size(), 'X');
        expect(map.data()[page_size()] == std::byte{'X'});
        map.flush();
    });
    mapping map(file.path, {.access = copy_on_write});
    write(map.data(), 'X');
    map.flush();
    map.close();
    CHECK(read_file(file.path) == file.text);
}

TEST_CASE(
    "writing to a read-only mapping raises SIGSEGV, and so does touching one without access") {
    const patterned_file file(10);
    mapping map(file.path);
    CHECK(in_child([&] { write(map.data(), 'X'); }).signal == SIGSEGV);
    const mapping none(file.path, {.access = mmstl::access::none});
    CHECK(none.size_bytes() == 10);
    CHECK(in_child([&] { touch(none.data()); }).signal == SIGSEGV);
}

TEST_CASE("an execute mapping can be run") {
#if defined(__x86_64__)
    constexpr unsigned char answer[] = {0xb8, 42, 0, 0, 0, 0xc3}; // mov eax, 42; ret
#elif defined(__aarch64__)
    constexpr std::uint32_t answer[] = {0x52800540, 0xd65f03c0}; // mov w0, 42; ret
#else
    return skip_loudly("no machine code for this processor");
#endif
    const temporary_directory directory;
    write_file(directory / "code", answer);
    const mapping code(directory / "code", {.access = mmstl::access::execute});
    CHECK(in_child([&] {
              return reinterpret_cast<int (*)()>(const_cast<std::byte*>(code.data()))();
          }).exit_code == 42);
}

TEST_CASE("a file that may not be written is not mapped for writing") {
    const patterned_file file(10);
    ::chmod(file.path.c_str(), 0444);
    ::chmod(file.directory.path().c_str(), 0755);
    check_in_child([&] {
        become_nobody();
        expect(error_of([&] { const mapping map(file.path, {.access = read_write}); }) ==
               says(EACCES, "open", file.path));
    });
    const auto handle = backing(file.path).open(read_only);
    CHECK(error_of([&] { const mapping map(handle, {.access = read_write}); }) ==
          says(EACCES, "mmap", file.path));
}

TEST_CASE("protect changes what may be done, for whole mappings and for ranges") {
    const auto page = page_size();
    const patterned_file file(3 * page);
    mapping map(file.path, {.access = read_write});
    map.protect(read_only, page + 1, 1);
    CHECK(in_child([&] { write(map.data() + page, 'X'); }).signal == SIGSEGV);
    check_in_child([&] {
        write(map.data() + page - 1, 'X');
        write(map.data() + 2 * page, 'X');
    });
    map.protect(mmstl::access::none);
    CHECK(in_child([&] { touch(map.data()); }).signal == SIGSEGV);
    map.protect(read_write);
    check_in_child([&] { write(map.data() + page, 'X'); });
    CHECK(map.access() == read_write);
}

TEST_CASE("protect refuses what the mapping was not made for") {
    const patterned_file file(10);
    mapping shared(file.path);
    CHECK(error_of([&] { shared.protect(read_write); }) == says(EACCES, "mprotect", file.path));
    CHECK(error_of([&] { shared.protect(copy_on_write); }) ==
          says(errc::wrong_access, "mprotect", file.path));
    mapping own(file.path, {.access = copy_on_write});
    CHECK(error_of([&] { own.protect(read_write); }) ==
          says(errc::wrong_access, "mprotect", file.path));
    CHECK(error_of([&] { own.protect(read_only, 5, 6); }) ==
          says(errc::past_the_end, "mprotect", file.path));
    CHECK(in_child([&] { touch(own.data()); }).ok());
}

// ---- reservations and placement ----

TEST_CASE("in a reservation the file grows in place") {
    const auto page = page_size();
    const patterned_file file(10);
    auto handle = backing(file.path).open(read_write);
    mapping map(handle, {.access = read_write, .reserve_bytes = 100 * page});
    CHECK(map.size_bytes() == 10);
    CHECK(map.reserved_bytes() == 100 * page);
    CHECK(in_child([&] { touch(map.data() + 50 * page); }).signal == SIGBUS);
    handle.resize(51 * page);
    check_in_child([&] { write(map.data() + 50 * page, 'X'); });
    CHECK(map.data()[50 * page] == std::byte{'X'});
    CHECK(std::memcmp(map.data(), file.text.data(), 10) == 0);
    map.flush(50 * page, 1);
    CHECK(error_of([&] { map.flush(100 * page, 1); }).code == errc::past_the_end);
}

TEST_CASE("a reservation works over an empty file, from any offset, and is never shorter than the "
          "range") {
    const temporary_directory directory;
    write_file(directory / "empty", "");
    auto handle = backing(directory / "empty").open(read_write);
    {
        mapping map(handle, {.access = read_write, .reserve_bytes = 1 << 20});
        CHECK(map.empty());
        CHECK(map.reserved_bytes() == 1 << 20);
        REQUIRE(map.data() != nullptr);
        handle.resize(1);
        write(map.data(), 'X');
    }
    CHECK(read_file(directory / "empty") == "X");
    const patterned_file file(1000);
    const mapping map(file.path, {.offset_bytes = 7, .reserve_bytes = 10});
    CHECK(text_of(map) == std::string_view(file.text).substr(7));
    CHECK(map.reserved_bytes() == 993);
}

TEST_CASE("a terabyte can be reserved over a small file") {
    if (MMSTL_TESTS_SANITIZED) return; // their shadows leave no room for it
    const patterned_file file(10);
    const leak_check guard;
    std::error_code ec;
    const mapping map(file.path, {.reserve_bytes = std::size_t{1} << 40}, ec);
    if (ec) return skip_loudly("no terabyte of addresses here: " + ec.message());
    CHECK(text_of(map) == file.text);
}

TEST_CASE("out of address space is ENOMEM, and more than there are addresses is refused") {
    const patterned_file file(10);
    check_map_fails(file.path, {.reserve_bytes = SIZE_MAX},
                    says(errc::size_overflow, "mmap", file.path));
    check_map_fails(file.path, {.offset_bytes = 5, .reserve_bytes = SIZE_MAX - page_size()},
                    says(errc::size_overflow, "mmap", file.path));
    check_map_fails(file.path, {.reserve_bytes = SIZE_MAX / 2}, says(ENOMEM, "mmap", file.path));
    if (MMSTL_TESTS_SANITIZED) return; // they have used up any limit already
    check_in_child([&] {
        const ::rlimit limit{1U << 30, 1U << 30};
        expect(::setrlimit(RLIMIT_AS, &limit) == 0);
        try {
            const mapping map(file.path, {.reserve_bytes = std::size_t{2} << 30});
            expect(false, "should be out of address space");
        } catch (const mmstl::mapping_error& e) {
            expect(e.code() == std::errc::not_enough_memory, e.what());
            expect(e.path() == file.path, e.what());
            expect(e.asked_bytes() >= std::size_t{2} << 30, e.what());
        }
    });
}

TEST_CASE(
    "an exact address is where the mapping goes, or an error that leaves everything in place") {
    const auto page = page_size();
    const patterned_file file(3 * page);
    void* const free_range =
        ::mmap(nullptr, 8 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ::munmap(free_range, 8 * page);
    auto* const at = static_cast<std::byte*>(free_range);
    {
        const mapping map(file.path, {.address = at, .placement = placement::exact});
        CHECK(map.data() == at);
        check_map_fails(file.path, {.address = at, .placement = placement::exact},
                        says(EEXIST, "mmap", file.path));
        check_map_fails(file.path, {.address = at + 2 * page, .placement = placement::exact},
                        says(EEXIST, "mmap", file.path));
        CHECK(text_of(map) == file.text);
        const mapping other(file.path, {.address = at, .placement = placement::hint});
        CHECK(other.data() != at);
        CHECK(text_of(other) == file.text);
    }
    const mapping skewed(
        file.path, {.offset_bytes = page + 5, .address = at + 5, .placement = placement::exact});
    CHECK(skewed.data() == at + 5);
    CHECK(text_of(skewed) == std::string_view(file.text).substr(page + 5));
    check_map_fails(file.path, {.address = at + 4 * page + 1, .placement = placement::exact},
                    says(errc::misaligned, "mmap", file.path));
    check_map_fails(file.path,
                    {.offset_bytes = 1, .address = at + 4 * page, .placement = placement::exact},
                    says(errc::misaligned, "mmap", file.path));
    const mapping hinted(file.path, {.address = at + 4 * page, .placement = placement::hint});
    CHECK(hinted.data() == at + 4 * page);
}

// ---- ranges to the kernel ----

TEST_CASE("flush writes any range: the kernel gets whole pages") {
    const auto page = page_size();
    const patterned_file file(4 * page);
    const auto offset = GENERATE_COPY(std::size_t{0}, std::size_t{1}, page - 1);
    mapping map(file.path, {.access = read_write, .offset_bytes = offset});
    for (const std::size_t first : {std::size_t{0}, std::size_t{1}, page - 1, page, page + 1}) {
        for (const std::size_t n : {std::size_t{1}, page - 1, page, page + 1}) {
            const fault::watch watching;
            map.flush(first, n);
            REQUIRE(watching.records().size() == 1);
            const auto [at, length] =
                std::pair(watching.records()[0].arguments[0], watching.records()[0].arguments[1]);
            CHECK(at % page == 0);
            CHECK(at <= reinterpret_cast<std::uintptr_t>(map.data()) + first);
            const auto end = reinterpret_cast<std::uintptr_t>(map.data()) + first + n;
            CHECK(at + length == (end + page - 1) / page * page);
            CHECK(watching.records()[0].arguments[2] == MS_SYNC);
        }
    }
    const fault::watch watching;
    map.flush(5, 0);
    CHECK(watching.records().empty());
    map.flush_async();
    CHECK(watching.records().at(0).arguments[2] == MS_ASYNC);
}

TEST_CASE("a range that ends past the mapping is refused, also when its end wraps around") {
    const auto page = page_size();
    const patterned_file file(page + 10);
    mapping map(file.path, {.access = read_write});
    constexpr auto most = std::numeric_limits<std::size_t>::max();
    const fault::watch watching;
    for (const auto& range : {std::pair<std::size_t, std::size_t>{page + 11, 0},
                              {0, page + 11},
                              {page + 10, 1},
                              {1, most},
                              {most, 1},
                              {most, 2},
                              {most, most}}) {
        const auto first = range.first, n = range.second;
        INFO("first " << first << ", n " << n);
        const auto code_of = [](auto function) { return error_of(function).code; };
        CHECK(code_of([&] { map.flush(first, n); }) == errc::past_the_end);
        CHECK(code_of([&] { map.flush_async(first, n); }) == errc::past_the_end);
        CHECK(code_of([&] { map.advise(advice::random, first, n); }) == errc::past_the_end);
        CHECK(code_of([&] { map.discard(destructive_advice::dont_need, first, n); }) ==
              errc::past_the_end);
        CHECK(code_of([&] { map.prefetch(first, n); }) == errc::past_the_end);
        CHECK(code_of([&] { map.lock_in_memory(first, n); }) == errc::past_the_end);
        CHECK(code_of([&] { map.unlock_from_memory(first, n); }) == errc::past_the_end);
        CHECK(code_of([&] { (void)map.resident_bytes(first, n); }) == errc::past_the_end);
        CHECK(code_of([&] { (void)map.readable(first, n); }) == errc::past_the_end);
        CHECK(code_of([&] { map.protect(read_only, first, n); }) == errc::past_the_end);
        std::error_code ec;
        map.flush(first, n, ec);
        CHECK(ec == errc::past_the_end);
    }
    CHECK(watching.records().empty());
    CHECK_NOTHROW(map.flush(page + 10, 0));
}

TEST_CASE("every advice is either taken, or refused by the kernel with an error that says so") {
    const auto which = every_kind();
    INFO(which);
    const auto n = 4 * page_size();
    const sample one(which);
    const auto where = one.backing_of(n);
    mapping map(where, {.access = read_write, .length_bytes = n});
    write(map.data() + n - 1, 'X');
    for (int i = 0; i <= static_cast<int>(advice::dont_fork); ++i) {
        const auto error = error_of([&] { map.advise(static_cast<advice>(i), 1, n - 1); });
        INFO("advice " << i << ": " << error);
        if (!error.code) continue;
        CHECK(error.call == "madvise");
        CHECK(error.path == where.name());
        CHECK(error.code.category() == std::system_category());
        // What every kernel this old knows is always taken.
        CHECK(i > static_cast<int>(advice::will_need));
    }
    CHECK(map.data()[n - 1] == std::byte{'X'});
}

TEST_CASE("advice reaches the kernel by its number") {
    const patterned_file file(10);
    const mapping map(file.path);
    const std::pair<advice, int> all[] = {{advice::normal, MADV_NORMAL},
                                          {advice::random, MADV_RANDOM},
                                          {advice::sequential, MADV_SEQUENTIAL},
                                          {advice::will_need, MADV_WILLNEED},
                                          {advice::populate_read, 22},
                                          {advice::populate_write, 23},
                                          {advice::cold, 20},
                                          {advice::page_out, 21},
                                          {advice::huge_page, MADV_HUGEPAGE},
                                          {advice::no_huge_page, MADV_NOHUGEPAGE},
                                          {advice::collapse, 25},
                                          {advice::mergeable, MADV_MERGEABLE},
                                          {advice::unmergeable, MADV_UNMERGEABLE},
                                          {advice::dump, MADV_DODUMP},
                                          {advice::dont_dump, MADV_DONTDUMP},
                                          {advice::fork, MADV_DOFORK},
                                          {advice::dont_fork, MADV_DONTFORK}};
    for (const auto& [what, number] : all) {
        const fault::fail armed(fault::call::madvise, 1, ENOSYS);
        CHECK(error_of([&, w = what] { map.advise(w); }) == says(ENOSYS, "madvise", file.path));
        CHECK(armed.records().back().arguments[2] == static_cast<std::uint64_t>(number));
    }
}

TEST_CASE("memory advised against forking is not there in a child") {
    mapping map(mmstl::anonymous(), {.access = read_write, .length_bytes = page_size()});
    map.advise(advice::dont_fork);
    CHECK(in_child([&] { touch(map.data()); }).signal == SIGSEGV);
    map.advise(advice::fork);
    CHECK(in_child([&] { touch(map.data()); }).ok());
}

TEST_CASE("discard drops private changes, of whole pages in the range alone") {
    const auto page = page_size();
    const patterned_file file(4 * page);
    mapping map(file.path, {.access = copy_on_write});
    std::fill_n(map.writable_data(), 4 * page, std::byte{'X'});
    map.discard(destructive_advice::dont_need, 1, 3 * page - 2); // whole in there: the second page
    const auto text = text_of(map);
    CHECK(text.substr(0, page) == std::string(page, 'X'));
    CHECK(text.substr(page, page) == std::string_view(file.text).substr(page, page));
    CHECK(text.substr(2 * page) == std::string(2 * page, 'X'));
    map.discard(destructive_advice::dont_need, 3 * page + 1, page - 2);
    CHECK(text.substr(3 * page) == std::string(page, 'X'));
    map.discard(destructive_advice::dont_need, 0, 4 * page);
    CHECK(text == file.text);
}

TEST_CASE("discard leaves the pages that a mapping holds only a part of, at both ends") {
    const auto page = page_size();
    const patterned_file file(2 * page + 10);
    mapping map(file.path, {.access = copy_on_write, .offset_bytes = 1});
    std::fill_n(map.writable_data(), map.size_bytes(), std::byte{'X'});
    map.discard(destructive_advice::dont_need, 0, map.size_bytes());
    const auto text = text_of(map);
    CHECK(text.substr(0, page - 1) == std::string(page - 1, 'X'));
    CHECK(text.substr(page - 1, page) == std::string_view(file.text).substr(page, page));
    CHECK(text.substr(2 * page - 1) == std::string(10, 'X'));
}

TEST_CASE("discarding shared pages loses nothing, and removing them punches a hole") {
    const auto page = page_size();
    const patterned_file file(3 * page);
    mapping map(file.path, {.access = read_write});
    write(map.data() + page, 'X');
    map.discard(destructive_advice::dont_need, 0, 3 * page);
    CHECK(map.data()[page] == std::byte{'X'});
    const auto error = error_of([&] { map.discard(destructive_advice::remove, 1, 3 * page - 2); });
    if (error.code == std::errc::operation_not_supported)
        return skip_loudly("no holes in this file system");
    CHECK(error == said{});
    auto expected = file.text;
    std::fill_n(expected.begin() + static_cast<std::ptrdiff_t>(page), page, '\0');
    CHECK(read_file(file.path) == expected);
}

TEST_CASE("prefetch brings the pages into memory, and residency is seen") {
    const auto page = page_size();
    mapping map(mmstl::temporary_file("/var/tmp"),
                {.access = read_write, .length_bytes = 64 * page});
    map.prefetch();
    CHECK(map.resident());
    CHECK(map.resident_bytes() == 64 * page);
    CHECK(map.resident(page + 1, 10));
    CHECK(map.resident_bytes(page - 1, 2) == 2 * page);
    CHECK(map.resident_bytes(0, 0) == 0);
    mapping fresh(mmstl::memory_file("untouched"),
                  {.access = read_write, .length_bytes = 4 * page});
    CHECK_FALSE(fresh.resident());
    CHECK(fresh.resident_bytes() == 0);
    write(fresh.data() + 2 * page, 'X');
    CHECK(fresh.resident_bytes() == page);
    CHECK(fresh.resident(2 * page, page));
    CHECK_FALSE(fresh.resident(page, page + 1));
    const mapping many(mmstl::memory_file("more than one question"),
                       {.access = read_write, .length_bytes = 1500 * page});
    many.advise(advice::populate_write);
    CHECK(many.resident_bytes() == 1500 * page);
}

TEST_CASE("populate has all pages there from the beginning") {
    const patterned_file file(10 * page_size());
    const fault::watch watching;
    const mapping map(file.path, {.offset_bytes = 3, .populate = true});
    CHECK(watching.count(fault::call::madvise) == 1);
    CHECK(map.resident());
    CHECK(text_of(map) == std::string_view(file.text).substr(3));
}

TEST_CASE("locked pages are counted by the kernel, until they are unlocked or unmapped") {
    if (MMSTL_TESTS_SANITIZED) return skip_loudly("sanitizers lock nothing");
    const auto page = page_size();
    mapping map(mmstl::anonymous(), {.access = read_write, .length_bytes = 4 * page});
    const long before = status_of("VmLck");
    map.lock_in_memory();
    CHECK(status_of("VmLck") == before + static_cast<long>(4 * page / 1024));
    map.unlock_from_memory(page, page);
    CHECK(status_of("VmLck") == before + static_cast<long>(3 * page / 1024));
    map.unlock_from_memory();
    map.lock_in_memory(page - 1, 2);
    CHECK(status_of("VmLck") == before + static_cast<long>(2 * page / 1024));
    map.close();
    CHECK(status_of("VmLck") == before);
}

TEST_CASE("locking past the limit is an error") {
    if (MMSTL_TESTS_SANITIZED) return skip_loudly("sanitizers lock nothing");
    mapping map(mmstl::anonymous(), {.access = read_write, .length_bytes = 16 * page_size()});
    check_in_child([&] {
        const ::rlimit limit{page_size(), page_size()};
        expect(::setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
        become_nobody();
        const auto error = error_of([&] { map.lock_in_memory(); });
        expect(error.call == "mlock" && error.path == "anonymous", error.call);
        expect(error.code == std::errc::not_enough_memory ||
                   error.code == std::errc::operation_not_permitted ||
                   error.code == std::errc::resource_unavailable_try_again,
               error.code.message());
    });
}

// ---- truncation ----

TEST_CASE("readable answers, without a signal, when the file was shortened while mapped") {
    const auto page = page_size();
    const patterned_file file(4 * page);
    const auto wanted =
        GENERATE(mmstl::access::read_only, mmstl::access::read_write, mmstl::access::copy_on_write);
    const mapping map(file.path, {.access = wanted, .offset_bytes = 10});
    CHECK(map.readable());
    REQUIRE(::truncate(file.path.c_str(), static_cast<::off_t>(2 * page + 5)) == 0);
    CHECK_FALSE(map.readable());
    CHECK(map.readable(0, 2 * page + 5 - 10));
    CHECK_FALSE(
        map.readable(0, 2 * page + 5 - 9)); // one byte more: to the byte, since the file has a name
    CHECK_FALSE(map.readable(3 * page, 1));
    CHECK(map.readable(3 * page, 0));
    CHECK(in_child([&] { touch(map.data() + 3 * page); }).signal == SIGBUS);
    CHECK(error_of([&] { map.prefetch(); }) == says(EFAULT, "madvise", file.path));
}

TEST_CASE("readable answers for backings without a name too, to the page") {
    const auto page = page_size();
    const auto which =
        GENERATE(kind::memory_file, kind::borrowed_fd, kind::temporary_file, kind::shared_memory);
    INFO(which);
    const sample one(which);
    const auto where = one.backing_of(4 * page);
    auto handle = where.open(read_write);
    handle.resize(4 * page);
    const mapping map(handle, {.access = read_write});
    CHECK(map.readable());
    handle.resize(2 * page);
    CHECK_FALSE(map.readable());
    CHECK(map.readable(0, 2 * page));
    CHECK_FALSE(map.readable(0, 2 * page + 1));
    CHECK_FALSE(map.readable(2 * page, 1));
}

TEST_CASE("readable is about the file that was mapped, whatever stands under its name now") {
    const auto page = page_size();
    const patterned_file file(4 * page);
    const mapping map(file.path);
    std::filesystem::remove(file.path);
    CHECK(map.readable());
    write_file(file.path, "short");
    CHECK(map.readable());
}

TEST_CASE("before Linux 5.14 readable asks in another way, with the same answers") {
    const auto page = page_size();
    const sample one(kind::memory_file);
    auto handle = one.backing().open(read_write);
    handle.resize(2 * page);
    const mapping map(handle, {.access = read_write});
    const auto readable = [&] {
        const fault::fail old_kernel(fault::call::madvise, 1, EINVAL);
        const bool answer = map.readable();
        CHECK(old_kernel.count(fault::call::process_vm_readv) == 1);
        return answer;
    };
    CHECK(readable());
    handle.resize(page);
    CHECK_FALSE(readable());
}

TEST_CASE("a memory file sealed against shrinking cannot be shortened under a mapping") {
    auto handle = mmstl::memory_file("sealed").open(read_write);
    handle.resize(page_size());
    handle.add_seals(mmstl::seal::shrink);
    const mapping map(handle, {.access = read_write});
    CHECK(error_of([&] { handle.resize(0); }).code == std::errc::operation_not_permitted);
    CHECK(in_child([&] { touch(map.data()); }).ok());
}

// ---- ownership ----

TEST_CASE(
    "mappings move without throwing and without moving the bytes; a moved-from mapping is empty") {
    STATIC_REQUIRE(std::is_nothrow_move_constructible_v<mapping>);
    STATIC_REQUIRE(std::is_nothrow_move_assignable_v<mapping>);
    STATIC_REQUIRE(std::is_nothrow_swappable_v<mapping>);
    STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<mapping>);
    STATIC_REQUIRE_FALSE(std::is_copy_assignable_v<mapping>);
    const patterned_file file(100);
    const leak_check guard;
    mapping first(file.path);
    const auto* const data = first.data();
    mapping second = std::move(first);
    CHECK(first.empty()); // NOLINT(bugprone-use-after-move): that is what is tested
    CHECK(first.data() == nullptr);
    CHECK(second.data() == data);
    CHECK(text_of(second) == file.text);
    mapping third(file.path, {.offset_bytes = 50});
    third = std::move(second);
    CHECK(third.data() == data);
    CHECK(third.size_bytes() == 100);
    auto& same = third;
    third = std::move(same);
    CHECK(third.data() == data);
    swap(first, third);
    CHECK(first.data() == data);
    CHECK(third.empty());
}

TEST_CASE("mutable bytes are handed out only by mappings that can be written to") {
    STATIC_REQUIRE(std::is_same_v<decltype(std::declval<mapping&>().data()), const std::byte*>);
    const patterned_file file(10);
    const auto wanted = GENERATE(mmstl::access::read_write, mmstl::access::copy_on_write);
    mapping writable(file.path, {.access = wanted});
    CHECK(writable.writable_data() == writable.data());
    const auto other =
        GENERATE(mmstl::access::read_only, mmstl::access::none, mmstl::access::execute);
    mapping reading(file.path, {.access = other});
    CHECK(error_of([&] { (void)reading.writable_data(); }) ==
          says(errc::wrong_access, "writable_data", file.path));
}

TEST_CASE("huge pages are an option of what memory is made of, not of a mapping") {
    const patterned_file file(10);
    check_map_fails(file.path, {.pages = mmstl::pages::huge_tlb},
                    says(errc::wrong_access, "mmap", file.path));
    CHECK_NOTHROW(mapping(file.path, {.pages = mmstl::pages::transparent_huge}));
    std::error_code ec;
    mapping map(mmstl::memory_file("huge", {.pages = mmstl::pages::huge_tlb}),
                {.access = read_write, .length_bytes = 100}, ec);
    if (ec) return skip_loudly("no huge pages here: " + ec.message());
    write(map.data() + 99, 'X');
    map.flush(50, 10);
}

TEST_CASE("neither mapping nor unmapping waits for the disk") {
    const patterned_file file(page_size());
    const fault::watch watching;
    {
        mapping map(file.path, {.access = read_write});
        write(map.data(), 'X');
    }
    CHECK(watching.count(fault::call::msync) == 0);
    CHECK(watching.count(fault::call::fsync) == 0);
    CHECK(watching.count(fault::call::madvise) == 0); // no advice by default
    CHECK(watching.records().size() <= 5);            // open, fstat, mmap, close; munmap
}

// ---- every system call fails ----

TEST_CASE("every system call of mapping fails in turn, and nothing stays open or mapped") {
    const auto which = every_kind();
    INFO(which);
    const sample one(which);
    const auto n = 3 * page_size();
    const auto where = one.backing_of(n);
    const mapping_options options{
        .access = read_write, .offset_bytes = 5, .length_bytes = n - 5, .populate = true};
    const auto map_it = [&] { const mapping map(where, options); };
    for (const int error : {EIO, ENOMEM})
        CHECK(fault::require_every_failure_is_reported(
                  map_it, error, {fault::call::close, fault::call::munmap}) >= 4);
    fault::require_every_interruption_is_survived(map_it);
}

TEST_CASE("every system call of mapping with a reservation fails in turn") {
    const patterned_file file(100);
    const auto map_it = [&] {
        const mapping map(file.path,
                          {.reserve_bytes = 1 << 20, .pages = mmstl::pages::transparent_huge});
    };
    // Huge pages are a wish: that advice, the second, may fail.
    fault::for_each_failure(map_it, EIO, [&](const fault::outcome& result) {
        INFO(result.nth << " " << fault::name_of(result.which));
        const bool may_pass = result.which == fault::call::close ||
                              result.which == fault::call::munmap || result.nth == 5;
        CHECK((result.exception != nullptr || may_pass));
    });
}

TEST_CASE("every system call on a mapping fails in turn, and its error is told") {
    const auto n = 4 * page_size();
    const auto all = [&] {
        mapping map(mmstl::anonymous(), {.access = read_write, .length_bytes = n});
        map.flush();
        map.flush_async(1, 2);
        map.advise(advice::random);
        map.discard(destructive_advice::dont_need, 0, n);
        map.prefetch();
        map.lock_in_memory();
        map.unlock_from_memory();
        (void)map.resident();
        map.protect(read_only);
        map.protect(read_write);
    };
    for (const int error : {EIO, ENOMEM}) {
        const long n_failed = fault::require_every_failure_is_reported(
            all, error, {fault::call::close, fault::call::munmap});
        CHECK(n_failed >= 10 + 5);
    }
    fault::require_every_interruption_is_survived(all);
}

TEST_CASE("flush reports the errno of msync") {
    const patterned_file file(10);
    mapping map(file.path, {.access = read_write});
    const fault::fail armed(fault::call::msync, 1, EIO);
    CHECK(error_of([&] { map.flush(); }) == says(EIO, "msync", file.path));
    std::error_code ec;
    map.flush(ec);
    CHECK_FALSE(ec);
    const fault::fail again(fault::call::msync, 1, ENOSPC);
    map.flush(ec);
    CHECK(ec == std::errc::no_space_on_device);
}

TEST_CASE("close reports the errno of munmap, once") {
    const patterned_file file(10);
    const leak_check guard;
    mapping map(file.path);
    {
        const fault::fail armed(fault::call::munmap, 1, ENOMEM);
        CHECK(error_of([&] { map.close(); }) == says(ENOMEM, "munmap", file.path));
    }
    CHECK(map.empty());
    std::error_code ec = make_error_code(errc::no_name);
    map.close(ec);
    CHECK_FALSE(ec);
}

TEST_CASE("without a free descriptor, mapping reports EMFILE") {
    const patterned_file file(10);
    check_in_child([&] {
        const ::rlimit none{0, 0};
        expect(::setrlimit(RLIMIT_NOFILE, &none) == 0);
        expect(error_of([&] { const mapping map(file.path); }) == says(EMFILE, "open", file.path));
    });
}

// ---- what went wrong once ----

TEST_CASE("a range is resident only if each of its pages is") {
    const auto page = page_size();
    const patterned_file file(4 * page);
    const mapping map(file.path);
    map.prefetch();
    REQUIRE(map.resident());
    CHECK(map.resident(page - 1, 2));
    const mapping reserved(file.path, {.reserve_bytes = 8 * page});
    CHECK(reserved.resident(4 * page - 1, 1));
    CHECK_FALSE(reserved.resident(4 * page - 1, 2)); // past the end nothing is
}

TEST_CASE("protect does not make a shared mapping executable, which is private") {
    const patterned_file file(10);
    mapping map(file.path);
    CHECK(error_of([&] { map.protect(mmstl::access::execute); }) ==
          says(errc::wrong_access, "mprotect", file.path));
    mapping own(file.path, {.access = mmstl::access::copy_on_write});
    own.protect(mmstl::access::execute);
}

TEST_CASE("page 0 is nobody's") {
    const patterned_file file(100);
    const auto at = [](std::uintptr_t address) { return reinterpret_cast<void*>(address); };
    for (const std::uintptr_t skew : {std::uintptr_t{0}, std::uintptr_t{64}}) {
        CHECK(error_of([&] {
                  mapping(
                      file.path,
                      {.offset_bytes = skew, .address = at(skew), .placement = placement::exact});
              }) == says(EINVAL, "mmap", file.path));
        const mapping hinted(
            file.path,
            {.offset_bytes = skew, .address = at(skew / 2), .placement = placement::hint});
        CHECK(hinted.data() != nullptr);
    }
}

TEST_CASE("discard leaves what follows in the last page, in the file and of others") {
    const patterned_file file(2 * page_size());
    mapping map(file.path, {.access = read_write, .length_bytes = page_size() + 100});
    map.discard(destructive_advice::remove, 0, page_size() + 100);
    CHECK(read_file(file.path) ==
          std::string(page_size(), '\0') + pattern(2 * page_size()).substr(page_size()));
}

TEST_CASE("a memory file that is sealed against writing can be read") {
    auto handle = mmstl::memory_file("sealed").create();
    handle.resize(100);
    handle.add_seals(mmstl::seal::write | mmstl::seal::shrink);
    std::error_code ec;
    const mapping map(handle, {}, ec);
    if (ec == std::errc::operation_not_permitted) // before Linux 6.7
        return skip_loudly("this kernel does not map it shared through a writable descriptor");
    CHECK(map.size_bytes() == 100);
    CHECK(error_of([&] { mapping(handle, {.access = mmstl::access::read_write}); }).code ==
          std::errc::operation_not_permitted);
}
