// SPDX-License-Identifier: MIT
//
// Files have bytes, mappings have pages: what a file of one byte takes, what is behind its end, and
// how much of a large file is in memory.

#include <mmstl.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>

#include <unistd.h>

namespace {

const char* yes_or_no(bool answer) { return answer ? "yes" : "no"; }

// 4096 on most machines, 16384 or 65536 on some.
std::size_t page_bytes() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

void map_one_byte() {
    auto one = mmstl::mapped_span<char>::create("one.bin", 1);
    one[0] = 'x';
    const mmstl::mapping seen("one.bin");
    std::printf("bytes in the file: %zu\n", seen.size_bytes());
    std::printf("pages in memory for it: %zu\n", seen.resident_bytes() / page_bytes());

    mmstl::mapping wide("one.bin",
                        {.access = mmstl::access::read_write, .reserve_bytes = page_bytes()});
    std::byte* const bytes = wide.writable_data();
    std::printf("behind its end, in its page: %d\n", std::to_integer<int>(bytes[1]));
    bytes[1] = std::byte{1}; // no error, no signal, and nothing that the file would keep
    std::printf("bytes in the file, after a store there: %ju\n",
                static_cast<std::uintmax_t>(std::filesystem::file_size("one.bin")));
}

void map_any_byte() {
    const std::size_t page = page_bytes();
    auto two_pages = mmstl::mapped_span<char>::create("two.bin", 2 * page);
    two_pages[page - 1] = 'a'; // the last byte of the first page
    two_pages[page] = 'b';     // the first byte of the second one

    const mmstl::mapped_span<const char> part("two.bin", {.offset_bytes = page - 1, .count = 2});
    std::printf("two bytes: %c%c\n", part[0], part[1]);
    const mmstl::mapping all("two.bin");
    std::printf("pages in memory for them: %zu\n", all.resident_bytes(page - 1, 2) / page_bytes());
}

void map_much() {
    constexpr std::size_t n = std::size_t{64} << 20;
    auto large =
        mmstl::mapped_span<char>::create("large.bin", n, {.allocation = mmstl::allocation::sparse});
    large[n / 2] = 'x';
    std::printf("the byte that was stored is in memory: %s\n", yes_or_no(large.resident(n / 2, 1)));
    std::printf("all 64 MiB are: %s\n", yes_or_no(large.resident()));
}

} // namespace

int main() {
    try {
        map_one_byte();
        map_any_byte();
        map_much();
        for (const char* name : {"one.bin", "two.bin", "large.bin"}) mmstl::file(name).remove();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
