// SPDX-License-Identifier: MIT
//
// The code of docs/from-boost-iostreams.md, as it stands there.

#include <mmstl.hpp>

#include <cstdio>
#include <exception>
#include <istream>
#include <span>
#include <streambuf>
#include <string>

// Reads what is mapped, without a copy of it. std::ispanstream of C++23 does so, too.
class span_buffer : public std::streambuf {
public:
    explicit span_buffer(std::span<const char> all) {
        auto* const first = const_cast<char*>(all.data()); // the interface is so; nothing is stored
        setg(first, first, first + all.size());
    }
};

namespace {

void open_files() {
    const mmstl::mapped_span<const char> source("testfile.txt");    // mapped_file_source
    auto sink = mmstl::mapped_span<char>::create("new.bin", 10000); // new_file_size
    mmstl::mapped_span<char> both("new.bin");                       // mapped_file, readwrite
    mmstl::mapped_span<char> own("new.bin", {.access = mmstl::access::copy_on_write}); // priv
    const mmstl::mapped_span<const char> part("new.bin", {.offset_bytes = 6, .count = 1000});

    both[6] = 'b';
    own[7] = 'o';
    std::printf("%zu %zu %c %d\n", source.size(), sink.size(), part[0], part[1]);
    both.flush(); // on the disk when it returns
}

void resize_files() {
    mmstl::mapped_span<char> bytes("new.bin");
    mmstl::file("new.bin").open(mmstl::access::read_write).resize(20000);
    bytes.refresh(); // maps it anew: pointers are invalid

    auto log = mmstl::mapped_vector<char>::create("new.log", {.layout = mmstl::layout::raw});
    log.resize(20000); // nothing moves
    log.close();       // and the file has 20000 bytes

    std::printf("%zu %zu\n", bytes.size(), mmstl::mapped_span<const char>("new.log").size());
}

void read_lines() {
    const mmstl::mapped_span<const char> text("testfile.txt");
    span_buffer buffer(text);
    std::istream lines(&buffer); // stream<mapped_file_source>
    for (std::string line; std::getline(lines, line);) std::printf("%zu\n", line.size());
}

} // namespace

int main() {
    try {
        open_files();
        resize_files();
        read_lines();
        for (const char* name : {"new.bin", "new.log"}) mmstl::file(name).remove();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
