// SPDX-License-Identifier: MIT
//
// The test harness itself: each piece is seen to fail when it should.

#include "support/catch.hpp"
#include "support/fault.hpp"
#include "support/in_child.hpp"
#include "support/leaks.hpp"
#include "support/soak.hpp"
#include "support/step.hpp"
#include "support/temporary.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <set>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <unistd.h>

using namespace support;
using namespace std::chrono_literals;

namespace {

/// A `T` that forked children share.
template <class T> class shared {
public:
    shared()
        : at_(new (::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                          -1, 0)) T{}) {}
    shared(shared&& other) noexcept : at_(std::exchange(other.at_, nullptr)) {}
    shared& operator=(shared&&) = delete;
    ~shared() {
        if (at_ != nullptr) ::munmap(at_, sizeof(T));
    }
    T* operator->() const noexcept { return at_; }
    T& operator*() const noexcept { return *at_; }

private:
    T* at_;
};

void take_signal(int) {}

} // namespace

// ---- in_child ----

TEST_CASE("in_child reports the exit code") {
    CHECK(in_child([] {}).ok());
    CHECK(in_child([] { return 7; }).exit_code == 7);
    CHECK(in_child([] { ::_exit(9); }).exit_code == 9);
    CHECK_FALSE(in_child([] { return 7; }).ok());
}

TEST_CASE("in_child reports the signal that ended the child") {
    const auto aborted = in_child([] { std::abort(); });
    CHECK(aborted.signal == SIGABRT);
    CHECK_FALSE(aborted.ok());
    CHECK(in_child([] { ::raise(SIGBUS); }).signal == SIGBUS);
    CHECK(in_child([] {
              auto* const nowhere =
                  ::mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
              *static_cast<volatile char*>(nowhere) = 1;
          }).signal == SIGSEGV);
}

TEST_CASE("in_child carries the message of an exception to the parent") {
    const auto thrown = in_child([] { throw std::runtime_error("over there"); });
    CHECK(thrown.exit_code == exit_code_of_exception);
    CHECK(thrown.message == "over there");
    const auto expected = in_child([] { expect(1 > 2, "1 > 2"); });
    CHECK(expected.exit_code == exit_code_of_exception);
    CHECK_THAT(expected.message, contains_text("1 > 2"));
    CHECK(in_child([] { throw 3; }).exit_code ==
          exit_code_of_exception); // NOLINT(hicpp-exception-baseclass)
}

TEST_CASE("in_child kills a child that takes too long") {
    const auto hung = in_child(
        [] {
            for (;;) ::pause();
        },
        50ms);
    CHECK(hung.timed_out);
    CHECK(hung.signal == SIGKILL);
    CHECK_FALSE(hung.ok());
}

TEST_CASE("in_child does not run what the parent has registered for its own end") {
    static const shared<std::atomic<int>> runs;
    std::atexit([] { ++*runs; });
    CHECK(in_child([] {}).ok());
    CHECK(*runs == 0);
}

TEST_CASE("a child runs beside its parent, can be killed, and is killed with its object") {
    const shared<std::atomic<int>> ping;
    child other([&] {
        while (*ping != 1) std::this_thread::sleep_for(1ms);
        *ping = 2;
        for (;;) ::pause();
    });
    *ping = 1;
    while (*ping != 2) std::this_thread::sleep_for(1ms);
    other.kill(SIGTERM);
    CHECK(other.wait().signal == SIGTERM);
    ::pid_t pid = 0;
    {
        const child forgotten([] {
            for (;;) ::pause();
        });
        pid = forgotten.pid();
    }
    CHECK(::kill(pid, 0) == -1);
}

// ---- temporary files ----

TEST_CASE("a temporary directory is empty at first and gone at the end") {
    std::string path;
    {
        const temporary_directory directory;
        path = directory / "x";
        CHECK(std::filesystem::is_empty(directory.path()));
        write_file(path, std::vector<std::uint32_t>{1, 2, 3});
        CHECK(read_file(path).size() == 12);
        CHECK(read_file_of<std::uint32_t>(path) == std::vector<std::uint32_t>{1, 2, 3});
        write_file(path, "four");
        CHECK(read_file(path) == "four");
    }
    CHECK_FALSE(std::filesystem::exists(path));
    CHECK_THROWS(read_file(path));
}

