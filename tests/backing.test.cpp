// SPDX-License-Identifier: MIT
//
// backing.hpp: opening, creating, resizing, sealing and removing what bytes live in.

#include "support/catch.hpp"
#include "support/checks.hpp"
#include "support/fault.hpp"
#include "support/in_child.hpp"
#include "support/leaks.hpp"
#include "support/temporary.hpp"

#include <mmstl/backing.hpp>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

using namespace support;
using mmstl::allocation;
using mmstl::backing;
using mmstl::backing_handle;
using mmstl::errc;

namespace {

std::uint64_t allocated_bytes(const backing_handle& handle) {
    struct ::stat status {};
    expect(::fstat(handle.native_handle(), &status) == 0);
    return static_cast<std::uint64_t>(status.st_blocks) * 512;
}

unsigned permissions_of(const backing_handle& handle) {
    struct ::stat status {};
    REQUIRE(::fstat(handle.native_handle(), &status) == 0);
    return status.st_mode & 0777U;
}

/// Both forms of opening fail with `expected`, and leave nothing open.
void check_open_fails(const backing& what, mmstl::access wanted, const said& expected) {
    const leak_check guard;
    CHECK(error_of([&] { (void)what.open(wanted); }) == expected);
    std::error_code ec;
    CHECK_FALSE(what.open(wanted, ec).is_open());
    CHECK(ec == expected.code);
}

struct umask_of {
    explicit umask_of(::mode_t mask) : old(::umask(mask)) {}
    umask_of(const umask_of&) = delete;
    umask_of& operator=(const umask_of&) = delete;
    ~umask_of() { ::umask(old); }
    ::mode_t old;
};

} // namespace

// ---- descriptions ----

TEST_CASE("whatever spells a path converts to a backing") {
    STATIC_REQUIRE(std::is_convertible_v<const char*, backing>);
    STATIC_REQUIRE(std::is_convertible_v<const char(&)[6], backing>);
    STATIC_REQUIRE(std::is_convertible_v<std::string, backing>);
    STATIC_REQUIRE(std::is_convertible_v<std::string_view, backing>);
    STATIC_REQUIRE(std::is_convertible_v<std::filesystem::path, backing>);
    STATIC_REQUIRE_FALSE(std::is_convertible_v<int, backing>);
    STATIC_REQUIRE_FALSE(std::is_convertible_v<std::wstring, backing>);
    CHECK(backing("a.f32").name() == "a.f32");
    CHECK(backing(std::filesystem::path("d") / "a.f32").name() == "d/a.f32");
    CHECK(backing(std::string_view("a.f32x").substr(0, 5)).name() == "a.f32");
    const backing copy = backing("x"); // NOLINT(performance-unnecessary-copy-initialization)
    CHECK(backing(copy).name() == "x");
}

TEST_CASE("a backing that has no path says what it is") {
    CHECK(mmstl::anonymous().name() == "anonymous");
    CHECK(mmstl::borrowed_fd(3).name() == "fd 3");
    CHECK_THAT(mmstl::memory_file("label").name(), contains_text("label"));
}

TEST_CASE("a description makes no system call") {
    const fault::watch watching;
    const sample one(kind::file);
    const auto made = watching.records().size();
    {
        const backing all[] = {mmstl::file("a"),           mmstl::temporary_file("/"),
                               mmstl::shared_memory("/a"), mmstl::memory_file("a"),
                               mmstl::anonymous(),         mmstl::borrowed_fd(99)};
        CHECK(std::size(all) == 6);
    }
    CHECK(watching.records().size() == made);
}

// ---- opening ----

