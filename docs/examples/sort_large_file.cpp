// SPDX-License-Identifier: MIT
//
// Sorts a file that does not fit into the memory that this process may allocate. Its pages are the
// kernel's, which keeps as many of them in memory as it has room for.
//
//     sort_large_file [MIB]      (16 if not given; the process may allocate half of it)

#include <mmstl.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <random>
#include <vector>

#include <sys/resource.h>

namespace {

// malloc() fails beyond that; shared mappings of files do not count.
void limit_heap(std::size_t n_bytes) {
    const rlimit limit{n_bytes, n_bytes};
    if (setrlimit(RLIMIT_DATA, &limit) != 0) std::perror("setrlimit");
}

void sort_file(const char* path, std::size_t n) {
    auto numbers = mmstl::mapped_vector<std::uint64_t>::create(path);
    numbers.reserve(n);     // or ENOSPC now, and not half-way
    std::mt19937_64 random; // NOLINT(cert-msc51-cpp): the same numbers every time
    for (std::size_t i = 0; i < n; ++i) numbers.push_back(random());
    std::printf("sorted before: %s\n", std::ranges::is_sorted(numbers) ? "yes" : "no");

    try {
        std::vector<std::uint64_t> copy(numbers.begin(), numbers.end());
        std::ranges::sort(copy);
        std::printf("a copy fits on the heap; the least number is %llu\n",
                    static_cast<unsigned long long>(copy.front()));
    } catch (const std::bad_alloc&) {
        std::printf("a copy does not fit on the heap: bad_alloc\n");
    }

    std::ranges::sort(numbers);
    std::printf("sorted after: %s\n", std::ranges::is_sorted(numbers) ? "yes" : "no");
    numbers.close();
}

} // namespace

int main(int argc, char** argv) {
    try {
        const std::size_t n_mib = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 16;
        const std::size_t n_bytes = n_mib << 20;
        limit_heap(n_bytes / 2);
        sort_file("numbers.mmv", n_bytes / sizeof(std::uint64_t));
        mmstl::file("numbers.mmv").remove();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
