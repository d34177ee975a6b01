// SPDX-License-Identifier: MIT
//
// Every system call that mmstl makes, and nothing else: no other header includes a system header.
// Each function returns a `failure` that names the call; EINTR is retried wherever the kernel
// allows it.

#ifndef MMSTL_DETAIL_POSIX_HPP
#define MMSTL_DETAIL_POSIX_HPP

#include <mmstl/access.hpp>
#include <mmstl/error.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include <ctime>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

namespace mmstl::inline v1::detail::posix {

static_assert(
    sizeof(::off_t) == 8,
    "mmstl: on 32-bit systems, define _FILE_OFFSET_BITS as 64, so that files may be long");

// Numbers of the kernel's interface that the C library may be too old to name.
inline constexpr int madv_cold = 20, madv_pageout = 21, madv_populate_read = 22,
                     madv_populate_write = 23, madv_dontneed_locked = 24, madv_collapse = 25,
                     madv_guard_install = 102, madv_guard_remove = 103;
inline constexpr int map_fixed_noreplace = 0x100000;
inline constexpr int seal_future_write = 0x0010;
inline constexpr auto hugetlbfs_magic = 0x958458f6;

inline failure failed(const char* call, int error = errno) noexcept {
    return {error, &std::system_category(), call};
}

/// Reports -1 as `call` having failed with errno.
inline failure check(const char* call, int result) noexcept {
    return result == -1 ? failed(call) : failure{};
}

template <class Call> auto retry(Call call) noexcept(noexcept(call())) {
    for (;;)
        if (const auto result = call(); result != -1 || errno != EINTR) return result;
}

inline std::size_t page_size() noexcept {
    static const auto bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    return bytes;
}

// ---- what a descriptor stands for ----

/// What mmstl asks of fstat(2).
struct facts {
    std::uint64_t size_bytes = 0;
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::size_t page_bytes = 0; ///< the granularity of mappings: larger than a page on hugetlbfs