TEST_CASE("names for shared memory differ, and are unlinked by the process that made them alone") {
    std::string text;
    {
        const shared_memory_name one;
        const shared_memory_name other;
        text = one.text();
        CHECK(text != other.text());
        ::close(::shm_open(text.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600));
        CHECK(in_child([&] { delete new shared_memory_name; }).ok());
        CHECK(std::filesystem::exists("/dev/shm" + text));
    }
    CHECK_FALSE(std::filesystem::exists("/dev/shm" + text));
}

// ---- leaks ----

TEST_CASE("the leak check names a descriptor that was left open") {
    const auto before = holdings::now();
    CHECK(holdings::now().beyond(before) == "");
    const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK_THAT(holdings::now().beyond(before),
               contains_text("descriptor") && contains_text("/dev/null"));
    ::close(fd);
    CHECK(holdings::now().beyond(before) == "");
}

TEST_CASE("the leak check sees another file under an old descriptor") {
    const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    const auto before = holdings::now();
    const int zero = ::open("/dev/zero", O_RDONLY | O_CLOEXEC);
    ::dup2(zero, fd);
    ::close(zero);
    CHECK_THAT(holdings::now().beyond(before), contains_text("/dev/zero"));
    ::close(fd);
}

TEST_CASE("the leak check names a mapping that was left behind") {
    const temporary_directory directory;
    write_file(directory / "mapped", "some bytes");
    const auto before = holdings::now();
    const int fd = ::open((directory / "mapped").c_str(), O_RDONLY | O_CLOEXEC);
    const auto protection = GENERATE(PROT_NONE, PROT_READ);
    const auto sharing = GENERATE(MAP_SHARED, MAP_PRIVATE);
    void* const at = ::mmap(nullptr, 4096, protection, sharing, fd, 0);
    ::close(fd);
    CHECK_THAT(holdings::now().beyond(before),
               contains_text("mapping") && contains_text("/mapped"));
    ::munmap(at, 4096);
    CHECK(holdings::now().beyond(before) == "");
}

TEST_CASE("the leak check sees memory files and shared anonymous memory") {
    const auto before = holdings::now();
    const int fd = ::memfd_create("kept", MFD_CLOEXEC);
    CHECK(::ftruncate(fd, 4096) == 0);
    void* const file = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd, 0);
    ::close(fd);
    CHECK_THAT(holdings::now().beyond(before), contains_text("memfd:kept"));
    ::munmap(file, 4096);
    void* const memory = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK_THAT(holdings::now().beyond(before), contains_text("/dev/zero"));
    ::munmap(memory, 4096);
    CHECK(holdings::now().beyond(before) == "");
}

