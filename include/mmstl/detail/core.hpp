// SPDX-License-Identifier: MIT
//
// detail::core: what typed views ask of a backing and a mapping beyond their public functions:
// forms that return a `failure`, so that each view can throw or fill an error_code with one and the
// same code.

#ifndef MMSTL_DETAIL_CORE_HPP
#define MMSTL_DETAIL_CORE_HPP

#include <mmstl/backing.hpp>
#include <mmstl/detail/posix.hpp>
#include <mmstl/detail/undo.hpp>
#include <mmstl/mapping.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace mmstl::inline v1::detail {

/// Which of the three ways to open a backing.
enum class opening : unsigned char { open, create, open_or_create };

struct core {
    /// Opens, or creates under the eyes of everybody.
    static failure open(const backing& from, access wanted, opening how, backing_handle& to) {
        switch (how) {
        case opening::open: return backing_handle::open(from, wanted, to);
        case opening::create: return backing_handle::create(from, to);
        case opening::open_or_create: break;
        }
        return backing_handle::open_or_create(from, to);
    }

    /// Opens as `how` says. What has to be made is made ready by `prepare(handle)` before anyone
    /// can find it by its name: neither another process nor one that comes after a kill sees a
    /// part.
    ///
    /// `prepare` returns a `failure`, and may throw. It is called only for what is made, and gets
    /// it empty, open for reading and writing. What it has prepared may be lost to another process
    /// that was faster: then it is called anew with another file, or `to` is in the end what that
    /// process has made, and `to.created()` is false. Nothing is left behind by an error or an
    /// exception, and `to` is then as before.
    ///
    /// On file systems that have no unnamed files (NFS, FAT, overlays before Linux 6.1) the name is
    /// there first, and `prepare` works under `posix::lock_file`: who opens a file that is empty,
    /// and wants to know whether it stays so, waits for that lock and looks again, at the name too.
    /// Whoever fills it under the lock before its maker has got that owns it: the name was taken.
    template <class Prepare>
    static failure open(const backing& from, access wanted, opening how, backing_handle& to,
                        Prepare prepare);

    /// Makes of an empty file that was there already what `prepare(handle)` does; `made` says
    /// whether it did. Whoever finds it empty under the lock does, everybody else finds it done.
    /// Who failed to create it by its name takes the name away under that lock: then there is
    /// nothing to open. A failure leaves the file empty.
    template <class Prepare>
    static failure adopt_empty(const backing& from, backing_handle& opened, Prepare prepare,
                               bool& made) {
        const auto is_empty = [](const backing_handle& what, bool& answer) {
            answer = facts(what).size_bytes == 0;
            return failure{};
        };
        return adopt(from, opened, is_empty, prepare, made);
    }

    /// The same for a file of which `is_unfinished(handle, answer)` says, asked under the lock,
    /// that whoever had begun to make it was killed. It is for `prepare` to empty it.
    template <class IsUnfinished, class Prepare>
    static failure adopt(const backing& from, backing_handle& opened, IsUnfinished is_unfinished,
                         Prepare prepare, bool& made);

    /// Opens for reading, without a name or facts: `complete` adds both.
    static failure open_bare(const backing& from, backing_handle& to) {
        return backing_handle::attach(from, access::read_only, posix::disposition::open, to);
    }
    static failure complete(backing_handle& what, const backing& from) {
        what.name_ = from.name_;
        return what.examine();
    }

    /// For who keeps the handle: the caller may close what was borrowed of him, and its number is
    /// another file's then.
    static failure own(backing_handle& what) noexcept { return what.own(); }

    /// Asks anew for what `facts` tells.
    static failure examine(backing_handle& what) noexcept { return what.examine(); }

    /// Where the name is in the file system; empty for what is not the name of a file: opening it
    /// says why.
    static std::string path_of(const backing& named) {
        if (named.kind_ == backing::kind::file)
            return named.name_.ends_with('/') ? std::string() : named.name_;
        std::string_view name = named.name_; // shm_overview(7), and what the C library makes of it
        name.remove_prefix(std::min(name.find_first_not_of('/'), name.size()));
        constexpr std::size_t longest = 254;
        const bool refused = name.empty() || name.size() > longest || name == "." || name == ".." ||
                             name.find('/') != name.npos;
        return refused ? std::string() : std::string("/dev/shm/").append(name);
    }

