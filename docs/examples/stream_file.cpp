// SPDX-License-Identifier: MIT
//
// Counts the lines of a file of any size in bounded memory: pages are fetched ahead and given back
// behind.
//
//     stream_file [FILE]      (testfile.txt if not given)

#include <mmstl.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <span>

int main(int argc, char** argv) {
    try {
        const mmstl::mapped_span<const char> text(argc > 1 ? argv[1] : "testfile.txt");
        std::ptrdiff_t lines = 0;
        for (std::span<const char> part :
             text.chunks(std::size_t{1} << 20, {.behind = mmstl::behind::release}))
            lines += std::ranges::count(part, '\n');
        std::printf("%td lines\n", lines);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
