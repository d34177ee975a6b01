// SPDX-License-Identifier: MIT
//
// Fuzzes the opening of a vector's file, by libFuzzer: tests/fuzz/run.
//
// An input is how to make a file (`recipe`), and then the file. It is opened in every way there is,
// and each time the answer has to be that of `read_by_the_book`, which is docs/file-format.md
// written down a second time. What lets itself be opened is then read, appended to, flushed, closed
// and opened again. Only mmstl's own exceptions may come of it; whatever else does ends the program.

#include <mmstl.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <random>
#include <span>
#include <vector>

namespace {

using bytes = std::vector<unsigned char>;
using element = std::uint32_t;
using writer = mmstl::mapped_vector<element>;
using reader = mmstl::mapped_vector<const element>;

// The first three bytes of an input.
struct recipe {
    static constexpr std::size_t n_bytes = 3;
    static constexpr unsigned char mends = 1;      // the checksums fit
    static constexpr unsigned char names_boot = 2; // boot_id is this boot's
    unsigned char flags = 0;
    unsigned char tail = 0;     // zeros behind the file, in steps of 33 bytes
    unsigned char reserved = 0; // elements beyond the file for which there are addresses, by 16
};

// Where things are in a header: docs/file-format.md.
constexpr std::size_t header_bytes = 4096;
constexpr std::array<unsigned char, 8> magic = {0x89, 'm', 'm', 's', 't', 'l', '\r', '\n'};
constexpr std::size_t at_published_size = 512;
constexpr std::size_t at_state = 576;
constexpr std::size_t at_boot_id = 584;
constexpr std::size_t at_lost_size = 624;
constexpr std::array<std::size_t, 2> at_records = {1024, 1536};

void check(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "not so: %s\n", what);
    std::abort(); // where that was is in libFuzzer's report
}

template <class Number> Number number_at(const bytes& file, std::size_t offset) {
    Number n;
    std::memcpy(&n, file.data() + offset, sizeof n);
    return n;
}
template <class Number> void put(unsigned char* file, std::size_t offset, Number n) {
    std::memcpy(file + offset, &n, sizeof n);
}

std::uint64_t fnv1a(const unsigned char* from, std::size_t n) {
    std::uint64_t hash = 0xcbf29ce484222325;
    for (; n != 0; --n, ++from) hash = (hash ^ *from) * 0x100000001b3;
    return hash;
}
std::uint64_t hash_of_type() {
    constexpr std::array<unsigned char, 2> u4 = {'u', '4'};
    return fnv1a(u4.data(), u4.size());
}

void mend(unsigned char* file) {
    put(file, 504, fnv1a(file, 504));
    for (const auto at : at_records) put(file, at + 16, fnv1a(file + at, 16));
}

/// As the field has it; all zero if it cannot be told.
const std::array<unsigned char, 40>& this_boot() {
    static const auto known = [] {
        std::array<unsigned char, 40> id{};
        const int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
        if (fd == -1 || read(fd, id.data(), 36) != 36) id = {};
        if (fd != -1) close(fd);
        return id;
    }();
    return known;
}

struct answer {
    std::optional<mmstl::errc> refused;
    std::uint64_t size = 0;
};

answer read_by_the_book(const bytes& file, mmstl::on_unclean take) {
    using mmstl::errc;
    using mmstl::on_unclean;
    if (!std::equal(magic.begin(), magic.begin() + std::min(file.size(), magic.size()),
                    file.begin()))
        return {errc::foreign_file};
    if (file.size() < header_bytes) return {errc::incomplete};
    const auto order = number_at<std::uint32_t>(file, 8);
    if (order == 0x04030201) return {errc::other_byte_order};
    if (order != 0x01020304) return {errc::damaged};
    if (number_at<std::uint64_t>(file, 504) != fnv1a(file.data(), 504)) return {errc::damaged};
    if (number_at<std::uint32_t>(file, 12) != 1) return {errc::other_version};
    if (number_at<std::uint32_t>(file, 20) != header_bytes) return {errc::other_version};
    if (number_at<std::uint32_t>(file, 16) != 1) return {errc::other_kind};
    if (number_at<std::uint64_t>(file, 24) != sizeof(element)) return {errc::other_element_size};
    if (number_at<std::uint64_t>(file, 32) != alignof(element)) return {errc::other_type};
    if (number_at<std::uint64_t>(file, 40) != hash_of_type()) return {errc::other_type};

    std::optional<std::uint64_t> sequence;
    std::uint64_t durable = 0;
    for (const auto at : at_records) {
        const auto n = number_at<std::uint64_t>(file, at);
        const bool is_whole =
            n % 2 == (at == at_records[1] ? 1 : 0) &&
            number_at<std::uint64_t>(file, at + 16) == fnv1a(file.data() + at, 16);
        if (!is_whole || (sequence && n - *sequence >= std::uint64_t{1} << 63)) continue;
        sequence = n;
        durable = number_at<std::uint64_t>(file, at + 8);
    }
    if (!sequence) return {errc::damaged};

    const auto holds = (file.size() - header_bytes) / sizeof(element);
    const auto published = number_at<std::uint64_t>(file, at_published_size);
    const auto state = number_at<std::uint64_t>(file, at_state);
    const auto ever = std::max(published, state == 2 ? number_at<std::uint64_t>(file, at_lost_size)
                                                     : std::uint64_t{0});
    const bool same_boot = this_boot()[0] != 0 && std::equal(this_boot().begin(), this_boot().end(),
                                                             file.begin() + at_boot_id);
    auto size = published;
    if (state != 0) {
        switch (take) {
        case on_unclean::fail: return {errc::unclean};
        case on_unclean::automatic: size = same_boot ? published : durable; break;
        case on_unclean::durable: size = durable; break;
        case on_unclean::published: size = same_boot ? ever : std::min(ever, holds); break;
        }
    }
    if (size > holds) return {errc::past_the_end};
    return {{}, size};
}

