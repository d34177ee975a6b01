// SPDX-License-Identifier: MIT
//
// mapped_vector.hpp: what a file says, what of it is believed, and what survives what.
//
// Offsets are written as numbers here: they are what files have, whatever the headers call them.

#include "support/catch.hpp"
#include "support/checks.hpp"
#include "support/fault.hpp"
#include "support/in_child.hpp"
#include "support/leaks.hpp"
#include "support/soak.hpp"
#include "support/step.hpp"
#include "support/temporary.hpp"

#include <mmstl/mapped_vector.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <initializer_list>
#include <ios>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace support;
using mmstl::errc;
using mmstl::layout;
using mmstl::mapped_vector;
using mmstl::on_unclean;
using mmstl::vector_options;
namespace format = mmstl::detail::format;

namespace {

/// The one of docs/file-format.md.
struct tick {
    std::int64_t time;
    double price;
};

/// Straddles pages and sectors.
struct triple {
    std::array<std::uint64_t, 3> words;
    friend bool operator==(const triple&, const triple&) = default;
};

struct alignas(16) wider {
    std::array<std::uint64_t, 2> words;
};

} // namespace

template <> inline constexpr std::string_view mmstl::persistent_name<tick> = "tick/1";
template <> inline constexpr std::string_view mmstl::persistent_name<triple> = "test/triple";
template <> inline constexpr std::string_view mmstl::persistent_name<wider> = "tick/1";

namespace {

using numbers = mapped_vector<std::uint64_t>;
using reader = mapped_vector<const std::uint64_t>;
using triples = mapped_vector<triple>;

/// What belongs at a place, so that every element tells whether it is right.
std::uint64_t number(std::uint64_t place) { return (place + 1) * 0x9e3779b97f4a7c15U; }
template <class T> T element(std::uint64_t place) {
    if constexpr (std::is_same_v<T, triple>)
        return {{place, number(place), ~place}};
    else
        return number(place);
}
template <class T = std::uint64_t>
std::vector<T> elements(std::uint64_t n, std::uint64_t first = 0) {
    std::vector<T> made;
    for (std::uint64_t i = 0; i < n; ++i) made.push_back(element<T>(first + i));
    return made;
}
template <class Vector> bool are_right(const Vector& all, std::size_t n) {
    if (all.size() < n) return false;
    for (std::size_t i = 0; i < n; ++i)
        if (!(all[i] == element<typename Vector::value_type>(i))) return false;
    return true;
}
template <class Vector> bool are_right(const Vector& all) { return are_right(all, all.size()); }
template <class T> void append(mapped_vector<T>& to, std::size_t n) {
    to.append_range(elements<T>(n, to.size()));
}

// ---- files as bytes ----

/// Makes the file hold exactly these bytes. Over the old ones: a file that is emptied first has to
/// wait for some disks when it is closed.
void leave(const std::string& path, const std::string& bytes) {
    if (!std::filesystem::exists(path)) return write_file(path, bytes);
    if (std::filesystem::file_size(path) > bytes.size())
        std::filesystem::resize_file(path, std::max<std::size_t>(bytes.size(), 1));
    std::fstream out(path, std::ios::binary | std::ios::in | std::ios::out);
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    out.close();
    if (!out) throw std::runtime_error("cannot write " + path);
    if (bytes.empty()) std::filesystem::resize_file(path, 0);
}

template <class T> T get(const std::string& file, std::size_t offset) {
    T value{};
    std::memcpy(&value, file.data() + offset, sizeof value);
    return value;
}
template <class T> void put(std::string& file, std::size_t offset, const T& value) {
    file.replace(offset, sizeof value,
                 std::string(reinterpret_cast<const char*>(&value), sizeof value));
}
std::uint64_t fnv1a(std::string_view bytes) {
    std::uint64_t hash = 0xcbf29ce484222325U;
    for (const char byte : bytes) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3U;
    return hash;
}
/// The identity's checksum is right again.
std::string sealed(std::string file) {
    put(file, 504, fnv1a(std::string_view(file).substr(0, 504)));
    return file;
}
template <class T> std::string changed(std::string file, std::size_t offset, const T& value) {
    put(file, offset, value);
    return file;
}
std::string with_record(std::string file, std::size_t offset, std::uint64_t sequence,
                        std::uint64_t size) {
    put(file, offset, sequence);
    put(file, offset + 8, size);
    put(file, offset + 16, fnv1a(std::string_view(file).substr(offset, 16)));
    return file;
}

constexpr std::size_t live_size = 512, state = 576, boot_id = 584, lost_size = 624;
constexpr std::size_t even_record = 1024, odd_record = 1536;
constexpr std::uint64_t clean = 0, in_use = 1, recovering = 2;

using boot = std::array<char, 40>;
constexpr boot unknown_boot{};
boot another_boot() {
    boot made{};
    std::string_view("01234567-89ab-cdef-0123-456789abcdef").copy(made.data(), made.size());
    return made;
}
/// The file as it is found after the machine was restarted.
void restart(const std::string& path, const boot& was = another_boot()) {
    leave(path, changed(read_file(path), boot_id, was));
}

/// As in a process that has not asked for it yet.
void forget_boot() { format::boot_of_this_process.is_known = false; }
boot this_boot() {
    boot made{};
    read_file("/proc/sys/kernel/random/boot_id").copy(made.data(), 36);
    return made;
}

std::uint64_t state_of(const std::string& path) {
    return get<std::uint64_t>(read_file(path), state);
}

/// A file that was closed, with so many numbers and no room behind them.
std::string closed_file(const std::string& path, std::size_t n) {
    auto all = numbers::create(path);
    append(all, n);
    all.shrink_to_fit();
    all.close();
    return read_file(path);
}

/// A file that was not closed: `durable` numbers were flushed, `published` were appended.
std::string unclosed_file(const std::string& path, std::size_t durable, std::size_t published) {
    auto all = numbers::create(path);
    append(all, durable);
    all.flush();
    append(all, published - durable);
    return read_file(path);
}

template <class T = std::uint64_t>
void check_refused(const std::string& path, const std::string& file, errc code,
                   const vector_options& options = {}) {
    leave(path, file);
    const auto expected = says(code, "mapped_vector", path);
    CHECK(error_of([&] { (void)mapped_vector<T>::open(path, options); }) == expected);
    CHECK(error_of([&] { (void)mapped_vector<const T>::open(path, options); }) == expected);
    if (!file.empty())
        CHECK(error_of([&] { (void)mapped_vector<T>::open_or_create(path, options); }) == expected);
    CHECK(read_file(path) == file);
}

} // namespace

// ---- the boot ----

TEST_CASE("a boot that could not be asked for is asked for again, and is not written as unknown") {
    const temporary_directory directory;
    const auto path = directory / "x";
    const bool is_there = GENERATE(true, false);
    const int error = GENERATE(EMFILE, ENFILE, EIO);
    long nth = 1;
    for (;; ++nth, std::filesystem::remove(path)) {
        if (is_there) closed_file(path, 3);
        forget_boot();
        {
            const fault::fail armed(fault::call::open, nth, error);
            const auto found = error_of([&] { (void)numbers::open_or_create(path); });
            if (!armed.hit()) break;
            CHECK(found == says(error, "open", path));
        }
        CHECK((std::filesystem::exists(path) == is_there));
        auto all = numbers::open_or_create(path);
        append(all, 100);
        CHECK(get<boot>(read_file(path), boot_id) == this_boot());
        const reader other(path); // another process would find no more
        CHECK(other.size() == all.size());
        CHECK_FALSE(other.recovered());
        CHECK(numbers::open(path).size() == all.size());
    }
    CHECK(nth > 2);
}

TEST_CASE("whoever cannot ask for the boot opens nothing for which it counts") {
    const temporary_directory directory;
    const auto path = directory / "x";
    const auto without_boot = [](auto function, int error) {
        forget_boot();
        // The first open of a writer is that of the boot, and the second of a reader.
        constexpr bool writes = std::is_same_v<decltype(function()), numbers>;
        const fault::fail armed(fault::call::open, writes ? 1 : 2, error);
        return error_of([&] { (void)function(); });
    };
    const auto unclean = unclosed_file(path, 60, 100);
    CHECK(without_boot([&] { return numbers::open(path); }, EMFILE) == says(EMFILE, "open", path));
    CHECK(read_file(path) == unclean);
    CHECK(without_boot([&] { return reader::open(path); }, EMFILE) == says(EMFILE, "open", path));
    {
        // Where there is no such thing, what was not closed is read as after a restart.
        forget_boot();
        const fault::fail armed(fault::call::open, 2, ENOENT);
        const auto all = reader::open(path);
        CHECK(all.size() == 60);
        CHECK(all.recovered());
    }
    CHECK(reader::open(path).size() == 100);
    CHECK(read_file(path) == unclean);
    numbers::open(path).close();
    CHECK_FALSE(without_boot([&] { return reader::open(path); }, EMFILE).code);
    forget_boot();
    const fault::watch watching;
    (void)numbers::create(directory / "raw", {.layout = layout::raw});
    CHECK_FALSE(format::boot_of_this_process.is_known);
}

