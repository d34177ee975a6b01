// SPDX-License-Identifier: MIT
//
// The recipes of docs/persistence.md, on files as a power cut leaves them: copied while they are in
// use, and moved to another boot of the machine.

#include <mmstl.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <span>
#include <string_view>
#include <system_error>

// The element says of itself whether it is whole.
struct entry {
    std::uint64_t number;
    std::uint64_t check;
};

template <> inline constexpr std::string_view mmstl::persistent_name<entry> = "example/entry/1";

namespace {

entry make_entry(std::uint64_t number) { return {number, ~number}; }
bool is_whole(const entry& e) { return e.check == ~e.number; }

void look_first(const char* path) {
    std::error_code ec;
    auto log = mmstl::mapped_vector<entry>::open(path, {.on_unclean = mmstl::on_unclean::fail}, ec);
    if (ec == mmstl::errc::unclean) std::printf("not closed: make a copy of it, then decide\n");
}

void take_durable(const char* path) {
    auto log = mmstl::mapped_vector<entry>::open(path);
    if (const auto& found = log.recovered())
        std::printf("took %zu entries, %zu were there\n", log.size(), found->published_size);
}

void take_what_is_whole(const char* path) {
    auto log = mmstl::mapped_vector<entry>::open(path);
    if (const auto& found = log.recovered(); found && found->published_size > log.size()) {
        const std::span<entry> tail = log.append_uninitialized(found->published_size - log.size());
        const auto bad = std::ranges::find_if_not(tail, is_whole);
        log.commit(static_cast<std::size_t>(bad - tail.begin()));
        log.flush();
    }
    std::printf("%zu entries, %zu of them on the disk\n", log.size(), log.durable_size());
    log.close();
}

// What is on the disk after a power cut: here all but the last entry.
void cut_power(const char* from, const char* to) {
    std::filesystem::copy_file(from, to);
    std::fstream file(to, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(584).write("another boot", 12); // see docs/file-format.md
    file.seekp(4096 + 5 * sizeof(entry)).write("garbage!", 8);
}

} // namespace

int main() {
    try {
        auto log = mmstl::mapped_vector<entry>::create("log.mmv");
        for (std::uint64_t i = 0; i < 3; ++i) log.push_back(make_entry(i));
        log.flush();
        for (std::uint64_t i = 3; i < 6; ++i) log.push_back(make_entry(i));

        cut_power("log.mmv", "cut.mmv");
        look_first("cut.mmv");
        take_durable("cut.mmv");
        take_what_is_whole("cut.mmv");

        mmstl::file("log.mmv").remove();
        mmstl::file("cut.mmv").remove();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