int the_file() {
    static const int fd = [] {
        const int made = memfd_create("open_vector", MFD_CLOEXEC);
        check(made != -1, "memfd_create");
        return made;
    }();
    return fd;
}
void write_file(const bytes& file) {
    check(ftruncate(the_file(), 0) == 0, "ftruncate");
    check(ftruncate(the_file(), static_cast<off_t>(file.size())) == 0, "ftruncate");
    check(pwrite(the_file(), file.data(), file.size(), 0) == static_cast<ssize_t>(file.size()),
          "pwrite");
}

bytes read_file() {
    bytes file(static_cast<std::size_t>(lseek(the_file(), 0, SEEK_END)));
    check(pread(the_file(), file.data(), file.size(), 0) == static_cast<ssize_t>(file.size()),
          "pread");
    return file;
}

/// Touches elements where a wrong size would show.
template <class Vector> void look_at(const Vector& v) {
    const std::span<const element> all(v.data(), v.size());
    if (all.empty()) return;
    volatile element seen = all.front();
    seen = all[all.size() / 2];
    seen = all.back();
    (void)seen;
    check(v.readable(), "all elements can be read");
}

template <class Vector>
std::optional<Vector> opened(const mmstl::vector_options& options, const answer& expected) {
    try {
        Vector v(mmstl::borrowed_fd(the_file()), options);
        check(!expected.refused, "refused, as the book says");
        check(v.size() == expected.size, "as many elements as the book says");
        check(v.size() <= v.capacity() && v.capacity() <= v.reserved(), "room for them");
        look_at(v);
        return v;
    } catch (const mmstl::mapping_error& e) {
        check(expected.refused.has_value(), e.what());
        check(e.code() == make_error_code(*expected.refused), e.what());
        return {};
    }
}

/// What a writer is for; ends with a file that anybody can open.
void use(writer& v, const mmstl::vector_options& options) {
    const auto before = v.size();
    std::uint64_t added = 0;
    try {
        for (; added != 3; ++added) v.push_back(element{7});
        v.resize(v.size() + 1500); // the file grows
        added += 1500;
    } catch (const mmstl::reservation_exhausted& e) {
        check(e.asked() > v.reserved(), "it was needed");
    }
    check(v.size() == before + added, "what was appended is there, and nothing else");
    look_at(v);
    v.flush();
    if (options.layout == mmstl::layout::header)
        check(v.durable_size() == v.size(), "what was flushed is on the disk");
    if (!v.empty()) v.pop_back();
    v.shrink_to_fit();
    const answer left{{}, v.size()};
    if (options.layout == mmstl::layout::header) {
        opened<reader>({.reserved = 0}, left); // while it is in use
        v.flush();
    }
    v.close();
    auto again = options;
    again.on_unclean = mmstl::on_unclean::fail;
    opened<reader>(again, left);
}

void open_in_every_way(const bytes& file, std::size_t beyond) {
    mmstl::vector_options options{.reserved = file.size() / sizeof(element) + beyond,
                                  .growth = {.least_bytes = 4096, .most_bytes = 8192}};
    using mmstl::on_unclean;
    for (const auto take :
         {on_unclean::automatic, on_unclean::durable, on_unclean::published, on_unclean::fail}) {
        options.on_unclean = take;
        const auto expected = read_by_the_book(file, take);
        write_file(file);
        opened<reader>(options, expected);
        if (!opened<writer>(options, expected)) continue;
        // Killed; what the opening made of the header is a header like others.
        const auto left = read_by_the_book(read_file(), take);
        opened<reader>(options, left);
        if (auto v = opened<writer>(options, left)) use(*v, options);
    }

    options.layout = mmstl::layout::raw;
    answer expected;
    if (file.size() % sizeof(element) != 0) expected.refused = mmstl::errc::length_not_multiple;
    expected.size = file.size() / sizeof(element);
    write_file(file);
    opened<reader>(options, expected);
    if (auto v = opened<writer>(options, expected)) use(*v, options);
}