    [[nodiscard]] bool same_file(const facts& other) const noexcept {
        return device == other.device && inode == other.inode;
    }
};

/// Where the file ends: cheaper than fstat(2).
///
/// Moves the descriptor's position: for descriptors of ours alone.
inline failure seek_end(int fd, std::uint64_t& end) noexcept {
    const auto at = ::lseek(fd, 0, SEEK_END);
    if (at == -1) return failed("lseek");
    end = static_cast<std::uint64_t>(at);
    return {};
}

/// Fills `found`, and refuses what cannot be mapped: directories with EISDIR, FIFOs and such with
/// `not_mappable`.
inline failure examine(int fd, facts& found) noexcept {
    struct ::stat status; // NOLINT(cppcoreguidelines-pro-type-member-init): filled by the call
    if (auto f = check("fstat", ::fstat(fd, &status)); f.failed()) return f;
    if (S_ISDIR(status.st_mode)) return failed("open", EISDIR);
    if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
        return refuse(errc::not_mappable, "open");
    found.device = status.st_dev;
    found.inode = status.st_ino;
    found.size_bytes = static_cast<std::uint64_t>(status.st_size);
    found.page_bytes = page_size();
    if (S_ISBLK(status.st_mode)) {                      // fstat says 0 of these
        const auto position = ::lseek(fd, 0, SEEK_CUR); // a borrowed descriptor keeps its own
        if (position == -1) return failed("lseek");
        if (auto f = seek_end(fd, found.size_bytes); f.failed()) return f;
        if (::lseek(fd, position, SEEK_SET) == -1) return failed("lseek");
    } else if (static_cast<std::size_t>(status.st_blksize) > page_size()) {
        struct ::statfs system; // NOLINT(cppcoreguidelines-pro-type-member-init)
        if (auto f = check("fstatfs", retry([&] { return ::fstatfs(fd, &system); })); f.failed())
            return f;
        if (static_cast<std::uint32_t>(system.f_type) == hugetlbfs_magic)
            found.page_bytes = static_cast<std::size_t>(status.st_blksize);
    }
    return {};
}

/// Fills `found` with what stat(2) says of a regular file; false for anything else, or nothing.
inline bool examine_path(const char* path, facts& found) noexcept {
    struct ::stat status; // NOLINT(cppcoreguidelines-pro-type-member-init)
    if (::stat(path, &status) != 0) return false;
    found.device = status.st_dev;
    found.inode = status.st_ino;
    found.size_bytes = static_cast<std::uint64_t>(status.st_size);
    return S_ISREG(status.st_mode);
}

// ---- opening and naming ----

/// Closes once: after EINTR the descriptor is gone too (close(2), Linux).
inline failure close(int fd) noexcept {
    return ::close(fd) == -1 && errno != EINTR ? failed("close") : failure{};
}

/// Another descriptor of the same open file, closed by exec; never 0, 1 or 2.
inline failure duplicate(int fd, int& to) noexcept {
    to = ::fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    return check("fcntl", to);
}

/// Moves what got a number below 3 out of the way, for who keeps it: a program that was started
/// without standard output or error still writes there, and would write into the file. A failure
/// leaves `fd` as it is.
inline failure move_up(int& fd) noexcept {
    if (fd > STDERR_FILENO) return {};
    int moved = -1;
    if (auto f = duplicate(fd, moved); f.failed()) return f;
    (void)close(std::exchange(fd, moved)); // what it could report, the other one will
    return {};
}

inline int open_flags(access wanted) noexcept {
    return wanted == access::read_write ? O_RDWR : O_RDONLY;
}

enum class disposition : unsigned char { open, create };

/// O_NONBLOCK, so that a FIFO without a writer is refused and not waited for. A regular file minds
/// it only under another process's lease (fcntl(2), F_SETLEASE): then it is opened again, and
/// waited for.
inline failure open_file(const char* path, access wanted, disposition how, unsigned permissions,
                         int& fd) noexcept {
    const int flags = open_flags(wanted) | O_CLOEXEC | O_NOCTTY |
                      (how == disposition::create ? O_CREAT | O_EXCL : 0);
    const auto open_with = [&](int more) {
        return retry(
            [&] { return ::open(path, flags | more, static_cast<::mode_t>(permissions)); });
    };
    fd = open_with(O_NONBLOCK);
    if (fd != -1) return {};
    if (errno == ENXIO) return refuse(errc::not_mappable, "open"); // a socket
    if (errno == EAGAIN) {
        if (facts ignored; !examine_path(path, ignored)) return failed("open", EAGAIN);
        fd = open_with(0);
    }
    return check("open", fd);
}

inline failure open_shared_memory(const char* name, access wanted, disposition how,
                                  unsigned permissions, int& fd) noexcept {
    const int flags = open_flags(wanted) | (how == disposition::create ? O_CREAT | O_EXCL : 0);
    fd = retry([&] { return ::shm_open(name, flags, static_cast<::mode_t>(permissions)); });
    return check("shm_open", fd);
}

/// The directory that holds `path`, which is not empty.
inline std::string_view directory_of(std::string_view path) noexcept {
    const auto slash = path.rfind('/');
    if (slash == path.npos) return ".";
    return path.substr(0, slash == 0 ? 1 : slash);
}

/// Whether the name stands for anything, be it a symbolic link to nothing.
inline failure find_name(const char* path, bool& found) noexcept {
    const int fd = retry([&] { return ::open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC); });
    found = fd != -1;
    if (!found) return errno == ENOENT ? failure{} : failed("open");
    (void)close(fd);
    return {};
}

/// A file without a name in `directory`, gone with its last descriptor unless `give_name` follows.
/// EOPNOTSUPP where the file system has none, EISDIR from kernels before O_TMPFILE.
///
/// Linux before 6.0 forgets the umask here on file systems that are mounted without ACLs.
inline failure open_unnamed(const std::string& directory, unsigned permissions, int& fd) noexcept {
    fd = retry([&] {
        return ::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC,
                      static_cast<::mode_t>(permissions));
    });
    return check("open", fd);
}

