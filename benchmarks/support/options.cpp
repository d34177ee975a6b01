// SPDX-License-Identifier: MIT
//
// The command line of the suite.

#include "options.hpp"

#include <charconv>
#include <cstdlib>
#include <string_view>

namespace bench {

const char* const help_text =
    R"(Compares mmstl with read() and with other ways to get at the bytes of a file.

  --quick        smaller files, less than a minute in all
  --file PATH    compare on this file (it is only read): scan warm, again and cold, open to first element
  --dir DIR      where test files are made, and removed again (default: $TMPDIR or /var/tmp)
  --json PATH    also write the results to PATH (docs/benchmarks/results-format.md)
  --only NAME    only the workloads whose names begin with NAME
  --threads N    how many threads work at once where no number is part of the question (default:
                 as many as there are processors, but from 4 to 16)
  --list         the names of all workloads
  --self-test    measures nothing, but looks whether the suite is to be believed
  --help         this text

Exit status: 0 if all ran and all arms of a workload agreed on the result, 1 if not, 2 on misuse.
)";

namespace {

std::size_t positive(const std::string& text) {
    constexpr std::size_t most = 1024;
    std::size_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size() || number == 0 || number > most)
        throw usage_error("--threads needs a number from 1 to " + std::to_string(most));
    return number;
}

} // namespace

options parse(int argc, char** argv) {
    options chosen;
    if (const char* dir = std::getenv("TMPDIR"); dir != nullptr && *dir != '\0')
        chosen.directory = dir;
    else
        chosen.directory = "/var/tmp";

    for (int i = 1; i < argc; ++i) {
        const std::string_view argument = argv[i];
        const auto equals = argument.find('=');
        const std::string_view name = argument.substr(0, equals);

        std::string threads;
        std::string* value = nullptr;
        bool* flag = nullptr;
        if (name == "--quick")
            flag = &chosen.quick;
        else if (name == "--list")
            flag = &chosen.list;
        else if (name == "--help" || name == "-h")
            flag = &chosen.help;
        else if (name == "--self-test")
            flag = &chosen.self_test;
        else if (name == "--threads")
            value = &threads;
        else if (name == "--file")
            value = &chosen.file;
        else if (name == "--dir")
            value = &chosen.directory;
        else if (name == "--json")
            value = &chosen.json;
        else if (name == "--only")
            value = &chosen.only;
        else
            throw usage_error("unknown option " + std::string(name));

        if (flag != nullptr) {
            if (equals != std::string_view::npos)
                throw usage_error(std::string(name) + " takes no value");
            *flag = true;
            continue;
        }
        if (equals != std::string_view::npos)
            *value = argument.substr(equals + 1);
        else if (i + 1 < argc)
            *value = argv[++i];
        else
            value->clear();
        if (value->empty()) throw usage_error(std::string(name) + " needs a value");
        if (value == &threads) chosen.threads = positive(threads);
    }
    return chosen;
}

} // namespace bench
