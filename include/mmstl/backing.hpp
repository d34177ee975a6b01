// SPDX-License-Identifier: MIT
//
// backing: where the bytes live. A description, and the open object that comes of it.

#ifndef MMSTL_BACKING_HPP
#define MMSTL_BACKING_HPP

#include <mmstl/access.hpp>
#include <mmstl/detail/posix.hpp>
#include <mmstl/error.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace mmstl::inline v1 {

class backing;
class backing_handle;
class mapping;
namespace detail {
struct core;
}

namespace detail {
/// The base of views that convert to strings, and are not the paths that their contents spell.
struct not_a_path {};
} // namespace detail

/// Whatever spells a path: strings, string views, literals, `std::filesystem::path`.
template <class Path>
concept path_like =
    !std::same_as<Path, std::nullptr_t> && !std::derived_from<Path, detail::not_a_path> &&
    (std::convertible_to<const Path&, std::string_view> || requires(const Path& path) {
        { path.native() } -> std::convertible_to<std::string_view>;
    });

/// Options of `file`.
struct file_options {
    unsigned permissions = 0666; ///< of a file that is created, less the umask
};
/// Options of `shared_memory`.
struct shared_memory_options {
    unsigned permissions = 0600; ///< of an object that is created, less the umask
};
/// Options of `memory_file` and `anonymous`.
struct memory_options {
    mmstl::pages pages =
        mmstl::pages::normal; ///< `huge_tlb`: sizes are rounded up to the huge page
};

/// What may no longer happen to a memory file, whoever holds it.
///
/// Source: fcntl(2), F_ADD_SEALS.
enum class seal : unsigned {
    seals = 0x1,  ///< adding seals
    shrink = 0x2, ///< shrinking: who maps it will never meet SIGBUS
    grow = 0x4,   ///< growing
    /// Writing: refused with EBUSY while writable mappings exist. Before Linux 6.7 such a file is then
    /// mapped only through a descriptor that is open for reading alone, or copy-on-write.
    write = 0x8,
    future_write = 0x10, ///< writing but through the mappings that exist (Linux 5.1)
};
/// What is in either.
constexpr seal operator|(seal a, seal b) noexcept {
    return static_cast<seal>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}

/// A file by its path. Who made the name unlinks it, by `remove()`.
template <path_like Path>
[[nodiscard]] backing file(const Path& path, const file_options& options = {});
/// A file without a name, in `directory` ($TMPDIR or /tmp if not given); gone when the last
/// descriptor and mapping are.
template <path_like Path> [[nodiscard]] backing temporary_file(const Path& directory);
[[nodiscard]] inline backing temporary_file();
/// POSIX shared memory: unrelated processes open it by name ("/name"). It stays until `remove()` or
/// a reboot.
template <path_like Path>
[[nodiscard]] backing shared_memory(const Path& name, const shared_memory_options& options = {});
/// Memory that behaves as a file (memfd): can be sealed, and sent to other processes. `label` is
/// for the eye alone.
template <path_like Path>
[[nodiscard]] backing memory_file(const Path& label, const memory_options& options = {});
/// Memory shared with fork()ed children, and with nobody else.
[[nodiscard]] inline backing anonymous(const memory_options& options = {});
/// A descriptor that stays the caller's: neither closed nor moved. It may be closed as soon as a
/// mapping, span, vector or segment has been made of it: those that need a descriptor for longer
/// have a duplicate. (When that is closed, the process loses its own record locks on the file, as
/// by any close of it: fcntl(2), F_SETLK.)
[[nodiscard]] inline backing borrowed_fd(int fd);

/// Where bytes live: a description alone, which opens nothing.
///
/// A path converts to it, so that functions which take a `const backing&` take a path.
/// Threads: as `std::string`.
class backing {
public:
    /// The same as `file(path)`.
    template <path_like Path>
        requires(!std::derived_from<Path, backing>)
    backing(const Path& path) : backing(file(path)) {} // NOLINT(google-explicit-constructor)

    /// Opens what is there.
    ///
    /// What has no name (temporary file, memory file, anonymous memory) is made anew, empty.
    /// `read_write` opens for writing, every other access for reading alone.
    /// Throws: `mapping_error`: the errno of open(2), shm_open(3), memfd_create(2) or fstat(2);
    ///         EISDIR for a directory, `not_mappable` for a FIFO, socket or character device.
    ///         Nothing stays open.
    [[nodiscard]] backing_handle open(access wanted = access::read_only) const;
    [[nodiscard]] backing_handle open(access wanted, std::error_code& ec) const;

