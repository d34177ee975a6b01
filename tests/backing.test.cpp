// SPDX-License-Identifier: MIT
//
// backing.hpp: opening, creating, resizing, sealing and removing what bytes live in.

#include "support/catch.hpp"
#include "support/checks.hpp"
#include "support/fault.hpp"
#include "support/in_child.hpp"
#include "support/leaks.hpp"
#include "support/step.hpp"
#include "support/temporary.hpp"

#include <mmstl/backing.hpp>
#include <mmstl/detail/core.hpp>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <new>
#include <optional>
#include <ostream>
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

// ---- creating through core::open ----

using mmstl::detail::failure;
using mmstl::detail::opening;
namespace posix = mmstl::detail::posix;

/// The ways in which a named object is made: without a name first; by its name because the file
/// system has no unnamed files; by its name because an unnamed file cannot get one.
enum class way : unsigned char { unnamed, without_unnamed, without_links };

std::ostream& operator<<(std::ostream& out, way which) {
    constexpr const char* names[] = {"unnamed", "without unnamed files", "without links"};
    return out << names[static_cast<unsigned>(which)];
}

/// From its construction to its end, the next creation goes this way. The open of the unnamed file
/// comes after the one that looks for the name, and after that of a file that is opened if it is
/// there.
class go {
public:
    go(way which, opening how, kind what = kind::file) {
        const bool opened = what == kind::file && how == opening::open_or_create;
        if (which == way::without_unnamed)
            first_.emplace(fault::call::open, opened ? 3 : 2, EOPNOTSUPP);
        if (which == way::without_links) {
            first_.emplace(fault::call::linkat, 1, EPERM);
            second_.emplace(fault::call::linkat, 2, ENOENT); // by either name in /proc
            third_.emplace(fault::call::linkat, 3, ENOENT);
        }
    }
    go(const go&) = delete;
    go& operator=(const go&) = delete;
    ~go() {
        third_.reset(); // the inner one first
        second_.reset();
        first_.reset();
    }

private:
    std::optional<fault::fail> first_, second_, third_;
};

/// `core::open` for the typed views, with the failure thrown.
template <class Prepare>
backing_handle open_prepared(const backing& where, opening how, Prepare prepare) {
    backing_handle opened;
    mmstl::detail::throw_if(
        mmstl::detail::core::open(where, mmstl::access::read_write, how, opened, prepare),
        where.name());
    return opened;
}

constexpr std::uint64_t whole = 8192;

/// What a typed view would do: make it long, and write at its end.
failure fill(backing_handle& fresh) {
    if (auto f = mmstl::detail::core::resize(fresh, whole, allocation::automatic); f.failed())
        return f;
    constexpr std::byte last{42};
    return posix::write_at(fresh.native_handle(), whole - 1, &last, 1);
}

/// Whether it is as `fill` makes it.
bool is_filled(const backing& where) {
    std::error_code ec;
    const auto handle = where.open(mmstl::access::read_only, ec);
    char last = 0;
    return handle.is_open() && handle.size_bytes() == whole &&
           ::pread(handle.native_handle(), &last, 1, whole - 1) == 1 && last == 42;
}

bool exists(const backing& where) {
    std::error_code ec;
    return where.open(mmstl::access::read_only, ec).is_open();
}

/// Whether nobody holds the lock of the file, opened anew.
bool is_unlocked(const backing& where) {
    const auto other = where.open(mmstl::access::read_write);
    struct ::flock asked {};
    asked.l_type = F_WRLCK;
    REQUIRE(::fcntl(other.native_handle(), F_OFD_GETLK, &asked) == 0);
    return asked.l_type == F_UNLCK;
}

/// How many names there are beside those of the test.
std::ptrdiff_t entries_of(const temporary_directory& directory) {
    return std::distance(std::filesystem::directory_iterator(directory.path()), {});
}

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

// ---- without standard descriptors ----

