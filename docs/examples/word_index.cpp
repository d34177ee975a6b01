// SPDX-License-Identifier: MIT
//
// The words of a text and the lines they are on: read from the text once, found in a file ever
// after. Both happen here, one after the other; how long each took goes to stderr.
//
//     word_index [TEXT [WORD...]]

#include <mmstl.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string_view>
#include <vector>

// Made within a segment: what is handed the allocator keeps all of itself there.
struct word_index {
    using allocator_type = mmstl::shared_allocator<char>;

    word_index(std::string_view text, const allocator_type& in) : lines_of(in) {
        for (std::size_t at = 0; at < text.size(); ++n_lines) {
            const auto line = text.substr(at, text.find('\n', at) - at);
            add_line(line);
            at += line.size() + 1;
        }
    }

    mmstl::map<mmstl::string, mmstl::vector<std::uint32_t>> lines_of;
    std::uint32_t n_lines = 0;

private:
    static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

    void add_line(std::string_view line) {
        for (auto end = line.begin();;) {
            const auto begin = std::find_if(end, line.end(), is_letter);
            if (begin == line.end()) return;
            end = std::find_if_not(begin, line.end(), is_letter);
            const std::string_view word(begin, end);
            auto found = lines_of.find(word); // no string is made for a word that is known
            if (found == lines_of.end()) found = lines_of.try_emplace(mmstl::string(word)).first;
            auto& lines = found->second;
            if (lines.empty() || lines.back() != n_lines + 1) lines.push_back(n_lines + 1);
        }
    }
};

// By this name files know the type. A change of what is in it has to change it, too.
template <>
inline constexpr std::string_view mmstl::persistent_name<word_index> = "example/word_index/1";

namespace {

void look_up(const char* text_path, const std::vector<std::string_view>& words) {
    const auto start = std::chrono::steady_clock::now();
    auto seg = mmstl::segment::open_or_create("words.mms");
    auto* index = seg.find<word_index>("index");
    const bool is_new = index == nullptr;
    if (is_new) {
        // Nobody finds it before its constructor has returned: it is complete, or not there.
        const mmstl::mapped_span<const char> text(text_path);
        index = &seg.construct<word_index>("index", std::string_view(text));
    }
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    std::fprintf(stderr, "%s in %.3f ms\n", is_new ? "built" : "opened", took.count());

    std::printf("%s: %zu words on %u lines\n", is_new ? "built" : "found", index->lines_of.size(),
                index->n_lines);
    for (const std::string_view word : words) {
        std::printf("  %.*s:", static_cast<int>(word.size()), word.data());
        if (const auto found = index->lines_of.find(word); found != index->lines_of.end())
            for (const auto line : found->second) std::printf(" %u", line);
        std::printf("\n");
    }
    seg.close(); // on the disk, and marked as closed, when this returns
}

} // namespace

int main(int argc, char** argv) {
    try {
        const char* const text = argc > 1 ? argv[1] : "testfile.txt";
        std::vector<std::string_view> words(argv + std::min(argc, 2), argv + argc);
        if (words.empty()) words = {"array", "memory", "through", "absent"};
        look_up(text, words);
        look_up(text, words);
        mmstl::file("words.mms").remove();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