TEST_CASE("where there is no boot to ask for, every opening counts as after a restart") {
    const temporary_directory directory;
    const auto path = directory / "x";
    unclosed_file(path, 60, 100);
    constexpr int not_allowed = 77;
    const auto result = in_child([&] {
        if (!hide_proc()) return not_allowed;
        forget_boot();
        auto all = numbers::open(path);
        expect(all.size() == 60 && all.recovered(), "what was flushed");
        expect(get<boot>(read_file(path), boot_id) == boot{}, "of no boot");
        append(all, 100);
        all.flush();
        append(all, 1);
        expect(reader::open(path).size() == 160, "what was flushed");
        auto fresh = numbers::create(directory / "y");
        append(fresh, 3);
        fresh.close();
        expect(reader::open(directory / "y").size() == 3, "what was closed");
        return 0;
    });
    if (result.exit_code == not_allowed) return skip_loudly("nothing can be mounted on /proc here");
    INFO(result);
    CHECK(result.ok());
}

// ---- the format ----

TEST_CASE("a vector is there again when it is opened again") {
    const temporary_directory directory;
    const auto path = directory / "numbers";
    auto numbers = mapped_vector<int>::create(path);
    numbers.push_back(1);
    numbers.close();
    CHECK(mapped_vector<const int>::open(path).back() == 1);
}

TEST_CASE("a file is, byte by byte, what docs/file-format.md says") {
    if (get<std::uint32_t>("\x04\x03\x02\x01", 0) != 0x01020304)
        return skip_loudly("the file is written down for little-endian machines");
    const temporary_directory directory;
    const auto path = directory / "ticks.mmv";
    auto ticks = mapped_vector<tick>::create(path);
    ticks.push_back({1000, 101.5});
    ticks.flush();
    ticks.push_back({2000, 101.75});
    ticks.close();

    std::string golden(69632, '\0');
    const auto line = [&](std::size_t offset, std::initializer_list<unsigned> bytes) {
        for (const auto byte : bytes) golden[offset++] = static_cast<char>(byte);
    };
    line(0x00, {0x89, 0x6d, 0x6d, 0x73, 0x74, 0x6c, 0x0d, 0x0a, 4, 3, 2, 1, 1, 0, 0, 0});
    line(0x10, {1, 0, 0, 0, 0x00, 0x10, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0});
    line(0x20, {8, 0, 0, 0, 0, 0, 0, 0, 0xe0, 0xbb, 0xbe, 0x86, 0x38, 0xc6, 0x1f, 0x7b});
    line(0x30, {'t', 'i', 'c', 'k', '/', '1'});
    line(0x1f8, {0x78, 0x5b, 0x53, 0xe5, 0xfc, 0xa7, 0x03, 0xe7});
    line(0x200, {2});
    line(0x400, {2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0});
    line(0x410, {0xc6, 0x4a, 0x3a, 0x7c, 0x40, 0x84, 0x21, 0x07});
    line(0x600, {3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0});
    line(0x610, {0x64, 0xe8, 0x35, 0x5e, 0x6f, 0xa7, 0x28, 0x99});
    line(0x1000, {0xe8, 0x03, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x60, 0x59, 0x40});
    line(0x1010, {0xd0, 0x07, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x70, 0x59, 0x40});
    auto this_boot = read_file("/proc/sys/kernel/random/boot_id");
    this_boot.resize(36);
    golden.replace(boot_id, this_boot.size(), this_boot);

    const auto file = read_file(path);
    REQUIRE(file.size() == golden.size());
    const auto [at, other] = std::ranges::mismatch(file, golden);
    INFO("they differ at byte " << at - file.begin());
    CHECK(at == file.end());
    CHECK(fnv1a("tick/1") == 0x7b1fc63886bebbe0U);
}