TEST_CASE("opening every backing gives a descriptor that exec closes, and closing gives it back") {
    const auto which = every_kind();
    INFO(which);
    const sample one(which);
    const auto where = one.backing_of(100);
    const leak_check guard;
    auto handle = where.open(mmstl::access::read_write);
    REQUIRE(handle.is_open());
    CHECK(handle.created() == is_fresh(which));
    CHECK(handle.size_bytes() == (is_fresh(which) ? 0 : 100));
    CHECK((::fcntl(handle.native_handle(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(handle.name() == where.name());
    handle.close();
    CHECK_FALSE(handle.is_open());
    CHECK(handle.native_handle() == -1);
    CHECK_NOTHROW(handle.close());
}

TEST_CASE("opening makes a descriptor for as much as was wanted") {
    const temporary_directory directory;
    write_file(directory / "x", "abc");
    const auto mode = [&](mmstl::access wanted) {
        return ::fcntl(backing(directory / "x").open(wanted).native_handle(), F_GETFL) & O_ACCMODE;
    };
    CHECK(mode(mmstl::access::read_write) == O_RDWR);
    CHECK(mode(mmstl::access::read_only) == O_RDONLY);
    CHECK(mode(mmstl::access::copy_on_write) == O_RDONLY);
    CHECK(mode(mmstl::access::none) == O_RDONLY);
    CHECK(mode(mmstl::access::execute) == O_RDONLY);
}

TEST_CASE("opening a missing file reports ENOENT with its path") {
    const temporary_directory directory;
    const auto path = directory / "missing";
    check_open_fails(path, mmstl::access::read_only, says(ENOENT, "open", path));
    check_open_fails(path, mmstl::access::read_write, says(ENOENT, "open", path));
    check_open_fails(directory / "no/such/dir", mmstl::access::read_only,
                     says(ENOENT, "open", directory / "no/such/dir"));
    check_open_fails("", mmstl::access::read_only, says(ENOENT, "open", ""));
    CHECK_FALSE(std::filesystem::exists(path));
    const shared_memory_name name;
    check_open_fails(mmstl::shared_memory(name.text()), mmstl::access::read_only,
                     says(ENOENT, "shm_open", name));
}

TEST_CASE("opening a directory reports EISDIR") {
    const temporary_directory directory;
    const auto path = directory.path().string();
    check_open_fails(path, mmstl::access::read_only, says(EISDIR, "open", path));
    check_open_fails(path, mmstl::access::read_write, says(EISDIR, "open", path));
}

TEST_CASE("opening a FIFO is refused at once, without waiting for its other end") {
    const temporary_directory directory;
    const auto path = directory / "fifo";
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    const bool at_once = check_in_child([&] {
        ::alarm(10);
        expect(error_of([&] { (void)backing(path).open(); }) ==
               says(errc::not_mappable, "open", path));
    });
    if (!at_once) return;
    check_open_fails(path, mmstl::access::read_only, says(errc::not_mappable, "open", path));
    check_open_fails(path, mmstl::access::read_write, says(errc::not_mappable, "open", path));
}

TEST_CASE("opening a character device is refused") {
    check_open_fails("/dev/null", mmstl::access::read_only,
                     says(errc::not_mappable, "open", "/dev/null"));
    check_open_fails("/dev/zero", mmstl::access::read_write,
                     says(errc::not_mappable, "open", "/dev/zero"));
}

TEST_CASE("opening a socket is refused") {
    const temporary_directory directory;
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ::sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const auto path = directory / "socket";
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    REQUIRE(::bind(fd, reinterpret_cast<const ::sockaddr*>(&address), sizeof address) == 0);
    check_open_fails(mmstl::borrowed_fd(fd), mmstl::access::read_only,
                     says(errc::not_mappable, "open", "fd " + std::to_string(fd)));
    check_open_fails(path, mmstl::access::read_only, says(errc::not_mappable, "open", path));
    ::close(fd);
}

TEST_CASE("opening a file without permission reports EACCES") {
    const temporary_directory directory;
    const auto path = directory / "secret";
    write_file(path, "abc");
    ::chmod(directory.path().c_str(), 0755);
    ::chmod(path.c_str(), 0444);
    check_in_child([&] {
        become_nobody();
        expect(backing(path).open().is_open());
        expect(error_of([&] { (void)backing(path).open(mmstl::access::read_write); }) ==
                   says(EACCES, "open", path),
               "write");
        expect(error_of([&] { (void)backing(directory / "new").create(); }) ==
                   says(EACCES, "open", directory / "new"),
               "create");
        expect(error_of([&] { backing(path).remove(); }) == says(EACCES, "unlink", path), "remove");
    });
    ::chmod(path.c_str(), 0);
    check_in_child([&] {
        become_nobody();
        expect(error_of([&] { (void)backing(path).open(); }) == says(EACCES, "open", path), "read");
    });
}

TEST_CASE("a path that the kernel does not take is its error") {
    const std::string endless(5000, 'x');
    check_open_fails(endless, mmstl::access::read_only, says(ENAMETOOLONG, "open", endless));
    const temporary_directory directory;
    const auto loop = directory / "loop";
    std::filesystem::create_symlink(loop, loop);
    check_open_fails(loop, mmstl::access::read_only, says(ELOOP, "open", loop));
    write_file(directory / "plain", "");
    check_open_fails(directory / "plain/x", mmstl::access::read_only,
                     says(ENOTDIR, "open", directory / "plain/x"));
}

TEST_CASE("a path with a NUL byte inside is refused, and not cut off there") {
    const temporary_directory directory;
    write_file(directory / "x", "abc");
    const auto path = (directory / "x") + std::string(1, '\0') + "y";
    check_open_fails(path, mmstl::access::read_only, says(errc::bad_name, "open", path));
    CHECK(error_of([&] { backing(path).remove(); }).code == errc::bad_name);
    CHECK(std::filesystem::exists(directory / "x"));
}

TEST_CASE("without a free descriptor, opening reports EMFILE") {
    const temporary_directory directory;
    write_file(directory / "x", "abc");
    check_in_child([&] {
        const ::rlimit none{3, 3};
        while (::dup(0) >= 0 && ::dup(0) < 10) {
        }
        expect(::setrlimit(RLIMIT_NOFILE, &none) == 0);
        expect(error_of([&] { (void)backing(directory / "x").open(); }) ==
                   says(EMFILE, "open", directory / "x"),
               "file");
        expect(error_of([&] { (void)mmstl::anonymous().open(); }) ==
                   says(EMFILE, "memfd_create", "anonymous"),
               "memfd");
        expect(error_of([&] { (void)mmstl::shared_memory("/x").create(); }) ==
                   says(EMFILE, "shm_open", "/x"),
               "shm");
    });
}

// ---- creating ----

TEST_CASE("create makes an empty object for reading and writing, and says so") {
    const auto which = every_kind();
    if (which == kind::borrowed_fd) return;
    INFO(which);
    const sample one(which);
    const leak_check guard;
    auto handle = one.backing().create();
    CHECK(handle.created());
    CHECK(handle.size_bytes() == 0);
    CHECK((::fcntl(handle.native_handle(), F_GETFL) & O_ACCMODE) == O_RDWR);
}

TEST_CASE("create refuses what exists, which stays as it is") {
    const temporary_directory directory;
    const auto path = directory / "x";
    write_file(path, "precious");
    const leak_check guard;
    CHECK(error_of([&] { (void)backing(path).create(); }) == says(EEXIST, "open", path));
    std::error_code ec;
    CHECK_FALSE(backing(path).create(ec).is_open());
    CHECK(ec == std::errc::file_exists);
    CHECK(read_file(path) == "precious");
    const shared_memory_name name;
    const auto first = mmstl::shared_memory(name.text()).create();
    CHECK(error_of([&] { (void)mmstl::shared_memory(name.text()).create(); }) ==
          says(EEXIST, "shm_open", name));
}

TEST_CASE("a borrowed descriptor cannot be created") {
    CHECK(error_of([] { (void)mmstl::borrowed_fd(0).create(); }).code == errc::no_name);
}

TEST_CASE("permissions of what is created respect the umask; shared memory is private by default") {
    const temporary_directory directory;
    {
        const umask_of mask(022);
        CHECK(permissions_of(backing(directory / "a").create()) == 0644U);
        CHECK(permissions_of(mmstl::file(directory / "b", {.permissions = 0600}).create()) ==
              0600U);
        const shared_memory_name name;
        CHECK(permissions_of(mmstl::shared_memory(name.text()).create()) == 0600U);
        const shared_memory_name open;
        CHECK(permissions_of(mmstl::shared_memory(open.text(), {.permissions = 0666}).create()) ==
              0644U);
    }
    const umask_of mask(077);
    CHECK(permissions_of(backing(directory / "c").create()) == 0600U);
    CHECK(permissions_of(backing(directory / "d").open_or_create()) == 0600U);
}

TEST_CASE("open_or_create says which of the two happened, and destroys nothing") {
    const auto which = GENERATE(kind::file, kind::shared_memory);
    INFO(which);
    const sample one(which);
    const leak_check guard;
    {
        auto first = one.backing().open_or_create();
        CHECK(first.created());
        first.resize(10);
    }
    const auto second = one.backing().open_or_create();
    CHECK_FALSE(second.created());
    CHECK(second.size_bytes() == 10);
    std::error_code ec = make_error_code(errc::no_name);
    CHECK_FALSE(one.backing().open_or_create(ec).created());
    CHECK_FALSE(ec);
}

TEST_CASE("of many processes that open_or_create, one creates") {
    const temporary_directory directory;
    for (int round = 0; round < 10; ++round) {
        const auto path = directory / std::to_string(round);
        std::vector<child> racers;
        for (int i = 0; i < 8; ++i)
            racers.emplace_back([&] { return backing(path).open_or_create().created() ? 1 : 0; });
        int created = 0;
        for (auto& racer : racers) created += racer.wait().exit_code;
        CHECK(created == 1);
    }
}

TEST_CASE("open_or_create of a link to nothing ends, with an error") {
    const temporary_directory directory;
    std::filesystem::create_symlink(directory / "nothing", directory / "link");
    check_in_child([&] {
        ::alarm(10);
        const auto error = error_of([&] { (void)backing(directory / "link").open_or_create(); });
        expect(error.code == std::errc::file_exists ||
               error.code == std::errc::no_such_file_or_directory);
        expect(error.path == directory / "link");
    });
}

TEST_CASE("a temporary file has no name, in the directory asked for or in $TMPDIR") {
    const temporary_directory directory;
    const leak_check guard;
    auto handle = mmstl::temporary_file(directory.path()).open();
    handle.resize(10);
    CHECK(std::filesystem::is_empty(directory.path()));
    struct ::stat here {
    }, there{};
    REQUIRE(::stat(directory.path().c_str(), &there) == 0);
    REQUIRE(::fstat(handle.native_handle(), &here) == 0);
    CHECK(here.st_dev == there.st_dev);
    CHECK(here.st_nlink == 0);
    check_in_child([&] {
        expect(::setenv("TMPDIR", directory.path().c_str(), 1) == 0);
        expect(mmstl::temporary_file().name() == directory.path());
        expect(mmstl::temporary_file().open().is_open());
    });
    check_open_fails(mmstl::temporary_file(directory / "no"), mmstl::access::read_write,
                     says(ENOENT, "open", directory / "no"));
}

TEST_CASE(
    "where the file system makes no nameless files, a temporary file loses its name at once") {
    const temporary_directory directory;
    {
        const fault::fail without(fault::call::open, 1, EOPNOTSUPP);
        auto handle = mmstl::temporary_file(directory.path()).open();
        CHECK(handle.is_open());
        CHECK((::fcntl(handle.native_handle(), F_GETFD) & FD_CLOEXEC) != 0);
        CHECK(std::filesystem::is_empty(directory.path()));
        handle.resize(10);
        CHECK(handle.size_bytes() == 10);
    }
}

// ---- size ----

TEST_CASE("resize grows by zero bytes and shrinks, and the handle says how long it is") {
    const auto which = every_kind();
    INFO(which);
    const auto how = GENERATE(allocation::automatic, allocation::sparse, allocation::blocks);
    const sample one(which);
    const auto where = one.backing_of(0);
    auto handle = where.open(mmstl::access::read_write);
    const auto page = page_size();
    for (const std::uint64_t size :
         {std::uint64_t{1}, page - 1, page, page + 1, 3 * page, page, std::uint64_t{0}}) {
        handle.resize(size, how);
        CHECK(handle.size_bytes() == size);
    }
    handle.resize(100, how);
    REQUIRE(::pwrite(handle.native_handle(), "x", 1, 50) == 1);
    handle.resize(10, how);
    handle.resize(100, how);
    char byte = 'y';
    REQUIRE(::pread(handle.native_handle(), &byte, 1, 50) == 1);
    CHECK(byte == 0);
}

TEST_CASE("growing allocates blocks unless told otherwise") {
    const auto which = GENERATE(kind::file, kind::temporary_file, kind::shared_memory);
    INFO(which);
    constexpr std::uint64_t size = 1 << 20;
    const sample one(which);
    const auto where = one.backing_of(0);
    auto handle = where.open(mmstl::access::read_write);
    handle.resize(size);
    CHECK(allocated_bytes(handle) >= size);
    handle.resize(2 * size, allocation::sparse);
    CHECK(allocated_bytes(handle) < 2 * size);
    handle.resize(3 * size, allocation::blocks);
    CHECK(allocated_bytes(handle) >= 2 * size);
}

TEST_CASE("a file system without allocation takes a sparse file, unless blocks were asked for") {
    const sample one(kind::file);
    auto handle = one.backing().create();
    {
        const fault::fail without(fault::call::fallocate, 1, EOPNOTSUPP);
        handle.resize(100);
    }
    CHECK(handle.size_bytes() == 100);
    const fault::fail without(fault::call::fallocate, 1, EOPNOTSUPP);
    CHECK(error_of([&] { handle.resize(200, allocation::blocks); }).code ==
          std::errc::operation_not_supported);
    CHECK(handle.size_bytes() == 100);
}

TEST_CASE("a full disk is an error, after which the size is as before") {
    check_on_small_disk(1 << 20, [](const temporary_directory& disk) {
        auto handle = backing(disk / "x").create();
        handle.resize(512 << 10);
        expect(::pwrite(handle.native_handle(), "kept", 4, 0) == 4);
        const auto allocated = allocated_bytes(handle);
        try {
            handle.resize(4 << 20);
            expect(false, "the disk should be full");
        } catch (const mmstl::mapping_error& e) {
            expect(e.code() == std::errc::no_space_on_device, e.what());
            expect(std::string_view(e.call()) == "fallocate", e.call());
            expect(e.path() == disk / "x", e.path());
            expect(e.asked_bytes() == 4 << 20, "asked");
        }
        expect(handle.size_bytes() == 512 << 10, "size as before");
        expect(allocated_bytes(handle) == allocated, "blocks as before");
        char kept[4] = {};
        expect(::pread(handle.native_handle(), kept, 4, 0) == 4 &&
               std::string_view(kept, 4) == "kept");
        std::error_code ec;
        handle.resize(4 << 20, allocation::blocks, ec);
        expect(ec == std::errc::no_space_on_device, "twin");
        handle.resize(600 << 10); // what fits still works
    });
}

TEST_CASE("past the file size limit there is an error and no signal") {
    const temporary_directory directory;
    check_in_child([&] {
        const ::rlimit limit{1 << 20, 1 << 20};
        expect(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
        auto handle = backing(directory / "x").create();
        handle.resize(1 << 20);
        for (const auto how : {allocation::blocks, allocation::sparse}) {
            try {
                handle.resize((1 << 20) + 1, how);
                expect(false, "should be past the limit");
            } catch (const mmstl::mapping_error& e) {
                expect(e.code() == std::errc::file_too_large, e.what());
                expect(e.asked_bytes() == (1 << 20) + 1 && e.available_bytes() == 1 << 20,
                       e.what());
            }
        }
        expect(handle.size_bytes() == 1 << 20);
        handle.resize(10);
    });
}

TEST_CASE("a size that no file can have is refused") {
    const sample one(kind::memory_file);
    auto handle = one.backing().open(mmstl::access::read_write);
    handle.resize(10);
    for (const auto size : {std::uint64_t{1} << 63, UINT64_MAX, UINT64_MAX - 1}) {
        std::error_code ec;
        handle.resize(size, allocation::sparse, ec);
        CHECK(ec == errc::size_overflow);
    }
    CHECK(handle.size_bytes() == 10);
}

TEST_CASE("what was opened for reading cannot be resized") {
    const sample one(kind::file);
    const auto where = one.backing_of(10);
    auto handle = where.open(mmstl::access::read_only);
    for (const std::uint64_t size : {5U, 20U}) {
        const auto error = error_of([&] { handle.resize(size); });
        CHECK((error.code == std::errc::invalid_argument ||
               error.code == std::errc::bad_file_descriptor));
        CHECK(error.path == where.name());
    }
    CHECK(handle.size_bytes() == 10);
}

TEST_CASE("a closed handle answers with EBADF") {
    backing_handle handle;
    CHECK(error_of([&] { (void)handle.size_bytes(); }).code == std::errc::bad_file_descriptor);
    CHECK(error_of([&] { handle.resize(1); }).code == std::errc::bad_file_descriptor);
    CHECK(error_of([&] { handle.sync(); }).code == std::errc::bad_file_descriptor);
}

// ---- seals ----

TEST_CASE("a memory file sealed against shrinking does not shrink, but grows") {
    auto handle = mmstl::memory_file("sealed").open(mmstl::access::read_write);
    handle.resize(100);
    handle.add_seals(mmstl::seal::shrink);
    CHECK(error_of([&] { handle.resize(50); }).code == std::errc::operation_not_permitted);
    CHECK(handle.size_bytes() == 100);
    handle.resize(200);
    handle.add_seals(mmstl::seal::grow | mmstl::seal::seals);
    CHECK(error_of([&] { handle.resize(300); }).code == std::errc::operation_not_permitted);
    CHECK(error_of([&] { handle.add_seals(mmstl::seal::write); }) ==
          says(EPERM, "fcntl", handle.name()));
    CHECK(handle.size_bytes() == 200);
}

TEST_CASE("only memory files can be sealed") {
    const sample one(kind::file);
    auto handle = one.backing().create();
    CHECK(error_of([&] { handle.add_seals(mmstl::seal::shrink); }) ==
          says(EINVAL, "fcntl", handle.name()));
}

// ---- borrowed descriptors ----

TEST_CASE("a borrowed descriptor is neither closed nor moved") {
    const temporary_directory directory;
    write_file(directory / "x", "0123456789");
    const int fd = ::open((directory / "x").c_str(), O_RDWR | O_CLOEXEC);
    ::lseek(fd, 3, SEEK_SET);
    {
        auto handle = mmstl::borrowed_fd(fd).open(mmstl::access::read_write);
        CHECK(handle.native_handle() == fd);
        CHECK_FALSE(handle.created());
        handle.resize(20);
        handle.close();
        auto other = mmstl::borrowed_fd(fd).open_or_create();
        CHECK_FALSE(other.created());
    }
    CHECK(::lseek(fd, 0, SEEK_CUR) == 3);
    ::close(fd);
}

TEST_CASE("a borrowed descriptor must allow what is wanted") {
    const temporary_directory directory;
    write_file(directory / "x", "0123456789");
    const auto check = [&](int flags, mmstl::access wanted, bool allowed) {
        const int fd = ::open((directory / "x").c_str(), flags | O_CLOEXEC);
        std::error_code ec;
        CHECK(mmstl::borrowed_fd(fd).open(wanted, ec).is_open() == allowed);
        if (!allowed) CHECK(ec == errc::wrong_access);
        ::close(fd);
    };
    check(O_RDONLY, mmstl::access::read_only, true);
    check(O_RDONLY, mmstl::access::copy_on_write, true);
    check(O_RDONLY, mmstl::access::read_write, false);
    check(O_WRONLY, mmstl::access::read_only, false);
    check(O_WRONLY, mmstl::access::read_write, false);
    check(O_RDWR, mmstl::access::read_write, true);
    check_open_fails(mmstl::borrowed_fd(-1), mmstl::access::read_only,
                     says(EBADF, "fcntl", "fd -1"));
}

// ---- names, handles ----

TEST_CASE("remove takes the name away, and open handles keep their bytes") {
    const auto which = every_kind();
    INFO(which);
    const sample one(which);
    const auto where = one.backing_of(10);
    auto handle = where.open(mmstl::access::read_write);
    if (!has_name(which)) {
        CHECK(error_of([&] { where.remove(); }).code == errc::no_name);
        return;
    }
    where.remove();
    CHECK(handle.size_bytes() == 10);
    CHECK(error_of([&] { (void)where.open(); }).code == std::errc::no_such_file_or_directory);
    const auto* const call = which == kind::file ? "unlink" : "shm_unlink";
    CHECK(error_of([&] { where.remove(); }) == says(ENOENT, call, where.name()));
    std::error_code ec;
    where.remove(ec);
    CHECK(ec == std::errc::no_such_file_or_directory);
}

TEST_CASE("handles move without throwing, and a moved-from handle is closed") {
    STATIC_REQUIRE(std::is_nothrow_move_constructible_v<backing_handle>);
    STATIC_REQUIRE(std::is_nothrow_move_assignable_v<backing_handle>);
    STATIC_REQUIRE(std::is_nothrow_default_constructible_v<backing_handle>);
    STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<backing_handle>);
    const leak_check guard;
    auto first = mmstl::memory_file("first").open(mmstl::access::read_write);
    const int fd = first.native_handle();
    auto second = std::move(first);
    CHECK_FALSE(first.is_open()); // NOLINT(bugprone-use-after-move): that is what is tested
    CHECK(second.native_handle() == fd);
    auto third = mmstl::memory_file("third").open(mmstl::access::read_write);
    const int replaced = third.native_handle();
    third = std::move(second);
    CHECK(third.native_handle() == fd);
    CHECK(::fcntl(replaced, F_GETFD) == -1);
    auto& same = third;
    third = std::move(same);
    CHECK(third.native_handle() == fd);
}

TEST_CASE("shared memory is found by its name in another process") {
    const shared_memory_name name;
    auto handle = mmstl::shared_memory(name.text()).create();
    handle.resize(123);
    check_in_child([&] { expect(mmstl::shared_memory(name.text()).open().size_bytes() == 123); });
}

TEST_CASE("close reports what close(2) reports, and the descriptor is gone") {
    const leak_check guard;
    auto handle = mmstl::memory_file("x").open(mmstl::access::read_write);
    const fault::fail armed(fault::call::close, 1, EIO);
    CHECK(error_of([&] { handle.close(); }).code == std::errc::io_error);
    CHECK_FALSE(handle.is_open());
    std::error_code ec = make_error_code(errc::no_name);
    handle.close(ec);
    CHECK_FALSE(ec);
}

TEST_CASE("sync reports the errno of fsync") {
    const sample one(kind::file);
    auto handle = one.backing().create();
    CHECK_NOTHROW(handle.sync());
    const fault::fail armed(fault::call::fsync, 1, EIO);
    CHECK(error_of([&] { handle.sync(); }) == says(EIO, "fsync", handle.name()));
}

// ---- every system call fails ----

TEST_CASE("every system call of opening fails in turn, and nothing stays open") {
    const auto which = every_kind();
    INFO(which);
    const sample one(which);
    const auto where = one.backing_of(10);
    const auto open = [&] {
        auto handle = where.open(mmstl::access::read_write);
        handle.close();
    };
    for (const int error : {EIO, ENOMEM, EMFILE})
        CHECK(fault::require_every_failure_is_reported(open, error) >= 2);
    fault::require_every_interruption_is_survived(open);
}

TEST_CASE("every system call of creating fails in turn, and no name stays behind") {
    const auto which = GENERATE(kind::file, kind::shared_memory);
    INFO(which);
    const sample one(which);
    const auto where = one.backing();
    const auto create = [&] {
        auto handle = where.create();
        std::error_code ec;
        handle.close(ec);
        where.remove();
        if (ec) throw std::system_error(ec);
    };
    for (const int error : {EIO, ENOSPC}) {
        fault::for_each_failure(create, error, [&](const fault::outcome& result) {
            INFO(fault::name_of(result.which));
            CHECK(result.exception);
            std::error_code ec;
            CHECK_FALSE((where.open(mmstl::access::read_only, ec).is_open() &&
                         result.which != fault::call::unlink &&
                         result.which != fault::call::shm_unlink));
            where.remove(ec);
        });
    }
    fault::require_every_interruption_is_survived(create);
}

TEST_CASE("every system call of open_or_create fails in turn") {
    const auto which = GENERATE(kind::file, kind::shared_memory);
    INFO(which);
    const sample one(which);
    const auto open = [&] { one.backing().open_or_create().close(); };
    CHECK(fault::require_every_failure_is_reported(open, EIO) >= 3);
    fault::require_every_interruption_is_survived(open);
}

TEST_CASE("every system call of resizing fails in turn, and the size is as before") {
    const auto which = every_kind();
    INFO(which);
    const auto how = GENERATE(allocation::automatic, allocation::blocks, allocation::sparse);
    const sample one(which);
    const auto where = one.backing_of(0);
    auto handle = where.open(mmstl::access::read_write);
    handle.resize(100);
    for (const std::uint64_t size : {std::uint64_t{50}, std::uint64_t{10000}}) {
        const auto resize = [&] { handle.resize(size, how); };
        const long n = fault::for_each_failure(resize, EIO, [&](const fault::outcome& result) {
            INFO(fault::name_of(result.which));
            CHECK(result.exception);
            CHECK(handle.size_bytes() == 100);
        });
        CHECK(n >= 2);
        handle.resize(100, allocation::sparse);
    }
    fault::require_every_interruption_is_survived([&] {
        handle.resize(5000, how);
        handle.resize(100, how);
    });
}

TEST_CASE(
    "every system call of a temporary file's second way fails in turn, and nothing stays open") {
    const temporary_directory directory;
    const std::pair<fault::call, std::string_view> all[] = {{fault::call::mkostemp, "mkostemp"},
                                                            {fault::call::unlink, "unlink"},
                                                            {fault::call::fstat, "fstat"}};
    for (const auto& [which, name] : all) {
        const leak_check guard;
        const fault::fail without(fault::call::open, 1, EOPNOTSUPP);
        const fault::fail armed(which, 1, EIO);
        CHECK(error_of([&] { (void)mmstl::temporary_file(directory.path()).open(); }) ==
              says(EIO, std::string(name), directory.path()));
    }
}

// ---- what went wrong once ----

TEST_CASE("a file under a lease is waited for, not refused") {
    const temporary_directory directory;
    write_file(directory / "x", "abc");
    child holder([&] {
        const int fd = ::open((directory / "x").c_str(), O_RDWR | O_CLOEXEC);
        if (fd == -1 || ::fcntl(fd, F_SETLEASE, F_WRLCK) != 0) ::_exit(77);
        ::signal(SIGIO, SIG_IGN); // the kernel asks for it back
        ::usleep(300'000);
        return 0;
    });
    ::usleep(100'000);
    const auto handle = backing(directory / "x").open();
    CHECK(handle.size_bytes() == 3);
    if (holder.wait().exit_code == 77) skip_loudly("no leases here");
}
