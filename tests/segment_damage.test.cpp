// SPDX-License-Identifier: MIT
//
// segment.hpp: files that are damaged, or made by someone who means no good. Whatever they say,
// opening them, looking for names, asking how much is used, checking and closing come to an end
// soon, with an error or with a report.
//
// Offsets are written as numbers here: they are what files have, whatever the headers call them.

#include "support/catch.hpp"
#include "support/checks.hpp"
#include "support/in_child.hpp"
#include "support/leaks.hpp"
#include "support/segment_specimen.hpp"
#include "support/soak.hpp"

#include <mmstl/segment.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <new>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

using namespace support;
using mmstl::errc;
using mmstl::segment;
using mmstl::unclean_segment;

namespace {

constexpr auto most = UINT64_MAX;
constexpr auto most32 = UINT32_MAX;

/// What both parent and child see.
class shared_number {
public:
    shared_number()
        : at_(new (::mmap(nullptr, sizeof(std::atomic<long>), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0)) std::atomic<long>(0)) {}
    shared_number(const shared_number&) = delete;
    shared_number& operator=(const shared_number&) = delete;
    ~shared_number() { ::munmap(at_, sizeof *at_); }
    std::atomic<long>& operator*() const noexcept { return *at_; }

private:
    std::atomic<long>* at_;
};

/// Of the cases that are very many, sanitized code tries one in so many.
constexpr long stride_of_many = MMSTL_TESTS_SANITIZED ? 10 : 1;

#ifdef __OPTIMIZE__
constexpr bool is_optimised = !MMSTL_TESTS_SANITIZED;
#else
constexpr bool is_optimised = false;
#endif

/// Ends this process when it computes for two seconds more, or does nothing for long.
void set_watchdog() {
    constexpr long slower = is_optimised ? 1 : 10;
    const ::itimerval computing{{0, 0}, {2 * slower, 0}};
    const ::itimerval waiting{{0, 0}, {20 * slower, 0}};
    ::setitimer(ITIMER_PROF, &computing, nullptr);
    ::setitimer(ITIMER_REAL, &waiting, nullptr);
}

/// Runs `one(i)` for all i below `n`, in as few children as live through it: a crash, a hang and an
/// expectation that does not hold are failures, each told with `what(i)`.
template <class One, class What> void survives(long n, One one, What what) {
    const long stride = n > 50 ? stride_of_many : 1;
    const shared_number at;
    int n_failed = 0;
    for (long first = 0; first < n && n_failed < 10; first = (*at).load() + stride) {
        const auto result = in_child(
            [&] {
                for (long i = first; i < n; i += stride) {
                    (*at).store(i);
                    set_watchdog();
                    one(i);
                }
            },
            std::chrono::hours(1));
        if (result.ok()) break;
        INFO("case " << (*at).load() << ": " << what((*at).load()));
        FAIL_CHECK(result);
        ++n_failed;
    }
    if (n_failed == 0) SUCCEED();
}

/// A way to damage a segment, and what there is to expect of it.
struct damage {
    std::string what;
    std::function<void(segment_specimen&)> make;
    /// Of the reader's answer; null: only that there is one.
    std::function<void(const segment_answer&)> judge = nullptr;
};

void survives(segment_specimen& of, const std::vector<damage>& all) {
    survives(
        static_cast<long>(all.size()),
        [&](long i) {
            const auto& one = all[static_cast<std::size_t>(i)];
            const auto answer = ask_in_every_way(of, one.make);
            if (one.judge) one.judge(answer);
        },
        [&](long i) { return all[static_cast<std::size_t>(i)].what; });
    CHECK(of.is_whole());
}

/// What is refused, by readers and writers alike.
auto refused(errc code) {
    return [code](const segment_answer& answer) {
        expect(answer.refused == make_error_code(code),
               "expected " + make_error_code(code).message() + ", got " +
                   (answer.refused ? answer.refused.message() : "an open segment"));
    };
}
auto opened(const segment_answer& answer) {
    expect(!answer.refused, answer.refused.message());
    expect(answer.report.clean(),
           answer.report.clean() ? "" : "clean, but: " + answer.report.problems.front());
}
/// A problem that has these words.
auto told(std::string words) {
    return [words = std::move(words)](const segment_answer& answer) {
        expect(!answer.refused, answer.refused.message());
        std::string all;
        for (const auto& one : answer.report.problems) {
            if (one.find(words) != one.npos) return;
            all += "; " + one;
        }
        expect(false, "no problem has '" + words + "'" + all);
    };
}

template <class T> std::string number(T n) { return std::to_string(n); }

} // namespace

TEST_CASE("a segment that is not damaged is found as it was left") {
    for (const auto how : {left::closed, left::killed}) {
        segment_specimen whole(how);
        survives(whole, {{"nothing", [](auto&) {},
                          [](const segment_answer& answer) {
                              opened(answer);
                              expect(answer.names.size() == 40, "all names");
                              expect(answer.report.n_named_objects == 40, "all names");
                              expect(answer.used_bytes > 72U << 20, "what is used");
                              expect(answer.free_bytes > 32U << 20, "what is free");
                          }},
                         {"another boot", [](segment_specimen& of) { of.make_unclean(); },
                          [](const segment_answer& answer) { opened(answer); }}});
    }
}