TEST_CASE("a file of another make is foreign, and one that is cut short is incomplete") {
    const temporary_directory directory;
    const auto path = directory / "numbers";
    const auto file = closed_file(path, 3);
    const leak_check guard;
    check_refused(path, std::string(10'000, '\0'), errc::foreign_file);
    check_refused(path, "a text\n", errc::foreign_file);
    auto transferred = file; // as text: the line end has changed
    transferred.erase(6, 1);
    check_refused(path, transferred, errc::foreign_file);

    auto almost = file;
    almost[7] = '\r';
    for (std::size_t length = 0; length < 4096; ++length) {
        INFO("the first " << length << " bytes");
        check_refused(path, file.substr(0, length), errc::incomplete);
        check_refused(path, almost.substr(0, length),
                      length < 8 ? errc::incomplete : errc::foreign_file);
    }
    const auto refused = [&] {
        leave(path, file.substr(0, 100));
        try {
            (void)numbers::open(path);
        } catch (const mmstl::mapping_error& e) {
            return e.asked_bytes() == 4096 && e.available_bytes() == 100;
        }
        return false;
    };
    CHECK(refused());
}

TEST_CASE("each way in which a header is another one has an error of its own") {
    const temporary_directory directory;
    const auto path = directory / "numbers";
    const auto file = closed_file(path, 3);
    const leak_check guard;
    const auto other = [&](std::size_t offset, auto value) {
        return sealed(changed(file, offset, value));
    };
    check_refused(path, other(8, std::uint32_t{0x04030201}), errc::other_byte_order);
    check_refused(path, changed(file, 8, std::uint32_t{0x04030201}), errc::other_byte_order);
    check_refused(path, other(8, std::uint32_t{0x02010403}), errc::damaged);
    check_refused(path, other(12, std::uint32_t{2}), errc::other_version);
    check_refused(path, other(12, std::uint32_t{0}), errc::other_version);
    check_refused(path, other(16, std::uint32_t{2}), errc::other_kind);
    check_refused(path, other(20, std::uint32_t{8192}), errc::other_version);
    check_refused(path, other(24, std::uint64_t{4}), errc::other_element_size);
    check_refused(path, other(24, std::uint64_t{0}), errc::other_element_size);
    check_refused(path, other(32, std::uint64_t{4}), errc::other_type);
    check_refused(path, other(40, fnv1a("i8")), errc::other_type);
    for (const auto offset : {12U, 16U, 20U, 24U, 32U, 40U, 48U, 304U, 503U, 504U})
        check_refused(path, changed(file, offset, static_cast<char>(file[offset] ^ 0x40)),
                      errc::damaged);

    // From the most general doubt to the most particular one.
    auto all_wrong = other(40, fnv1a("i8"));
    put(all_wrong, even_record + 16, std::uint64_t{0});
    put(all_wrong, odd_record + 16, std::uint64_t{0});
    put(all_wrong, live_size, UINT64_MAX);
    check_refused(path, all_wrong, errc::other_type);
    put(all_wrong, 24, std::uint64_t{4});
    check_refused(path, sealed(all_wrong), errc::other_element_size);
    put(all_wrong, 16, std::uint32_t{2});
    check_refused(path, sealed(all_wrong), errc::other_kind);
    put(all_wrong, 12, std::uint32_t{2});
    check_refused(path, sealed(all_wrong), errc::other_version);
    put(all_wrong, 504, std::uint64_t{0});
    check_refused(path, all_wrong, errc::damaged);
    put(all_wrong, 8, std::uint32_t{0x04030201});
    check_refused(path, all_wrong, errc::other_byte_order);
    put(all_wrong, 0, 'x');
    check_refused(path, all_wrong, errc::foreign_file);

    // The name is for people: what is behind its hash is not looked at.
    leave(path, sealed(changed(file, 48, 'x')));
    CHECK(reader::open(path).size() == 3);
}

TEST_CASE("a file opens as the type that it was made of, and as no other") {
    const temporary_directory directory;
    const auto path = directory / "numbers";
    const leak_check guard;
    mapped_vector<int>::create(path).close();
    check_refused<float>(path, read_file(path), errc::other_type);
    check_refused<unsigned>(path, read_file(path), errc::other_type);
    check_refused<short>(path, read_file(path), errc::other_element_size);
    CHECK(mapped_vector<int>::open(path).empty());

    const auto longs = directory / "longs";
    auto made = mapped_vector<long>::create(longs);
    made.push_back(-1);
    made.close();
    if constexpr (sizeof(long) == sizeof(long long))
        CHECK(mapped_vector<long long>::open(longs).front() == -1);
    CHECK(mapped_vector<const std::int64_t>::open(longs).front() == -1);

    const auto ticks = directory / "ticks";
    mapped_vector<tick>::create(ticks).close();
    check_refused<wider>(ticks, read_file(ticks), errc::other_type); // alignment alone
}

TEST_CASE("an identity in which one bit has flipped is never accepted") {
    const temporary_directory directory;
    const auto path = directory / "numbers";
    const auto file = closed_file(path, 3);
    const leak_check guard;
    for (std::size_t bit = 0; bit < 512 * 8; ++bit) {
        INFO("bit " << bit % 8 << " of byte " << bit / 8);
        const auto flipped =
            changed(file, bit / 8,
                    static_cast<char>(static_cast<unsigned char>(file[bit / 8]) ^ (1U << bit % 8)));
        check_refused(path, flipped, bit < 64 ? errc::foreign_file : errc::damaged);
    }
}

TEST_CASE("of two durable records one is enough, and the other counts then") {
    const temporary_directory directory;
    const auto path = directory / "numbers";
    auto file = unclosed_file(path, 60, 100);
    file = with_record(with_record(file, even_record, 8, 60), odd_record, 7, 40);
    put(file, boot_id, another_boot());
    const auto taken = [&](const std::string& bytes) {
        leave(path, bytes);
        const auto all = numbers::open(path);
        CHECK(all.durable_size() == all.size());
        CHECK(are_right(all));
        return all.size();
    };
    CHECK(taken(file) == 60);
    CHECK(taken(with_record(file, odd_record, 9, 40)) == 40); // whichever was written later
    CHECK(taken(with_record(with_record(file, even_record, 0, 60), odd_record, UINT64_MAX, 40)) ==
          60);                                                 // after the last number comes 0
    CHECK(taken(with_record(file, odd_record, 10, 40)) == 60); // not where it belongs
    CHECK(taken(with_record(file, even_record, 9, 60)) == 40);
    check_refused(path, with_record(with_record(file, even_record, 1, 60), odd_record, 8, 40),
                  errc::damaged);
    const leak_check guard;
    for (std::size_t bit = 0; bit < 24 * 8; ++bit) {
        INFO("bit " << bit % 8 << " of byte " << bit / 8);
        const auto flip = [&](std::string bytes, std::size_t record) {
            auto& byte = bytes[record + bit / 8];
            byte = static_cast<char>(static_cast<unsigned char>(byte) ^ (1U << bit % 8));
            return bytes;
        };
        CHECK(taken(flip(file, even_record)) == 40);
        CHECK(taken(flip(file, odd_record)) == 60);
        check_refused(path, flip(flip(file, even_record), odd_record), errc::damaged);
    }
    // A flush goes over the one that does not count.
    leave(path, changed(file, odd_record, std::uint64_t{99}));
    auto all = numbers::open(path);
    append(all, 1);
    all.flush();
    CHECK(get<std::uint64_t>(read_file(path), odd_record) == 9);
    CHECK(get<std::uint64_t>(read_file(path), odd_record + 8) == 61);
    CHECK(get<std::uint64_t>(read_file(path), even_record + 8) == 60);
}

TEST_CASE("a size that passes the end of the file is refused, also when it wraps") {
    const temporary_directory directory;
    const auto path = directory / "numbers";
    const auto file = closed_file(path, 3);
    REQUIRE(file.size() == 4096 + 3 * 8);
    const leak_check guard;
    constexpr auto one = std::uint64_t{1};
    for (const auto size : {one * 4, UINT64_MAX, one << 63, one << 61, (one << 61) - 1,
                            (one << 61) + 3, (one << 61) - 512, UINT64_MAX / 8}) {
        INFO(size << " elements");
        check_refused(path, changed(file, live_size, size), errc::past_the_end);
        check_refused(path, changed(changed(file, live_size, size), state, in_use),
                      errc::past_the_end); // by this boot: it is believed
        // Before a restart it is not, and what the disk is known to have is taken.
        const auto unclean =
            changed(changed(changed(file, live_size, size), state, in_use), boot_id, unknown_boot);
        leave(path, unclean);
        {
            const auto all = numbers::open(path);
            CHECK(all.size() == 3);
            REQUIRE(all.recovered());
            CHECK(all.recovered()->durable_size == 3);
            CHECK(all.recovered()->published_size == 3); // no more than the file holds
        }
        leave(path, unclean);
        CHECK(reader::open(path, {.on_unclean = on_unclean::published}).size() == 3);

        const auto promised = with_record(unclean, even_record, 100, size);
        check_refused(path, promised, errc::past_the_end);
        check_refused(path, promised, errc::past_the_end, {.on_unclean = on_unclean::durable});
    }
    check_refused(path, file.substr(0, file.size() - 1), errc::past_the_end);
    check_refused(path, file.substr(0, 4096), errc::past_the_end);
    leave(path, file.substr(0, 4096));
    try {
        (void)numbers::open(path);
        FAIL("accepted");
    } catch (const mmstl::mapping_error& e) {
        CHECK(e.asked_bytes() == 4096 + 3 * 8);
        CHECK(e.available_bytes() == 4096);
    }
}

TEST_CASE("a state that no version writes counts as not closed") {
    const temporary_directory directory;
    const auto path = directory / "numbers";
    const auto file = unclosed_file(path, 60, 100);
    const auto garbage = GENERATE(as<std::uint64_t>{}, 3, 256, std::uint64_t{1} << 32, UINT64_MAX);
    check_refused(path, changed(file, state, garbage), errc::unclean,
                  {.on_unclean = on_unclean::fail});
    CHECK(reader::open(path).size() == 100);
    leave(path, changed(changed(file, state, garbage), boot_id, another_boot()));
    CHECK(reader::open(path).size() == 60);
    CHECK(numbers::open(path).size() == 60);
    CHECK(state_of(path) == recovering);
}

TEST_CASE("bytes that are called zero are not looked at, and stay") {
    const temporary_directory directory;
    const auto path = directory / "numbers";
    auto file = closed_file(path, 3);
    for (const auto& [first, last] : {std::pair{520, 576}, {632, 1024}, {1048, 1536}, {1560, 4096}})
        std::fill(file.begin() + first, file.begin() + last, 'x');
    leave(path, file);
    {
        auto all = numbers::open(path);
        CHECK(are_right(all));
        all.close();
    }
    const auto after = read_file(path);
    CHECK(after.substr(520, 56) == file.substr(520, 56));
    CHECK(after.substr(632, 392) == file.substr(632, 392));
    CHECK(after.substr(2048) == file.substr(2048));
}

TEST_CASE("a raw file with a ragged end is refused") {
    const temporary_directory directory;
    const auto path = directory / "numbers";
    const leak_check guard;
    for (std::size_t more = 1; more < 8; ++more)
        check_refused(path, std::string(24 + more, 'x'), errc::length_not_multiple,
                      {.layout = layout::raw});
    write_file(path, elements(3));
    CHECK(are_right(reader::open(path, {.layout = layout::raw}), 3));
}

// ---- flush ----

namespace {

/// The calls that write, in their order: d(ata) and h(eader) by msync, s(ync) of a descriptor,
/// t(runcate), r(ange that is started).
std::string writes_of(const fault::watch& seen, const void* elements) {
    const auto first = reinterpret_cast<std::uintptr_t>(elements);
    std::string text;
    for (const auto& one : seen.records()) {
        if (one.which == fault::call::msync) {
            CHECK(one.arguments[2] == 4 /* MS_SYNC */);
            const bool is_header = one.arguments[0] < first;
            if (is_header) CHECK(one.arguments[0] + one.arguments[1] == first);
            text += is_header ? 'h' : 'd';
        }
        if (one.which == fault::call::fsync || one.which == fault::call::fdatasync) text += 's';
        if (one.which == fault::call::ftruncate) text += 't';
        if (one.which == fault::call::sync_file_range) text += 'r';
    }
    return text;
}
template <class Operation> std::string writes_during(const void* elements, Operation operation) {
    const fault::watch seen;
    operation();
    return writes_of(seen, elements);
}

} // namespace

TEST_CASE("a flush writes the elements, once the directory, and then the header") {
    const temporary_directory directory;
    const auto path = directory / "numbers";
    const auto record = [&](std::size_t at) {
        const auto file = read_file(path);
        CHECK(get<std::uint64_t>(file, at + 16) == fnv1a(std::string_view(file).substr(at, 16)));
        return std::pair(get<std::uint64_t>(file, at), get<std::uint64_t>(file, at + 8));
    };
    using pair = std::pair<std::uint64_t, std::uint64_t>;
    auto all = numbers::create(path);
    const void* const at = all.data();
    append(all, 100);
    CHECK(record(odd_record) == pair(1, 0));
    CHECK(all.durable_size() == 0);
    CHECK(writes_during(at, [&] { all.flush(); }) == "dsh");
    CHECK(all.durable_size() == 100);
    CHECK(record(even_record) == pair(2, 100));
    CHECK(record(odd_record) == pair(1, 0));

    CHECK(writes_during(at, [&] { all.flush(); }) == "d"); // nothing new
    append(all, 1);
    CHECK(writes_during(at, [&] { all.flush(); }) == "dh");
    CHECK(record(even_record) == pair(2, 100));
    CHECK(record(odd_record) == pair(3, 101));
    all.pop_back();
    CHECK(writes_during(at, [&] { all.flush(); }) == "dh");
    CHECK(record(even_record) == pair(4, 100));

    append(all, 50);
    CHECK(writes_during(at, [&] { all.flush(10, 5); }) == "d");
    CHECK(all.durable_size() == 100);
    CHECK(writes_during(at, [&] { all.flush_async(); }) == "r");
    CHECK(all.durable_size() == 100);
    CHECK(state_of(path) == in_use);

    CHECK(writes_during(at, [&] { all.shrink_to_fit(); }) == "t"); // nothing promised is cut
    all.resize(40);
    CHECK(writes_during(at, [&] { all.shrink_to_fit(); }) == "ht");
    CHECK(all.durable_size() == 40);
    CHECK(record(odd_record) == pair(5, 40));
    append(all, 5);
    CHECK(writes_during(at, [&] { all.close(); }) == "dh");
    CHECK(record(even_record) == pair(6, 45));
    CHECK(state_of(path) == clean);

    auto again = numbers::open(path);
    CHECK(state_of(path) == in_use);
    // The disk may still say "closed".
    CHECK(writes_during(again.data(), [&] { again.flush(); }) == "dh");
    CHECK(writes_during(again.data(), [&] { again.flush(); }) == "d");
    CHECK(record(odd_record) == pair(7, 45));
    auto reading = reader::open(path);
    CHECK(writes_during(reading.data(), [&] { reading.close(); }).empty());
    CHECK(state_of(path) == in_use);
}

TEST_CASE("the first flush of a file writes the directory, whoever has made the file") {
    const temporary_directory directory;
    const auto path = directory / "numbers";
    const auto check_first = [](numbers all) {
        append(all, 10);
        {
            fault::fail failing(fault::call::open, 1, EMFILE);
            CHECK(error_of([&] { all.flush(); }) == says(EMFILE, "open", all.name()));
            CHECK(failing.hit());
        }
        // As long as the name is not on the disk, nothing is promised, for others to see.
        CHECK(all.durable_size() == 0);
        CHECK(get<std::uint64_t>(read_file(all.name()), even_record) == 0);
        CHECK(writes_during(all.data(), [&] { all.flush(); }) == "dsh");
        CHECK(writes_during(all.data(), [&] { all.flush(); }) == "d");
        all = numbers::open(all.name());
        CHECK(writes_during(all.data(), [&] { all.flush(); }) == "dh");
        CHECK(are_right(all, 10));
    };
    SECTION("this one") { check_first(numbers::create(path)); }
    SECTION("a process that has ended, and never flushed it") {
        {
            auto all = numbers::create(path);
            append(all, 3);
        }
        check_first(numbers::open(path));
    }
    SECTION("one that has cut it, and never flushed it") {
        auto all = numbers::create(path);
        append(all, 3);
        all.shrink_to_fit();
        check_first(numbers::open(path));
    }
    SECTION("another program, which has left it empty") {
        write_file(path, "");
        check_first(numbers::open_or_create(path));
    }
    SECTION("raw files tell no one but who has made them") {
        auto raw = numbers::create(path, {.layout = layout::raw});
        append(raw, 10);
        CHECK(writes_during(raw.data(), [&] { raw.flush(); }) == "ds");
        CHECK(writes_during(raw.data(), [&] { raw.flush(); }) == "d");
        raw = numbers::open(path, {.layout = layout::raw});
        CHECK(writes_during(raw.data(), [&] { raw.flush(); }) == "d");
    }
    SECTION("where there is no disk, there is no directory either") {
        const shared_memory_name name;
        numbers::create(mmstl::shared_memory(name.text())).push_back(1);
        auto all = numbers::open(mmstl::shared_memory(name.text()));
        CHECK(writes_during(all.data(), [&] { all.flush(); }) == "dh");
    }
}

TEST_CASE("a raw file is cut to its elements, and then waited for") {
    const temporary_directory directory;
    const auto path = directory / "numbers";
    const vector_options raw{.layout = layout::raw};
    auto all = numbers::create(path, raw);
    append(all, 100);
    CHECK(writes_during(all.data(), [&] { all.flush(10, 5); }) == "d");
    CHECK(writes_during(all.data(), [&] { all.close(); }) == "tss"); // the file, the directory
    all = numbers::open(path, raw);
    append(all, 100);
    CHECK(writes_during(all.data(), [&] { all.flush(); }) == "d");
    CHECK(writes_during(all.data(), [&] { all.shrink_to_fit(); }) == "t");
    append(all, 100);
    CHECK(writes_during(all.data(), [&] { all.close(); }) == "ts");
    CHECK(read_file_of<std::uint64_t>(path) == elements(300));
}

TEST_CASE("a flush by another handle takes the mark of a close back") {
    const temporary_directory directory;
    const auto path = directory / "numbers";
    auto one = numbers::create(path);
    auto other = numbers::open(path);
    append(one, 10);
    one.flush();
    other.close();
    CHECK(state_of(path) == clean);
    CHECK(writes_during(one.data(), [&] { one.flush(); }) == "dh");
    CHECK(state_of(path) == in_use);
}

TEST_CASE("after a flush that failed nothing is promised any more") {
    const temporary_directory directory;
    const auto path = directory / "numbers";
    const auto nth = GENERATE(1, 2); // the elements, the header
    const auto way = GENERATE(0, 1, 2);
    const auto error = GENERATE(EIO, ENOSPC);
    const leak_check guard;
    auto all = numbers::create(path);
    append(all, 60);
    all.flush();
    append(all, 40);
    if (way == 2) {
        if (nth == 2) return; // there is but one
        all.resize(30);
    }
    const auto header = read_file(path).substr(0, 4096);
    const auto expected = says(error, "msync", path);
    {
        fault::fail failing(fault::call::msync, nth, error);
        CHECK(error_of([&] {
                  if (way == 0) all.flush();
                  if (way == 1) all.close();
                  if (way == 2) all.shrink_to_fit();
              }) == expected);
        CHECK(failing.hit());
        CHECK(failing.count(fault::call::ftruncate) == 0);
    }
    CHECK(read_file(path).substr(0, 4096) == header); // nothing is said that is not so
    if (way != 1) {
        const fault::watch seen;
        CHECK(all.durable_size() == 60);
        CHECK(are_right(all));
        append(all, 5);
        CHECK(error_of([&] { all.flush(); }) == expected);
        CHECK(error_of([&] { all.flush(0, 1); }) == expected);
        CHECK(error_of([&] { all.flush_async(); }) == expected);
        CHECK(error_of([&] { all.shrink_to_fit(); }) == expected);
        CHECK(all.durable_size() == 60);
        CHECK(are_right(all, all.size()));
        CHECK(error_of([&] { all.close(); }) == expected);
        CHECK(writes_of(seen, nullptr).empty());
    }
    CHECK_FALSE(all.is_open());
    CHECK(state_of(path) == in_use);
    auto anew = numbers::open(path);
    CHECK(anew.size() == (way == 2 ? 35U : way == 1 ? 100U : 105U));
    CHECK(are_right(anew));
    CHECK_NOTHROW(anew.flush());
    anew.close();
}

// ---- after a restart ----

TEST_CASE("after a restart the elements of the last flush are taken, and the others are not lost") {
    const temporary_directory directory;
    const auto path = directory / "numbers";
    unclosed_file(path, 60, 100);
    const auto was = GENERATE(true, false) ? another_boot() : unknown_boot;
    restart(path, was);
    const auto file = read_file(path);
    const auto tells = [](const auto& all, std::size_t durable, std::size_t published) {
        return all.recovered() && all.recovered()->durable_size == durable &&
               all.recovered()->published_size == published;
    };

    SECTION("by default, and with on_unclean::durable") {
        const auto how = GENERATE(on_unclean::automatic, on_unclean::durable);
        auto all = numbers::open(path, {.on_unclean = how});
        CHECK(all.size() == 60);
        CHECK(all.durable_size() == 60);
        CHECK(tells(all, 60, 100));
        auto now = read_file(path);
        CHECK(now.substr(4096) == file.substr(4096)); // nothing is cut off
        CHECK(get<std::uint64_t>(now, live_size) == 60);
        CHECK(get<std::uint64_t>(now, state) == recovering);
        CHECK(get<std::uint64_t>(now, lost_size) == 100);
        CHECK(get<boot>(now, boot_id) != was);
        all = numbers();
        SECTION("the next ones tell it too, in the same run of the machine and after another") {
            CHECK(tells(numbers::open(path), 60, 100));
            CHECK(tells(reader::open(path), 60, 100));
            restart(path);
            all = numbers::open(path);
            CHECK(tells(all, 60, 100));
            CHECK(all.size() == 60);
            append(all, 10);
            all = numbers::open(path);
            CHECK(all.size() == 70);
            CHECK(tells(all, 60, 100));
            all = numbers();
            restart(path);
            all = numbers::open(path);
            CHECK(all.size() == 60);
            CHECK(tells(all, 60, 100));
        }
        SECTION("in the same run of the machine all can be had yet") {
            all = numbers::open(path, {.on_unclean = on_unclean::published});
            CHECK(all.size() == 100);
            CHECK(are_right(all));
        }
        SECTION("until a flush") {
            all = numbers::open(path);
            all.flush();
            CHECK(state_of(path) == in_use);
            all = numbers::open(path);
            CHECK_FALSE(all.recovered());
            CHECK(all.size() == 60);
        }
        SECTION("or a close") {
            all = numbers::open(path);
            all.close();
            all = numbers::open(path);
            CHECK_FALSE(all.recovered());
            CHECK(all.size() == 60);
        }
    }
    SECTION("the tail is got back") {
        auto all = numbers::open(path);
        const auto tail = all.append_uninitialized(all.recovered()->published_size - all.size());
        CHECK(std::ranges::equal(tail, elements(40, 60)));
        CHECK(all.size() == 60);
        all.commit(tail.size());
        all.flush();
        all = numbers();
        restart(path);
        all = numbers::open(path);
        CHECK(all.size() == 100);
        CHECK(are_right(all));
    }
    SECTION("on_unclean::published") {
        const auto all = numbers::open(path, {.on_unclean = on_unclean::published});
        CHECK(all.size() == 100);
        CHECK(are_right(all));
        CHECK(tells(all, 60, 100));
        CHECK(all.durable_size() == 60);
    }
    SECTION("on_unclean::fail") {
        check_refused(path, file, errc::unclean, {.on_unclean = on_unclean::fail});
    }
    SECTION("readers take the same, and change nothing") {
        const auto all = reader::open(path);
        CHECK(all.size() == 60);
        CHECK(are_right(all));
        CHECK(tells(all, 60, 100));
        const auto published = reader::open(path, {.on_unclean = on_unclean::published});
        CHECK(published.size() == 100);
        CHECK(are_right(published));
        CHECK(tells(published, 60, 100));
        CHECK(read_file(path) == file);
    }
    SECTION("where the file is shorter than the size says") {
        std::filesystem::resize_file(path, 4096 + 80 * 8 + 3);
        const auto how = GENERATE(on_unclean::automatic, on_unclean::published);
        const auto all = numbers::open(path, {.on_unclean = how});
        CHECK(all.size() == (how == on_unclean::published ? 80 : 60));
        CHECK(tells(all, 60, 80));
    }
}

TEST_CASE("a reader that is first after a restart follows the writer, if nothing is in doubt") {
    const temporary_directory directory;
    const auto path = directory / "numbers";
    const auto published = GENERATE(as<std::size_t>{}, 100, 120);
    unclosed_file(path, 100, published);
    restart(path);
    const auto file = read_file(path);
    const auto tail = reader::open(path);
    CHECK(tail.size() == 100);
    REQUIRE(tail.recovered());
    CHECK(tail.recovered()->published_size == published);
    CHECK(read_file(path) == file);
    auto all = numbers::open(path);
    append(all, 10);
    // What it has not taken, it must not see: there it stays at what it has taken.
    CHECK(tail.size() == (published == 100 ? 110 : 100));
    CHECK(are_right(tail));
    CHECK(reader::open(path).size() == 110);
}

TEST_CASE("after an orderly restart all changes are in the file, and the size is the flushed one") {
    const temporary_directory directory;
    const auto path = directory / "numbers";
    const auto check = [&](const char* title, auto change) {
        INFO(title);
        std::filesystem::remove(path);
        auto expected = elements(100);
        change(expected);
        {
            auto all = numbers::create(path);
            append(all, 100);
            all.flush();
            change(all);
        }
        restart(path);
        {
            const auto all = reader::open(path, {.on_unclean = on_unclean::published});
            CHECK(std::ranges::equal(all, expected));
        }
        const auto all = numbers::open(path);
        REQUIRE(all.size() == 100);
        const auto n = std::min<std::size_t>(100, expected.size());
        CHECK(std::equal(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(n),
                         expected.begin()));
        REQUIRE(all.recovered());
        CHECK(all.recovered()->published_size == expected.size());
    };
    check("in place", [](auto& all) {
        for (auto& one : all) one = ~one;
    });
    check("sorted", [](auto& all) { std::ranges::sort(all); });
    check("inserted", [](auto& all) { all.insert(all.begin() + 45, 10, 7); });
    check("erased", [](auto& all) { all.erase(all.begin() + 45, all.begin() + 50); });
    check("assigned more", [](auto& all) { all.assign(130, 7); });
    check("assigned fewer", [](auto& all) { all.assign({1, 2, 3}); });
}

TEST_CASE("while the machine runs on, all that was published is there") {
    const temporary_directory directory;
    const auto path = directory / "numbers";
    const auto file = unclosed_file(path, 60, 100);
    CHECK(state_of(path) == in_use);
    for (const auto how : {on_unclean::automatic, on_unclean::published}) {
        const auto all = numbers::open(path, {.on_unclean = how});
        CHECK(all.size() == 100);
        CHECK(are_right(all));
        CHECK_FALSE(all.recovered());
        CHECK(reader::open(path, {.on_unclean = how}).size() == 100);
    }
    CHECK(reader::open(path, {.on_unclean = on_unclean::durable}).size() == 60);
    CHECK(read_file(path) == file);
    check_refused(path, file, errc::unclean, {.on_unclean = on_unclean::fail});
    CHECK(numbers::open(path, {.on_unclean = on_unclean::durable}).size() == 60);
    const auto again = numbers::open(path);
    REQUIRE(again.recovered());
    CHECK(again.recovered()->published_size == 100);
}

TEST_CASE("close marks a file as closed, and a destructor does not") {
    const temporary_directory directory;
    const auto path = directory / "numbers";
    const bool closes = GENERATE(true, false);
    {
        auto all = numbers::create(path);
        append(all, 100);
        if (closes) all.close();
    }
    CHECK(state_of(path) == (closes ? clean : in_use));
    restart(path);
    auto all = numbers::open(path);
    CHECK(all.size() == (closes ? 100 : 0));
    CHECK(all.recovered().has_value() == !closes);
    if (!closes) return;
    all.close();
    for (const auto how : {on_unclean::durable, on_unclean::published, on_unclean::fail})
        CHECK(reader::open(path, {.on_unclean = how}).size() == 100);
}

// ---- kills ----

namespace {

constexpr long steps_per_test = 20'000;
constexpr vector_options by_pages{.growth = {.factor = 1, .least_bytes = 0}};

/// Kills `operation(all)` on a vector of `n` elements, 40 of them durable, wherever it can be. The
/// first `n_kept` stay as they are.
template <class Operation, class Check>
void check_kills(const std::string& title, std::size_t n, Operation operation, Check check,
                 std::size_t n_kept = 45) {
    const temporary_directory directory;
    const auto path = directory / "triples";
    const auto file = [&] { // made once: to flush takes time
        auto all = triples::create(path, by_pages);
        append(all, 40);
        all.flush();
        append(all, n - 40);
        return read_file(path);
    }();
    kill_at_every_instruction(
        title,
        [&] {
            leave(path, file);
            return triples::open(path, by_pages);
        },
        operation,
        [&](triples& mine, long) {
            {
                const auto all = triples::open(path, by_pages);
                CHECK_FALSE(all.recovered());
                CHECK((all.durable_size() == 40 || all.durable_size() == n));
                CHECK(are_right(all, std::min(n, n_kept)));
                check(all);
            }
            mine = triples();
            restart(path);
            const auto all = triples::open(path);
            CHECK((all.size() == 40 || state_of(path) == clean || all.size() == n));
            CHECK(are_right(all, std::min<std::size_t>(40, n_kept)));
        },
        steps_per_test);
}

/// So many that the next one makes the file longer.
constexpr std::size_t full = 4096 / sizeof(triple);

} // namespace

TEST_CASE("a process that is killed while it appends leaves all of it, or nothing") {
    for (const std::size_t n : {std::size_t{50}, full}) {
        check_kills(
            "push_back to " + std::to_string(n), n,
            [n](triples& all) { all.push_back(element<triple>(n)); },
            [n](const triples& all) {
                CHECK((all.size() == n || all.size() == n + 1));
                CHECK(are_right(all));
            });
        const auto more = elements<triple>(200, n);
        check_kills(
            "append_range to " + std::to_string(n), n,
            [&](triples& all) { all.append_range(more); },
            [n](const triples& all) {
                CHECK((all.size() == n || all.size() == n + 200));
                CHECK(are_right(all));
            });
    }
}

TEST_CASE("a process that is killed while it flushes, shrinks or closes loses nothing") {
    const auto check = [](const triples& all) {
        CHECK(all.size() == 100);
        CHECK(are_right(all));
    };
    check_kills(
        "flush", 100, [](triples& all) { all.flush(); }, check);
    check_kills(
        "close", 100, [](triples& all) { all.close(); }, check);
    check_kills(
        "shrink_to_fit", 100, [](triples& all) { all.shrink_to_fit(); }, check);
}

TEST_CASE("a process that is killed while it inserts or erases leaves a valid vector") {
    const auto other = element<triple>(1000);
    check_kills(
        "insert", 60, [&](triples& all) { all.insert(all.begin() + 45, other); },
        [&](const triples& all) {
            CHECK((all.size() == 60 || all.size() == 61));
            if (all.size() == 61) {
                CHECK(all[45] == other);
                CHECK(std::ranges::equal(std::span(all).subspan(46), elements<triple>(15, 45)));
            }
        });
    check_kills(
        "erase", 60, [](triples& all) { all.erase(all.begin() + 45, all.begin() + 50); },
        [](const triples& all) {
            CHECK((all.size() == 60 || all.size() == 55));
            if (all.size() == 55)
                CHECK(std::ranges::equal(std::span(all).subspan(45), elements<triple>(10, 50)));
        });
}

TEST_CASE("a process that is killed while it assigns leaves the old size, or all that is new") {
    for (const std::size_t n : {std::size_t{20}, std::size_t{100}}) {
        const auto other = elements<triple>(n, 1000);
        check_kills(
            "assign of " + std::to_string(n), 60, [&](triples& all) { all.assign_range(other); },
            [&](const triples& all) {
                CHECK((all.size() == 60 || all.size() == n));
                if (all.size() == n) CHECK(std::ranges::equal(all, other));
            },
            0);
    }
}

TEST_CASE("a process that is killed while it changes elements leaves each change that it made") {
    const temporary_directory directory;
    const auto path = directory / "numbers";
    const auto file = unclosed_file(path, 40, 60);
    const auto rewrite = [&] {
        leave(path, file);
        return numbers::open(path);
    };
    const auto both = [&](const numbers& mine, auto check) {
        check(mine);
        const auto all = numbers::open(path);
        CHECK_FALSE(all.recovered());
        REQUIRE(all.size() == 60);
        check(all);
    };
    kill_at_every_instruction(
        "changes in place", rewrite,
        [](numbers& all) {
            for (std::size_t i = 1; i < all.size(); ++i) {
                all[i] = ~all[i];
                std::atomic_signal_fence(std::memory_order_seq_cst);
                all[0] = i; // so many were made
                std::atomic_signal_fence(std::memory_order_seq_cst);
            }
        },
        [&](const numbers& mine, long) {
            both(mine, [](const numbers& all) {
                const auto made = all[0] == number(0) ? 0 : all[0];
                for (std::size_t i = 1; i < all.size(); ++i) {
                    const bool is_new = i <= made || (i == made + 1 && all[i] != number(i));
                    if (all[i] != (is_new ? ~number(i) : number(i))) FAIL("element " << i);
                }
            });
        },
        steps_per_test);
    const auto values = elements(60);
    kill_at_every_instruction(
        "sort", rewrite, [](numbers& all) { std::ranges::sort(all); },
        [&](const numbers& mine, long) {
            both(mine, [&](const numbers& all) {
                for (const auto one : all)
                    if (std::ranges::find(values, one) == values.end()) FAIL("no value of it");
            });
        },
        steps_per_test);
}

TEST_CASE("a process that is killed while it opens or creates leaves what was, or a vector") {
    const temporary_directory directory;
    const auto path = directory / "numbers";
    const auto unclean = changed(unclosed_file(path, 60, 100), boot_id, another_boot());
    struct nothing {};
    const auto rewrite = [&] {
        leave(path, unclean);
        return nothing{};
    };
    kill_at_every_instruction(
        "open after a restart", rewrite, [&](nothing) { (void)numbers::open(path); },
        [&](nothing, long) {
            const auto found = read_file(path);
            CHECK(found.substr(1024) == unclean.substr(1024));
            for (const bool restarts : {false, true}) {
                leave(path, found);
                if (restarts) restart(path);
                const auto all = numbers::open(path);
                CHECK(all.size() == 60);
                CHECK(are_right(all));
                REQUIRE(all.recovered());
                CHECK(all.recovered()->published_size == 100);
            }
            leave(path, found);
            const auto all = numbers::open(path, {.on_unclean = on_unclean::published});
            CHECK(all.size() == 100);
            CHECK(are_right(all));
        },
        steps_per_test);

    const auto fresh = directory / "fresh";
    kill_at_every_instruction(
        "create",
        [&] {
            std::filesystem::remove(fresh);
            return nothing{};
        },
        [&](nothing) { (void)numbers::create(fresh); },
        [&](nothing, long) {
            std::size_t n_files = 0;
            for ([[maybe_unused]] const auto& one :
                 std::filesystem::directory_iterator(directory.path()))
                ++n_files;
            const bool is_there = std::filesystem::exists(fresh);
            CHECK(n_files == (is_there ? 2 : 1));
            if (is_there) CHECK(numbers::open(fresh).empty());
            auto all = numbers::open_or_create(fresh);
            CHECK(all.created() == !is_there);
            append(all, 3);
            CHECK(are_right(all));
        },
        steps_per_test);
}

TEST_CASE("of a raw file a kill or a restart leaves the elements and zeros, and close no zeros") {
    const temporary_directory directory;
    const auto path = directory / "numbers";
    const bool restarts = GENERATE(false, true);
    CHECK(in_child([&] {
              auto all = numbers::create(path, {.layout = layout::raw});
              append(all, 1000);
              if (!restarts) ::kill(::getpid(), SIGKILL);
          }).signal == (restarts ? 0 : SIGKILL));
    if (restarts) { // from a disk that has all of it
        const auto disk = read_file(path);
        std::filesystem::remove(path);
        write_file(path, disk);
    }
    auto all = numbers::open(path, {.layout = layout::raw});
    CHECK(all.size() == std::filesystem::file_size(path) / 8);
    CHECK(all.size() > 1000);
    CHECK(are_right(all, 1000));
    CHECK(std::ranges::count(std::span(all).subspan(1000), 0U) ==
          static_cast<long>(all.size()) - 1000);
    CHECK_FALSE(all.recovered());
    all.resize(1000);
    append(all, 1);
    all.close();
    CHECK(read_file_of<std::uint64_t>(path) == elements(1001));
    if (restarts) CHECK(are_right(numbers::open(path, {.layout = layout::raw}), 1001));
}

// ---- power cuts ----

namespace {

/// What a disk may hold when the power goes: of `sure` all, of what has changed in `now` any pages
/// of 4096 bytes, of the header any sectors; either length.
std::string torn(const std::string& sure, const std::string& now, std::mt19937& random) {
    const auto flip = [&] { return random() % 2 == 0; };
    std::string disk(flip() ? sure.size() : now.size(), '\0');
    const auto density = random() % 4; // few pages, some, most
    for (std::size_t first = 0; first < disk.size();) {
        const std::size_t n = first < 4096 ? 512 : 4096;
        const auto& from = random() % 4 <= density && first < now.size() ? now : sure;
        if (first < from.size())
            disk.replace(first, std::min(n, from.size() - first), from, first, n);
        first += n;
    }
    return disk;
}
/// The same of a file with a header. All of it was written by this run of the machine; it comes to
/// light in another.
std::string cut(const std::string& sure, const std::string& now, std::mt19937& random) {
    auto disk = torn(sure, now, random);
    if (get<boot>(disk, boot_id) != unknown_boot) put(disk, boot_id, another_boot());
    return disk;
}

/// Opens what the power left in every way; `sizes` are those that may be taken.
template <class T>
void check_disk(const std::string& path, const std::string& disk,
                const std::set<std::size_t>& sizes) {
    const auto least = *sizes.begin();
    leave(path, disk);
    {
        const auto all = mapped_vector<const T>::open(path);
        CHECK(sizes.count(all.size()) == 1);
        CHECK(are_right(all));
    }
    CHECK(mapped_vector<const T>::open(path, {.on_unclean = on_unclean::durable}).size() >= least);
    {
        const auto all = mapped_vector<const T>::open(path, {.on_unclean = on_unclean::published});
        CHECK(are_right(all, std::min(least, all.size())));
    }
    CHECK(read_file(path) == disk);
    auto all = mapped_vector<T>::open(path);
    CHECK(sizes.count(all.size()) == 1);
    append(all, 3);
    all.flush();
    CHECK(are_right(all));
}

/// Carries `operation` out in a child, and looks at the file before and after each system call of
/// it: at what the disk has by then for sure (at first `sure`), and at what the file is. Returns how
/// often.
long at_every_system_call(const std::string& path, std::uintptr_t header, std::string sure,
                          const std::function<void()>& operation,
                          const std::function<void(const std::string&, const std::string&)>& look) {
    std::fflush(nullptr);
    const auto pid = ::fork();
    REQUIRE(pid != -1);
    if (pid == 0) {
        if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == -1) ::_exit(1);
        ::raise(SIGSTOP);
        operation();
        ::_exit(0);
    }
    long looks = 0;
    int status = 0;
    ::waitpid(pid, &status, 0);
    if (!WIFSTOPPED(status)) return 0;
    ::ptrace(PTRACE_SETOPTIONS, pid, nullptr, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD);
    std::array<std::uint64_t, 6> arguments{};
    std::uint64_t number_of_call = 0;
    for (;;) {
        if (::ptrace(PTRACE_SYSCALL, pid, nullptr, 0) == -1 || ::waitpid(pid, &status, 0) != pid)
            break;
        if (!WIFSTOPPED(status)) break;
        if (WSTOPSIG(status) != (SIGTRAP | 0x80)) continue;
        __ptrace_syscall_info info{};
        if (::ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) <= 0) {
            ::kill(pid, SIGKILL);
            ::waitpid(pid, &status, 0);
            return 0;
        }
        const auto now = read_file(path);
        if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
            number_of_call = info.entry.nr;
            std::copy_n(info.entry.args, 6, arguments.begin());
        } else if (info.exit.rval == 0 && number_of_call == SYS_msync) {
            const auto first = arguments[0] - header;
            sure.resize(now.size()); // msync writes what is needed to find the bytes again
            if (first < now.size()) sure.replace(first, arguments[1], now, first, arguments[1]);
        } else if (info.exit.rval == 0 && number_of_call == SYS_fsync) {
            const auto synced =
                "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(arguments[0]);
            std::error_code ignored; // it may be the directory
            if (std::filesystem::equivalent(synced, path, ignored)) sure = now;
        }
        look(sure, now);
        ++looks;
    }
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    return looks;
}

} // namespace

