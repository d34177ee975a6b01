// SPDX-License-Identifier: MIT
//
// segment.hpp: making, opening and sharing segments, and the objects that have names in them.

#include "support/allocation.hpp"
#include "support/catch.hpp"
#include "support/checks.hpp"
#include "support/fault.hpp"
#include "support/in_child.hpp"
#include "support/leaks.hpp"
#include "support/soak.hpp"
#include "support/step.hpp"
#include "support/temporary.hpp"

#include <mmstl/containers.hpp>
#include <mmstl/mapped_vector.hpp>
#include <mmstl/segment.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <concepts>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <new>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace support;
using mmstl::backing;
using mmstl::errc;
using mmstl::segment;
using mmstl::segment_options;

namespace {

constexpr std::uint64_t MiB = std::uint64_t{1} << 20;
/// Most tests need little, and there may be many of them in a process.
constexpr segment_options little{.capacity_bytes = 64 * MiB};

/// What `make()` throws, and nothing stays.
template <class Make> std::error_code refused(Make make) {
    const leak_check guard;
    try {
        make();
    } catch (const mmstl::mapping_error& e) {
        CHECK_FALSE(e.path().empty());
        return e.code();
    }
    return {};
}

/// Counts how many there are, in this process.
struct counted {
    explicit counted(int n = 0) : value(n) {
        if (n == throws) throw std::runtime_error("as asked for");
        ++alive;
    }
    counted(const counted& other) : value(other.value) { ++alive; }
    ~counted() { --alive; }

    static constexpr int throws = -1;
    static inline int alive = 0;
    int value;
};

} // namespace

template <> inline constexpr std::string_view mmstl::persistent_name<counted> = "test/counted";

// ---- making and opening ----

TEST_CASE("what is in a segment is there again when it is opened again") {
    const temporary_directory directory;
    const auto path = directory / "index.mms";
    const void* base = nullptr;
    {
        auto made = segment::open_or_create(path, little);
        CHECK(made.created());
        CHECK(made.is_open());
        CHECK(made.name() == path);
        base = made.base_address();
        auto& hits = made.find_or_construct<mmstl::unordered_map<mmstl::string, int>>("hits");
        ++hits["mmap"];
        ++hits["mmap"];
        ++hits["a word that is too long to lie in the string itself"];
        made.close();
        CHECK_FALSE(made.is_open());
    }
    const auto found = segment::open(path);
    CHECK_FALSE(found.created());
    CHECK(found.base_address() == base);
    auto* const hits = found.find<mmstl::unordered_map<mmstl::string, int>>("hits");
    REQUIRE(hits != nullptr);
    CHECK(hits->size() == 2);
    CHECK(hits->find(std::string_view("mmap"))->second == 2);
    CHECK(found.contains(hits));
    CHECK(found.contains(
        hits->find("a word that is too long to lie in the string itself")->first.data()));
    CHECK(found.check().clean());
}

TEST_CASE("a segment is made over every backing that it can be made over") {
    const temporary_directory directory;
    const shared_memory_name name;
    for (const backing& at : {backing(directory / "file"), mmstl::shared_memory(name.text()),
                              mmstl::temporary_file(directory.path()), mmstl::memory_file("test"),
                              mmstl::anonymous()}) {
        INFO(at.name());
        auto made = segment::create(at, little);
        CHECK(made.created());
        auto& numbers = made.construct<mmstl::vector<int>>("numbers", 1000, 7);
        CHECK(numbers.size() == 1000);
        CHECK(made.contains(numbers.data()));
        CHECK(made.check().clean());
        made.close();
    }
    auto shared = segment::open(mmstl::shared_memory(name.text()));
    CHECK(shared.find<mmstl::vector<int>>("numbers")->back() == 7);
    shared.close();

    const int fd = ::open((directory / "file").c_str(), O_RDWR | O_CLOEXEC);
    REQUIRE(fd != -1);
    {
        auto borrowed = segment::open(mmstl::borrowed_fd(fd));
        CHECK(borrowed.find<mmstl::vector<int>>("numbers")->back() == 7);
    }
    CHECK(::fcntl(fd, F_GETFD) != -1);
    ::close(fd);
}

TEST_CASE("a borrowed descriptor may be closed, and its number become another file's") {
    const temporary_directory directory;
    const auto path = directory / "x";
    const auto other = directory / "other";
    const std::string text(3 * MiB, 'o');
    write_file(other, text);
    const bool is_there_empty = GENERATE(true, false);
    const auto wanted = GENERATE(read_write, read_only);
    if (is_there_empty && wanted == read_only) return;
    const leak_check guard;
    if (is_there_empty)
        write_file(path, "");
    else
        segment::create(path, little).close();
    const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    auto in = is_there_empty ? segment::open_or_create(mmstl::borrowed_fd(fd), little)
                             : segment::open(mmstl::borrowed_fd(fd), {.access = wanted});
    ::close(fd);
    const int reused = ::open(other.c_str(), O_RDWR | O_CLOEXEC);
    REQUIRE(reused == fd);
    if (wanted == read_write) {
        auto& numbers = in.construct<mmstl::vector<char>>("numbers", 8 * MiB, 'x');
        auto bytes = in.allocator<char>();
        bytes.deallocate(bytes.allocate(2 * MiB), 2 * MiB); // and punched
        numbers = {};
        in.construct<int>("one", 1);
        check_in_child([&] { in.construct<int>("another", 2); }); // which opens it anew
        CHECK(in.recover() == 1);
    }
    in.close();
    ::close(reused);
    CHECK((read_file(other) == text));
    const auto again = segment::open(path);
    CHECK(again.check().clean());
    CHECK((wanted == read_only || *again.find<const int>("another") == 2));
}

TEST_CASE("a borrowed descriptor that cannot be duplicated is refused, and nothing stays") {
    const temporary_directory directory;
    const auto path = directory / "x";
    segment::create(path, little).close();
    const auto before = read_file(path);
    const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    const auto name = "fd " + std::to_string(fd);
    {
        const leak_check guard;
        const fault::fail armed(fault::call::fcntl, 2,
                                EMFILE); // behind the question for its access
        CHECK(error_of([&] { (void)segment::open(mmstl::borrowed_fd(fd)); }) ==
              says(EMFILE, "fcntl", name));
        CHECK(armed.records().back().arguments[1] == std::uint64_t{F_DUPFD_CLOEXEC});
    }
    CHECK((read_file(path) == before));
    CHECK(segment::open(mmstl::borrowed_fd(fd)).check().clean());
    ::close(fd);
}

