// SPDX-License-Identifier: MIT
//
// The code of README.md and docs/streaming.md, as it stands there.

#include <mmstl.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <span>
#include <string_view>

struct tick {
    std::int64_t time_ms;
    double price;
};

namespace {

void readme() {
    mmstl::mapped_span<const char> text("testfile.txt"); // a file as an array, read only
    for (char c : text) std::putchar(c);
    std::string_view all(text);

    mmstl::mapped_span<float> a("a.f32"); // read and write, through to the file
    std::ranges::sort(a);
    a.flush(); // on the disk when it returns

    auto fresh = mmstl::mapped_span<float>::create("b.f32", 1000); // a new file of 1000 elements
    mmstl::mapped_span<float> p("a.f32",
                                {.access = mmstl::access::copy_on_write}); // never reaches the file
    mmstl::mapped_span<const std::int16_t> part("dem.hgt", {.offset_bytes = 6, .count = 1201});
    mmstl::mapped_span<int> shared(mmstl::anonymous(),
                                   {.count = 1}); // one int that fork()ed children share

    auto ticks =
        mmstl::mapped_vector<tick>::open_or_create("ticks.mmv"); // a vector that lives in a file
    ticks.push_back({1000, 101.5});                              // and never moves an element
    auto tail = mmstl::mapped_vector<const tick>::open("ticks.mmv"); // sees what others append
    ticks.close(); // on the disk, and marked as closed

    std::printf("%zu %g %zu %g %d %d %zu\n", all.size(), double{a[0]}, fresh.size(), double{p[0]},
                part[0], shared[0], tail.size());
}

// Not run: it would take a name that all processes share.
[[maybe_unused]] void readme_backings() {
    auto live = mmstl::mapped_span<double>::create(mmstl::shared_memory("/prices"),
                                                   1000); // by name, for any process
    mmstl::mapped_span<double> scratch(mmstl::temporary_file("/var/tmp"), {.count = 1'000'000});
    auto queue = mmstl::mapped_vector<tick>::create(mmstl::shared_memory("/ticks"));
}

void count(std::span<const char> part) { std::printf("%zu\n", part.size()); }

void streaming() {
    const mmstl::mapped_span<const char> log("big.log");
    for (std::span<const char> part : log.chunks(1 << 20, {.behind = mmstl::behind::release}))
        count(part);
}

} // namespace

int main() {
    try {
        mmstl::mapped_span<float>::create("a.f32", 3)[2] = -1;
        mmstl::mapped_span<std::int16_t>::create("dem.hgt", 1300)[3] = 3;
        mmstl::mapped_span<char>::create("big.log", 10).close();
        readme();
        streaming();
        for (const char* name : {"a.f32", "b.f32", "dem.hgt", "ticks.mmv", "big.log"})
            mmstl::file(name).remove();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