TEMPLATE_TEST_CASE("a power cut takes no element that was flushed", "", std::uint64_t, triple) {
    const temporary_directory directory;
    const auto path = directory / "numbers";
    const auto found = directory / "found";
    const long n_seeds = soaked(15);
    for (unsigned seed = 0; seed < static_cast<unsigned>(n_seeds); ++seed) {
        INFO("seed " << seed);
        std::mt19937 random(seed);
        std::filesystem::remove(path);
        auto all = mapped_vector<TestType>::create(path, by_pages);
        for (int round = 0; round < 3; ++round) {
            append(all, random() % 1500);
            if (random() % 4 == 0) {
                all.close();
                all = mapped_vector<TestType>::open(path, by_pages);
            } else {
                all.flush();
            }
            const auto promised = all.size();
            const auto sure = read_file(path);
            const auto more = random() % 4;
            if (more == 0)
                all.resize(all.size() - std::min(all.size(), std::size_t{random() % 300}));
            for (unsigned i = 0; i < more; ++i) append(all, random() % 1500);
            const auto now = read_file(path);
            for (int i = 0; i < 3; ++i)
                check_disk<TestType>(found, cut(sure, now, random), {promised});
        }
    }
}

TEST_CASE("a power cut leaves each page of what was changed in place old or new") {
    const temporary_directory directory;
    const auto path = directory / "numbers";
    const auto found = directory / "found";
    auto all = numbers::create(path);
    append(all, 5000);
    all.flush();
    const auto sure = read_file(path);
    for (auto& one : all) one = ~one;
    const auto now = read_file(path);
    for (unsigned seed = 0; seed < 50; ++seed) {
        std::mt19937 random(seed);
        leave(found, cut(sure, now, random));
        const auto left = numbers::open(found);
        REQUIRE(left.size() == 5000);
        for (std::size_t i = 0; i < left.size(); ++i) {
            const bool is_new = left[i / 512 * 512] != number(i / 512 * 512);
            if (left[i] != (is_new ? ~number(i) : number(i))) FAIL("element " << i);
        }
    }
}