    /// Creates it, empty, for reading and writing; what exists already is an error (EEXIST) and
    /// stays as it is.
    ///
    /// Throws: `mapping_error`, as `open`; `no_name` for a borrowed descriptor, which cannot be
    ///         created.
    [[nodiscard]] backing_handle create() const;
    [[nodiscard]] backing_handle create(std::error_code& ec) const;

    /// Opens it for reading and writing, or creates it; `backing_handle::created()` tells which
    /// happened.
    ///
    /// Throws: as `open` and `create`.
    [[nodiscard]] backing_handle open_or_create() const;
    [[nodiscard]] backing_handle open_or_create(std::error_code& ec) const;

    /// Takes the name away. Open handles and mappings keep their bytes.
    ///
    /// Throws: `mapping_error`: the errno of unlink(2) or shm_unlink(3); `no_name` where there is
    ///         none.
    void remove() const;
    void remove(std::error_code& ec) const noexcept;

    /// The path, name or label; of a temporary file its directory; "anonymous"; "fd 3".
    [[nodiscard]] const std::string& name() const noexcept { return name_; }

    /// Whether another process can open it by its name.
    [[nodiscard]] bool has_name() const noexcept {
        return kind_ == kind::file || kind_ == kind::shared_memory;
    }

    /// Whether opening makes a new, empty object each time.
    [[nodiscard]] bool is_fresh() const noexcept {
        return kind_ == kind::temporary_file || kind_ == kind::memory_file ||
               kind_ == kind::anonymous;
    }

private:
    friend class backing_handle;
    friend class mapping;
    friend struct detail::core;
    template <path_like Path> friend backing file(const Path&, const file_options&);
    template <path_like Path> friend backing temporary_file(const Path&);
    friend backing temporary_file();
    template <path_like Path>
    friend backing shared_memory(const Path&, const shared_memory_options&);
    template <path_like Path> friend backing memory_file(const Path&, const memory_options&);
    friend backing anonymous(const memory_options&);
    friend backing borrowed_fd(int);

    enum class kind : unsigned char {
        file,
        temporary_file,
        shared_memory,
        memory_file,
        anonymous,
        borrowed_fd
    };

    backing(kind which, std::string name) noexcept : name_(std::move(name)), kind_(which) {}

    template <path_like Path> static std::string spell(const Path& path) {
        if constexpr (std::convertible_to<const Path&, std::string_view>)
            return std::string(static_cast<std::string_view>(path));
        else
            return std::string(static_cast<std::string_view>(path.native()));
    }

    [[nodiscard]] detail::failure check_name(const char* call) const noexcept;
    [[nodiscard]] detail::failure unlink() const noexcept;
    detail::failure open_fd(access wanted, detail::posix::disposition how, int& fd) const;

    std::string name_;
    unsigned permissions_ = 0;
    int fd_ = -1;
    kind kind_;
    mmstl::pages pages_ = mmstl::pages::normal;
};

/// An open backing: owns the descriptor (but a borrowed one), with O_CLOEXEC. Movable; a moved-from
/// handle is closed.
///
/// A borrowed descriptor has to stay open as long as the handle is used.
/// Mappings made of it do not need it any more: it may be closed at once.
/// Threads: `resize` needs the caller's own lock; the rest is as thread-safe as the system calls
///          behind it.
class backing_handle {
public:
    /// Closed.
    backing_handle() noexcept = default;
    backing_handle(backing_handle&& other) noexcept
        : name_(std::move(other.name_)), facts_(other.facts_), fd_(std::exchange(other.fd_, -1)),
          kind_(other.kind_), created_(other.created_), is_borrowed_(other.is_borrowed_) {}
    backing_handle& operator=(backing_handle&& other) noexcept {
        backing_handle old(std::move(other));
        std::swap(name_, old.name_);
        std::swap(facts_, old.facts_);
        std::swap(fd_, old.fd_);
        std::swap(kind_, old.kind_);
        std::swap(created_, old.created_);
        std::swap(is_borrowed_, old.is_borrowed_);
        return *this;
    }
    /// Closes, in silence: `close()` reports.
    ~backing_handle() { (void)release(); }