namespace {

void close_standard_descriptors() {
    for (const int fd : {0, 1, 2}) ::close(fd);
}

/// What a program writes that was started without them goes nowhere.
void expect_no_standard_descriptors() {
    for (const int fd : {0, 1, 2})
        expect(::write(fd, "x", 1) == -1 && errno == EBADF, "fd " + std::to_string(fd));
}

} // namespace

TEST_CASE("no backing takes the number of a standard descriptor") {
    const auto which = every_kind();
    if (which == kind::borrowed_fd) return; // which stays where it is
    INFO(which);
    const sample one(which);
    const auto where = one.backing();
    check_in_child([&] {
        close_standard_descriptors();
        const auto check = [&](const backing_handle& handle) {
            expect(handle.native_handle() > 2);
            expect((::fcntl(handle.native_handle(), F_GETFD) & FD_CLOEXEC) != 0);
            expect_no_standard_descriptors();
        };
        if (has_name(which)) {
            check(where.create());
            where.remove();
            check(open_prepared(where, opening::create, fill));
            expect(is_filled(where));
        }
        const auto handle = where.open(mmstl::access::read_write);
        check(handle);
        int again = -1;
        expect(!posix::reopen(handle.native_handle(), again).failed());
        expect(again > 2);
        expect_no_standard_descriptors();
    });
}

TEST_CASE("a borrowed standard descriptor stays where it is") {
    const sample one(kind::file);
    (void)one.backing_of(10);
    check_in_child([&] {
        ::close(0);
        expect(::open(one.backing().name().c_str(), O_RDWR) == 0);
        const auto handle = mmstl::borrowed_fd(0).open(mmstl::access::read_write);
        expect(handle.native_handle() == 0 && handle.size_bytes() == 10);
    });
}