/// Calls `call(link)` with a name of the open descriptor in /proc, which may not be there (ENOENT).
///
/// By way of the thread first: "self" has no descriptors any more once main()'s thread has ended by
/// pthread_exit(3), and others go on. Linux before 3.17 has only that.
template <class Call> int through_link(int fd, Call call) noexcept {
    constexpr std::string_view directories[] = {"/proc/thread-self/fd/", "/proc/self/fd/"};
    int result = -1;
    for (const auto directory : directories) {
        char link[32]{}; // the zeros behind it end the number
        char* const number = link + directory.copy(link, sizeof link);
        std::to_chars(number, std::end(link) - 1, fd);
        result = call(static_cast<const char*>(link));
        if (result != -1 || errno != ENOENT) break;
    }
    return result;
}

/// Gives an unnamed file its name, with all that is in it; EEXIST when the name is taken, also by a
/// symbolic link to nothing.
///
/// Through the descriptor itself, which Linux before 6.10 allows to the privileged alone (ENOENT
/// for others); then through /proc, which may not be there.
inline failure give_name(int fd, const char* path) noexcept {
    if (::linkat(fd, "", AT_FDCWD, path, AT_EMPTY_PATH) == 0) return {};
    if (errno != ENOENT && errno != EPERM && errno != EINVAL) return failed("linkat");
    return check("linkat", through_link(fd, [&](const char* link) {
                     return ::linkat(AT_FDCWD, link, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
                 }));
}

/// Whether `open_unnamed` or `give_name` failed in a way in which creating by name may not: no
/// unnamed files there (EOPNOTSUPP, EISDIR; EINVAL, ENOSYS), no links (EPERM, EMLINK), no /proc
/// (ENOENT), or another file system in between (EXDEV). Where ENOENT, EACCES or EPERM are about the
/// directory, creating by name says so too.
inline bool is_for_want_of_unnamed_files(const failure& f) noexcept {
    constexpr int signs[] = {EOPNOTSUPP, EISDIR, EINVAL, ENOSYS, EPERM,
                             EMLINK,     ENOENT, EXDEV,  EACCES};
    return std::find(std::begin(signs), std::end(signs), f.value) != std::end(signs);
}

/// A file without a name in `directory`, or a name taken away at once where the file system has no
/// such files.
inline failure open_temporary(const std::string& directory, int& fd) {
    const auto unnamed = open_unnamed(directory, 0600, fd);
    if (!unnamed.failed()) return {};
    if (unnamed.code() != std::errc::operation_not_supported &&
        unnamed.code() != std::errc::is_a_directory)
        return unnamed;
    std::string name;
    fd = retry([&] {
        name = directory + "/.mmstl-XXXXXX"; // anew: each try writes into it
        return ::mkostemp(name.data(), O_CLOEXEC);
    });
    if (fd == -1) return failed("mkostemp");
    if (::unlink(name.c_str()) == 0) return {};
    const auto f = failed("unlink");
    ::close(fd);
    fd = -1;
    return f;
}

inline failure open_memory(const char* label, pages kind, int& fd) noexcept {
    const unsigned flags =
        MFD_CLOEXEC | MFD_ALLOW_SEALING | (kind == pages::huge_tlb ? MFD_HUGETLB : 0U);
    fd = ::memfd_create(label, flags);
    return check("memfd_create", fd);
}

/// Whether a borrowed descriptor allows `wanted`.
inline failure check_access(int fd, access wanted) noexcept {
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags == -1) return failed("fcntl");
    const int mode = flags & O_ACCMODE;
    const bool fits =
        (flags & O_PATH) == 0 && (wanted == access::read_write ? mode == O_RDWR : mode != O_WRONLY);
    return fits ? failure{} : refuse(errc::wrong_access, "borrowed_fd");
}

inline failure unlink(const char* path) noexcept { return check("unlink", ::unlink(path)); }
inline failure unlink_shared_memory(const char* name) noexcept {
    return check("shm_unlink", ::shm_unlink(name));
}

inline std::string temporary_directory() {
    const char* chosen = std::getenv("TMPDIR"); // NOLINT(concurrency-mt-unsafe): read only
    return chosen != nullptr && *chosen != '\0' ? chosen : "/tmp";
}

// ---- size and contents ----

