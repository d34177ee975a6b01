// SPDX-License-Identifier: MIT
//
// What a segment does about those who have died in it, and about a restart of the machine.

#include "support/catch.hpp"
#include "support/checks.hpp"
#include "support/contents.hpp"
#include "support/in_child.hpp"

#include <mmstl/containers.hpp>
#include <mmstl/segment.hpp>
#include <mmstl/sync.hpp>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

using namespace support;
using mmstl::segment;
using mmstl::segment_options;

namespace heap = mmstl::detail::heap;

namespace {

constexpr std::uint64_t MiB = std::uint64_t{1} << 20;
constexpr segment_options little{.capacity_bytes = 64 * MiB};

heap::shared_heap& heap_of(const segment& in) {
    auto* const base = static_cast<std::byte*>(const_cast<void*>(in.base_address()));
    return heap::heaps_of_this_process().find(base)->shared;
}
void* allocate(const segment& in, std::size_t n_bytes) {
    return in.allocator<char>().allocate(n_bytes);
}
void deallocate(const segment& in, void* p, std::size_t n_bytes) {
    in.allocator<char>().deallocate(static_cast<char*>(p), n_bytes);
}

} // namespace

TEST_CASE("who has closed a segment is not counted among those who have died in it") {
    auto in = segment::create(mmstl::anonymous(), little);
    CHECK(in_child([&] {
              deallocate(in, allocate(in, 10), 10);
              in.close();
          }).ok());
    CHECK(in.recover() == 0);
}

TEST_CASE("recover tells how many have died, and what they had is used again") {
    auto in = segment::create(mmstl::anonymous(), little);
    (void)allocate(in, 10);
    CHECK(in.recover() == 0);
    for (int i = 0; i < 3; ++i)
        CHECK(in_child([&] {
                  for (int k = 0; k < 100; ++k) deallocate(in, allocate(in, 5000), 5000);
                  ::raise(SIGKILL);
              }).signal == SIGKILL);
    const child alive([&] {
        (void)allocate(in, 10);
        for (;;) ::pause();
    });
    CHECK(in.recover() >= 1); // children bury each other, too
    CHECK(in.recover() == 0);
    CHECK(in.check().clean());
    segment closed;
    CHECK(error_of([&] { (void)closed.recover(); }).code == std::errc::bad_file_descriptor);
}