bool one_in(std::minstd_rand& dice, unsigned n) { return dice() % n == 0; }

std::uint64_t hostile_number(std::minstd_rand& dice, std::size_t room) {
    constexpr auto most = UINT64_MAX;
    switch (dice() % 8) {
    case 0: return dice() % 4;
    case 1: return room;
    case 2: return room + dice() % 3 - 1;
    case 3: return most - dice() % 3;
    case 4: return (most - header_bytes) / sizeof(element) + dice() % 3 - 1; // wraps, or just not
    case 5: return most / 2 + dice() % 3 - 1;
    case 6: return std::uint64_t{1} << dice() % 64;
    default: return room == 0 ? 0 : dice() % room;
    }
}

/// Input and file of a vector that is closed, in use or was being recovered.
bytes sound_input(std::minstd_rand& dice) {
    const std::size_t room = one_in(dice, 4) ? 0 : dice() % 64;
    bytes input(recipe::n_bytes + header_bytes + room * sizeof(element), 0xab);
    input[0] = static_cast<unsigned char>(recipe::mends | dice() % 4);
    input[1] = one_in(dice, 2) ? 0 : static_cast<unsigned char>(dice());
    input[2] = static_cast<unsigned char>(dice());
    auto* const file = input.data() + recipe::n_bytes;
    std::memset(file, 0, header_bytes);
    std::copy(magic.begin(), magic.end(), file);
    put<std::uint32_t>(file, 8, 0x01020304);
    put<std::uint32_t>(file, 12, 1);
    put<std::uint32_t>(file, 16, 1);
    put<std::uint32_t>(file, 20, header_bytes);
    put<std::uint64_t>(file, 24, sizeof(element));
    put<std::uint64_t>(file, 32, alignof(element));
    put<std::uint64_t>(file, 40, hash_of_type());
    std::memcpy(file + 48, "u4", 2);
    put<std::uint64_t>(file, at_published_size, dice() % (room + 1));
    put<std::uint64_t>(file, at_state, dice() % 3);
    put<std::uint64_t>(file, at_lost_size, dice() % (room + 1));
    put<std::uint64_t>(file, 1024, 2);
    put<std::uint64_t>(file, 1032, dice() % (room + 1));
    put<std::uint64_t>(file, 1536, one_in(dice, 2) ? 1 : 3);
    put<std::uint64_t>(file, 1544, dice() % (room + 1));
    mend(file);
    return input;
}

} // namespace

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < recipe::n_bytes) return 0;
    const recipe how{data[0], data[1], data[2]};
    bytes file(data + recipe::n_bytes, data + size);
    file.resize(file.size() + std::size_t{how.tail} * 33);
    if (file.size() >= header_bytes) {
        if ((how.flags & recipe::names_boot) != 0)
            std::copy(this_boot().begin(), this_boot().end(), file.begin() + at_boot_id);
        if ((how.flags & recipe::mends) != 0) mend(file.data());
    }
    open_in_every_way(file, std::size_t{how.reserved} * 16);
    return 0;
}

/// Headers are made of fields, most of which have to be right for the rest to matter.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t most, unsigned seed) {
    std::minstd_rand dice(seed);
    if (size <= recipe::n_bytes || one_in(dice, 64)) {
        const auto input = sound_input(dice);
        if (input.size() > most) return LLVMFuzzerMutate(data, size, most);
        std::copy(input.begin(), input.end(), data);
        return input.size();
    }
    if (size < recipe::n_bytes + header_bytes || one_in(dice, 4))
        return LLVMFuzzerMutate(data, size, most);
    const auto room = (size - recipe::n_bytes - header_bytes) / sizeof(element);
    constexpr std::array<std::size_t, 9> wide = {
        at_published_size, at_published_size, at_lost_size, at_state, 1024, 1032, 1536, 1544, 24};
    constexpr std::array<std::size_t, 8> any = {8, 12, 16, 20, 32, 40, 504, 1040};
    do {
        auto* const file = data + recipe::n_bytes;
        switch (dice() % 8) {
        case 0: data[dice() % recipe::n_bytes] = static_cast<std::uint8_t>(dice()); break;
        case 1: LLVMFuzzerMutate(file + any[dice() % any.size()], 4, 4); break;
        case 2: LLVMFuzzerMutate(file + at_boot_id, 40, 40); break;
        case 3: put<std::uint64_t>(file, at_state, dice() % 4); break;
        default: put<std::uint64_t>(file, wide[dice() % wide.size()], hostile_number(dice, room));
        }
    } while (one_in(dice, 2));
    return size;
}