/// Past RLIMIT_FSIZE the kernel does not only fail, it sends SIGXFSZ: so the limit is asked first.
inline failure check_size_limit(std::uint64_t size_bytes) noexcept {
    if (size_bytes > static_cast<std::uint64_t>(std::numeric_limits<::off_t>::max()))
        return refuse(errc::size_overflow, "ftruncate", size_bytes,
                      static_cast<std::uint64_t>(std::numeric_limits<::off_t>::max()));
    ::rlimit limit{};
    if (::getrlimit(RLIMIT_FSIZE, &limit) != 0) return failed("getrlimit");
    if (limit.rlim_cur == RLIM_INFINITY || size_bytes <= limit.rlim_cur) return {};
    auto f = failed("ftruncate", EFBIG);
    f.asked_bytes = size_bytes;
    f.available_bytes = limit.rlim_cur;
    return f;
}

inline failure truncate(int fd, std::uint64_t size_bytes) noexcept {
    return check("ftruncate",
                 retry([&] { return ::ftruncate(fd, static_cast<::off_t>(size_bytes)); }));
}

/// Allocates the blocks of a range and extends the file to its end. Not posix_fallocate: it
/// emulates by writing.
inline failure allocate(int fd, std::uint64_t first_byte, std::uint64_t n_bytes) noexcept {
    return check("fallocate", retry([&] {
                     return ::fallocate(fd, 0, static_cast<::off_t>(first_byte),
                                        static_cast<::off_t>(n_bytes));
                 }));
}

/// Gives the blocks of a range back to the file system; it reads as zeros then.
inline failure punch(int fd, std::uint64_t first_byte, std::uint64_t n_bytes) noexcept {
    return check("fallocate", retry([&] {
                     return ::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                        static_cast<::off_t>(first_byte),
                                        static_cast<::off_t>(n_bytes));
                 }));
}

/// What the file system has left, for this user; 0 if it cannot be told.
inline std::uint64_t free_bytes(int fd) noexcept {
    struct ::statfs system; // NOLINT(cppcoreguidelines-pro-type-member-init): filled by the call
    if (retry([&] { return ::fstatfs(fd, &system); }) == -1) return 0;
    return static_cast<std::uint64_t>(system.f_bavail) * static_cast<std::uint64_t>(system.f_bsize);
}

/// One read: as many bytes as the kernel gives at once.
inline failure read_some(int fd, std::uint64_t offset, void* to, std::size_t n_bytes,
                         std::size_t& done) noexcept {
    const auto got = retry([&] { return ::pread(fd, to, n_bytes, static_cast<::off_t>(offset)); });
    done = got == -1 ? 0 : static_cast<std::size_t>(got);
    return got == -1 ? failed("pread") : failure{};
}

/// Reads until `n_bytes` are there or the file ends.
inline failure read_at(int fd, std::uint64_t offset, std::byte* to, std::size_t n_bytes,
                       std::size_t& done) noexcept {
    done = 0;
    for (std::size_t got = 1; got != 0 && done < n_bytes; done += got) {
        if (auto f = read_some(fd, offset + done, to + done, n_bytes - done, got); f.failed())
            return f;
    }
    return {};
}

/// Writes until all is written. Past RLIMIT_FSIZE the kernel sends SIGXFSZ: the file is made long
/// enough first, which asks.
inline failure write_at(int fd, std::uint64_t offset, const std::byte* from,
                        std::size_t n_bytes) noexcept {
    for (std::size_t done = 0; done < n_bytes;) {
        const auto put = retry([&] {
            return ::pwrite(fd, from + done, n_bytes - done, static_cast<::off_t>(offset + done));
        });
        if (put == -1) return failed("pwrite");
        if (put == 0) return failed("pwrite", EIO); // no file does that; asking on would never end
        done += static_cast<std::size_t>(put);
    }
    return {};
}

inline failure sync(int fd) noexcept {
    return check("fsync", retry([&] { return ::fsync(fd); }));
}