    /// Whether it holds a descriptor.
    [[nodiscard]] bool is_open() const noexcept { return fd_ != -1; }
    /// The descriptor, still owned by this handle, or borrowed; -1 when closed.
    [[nodiscard]] int native_handle() const noexcept { return fd_; }
    /// As `backing::name`.
    [[nodiscard]] const std::string& name() const noexcept { return name_; }
    /// Whether this call made the object: true after `create`, and for temporary files, memory files
    /// and anonymous memory.
    [[nodiscard]] bool created() const noexcept { return created_; }

    /// The length now, in bytes; of a block device its capacity.
    ///
    /// Throws: `mapping_error` with the errno of fstat(2).
    [[nodiscard]] std::uint64_t size_bytes() const;

    /// Makes it `size_bytes` long, if it is open for writing (EINVAL or EBADF); new bytes are zero. On hugetlbfs, the size is rounded up to a
    /// huge page.
    ///
    /// Throws: `mapping_error`: ENOSPC or EDQUOT when `blocks` finds the disk full, EFBIG past the
    ///         file size limit (and no signal), EPERM on a seal, EOPNOTSUPP where `blocks` is more
    ///         than the file system can. The size is then as before.
    /// Validity: shrinking takes pages from under every mapping: touching them raises SIGBUS.
    /// Source: fallocate(2), ftruncate(2). btrfs and ZFS may run out of space in blocks that are
    ///         allocated.
    void resize(std::uint64_t size_bytes, allocation how = allocation::automatic);
    void resize(std::uint64_t size_bytes, allocation how, std::error_code& ec) noexcept;

    /// Forbids what `what` names, for good.
    ///
    /// Throws: `mapping_error` with the errno of fcntl(2): EINVAL for what is no memory file, EPERM
    ///         when sealed against it.
    void add_seals(seal what);

    /// Waits until all that was written is on the disk.
    ///
    /// Throws: `mapping_error` with the errno of fsync(2). Do not retry: the kernel may have
    ///         dropped what it could not write.
    void sync();
    void sync(std::error_code& ec) noexcept;

    /// Closes and reports. The destructor does the same in silence.
    ///
    /// Throws: `mapping_error` with the errno of close(2). It is closed all the same.
    void close();
    void close(std::error_code& ec) noexcept;

private:
    friend class backing;
    friend class mapping;
    friend struct detail::core;

    using kind = backing::kind;

    static detail::failure open(const backing& from, access wanted, backing_handle& to);
    static detail::failure create(const backing& from, backing_handle& to);
    static detail::failure open_or_create(const backing& from, backing_handle& to);
    static detail::failure attach(const backing& from, access wanted,
                                  detail::posix::disposition how, backing_handle& to);
    detail::failure examine() noexcept { return detail::posix::examine(fd_, facts_); }
    detail::failure own() noexcept;

    detail::failure resize_to(std::uint64_t size_bytes, allocation how) noexcept;
    detail::failure grow_to(std::uint64_t size_bytes, allocation how) noexcept;
    detail::failure release() noexcept {
        const int fd = std::exchange(fd_, -1);
        return fd == -1 || is_borrowed_ ? detail::failure{} : detail::posix::close(fd);
    }

    std::string name_;
    detail::posix::facts facts_; ///< as of opening or the last resize
    int fd_ = -1;
    kind kind_ = kind::file;
    bool created_ = false;
    bool is_borrowed_ = false; ///< and so not closed: the caller's
};

// ---- factories ----

template <path_like Path> backing file(const Path& path, const file_options& options) {
    backing made(backing::kind::file, backing::spell(path));
    made.permissions_ = options.permissions;
    return made;
}

template <path_like Path> backing temporary_file(const Path& directory) {
    return backing(backing::kind::temporary_file, backing::spell(directory));
}

inline backing temporary_file() {
    return backing(backing::kind::temporary_file, detail::posix::temporary_directory());
}

template <path_like Path>
backing shared_memory(const Path& name, const shared_memory_options& options) {
    backing made(backing::kind::shared_memory, backing::spell(name));
    made.permissions_ = options.permissions;
    return made;
}

