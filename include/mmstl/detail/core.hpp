// SPDX-License-Identifier: MIT
//
// detail::core: what typed views ask of a backing and a mapping beyond their public functions:
// forms that return a `failure`, so that each view can throw or fill an error_code with one and the
// same code.

#ifndef MMSTL_DETAIL_CORE_HPP
#define MMSTL_DETAIL_CORE_HPP

#include <mmstl/backing.hpp>
#include <mmstl/detail/posix.hpp>
#include <mmstl/mapping.hpp>

#include <cstdint>
#include <system_error>

namespace mmstl::inline v1::detail {

/// Which of the three ways to open a backing.
enum class opening : unsigned char { open, create, open_or_create };

struct core {
    static failure open(const backing& from, access wanted, opening how, backing_handle& to) {
        switch (how) {
        case opening::open: return backing_handle::open(from, wanted, to);
        case opening::create: return backing_handle::create(from, to);
        case opening::open_or_create: break;
        }
        return backing_handle::open_or_create(from, to);
    }

    /// Opens for reading, without a name or facts: `complete` adds both.
    static failure open_bare(const backing& from, backing_handle& to) {
        return backing_handle::attach(from, access::read_only, posix::disposition::open, to);
    }
    static failure complete(backing_handle& what, const backing& from) {
        what.name_ = from.name_;
        return what.examine();
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

    static std::byte* data(const mapping& of) noexcept { return of.data_; }

    static failure flush(mapping& what, std::size_t first_byte, std::size_t n_bytes) {
        return what.sync(first_byte, n_bytes, posix::sync_mode::wait);
    }

    static failure release(mapping& what) noexcept { return what.release(); }
};

/// Takes back what was created unless it is kept, so that neither an error nor an exception leaves
/// anything behind. A file that has taken the name meanwhile stays.
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

} // namespace mmstl::inline v1::detail

#endif
