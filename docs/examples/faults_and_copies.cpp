// SPDX-License-Identifier: MIT
//
// Faults or copies: what it costs to look at a file through a mapping, and what by read().

#include <mmstl.hpp>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <fstream>
#include <numeric>
#include <string>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

namespace {

constexpr std::size_t n = std::size_t{16} << 20; // bytes of the large file
constexpr int n_small = 500;                     // small files
constexpr long hardly_any = 100;                 // faults, of whatever reason

const char* yes_or_no(bool answer) { return answer ? "yes" : "no"; }

// How often the kernel had to bring in a page while that was done.
template <class Deed> long faults_of(Deed deed) {
    const auto so_far = [] {
        rusage used{};
        getrusage(RUSAGE_SELF, &used);
        return used.ru_minflt + used.ru_majflt;
    };
    const long before = so_far();
    deed();
    return so_far() - before;
}

// How much memory this process has for itself alone, in bytes: pages that are of no file.
std::ptrdiff_t own_memory() {
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;)
        if (std::ptrdiff_t kib = 0; word == "RssAnon:" && status >> kib) return kib * 1024;
    return 0;
}

[[noreturn]] void fail(const char* call) {
    throw std::system_error(errno, std::system_category(), call);
}

// The file by read(), in pieces: hands `each` the pieces, returns how many bytes were copied.
template <class Each>
std::size_t read_file(const char* path, char* to, std::size_t piece, Each each) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1) fail("open");
    std::size_t copied = 0;
    ssize_t got = 0;
    while ((got = read(fd, to, piece)) > 0) {
        each(to, static_cast<std::size_t>(got));
        copied += static_cast<std::size_t>(got);
    }
    close(fd);
    if (got == -1) fail("read");
    return copied;
}

long sum(const char* first, std::size_t count) { return std::accumulate(first, first + count, 0L); }

void large_file(const char* path) {
    // One place, then all of it, then all of it again.
    bool found = false;
    const long one_place = faults_of([&] {
        const mmstl::mapped_span<const char> bytes(path);
        found = bytes[n / 2] == 1;
    });
    std::printf("one byte of 16 MiB, mapped: hardly a fault: %s\n",
                yes_or_no(found && one_place < hardly_any));

    const mmstl::mapped_span<const char> bytes(path);
    long total = 0;
    const long first_scan = faults_of([&] { total = sum(bytes.data(), bytes.size()); });
    const long second_scan = faults_of([&] { total += sum(bytes.data(), bytes.size()); });
    std::printf("all of it: at most a fault for each 4 KiB: %s\n",
                yes_or_no(first_scan < long{n / 4096} + hardly_any));
    std::printf("again: hardly a fault: %s\n", yes_or_no(second_scan < hardly_any));

    // read() copies each byte, and copies it again when it is needed again.
    std::array<char, 1 << 14> piece{};
    std::size_t copied = 0;
    const auto add = [&](const char* from, std::size_t count) { total -= sum(from, count); };
    const long read_twice = faults_of([&] {
        copied += read_file(path, piece.data(), piece.size(), add);
        copied += read_file(path, piece.data(), piece.size(), add);
    });
    std::printf("read() twice, in pieces: hardly a fault: %s, %zu bytes copied, the same sum: %s\n",
                yes_or_no(read_twice < hardly_any), copied, yes_or_no(total == 0));
}

void second_place_in_memory(const char* path) {
    constexpr std::ptrdiff_t much = n / 2;
    const std::ptrdiff_t at_first = own_memory();
    const mmstl::mapped_span<const char> bytes(path);
    const long total = sum(bytes.data(), bytes.size());
    const std::ptrdiff_t mapped = own_memory();
    std::printf("mapped, and looked through: takes memory of its own: %s\n",
                yes_or_no(mapped - at_first > much));

    std::vector<char> all(n);
    read_file(path, all.data(), all.size(), [](const char*, std::size_t) {});
    std::printf("read into a vector: takes memory of its own: %s, the same sum: %s\n",
                yes_or_no(own_memory() - mapped > much), yes_or_no(sum(all.data(), n) == total));
}

void small_files(const char* path) {
    // One of them, often, is as good as many.
    long total = 0;
    const long mapped = faults_of([&] {
        for (int i = 0; i < n_small; ++i) {
            const mmstl::mapped_span<const char> bytes(path);
            total += bytes[0];
        }
    });
    std::printf("500 small files, mapped: a fault for each: %s\n", yes_or_no(mapped >= n_small));

    std::array<char, 4096> buffer{};
    const long read = faults_of([&] {
        for (int i = 0; i < n_small; ++i)
            read_file(path, buffer.data(), buffer.size(),
                      [&](const char* from, std::size_t) { total += from[0]; });
    });
    std::printf("read() into a buffer: hardly a fault: %s\n", yes_or_no(read < hardly_any));

    const long copied = faults_of([&] {
        for (int i = 0; i < n_small; ++i) {
            const mmstl::mapped_span<const char> bytes(
                path, {.copy_below_bytes = mmstl::recommended_copy_below_bytes});
            total += bytes[0];
        }
    });
    std::printf("copy_below_bytes: hardly a fault: %s, the same bytes: %s\n",
                yes_or_no(copied < hardly_any), yes_or_no(total == 3L * n_small));
}

void make(const char* path, std::size_t size) {
    auto bytes = mmstl::mapped_span<char>::create(path, size);
    for (char& one : bytes) one = 1;
    bytes.close();
}

} // namespace

int main() {
    try {
        make("large.bin", n);
        make("small.bin", 100);
        large_file("large.bin");
        second_place_in_memory("large.bin");
        small_files("small.bin");
        for (const char* name : {"large.bin", "small.bin"}) mmstl::file(name).remove();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