    /// Whether the name stands for that file; of shared memory, which has no path, always.
    static bool still_names(const backing& name, const posix::facts& file) noexcept {
        posix::facts now;
        return name.kind_ != backing::kind::file ||
               (posix::examine_path(name.name_.c_str(), now) && now.same_file(file));
    }

    static const posix::facts& facts(const backing_handle& of) noexcept { return of.facts_; }
    static const posix::facts& facts(const mapping& of) noexcept { return of.facts_; }

    static failure resize(backing_handle& what, std::uint64_t size_bytes, allocation how) noexcept {
        return what.resize_to(size_bytes, how);
    }

    /// Maps the handle with what is known of it: no system call to ask again.
    static failure map(mapping& to, const backing_handle& from, const mapping_options& options) {
        return to.map(from, from.facts_, options);
    }

    /// Lets an empty mapping know its name: for a view that read the bytes instead.
    static void remember(mapping& to, const backing& from) {
        to.name_ = from.name_;
        to.kind_ = from.kind_;
        to.access_ = access::read_only;
    }

    /// The backing behind a mapping, where its name is enough to find it again.
    static failure backing_of(const mapping& of, backing& found) {
        if (of.kind_ != backing::kind::file && of.kind_ != backing::kind::shared_memory)
            return refuse(errc::no_name, "refresh");
        found = backing(of.kind_, of.name_);
        return {};
    }

    /// Whether there is a disk to read ahead from.
    static bool has_disk(const mapping& of) noexcept {
        return of.kind_ == backing::kind::file || of.kind_ == backing::kind::temporary_file ||
               of.kind_ == backing::kind::borrowed_fd;
    }

    /// Whether what is grown that way has no blocks until it is stored to: see
    /// `backing_handle::resize`.
    static bool is_sparse(const mapping& of, allocation how) noexcept {
        return how == allocation::sparse ||
               (how == allocation::automatic &&
                (of.kind_ == backing::kind::memory_file || of.kind_ == backing::kind::anonymous));
    }

    static std::byte* data(const mapping& of) noexcept { return of.data_; }

    static failure flush(mapping& what, std::size_t first_byte, std::size_t n_bytes) {
        return what.sync(first_byte, n_bytes, posix::sync_mode::wait);
    }

    static failure release(mapping& what) noexcept { return what.release(); }

private:
    /// What else there is to know of an attempt to create.
    enum class verdict : unsigned char {
        final,      ///< nothing: it is made, or failed
        name_taken, ///< someone else was faster
        by_name,    ///< failed for want of unnamed files: try it the other way
    };

    /// What is borrowed may be lent to others as well, a fork()ed child or whoever it was sent to:
    /// with one open file description they would all get its lock. So it is opened anew, where that
    /// is possible.
    static failure open_to_lock(const backing_handle& borrowed, backing_handle& own) noexcept;

    template <class Prepare>
    static failure make_unnamed(const std::string& path, const backing& from, backing_handle& to,
                                Prepare& prepare, verdict& found);
    template <class Prepare>
    static failure make_by_name(const backing& from, backing_handle& to, Prepare& prepare,
                                verdict& found);
};

/// Takes back what was created by its name unless it is kept, so that neither an error nor an
/// exception leaves anything behind. A file that has taken the name meanwhile stays.
class creation {
public:
    creation(const backing& from, const backing_handle& opened) noexcept
        : from_(opened.created() && from.has_name() ? &from : nullptr), made_(core::facts(opened)) {
    }
    creation(const creation&) = delete;
    creation& operator=(const creation&) = delete;
    ~creation() {
        std::error_code ignored;
        if (from_ != nullptr && core::still_names(*from_, made_)) from_->remove(ignored);
    }
    void keep() noexcept { from_ = nullptr; }

private:
    const backing* from_;
    posix::facts made_;
};

template <class Prepare>
failure core::open(const backing& from, access wanted, opening how, backing_handle& to,
                   Prepare prepare) {
    if (how == opening::open || !from.has_name()) {
        backing_handle opened;
        if (auto f = open(from, wanted, how, opened); f.failed()) return f;
        if (opened.created())
            if (auto f = prepare(opened); f.failed()) return f;
        to = std::move(opened);
        return {};
    }
    // Who loses the creation finds the file there, who finds it gone creates it: see
    // backing_handle::open_or_create.
    for (int tries = 0;; ++tries) {
        if (how == opening::open_or_create) {
            auto f = backing_handle::open(from, access::read_write, to);
            if (f.code() != std::errc::no_such_file_or_directory) return f;
        }
        const std::string path = path_of(from);
        auto found = path.empty() ? verdict::by_name : verdict::final;
        failure f;
        if (found != verdict::by_name) f = make_unnamed(path, from, to, prepare, found);
        if (found == verdict::by_name) f = make_by_name(from, to, prepare, found);
        if (found != verdict::name_taken || how == opening::create || tries == 100) return f;
    }
}