/// Starts the write-back of the range's dirty pages, which msync(MS_ASYNC) does not, and does not
/// wait for it. No promise that the bytes are found after a power cut, not even later: neither the
/// length nor the list of blocks of a file is written by it.
inline failure start_writing(int fd, std::uint64_t first_byte, std::uint64_t n_bytes) noexcept {
    if (n_bytes == 0) return {}; // which the kernel takes for "to the end"
    return check("sync_file_range", retry([&] {
                     return ::sync_file_range(fd, static_cast<::off_t>(first_byte),
                                              static_cast<::off_t>(n_bytes), SYNC_FILE_RANGE_WRITE);
                 }));
}

/// Waits until the directory that holds `path` is on the disk, and so a new name in it: fsync(2) of
/// a file alone does not promise that its name survives a power cut.
///
/// As well as it can: a directory that may not be read (EACCES) or that is not found (ENOENT: a
/// relative path after chdir) is no error, nor is a file system that has no fsync of directories
/// (EINVAL).
inline failure sync_directory_of(const char* path) noexcept {
    char directory[4096]; // NOLINT: filled below. PATH_MAX: a longer one names nothing
    const auto held_by = directory_of(path);
    if (held_by.size() >= sizeof directory) return failed("open", ENAMETOOLONG);
    directory[held_by.copy(directory, held_by.size())] = '\0';
    const int fd = retry([&] { return ::open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
    if (fd == -1) return errno == EACCES || errno == ENOENT ? failure{} : failed("open");
    const auto f = sync(fd);
    (void)close(fd); // nothing was written through it that it could report
    return f.code() == std::errc::invalid_argument ? failure{} : f;
}

/// A lock of that type on `n_bytes` from `first` on.
inline struct ::flock lock_of(short type, std::uint64_t first, std::uint64_t n_bytes) noexcept {
    struct ::flock made {};
    made.l_type = type;
    made.l_whence = SEEK_SET;
    made.l_start = static_cast<::off_t>(first);
    made.l_len = static_cast<::off_t>(n_bytes);
    return made;
}

/// What `lock_file` locks: more than can be mapped, and not all there can be, so that bytes behind it
/// can be locked for other reasons ("who is alive").
inline constexpr std::uint64_t lockable_bytes = std::uint64_t{1} << 61;

/// Waits for an exclusive lock on the whole file, however long it gets, that belongs to the open
/// file description: threads that opened it on their own exclude each other too, closing another
/// descriptor of the file does not give it back, and the end of its process does. Needs a
/// descriptor that is open for writing.
inline failure lock_file(int fd) noexcept {
    auto whole = lock_of(F_WRLCK, 0, lockable_bytes);
    return check("fcntl", retry([&] { return ::fcntl(fd, F_OFD_SETLKW, &whole); }));
}

/// Whether `lock_file` failed because the file system has no locks, so that nobody holds one.
inline bool is_for_want_of_locks(const failure& f) noexcept {
    return f.value == ENOLCK || f.value == EINVAL || f.value == EOPNOTSUPP || f.value == ENOSYS;
}

/// Gives it back; so does closing the last descriptor of that open file description.
inline failure unlock_file(int fd) noexcept {
    auto whole = lock_of(F_UNLCK, 0, lockable_bytes);
    return check("fcntl", retry([&] { return ::fcntl(fd, F_OFD_SETLK, &whole); }));
}

// ---- who is alive ----

/// Opens the file behind `fd` anew, for reading and writing: locks on it belong to that open file
/// description alone, which is not mapped, and not shared with fork()ed children's parents.
inline failure reopen(int fd, int& to) noexcept {
    to = through_link(fd, [](const char* link) {
        return retry([&] { return ::open(link, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); });
    });
    if (to == -1) return failed("open");
    const auto f = move_up(to);
    if (f.failed()) (void)close(std::exchange(to, -1));
    return f;
}

/// Locks bytes of the file, if nobody else has locked any of them.
inline failure try_lock_bytes(int fd, std::uint64_t at, std::uint64_t n, bool& locked) noexcept {
    auto all = lock_of(F_WRLCK, at, n);
    const int result = retry([&] { return ::fcntl(fd, F_OFD_SETLK, &all); });
    locked = result != -1;
    return locked || errno == EAGAIN || errno == EACCES ? failure{} : failed("fcntl");
}

inline failure try_lock_byte(int fd, std::uint64_t at, bool& locked) noexcept {
    return try_lock_bytes(fd, at, 1, locked);
}

/// Waits until nobody else has it locked, and locks it; by F_RDLCK, together with others who do.
inline failure lock_byte(int fd, std::uint64_t at, short how = F_WRLCK) noexcept {
    auto one = lock_of(how, at, 1);
    return check("fcntl", retry([&] { return ::fcntl(fd, F_OFD_SETLKW, &one); }));
}

inline failure unlock_bytes(int fd, std::uint64_t at, std::uint64_t n) noexcept {
    auto all = lock_of(F_UNLCK, at, n);
    return check("fcntl", retry([&] { return ::fcntl(fd, F_OFD_SETLK, &all); }));
}
inline failure unlock_byte(int fd, std::uint64_t at) noexcept { return unlock_bytes(fd, at, 1); }

/// Whether another open file description has that byte locked. One's own is not seen.
inline failure ask_byte_lock(int fd, std::uint64_t at, bool& locked) noexcept {
    auto one = lock_of(F_WRLCK, at, 1);
    const auto f = check("fcntl", retry([&] { return ::fcntl(fd, F_OFD_GETLK, &one); }));
    locked = !f.failed() && one.l_type != F_UNLCK;
    return f;
}

inline std::uint32_t process_id() noexcept { return static_cast<std::uint32_t>(::getpid()); }

/// Waits while `word` is `expected`, but no longer than that; may return early.
inline void wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected,
                 unsigned milliseconds) noexcept {
    ::timespec most{};
    most.tv_sec = static_cast<::time_t>(milliseconds / 1000);
    most.tv_nsec = static_cast<long>(milliseconds % 1000) * 1'000'000;
    ::syscall(SYS_futex, &word, FUTEX_WAIT, expected, &most, nullptr, 0);
}

/// Wakes waiters of any process.
inline void wake(const std::atomic<std::uint32_t>& word, int how_many) noexcept {
    ::syscall(SYS_futex, &word, FUTEX_WAKE, how_many, nullptr, nullptr, 0);
}

/// The half of a word that futex(2) looks at, with its lowest 32 bits.
inline const std::atomic<std::uint32_t>& low_half(const std::atomic<std::uint64_t>& word) noexcept {
    static_assert(sizeof word == 2 * sizeof(std::atomic<std::uint32_t>));
    const auto* const halves = reinterpret_cast<const std::atomic<std::uint32_t>*>(&word);
    return halves[std::endian::native == std::endian::little ? 0 : 1];
}

/// Has `before` called ahead of every fork() of this process, and `after` behind it, in the parent
/// and in the child.
inline failure on_fork(void (*before)(), void (*in_parent)(), void (*in_child)()) noexcept {
    const int error = ::pthread_atfork(before, in_parent, in_child);
    return error == 0 ? failure{} : failed("pthread_atfork", error);
}

/// Tells this run of the machine from every other: the 36 characters of the kernel's boot_id, the
/// rest zero. ENOENT where there is no such thing (no /proc). A failure leaves zeros.
inline failure boot_id(std::array<char, 40>& to) noexcept {
    constexpr std::size_t length = 36;
    to = {};
    int fd = -1;
    if (auto f = open_file("/proc/sys/kernel/random/boot_id", access::read_only, disposition::open,
                           0, fd);
        f.failed())
        return f;
    std::size_t got = 0;
    auto f = read_at(fd, 0, reinterpret_cast<std::byte*>(to.data()), to.size(), got);
    (void)close(fd);
    const std::string_view line(to.data(), got);
    if (!f.failed() && line.substr(0, line.find('\n')).size() != length)
        f = failed("open", ENOENT); // something else, of that name
    std::size_t kept = f.failed() ? 0 : length;
    while (kept < to.size()) to[kept++] = '\0';
    return f;
}

inline failure add_seals(int fd, unsigned seals) noexcept {
    return check("fcntl", ::fcntl(fd, F_ADD_SEALS, static_cast<int>(seals)));
}

// ---- mapping ----

inline int protection(access wanted) noexcept {
    switch (wanted) {
    case access::none: return PROT_NONE;
    case access::read_only: return PROT_READ;
    case access::execute: return PROT_READ | PROT_EXEC;
    case access::read_write:
    case access::copy_on_write: break;
    }
    return PROT_READ | PROT_WRITE;
}

inline bool is_private(access wanted) noexcept {
    return wanted == access::copy_on_write || wanted == access::execute;
}

/// What to map. `address` is page aligned for `placement::exact`.
struct map_request {
    int fd = -1;
    std::uint64_t offset = 0; ///< page aligned
    std::size_t length = 0;
    access wanted = access::read_only;
    void* address = nullptr;
    placement where = placement::anywhere;
    bool past_the_end = false; ///< a reservation: do not count it against memory
};

inline failure map(const map_request& request, std::byte*& base) noexcept {
    int flags = is_private(request.wanted) ? MAP_PRIVATE : MAP_SHARED;
    if (request.past_the_end) flags |= MAP_NORESERVE;
    if (request.where == placement::exact) flags |= map_fixed_noreplace;
    void* const wanted = request.where == placement::anywhere ? nullptr : request.address;
    void* const got = ::mmap(wanted, request.length, protection(request.wanted), flags, request.fd,
                             static_cast<::off_t>(request.offset));
    if (got == MAP_FAILED) { // NOLINT: the macro casts
        auto f = failed("mmap");
        f.asked_bytes = request.length;
        return f;
    }
    if (request.where == placement::exact &&
        got != wanted) { // kernels before 4.17 take it as a hint
        ::munmap(got, request.length);
        return failed("mmap", EEXIST);
    }
    base = static_cast<std::byte*>(got);
    return {};
}

/// Whether fewer addresses might have been had: RLIMIT_AS; RLIMIT_MEMLOCK, where
/// mlockall(MCL_FUTURE) locks what is mapped; a file system whose files cannot get so long.
inline bool is_for_want_of_addresses(const failure& f) noexcept {
    return f.code() == std::errc::not_enough_memory ||
           f.code() == std::errc::resource_unavailable_try_again ||
           f.code() == std::errc::value_too_large;
}

/// Pages of this process alone, zero; a fork()ed child finds them zero again, however it was forked
/// (Linux 4.14).
inline failure map_forgetful(std::size_t length, std::byte*& base) noexcept {
    void* const got =
        ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (got == MAP_FAILED) return failed("mmap"); // NOLINT: the macro casts
    if (retry([&] { return ::madvise(got, length, MADV_WIPEONFORK); }) == -1) {
        const auto f = failed("madvise");
        ::munmap(got, length);
        return f;
    }
    base = static_cast<std::byte*>(got);
    return {};
}

inline failure unmap(void* base, std::size_t length) noexcept {
    return check("munmap", ::munmap(base, length));
}

/// What is mapped there already: the line of /proc/self/maps; empty if nothing is, or it cannot be
/// told.
inline std::string mapped_in(const std::byte* first, std::size_t length) {
    int fd = -1;
    if (open_file("/proc/self/maps", access::read_only, disposition::open, 0, fd).failed())
        return {};
    std::string all;
    char piece[4096]; // NOLINT: filled below
    for (;;) {
        const auto got = retry([&] { return ::read(fd, piece, sizeof piece); });
        if (got <= 0) break;
        all.append(piece, static_cast<std::size_t>(got));
    }
    (void)close(fd);
    const auto wanted = reinterpret_cast<std::uintptr_t>(first);
    for (std::size_t at = 0; at < all.size();) {
        const auto end = std::min(all.find('\n', at), all.size());
        const std::string_view line(all.data() + at, end - at);
        std::uintptr_t from = 0;
        std::uintptr_t to = 0;
        const auto* const last = line.data() + line.size();
        const auto dash = std::from_chars(line.data(), last, from, 16);
        if (dash.ptr != last && std::from_chars(dash.ptr + 1, last, to, 16).ec == std::errc{} &&
            from < wanted + length && to > wanted)
            return std::string(line);
        at = end + 1;
    }
    return {};
}

inline failure protect(void* first, std::size_t length, access wanted) noexcept {
    return check("mprotect", ::mprotect(first, length, protection(wanted)));
}

enum class sync_mode : unsigned char { wait, start };

inline failure sync_range(void* first, std::size_t length, sync_mode mode) noexcept {
    return check("msync", retry([&] {
                     return ::msync(first, length, mode == sync_mode::wait ? MS_SYNC : MS_ASYNC);
                 }));
}

inline int number(advice what) noexcept {
    switch (what) {
    case advice::normal: return MADV_NORMAL;
    case advice::random: return MADV_RANDOM;
    case advice::sequential: return MADV_SEQUENTIAL;
    case advice::will_need: return MADV_WILLNEED;
    case advice::populate_read: return madv_populate_read;
    case advice::populate_write: return madv_populate_write;
    case advice::cold: return madv_cold;
    case advice::page_out: return madv_pageout;
    case advice::huge_page: return MADV_HUGEPAGE;
    case advice::no_huge_page: return MADV_NOHUGEPAGE;
    case advice::collapse: return madv_collapse;
    case advice::mergeable: return MADV_MERGEABLE;
    case advice::unmergeable: return MADV_UNMERGEABLE;
    case advice::dump: return MADV_DODUMP;
    case advice::dont_dump: return MADV_DONTDUMP;
    case advice::fork: return MADV_DOFORK;
    case advice::dont_fork: return MADV_DONTFORK;
    }
    return -1;
}

inline int number(destructive_advice what) noexcept {
    switch (what) {
    case destructive_advice::dont_need: return MADV_DONTNEED;
    case destructive_advice::dont_need_locked: return madv_dontneed_locked;
    case destructive_advice::free: return MADV_FREE;
    case destructive_advice::remove: return MADV_REMOVE;
    case destructive_advice::wipe_on_fork: return MADV_WIPEONFORK;
    case destructive_advice::keep_on_fork: return MADV_KEEPONFORK;
    case destructive_advice::guard_install: return madv_guard_install;
    case destructive_advice::guard_remove: return madv_guard_remove;
    }
    return -1;
}

template <class Advice> failure advise(void* first, std::size_t length, Advice what) noexcept {
    return check("madvise", retry([&] { return ::madvise(first, length, number(what)); }));
}

inline failure lock(void* first, std::size_t length) noexcept {
    return check("mlock", ::mlock(first, length));
}
inline failure unlock(void* first, std::size_t length) noexcept {
    return check("munlock", ::munlock(first, length));
}

/// Counts the resident pages among those from `first`, which is page aligned.
inline failure count_resident(std::byte* first, std::size_t length,
                              std::size_t& resident_pages) noexcept {
    unsigned char answers[1024]; // NOLINT: filled by the call
    const std::size_t window = sizeof answers * page_size();
    resident_pages = 0;
    for (std::size_t at = 0; at < length; at += window) {
        const std::size_t n_bytes = length - at < window ? length - at : window;
        if (::mincore(first + at, n_bytes, answers) != 0) return failed("mincore");
        const std::size_t n_pages = (n_bytes + page_size() - 1) / page_size();
        for (std::size_t page = 0; page < n_pages; ++page) resident_pages += answers[page] & 1U;
    }
    return {};
}

/// Whether a byte can be read without a signal, at this moment.
inline failure probe(std::byte* at, bool& readable) noexcept {
    auto* const page = at - reinterpret_cast<std::uintptr_t>(at) % page_size();
    const auto populated = advise(page, page_size(), advice::populate_read);
    readable = !populated.failed();
    if (readable || populated.code() != std::errc::invalid_argument) return {};
    // Before Linux 5.14: let the kernel copy the byte, which answers EFAULT where a load would
    // raise a signal.
    char byte = 0;
    ::iovec to{&byte, 1};
    ::iovec from{at, 1};
    const auto copied = ::process_vm_readv(::getpid(), &to, 1, &from, 1, 0);
    if (copied == -1 && errno != EFAULT) return failed("process_vm_readv");
    readable = copied == 1;
    return {};
}

} // namespace mmstl::inline v1::detail::posix

#endif