TEST_CASE("the leak check sees a reservation without a file, but not a heap that grows") {
    if (MMSTL_TESTS_SANITIZED) return; // their own shadows come and go
    const auto before = holdings::now();
    const std::vector<char> heap(8 << 20, 'x');
    CHECK(holdings::now().beyond(before) == "");
    void* const at =
        ::mmap(nullptr, 1 << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK_THAT(holdings::now().beyond(before), contains_text("private memory"));
    ::munmap(at, 1 << 30);
}

// ---- fault injection ----

TEST_CASE("the n-th call fails with the error asked for, and only that one") {
    fault::fail armed(fault::call::memfd_create, 2, EMFILE);
    const int first = ::memfd_create("first", MFD_CLOEXEC);
    CHECK(first >= 0);
    CHECK_FALSE(armed.hit());
    errno = 0;
    CHECK(::memfd_create("second", MFD_CLOEXEC) == -1);
    CHECK(errno == EMFILE);
    CHECK(armed.hit() == fault::call::memfd_create);
    const int third = ::memfd_create("third", MFD_CLOEXEC);
    CHECK(third >= 0);
    CHECK(armed.count(fault::call::memfd_create) == 3);
    ::close(first);
    ::close(third);
}

TEST_CASE("nothing fails after the scope, nor in another thread") {
    {
        const fault::fail armed(1, EIO);
        std::thread([] {
            struct ::stat status {};
            CHECK(::stat("/", &status) == 0);
        }).join();
        CHECK_FALSE(armed.hit());
    }
    struct ::stat status {};
    CHECK(::stat("/", &status) == 0);
}

TEST_CASE("of nested watches each can disturb a call of its own, and all count") {
    fault::fail outer(fault::call::fsync, 1, EIO);
    {
        fault::fail inner(fault::call::fdatasync, 1, ENOSPC);
        CHECK((::fdatasync(0) == -1 && errno == ENOSPC));
        CHECK((::fsync(0) == -1 && errno == EIO));
        CHECK(inner.records().size() == 2);
    }
    CHECK(outer.hit() == fault::call::fsync);
    CHECK(outer.records().size() == 2);
}

TEST_CASE("every call of the list can be made to fail") {
    const auto fails = [](fault::call which, auto make) {
        INFO(fault::name_of(which));
        const fault::fail armed(which, 1, EXDEV);
        errno = 0;
        CHECK(make());
        CHECK(errno == EXDEV);
        CHECK(armed.hit() == which);
    };
    using enum fault::call;
    char bytes[16] = {};
    struct ::stat status {};
    struct ::statfs system {};
    ::rlimit limit{};
    ::iovec one{bytes, 1};
    unsigned char resident = 0;
    char name[] = "/nowhere/XXXXXX";
    const int none = ::dup(0); // closed below, by the call that is said to fail
    fails(open, [] { return ::open("/", O_RDONLY) == -1; });
    fails(openat, [] { return ::openat(AT_FDCWD, "/", O_RDONLY) == -1; });
    fails(fcntl, [] { return ::fcntl(0, F_GETFD) == -1; });
    fails(mremap,
          [] { return ::mremap(nullptr, 0, 0, 0) == MAP_FAILED; }); // NOLINT: the macro casts
    fails(close, [&] { return ::close(none) == -1; });
    fails(fstat, [&] { return ::fstat(0, &status) == -1; });
    fails(stat, [&] { return ::stat("/", &status) == -1; });
    fails(fstatfs, [&] { return ::fstatfs(0, &system) == -1; });
    fails(ftruncate, [] { return ::ftruncate(-1, 0) == -1; });
    fails(fallocate, [] { return ::fallocate(-1, 0, 0, 1) == -1; });
    fails(mmap, [] {
        return ::mmap(nullptr, 1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
    }); // NOLINT
    fails(munmap, [] {
        void* const at = ::mmap(nullptr, 1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return ::munmap(at, 1) == -1;
    });
    fails(mprotect, [] { return ::mprotect(nullptr, 0, 0) == -1; });
    fails(msync, [] { return ::msync(nullptr, 0, MS_ASYNC) == -1; });
    fails(madvise, [] { return ::madvise(nullptr, 0, MADV_NORMAL) == -1; });
    fails(mincore, [&] { return ::mincore(nullptr, 0, &resident) == -1; });
    fails(mlock, [&] { return ::mlock(bytes, 1) == -1; });
    fails(mlock2, [&] { return ::mlock2(bytes, 1, 0) == -1; });
    fails(munlock, [&] { return ::munlock(bytes, 1) == -1; });
    fails(shm_open, [] { return ::shm_open("/mmstl-test-none", O_RDONLY, 0) == -1; });
    fails(shm_unlink, [] { return ::shm_unlink("/mmstl-test-none") == -1; });
    fails(memfd_create, [] { return ::memfd_create("none", 0) == -1; });
    fails(fsync, [] { return ::fsync(0) == -1; });
    fails(fdatasync, [] { return ::fdatasync(0) == -1; });
    fails(unlink, [] { return ::unlink("/nowhere/none") == -1; });
    fails(linkat, [] { return ::linkat(0, "", 0, "", 0) == -1; });
    fails(mkostemp, [&] { return ::mkostemp(name, O_CLOEXEC) == -1; });
    fails(read, [&] { return ::read(-1, bytes, 1) == -1; });
    fails(pread, [&] { return ::pread(-1, bytes, 1, 0) == -1; });
    fails(write, [&] { return ::write(-1, bytes, 1) == -1; });
    fails(pwrite, [&] { return ::pwrite(-1, bytes, 1, 0) == -1; });
    fails(lseek, [] { return ::lseek(-1, 0, SEEK_SET) == -1; });
    fails(getrlimit, [&] { return ::getrlimit(RLIMIT_CORE, &limit) == -1; });
    fails(process_vm_readv,
          [&] { return ::process_vm_readv(::getpid(), &one, 1, &one, 1, 0) == -1; });
}

TEST_CASE("a close that is made to fail has closed all the same") {
    const auto before = holdings::now();
    const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    {
        const fault::fail armed(fault::call::close, 1, EIO);
        CHECK(::close(fd) == -1);
    }
    CHECK(holdings::now().beyond(before) == "");
}

TEST_CASE("a call without failure does what it does without a watch") {
    const temporary_directory directory;
    const fault::watch watching;
    const auto old = ::umask(0);
    const int fd = ::open((directory / "made").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0640);
    ::umask(old);
    struct ::stat status {};
    CHECK(::fstat(fd, &status) == 0);
    CHECK((status.st_mode & 0777U) == 0640U); // the variadic mode arrived
    CHECK(::ftruncate(fd, (off_t{5} << 32) + 3) == 0);
    CHECK(::lseek(fd, 0, SEEK_END) == (off_t{5} << 32) + 3);
    CHECK(::fcntl(fd, F_SETFD, 0) == 0);
    CHECK(::fcntl(fd, F_GETFD) == 0);
    ::close(fd);
    REQUIRE(watching.records().size() >= 6);
    CHECK(watching.records().front().which == fault::call::open);
    CHECK(watching.records()[2].which == fault::call::ftruncate);
    CHECK(watching.records()[2].arguments[1] == (std::uint64_t{5} << 32) + 3);
    CHECK(watching.count(fault::call::fcntl) == 2);
}

TEST_CASE("a read can be cut short") {
    const temporary_directory directory;
    write_file(directory / "ten", "0123456789");
    const int fd = ::open((directory / "ten").c_str(), O_RDONLY | O_CLOEXEC);
    char bytes[10] = {};
    {
        const fault::shorten armed(fault::call::pread, 1);
        CHECK(::pread(fd, bytes, sizeof bytes, 0) == 5);
        CHECK(::pread(fd, bytes, sizeof bytes, 0) == 10);
    }
    ::close(fd);
}

TEST_CASE("for_each_failure fails each call once, in order, and ends with a success") {
    std::vector<fault::call> failed;
    int runs = 0;
    const auto operation = [&] {
        ++runs;
        const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (fd == -1) throw std::runtime_error("open");
        struct ::stat status {};
        const bool known = ::fstat(fd, &status) == 0;
        const bool closed = ::close(fd) == 0;
        if (!known || !closed) throw std::runtime_error("fstat or close");
    };
    const long n = fault::for_each_failure(operation, EIO, [&](const fault::outcome& result) {
        failed.push_back(result.which);
        CHECK(result.exception != nullptr);
    });
    CHECK(n == 3);
    CHECK(runs == 4);
    CHECK(failed == std::vector{fault::call::open, fault::call::fstat, fault::call::close});
}

TEST_CASE("for_each_failure tells of an operation that does not notice") {
    int unnoticed = 0;
    fault::for_each_failure(
        [] { (void)::fsync(0); }, EIO,
        [&](const fault::outcome& result) { unnoticed += result.exception == nullptr; });
    CHECK(unnoticed == 1);
}

TEST_CASE("for_each_failure does not hide an operation that fails by itself") {
    CHECK_THROWS_AS(
        fault::for_each_failure([] { throw std::logic_error("always"); }, EIO, [](const auto&) {}),
        std::logic_error);
}

// ---- single stepping ----

TEST_CASE("single_step counts the instructions of an operation") {
    const auto empty = single_step([] {});
    if (!empty.allowed) return skip_loudly("ptrace is not allowed here");
    const auto longer = single_step([] {
        for (volatile int i = 0; i < 1000;) i = i + 1;
    });
    CHECK(empty.steps > 0);
    CHECK(longer.steps >= empty.steps + 3000);
}

TEST_CASE("killing at every instruction sees each state that a sequence of stores goes through, "
          "and no other") {
    struct pair {
        std::atomic<int> first{0};
        std::atomic<int> second{0};
    };
    std::set<std::pair<int, int>> seen;
    const auto report = kill_at_every_instruction(
        "two stores", [] { return shared<pair>(); },
        [](const shared<pair>& at) {
            at->first = 1;
            at->second = 2;
        },
        [&](const shared<pair>& at, long) { seen.emplace(at->first, at->second); });
    if (!report.allowed) return;
    const std::set<std::pair<int, int>> possible{{0, 0}, {1, 0}, {1, 2}};
    CHECK(std::ranges::includes(possible, seen));
    CHECK(seen.contains({0, 0}));
    CHECK(seen.contains({1, 2}));
    if (!report.all) return; // a sanitizer is not stepped through
    CHECK(report.kills == report.steps + 1);
    CHECK(seen == possible);
}

TEST_CASE("a long operation is sampled, from its beginning to its end") {
    if (MMSTL_TESTS_SANITIZED) return skip_loudly("a sanitizer is not stepped through");
    std::vector<long> killed_at;
    const auto report = kill_at_every_instruction(
        "a loop, sampled", [] { return 0; },
        [](int) {
            for (volatile int i = 0; i < 2000;) i = i + 1;
        },
        [&](int, long k) { killed_at.push_back(k); }, 100'000 / soak_scale());
    if (!report.allowed) return;
    CHECK(report.kills < report.steps / 4);
    CHECK(killed_at.at(1) == 0);
    CHECK(killed_at.back() == report.steps);
}

TEST_CASE("a stepped child is taken straight to each place that a walk has noted") {
    if (!stepped_child::knows_places) return skip_loudly("it is not known where a child is, here");
    if (MMSTL_TESTS_SANITIZED) return skip_loudly("a sanitizer is not stepped through");
    const auto operation = [] {
        for (volatile int i = 0; i < 20;) i = i + 1;
    };
    std::vector<std::uintptr_t> instructions;
    std::vector<place> places;
    long n_stops = 0; // on the ways to all of them
    stepped_child walker(operation);
    if (walker.now() == stepped_child::state::refused)
        return skip_loudly("ptrace is not allowed here");
    route so_far;
    for (;; walker.step()) {
        instructions.push_back(walker.next());
        places.push_back(so_far.to(walker.next()));
        n_stops += 2 * places.back().nth + places.back().then;
        if (walker.now() != stepped_child::state::inside) break;
    }
    const auto n = static_cast<long>(places.size());
    CHECK(n_stops < n * n / 8);
    for (std::size_t k = 0; k < places.size(); k += places.size() / 300 + 1) {
        INFO("place " << k << " of " << n);
        stepped_child child(operation);
        CHECK(child.run_to(places[k]));
        CHECK(child.next() == instructions[k]);
    }
    stepped_child child(operation);
    child.run_to_end();
    CHECK(child.now() == stepped_child::state::at_end);
}

TEST_CASE("an operation that is to be stepped through may have had children before") {
    stepped_child walker([] {}, [] { expect(in_child([] {}).ok()); });
    if (walker.now() == stepped_child::state::refused)
        return skip_loudly("ptrace is not allowed here");
    long n_steps = 0;
    for (; walker.now() == stepped_child::state::inside; ++n_steps) walker.step();
    CHECK(walker.now() == stepped_child::state::at_end);
    if (!MMSTL_TESTS_SANITIZED) CHECK(n_steps <= single_step([] {}).steps + 10);
    const stepped_child failing([] {}, [] { expect(false); });
    CHECK(failing.now() == stepped_child::state::dead);
}

TEST_CASE("a signal inside a stepped operation is delivered to it") {
    const auto report = single_step([] {
        std::signal(SIGUSR1, take_signal);
        ::raise(SIGUSR1);
    });
    if (!report.allowed) return skip_loudly("ptrace is not allowed here");
    CHECK(report.steps > 0);
    stepped_child dying([] { std::abort(); });
    while (dying.now() == stepped_child::state::inside) dying.step();
    CHECK(dying.now() == stepped_child::state::dead);
}

// ---- soak ----

TEST_CASE("the soak scale is at least one and multiplies") {
    CHECK(soak_scale() >= 1);
    CHECK(soaked(10) == 10 * soak_scale());
}
