// SPDX-License-Identifier: MIT
//
// Prints a file through a mapping: no buffer, no read(), no length to keep.
//
//     print_file [FILE]      (testfile.txt if not given)

#include <mmstl.hpp>

#include <cstdio>
#include <exception>

int main(int argc, char** argv) {
    try {
        const mmstl::mapped_span<const char> text(argc > 1 ? argv[1] : "testfile.txt");
        for (char c : text) std::putchar(c);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