TEST_CASE(
    "what a program without standard descriptors writes there gets into no segment or vector") {
    const temporary_directory directory;
    const shared_memory_name name;
    const backing by_path(directory / "x");
    const backing by_name(mmstl::shared_memory(name.text()));
    for (const auto& where : {by_path, by_name}) {
        INFO(where.name());
        check_in_child([&] {
            for (const int fd : {0, 1, 2}) ::close(fd);
            auto in = segment::create(where, little);
            auto all = mmstl::mapped_vector<int>::create(directory / "numbers");
            const auto complain = [] {
                for (const int fd : {0, 1, 2})
                    expect(::write(fd, "cannot go on", 12) == -1 && errno == EBADF);
            };
            complain();
            in.construct<mmstl::vector<int>>("numbers", 1000, 7);
            for (int i = 0; i < 100'000; ++i) all.push_back(i);
            complain();
            in.close();
            all.close();
            in = segment::open(where);
            all = mmstl::mapped_vector<int>::open(directory / "numbers");
            complain();
            const auto result = in_child([&] { // which opens the segment anew
                in.construct<int>("one", 1);
                complain();
            });
            expect(result.ok(), result.message);
            in.close();
            all.close();
        });
        const auto in = segment::open(where);
        CHECK(in.check().clean());
        CHECK(*in.find<const mmstl::vector<int>>("numbers") == mmstl::vector<int>(1000, 7));
        const mmstl::mapped_vector<const int> all(directory / "numbers");
        CHECK(all.size() == 100'000);
        CHECK((all.front() == 0 && all.back() == 99'999));
        std::filesystem::remove(directory / "numbers");
    }
}

TEST_CASE("create does not touch what is there, open does not create") {
    const temporary_directory directory;
    const auto path = directory / "x";
    CHECK(refused([&] { (void)segment::open(path); }) == std::errc::no_such_file_or_directory);
    CHECK_FALSE(std::filesystem::exists(path));
    segment::create(path, little).construct<int>("one", 1);
    const auto before = read_file(path);
    CHECK(refused([&] { (void)segment::create(path, little); }) == std::errc::file_exists);
    CHECK(read_file(path) == before);

    std::error_code ec;
    CHECK_FALSE(segment::open(directory / "absent", {}, ec).is_open());
    CHECK(ec == std::errc::no_such_file_or_directory);
    ec.clear();
    CHECK_FALSE(segment::open(directory / "absent", ec).is_open());
    CHECK(ec == std::errc::no_such_file_or_directory);
    auto opened = segment::open(path, {}, ec);
    CHECK_FALSE(ec);
    CHECK(*opened.find<int>("one") == 1);
    CHECK_FALSE(segment::create(path, {}, ec).is_open());
    CHECK(ec == std::errc::file_exists);
    CHECK_FALSE(segment::create(path, ec).is_open());
    CHECK(ec == std::errc::file_exists);
    CHECK(segment::open_or_create(path, {}, ec).is_open());
    CHECK(segment::open_or_create(path, ec).is_open());
    opened.close(ec);
    CHECK_FALSE(ec);
}

TEST_CASE("an empty file becomes a segment, for open_or_create alone") {
    const temporary_directory directory;
    const auto path = directory / "x";
    write_file(path, std::string_view());
    CHECK(refused([&] { (void)segment::open(path); }) == errc::incomplete);
    CHECK(std::filesystem::file_size(path) == 0);
    auto made = segment::open_or_create(path, little);
    CHECK(made.created());
    made.construct<int>("one", 1);
    made.close();
    CHECK(*segment::open(path).find<int>("one") == 1);
}

TEST_CASE("other files are refused, each with its own error, and stay as they are") {
    const temporary_directory directory;
    const auto path = directory / "x";
    const auto is_refused = [&](const std::string& bytes, errc expected) {
        write_file(path, bytes);
        CHECK(refused([&] { (void)segment::open(path); }) == expected);
        CHECK(refused([&] { (void)segment::open_or_create(path); }) == expected);
        CHECK(read_file(path) == bytes);
    };
    is_refused("not a segment", errc::foreign_file);
    is_refused(std::string(3, '\0'), errc::foreign_file);
    is_refused(std::string(10 * 4096, '\0'), errc::foreign_file);
    mmstl::mapped_vector<int>::create(directory / "vector").close();
    is_refused(read_file(directory / "vector"), errc::other_kind);
    segment::create(directory / "segment", little).close();
    const auto whole = read_file(directory / "segment");
    is_refused(whole.substr(0, 100), errc::incomplete);
    is_refused(whole.substr(0, 5000), errc::past_the_end);
    is_refused(std::string(8, '\0') + whole.substr(8, 3000), errc::foreign_file);
    is_refused(std::string(8, '\0') + std::string(8, 'x') + whole.substr(16), errc::foreign_file);
    is_refused(std::string(8, '\0') + whole.substr(8) + std::string(100'000, '\0'),
               errc::foreign_file); // longer than one that is being made
    auto other = whole;
    std::reverse(other.begin() + 8, other.begin() + 12);
    is_refused(other, errc::other_byte_order);
    other = whole;
    other[100] = static_cast<char>(other[100] ^ 1);
    is_refused(other, errc::damaged);
    CHECK(refused([&] { (void)mmstl::mapped_vector<int>::open(directory / "segment"); }) ==
          errc::other_kind);
}

TEST_CASE("options that make no sense are refused") {
    const temporary_directory directory;
    const auto path = directory / "x";
    CHECK(refused([&] { (void)segment::create(path, {.capacity_bytes = 0}); }) ==
          errc::size_overflow);
    CHECK(refused([&] { (void)segment::create(path, {.capacity_bytes = UINT64_MAX}); }) ==
          errc::size_overflow);
    CHECK(refused([&] {
              (void)segment::create(path,
                                    {.base_address = reinterpret_cast<void*>(0x2000'0000'1000)});
          }) == errc::misaligned);
    CHECK(refused([&] { (void)segment::create(path, {.access = mmstl::access::read_only}); }) ==
          errc::wrong_access);
    CHECK(refused([&] {
              (void)segment::open_or_create(path, {.access = mmstl::access::copy_on_write});
          }) == errc::wrong_access);
    CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("a file without a segment's name in it is not left behind by a failure") {
    const temporary_directory directory;
    const auto path = directory / "x";
    const auto result = in_child([&] {
        const ::rlimit limit{4096, 4096};
        ::setrlimit(RLIMIT_FSIZE, &limit);
        try {
            (void)segment::create(path, little);
        } catch (const mmstl::mapping_error& e) {
            expect(e.code() == std::errc::file_too_large, e.what());
            return 0;
        }
        return 1;
    });
    CHECK(result.ok());
    CAPTURE(result);
    CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("every system call of creating a segment fails in turn, and nothing is left behind") {
    const auto which = GENERATE(kind::file, kind::shared_memory);
    const bool only_creates = GENERATE(true, false);
    INFO(which << (only_creates ? ", create" : ", open_or_create"));
    const sample one(which);
    const auto where = one.backing();
    std::optional<segment> made;
    const auto make = [&] {
        made =
            only_creates ? segment::create(where, little) : segment::open_or_create(where, little);
    };
    make(); // what is made once in a process
    made.reset();
    where.remove();
    const auto before = holdings::now();
    for (const int error : {EIO, EMFILE}) {
        const long n = fault::for_each_failure(make, error, [&](const fault::outcome& result) {
            INFO(result.nth << " " << fault::name_of(result.which));
            std::error_code ec;
            if (result.exception) {
                CHECK_FALSE(where.open(read_only, ec).is_open());
                CHECK(ec == std::errc::no_such_file_or_directory);
                const auto found = error_of([&] { std::rethrow_exception(result.exception); });
                CHECK(found.code == std::error_code(error, std::system_category()));
                CHECK(found.path == where.name());
            } else {
                // A lock that cannot be given back goes with its description.
                CHECK((result.which == fault::call::close || result.which == fault::call::fcntl));
                CHECK(made->created());
                CHECK(made->check().clean());
            }
            made.reset();
            CHECK(holdings::now().beyond(before) == "");
            where.remove(ec);
        });
        CHECK(n > 15);
        made.reset();
        where.remove();
    }
}

TEST_CASE("every system call of adopting an empty file fails in turn, and it is empty still") {
    const auto which = GENERATE(kind::file, kind::shared_memory, kind::borrowed_fd);
    INFO(which);
    const sample one(which);
    std::optional<segment> made;
    const auto adopt = [&] { made = segment::open_or_create(one.backing(), little); };
    (void)one.backing_of(0);
    adopt();
    made.reset();
    (void)one.backing_of(0);
    const auto before = holdings::now();
    const long n = fault::for_each_failure(adopt, EIO, [&](const fault::outcome& result) {
        INFO(result.nth << " " << fault::name_of(result.which));
        const bool gave_back = result.which == fault::call::fcntl; // the lock, when all was made
        if (result.exception && !gave_back) CHECK(one.backing().open().size_bytes() == 0);
        made.reset();
        CHECK(holdings::now().beyond(before) == "");
        CHECK(segment::open_or_create(one.backing(), little).check().clean());
        (void)one.backing_of(0);
    });
    CHECK(n > 15);
}

TEST_CASE("every allocation of adopting an empty file fails in turn, and it is empty still") {
    const temporary_directory directory;
    const auto path = directory / "x";
    std::ofstream(path).close();
    long n_failed = 0;
    for (bool is_made = false; !is_made;) {
        REQUIRE(n_failed < 100);
        const auto before = holdings::now();
        try {
            std::optional<failing_allocation> armed(std::in_place, n_failed + 1);
            auto made = segment::open_or_create(path, little);
            armed.reset();
            is_made = made.construct<int>("one", 1) == 1;
        } catch (const std::bad_alloc&) {
            CHECK(holdings::now().beyond(before) == "");
            CHECK(std::filesystem::file_size(path) == 0);
            CHECK(in_child([&] { segment::open_or_create(path, little).close(); }).ok());
            std::filesystem::resize_file(path, 0);
            ++n_failed;
        }
    }
    CHECK(n_failed > 1);
    CHECK(*segment::open(path).find<int>("one") == 1);
}

// ---- making and opening at the same time ----

TEST_CASE("the lock of a file that is being made is free beside those that use it") {
    const sample one(kind::file);
    const auto where = one.backing();
    const auto user = segment::create(where, little);
    child maker([&] { // as long as the parent lives, if it waited for that
        const auto handle = where.open(read_write);
        expect(!mmstl::detail::posix::lock_file(handle.native_handle()).failed());
    });
    const auto result = maker.wait(std::chrono::seconds(20));
    INFO(result);
    CHECK(result.ok());
}

TEST_CASE("of many that open_or_create a segment at once, one creates and all get it") {
    const auto which = GENERATE(kind::file, kind::shared_memory, kind::borrowed_fd);
    const bool is_there_empty = GENERATE(false, true);
    if (!is_there_empty && which == kind::borrowed_fd) return; // which is always there
    INFO(which << (is_there_empty ? ", an empty file to be adopted" : ""));
    constexpr unsigned n_racers = 4;
    struct race {
        std::atomic<unsigned> ready{0}, created{0}, open{0};
    };
    auto board = segment::create(mmstl::anonymous(), little);
    for (long round = 0; round < soaked(20); ++round) {
        const sample one(which);
        const auto where = is_there_empty ? one.backing_of(0) : one.backing();
        auto& at = board.construct<race>("race");
        std::vector<child> racers;
        for (unsigned me = 0; me < n_racers; ++me) {
            racers.emplace_back([&, me] {
                for (++at.ready; at.ready < n_racers;) std::this_thread::yield();
                auto in = segment::open_or_create(where, little);
                at.created += in.created() ? 1 : 0;
                in.construct<unsigned>(std::to_string(me), me);
                // Nobody waits for the end of another one.
                for (++at.open; at.open < n_racers;) std::this_thread::yield();
            });
        }
        bool all_ended = true;
        for (auto& racer : racers) {
            const auto ended = racer.wait(std::chrono::seconds(20));
            INFO(ended);
            CHECK(ended.ok());
            all_ended = all_ended && ended.ok();
        }
        REQUIRE(all_ended);
        CHECK(at.created == 1);
        board.destroy<race>("race");
        const auto in = segment::open(where);
        for (unsigned me = 0; me < n_racers; ++me) {
            const auto* const left = in.find<unsigned>(std::to_string(me));
            REQUIRE(left != nullptr);
            CHECK(*left == me);
        }
        CHECK(in.check().clean());
    }
}

TEST_CASE("of threads that open_or_create a segment at once, one creates and all share it") {
    const auto which = GENERATE(kind::file, kind::shared_memory, kind::borrowed_fd);
    const bool is_there_empty = GENERATE(false, true);
    if (!is_there_empty && which == kind::borrowed_fd) return; // which is always there
    INFO(which << (is_there_empty ? ", an empty file to be adopted" : ""));
    constexpr unsigned n_racers = 4;
    for (long round = 0; round < soaked(20); ++round) {
        const sample one(which);
        const auto where = is_there_empty ? one.backing_of(0) : one.backing();
        std::atomic<unsigned> ready{0};
        std::array<segment, n_racers> got;
        std::array<std::error_code, n_racers> wrong;
        std::vector<std::thread> threads;
        for (unsigned me = 0; me < n_racers; ++me) {
            threads.emplace_back([&, me] {
                for (++ready; ready < n_racers;) std::this_thread::yield();
                got[me] = segment::open_or_create(where, little, wrong[me]);
            });
        }
        for (auto& thread : threads) thread.join();
        for (const auto& ec : wrong) CHECK(ec == std::error_code());
        CHECK(std::ranges::count_if(got, [](const segment& each) { return each.created(); }) == 1);
        for (const auto& each : got) CHECK(each.base_address() == got[0].base_address());
    }
}

TEST_CASE("whoever is killed while a segment is made, the next one makes it") {
    if (MMSTL_TESTS_SANITIZED) return skip_loudly("a sanitizer is not stepped through");
    enum class way : unsigned char { whole, by_name, adopted };
    const auto which = GENERATE(kind::file, kind::shared_memory, kind::borrowed_fd);
    const auto by = GENERATE(way::whole, way::by_name, way::adopted);
    if (which == kind::borrowed_fd && by != way::adopted) return; // it is always there
    INFO(which << (by == way::whole     ? ", that appears whole"
                   : by == way::by_name ? ", that has its name first"
                                        : ", an empty file to be adopted"));
    const auto make = [&](const backing& where) {
        // The file without a name is opened after the name was looked for.
        std::optional<fault::fail> armed;
        if (by == way::by_name)
            armed.emplace(fault::call::open, which == kind::file ? 3 : 2, EOPNOTSUPP);
        (void)segment::open_or_create(where, little);
    };
    long n_kills = 0;
    for (bool is_over = false; !is_over; ++n_kills) {
        INFO("killed before system call " << n_kills);
        const sample one(which);
        const auto where = by == way::adopted ? one.backing_of(0) : one.backing();
        stepped_child maker([&] { make(where); });
        if (maker.now() == stepped_child::state::refused)
            return skip_loudly("ptrace is not allowed here");
        // To the beginning and the end of each but the last.
        for (long i = 1; i < 2 * n_kills && maker.now() == stepped_child::state::inside; ++i)
            maker.step_to_call();
        is_over = maker.now() != stepped_child::state::inside;
        if (is_over) CHECK(maker.now() == stepped_child::state::at_end);
        child waiter([&] { // for the one that stands still, or not
            auto in = segment::open_or_create(where, little);
            expect(in.check().clean());
            in.construct<int>("one", 1);
        });
        maker.kill();
        const auto waited = waiter.wait();
        INFO(waited);
        REQUIRE(waited.ok());
        const auto next = segment::open_or_create(where, little);
        REQUIRE(next.find<int>("one") != nullptr);
        CHECK(*next.find<int>("one") == 1);
        CHECK(next.check().clean());
    }
    CHECK(n_kills > 20);
}

TEST_CASE("opening succeeds, whatever happens to the length between any two of its system calls") {
    if (MMSTL_TESTS_SANITIZED) return skip_loudly("a sanitizer is not stepped through");
    const bool is_cut = GENERATE(false, true);
    const auto wanted = GENERATE(read_only, read_write);
    // What closes waits for those that begin to use it, and for one that stands still for ever.
    if (is_cut && wanted == read_write) return;
    INFO((is_cut ? "cut off, " : "grown, ") << (wanted == read_write ? "for writing" : "to read"));
    constexpr std::size_t much = 3 * MiB;
    const shared_memory_name name; // no disk for close() to wait for
    const auto where = mmstl::shared_memory(name.text());
    segment::create(where, little).close();
    long n_calls = 0;
    for (bool is_over = false; !is_over; ++n_calls) {
        INFO("at the beginning or end of system call " << n_calls / 2);
        auto in = segment::open(where);
        char* const block = is_cut ? in.allocator<char>().allocate(much) : nullptr;
        const auto before = in.size_bytes();
        stepped_child opener([&] {
            std::error_code ec;
            if (!segment::open(where, {.access = wanted}, ec).is_open()) ::_exit(1);
        });
        if (opener.now() == stepped_child::state::refused)
            return skip_loudly("ptrace is not allowed here");
        for (long i = 0; i < n_calls && opener.now() == stepped_child::state::inside; ++i)
            opener.step_to_call();
        is_over = opener.now() != stepped_child::state::inside;
        if (is_cut) {
            in.allocator<char>().deallocate(block, much);
            in.close();
            CHECK(where.open().size_bytes() <= before - much);
        } else {
            in.construct<mmstl::vector<char>>("bytes", much);
            CHECK(in.size_bytes() >= before + much);
        }
        while (opener.now() == stepped_child::state::inside) opener.step_to_call();
        CHECK(opener.now() == stepped_child::state::at_end);
        if (is_cut) continue;
        in.destroy<mmstl::vector<char>>("bytes");
        in.close();
    }
    CHECK(n_calls > 10);
}

// ---- addresses ----

TEST_CASE("the base address can be chosen, and is kept") {
    const temporary_directory directory;
    const auto path = directory / "x";
    auto* const wanted = segment::create(mmstl::anonymous(), little).base_address();
    auto made = segment::create(
        path, {.capacity_bytes = 32 * MiB, .base_address = const_cast<void*>(wanted)});
    CHECK(made.base_address() == wanted);
    made.close();
    CHECK(segment::open(path).base_address() == wanted);
}

TEST_CASE("addresses that are taken are an error that says by what") {
    const temporary_directory directory;
    const auto path = directory / "x";
    const void* base = nullptr;
    {
        const auto made = segment::create(path, little);
        base = made.base_address();
        try {
            (void)segment::create(directory / "y", {.base_address = const_cast<void*>(base)});
            FAIL("two in one place");
        } catch (const mmstl::mapping_error& e) {
            CHECK(e.code() == errc::address_taken);
            CHECK(std::string(e.what()).find(path) != std::string::npos);
        }
        CHECK_FALSE(std::filesystem::exists(directory / "y"));
    }
    auto* const there = static_cast<std::byte*>(const_cast<void*>(base)) + 16 * MiB;
    REQUIRE(::mmap(there, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
                   0) == there);
    try {
        (void)segment::open(path);
        FAIL("over something else");
    } catch (const mmstl::mapping_error& e) {
        CHECK(e.code() == errc::address_taken);
        CHECK(e.code() == std::errc::address_in_use);
        INFO(e.what());
        CHECK(std::string(e.what()).find(" to 0x") != std::string::npos);
        CHECK(std::string(e.what()).find("---p") != std::string::npos); // the line of maps
    }
    ::munmap(there, 4096);
    CHECK(segment::open(path).is_open());
}

TEST_CASE("addresses that a sanitizer has for itself are an error, not the end of the program") {
    if (!mmstl::detail::has_shadow) return;
    const temporary_directory directory;
    auto* const theirs = reinterpret_cast<void*>(std::uintptr_t{0x2000'0000'0000});
    CHECK(refused([&] {
              (void)segment::create(directory / "x",
                                    {.capacity_bytes = 32 * MiB, .base_address = theirs});
          }) == errc::address_taken);
}

TEST_CASE("the second open of a segment in a process shares the first one's mapping") {
    const temporary_directory directory;
    const auto path = directory / "x";
    auto first = segment::create(path, little);
    auto& list = first.construct<mmstl::list<int>>("list");
    auto second = segment::open(path);
    CHECK(second.base_address() == first.base_address());
    CHECK(second.find<mmstl::list<int>>("list") == &list);
    second.find<mmstl::list<int>>("list")->push_back(1);
    first.close();
    CHECK(second.find<mmstl::list<int>>("list")->front() == 1); // it is mapped still
    second.find<mmstl::list<int>>("list")->push_back(2);
    std::filesystem::create_hard_link(path, directory / "also");
    const auto third = segment::open(directory / "also"); // the same file
    CHECK(third.find<mmstl::list<int>>("list")->size() == 2);
}

TEST_CASE("a copied file cannot be open beside the first, and says so") {
    const temporary_directory directory;
    const auto path = directory / "x";
    auto first = segment::create(path, little);
    first.construct<int>("one", 1);
    first.flush();
    std::filesystem::copy_file(path, directory / "copy");
    CHECK(refused([&] { (void)segment::open(directory / "copy"); }) == errc::copy_is_open);
    first.close();
    CHECK(*segment::open(directory / "copy").find<int>("one") == 1);
}

TEST_CASE("two segments at once, and containers in both") {
    auto a = segment::create(mmstl::anonymous(), little);
    auto b = segment::create(mmstl::anonymous(), little);
    auto& in_a = a.construct<mmstl::map<int, mmstl::string>>("m");
    auto& in_b = b.construct<mmstl::map<int, mmstl::string>>("m");
    const std::string text(100, 'x');
    for (int i = 0; i < 1000; ++i) {
        in_a[i] = text.c_str();
        in_b[i] = in_a[i];
        CHECK(a.contains(in_a[i].data()));
        CHECK(b.contains(in_b[i].data()));
    }
    in_a = in_b;
    in_b = std::move(in_a);
    CHECK(in_b.size() == 1000);
    CHECK(b.contains(in_b[7].data()));
    CHECK(a.check().clean());
    CHECK(b.check().clean());
}

TEST_CASE("where addresses are limited, the capacity is what fits, unless it was asked for") {
    if (MMSTL_TESTS_SANITIZED) return; // they have used up any limit already
    const auto result = in_child([] {
        const ::rlimit limit{6ULL << 30, 6ULL << 30};
        ::setrlimit(RLIMIT_AS, &limit);
        const auto made = segment::create(mmstl::anonymous());
        expect(made.capacity_bytes() >= 1ULL << 30, "a smaller capacity");
        expect(made.capacity_bytes() < 6ULL << 30, "that fits");
        try {
            (void)segment::create(mmstl::anonymous(), {.capacity_bytes = 16ULL << 30});
        } catch (const mmstl::mapping_error& e) {
            expect(e.code() == std::errc::not_enough_memory, e.what());
            return 0;
        }
        return 1;
    });
    CAPTURE(result);
    CHECK(result.ok());
}

TEST_CASE("where addresses are limited, opening a larger segment says how many it needs") {
    if (MMSTL_TESTS_SANITIZED) return; // as above
    const temporary_directory directory;
    const auto path = directory / "x";
    segment::create(path, {.capacity_bytes = 4096 * MiB}).construct<int>("one", 1);
    check_in_child([&] {
        const ::rlimit limit{2048 * MiB, 2048 * MiB};
        ::setrlimit(RLIMIT_AS, &limit);
        for (const auto wanted : {read_only, read_write}) {
            try {
                (void)segment::open(path, {.access = wanted});
                expect(false, "it is open");
            } catch (const mmstl::mapping_error& e) {
                expect(e.code() == std::errc::not_enough_memory, e.what());
                expect(std::string_view(e.call()) == "mmap", e.what());
                expect(e.asked_bytes() >= 4096 * MiB && e.asked_bytes() < 4097 * MiB, e.what());
                const std::string_view text(e.what());
                expect(text.find(path) != text.npos, e.what());
                expect(text.find(": addresses 0x") != text.npos, e.what());
            }
        }
        const auto small = segment::create(mmstl::anonymous(), {.capacity_bytes = 1024 * MiB});
        expect(small.is_open(), "what fits");
    });
    CHECK(*segment::open(path).find<int>("one") == 1);
}

namespace {

/// As long as it lives, the kernel promises no more memory than there is, to any process of the
/// machine. It promises as before when this ends, and also when the test is killed: another
/// process sees to that.
class strict_overcommit {
public:
    strict_overcommit() {
        if (spare_bytes() < 1024 * MiB) { // others would be refused what they need
            why_not_ = "the machine has promised all of its memory";
            return;
        }
        setting_ = ::open("/proc/sys/vm/overcommit_memory", O_RDWR | O_CLOEXEC);
        if (setting_ == -1 || ::pread(setting_, &before_, 1, 0) != 1) {
            why_not_ = "overcommit_memory may not be written";
            return;
        }
        std::array<int, 2> pipe{};
        REQUIRE(::pipe2(pipe.data(), O_CLOEXEC) == 0);
        std::fflush(nullptr);
        keeper_ = ::fork();
        REQUIRE(keeper_ != -1);
        if (keeper_ == 0) {
            ::setsid(); // what is typed to end the test is not for this one
            ::close(pipe[1]);
            char none = 0;
            while (::read(pipe[0], &none, 1) == -1) { // until all who could have written are gone
            }
            ::_exit(::pwrite(setting_, &before_, 1, 0) == 1 ? 0 : 1);
        }
        ::close(pipe[0]);
        alive_ = pipe[1];
        if (::pwrite(setting_, "2", 1, 0) != 1) why_not_ = "overcommit_memory cannot be set";
    }
    strict_overcommit(const strict_overcommit&) = delete;
    strict_overcommit& operator=(const strict_overcommit&) = delete;
    ~strict_overcommit() {
        if (alive_ != -1) {
            ::close(alive_);
            int status = 0;
            CHECK(::waitpid(keeper_, &status, 0) == keeper_);
            CHECK(status == 0);
        }
        if (setting_ != -1) ::close(setting_);
    }
    /// Empty if it is so.
    [[nodiscard]] const std::string& why_not() const noexcept { return why_not_; }

private:
    static std::uint64_t spare_bytes() {
        std::ifstream about("/proc/meminfo");
        std::uint64_t limit = 0;
        std::uint64_t promised = 0;
        std::string name;
        for (std::uint64_t kB = 0; about >> name >> kB; about.ignore(100, '\n')) {
            if (name == "CommitLimit:") limit = kB * 1024;
            if (name == "Committed_AS:") promised = kB * 1024;
        }
        return limit - std::min(limit, promised);
    }

    std::string why_not_;
    int setting_ = -1;
    char before_ = 0;
    int alive_ = -1; ///< closed with this process, however it ends
    ::pid_t keeper_ = -1;
};

} // namespace

TEST_CASE("addresses cost no memory where the kernel promises no more than there is", "[machine]") {
    if (MMSTL_TESTS_SANITIZED) return skip_loudly("sanitizers are promised more than there is");
    using numbers = mmstl::mapped_vector<int>;
    const temporary_directory directory;
    const shared_memory_name name;
    const strict_overcommit strict;
    if (!strict.why_not().empty()) return skip_loudly(strict.why_not());
    check_in_child([&] {
        constexpr std::size_t much = std::size_t{1} << 40;
        expect(::mmap(nullptr, much, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED);
        for (const backing& at : {backing(directory / "segment"), mmstl::shared_memory(name.text()),
                                  mmstl::anonymous()}) {
            auto made = segment::create(at);
            expect(made.capacity_bytes() == 16'384 * MiB, "the capacity");
            made.construct<mmstl::vector<int>>("numbers", 100'000, 7);
            expect(made.check().clean(), "the heap");
            if (at.name() == "anonymous") continue;
            made = segment();
            expect(segment::open(at).find<mmstl::vector<int>>("numbers")->back() == 7, "numbers");
        }
        for (const backing& at : {backing(directory / "vector"), mmstl::anonymous()}) {
            auto made = numbers::create(at);
            expect(made.reserved() * sizeof(int) > 32'768 * MiB, "what is reserved");
            made.resize(100'000, 7);
        }
        expect(numbers::open(directory / "vector").back() == 7, "the vector");
    });
}

TEST_CASE("where addresses are few for whatever reason, a smaller capacity is tried") {
    // By RLIMIT_AS; by RLIMIT_MEMLOCK after mlockall(MCL_FUTURE); of a file that would be too long.
    const int reason = GENERATE(ENOMEM, EAGAIN, EOVERFLOW);
    const auto usual = segment::create(mmstl::anonymous()).capacity_bytes();
    {
        const fault::fail armed(fault::call::mmap, 1, reason);
        const auto made = segment::create(mmstl::anonymous());
        CHECK(armed.hit());
        CHECK(made.capacity_bytes() == usual / 2);
    }
    const fault::fail armed(fault::call::mmap, 1, reason);
    CHECK(refused([] { (void)segment::create(mmstl::anonymous(), little); }) ==
          std::error_code(reason, std::system_category()));
    CHECK(armed.hit());
}

// ---- closing ----

TEST_CASE(
    "a closed segment, and one that was moved from, has nothing and refuses to make anything") {
    const temporary_directory directory;
    auto made = segment::create(directory / "x", little);
    auto moved = std::move(made);
    CHECK(moved.is_open());
    for (auto* const closed : {&made}) {
        CHECK_FALSE(closed->is_open());
        CHECK(closed->used_bytes() == 0);
        CHECK(closed->size_bytes() == 0);
        CHECK(closed->capacity_bytes() == 0);
        CHECK(closed->free_bytes() == 0);
        CHECK(closed->base_address() == nullptr);
        CHECK(closed->named_objects().empty());
        CHECK(closed->check().clean());
        CHECK_FALSE(closed->contains(closed));
        CHECK(closed->address_of(1 << 20) == nullptr);
        CHECK_NOTHROW(closed->flush());
        CHECK_NOTHROW(closed->close());
        for (const auto& use : std::vector<std::pair<const char*, void (*)(segment&)>>{
                 {"construct", [](segment& s) { s.construct<int>("x"); }},
                 {"find", [](segment& s) { (void)s.find<int>("x"); }},
                 {"destroy", [](segment& s) { s.destroy<int>("x"); }},
                 {"abandon", [](segment& s) { s.abandon("x"); }},
                 {"allocator", [](segment& s) { (void)s.allocator<int>(); }}}) {
            INFO(use.first);
            try {
                use.second(*closed);
                FAIL_CHECK("no error");
            } catch (const mmstl::mapping_error& e) {
                CHECK(e.code() == std::errc::bad_file_descriptor);
            }
        }
    }
    moved = segment();
    CHECK_FALSE(moved.is_open());
}

TEST_CASE("a fork()ed child counts among those that close from its first allocation on") {
    const bool allocates = GENERATE(false, true);
    const temporary_directory directory;
    const auto path = directory / "x";
    auto board = segment::create(mmstl::anonymous(), little);
    auto& ready = board.construct<std::atomic<bool>>("ready", false);
    auto made = segment::create(path, little);
    auto& number = made.construct<std::atomic<int>>("number", 1);
    child user([&] {
        number = 2;
        if (allocates) made.find_or_construct<int>("of the child");
        ready = true;
        for (;;) ::pause();
    });
    while (!ready) std::this_thread::yield();
    made.close();
    constexpr std::size_t state_offset = 512 + 64;
    CHECK(read_file(path)[state_offset] == (allocates ? 1 : 0)); // in use, or closed
    user.kill();
    CHECK(user.wait().signal == SIGKILL);
    CHECK(*segment::open(path).find<std::atomic<int>>("number") == 2);
}

TEST_CASE("an unclean segment of another boot is refused, or accepted after a check") {
    const temporary_directory directory;
    const auto path = directory / "x";
    segment::create(path, little).construct<int>("one", 1); // and not closed
    CHECK(*segment::open(path).find<int>("one") == 1);      // in this boot nothing is lost
    auto bytes = read_file(path);
    bytes.replace(512 + 72, 4, "0000"); // of the boot's id
    write_file(path, bytes);
    CHECK(refused([&] { (void)segment::open(path); }) == errc::unclean);
    CHECK(refused([&] { (void)segment::open(path, {.access = mmstl::access::read_only}); }) ==
          errc::unclean);
    CHECK(read_file(path) == bytes);
    {
        auto found = segment::open(path, {.unclean = mmstl::unclean_segment::check});
        CHECK(*found.find<int>("one") == 1);
        found.construct<int>("two", 2);
        found.close();
    }
    auto closed = read_file(path);
    closed.replace(512 + 72, 4, "0000"); // who closed it is of no matter
    write_file(path, closed);
    CHECK(*segment::open(path).find<int>("two") == 2);
}

// ---- reading ----

TEST_CASE("a segment that is open for reading gives out what is const, and nothing else") {
    const temporary_directory directory;
    const auto path = directory / "x";
    {
        auto made = segment::create(path, little);
        made.construct<mmstl::vector<int>>("numbers", 3, 7);
        made.construct<int[]>("array", 5, 9);
        made.close();
    }
    const auto before = read_file(path);
    ::chmod(path.c_str(), 0444);
    auto reader = segment::open(path, {.access = mmstl::access::read_only});
    const auto* const numbers = reader.find<const mmstl::vector<int>>("numbers");
    REQUIRE(numbers != nullptr);
    CHECK(*numbers == mmstl::vector<int>({7, 7, 7}));
    CHECK(reader.find<const int[]>("array").size() == 5);
    CHECK(reader.find<const int>("absent") == nullptr);
    CHECK(reader.named_objects().size() == 2);
    CHECK(reader.check().clean());
    CHECK(reader.used_bytes() != 0);
    const auto refuses = [&](auto use) {
        try {
            use();
        } catch (const mmstl::mapping_error& e) {
            return e.code() == errc::wrong_access;
        }
        return false;
    };
    CHECK(refuses([&] { (void)reader.find<mmstl::vector<int>>("numbers"); }));
    CHECK(refuses([&] { (void)reader.find<int[]>("array"); }));
    CHECK(refuses([&] { (void)reader.allocator<int>(); }));
    CHECK(refuses([&] { reader.construct<int>("new"); }));
    CHECK(refuses([&] { reader.find_or_construct<int>("new"); }));
    CHECK(refuses([&] { reader.destroy<mmstl::vector<int>>("numbers"); }));
    CHECK(refuses([&] { reader.abandon("numbers"); }));
    CHECK(refuses([&] { (void)segment::open(path); })); // the process has it for reading
    reader.flush();
    reader.close();
    CHECK(read_file(path) == before);
}

TEST_CASE("a handle that is open for reading stays so beside one that is open for writing") {
    const temporary_directory directory;
    const auto path = directory / "x";
    auto writer = segment::create(path, little);
    writer.construct<int>("one", 1);
    auto reader = segment::open(path, {.access = mmstl::access::read_only});
    CHECK(*reader.find<const int>("one") == 1);
    const auto refuses = [](auto use) {
        try {
            use();
        } catch (const mmstl::mapping_error& e) {
            return e.code() == errc::wrong_access;
        }
        return false;
    };
    CHECK(refuses([&] { (void)reader.find<int>("one"); }));
    CHECK(refuses([&] { reader.construct<int>("two"); }));
    CHECK(refuses([&] { (void)reader.allocator<int>(); }));
    auto moved = std::move(reader);
    CHECK(refuses([&] { moved.destroy<int>("one"); }));
    writer.close();
    CHECK(*moved.find<const int>("one") == 1);
    CHECK(refuses([&] { moved.abandon("one"); }));
    CHECK(segment::open(path).find<int>("one") != nullptr); // the process has it for writing
    moved = segment::open(path);
    CHECK(moved.destroy<int>("one"));
}

// ---- named objects ----

TEST_CASE("objects are constructed, found, destroyed and abandoned by their names") {
    auto made = segment::create(mmstl::anonymous(), little);
    const int before = counted::alive;
    counted& one = made.construct<counted>("one", 1);
    CHECK(one.value == 1);
    CHECK(made.find<counted>("one") == &one);
    CHECK(made.find<const counted>("one") == &one);
    CHECK(made.find<counted>("two") == nullptr);
    CHECK(&made.find_or_construct<counted>("one", 2) == &one);
    CHECK(one.value == 1);
    const auto [two, is_new] = made.try_construct<counted>("two", 2);
    CHECK(is_new);
    CHECK(two->value == 2);
    CHECK_FALSE(made.try_construct<counted>("two", 3).second);
    try {
        made.construct<counted>("one", 3);
        FAIL("twice");
    } catch (const mmstl::mapping_error& e) {
        CHECK(e.code() == errc::name_taken);
        CHECK(e.code() == std::errc::file_exists);
        CHECK(std::string(e.what()).find("one") != std::string::npos);
    }
    CHECK(counted::alive == before + 2);
    CHECK(made.destroy<counted>("one"));
    CHECK(counted::alive == before + 1);
    CHECK_FALSE(made.destroy<counted>("one"));
    CHECK(made.find<counted>("one") == nullptr);
    CHECK(made.abandon("two"));
    CHECK(counted::alive == before + 1); // no destructor
    CHECK_FALSE(made.abandon("two"));
    counted::alive = before;
    CHECK(made.named_objects().empty());
    CHECK(made.check().clean());
}

TEST_CASE("arrays are made, found and destroyed as what they are") {
    auto made = segment::create(mmstl::anonymous(), little);
    const int before = counted::alive;
    const auto five = made.construct<counted[]>("five", 5, 7);
    CHECK(five.size() == 5);
    CHECK(std::ranges::all_of(five, [](const counted& one) { return one.value == 7; }));
    CHECK(counted::alive == before + 5);
    CHECK(made.find<counted[]>("five").data() == five.data());
    CHECK(made.find<const counted[]>("five").size() == 5);
    CHECK(made.find<counted[]>("absent").data() == nullptr);
    CHECK(made.find_or_construct<counted[]>("five", 9).size() == 5);
    const auto is_other = [&](auto use) {
        try {
            use();
        } catch (const mmstl::mapping_error& e) {
            return e.code() == errc::other_type;
        }
        return false;
    };
    CHECK(is_other([&] { (void)made.find<counted>("five"); }));
    CHECK(is_other([&] { made.destroy<counted>("five"); }));
    CHECK(made.construct<int[]>("none", 0).empty());
    CHECK(made.find<int[]>("none").empty());
    CHECK(made.destroy<int[]>("none"));
    const auto strings =
        made.construct<mmstl::string[]>("strings", 3, "text that needs memory of its own");
    for (const auto& one : strings) CHECK(made.contains(one.data()));
    CHECK(made.destroy<mmstl::string[]>("strings"));
    CHECK(made.destroy<counted[]>("five"));
    CHECK(counted::alive == before);
    try {
        made.construct<int[]>("too many", SIZE_MAX / 2);
        FAIL("so many");
    } catch (const std::bad_alloc&) {
    }
    CHECK(made.check().n_blocks <= 1); // the table of names
}

TEST_CASE("a type is what it was made as") {
    auto made = segment::create(mmstl::anonymous(), little);
    made.construct<int>("int", 1);
    made.construct<mmstl::map<int, int>>("map");
    const auto is_other = [&](auto use) {
        try {
            use();
        } catch (const mmstl::mapping_error& e) {
            return e.code() == errc::other_type &&
                   std::string(e.what()).find("map") != std::string::npos;
        }
        return false;
    };
    CHECK(is_other([&] { (void)made.find<mmstl::map<int, long>>("map"); }));
    CHECK(is_other([&] { made.find_or_construct<mmstl::set<int>>("map"); }));
    CHECK(is_other([&] { made.destroy<int>("map"); }));
    CHECK(made.find<mmstl::map<int, int>>("map") != nullptr);
    CHECK(*made.find<std::int32_t>("int") == 1);
    CHECK_THROWS_AS(made.find<unsigned>("int"), mmstl::mapping_error);
    CHECK_THROWS_AS(made.find<float>("int"), mmstl::mapping_error);
}

TEST_CASE("names are of any bytes, from none of them to 65535") {
    auto made = segment::create(mmstl::anonymous(), little);
    const std::vector<std::string> names = {
        "",         std::string(1, '\0'),   std::string(2, '\0'),    "a/b",
        "\xff\xfe", std::string(1000, 'n'), std::string(65535, 'n'), "naïve"};
    for (std::size_t i = 0; i < names.size(); ++i) made.construct<std::size_t>(names[i], i);
    for (std::size_t i = 0; i < names.size(); ++i) {
        REQUIRE(made.find<std::size_t>(names[i]) != nullptr);
        CHECK(*made.find<std::size_t>(names[i]) == i);
    }
    std::set<std::string> told;
    for (const auto& one : made.named_objects()) told.insert(one.name);
    CHECK(told == std::set<std::string>(names.begin(), names.end()));
    const std::string too_long(65536, 'n');
    try {
        made.construct<int>(too_long);
        FAIL("so long");
    } catch (const mmstl::mapping_error& e) {
        CHECK(e.code() == errc::name_too_long);
    }
    CHECK(made.find<int>(too_long) == nullptr);
    CHECK(made.check().clean());
}

TEST_CASE("thousands of names come and go, and their memory does not add up") {
    auto made = segment::create(mmstl::anonymous(), little);
    std::map<std::string, int> expected;
    for (int i = 0; i < 3000; ++i) {
        const auto name = "object " + std::to_string(i);
        made.construct<int>(name, i);
        expected[name] = i;
        if (i % 3 == 0) continue;
        const auto gone = "object " + std::to_string(i - 1);
        made.destroy<int>(gone);
        expected.erase(gone);
    }
    std::map<std::string, int> found;
    for (const auto& one : made.named_objects()) {
        found[one.name] = *static_cast<int*>(made.address_of(one.offset));
        CHECK(one.count == 1);
        CHECK(one.size_bytes == sizeof(int));
        CHECK(one.alignment == alignof(int));
        CHECK(one.type_name == "i4");
    }
    CHECK(found == expected);
    for (const auto& [name, value] : expected) CHECK(made.destroy<int>(name));
    const auto left = made.used_bytes();
    for (int i = 0; i < 100'000; ++i) {
        const auto name = "again " + std::to_string(i);
        made.construct<int>(name, i);
        made.destroy<int>(name);
    }
    CHECK(made.used_bytes() <= left + 1000);
    CHECK(made.check().clean());
}

TEST_CASE("of a constructor that throws nothing stays") {
    auto made = segment::create(mmstl::anonymous(), little);
    made.construct<int>("other");
    const auto before = made.used_bytes();
    const int alive = counted::alive;
    CHECK_THROWS_AS(made.construct<counted>("one", counted::throws), std::runtime_error);
    CHECK_THROWS_AS(made.find_or_construct<counted>("one", counted::throws), std::runtime_error);
    CHECK_THROWS_AS(made.construct<counted[]>("one", 3, counted::throws), std::runtime_error);
    CHECK(counted::alive == alive);
    CHECK(made.find<counted>("one") == nullptr);
    CHECK(made.used_bytes() == before);
    CHECK(made.named_objects().size() == 1);
    CHECK(made.construct<counted>("one", 1).value == 1); // the name is free
    made.destroy<counted>("one");
}

TEST_CASE("a constructor may use the segment, but not ask for what it makes") {
    auto made = segment::create(mmstl::anonymous(), little);
    struct nested {
        explicit nested(segment& in) : other(&in.find_or_construct<int>("other", 5)) {}
        int* other;
    };
    struct endless {
        explicit endless(segment& in) { in.find_or_construct<endless>("endless", in); }
    };
    CHECK(*made.construct<nested>("nested", made).other == 5);
    try {
        made.construct<endless>("endless", made);
        FAIL("it has an end");
    } catch (const mmstl::mapping_error& e) {
        CHECK(e.code() == std::errc::resource_deadlock_would_occur);
    }
    CHECK(made.find<int>("endless") == nullptr);
}

TEST_CASE("of many that find or construct one object, one makes it") {
    auto made = segment::create(mmstl::anonymous(), little);
    struct slow {
        slow() {
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
            value = 7;
        }
        std::atomic<int> n_asked{0};
        int value = 0;
    };
    auto& n_made = made.construct<std::atomic<int>>("made", 0);
    const auto ask = [&] {
        const auto [object, is_new] = made.try_construct<slow>("slow");
        if (is_new) ++n_made;
        ++object->n_asked;
        return object->value == 7 ? 0 : 1;
    };
    std::vector<child> processes;
    for (int i = 0; i < 4; ++i) processes.emplace_back(ask);
    std::vector<std::thread> threads;
    std::atomic<int> wrong{0};
    for (int i = 0; i < 4; ++i) threads.emplace_back([&] { wrong += ask(); });
    for (auto& one : threads) one.join();
    for (auto& one : processes) {
        const auto result = one.wait();
        CAPTURE(result);
        CHECK(result.ok());
    }
    CHECK(wrong == 0);
    CHECK(n_made == 1);
    CHECK(made.find<slow>("slow")->n_asked == 8);
    CHECK(made.check().clean());
}

TEST_CASE("who waits for a constructor whose process dies, makes the object himself") {
    auto made = segment::create(mmstl::anonymous(), little);
    struct stuck {
        explicit stuck(std::atomic<bool>* started) {
            if (started == nullptr) return;
            *started = true;
            for (;;) ::pause();
        }
    };
    auto& started = made.construct<std::atomic<bool>>("started", false);
    const child builder([&] { made.construct<stuck>("object", &started); });
    while (!started) std::this_thread::yield();
    CHECK(made.find<stuck>("object") == nullptr);
    std::thread killer([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        builder.kill();
    });
    made.find_or_construct<stuck>("object", nullptr);
    killer.join();
    CHECK(made.find<stuck>("object") != nullptr);
}

// ---- what there is ----

TEST_CASE("a segment tells how much is used, and how much it can hold") {
    auto made = segment::create(mmstl::anonymous(), little);
    CHECK(made.capacity_bytes() == 64 * MiB);
    const auto used = made.used_bytes();
    const auto free = made.free_bytes();
    auto& bytes = made.construct<mmstl::vector<char>>("bytes", 10 * MiB);
    CHECK(made.used_bytes() >= used + 10 * MiB);
    CHECK(made.used_bytes() < used + 10 * MiB + 4096);
    CHECK(made.free_bytes() <= free - 10 * MiB);
    CHECK(made.size_bytes() >= 10 * MiB);
    CHECK(made.contains(bytes.data()));
    CHECK_FALSE(made.contains(&made));
    CHECK_FALSE(made.contains(nullptr));
    CHECK(made.address_of(made.offset_of(bytes.data())) == bytes.data());
    CHECK(made.address_of(0) == nullptr);
    CHECK(made.address_of(UINT64_MAX) == nullptr);
    made.destroy<mmstl::vector<char>>("bytes");
    CHECK(made.used_bytes() <= used + 4096);
    CHECK(segment::create(mmstl::anonymous(), {.capacity_bytes = 1}).capacity_bytes() == 32 * MiB);
}

TEST_CASE("a full segment says how much was asked for and how much there was") {
    auto made = segment::create(mmstl::anonymous(), {.capacity_bytes = 32 * MiB});
    auto& list = made.construct<mmstl::list<std::array<char, 5000>>>("list");
    auto& map = made.construct<mmstl::map<int, int>>("map");
    int n = 0;
    try {
        for (;; ++n) {
            map[n] = n;
            list.emplace_back();
        }
    } catch (const mmstl::segment_exhausted& e) {
        CHECK(e.asked_bytes() >= 40);
        CHECK(e.code() == std::errc::not_enough_memory);
        CHECK(std::string(e.what()).find(std::to_string(e.asked_bytes())) != std::string::npos);
        CHECK(e.available_bytes() < MiB);
    }
    CHECK(n > 5000);
    CHECK(list.size() == static_cast<std::size_t>(n));
    CHECK(made.check().clean());
    CHECK_THROWS_AS(made.construct<mmstl::vector<char>>("vector", 40 * MiB), std::bad_alloc);
    CHECK(made.find<mmstl::vector<char>>("vector") == nullptr);
    list.clear();
    // The spans of the map are still among what was the list's.
    CHECK_NOTHROW(made.construct<mmstl::vector<char>>("vector", 3 * MiB));
    CHECK(made.check().clean());
}

TEST_CASE("the last one to close a segment cuts off what is free at its end") {
    const temporary_directory directory;
    const auto path = directory / "x";
    {
        auto made = segment::create(path, {.capacity_bytes = 256 * MiB});
        auto& numbers = made.construct<mmstl::vector<int>>("numbers", 1000, 7);
        made.construct<mmstl::vector<char>>("large", 40 * MiB);
        made.construct<mmstl::vector<char>>("run", 2 * MiB);
        auto also = segment::open(path);
        CHECK(made.destroy<mmstl::vector<char>>("large"));
        CHECK(made.destroy<mmstl::vector<char>>("run"));
        also.close();
        CHECK(std::filesystem::file_size(path) > 40 * MiB);
        CHECK(numbers.back() == 7);
        made.close();
        CHECK(std::filesystem::file_size(path) < 2 * MiB);
    }
    auto again = segment::open(path);
    CHECK(again.find<mmstl::vector<int>>("numbers")->back() == 7);
    again.construct<mmstl::vector<char>>("large", 40 * MiB, 'x');
    auto& list = again.construct<mmstl::list<int>>("list", 100'000, 1);
    CHECK(list.size() == 100'000);
    CHECK(again.check().clean());
    again.close();
    CHECK(segment::open(path).find<mmstl::vector<char>>("large")->back() == 'x');
}

TEST_CASE("a small segment takes little of the disk") {
    const temporary_directory directory;
    const auto path = directory / "x";
    const auto on_disk = [&] {
        struct ::stat now {};
        ::stat(path.c_str(), &now);
        return static_cast<std::uint64_t>(now.st_blocks) * 512;
    };
    auto made = segment::create(path);
    CHECK(on_disk() <= 64 * 1024);
    auto& words = made.construct<mmstl::map<mmstl::string, int>>("words");
    for (int i = 0; i < 20; ++i) words[("word " + std::to_string(i)).c_str()] = i;
    made.construct<mmstl::vector<int>>("numbers", 300, 1);
    CHECK(on_disk() <= 128 * 1024);
    INFO(on_disk());
    CHECK(made.check().clean());
}
