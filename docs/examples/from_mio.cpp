// SPDX-License-Identifier: MIT
//
// The code of docs/from-mio.md, as it stands there.

#include <mmstl.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <string_view>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

namespace {

void read_files() {
    const mmstl::mapped_span<const char> text("testfile.txt"); // mio::mmap_source
    const mmstl::mapped_span<const char> part("testfile.txt", {.offset_bytes = 7, .count = 6});
    const std::string_view all(text);

    std::error_code ec;
    const mmstl::mapped_span<const char> none("absent.txt", ec); // mio::make_mmap_source
    if (ec) std::printf("%s\n", ec.message().c_str());

    const auto shared = std::make_shared<const mmstl::mapped_span<const char>>("testfile.txt");

    std::printf("%zu %zu %zu %zu\n", text.size(), part.size(), all.find('.'), none.size());
    std::printf("%d\n", std::ranges::equal(*shared, text));
}

void read_descriptor() {
    const int fd = open("testfile.txt", O_RDONLY | O_CLOEXEC);
    const mmstl::mapped_span<const char> text(mmstl::borrowed_fd(fd));
    close(fd); // stays yours; the mapping does not need it

    std::printf("%c\n", text.front());
}

void write_files() {
    auto made =
        mmstl::mapped_span<char>::create("new.bin", 4000); // mio: write that many bytes first
    mmstl::mapped_span<char> sink("new.bin");              // mio::mmap_sink
    sink[0] = 'a';
    sink.flush(); // sync
    sink.close(); // unmap

    mmstl::mapped_span<std::uint32_t> numbers("new.bin"); // any type that is only bytes

    std::printf("%c %zu\n", made[0], numbers.size());
}

} // namespace

int main() {
    try {
        read_files();
        read_descriptor();
        write_files();
        mmstl::file("new.bin").remove();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
