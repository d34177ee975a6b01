// SPDX-License-Identifier: MIT
//
// Shows that docs/file-format.md is enough to read a vector without mmstl:
//
//     file_format write          makes ticks.mmv
//     python3 file_format.py     reads it, and makes damaged copies of it
//     file_format read           says of each copy what mmstl says of it
//
// Both must say the same.

#include <mmstl.hpp>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>

struct tick {
    std::int64_t time_ms;
    double price;
};

template <> inline constexpr std::string_view mmstl::persistent_name<tick> = "tick/1";

namespace {

void write() {
    auto ticks = mmstl::mapped_vector<tick>::create("ticks.mmv");
    ticks.push_back({1000, 101.5});
    ticks.flush();
    ticks.push_back({2000, 101.75});
    ticks.close();
}

void read() {
    std::ifstream names("copies.txt");
    for (std::string name; std::getline(names, name);) {
        std::error_code ec;
        const auto ticks = mmstl::mapped_vector<const tick>::open(
            name, {.on_unclean = mmstl::on_unclean::fail}, ec);
        std::printf("mmstl   %-22s ", name.c_str());
        if (ec)
            std::printf("%s\n", ec.message().c_str());
        else
            std::printf("%zu elements\n", ticks.size());
    }
}

} // namespace

int main(int argc, char** argv) {
    try {
        const std::string_view what = argc > 1 ? argv[1] : "";
        if (what == "write") {
            write();
        } else if (what == "read") {
            read();
        } else {
            std::fprintf(stderr, "usage: file_format write|read\n");
            return 2;
        }
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