TEST_CASE("a power cut anywhere within a flush, a close or a shrinking takes no promised element") {
    const temporary_directory directory;
    const auto path = directory / "triples";
    const auto found = directory / "found";
    std::mt19937 random(1);
    const auto check = [&](const char* title, std::size_t flushed, std::size_t published,
                           const std::set<std::size_t>& sizes, std::size_t at_end, auto operation) {
        INFO(title);
        std::filesystem::remove(path);
        auto all = triples::create(path, by_pages);
        append(all, flushed);
        all.flush();
        const auto sure = read_file(path);
        if (published < flushed) all.resize(published);
        if (published > flushed) append(all, published - flushed);
        const long looks = at_every_system_call(
            path, reinterpret_cast<std::uintptr_t>(all.data()) - 4096, sure,
            [&] { operation(all); },
            [&](const std::string& on_disk, const std::string& now) {
                for (long i = 0; i < soaked(5); ++i)
                    check_disk<triple>(found, cut(on_disk, now, random), sizes);
            });
        if (looks == 0) return skip_loudly("system calls cannot be watched here");
        CHECK(looks >= 4);
        check_disk<triple>(found, changed(read_file(path), boot_id, another_boot()), {at_end});
    };
    using set = std::set<std::size_t>;
    const auto flush = [](triples& all) { all.flush(); };
    const auto close = [](triples& all) { all.close(); };
    const auto shrink = [](triples& all) { all.shrink_to_fit(); };
    check("flush", 500, 2000, set{500, 2000}, 2000, flush);
    check("flush of fewer", 2000, 500, set{500, 2000}, 500, flush);
    check("close", 500, 2000, set{500, 2000}, 2000, close);
    check("close of fewer", 2000, 500, set{500, 2000}, 500, close);
    check("shrink_to_fit", 500, 2000, set{500}, 500, shrink);
    check("shrink_to_fit of fewer", 2000, 500, set{500, 2000}, 500, shrink);
}

