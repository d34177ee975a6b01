// SPDX-License-Identifier: MIT
//
// Addresses cost next to nothing: a vector with room for 1 TiB, in a small file, in little memory.

#include <mmstl.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <system_error>

#include <sys/resource.h>

namespace {

constexpr auto one_tib = std::uint64_t{1} << 40;
constexpr auto n_reserved = static_cast<std::size_t>(one_tib / sizeof(double));

const char* yes_or_no(bool answer) { return answer ? "yes" : "no"; }

// The most memory that this process has had, in bytes.
std::uint64_t peak_memory() {
    rusage used{};
    if (getrusage(RUSAGE_SELF, &used) != 0) return UINT64_MAX;
    return static_cast<std::uint64_t>(used.ru_maxrss) << 10;
}

void grow(mmstl::mapped_vector<double>& numbers) {
    numbers.push_back(0);
    const double* const first = &numbers.front();
    for (int i = 1; i < 100'000; ++i) numbers.push_back(i);

    std::printf("addresses for 1 TiB: %s\n", yes_or_no(numbers.reserved() >= n_reserved));
    std::printf("elements: %zu\n", numbers.size());
    std::printf("the first one has moved: %s\n", yes_or_no(&numbers.front() != first));
    std::printf("the file is shorter than 16 MiB: %s\n",
                yes_or_no(std::filesystem::file_size(numbers.name()) < std::uint64_t{16} << 20));
    std::printf("memory of this process, less than 1 GiB: %s\n",
                yes_or_no(peak_memory() < std::uint64_t{1} << 30));
}

} // namespace

int main() {
    try {
        if (n_reserved != one_tib / sizeof(double)) {
            std::fprintf(stderr, "SKIPPED: addresses have too few bits\n");
            return 77;
        }
        std::error_code ec;
        auto numbers =
            mmstl::mapped_vector<double>::create("much.mmv", {.reserved = n_reserved}, ec);
        if (ec) { // `ulimit -v`, or a file system that has no such long files
            std::fprintf(stderr, "SKIPPED: no addresses for 1 TiB: %s\n", ec.message().c_str());
            return 77;
        }
        grow(numbers);
        numbers.close();
        mmstl::file("much.mmv").remove();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