template <path_like Path> backing memory_file(const Path& label, const memory_options& options) {
    backing made(backing::kind::memory_file, backing::spell(label));
    made.pages_ = options.pages;
    return made;
}

inline backing anonymous(const memory_options& options) {
    backing made(backing::kind::anonymous, "anonymous");
    made.pages_ = options.pages;
    return made;
}

inline backing borrowed_fd(int fd) {
    backing made(backing::kind::borrowed_fd, "fd " + std::to_string(fd));
    made.fd_ = fd;
    return made;
}

// ---- opening ----

inline detail::failure backing::check_name(const char* call) const noexcept {
    return name_.find('\0') == std::string::npos ? detail::failure{}
                                                 : detail::refuse(errc::bad_name, call);
}

inline detail::failure backing::open_fd(access wanted, detail::posix::disposition how,
                                        int& fd) const {
    switch (kind_) {
    case kind::file: return detail::posix::open_file(name_.c_str(), wanted, how, permissions_, fd);
    case kind::shared_memory:
        return detail::posix::open_shared_memory(name_.c_str(), wanted, how, permissions_, fd);
    case kind::temporary_file: return detail::posix::open_temporary(name_, fd);
    case kind::memory_file:
    case kind::anonymous: return detail::posix::open_memory(name_.c_str(), pages_, fd);
    case kind::borrowed_fd: break;
    }
    if (how == detail::posix::disposition::create)
        return detail::refuse(errc::no_name, "borrowed_fd");
    fd = fd_;
    return detail::posix::check_access(fd_, wanted);
}

// Opens into a handle that is closed, and leaves it to the caller to name and examine it. If it
// fails and the handle is open, the file has been opened, or created.
inline detail::failure backing_handle::attach(const backing& from, access wanted,
                                              detail::posix::disposition how, backing_handle& to) {
    if (auto f = from.check_name("open"); f.failed()) return f;
    int fd = -1;
    if (auto f = from.open_fd(wanted, how, fd); f.failed()) return f;
    to.fd_ = fd;
    to.kind_ = from.kind_;
    to.is_borrowed_ = from.kind_ == kind::borrowed_fd;
    to.created_ = how == detail::posix::disposition::create || from.is_fresh();
    return to.is_borrowed_ ? detail::failure{} : detail::posix::move_up(to.fd_);
}

inline detail::failure backing_handle::open(const backing& from, access wanted,
                                            backing_handle& to) {
    backing_handle opened;
    opened.name_ = from.name_; // before the descriptor: allocating may throw
    if (auto f = attach(from, wanted, detail::posix::disposition::open, opened); f.failed())
        return f;
    if (auto f = opened.examine(); f.failed()) return f;
    to = std::move(opened);
    return {};
}

inline detail::failure backing_handle::create(const backing& from, backing_handle& to) {
    backing_handle opened;
    opened.name_ = from.name_;
    auto f = attach(from, access::read_write, detail::posix::disposition::create, opened);
    if (!f.failed()) f = opened.examine();
    if (f.failed()) {
        std::error_code ignored;
        if (opened.is_open()) from.remove(ignored); // what was made is taken back
        return f;
    }
    to = std::move(opened);
    return {};
}

inline detail::failure backing_handle::open_or_create(const backing& from, backing_handle& to) {
    // Two processes may race: who loses the creation finds the file there, who finds it gone
    // creates it. A symbolic link to nothing answers both ways for ever, hence the bound.
    for (int tries = 0;; ++tries) {
        auto f = open(from, access::read_write, to);
        if (f.code() != std::errc::no_such_file_or_directory || !from.has_name()) return f;
        f = create(from, to);
        if (f.code() != std::errc::file_exists || tries == 100) return f;
    }
}

/// Of a borrowed descriptor makes a duplicate, which is this handle's. The kind stays: both are one
/// open file, with one position and one set of locks.
inline detail::failure backing_handle::own() noexcept {
    if (!is_borrowed_) return {};
    int duplicate = -1;
    if (auto f = detail::posix::duplicate(fd_, duplicate); f.failed()) return f;
    fd_ = duplicate;
    is_borrowed_ = false;
    return {};
}

inline backing_handle backing::open(access wanted) const {
    backing_handle opened;
    detail::throw_if(backing_handle::open(*this, wanted, opened), name_);
    return opened;
}

