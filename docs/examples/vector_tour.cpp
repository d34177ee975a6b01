// SPDX-License-Identifier: MIT
//
// The code of docs/mapped_vector.md, as it stands there.

#include <mmstl.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <new>
#include <numeric>
#include <span>
#include <string_view>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

struct tick {
    std::int64_t time_ms;
    double price;
};

template <> inline constexpr std::string_view mmstl::persistent_name<tick> = "tick/1";

namespace {

void first_program() {
    auto ticks = mmstl::mapped_vector<tick>::open_or_create("ticks.mmv");
    std::printf("%zu ticks from earlier runs\n", ticks.size());
    ticks.push_back({1000, 101.5});
    ticks.push_back({2000, 101.75});
    for (const tick& one : ticks) std::printf("%.2f\n", one.price);
    ticks.close(); // on the disk, and marked as closed, when this returns
}

void open_in_every_way() {
    auto fresh = mmstl::mapped_vector<int>::create("a.mmv");          // EEXIST if there is one
    auto again = mmstl::mapped_vector<int>::open("a.mmv");            // ENOENT if there is none
    auto either = mmstl::mapped_vector<int>::open_or_create("a.mmv"); // created() says which
    auto reader = mmstl::mapped_vector<const int>::open("a.mmv");     // reads, and follows writers

    auto shared =
        mmstl::mapped_vector<int>::open(mmstl::anonymous()); // shared with fork()ed children
    auto scratch = mmstl::mapped_vector<int>::open(mmstl::temporary_file("."));

    std::error_code ec;
    auto absent = mmstl::mapped_vector<int>::open("absent.mmv", ec);
    if (ec == std::errc::no_such_file_or_directory) std::printf("no such file\n");

    std::printf("%d %d %d\n", fresh.created(), again.created(), either.created());
    std::printf("%d %d %d\n", shared.created(), scratch.created(), absent.is_open());
    fresh.push_back(1);
    std::printf("%zu %zu\n", again.size(), reader.size());
}

void set_options() {
    auto v = mmstl::mapped_vector<double>::create(
        "options.mmv", {.reserved = 1'000'000,
                        .growth = {.factor = 1.5, .least_bytes = 1 << 20, .most_bytes = 16 << 20},
                        .allocation = mmstl::allocation::blocks});
    v.reserve(100'000); // elements; the disk has room for them from here on
    double* const first = v.data();
    v.resize(500'000);
    std::printf("moved: %s\n", v.data() == first ? "no" : "yes");
    try {
        v.resize(v.reserved() + 1);
    } catch (const mmstl::reservation_exhausted& e) { // a std::bad_alloc
        std::printf("more than reserved: %s\n", e.asked() > e.reserved() ? "yes" : "no");
    }
    v.resize(1000);
    v.shrink_to_fit(); // the file keeps its length until then
    std::printf("%zu of %zu\n", v.size(), v.capacity());
}

double sum_of(const mmstl::mapped_vector<double>& v) {
    double sum = 0;
    for (double x : v) sum += x;                     // asks once where the end is
    for (double x : std::span(v)) sum += x;          // the same
    sum += std::accumulate(v.begin(), v.end(), 0.0); // the same
    const std::span all(v);                          // indices:
    for (std::size_t i = 0; i < all.size(); ++i) sum += all[i];
    return sum;
}

void read_in_bulk(int fd) {
    auto bytes = mmstl::mapped_vector<std::byte>::create("bytes.mmv");
    for (;;) {
        const std::span<std::byte> room = bytes.append_uninitialized(1 << 20);
        const ssize_t got = read(fd, room.data(), room.size());
        if (got <= 0) break; // what is not committed is not there
        bytes.commit(static_cast<std::size_t>(got));
    }
    std::printf("%zu bytes\n", bytes.size());
}

void handle_errors() {
    try {
        auto v = mmstl::mapped_vector<float>::open("ticks.mmv");
    } catch (const mmstl::mapping_error& e) {
        if (e.code() == mmstl::errc::other_element_size) std::printf("%s\n", e.what());
    }
}

} // namespace

int main() {
    try {
        first_program();
        open_in_every_way();
        set_options();
        auto v = mmstl::mapped_vector<double>::create("sum.mmv");
        v = {1, 2, 3};
        std::printf("%g\n", sum_of(v));
        const int fd = open("testfile.txt", O_RDONLY | O_CLOEXEC);
        read_in_bulk(fd);
        close(fd);
        handle_errors();
        for (const char* name : {"ticks.mmv", "a.mmv", "options.mmv", "sum.mmv", "bytes.mmv"})
            mmstl::file(name).remove();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
