// SPDX-License-Identifier: MIT
//
// A program that has nothing in common with the tests but the segments that they give it, so that
// its addresses, its heap and its libraries are its own.
//
//     other_process verify    file|shared_memory NAME          the containers are as they were made
//     other_process add       file|shared_memory NAME          adds to them
//     other_process replace   file|shared_memory NAME          destroys them and makes them anew
//     other_process exchange  file|shared_memory NAME NUMBER   hands blocks over, as process NUMBER
//     other_process construct file|shared_memory NAME          asks for objects, as others do
//     other_process storm     file|shared_memory NAME NUMBER SEED   works until it is killed
//     other_process idle                                       says a byte, and waits for the end
//
// Ends with 0, or says why not.

#include "support/contents.hpp"
#include "support/processes.hpp"
#include "support/storm.hpp"

#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <unistd.h>

namespace {

using support::contents::require;

template <class T> T& found_in(const mmstl::segment& in, const char* name) {
    T* const found = in.find<T>(name);
    require(found != nullptr, name);
    return *found;
}

void change_containers(std::string_view what, mmstl::segment& in) {
    using support::contents::containers;
    auto& found = found_in<containers>(in, "containers");
    found.verify();
    if (what == "add") {
        found.fill();
        found.verify();
    } else if (what == "replace") {
        in.destroy<containers>("containers");
        auto& made = in.construct<containers>("containers");
        made.fill();
        made.verify();
    }
    require(in.check().clean(), "the heap");
    in.close();
}

/// Of no segment.
void idle() {
    char byte = 'i';
    require(::write(STDOUT_FILENO, &byte, 1) == 1, "who hears it");
    (void)!::read(STDIN_FILENO, &byte, 1);
}

void run(const std::vector<std::string>& arguments) {
    if (arguments.size() == 1 && arguments[0] == "idle") return idle();
    if (arguments.size() < 3) throw std::invalid_argument("what, and in which segment?");
    const auto& what = arguments[0];
    const mmstl::backing at = arguments[1] == "file"
                                  ? mmstl::backing(mmstl::file(arguments[2]))
                                  : mmstl::backing(mmstl::shared_memory(arguments[2]));
    auto in = mmstl::segment::open(at);
    if (what == "exchange")
        found_in<support::exchange>(in, "exchange").work(in, std::stoul(arguments.at(3)));
    else if (what == "construct")
        found_in<support::race>(in, "race").run(in);
    else if (what == "storm")
        support::storm::process(in, &at, found_in<support::storm::state>(in, "storm"),
                                std::stoul(arguments.at(3)), std::stoull(arguments.at(4)))
            .work();
    else
        change_containers(what, in);
}

} // namespace

int main(int argc, char** argv) {
    try {
        run({argv + 1, argv + argc});
        return 0;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "other_process: %s\n", e.what());
        return 1;
    }
}