inline backing_handle backing::open(access wanted, std::error_code& ec) const {
    backing_handle opened;
    ec = backing_handle::open(*this, wanted, opened).code();
    return opened;
}

inline backing_handle backing::create() const {
    backing_handle opened;
    detail::throw_if(backing_handle::create(*this, opened), name_);
    return opened;
}

inline backing_handle backing::create(std::error_code& ec) const {
    backing_handle opened;
    ec = backing_handle::create(*this, opened).code();
    return opened;
}

inline backing_handle backing::open_or_create() const {
    backing_handle opened;
    detail::throw_if(backing_handle::open_or_create(*this, opened), name_);
    return opened;
}

inline backing_handle backing::open_or_create(std::error_code& ec) const {
    backing_handle opened;
    ec = backing_handle::open_or_create(*this, opened).code();
    return opened;
}

inline detail::failure backing::unlink() const noexcept {
    if (auto f = check_name("unlink"); f.failed()) return f;
    if (kind_ == kind::file) return detail::posix::unlink(name_.c_str());
    if (kind_ == kind::shared_memory) return detail::posix::unlink_shared_memory(name_.c_str());
    return detail::refuse(errc::no_name, "remove");
}

inline void backing::remove() const { detail::throw_if(unlink(), name_); }
inline void backing::remove(std::error_code& ec) const noexcept { ec = unlink().code(); }

// ---- the open object ----

inline std::uint64_t backing_handle::size_bytes() const {
    detail::posix::facts now;
    detail::throw_if(detail::posix::examine(fd_, now), name_);
    return now.size_bytes;
}

inline detail::failure backing_handle::grow_to(std::uint64_t size_bytes, allocation how) noexcept {
    const auto old = facts_.size_bytes;
    const bool memory = kind_ == kind::memory_file || kind_ == kind::anonymous;
    if (how == allocation::sparse || (how == allocation::automatic && memory))
        return detail::posix::truncate(fd_, size_bytes);
    auto f = detail::posix::allocate(fd_, old, size_bytes - old);
    if (!f.failed()) return f;
    if (how == allocation::automatic && f.code() == std::errc::operation_not_supported)
        return detail::posix::truncate(fd_, size_bytes);
    // A file system that ran out half-way may have kept a part: give it back, and report the first
    // error.
    (void)detail::posix::truncate(fd_, old);
    f.asked_bytes = size_bytes;
    f.available_bytes = old;
    return f;
}

inline detail::failure backing_handle::resize_to(std::uint64_t size_bytes,
                                                 allocation how) noexcept {
    if (auto f = examine(); f.failed()) return f;
    // hugetlbfs takes whole pages only; what is too large to be rounded is refused below.
    if (facts_.page_bytes > detail::posix::page_size() &&
        size_bytes <= SIZE_MAX - facts_.page_bytes)
        size_bytes = (size_bytes + facts_.page_bytes - 1) / facts_.page_bytes * facts_.page_bytes;
    if (size_bytes == facts_.size_bytes) return {};
    if (size_bytes > facts_.size_bytes) {
        if (auto f = detail::posix::check_size_limit(size_bytes); f.failed()) return f;
        if (auto f = grow_to(size_bytes, how); f.failed()) return f;
    } else if (auto f = detail::posix::truncate(fd_, size_bytes); f.failed()) {
        return f;
    }
    facts_.size_bytes = size_bytes;
    return {};
}

inline void backing_handle::resize(std::uint64_t size_bytes, allocation how) {
    detail::throw_if(resize_to(size_bytes, how), name_);
}

inline void backing_handle::resize(std::uint64_t size_bytes, allocation how,
                                   std::error_code& ec) noexcept {
    ec = resize_to(size_bytes, how).code();
}

inline void backing_handle::add_seals(seal what) {
    detail::throw_if(detail::posix::add_seals(fd_, static_cast<unsigned>(what)), name_);
}

inline void backing_handle::sync() { detail::throw_if(detail::posix::sync(fd_), name_); }
inline void backing_handle::sync(std::error_code& ec) noexcept {
    ec = detail::posix::sync(fd_).code();
}

inline void backing_handle::close() { detail::throw_if(release(), name_); }
inline void backing_handle::close(std::error_code& ec) noexcept { ec = release().code(); }

} // namespace mmstl::inline v1

#endif