TEST_CASE("each field of a header that is another one has an error of its own") {
    segment_specimen whole(left::closed);
    std::vector<damage> all;
    const auto set = [&](std::string name, std::uint64_t offset, auto value, auto judge,
                         bool sealed = true) {
        all.push_back({name + " = " + number(value),
                       [=](segment_specimen& of) {
                           of.put(offset, value);
                           if (sealed) of.seal();
                       },
                       judge});
    };
    for (std::uint64_t i = 0; i < 8; ++i)
        for (const char c : {'\0', 'x', '\xff'}) set("magic", i, c, refused(errc::foreign_file));
    for (const auto n : {0x00000000U, 0x01010101U, 0x02010403U, most32 - 1, most32})
        set("byte order", 8, n, refused(errc::damaged));
    set("byte order", 8, 0x04030201U, refused(errc::other_byte_order));
    set("byte order, not sealed", 8, 0x04030201U, refused(errc::other_byte_order), false);
    for (const auto n : {0U, 2U, 0x01000000U, most32 - 1, most32})
        set("version", 12, n, refused(errc::other_version));
    for (const auto n : {0U, 1U, 3U, most32 - 1, most32})
        set("kind", 16, n, refused(errc::other_kind));
    for (const auto n : {0U, 1U, 4095U, 8192U, most32 - 1, most32})
        set("header bytes", 20, n, refused(errc::other_version));
    for (const auto n : {0UL, 1UL, 4UL, 16UL, most - 1, most}) {
        set("bytes of a pointer", 24, n, refused(errc::other_abi));
        set("alignment of a pointer", 32, n, refused(errc::other_abi));
        set("hash of the ABI", 40, n, refused(errc::other_abi));
    }
    for (const auto offset : {48UL, 303UL, 368UL, 503UL}) { // for the eye, and zeros
        set("not looked at", offset, 'x', opened);
        set("under the checksum", offset, 'x', refused(errc::damaged), false);
    }
    for (const auto n : {0UL, 1UL, most - 1, most})
        set("checksum", at::checksum, n, refused(errc::damaged), false);

    const auto capacity = segment_specimen::n_regions * bytes_of_region;
    const auto addresses = std::uint64_t{1} << 47;
    const auto address = whole.get<std::uint64_t>(at::heap_address);
    for (const auto n :
         {0UL, 1UL, 4096UL, 65536UL, bytes_of_region - 1, address + 4096, address - 65536,
          address + 1, addresses - capacity + bytes_of_region, addresses - bytes_of_region,
          addresses, addresses + bytes_of_region, std::uint64_t{1} << 63, most - bytes_of_region,
          0UL - bytes_of_region, 0UL - capacity, most - 1, most})
        set("heap address", at::heap_address, n, refused(errc::damaged));
    for (const auto n : {0UL, 1UL, 4096UL, 61440UL, 65535UL, 65537UL, 131072UL, bytes_of_region,
                         0UL - 65536, most - 1, most})
        set("heap offset", at::heap_offset, n, refused(errc::damaged));
    // 3585 is the first whose directory does not end in front of the heap; with others, times 8
    // or 32 MiB is a small number again.
    for (const auto n : {0UL, 1UL, 3585UL, 262144UL, 262145UL, std::uint64_t{1} << 32,
                         (std::uint64_t{1} << 32) + 5, (std::uint64_t{1} << 39) + 5,
                         (std::uint64_t{1} << 61) + 5, std::uint64_t{1} << 63, most - 1, most})
        set("regions", at::n_regions, n, refused(errc::damaged));
    // As consistent, if longer than it was; not everywhere is there room for 112 GiB.
    set("regions", at::n_regions, 6UL, opened);
    set("regions", at::n_regions, 3584UL, [](const segment_answer& answer) {
        if (answer.refused != make_error_code(errc::address_taken)) opened(answer);
    });
    for (const auto n : {0UL, 1UL, most}) {
        set("uuid", at::uuid, n, opened);
        set("uuid", at::uuid + 8, n, opened);
    }
    for (std::uint64_t field = at::mode; field != 368; field += 4)
        for (const auto n :
             {0U, 1U, whole.get(field) - 1, whole.get(field) + 1, most32 - 1, most32})
            if (n != whole.get(field))
                set("limit at " + number(field), field, n, refused(errc::other_version));
    survives(whole, all);
}