TEST_CASE("before a segment grows, the dead are looked for") {
    const auto n_bytes = GENERATE(std::size_t{5000}, std::size_t{70'000}, std::size_t{20 * MiB});
    INFO(n_bytes << " bytes at a time");
    const auto in = segment::create(mmstl::anonymous(), {.capacity_bytes = 512 * MiB});
    (void)allocate(in, 10);
    const std::size_t n = std::max<std::size_t>(4 * MiB / n_bytes, 1);
    std::uint64_t most = 0;
    for (int i = 0; i < 12; ++i) {
        CHECK(in_child([&] {
                  std::vector<void*> blocks;
                  for (std::size_t k = 0; k < n; ++k) blocks.push_back(allocate(in, n_bytes));
                  for (void* const one : blocks) deallocate(in, one, n_bytes);
                  ::raise(SIGKILL);
              }).signal == SIGKILL);
        std::vector<void*> blocks;
        for (std::size_t k = 0; k < n; ++k) blocks.push_back(allocate(in, n_bytes));
        for (void* const one : blocks) deallocate(in, one, n_bytes);
        if (i == 1) most = in.size_bytes();
        if (i > 1) CHECK(in.size_bytes() <= most);
    }
    CHECK(in.check().clean());
}

TEST_CASE("when a segment has grown, the dead have been buried") {
    const auto in = segment::create(mmstl::anonymous(), {.capacity_bytes = 512 * MiB});
    constexpr std::size_t n_bytes = 5000;
    (void)allocate(in, n_bytes);
    CHECK(in_child([&] {
              (void)allocate(in, n_bytes);
              ::raise(SIGKILL);
          }).signal == SIGKILL);
    const auto size = in.size_bytes();
    while (in.size_bytes() == size) (void)allocate(in, n_bytes);
    const auto n_processes = [&] {
        const auto& image = heap_of(in).in();
        std::size_t n = 0;
        for (std::size_t p = 0; p < heap::most_processes; ++p)
            n += image.process(p).is_there.load() != 0 ? 1U : 0U;
        return n;
    };
    CHECK(n_processes() == 1); // the dead one has been buried by then
}

TEST_CASE("a thread that cleans up behind the dead has the lock for the others of its process") {
    auto in = segment::create(mmstl::anonymous(), little);
    (void)allocate(in, 10);
    auto& shared = heap_of(in);
    auto& line = shared.in().locks().heap;
    CHECK(in_child([&] {
              (void)allocate(in, 10);
              line.word.store(shared.members().lock_word()); // dies with it
              ::raise(SIGKILL);
          }).signal == SIGKILL);
    std::atomic<bool> is_replaying{false};
    std::atomic<int> n_inside{0}, n_wrong{0};
    std::thread other([&] {
        while (!is_replaying) std::this_thread::yield();
        const heap::process_lock held(shared.in(), shared.members(), line,
                                      [&](heap::lock_line&) { ++n_wrong; });
        n_wrong += n_inside.load();
    });
    const auto replay = [&](heap::lock_line&) {
        ++n_inside;
        is_replaying = true;
        // Longer than others wait before they ask whether the holder lives.
        std::this_thread::sleep_for(std::chrono::milliseconds(60));
        --n_inside;
    };
    std::size_t n_dead = 0;
    const auto f = shared.members().bury_the_dead(
        shared.in(), replay, [](std::uint32_t) { return mmstl::detail::failure{}; }, n_dead);
    other.join();
    CHECK_FALSE(f.failed());
    CHECK(n_dead == 1);
    CHECK(n_wrong == 0);
}

TEST_CASE("a span that has become part of a huge block is not reclaimed") {
    const auto in = segment::create(mmstl::anonymous(), {.capacity_bytes = 256 * MiB});
    auto& shared = heap_of(in);
    // In a region that was divided, and is empty again.
    void* const small = allocate(in, 70'000);
    heap::span& was = *heap::slice_of(small);
    deallocate(in, small, 70'000);
    constexpr std::size_t n_bytes = 20 * MiB;
    auto* const huge = static_cast<unsigned char*>(allocate(in, n_bytes));
    REQUIRE(static_cast<void*>(huge) <= static_cast<void*>(&was));
    REQUIRE(static_cast<void*>(huge + n_bytes) > static_cast<void*>(&was));
    std::memset(huge, 0, n_bytes);
    was.state.set(heap::span_state::blocks); // as its user may well store
    const std::vector<unsigned char> before(huge, huge + heap::slice_bytes);
    shared.reclaim(was); // by who returned a block of it just before
    CHECK(std::vector<unsigned char>(huge, huge + heap::slice_bytes) == before);
    deallocate(in, huge, n_bytes);
}

namespace {

/// A file as it may be after a power cut: of the pages that tell who is there, none was written
/// since it was made; of the others all. The machine has been restarted.
void restart(const std::string& path, bool forgets_who_was_there) {
    auto bytes = read_file(path);
    if (forgets_who_was_there)
        bytes.replace(heap::locks_offset, heap::root_offset - heap::locks_offset,
                      heap::root_offset - heap::locks_offset, '\0');
    bytes.replace(512 + 72, 4, "0000"); // of the boot's id
    write_file(path, bytes);
}

} // namespace

TEST_CASE("after a restart nobody owns anything, and all that is freed is found again") {
    const bool forgets = GENERATE(false, true);
    INFO(forgets);
    const temporary_directory directory;
    const auto path = directory / "x";
    constexpr int n = 5000;
    CHECK(in_child([&] {
              auto in = segment::create(path, {.capacity_bytes = 256 * MiB});
              auto& all = in.construct<mmstl::vector<char*>>("all");
              std::thread([&] {
                  for (int i = 0; i < n; ++i) all.push_back(in.allocator<char>().allocate(400));
                  in.flush();
                  ::raise(SIGKILL);
              }).join();
          }).signal == SIGKILL);
    restart(path, forgets);
    auto in = segment::open(path, {.unclean = mmstl::unclean_segment::check});
    CHECK(in.check().clean());
    (void)allocate(in, 8);
    auto& all = *in.find<mmstl::vector<char*>>("all");
    CHECK(heap::slice_of(all[0])->owner.load() != heap::last_used->id);
    for (char* const one : all) deallocate(in, one, 400);
    CHECK(in.check().clean());
    const auto size = in.size_bytes();
    for (int i = 0; i < n; ++i) (void)allocate(in, 400);
    CHECK(in.size_bytes() == size);
    CHECK(in.check().clean());
}

TEST_CASE("after a restart, what a page says that is older than the rest is not finished") {
    const temporary_directory directory;
    const auto path = directory / "x";
    std::uint64_t offset = 0;
    {
        auto in = segment::create(path, {.capacity_bytes = 256 * MiB});
        offset = in.offset_of(in.construct<mmstl::vector<char>>("bytes", 70'000, 'x').data());
    }
    // The page of the locks came to the disk while the run was claimed, and not again.
    auto bytes = read_file(path);
    const std::uint32_t word = 1 | 1 << 16; // held by process 0
    bytes.replace(heap::locks_offset, sizeof word, reinterpret_cast<const char*>(&word),
                  sizeof word);
    heap::intent intent{};
    const auto slice = (offset - heap::heap_offset_for(8)) / heap::slice_bytes;
    intent.kind.set(static_cast<std::uint32_t>(heap::intent_kind::claim));
    intent.n_slices.set(2);
    intent.first.set(static_cast<std::uint32_t>(slice));
    std::memcpy(bytes.data() + heap::locks_offset + offsetof(heap::lock_line, intent), &intent,
                sizeof intent);
    const std::uint32_t there = 1;
    std::memcpy(bytes.data() + heap::processes_offset, &there, sizeof there);
    bytes.replace(512 + 72, 4, "0000");
    write_file(path, bytes);
    auto in = segment::open(path, {.unclean = mmstl::unclean_segment::check});
    auto& found = *in.find<mmstl::vector<char>>("bytes");
    std::vector<void*> others;
    for (int i = 0; i < 20; ++i) {
        others.push_back(allocate(in, 70'000));
        std::memset(others.back(), 'y', 70'000);
    }
    CHECK(std::vector<char>(found.begin(), found.end()) == std::vector<char>(70'000, 'x'));
    CHECK(in.check().clean());
}

TEST_CASE("after a restart, what was half done is free, and what is whole beside it is not") {
    const temporary_directory directory;
    const auto path = directory / "x";
    CHECK(in_child([&] {
              auto in = segment::create(path, {.capacity_bytes = 256 * MiB});
              const auto& bytes = in.construct<mmstl::vector<char>>("bytes", 70'000, 'x');
              auto& shared = heap_of(in);
              const auto& image = shared.in();
              const auto first = image.index_of(*heap::slice_of(bytes.data()));
              auto& lock = image.locks().heap;
              lock.word.store(shared.members().lock_word());
              // Two slices that something has, two of nothing, and one that only says it is in use: its
              // page is newer than that of the map.
              lock.intent.first.set(first);
              lock.intent.n_slices.set(5);
              lock.intent.kind.set(static_cast<std::uint32_t>(heap::intent_kind::claim));
              heap::slice_map(image.maps(0).used).set(first + 2, 2, true);
              image.span_at(first + 3).state.set(heap::span_state::more);
              image.span_at(first + 4).state.set(heap::span_state::more);
              ::raise(SIGKILL);
          }).signal == SIGKILL);
    restart(path, false);
    {
        const auto seen = segment::open(
            path, {.unclean = mmstl::unclean_segment::check, .access = mmstl::access::read_only});
        CHECK(seen.check().clean());
    }
    auto in = segment::open(path, {.unclean = mmstl::unclean_segment::check});
    CHECK(in.check().clean());
    const auto& found = *in.find<mmstl::vector<char>>("bytes");
    const auto& image = heap_of(in).in();
    const auto first = image.index_of(*heap::slice_of(found.data()));
    const heap::slice_map used(image.maps(0).used);
    CHECK(used.all(first, 2));
    CHECK(used.count(first + 2, 2) == 0);
    std::memset(allocate(in, 128 * 1024), 'y', 128 * 1024);
    CHECK(std::vector<char>(found.begin(), found.end()) == std::vector<char>(70'000, 'x'));
    CHECK(in.check().clean());
}

TEST_CASE("of those who open what a boot before has left, nobody looks while another one does") {
    const auto access = GENERATE(mmstl::access::read_write, mmstl::access::read_only);
    INFO((access == mmstl::access::read_only ? "a reader" : "a writer"));
    const temporary_directory directory;
    const auto path = directory / "x";
    CHECK(in_child([&] {
              (void)segment::create(path, little);
              ::raise(SIGKILL);
          }).signal == SIGKILL);
    restart(path, false);
    const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    REQUIRE(fd != -1);
    const auto kind_of_region = [&](unsigned char kind) {
        CHECK(::pwrite(fd, &kind, 1, heap::directory_offset) == 1);
    };
    auto first = std::make_optional<heap::opening_lock>(fd);
    kind_of_region(255); // as if it were in the middle of something
    child second([&] {
        (void)segment::open(path, {.unclean = mmstl::unclean_segment::check, .access = access});
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(200)); // it comes to where it waits
    kind_of_region(static_cast<unsigned char>(heap::region_kind::unused));
    first.reset();
    const auto result = second.wait();
    INFO(result);
    CHECK(result.ok());
    ::close(fd);
}

TEST_CASE("after a restart, a mutex and a name that someone had are nobody's") {
    const bool forgets = GENERATE(false, true);
    INFO(forgets);
    const temporary_directory directory;
    const auto path = directory / "x";
    CHECK(in_child([&] {
              auto in = segment::create(path, little);
              in.construct<mmstl::robust_mutex>("mutex").lock();
              in.flush();
              ::raise(SIGKILL);
          }).signal == SIGKILL);
    restart(path, forgets);
    auto in = segment::open(path, {.unclean = mmstl::unclean_segment::check});
    auto& mutex = *in.find<mmstl::robust_mutex>("mutex");
    CHECK_THROWS_AS(mutex.lock(), mmstl::owner_died);
    CHECK(mutex.recover([] {}));
    mutex.lock();
    mutex.unlock();
}