TEST_CASE("a descriptor that cannot leave the number of a standard one is not kept") {
    const auto which = GENERATE(kind::file, kind::shared_memory);
    INFO(which);
    const sample one(which);
    const auto where = one.backing();
    check_in_child([&] {
        close_standard_descriptors();
        const auto refused = says(EMFILE, "fcntl", where.name());
        const auto with_failure = [](auto function) {
            const fault::fail armed(fault::call::fcntl, 1, EMFILE);
            return error_of(function);
        };
        expect(with_failure([&] { (void)where.create(); }) == refused);
        expect(!exists(where));
        expect(with_failure([&] { (void)open_prepared(where, opening::create, fill); }) == refused);
        expect(!exists(where));
        const auto handle = where.create();
        expect(with_failure([&] { (void)where.open(); }) == refused);
        int again = -1;
        {
            const fault::fail armed(fault::call::fcntl, 1, EMFILE);
            expect(posix::reopen(handle.native_handle(), again).value == EMFILE && again == -1);
        }
        expect_no_standard_descriptors();
    });
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

// ---- created whole ----

TEST_CASE("what is created gets its name when it is prepared") {
    const auto which = GENERATE(kind::file, kind::shared_memory);
    const auto how = GENERATE(opening::create, opening::open_or_create);
    INFO(which);
    const sample one(which);
    const auto where = one.backing();
    const leak_check guard;
    int prepared = 0;
    const auto handle = open_prepared(where, how, [&](backing_handle& fresh) {
        ++prepared;
        CHECK(fresh.created());
        CHECK(fresh.size_bytes() == 0);
        CHECK(fresh.name() == where.name());
        CHECK((::fcntl(fresh.native_handle(), F_GETFL) & O_ACCMODE) == O_RDWR);
        CHECK((::fcntl(fresh.native_handle(), F_GETFD) & FD_CLOEXEC) != 0);
        CHECK_FALSE(exists(where));
        auto f = fill(fresh);
        CHECK_FALSE(exists(where));
        return f;
    });
    CHECK(prepared == 1);
    CHECK(handle.created());
    CHECK(handle.name() == where.name());
    CHECK(handle.size_bytes() == whole);
    CHECK(mmstl::detail::core::still_names(where, mmstl::detail::core::facts(handle)));
    CHECK(is_filled(where));
}

TEST_CASE("what exists is opened or refused, and nothing is prepared") {
    const auto which = GENERATE(kind::file, kind::shared_memory);
    INFO(which);
    const sample one(which);
    const auto where = one.backing_of(100);
    const auto never = [](backing_handle&) -> failure { throw std::logic_error("prepared"); };
    const leak_check guard;
    for (const auto how : {opening::open, opening::open_or_create}) {
        const auto handle = open_prepared(where, how, never);
        CHECK_FALSE(handle.created());
        CHECK(handle.size_bytes() == 100);
    }
    CHECK(error_of([&] { (void)open_prepared(where, opening::create, never); }) ==
          says(EEXIST, which == kind::file ? "open" : "shm_open", where.name()));
    where.remove();
    CHECK(error_of([&] { (void)open_prepared(where, opening::open, never); }).code ==
          std::errc::no_such_file_or_directory);
}

TEST_CASE("what has no name is prepared each time, and a borrowed descriptor never") {
    const auto which =
        GENERATE(kind::temporary_file, kind::memory_file, kind::anonymous, kind::borrowed_fd);
    INFO(which);
    const sample one(which);
    for (const auto how : {opening::open, opening::create, opening::open_or_create}) {
        const leak_check guard;
        int prepared = 0;
        const auto open = [&] {
            const auto handle = open_prepared(one.backing(), how, [&](backing_handle& fresh) {
                ++prepared;
                return fill(fresh);
            });
            CHECK(handle.created() == is_fresh(which));
        };
        if (is_fresh(which) || how != opening::create)
            open();
        else
            CHECK(error_of(open).code == errc::no_name);
        CHECK(prepared == (is_fresh(which) ? 1 : 0));
    }
}

TEST_CASE("where there are no unnamed files, creating goes by the name") {
    const auto which = GENERATE(kind::file, kind::shared_memory);
    const auto by = GENERATE(way::without_unnamed, way::without_links);
    const auto how = GENERATE(opening::create, opening::open_or_create);
    INFO(which << " " << by);
    const sample one(which);
    const auto where = one.backing();
    const leak_check guard;
    bool named = false;
    const auto handle = [&] {
        const go there(by, how, which);
        return open_prepared(where, how, [&](backing_handle& fresh) {
            CHECK(fresh.created());
            CHECK(fresh.size_bytes() == 0);
            named = exists(where);
            return fill(fresh);
        });
    }();
    CHECK(named);
    CHECK(handle.created());
    CHECK(is_filled(where));
    CHECK(is_unlocked(where));
}

TEST_CASE("without locks too, creating goes by the name") {
    const sample one(kind::file);
    const auto error = GENERATE(ENOLCK, EOPNOTSUPP, EINVAL);
    const go there(way::without_unnamed, opening::create);
    const fault::fail armed(fault::call::fcntl, 1, error);
    CHECK(open_prepared(one.backing(), opening::create, fill).created());
    CHECK(armed.hit());
    CHECK(is_filled(one.backing()));
}

TEST_CASE("what fails or throws while it is prepared leaves nothing behind") {
    const auto which = GENERATE(kind::file, kind::shared_memory);
    const auto by = GENERATE(way::unnamed, way::without_unnamed, way::without_links);
    const auto how = GENERATE(opening::create, opening::open_or_create);
    INFO(which << " " << by);
    const sample one(which);
    const auto where = one.backing();
    const leak_check guard;
    int left = by == way::without_links ? 1 : 0; // the first time it is prepared in vain
    const auto fails_with = [&](auto fail) {
        const go there(by, how, which);
        (void)open_prepared(where, how, [&, left](backing_handle& fresh) mutable {
            auto f = fill(fresh);
            return left-- > 0 ? f : fail();
        });
    };
    CHECK(error_of([&] { fails_with([] { return posix::failed("of its own", ENOSPC); }); }) ==
          says(ENOSPC, "of its own", where.name()));
    CHECK_FALSE(exists(where));
    // Its own errors are not taken for those of creating.
    for (const int error : {EEXIST, ENOENT, EPERM, EOPNOTSUPP}) {
        CHECK(error_of([&] { fails_with([&] { return posix::failed("of its own", error); }); }) ==
              says(error, "of its own", where.name()));
        CHECK_FALSE(exists(where));
    }
    CHECK_THROWS_AS(fails_with([]() -> failure { throw std::bad_alloc(); }), std::bad_alloc);
    CHECK_FALSE(exists(where));
}

TEST_CASE("every system call of creating what is prepared fails in turn, on every way") {
    const auto which = GENERATE(kind::file, kind::shared_memory);
    const auto by = GENERATE(way::unnamed, way::without_unnamed, way::without_links);
    const auto how = GENERATE(opening::create, opening::open_or_create);
    INFO(which << " " << by);
    const sample one(which);
    const auto where = one.backing();
    const auto before = holdings::now();
    const auto make = [&] {
        const go there(by, how, which);
        (void)open_prepared(where, how, fill);
    };
    for (const int error : {EIO, ENOSPC, EDQUOT}) {
        const long n = fault::for_each_failure(make, error, [&](const fault::outcome& result) {
            INFO(result.nth << " " << fault::name_of(result.which));
            CHECK(holdings::now().beyond(before) == "");
            // The one that fails anyway, and what gives back.
            const bool spared = result.which == fault::call::close ||
                                (by == way::without_unnamed && result.which == fault::call::open) ||
                                (by == way::without_links && result.which == fault::call::linkat);
            if (result.exception) {
                CHECK(error_of([&] { std::rethrow_exception(result.exception); }).code ==
                      std::error_code(error, std::system_category()));
                CHECK_FALSE(exists(where));
            } else {
                CHECK(spared);
                CHECK(is_filled(where));
            }
            std::error_code ignored;
            where.remove(ignored);
        });
        CHECK(n >= 8);
        where.remove();
    }
    fault::require_every_interruption_is_survived([&] {
        // Without `go`: an interrupted open is made again, and would shift what that counts.
        (void)open_prepared(where, how, fill);
        where.remove();
    });
}

TEST_CASE("who loses the race for a name gets what the winner made, or EEXIST") {
    const auto which = GENERATE(kind::file, kind::shared_memory);
    const auto by = GENERATE(way::unnamed, way::without_links);
    INFO(which << " " << by);
    const sample one(which);
    const auto where = one.backing();
    const leak_check guard;
    const auto loses = [&](opening how) {
        const go there(by, how, which);
        return open_prepared(where, how, [&](backing_handle& fresh) {
            auto f = fill(fresh);
            where.create().resize(123); // the winner
            return f;
        });
    };
    CHECK(error_of([&] { (void)loses(opening::create); }) ==
          says(EEXIST, which == kind::file ? "open" : "shm_open", where.name()));
    CHECK(where.open().size_bytes() == 123);
    where.remove();
    const auto handle = loses(opening::open_or_create);
    CHECK_FALSE(handle.created());
    CHECK(handle.size_bytes() == 123);
}

TEST_CASE("a file that is filled before its maker has locked it stays as it is") {
    const temporary_directory directory;
    const auto path = directory / "x";
    const backing where = path;
    const auto make = [&] { // without an exception, which is a long way to step
        const go there(way::without_unnamed, opening::create);
        backing_handle none;
        const auto f = mmstl::detail::core::open(where, mmstl::access::read_write, opening::create,
                                                 none, fill);
        if (f.value != EEXIST || std::string_view(f.call) != "open") ::_exit(1);
    };
    {
        // Once before: what the dynamic linker does at first calls is a long way too.
        const go there(way::without_unnamed, opening::create);
        (void)open_prepared(directory / "other", opening::create, fill);
    }
    stepped_child maker(make);
    if (maker.now() == stepped_child::state::refused)
        return skip_loudly("ptrace is not allowed here");
    while (maker.now() == stepped_child::state::inside && ::access(path.c_str(), F_OK) != 0)
        maker.step();
    REQUIRE(maker.now() == stepped_child::state::inside);
    {
        const auto theirs = backing(path).open(mmstl::access::read_write);
        REQUIRE_FALSE(posix::lock_file(theirs.native_handle()).failed());
        write_file(path, "theirs");
    }
    while (maker.now() == stepped_child::state::inside) maker.step();
    CHECK(maker.now() == stepped_child::state::at_end);
    CHECK(read_file(path) == "theirs");
}

TEST_CASE("what is created whole fails as what is created empty") {
    const temporary_directory directory;
    write_file(directory / "plain", "");
    std::filesystem::create_symlink(directory / "nothing", directory / "dangling");
    std::filesystem::create_symlink(directory / "loop", directory / "loop");
    std::filesystem::create_directory(directory / "directory");
    const backing all[] = {
        directory / "no/such/directory",
        directory / "plain/x",
        directory / "plain",
        directory / "dangling",
        directory / "loop",
        directory / "loop/x",
        directory / "directory",
        directory / "new/",
        directory / "directory/",
        directory / "directory/.",
        directory / std::string(256, 'x'),
        std::string(5000, 'x'),
        std::string(2500, '/') + std::string(2500, 'x'),
        (directory / "x") + std::string(1, '\0') + "y",
        "",
        "/",
        ".",
        "/proc/mmstl-test",
        mmstl::shared_memory(""),
        mmstl::shared_memory("/"),
        mmstl::shared_memory("/mmstl-test/x"),
        mmstl::shared_memory("/."),
        mmstl::shared_memory(".."),
        mmstl::shared_memory(std::string(256, 'x')),
        mmstl::shared_memory(std::string(5000, 'x')),
        mmstl::shared_memory(std::string("/x\0y", 4)),
        mmstl::borrowed_fd(0),
    };
    for (const auto& one : all) {
        INFO(one.name());
        const leak_check guard;
        const auto expected = error_of([&] { (void)one.create(); });
        CHECK(expected.code);
        CHECK(error_of([&] { (void)open_prepared(one, opening::create, fill); }) == expected);
        if (!one.has_name()) continue;
        const auto or_opened = error_of([&] { (void)one.open_or_create(); });
        CHECK(error_of([&] {
                  (void)open_prepared(one, opening::open_or_create,
                                      [](backing_handle&) { return failure{}; });
              }) == or_opened);
    }
    CHECK(entries_of(directory) == 4);
    ::chmod(directory.path().c_str(), 0755);
    check_in_child([&] {
        become_nobody();
        expect(error_of([&] { (void)open_prepared(directory / "x", opening::create, fill); }) ==
               says(EACCES, "open", directory / "x"));
    });
}

TEST_CASE("names of every spelling are created whole") {
    const temporary_directory directory;
    const shared_memory_name name;
    const std::string bare = name.text().substr(1);
    const umask_of mask(022);
    for (const auto& spelled : {bare, "/" + bare, "//" + bare}) {
        INFO(spelled);
        const auto where = mmstl::shared_memory(spelled, {.permissions = 0666});
        CHECK(permissions_of(open_prepared(where, opening::create, fill)) == 0644U);
        CHECK(is_filled(mmstl::shared_memory(name.text())));
        where.remove();
    }
    check_in_child([&] {
        expect(::chdir(directory.path().c_str()) == 0);
        for (const std::string& spelled :
             {std::string("a"), std::string("./b"), directory / "c",
              std::string("../.") + "/" + directory.path().filename().string() + "/d"}) {
            (void)open_prepared(spelled, opening::create, fill);
            expect(is_filled(spelled), spelled);
        }
    });
    CHECK(entries_of(directory) == 4);
    CHECK(permissions_of(open_prepared(directory / "e", opening::create, fill)) == 0644U);
    CHECK(permissions_of(open_prepared(mmstl::file(directory / "f", {.permissions = 0640}),
                                       opening::open_or_create, fill)) == 0640U);
}

TEST_CASE("who may not link through the descriptor links through /proc") {
    const temporary_directory directory;
    const auto path = directory / "x";
    {
        const fault::fail unprivileged(fault::call::linkat, 1, ENOENT);
        int prepared = 0;
        const auto made = open_prepared(path, opening::create, [&](backing_handle& fresh) {
            ++prepared;
            return fill(fresh);
        });
        CHECK(made.created());
        CHECK(prepared == 1); // and not again by the name
        CHECK(unprivileged.count(fault::call::linkat) == 2);
    }
    CHECK(is_filled(path));
    {
        const fault::fail unprivileged(fault::call::linkat, 1, ENOENT);
        const fault::fail older(fault::call::linkat, 2, ENOENT); // which has no thread-self
        (void)open_prepared(directory / "z", opening::create, fill);
        CHECK(unprivileged.count(fault::call::linkat) == 3);
    }
    CHECK(is_filled(directory / "z"));
    {
        const auto handle = backing(path).open(mmstl::access::read_write);
        const fault::fail older(fault::call::open, 1, ENOENT);
        int again = -1;
        CHECK_FALSE(posix::reopen(handle.native_handle(), again).failed());
        CHECK(older.count(fault::call::open) == 2);
        ::close(again);
    }
    ::chmod(directory.path().c_str(), 0777);
    check_in_child([&] { // whatever this kernel allows
        become_nobody();
        (void)open_prepared(directory / "y", opening::create, fill);
    });
    CHECK(is_filled(directory / "y"));
}

// ---- the calls below ----

TEST_CASE("a write that is done in pieces is completed, and reports its errno") {
    auto handle = mmstl::memory_file("x").open(mmstl::access::read_write);
    const auto write = [&](std::string_view text) {
        return posix::write_at(handle.native_handle(), 3,
                               reinterpret_cast<const std::byte*>(text.data()), text.size());
    };
    for (const long nth : {1, 2, 3}) {
        const fault::shorten armed(fault::call::pwrite, nth);
        CHECK_FALSE(write("0123456789").failed());
        CHECK(handle.size_bytes() == 13);
        std::string got(10, '\0');
        REQUIRE(::pread(handle.native_handle(), got.data(), 10, 3) == 10);
        CHECK(got == "0123456789");
        handle.resize(0);
    }
    {
        const fault::fail interrupted(fault::call::pwrite, 1, EINTR);
        CHECK_FALSE(write("abc").failed());
    }
    const fault::shorten half(fault::call::pwrite, 1);
    const fault::fail armed(fault::call::pwrite, 2, ENOSPC);
    const auto f = write("abcdef");
    CHECK(f.code() == std::errc::no_space_on_device);
    CHECK(std::string_view(f.call) == "pwrite");
    CHECK_FALSE(write("").failed());
}

TEST_CASE("the lock of a file excludes whoever opened it on his own, until it is given back") {
    const temporary_directory directory;
    write_file(directory / "x", "");
    const auto open = [&] { return backing(directory / "x").open(mmstl::access::read_write); };
    const auto is_free = [&] { return is_unlocked(directory / "x"); };
    auto handle = open();
    CHECK(is_free());
    CHECK_FALSE(posix::lock_file(handle.native_handle()).failed());
    CHECK_FALSE(is_free());
    CHECK_FALSE(is_free()); // closing another descriptor has not given it back
    CHECK_FALSE(posix::unlock_file(handle.native_handle()).failed());
    CHECK(is_free());
    CHECK_FALSE(posix::lock_file(handle.native_handle()).failed());
    handle.close();
    CHECK(is_free());

    child holder([&] {
        const auto theirs = open();
        expect(!posix::lock_file(theirs.native_handle()).failed());
        ::pause();
    });
    while (is_free()) ::usleep(100);
    child waiter([&] { expect(!posix::lock_file(open().native_handle()).failed()); });
    holder.kill();
    CHECK(waiter.wait().ok());
    handle = open();
    const fault::fail interrupted(fault::call::fcntl, 1, EINTR);
    CHECK_FALSE(posix::lock_file(handle.native_handle()).failed());
    CHECK_FALSE(is_free());
    CHECK(posix::unlock_file(-1).code() == std::errc::bad_file_descriptor);
}

TEST_CASE("starting write-back reports its errno, and of nothing starts nothing") {
    const sample one(kind::file);
    const auto where = one.backing_of(100);
    const auto handle = where.open(mmstl::access::read_write);
    const fault::watch watching;
    CHECK_FALSE(posix::start_writing(handle.native_handle(), 0, 100).failed());
    CHECK(watching.count(fault::call::sync_file_range) == 1);
    CHECK_FALSE(posix::start_writing(handle.native_handle(), 50, 0).failed());
    CHECK(watching.count(fault::call::sync_file_range) == 1);
    {
        const fault::fail interrupted(fault::call::sync_file_range, 1, EINTR);
        CHECK_FALSE(posix::start_writing(handle.native_handle(), 0, 100).failed());
    }
    const fault::fail armed(fault::call::sync_file_range, 1, EIO);
    const auto f = posix::start_writing(handle.native_handle(), 0, 100);
    CHECK(f.code() == std::errc::io_error);
    CHECK(std::string_view(f.call) == "sync_file_range");
}

TEST_CASE("the directory of a name is written, if it can be opened") {
    const temporary_directory directory;
    const leak_check guard;
    for (const std::string& path :
         {directory / "x", std::string("x"), std::string("/x"), std::string("./x")}) {
        INFO(path);
        const fault::watch watching;
        CHECK_FALSE(posix::sync_directory_of(path.c_str()).failed());
        CHECK(watching.count(fault::call::fsync) == 1);
    }
    CHECK_FALSE(posix::sync_directory_of((directory / "gone/x").c_str()).failed());
    CHECK(posix::sync_directory_of((std::string(5000, 'x') + "/x").c_str()).code() ==
          std::errc::filename_too_long);
    const auto path = directory / "x";
    const auto with = [&](fault::call which, int error) {
        const fault::fail armed(which, 1, error);
        return posix::sync_directory_of(path.c_str()).code();
    };
    CHECK(with(fault::call::fsync, EIO) == std::errc::io_error);
    CHECK_FALSE(with(fault::call::fsync, EINTR));
    CHECK_FALSE(with(fault::call::fsync, EINVAL)); // no such thing on that file system
    CHECK_FALSE(with(fault::call::open, EACCES));
    CHECK(with(fault::call::open, EMFILE) == std::errc::too_many_files_open);
}

TEST_CASE("the boot has 36 characters, or none") {
    std::array<char, 40> id{};
    id.fill('?');
    if (posix::boot_id(id).failed()) return skip_loudly("no boot_id here");
    CHECK(std::string_view(id.data()) ==
          read_file("/proc/sys/kernel/random/boot_id").substr(0, 36));
    CHECK(std::string_view(id.data()).size() == 36);
    CHECK((id[37] == 0 && id[38] == 0 && id[39] == 0));
    const leak_check guard;
    for (const auto which : {fault::call::open, fault::call::pread}) {
        const fault::fail armed(which, 1, EIO);
        CHECK(posix::boot_id(id).code() == std::errc::io_error);
        CHECK(id == std::array<char, 40>{});
        id.fill('?');
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