TEST_CASE("a power cut leaves each page of what was inserted, erased or assigned old or new") {
    const temporary_directory directory;
    const auto path = directory / "numbers";
    const auto found = directory / "found";
    std::mt19937 random(1);
    const auto before = elements(2000);
    const auto check = [&](const char* title, std::size_t n_kept, auto change) {
        INFO(title);
        std::filesystem::remove(path);
        auto all = numbers::create(path, by_pages);
        all.append_range(before);
        all.flush();
        const auto sure = read_file(path);
        auto after = before;
        change(after);
        change(all);
        // What was erased is still behind the elements.
        const auto changed_to = read_file_of<std::uint64_t>(path);
        const auto now = std::span(changed_to).subspan(512, before.size());
        const auto old_or_new = [&](std::span<const std::uint64_t> left, std::size_t first) {
            const auto n = std::min<std::size_t>(512, left.size() - first);
            const auto page = left.subspan(first, n);
            return std::ranges::equal(page, std::span(before).subspan(first, n)) ||
                   std::ranges::equal(page, now.subspan(first, n));
        };
        const auto look = [&](const std::string& on_disk, const std::string& in_memory) {
            leave(found, cut(on_disk, in_memory, random));
            const auto left = numbers::open(found);
            CHECK(are_right(left, n_kept));
            if (left.size() == after.size()) { // the flush had come so far
                CHECK(std::ranges::equal(left, after));
                return;
            }
            REQUIRE(left.size() == before.size());
            for (std::size_t first = 0; first < left.size(); first += 512)
                if (!old_or_new(left, first)) FAIL("the page from element " << first);
        };
        for (int i = 0; i < 20; ++i) look(sure, read_file(path));
        const long looks = at_every_system_call(
            path, reinterpret_cast<std::uintptr_t>(all.data()) - 4096, sure, [&] { all.flush(); },
            [&](const std::string& on_disk, const std::string& in_memory) {
                for (long i = 0; i < soaked(5); ++i) look(on_disk, in_memory);
            });
        if (looks == 0) return skip_loudly("system calls cannot be watched here");
        leave(found, changed(read_file(path), boot_id, another_boot()));
        CHECK(std::ranges::equal(reader::open(found), after));
    };
    check("insert", 700, [](auto& all) { all.insert(all.begin() + 700, 300, 7); });
    check("erase", 700, [](auto& all) { all.erase(all.begin() + 700, all.begin() + 1000); });
    check("assign", 0, [](auto& all) { all.assign(2500, 7); });
    check("assign of fewer", 0, [](auto& all) { all.assign(700, 7); });
}