template <class IsUnfinished, class Prepare>
failure core::adopt(const backing& from, backing_handle& opened, IsUnfinished is_unfinished,
                    Prepare prepare, bool& made) {
    backing_handle own;
    if (auto f = open_to_lock(opened, own); f.failed()) return f;
    const int fd = own.is_open() ? own.fd_ : opened.fd_;
    const auto locked = posix::lock_file(fd);
    if (locked.failed() && !posix::is_for_want_of_locks(locked)) return locked;
    const undo unlock([&] {
        if (!locked.failed()) (void)posix::unlock_file(fd);
    });
    if (auto f = complete(opened, from); f.failed()) return f;
    if (!still_names(from, opened.facts_)) return posix::failed("open", ENOENT);
    bool unfinished = false;
    if (auto f = is_unfinished(opened, unfinished); f.failed() || !unfinished) return f;
    undo empty([&] { (void)opened.resize_to(0, allocation::sparse); }); // as it was
    const auto f = prepare(opened);
    made = !f.failed();
    if (made) empty.cancel();
    return f;
}

inline failure core::open_to_lock(const backing_handle& borrowed, backing_handle& own) noexcept {
    if (borrowed.kind_ != backing::kind::borrowed_fd) return {};
    const auto f = posix::reopen(borrowed.fd_, own.fd_);
    const bool cannot = f.value == ENOENT || f.value == EACCES; // no /proc; a file of others
    return cannot ? failure{} : f;
}

template <class Prepare>
failure core::make_unnamed(const std::string& path, const backing& from, backing_handle& to,
                           Prepare& prepare, verdict& found) {
    // Where creating by name would have failed too, the error is that of creating by name.
    const char* const call = from.kind_ == backing::kind::file ? "open" : "shm_open";
    const auto fails = [&](failure f, verdict why) {
        found = why;
        f.call = call;
        return f;
    };
    if (auto f = from.check_name("open"); f.failed()) return f;
    bool exists = false; // asked first: to prepare may be dear
    if (auto f = posix::find_name(path.c_str(), exists); f.failed())
        return fails(f, verdict::final);
    if (exists) return fails(posix::failed(call, EEXIST), verdict::name_taken);

    backing_handle made;
    made.name_ = from.name_;
    const std::string directory(posix::directory_of(path));
    if (auto f = posix::open_unnamed(directory, from.permissions_, made.fd_); f.failed())
        return fails(f, posix::is_for_want_of_unnamed_files(f) ? verdict::by_name : verdict::final);
    made.kind_ = from.kind_;
    made.created_ = true;
    if (auto f = posix::move_up(made.fd_); f.failed()) return f;
    if (auto f = made.examine(); f.failed()) return f;
    if (auto f = prepare(made); f.failed()) return f;
    if (auto f = posix::give_name(made.fd_, path.c_str()); f.failed()) {
        if (f.code() == std::errc::file_exists) return fails(f, verdict::name_taken);
        if (posix::is_for_want_of_unnamed_files(f)) found = verdict::by_name;
        return f;
    }
    to = std::move(made);
    return {};
}

template <class Prepare>
failure core::make_by_name(const backing& from, backing_handle& to, Prepare& prepare,
                           verdict& found) {
    found = verdict::final;
    backing_handle made;
    if (auto f = backing_handle::create(from, made); f.failed()) {
        if (f.code() == std::errc::file_exists) found = verdict::name_taken;
        return f;
    }
    creation taken_back(from, made);
    const auto locked = posix::lock_file(made.fd_);
    if (locked.failed() && !posix::is_for_want_of_locks(locked)) return locked;
    if (auto f = made.examine(); f.failed()) return f;
    if (made.facts_.size_bytes != 0) {
        taken_back.keep();
        found = verdict::name_taken;
        return posix::failed(from.kind_ == backing::kind::file ? "open" : "shm_open", EEXIST);
    }
    if (auto f = prepare(made); f.failed()) return f;
    if (!locked.failed())
        if (auto f = posix::unlock_file(made.fd_); f.failed()) return f;
    taken_back.keep();
    to = std::move(made);
    return {};
}

} // namespace mmstl::inline v1::detail

#endif