TEST_CASE("addresses that are taken are refused, and what is there stays") {
    segment_specimen whole(left::closed);
    const auto room = 3 * bytes_of_region;
    auto* const ours = static_cast<char*>(
        ::mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    REQUIRE(ours != MAP_FAILED); // NOLINT: the macro casts
    ours[room / 2] = 'o';
    const auto address = reinterpret_cast<std::uintptr_t>(ours) / bytes_of_region * bytes_of_region;
    std::vector<damage> all;
    for (const auto n : {address, address + bytes_of_region, address - bytes_of_region})
        all.push_back({"heap address = " + number(n),
                       [n](segment_specimen& of) {
                           of.put(at::heap_address, std::uint64_t{n});
                           of.seal();
                       },
                       refused(errc::address_taken)});
    survives(whole, all);
    CHECK(ours[room / 2] == 'o');
    ::munmap(ours, room);
}

TEST_CASE("what changes in a header is judged by the file and the boot") {
    segment_specimen whole(left::closed);
    std::vector<damage> all;
    const auto size = [&](std::uint64_t n, auto judge) {
        all.push_back(
            {"size = " + number(n), [n](segment_specimen& of) { of.put(at::size, n); }, judge});
    };
    const auto least = at::directory + segment_specimen::n_regions * 8;
    for (const auto n : {0UL, 1UL, 4096UL, least - 1}) size(n, refused(errc::damaged));
    for (const auto n : {least, least + 1, whole.heap() - 1, whole.heap()})
        size(n, told("does not lie in the file"));
    for (const auto n : {whole.heap() + 1, whole.heap() + 4095, whole.heap() + 4096,
                         whole.heap() + 65535, whole.n_bytes() - bytes_of_region - 4097})
        size(n, told(""));
    size(whole.n_bytes(), opened);
    for (const auto n : {whole.n_bytes() + 1, std::uint64_t{1} << 40, std::uint64_t{1} << 63,
                         most - 4096, most - 1, most})
        size(n, refused(errc::past_the_end));
    const auto longest = whole.heap() + segment_specimen::n_regions * bytes_of_region;
    for (const auto n : {longest + 1, longest + 4096})
        all.push_back({"longer than it can be: " + number(n),
                       [n](segment_specimen& of) {
                           of.cut(n);
                           of.put(at::size, n);
                       },
                       refused(errc::damaged)});
    for (const auto n : {1UL, 2UL, 3UL, std::uint64_t{1} << 32, most - 1, most}) {
        all.push_back(
            {"state = " + number(n), [n](segment_specimen& of) { of.put(at::state, n); }, opened});
        all.push_back({"of another boot, state = " + number(n), [n](segment_specimen& of) {
                           of.make_unclean();
                           of.put(at::state, n);
                           expect(
                               ask_segment(of.fd(), read_write, unclean_segment::refuse).refused ==
                                   make_error_code(errc::unclean),
                               "refused");
                       }});
    }
    survives(whole, all);
}

TEST_CASE("a segment that is cut off anywhere is refused, and no page is touched that is gone") {
    segment_specimen whole(left::killed);
    std::vector<std::uint64_t> lengths;
    for (std::uint64_t n = 0; n < 600 * 4096; n += 4096) {
        lengths.push_back(n);
        lengths.push_back(n + 1 + n / 4096 * 509 % 4095);
    }
    for (std::uint64_t n = 0; n < 520; ++n) lengths.push_back(n);
    for (std::uint64_t n = 1; n <= segment_specimen::n_regions; ++n)
        for (const auto around : {most - 4096, most, most - 1, 0UL, 1UL, 4095UL, 4096UL, 65536UL})
            lengths.push_back(whole.heap() + n * bytes_of_region + around + 1);
    std::erase_if(lengths, [&](auto n) { return n >= whole.n_bytes(); });
    survives(
        static_cast<long>(lengths.size()),
        [&](long i) {
            const auto n = lengths[static_cast<std::size_t>(i)];
            const auto least = at::directory + segment_specimen::n_regions * 8;
            const auto cut = [&](segment_specimen& of) { of.cut(n); };
            refused(n < 4096 ? errc::incomplete : errc::past_the_end)(ask_in_every_way(whole, cut));
            // And the header says that it has always been so short.
            const auto cut_well = [&](segment_specimen& of) {
                of.cut(n);
                if (n >= 4096) of.put(at::size, n);
            };
            const auto answer = ask_in_every_way(whole, cut_well);
            if (n >= 4096 && n < least) refused(errc::damaged)(answer);
            if (n >= least) expect(!answer.refused, answer.refused.message());
        },
        [&](long i) {
            return number(lengths[static_cast<std::size_t>(i)]) + " bytes of " +
                   number(whole.n_bytes());
        });
}

TEST_CASE("what is in use, and not described, is not looked for behind the file") {
    segment_specimen whole(left::killed);
    const auto end = whole.slice(whole.described(3), 3);
    REQUIRE(end % 4096 == 0);
    survives(whole, {{"cut off behind the descriptions",
                      [=](segment_specimen& of) {
                          for (std::uint64_t i = 0; i < 8; ++i)
                              of.put(of.slice(0, 3) + i * 8, most);
                          of.cut(end);
                          of.put(at::size, end);
                      },
                      told("in use, ")}});
}

// ---- the heap's own ----

TEST_CASE("locks that nobody holds, or that cannot be, are no obstacle") {
    for (const auto how : {left::closed, left::killed}) {
        segment_specimen whole(how);
        std::vector<damage> all;
        const auto generation = whole.get(at::processes + 4);
        // Word: the process's number and one; its generation from bit 16; who waits, bit 31.
        for (const std::uint32_t process : {0U, 1U, 2U, 3U, 256U, 257U, 0xffffU})
            for (const std::uint32_t passed :
                 {0U, generation, generation + 1, generation + 2, generation + 3, 0x7fffU})
                for (const std::uint32_t waits : {0U, 1U})
                    for (const auto lock : {at::lock, at::names_lock}) {
                        const auto word = process | (passed & 0x7fff) << 16 | waits << 31;
                        all.push_back({"lock at " + number(lock) + " = " + number(word),
                                       [=](segment_specimen& of) { of.put(lock, word); }, opened});
                    }
        survives(whole, all);
    }
}

TEST_CASE("what a dead holder of the lock was in the middle of is believed if it can be") {
    for (const auto how : {left::closed, left::killed}) {
        segment_specimen whole(how);
        std::vector<damage> all;
        const auto regions = static_cast<std::uint32_t>(segment_specimen::n_regions);
        const auto n_described = static_cast<std::uint32_t>(whole.described(0));
        const std::uint32_t wild[] = {0,
                                      1,
                                      2,
                                      regions - 1,
                                      regions,
                                      511,
                                      512,
                                      513,
                                      n_described,
                                      3 * 512,
                                      3 * 512 + 256,
                                      3 * 512 + 257,
                                      regions * 512 - 1,
                                      regions * 512,
                                      0x10000,
                                      1U << 23,
                                      0x7fffffff,
                                      0x80000000U,
                                      most32 - 1,
                                      most32};
        const auto ours = 1U | 1U << 16; // the one of the first process
        for (const auto word : {ours, 0xffffU, 257U})
            for (const auto kind : {0U, 1U, 2U, 3U, most32})
                for (const auto is_huge : {0U, 1U})
                    for (const auto first : wild)
                        for (const auto n : wild) {
                            // Those of nobody are waited for, a little; all are done alike.
                            if (word != ours && (kind != 1 || (first + n) % 41 != 0)) continue;
                            if (kind != 1 && (first + n) % 3 != 0) continue;
                            const auto make = [=](segment_specimen& of) {
                                of.put(at::lock, word);
                                of.put(at::intent, kind);
                                of.put(at::intent + 4, n);
                                of.put(at::intent + 8, first);
                                of.put(at::intent + 12, is_huge);
                            };
                            all.push_back({"word " + number(word) + ", kind " + number(kind) +
                                               ", n " + number(n) + ", first " + number(first) +
                                               ", huge " + number(is_huge),
                                           make});
                        }
        survives(whole, all);
    }
}

TEST_CASE("records of processes and threads may say anything") {
    for (const auto how : {left::closed, left::killed}) {
        segment_specimen whole(how);
        std::vector<damage> all;
        const std::uint32_t wild[] = {0,   1,      2,          3,           255,        256,   257,
                                      258, 0xffff, 0x7fffffff, 0x80000000U, most32 - 1, most32};
        for (const auto record : {0U, 1U, 2U, 255U})
            for (std::uint64_t field = 0; field < 16; field += 4)
                for (const auto n : wild)
                    all.push_back(
                        {"process " + number(record) + " at " + number(field) + " = " + number(n),
                         [=](segment_specimen& of) {
                             of.put(at::processes + record * 16 + field, n);
                         },
                         opened});
        for (const auto record : {0U, 1U, 2U, 2047U})
            for (std::uint64_t field = 0; field < 8; field += 4)
                for (const auto n : wild)
                    all.push_back(
                        {"thread " + number(record) + " at " + number(field) + " = " + number(n),
                         [=](segment_specimen& of) { of.put(at::threads + record * 8 + field, n); },
                         opened});
        all.push_back({"everybody is there, with all threads",
                       [](segment_specimen& of) {
                           for (std::uint64_t i = 0; i < 256; ++i)
                               of.put(at::processes + i * 16, most32);
                           for (std::uint32_t i = 0; i < 2048; ++i)
                               of.put(at::threads + i * 8, i % 256 + 1);
                       },
                       opened});
        survives(whole, all);
    }
}

TEST_CASE("every field of the metadata may have every value that means harm") {
    struct store {
        const char* what;
        std::uint64_t offset;
        std::uint64_t value;
        unsigned width;
    };
    for (const auto how : {left::closed, left::killed}) {
        segment_specimen whole(how);
        std::vector<store> all;
        for (const auto& range : whole.metadata()) {
            const std::string_view what = range.what;
            if (what.starts_with("more") || what == "identity" || what == "live") continue;
            // Of what there are many of, those that begin it.
            const auto n_bytes = std::min<std::uint64_t>(range.n_bytes, 1536);
            if (what == "name" && range.first % 9 != 0) continue;
            for (std::uint64_t i = 0; i + 4 <= n_bytes; i += 4) {
                const auto offset = range.first + i;
                const auto now = whole.get(offset);
                const bool is_wide = i % 8 == 0 && i + 8 <= n_bytes;
                if (what == "slices" && i % bytes_of_description >= 72) continue;
                for (const std::uint32_t n : {0U, 1U, now + 1, now - 1, 512U, most32})
                    all.push_back({range.what, offset, n, 4});
                if (what == "slices" && i % bytes_of_description == of::state)
                    for (unsigned n = 0; n < 256; n += n < 8 ? 1 : 31) {
                        all.push_back({range.what, offset, n, 1});
                        all.push_back({range.what, offset + 1, n, 1});
                        all.push_back({range.what, offset + 2, n * 2, 2});
                    }
                if (!is_wide) continue;
                const auto wide = whole.get<std::uint64_t>(offset);
                for (const std::uint64_t n : {most, most - 63, wide + 8, wide << 8, whole.n_bytes(),
                                              whole.n_bytes() - 8, whole.heap()})
                    all.push_back({range.what, offset, n, 8});
            }
        }
        for (std::uint64_t region = 0; region < segment_specimen::n_regions; ++region)
            for (std::uint64_t kind = 0; kind < 5; ++kind)
                for (const std::uint64_t value :
                     {0UL, 1UL, 31UL, 32UL, 64UL, 480UL, 512UL, 513UL, 544UL, 4096UL,
                      bytes_of_region - 1, bytes_of_region, 2 * bytes_of_region,
                      5 * bytes_of_region, 5 * bytes_of_region + 1, most >> 8})
                    all.push_back({"directory", at::directory + region * 8, value << 8 | kind, 8});
        survives(
            static_cast<long>(all.size()),
            [&](long i) {
                if (how == left::closed && i % 3 != 0) return; // there is less to take over
                const auto& one = all[static_cast<std::size_t>(i)];
                for (const auto access : {read_write, read_only}) {
                    whole.mend();
                    if (one.width == 1) whole.put(one.offset, static_cast<std::uint8_t>(one.value));
                    if (one.width == 2)
                        whole.put(one.offset, static_cast<std::uint16_t>(one.value));
                    if (one.width == 4)
                        whole.put(one.offset, static_cast<std::uint32_t>(one.value));
                    if (one.width == 8) whole.put(one.offset, one.value);
                    expect(!ask_segment(whole.fd(), access, unclean_segment::refuse).refused,
                           "open");
                    // A check alone decides.
                    if (access == read_write || i % 4 != 0) continue;
                    whole.make_unclean();
                    const auto said = ask_segment(whole.fd(), access, unclean_segment::check);
                    expect(!said.refused || said.refused == make_error_code(errc::damaged),
                           said.refused.message());
                }
            },
            [&](long i) {
                const auto& one = all[static_cast<std::size_t>(i)];
                return std::string(one.what) + ": " + number(one.width) + " bytes at " +
                       number(one.offset) + " = " + number(one.value);
            });
        CHECK(whole.is_whole());
    }
}

TEST_CASE("an intent that is no span, no run and no block as a whole is forgotten") {
    segment_specimen whole(left::closed);
    std::vector<damage> all;
    const auto intends = [&](std::string what, std::uint32_t first, std::uint32_t n,
                             std::uint32_t is_huge, auto judge) {
        for (const auto kind : {1U, 2U})
            all.push_back(
                {what,
                 [=](segment_specimen& of) {
                     of.put(at::lock, 1U | 1U << 16);
                     of.put(at::intent, kind);
                     of.put(at::intent + 4, n);
                     of.put(at::intent + 8, first);
                     of.put(at::intent + 12, is_huge);
                     expect(!ask_segment(of.fd(), read_write, unclean_segment::refuse).refused,
                            "taken over");
                 },
                 judge});
    };
    std::uint64_t used = 0;
    survives(whole, {{"nothing", [](auto&) {}, opened}});
    REQUIRE(in_child([&] {
                used = ask_segment(whole.fd(), read_only, unclean_segment::refuse).used_bytes;
                return static_cast<int>(used >> 20);
            }).exit_code == 72);
    const auto is_run = [&](std::uint64_t i) {
        return whole.get<std::uint8_t>(whole.slice(i) + of::state) == 3;
    };
    std::uint32_t run = 1;
    while (!is_run(run)) ++run;
    const auto bytes_of_run = whole.get<std::uint64_t>(whole.slice(run) + of::n_bytes);
    const auto n = static_cast<std::uint32_t>((bytes_of_run + bytes_of_slice - 1) / bytes_of_slice);
    REQUIRE(n > 2);
    const auto freed = [](std::uint64_t mib) {
        return [mib](const segment_answer& answer) {
            opened(answer);
            expect(answer.used_bytes >> 20 == mib, number(answer.used_bytes >> 20) + " MiB");
        };
    };
    intends("the block of two regions", 1, 2, 1, freed(32));
    for (const auto& [first, count] : {std::pair{0U, 1U},
                                       {0U, 2U},
                                       {1U, 1U},
                                       {2U, 1U},
                                       {1U, 3U},
                                       {0U, 5U},
                                       {3U, 1U},
                                       {4U, 2U},
                                       {5U, 0U},
                                       {1U, 0U},
                                       {most32, 2U}})
        intends("regions", first, count, 1, freed(72));
    for (const auto& [first, count] : {std::pair{run, n - 1},
                                       {run, n + 1},
                                       {run + 1, n - 1},
                                       {run - 1, n + 1},
                                       {run, 0U},
                                       {run + 1, 1U},
                                       {0U, 1U},
                                       {0U, run + n},
                                       {most32 - 1, 4U},
                                       {run, most32}})
        intends("slices", first, count, 0, freed(72));
    all.push_back({"a block of one region, and one that is not used",
                   [](segment_specimen& of) {
                       of.put(at::directory + 8, bytes_of_region << 8 | 2);
                       of.put(at::directory + 16, std::uint64_t{0});
                       of.put(at::lock, 1U | 1U << 16);
                       of.put(at::intent, 1U);
                       of.put(at::intent + 4, 2U);
                       of.put(at::intent + 8, 1U);
                       of.put(at::intent + 12, 1U);
                       expect(!ask_segment(of.fd(), read_write, unclean_segment::refuse).refused,
                              "taken over");
                   },
                   freed(64)});
    survives(whole, all);
}

TEST_CASE("check tells what does not fit, whatever it is") {
    segment_specimen whole(left::closed);
    std::vector<damage> all;
    const auto set = [&](std::string words, std::uint64_t offset, auto value) {
        all.push_back({words + ": " + number(offset) + " = " + number(value),
                       [=](segment_specimen& of) { of.put(offset, value); }, told(words)});
    };
    const auto region = [](std::uint64_t i) { return at::directory + i * 8; };
    const auto word = [](std::uint64_t kind, std::uint64_t value) { return value << 8 | kind; };
    set("region 0: of no known kind", region(0), word(4, 512));
    set("region 4: of no known kind", region(4), word(255, 0));
    set("region 4: an unused one has a value", region(4), word(0, 1));
    set("region 4: goes on with no block", region(4), word(3, 0));
    set("region 2: goes on with no block", region(1), word(0, 0));
    set("region 2: a block does not go on", region(2), word(0, 0));
    set("region 2: goes on with no block", region(1), word(2, 0)); // of no bytes, which is one
    set("region 1: a block longer than the heap", region(1), word(2, 4 * bytes_of_region + 1));
    set("region 1: a block longer than the heap", region(1), word(2, most >> 8));
    set("region 4: a block that ends behind the file", region(4), word(2, bytes_of_region));
    for (const auto n : {0UL, 1UL, 31UL, 513UL, 544UL, most >> 8})
        set("region 0: its description", region(0), word(1, n));
    set("region 4: its description", region(4), word(1, 32));

    const auto bits = whole.get<std::uint64_t>(whole.slice(0));
    set("region 0, slice 0: the description is not in use", whole.slice(0), bits & ~1UL);
    REQUIRE(whole.described(3) < 512);
    set("region 3, slice 511: in use, and not described", whole.slice(0, 3) + 56,
        std::uint64_t{1} << 63);
    set("region 0, slice 1: in use, by nothing", whole.slice(1) + of::state, std::uint8_t{0});
    set("region 0, slice 1: in use, by nothing", whole.slice(1) + of::state, std::uint8_t{2});
    for (const auto state : {5, 6, 255})
        set("region 0, slice 1: in no known state", whole.slice(1) + of::state,
            static_cast<std::uint8_t>(state));

    std::uint64_t not_used = 1;
    while (whole.get<std::uint8_t>(whole.slice(not_used) + of::state) != 0) ++not_used;
    REQUIRE(not_used < whole.described(0));
    for (const auto state : {1, 2, 3, 4, 255})
        set("region 0, slice " + number(not_used) + ": free, and says that it is not",
            whole.slice(not_used) + of::state, static_cast<std::uint8_t>(state));

    // Eight slices: of those that follow the first, each has to say so.
    const auto wide = whole.span_that(
        [&](auto span) { return whole.get<std::uint8_t>(span + of::size_class) >= 72; });
    const auto second = "slice " + number(wide + 1) + ": does not belong";
    set(second, whole.slice(0) + wide / 64 * 8,
        whole.get<std::uint64_t>(whole.slice(0) + wide / 64 * 8) &
            ~(std::uint64_t{1} << (wide + 1) % 64));
    set(second, whole.slice(wide + 1) + of::state, std::uint8_t{1});
    set(second, whole.slice(wide + 1) + of::distance, std::uint16_t{2});
    set("does not begin where it begins", whole.slice(wide) + of::distance, std::uint16_t{1});
    for (const auto c : {88, 127, 255})
        set("blocks of no known size", whole.slice(wide) + of::size_class,
            static_cast<std::uint8_t>(c));

    // Words: 48 bytes and more, of which some are free.
    const auto some = whole.span_that([&](auto span) {
        return whole.get(span + of::local_free) != 0 && whole.get(span + of::owner) == 0;
    });
    const auto span = whole.slice(some);
    const auto start = whole.heap() + some * bytes_of_slice;
    const auto at_some = "slice " + number(some) + ": ";
    const auto bump = whole.get(span + of::bump);
    const auto free = whole.get(span + of::local_free);
    for (const auto link : {2U, free + 1, bump + 1, bump + 9, 0x7fffffffU, most32 - 7, most32}) {
        set(at_some + "a list of free blocks leads astray", span + of::local_free, link);
        set(at_some + "a list of free blocks leads astray", start + free - 1, link);
        set("a list of free blocks leads astray", span + of::returned,
            std::uint64_t{1} << 32 | link);
    }
    set(at_some + "a block is free twice", start + free - 1, free); // follows itself
    set(at_some + "a block is free twice", span + of::returned, std::uint64_t{1} << 32 | free);
    set("blocks were returned, and", span + of::returned, std::uint64_t{1} << 32);
    set("blocks were returned, and", span + of::returned, most << 32);
    for (const auto n : {bump + 1, bump - 1, 65544U, most32 - 7, most32})
        set("blocks handed out beyond its end", span + of::bump, n);
    for (const auto n : {0U, bump - 1, 65537U, most32})
        set("blocks handed out beyond its end", span + of::limit, n);
    set("counts fewer blocks than are in use", span + of::used, 0U);

    std::uint64_t run = 1;
    while (whole.get<std::uint8_t>(whole.slice(run) + of::state) != 3) ++run;
    const auto n_bytes = whole.slice(run) + of::n_bytes;
    for (const auto n : {bytes_of_region, std::uint64_t{1} << 40, most - 65535, most})
        set("longer than its region", n_bytes, n);
    set("does not belong to what begins before it", n_bytes, 6 * bytes_of_slice);
    set("in use, by nothing", n_bytes, 0UL);
    set("a block that ends behind the file", at::size,
        whole.heap() + 3 * bytes_of_region + 2 * bytes_of_slice);

    // Spans without an owner.
    const auto c = std::uint64_t{whole.get<std::uint8_t>(span + of::size_class)};
    const auto list = at::abandoned + c * 4;
    const auto astray = "class " + number(c) + ": the ring of spans without an owner leads astray";
    REQUIRE(whole.get(list) != 0);
    const auto head = whole.get(list);
    for (const auto index :
         {1U, static_cast<std::uint32_t>(wide) + 1, static_cast<std::uint32_t>(wide) + 2,
          static_cast<std::uint32_t>(run) + 1, 511U, 512U, 513U, 4 * 512 + 2U, 5 * 512 + 2U,
          0x7fffffffU, 0x80000000U, most32 - 1, most32}) {
        set(astray, list, index);
        set(astray, whole.slice(head - 1) + of::next, index);
    }
    set(astray, whole.slice(head - 1) + of::owner, 0x80000800U);
    set(" leads astray", at::abandoned + (c + 1) * 4, head); // in two lists, and of the other class

    // Names.
    const auto table = whole.table();
    const auto n_slots = whole.get<std::uint64_t>(table);
    for (const auto offset :
         {1UL, 4UL, table + 1, table + 4, whole.heap() - 8, whole.n_bytes(), whole.n_bytes() - 24,
          whole.n_bytes() - 32, std::uint64_t{1} << 63, most - 31, most - 7, most})
        set("the table of names does not lie in the heap", at::root, offset);
    for (const auto n : {0UL, 3UL, n_slots + 1, std::uint64_t{1} << 30, std::uint64_t{1} << 40,
                         std::uint64_t{1} << 41, std::uint64_t{1} << 60, std::uint64_t{1} << 61,
                         std::uint64_t{1} << 63, most})
        set("the table of names does not lie in the heap", table, n);
    set("the table of names counts fewer than there are", table + 8, 0UL);
    set("the table of names counts fewer than there are", table + 8, 39UL);
    const auto slot = whole.slot_of("name 7");
    const auto node = whole.node_of("name 7");
    const auto kept = whole.get<std::uint64_t>(slot);
    const auto offsets = segment_specimen::offsets_in_slots;
    for (const auto offset :
         {2UL, 7UL, 8UL, node + 1, node + 4, whole.heap() - 64, whole.n_bytes() - 56,
          whole.n_bytes() - 64, whole.n_bytes(), most - 63, most - 7, most}) {
        set(" of the table is none", slot, offset);
        set(" of the table is none", slot, (offset & offsets) | (kept & ~offsets));
    }
    set(" of the table is none", slot, node); // without its hash
    set("'words' is there twice", slot, whole.get<std::uint64_t>(whole.slot_of("words")));
    for (std::uint64_t i = 0; i < 2; ++i) // beyond an empty slot, or round the end
        all.push_back(
            {"name 7 elsewhere",
             [=](segment_specimen& of) {
                 of.put(slot, std::uint64_t{0});
                 auto other = slot;
                 do other = table + 32 + (other - table - 32 + 8) % (n_slots * 8);
                 while (of.get<std::uint64_t>(other) != 0);
                 of.put(i == 0 ? other : slot, kept);
                 if (i == 1) of.put(node, of.get<std::uint64_t>(node) + 1);
             },
             told(i == 0 ? "'name 7' is not found under its name" : " of the table is none")});
    const auto hash = node;
    set(" of the table is none", hash, 0UL);
    for (const auto n : {5U, 7U, 65535U, 65536U, most32 - 1, most32})
        set(" of the table is none", node + 56, n);
    for (const auto n : {65536U, most32}) set(" of the table is none", node + 60, n);
    for (const auto offset : {0UL, 4096UL, whole.heap() - 4, whole.n_bytes() - 3, whole.n_bytes(),
                              std::uint64_t{1} << 63, most - 3, most})
        set("'name 7' does not lie in the heap", node + 16, offset);
    for (const auto n :
         {std::uint64_t{1} << 40, std::uint64_t{1} << 62, std::uint64_t{1} << 63, most}) {
        set("'name 7' does not lie in the heap", node + 24, n);
        set("'name 7' does not lie in the heap", node + 32, n);
    }
    for (const auto n : {0U, 3U, 0x80000000U, most32}) set("'name 7' is not aligned", node + 40, n);
    survives(whole, all);
}

TEST_CASE("what is found is an object of that type that lies in the file, or else an error") {
    segment_specimen whole(left::closed);
    const auto node = whole.node_of("name 7");
    struct change {
        std::uint64_t field;
        std::uint64_t value;
        errc code;
    };
    const change all[] = {{8, 0, errc::other_type},
                          {8, most, errc::other_type},
                          {16, 0, errc::damaged},
                          {16, whole.heap() - 4, errc::damaged},
                          {16, whole.get<std::uint64_t>(node + 16) + 2, errc::damaged},
                          {16, whole.n_bytes() - 3, errc::damaged},
                          {16, whole.n_bytes() + 4096, errc::damaged},
                          {16, most, errc::damaged},
                          {24, 0, errc::damaged},
                          {24, 2, errc::damaged},
                          {24, std::uint64_t{1} << 62, errc::damaged},
                          {24, most, errc::damaged},
                          {32, 0, errc::other_type},
                          {32, 8, errc::other_type},
                          {32, most, errc::other_type},
                          {40, 0, errc::other_type},
                          {40, 8, errc::other_type},
                          {40, most, errc::other_type}};
    survives(
        static_cast<long>(std::size(all)),
        [&](long i) {
            const auto& one = all[i];
            for (const auto how : {read_only, read_write}) {
                whole.mend();
                whole.put(node + one.field, one.value);
                const auto in = segment::open(mmstl::borrowed_fd(whole.fd()), {.access = how});
                expect(error_of([&] { (void)in.find<const int>("name 7"); }).code ==
                           make_error_code(one.code),
                       "the error");
                expect(*in.find<const int>("name 8") == 8, "the others are there");
            }
        },
        [&](long i) { return number(all[i].field) + " = " + number(all[i].value); });

    // Of an array, the length is what the file says, as far as it has so much.
    const auto array = whole.node_of("array");
    survives(
        4,
        [&](long i) {
            const std::uint64_t n[] = {whole.n_bytes() / 8, std::uint64_t{1} << 61,
                                       (std::uint64_t{1} << 61) + 100, most};
            whole.mend();
            whole.put(array + 24, n[i]);
            const auto in = segment::open(mmstl::borrowed_fd(whole.fd()));
            expect(error_of([&] { (void)in.find<const std::uint64_t[]>("array"); }).code ==
                       make_error_code(errc::damaged),
                   "the error");
        },
        [](long i) { return "length " + number(i); });
}

TEST_CASE("a constructor that runs in a thread that cannot be is waited for no longer") {
    segment_specimen whole(left::closed);
    const auto node = whole.node_of("name 7");
    const std::uint32_t threads[] = {0, 1, most32, most32 - 1, 257, 65536};
    survives(
        static_cast<long>(std::size(threads)),
        [&](long i) {
            whole.mend();
            whole.put(node + 48, 1U);                                            // it runs
            whole.put(node + 52, 0x80000000U | 2047U);                           // in that thread,
            whole.put(at::threads + 2047 * 8, threads[i] == 1 ? 0 : threads[i]); // of that process
            auto in = segment::open(mmstl::borrowed_fd(whole.fd()));
            expect(in.find<int>("name 7") == nullptr, "not yet");
            expect(in.find_or_construct<int>("name 7", 8) == 8, "made anew");
        },
        [&](long i) { return "process " + number(threads[i]); });
}

// ---- as long as it takes ----

namespace {

/// As many regions as there can be, or as this machine has addresses for.
segment largest_segment(int fd) {
    for (std::uint64_t capacity = std::uint64_t{8} << 40;; capacity /= 2) {
        std::error_code ec;
        auto made = segment::open_or_create(
            mmstl::borrowed_fd(fd),
            {.capacity_bytes = capacity, .allocation = mmstl::allocation::sparse}, ec);
        if (!ec) return made;
        expect(ec == std::errc::not_enough_memory, ec.message());
    }
}

template <class T> void store(int fd, std::uint64_t offset, const std::vector<T>& all) {
    const auto n = all.size() * sizeof(T);
    expect(::pwrite(fd, all.data(), n, static_cast<::off_t>(offset)) == static_cast<ssize_t>(n),
           "pwrite");
}

/// Opens, asks and closes in the time that the watchdog gives.
void ask_soon(int fd) {
    for (const auto how : {read_only, read_write}) {
        set_watchdog();
        expect(!ask_segment(fd, how, unclean_segment::check).refused, "open");
    }
}

} // namespace

TEST_CASE("what is said of many regions is read once") {
    check_in_child([] {
        const int fd = ::memfd_create("many", MFD_CLOEXEC);
        auto made = largest_segment(fd);
        made.construct<int>("one", 1);
        const auto n = made.capacity_bytes() / bytes_of_region;
        made.close();
        std::vector<std::uint64_t> words(n);
        for (std::uint64_t i = 0; i < n; ++i)
            words[i] = (n - i) * bytes_of_region << 8 | 2; // each begins what takes all the rest
        store(fd, at::directory, words);
        ask_soon(fd);
        for (std::uint64_t i = 0; i < n; ++i) words[i] = std::uint64_t{512} << 8 | 1;
        store(fd, at::directory, words);
        ask_soon(fd);
        std::vector<std::uint32_t> records(256 * 4, 1); // all processes were killed
        store(fd, at::processes, records);
        ask_soon(fd);
    });
}

TEST_CASE("a ring of spans that leads back too early is followed once, of each class") {
    check_in_child([] {
        const int fd = ::memfd_create("many", MFD_CLOEXEC);
        auto made = largest_segment(fd);
        // A block of each class keeps its span from being given back.
        for (std::size_t n = 8; n <= 65536; n += std::max<std::size_t>(8, n / 9))
            (void)made.allocator<char>().allocate(n);
        const auto in_front = made.offset_of(made.base_address());
        made.close();
        int n_lists = 0;
        for (std::uint64_t c = 0; c < 88; ++c) {
            std::uint32_t head = 0;
            expect(::pread(fd, &head, 4, static_cast<::off_t>(at::abandoned + c * 4)) == 4);
            if (head == 0) continue;
            store(fd, in_front + (head - 1) * bytes_of_description + of::next,
                  std::vector<std::uint32_t>{head});
            ++n_lists;
        }
        expect(n_lists > 60, "lists");
        ask_soon(fd);
    });
}

TEST_CASE("a table that has one long name a million times is answered at once") {
    check_in_child([] {
        constexpr std::uint64_t n_slots = std::uint64_t{1} << 20;
        const int fd = ::memfd_create("many", MFD_CLOEXEC);
        auto made = segment::open_or_create(mmstl::borrowed_fd(fd));
        made.construct<int>(std::string(65'535, 'n'), 1);
        const auto table = made.construct<std::uint64_t[]>("table", n_slots + 4, 0U);
        const auto offset = made.offset_of(table.data());
        made.close();
        std::vector<std::uint64_t> words(static_cast<std::size_t>(n_slots) + 4);
        std::uint64_t root = 0;
        expect(::pread(fd, &root, 8, at::root) == 8, "pread");
        std::vector<std::uint64_t> old(4 + 16);
        expect(::pread(fd, old.data(), old.size() * 8, static_cast<::off_t>(root)) ==
                   static_cast<ssize_t>(old.size() * 8),
               "pread");
        for (std::size_t i = 4; i < old.size(); ++i) {
            if (old[i] == 0) continue;
            std::fill(words.begin(), words.end(), old[i]);
            words[0] = words[1] = n_slots;
            words[2] = 0;
            store(fd, offset, words);
            store(fd, at::root, std::vector<std::uint64_t>{offset});
            ask_soon(fd);
        }
    });
}

// ---- at random ----

namespace {

/// Flips bits, and stores what programs stumble over, in a few places.
void damage_at_random(segment_specimen& of, std::uint64_t seed) {
    std::mt19937_64 dice(seed);
    const auto& ranges = of.metadata();
    if (dice() % 4 == 0) of.make_unclean();
    bool is_sealed = false;
    for (auto n = 1 + dice() % 8; n != 0; --n) {
        // Each kind of range as often as another, of which there may be more.
        const auto& range =
            dice() % 8 == 0 ? ranges[dice() % ranges.size()] : ranges[dice() % 17 % ranges.size()];
        const auto offset = range.first + dice() % range.n_bytes;
        is_sealed = is_sealed || range.first == 0;
        switch (dice() % 4) {
        case 0:
        case 1: of.put(offset, static_cast<char>(of.get<char>(offset) ^ 1 << dice() % 8)); break;
        case 2: {
            const std::uint32_t values[] = {
                0, 1, 2, 0x80000000U, most32, most32 - 1, static_cast<std::uint32_t>(dice()), 512};
            of.put(offset / 4 * 4, values[dice() % std::size(values)]);
            break;
        }
        default: {
            // What belongs elsewhere: an index, an offset, a link.
            const auto& other = ranges[dice() % ranges.size()];
            of.put(offset / 8 * 8,
                   of.get<std::uint64_t>((other.first + dice() % other.n_bytes) / 8 * 8));
        }
        }
    }
    if (is_sealed && dice() % 4 != 0) of.seal();
}

} // namespace

TEST_CASE("whatever bits flip in the metadata, there is an answer") {
    const auto n = std::max(10'000L, soaked(1000));
    const auto seed = static_cast<std::uint64_t>(std::random_device()());
    for (const auto how : {left::closed, left::killed}) {
        segment_specimen whole(how);
        survives(
            n / 2,
            [&](long i) {
                ask_in_every_way(whole, [&](segment_specimen& of) {
                    damage_at_random(of, seed + static_cast<std::uint64_t>(i));
                });
            },
            [&](long i) { return "seed " + number(seed + static_cast<std::uint64_t>(i)); });
        CHECK(whole.is_whole());
    }
}