TEMPLATE_TEST_CASE("a power cut takes no element of a raw file that was flushed", "", std::uint64_t,
                   triple) {
    const temporary_directory directory;
    const auto path = directory / "elements";
    const auto found = directory / "found";
    auto raw = by_pages;
    raw.layout = layout::raw;
    std::mt19937 random(1);
    const auto look = [&](const std::string& on_disk, const std::string& now,
                          std::size_t promised) {
        const auto disk = torn(on_disk, now, random);
        leave(found, disk);
        auto all = mapped_vector<TestType>::open(found, raw);
        CHECK(all.size() == disk.size() / sizeof(TestType));
        CHECK(are_right(all, promised));
        CHECK_FALSE(all.recovered());
        // The others are for the program to tell good from bad.
        all.resize(promised);
        append(all, 3);
        CHECK(are_right(all));
    };
    const auto check = [&](const char* title, std::size_t flushed, std::size_t published,
                           auto operation) {
        INFO(title);
        std::filesystem::remove(path);
        auto all = mapped_vector<TestType>::create(path, raw);
        append(all, flushed);
        all.flush();
        const auto sure = read_file(path);
        if (published < flushed) all.resize(published);
        if (published > flushed) append(all, published - flushed);
        const auto promised = std::min(flushed, published);
        for (long i = 0; i < soaked(10); ++i) look(sure, read_file(path), promised);
        std::string at_end;
        const long looks = at_every_system_call(
            path, reinterpret_cast<std::uintptr_t>(all.data()), sure, [&] { operation(all); },
            [&](const std::string& on_disk, const std::string& now) {
                for (long i = 0; i < soaked(5); ++i) look(on_disk, now, promised);
                at_end = on_disk;
            });
        if (looks == 0) return skip_loudly("system calls cannot be watched here");
        for (long i = 0; i < soaked(5); ++i) look(at_end, read_file(path), published);
    };
    using vector = mapped_vector<TestType>;
    check("flush", 500, 2000, [](vector& all) { all.flush(); });
    check("close", 500, 2000, [](vector& all) { all.close(); });
    check("flush of fewer", 2000, 500, [](vector& all) { all.flush(); });
    check("close of fewer", 2000, 500, [](vector& all) { all.close(); });
}

