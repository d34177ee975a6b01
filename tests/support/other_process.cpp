// SPDX-License-Identifier: MIT
//
// A program that has nothing in common with the tests but the segments that they give it, so that
// its addresses, its heap and its libraries are its own.
//
//     other_process verify file|shared_memory NAME    the containers are as they were made
//     other_process add    file|shared_memory NAME    adds to them
//     other_process replace ...                       destroys them and makes them anew
//
// Ends with 0, or says why not.

#include "support/contents.hpp"

#include <cstdio>
#include <exception>
#include <string_view>

namespace {

void run(std::string_view what, const mmstl::backing& where) {
    using support::contents::containers;
    auto opened = mmstl::segment::open(where);
    auto* const found = opened.find<containers>("containers");
    support::contents::require(found != nullptr, "the name");
    found->verify();
    if (what == "add") {
        found->fill();
        found->verify();
    } else if (what == "replace") {
        opened.destroy<containers>("containers");
        auto& made = opened.construct<containers>("containers");
        made.fill();
        made.verify();
    }
    support::contents::require(opened.check().clean(), "the heap");
    opened.close();
}

} // namespace

int main(int argc, char** argv) {
    try {
        if (argc != 4) throw std::invalid_argument("three arguments");
        const std::string_view kind = argv[2];
        run(argv[1], kind == "file" ? mmstl::file(argv[3]) : mmstl::shared_memory(argv[3]));
        return 0;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "other_process: %s\n", e.what());
        return 1;
    }
}