TEST_CASE("what is cut off is not counted by a disk that takes the file for closed") {
    const temporary_directory directory;
    const auto path = directory / "numbers";
    const auto found = directory / "found";
    // The power went in the middle of a close: the size was written, the record was not.
    const auto torn = changed(unclosed_file(path, 50, 100), state, clean);
    leave(path, torn);
    auto all = numbers::open(path);
    CHECK(all.size() == 100);
    CHECK(all.durable_size() == 50);
    all.resize(60);
    std::mt19937 random(1);
    const long looks = at_every_system_call(
        path, reinterpret_cast<std::uintptr_t>(all.data()) - 4096, torn,
        [&] { all.shrink_to_fit(); },
        [&](const std::string& on_disk, const std::string& now) {
            for (int i = 0; i < 5; ++i)
                check_disk<std::uint64_t>(found, cut(on_disk, now, random), {50, 100});
        });
    if (looks == 0) return skip_loudly("system calls cannot be watched here");
    CHECK(std::filesystem::file_size(path) == 4096 + 60 * 8);
    all.shrink_to_fit();             // the child's was another
    CHECK(all.durable_size() == 50); // nothing is promised that was not flushed
    all.resize(40);
    CHECK(writes_during(all.data(), [&] { all.shrink_to_fit(); }) == "ht");
    CHECK(all.durable_size() == 40);

    // Raw files have nothing to say.
    auto raw = numbers::create(directory / "raw", {.layout = layout::raw});
    append(raw, 100);
    raw.resize(60);
    CHECK(writes_during(raw.data(), [&] { raw.shrink_to_fit(); }) == "t");
}

TEST_CASE("a power cut may leave a file as it was closed, until the first flush after that") {
    const temporary_directory directory;
    const auto path = directory / "numbers";
    const auto found = directory / "found";
    const bool flushes = GENERATE(false, true);
    auto sure = closed_file(path, 100);
    auto all = numbers::open(path);
    if (flushes) {
        CHECK(writes_during(all.data(), [&] { all.flush(); }) == "dh");
        sure = read_file(path);
    }
    append(all, 50);
    auto disk = read_file(path); // all of it was written, but for the header
    disk.replace(0, 4096, sure, 0, 4096);
    put(disk, boot_id, another_boot());
    leave(found, disk);
    {
        const auto left = reader::open(found);
        CHECK(left.size() == 100);
        CHECK(are_right(left));
        CHECK(left.recovered().has_value() == flushes);
    }
    const auto refused = says(errc::unclean, "mapped_vector", found);
    CHECK(error_of([&] { (void)reader::open(found, {.on_unclean = on_unclean::fail}); }) ==
          (flushes ? refused : said{}));
}

// ---- copies ----

TEST_CASE("a copy of a file that is being appended to is good") {
    const temporary_directory directory;
    const auto path = directory / "triples";
    const auto copy = directory / "copy";
    auto all = triples::create(path, by_pages);
    append(all, 100);
    all.flush();
    child writer([&] {
        auto mine = triples::open(path, by_pages);
        for (std::uint64_t i = 100; i < 300'000; ++i) mine.push_back(element<triple>(i));
    });
    for (long i = 0; i < 100'000 && all.size() == 100; ++i) (void)::sched_yield();
    const int n_copies = MMSTL_TESTS_SANITIZED ? 3 : 20;
    for (int i = 0; i < n_copies; ++i) {
        const auto before = all.size();
        leave(copy, read_file(path));
        {
            const auto here = triples::open(copy);
            CHECK(here.size() >= before);
            CHECK(are_right(here));
            CHECK_FALSE(here.recovered());
        }
        restart(copy); // or on another machine
        const auto there = triples::open(copy);
        CHECK(there.size() == 100);
        CHECK(are_right(there));
    }
}

namespace {

/// The file as a copy has it that is made from front to back, while `meanwhile` changes the file
/// after each page.
template <class Change> std::string copied_while(const std::string& path, Change meanwhile) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    REQUIRE(fd != -1);
    std::string copy;
    std::array<char, 4096> page{};
    for (::ssize_t n = 0; (n = ::read(fd, page.data(), page.size())) > 0; meanwhile())
        copy.append(page.data(), static_cast<std::size_t>(n));
    ::close(fd);
    return copy;
}

} // namespace

TEST_CASE("a copy of a file that is being changed opens, and may have elements of any moment") {
    const temporary_directory directory;
    const auto path = directory / "numbers";
    const auto copy = directory / "copy";
    constexpr std::size_t n = 5000;
    // `is_known(i, x)`: at some moment x was the i-th element
    const auto check = [&](const char* title, auto change, auto is_known) {
        INFO(title);
        std::filesystem::remove(path);
        auto all = numbers::create(path, by_pages);
        append(all, n);
        all.flush();
        const auto file = copied_while(path, [&] { change(all); });
        for (const bool restarts : {false, true}) { // or on another machine
            leave(copy, file);
            if (restarts) restart(copy);
            const auto left = numbers::open(copy);
            REQUIRE(left.size() == n);
            for (std::size_t i = 0; i < n; ++i)
                if (!is_known(i, left[i])) FAIL("element " << i);
            std::size_t n_changed = 0;
            for (std::size_t i = 0; i < n; ++i)
                if (left[i] != number(i)) ++n_changed;
            CHECK((n_changed != 0 && n_changed != n));
        }
    };
    check(
        "in place",
        [](numbers& all) {
            for (auto& one : all) one = ~one;
        },
        [](std::size_t i, std::uint64_t x) {
            const bool is_odd_page =
                i / 512 % 2 == 1; // for each page, the elements are turned over
            return x == (is_odd_page ? number(i) : ~number(i));
        });
    check(
        "insert", [](numbers& all) { all.insert(all.begin() + 100, 7); },
        [](std::size_t i, std::uint64_t x) {
            if (i < 100 || x == 7) return x == (i < 100 ? number(i) : 7);
            for (std::size_t moved = 0; moved <= i - 100 && moved < 12; ++moved)
                if (x == number(i - moved)) return true;
            return false;
        });
    check(
        "erase", [](numbers& all) { all.erase(all.begin() + 100); },
        [](std::size_t i, std::uint64_t x) {
            if (i < 100) return x == number(i);
            for (std::size_t moved = 0; moved < 12; ++moved)
                if (x == number(i + moved)) return true;
            return false;
        });
    check(
        "assign",
        [m = std::uint64_t{0}](numbers& all) mutable {
            if (++m == 4) all.assign(n, 7);
        },
        [](std::size_t i, std::uint64_t x) { return x == number(i) || x == 7; });
}

TEST_CASE("a copy of a raw file that is being appended to begins with what there was before") {
    const temporary_directory directory;
    const auto path = directory / "numbers";
    const auto copy = directory / "copy";
    auto raw = by_pages;
    raw.layout = layout::raw;
    auto all = numbers::create(path, raw);
    append(all, 1000);
    leave(copy, copied_while(path, [&] {
              if (all.size() < 5000) append(all, 300);
          }));
    const auto left = numbers::open(copy, raw);
    CHECK(left.size() > 1000);
    CHECK(are_right(left, 1000));
    for (std::size_t i = 1000; i < left.size(); ++i)
        if (left[i] != number(i) && left[i] != 0) FAIL("element " << i);
}

TEST_CASE("what a recovery could have taken can be taken later, as far as the file still has it") {
    const temporary_directory directory;
    const auto path = directory / "numbers";
    unclosed_file(path, 60, 100);
    // The header reached the disk, the length of the file did not.
    std::filesystem::resize_file(path, 4096 + 80 * 8);
    restart(path);
    const vector_options all_of_it{.on_unclean = on_unclean::published};
    {
        auto all = numbers::open(path);
        CHECK(all.size() == 60);
        REQUIRE(all.recovered());
        CHECK(all.recovered()->published_size == 80);
    }
    CHECK(numbers::open(path, all_of_it).size() == 80);
    {
        auto all = numbers::open(path, {.on_unclean = on_unclean::durable});
        CHECK(all.size() == 60);
        CHECK(all.recovered());
        all.shrink_to_fit();
    }
    CHECK(numbers::open(path, all_of_it).size() == 60);
    CHECK(are_right(numbers::open(path)));
}
