// SPDX-License-Identifier: MIT
//
// mapping_error and its codes: what failed, on which path, what was asked and what there was.

#ifndef MMSTL_ERROR_HPP
#define MMSTL_ERROR_HPP

#include <cstdint>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

namespace mmstl::inline v1 {

/// What mmstl itself refuses. Codes that come from the kernel are `std::system_category` with the
/// errno.
enum class errc {
    not_mappable = 1,    ///< neither a regular file, shared memory nor a block device
    length_not_multiple, ///< the length is no multiple of the element's size
    /// The offset or address is not aligned for the element (or, for `exact`, the page)
    misaligned,
    past_the_end,       ///< the range asked for ends past the end
    size_overflow,      ///< offset + count does not fit
    needs_count,        ///< a backing that has no length yet, and none was given
    wrong_access,       ///< this access does not go with this element type, backing or mapping
    no_name,            ///< the operation needs a backing with a name
    replaced,           ///< the name stands for another file by now
    bad_name,           ///< a name with a NUL byte inside
    foreign_file,       ///< does not begin as a file of mmstl's does
    incomplete,         ///< ends within its header
    damaged,            ///< a header whose checksum does not fit
    other_version,      ///< of a format that this version of mmstl does not know
    other_byte_order,   ///< written on a machine of the other byte order
    other_kind,         ///< a segment opened as a vector, or the reverse
    other_element_size, ///< elements of another size
    other_type,         ///< elements of another type
    unclean,            ///< not closed before the end, and what is to be done was not said
    other_abi,          ///< a segment of another standard library, or of another ABI of it
    address_taken,      ///< the addresses that a segment needs are taken in this process
    copy_is_open,       ///< a copy of a segment that is open in this process
    name_taken,         ///< there is an object of that name
    name_too_long,      ///< more than 65535 bytes
    too_many_processes, ///< more than 256 have the segment open
    too_many_threads,   ///< more than 2048 threads allocate in the segment
    not_in_a_segment,   ///< what works in a segment alone is not in one that is open
};

/// The category of `mmstl::errc`, named "mmstl". Its codes compare equal to the `std::errc` that
/// comes nearest.
inline const std::error_category& mapping_category() noexcept;

/// What makes a `std::error_code` of an `errc`; a conversion calls it.
inline std::error_code make_error_code(errc code) noexcept {
    return {static_cast<int>(code), mapping_category()};
}

} // namespace mmstl::inline v1

template <> struct std::is_error_code_enum<mmstl::errc> : std::true_type {};

namespace mmstl::inline v1 {

namespace detail {

/// What went wrong, before it is known whether it becomes an exception or an error_code.
struct failure {
    // Not an error_code: making one that says "no error" is a call into the standard library, and
    // most of these say no error.
    int value = 0;
    const std::error_category* category = nullptr;
    const char* call = ""; ///< static storage
    std::uint64_t asked_bytes = 0;
    std::uint64_t available_bytes = 0;

    [[nodiscard]] bool failed() const noexcept { return value != 0; }
    [[nodiscard]] std::error_code code() const noexcept {
        return category == nullptr ? std::error_code{} : std::error_code(value, *category);
    }
};

} // namespace detail

/// Thrown when memory cannot be mapped, or a backing not opened, created, resized, flushed or
/// closed.
///
/// `what()` reads `open 'a.f32': No such file or directory`, with asked and available bytes where
/// they matter. Exhaustion of a container's own reserve is not this but a `std::bad_alloc`.
class mapping_error : public std::system_error {
public:
    /// Made by mmstl alone.
    mapping_error(const detail::failure& failed, std::string path)
        : std::system_error(failed.code(), describe(failed, path)), call_(failed.call),
          path_(std::make_shared<const std::string>(std::move(path))), asked_(failed.asked_bytes),
          available_(failed.available_bytes) {}

    /// The call that failed, as the manual spells it ("mmap"), or mmstl's own ("mapped_span").
    [[nodiscard]] const char* call() const noexcept { return call_; }
    /// The path, or the name of a backing that has none ("anonymous").
    [[nodiscard]] const std::string& path() const noexcept { return *path_; }
    /// How many bytes were asked for, counted from the start of the backing where an end was
    /// missed; of `misaligned` the offset or address; 0 if not about a size.
    [[nodiscard]] std::uint64_t asked_bytes() const noexcept { return asked_; }
    /// How many bytes there were.
    [[nodiscard]] std::uint64_t available_bytes() const noexcept { return available_; }

private:
    static std::string describe(const detail::failure& failed, const std::string& path) {
        std::string text = failed.call;
        text.append(" '");
        for (char c : path) c == '\0' ? text.append("\\0") : text.append(1, c);
        text.append("'");
        if (failed.code() == make_error_code(errc::misaligned)) {
            text.append(" (at ").append(std::to_string(failed.asked_bytes)).append(")");
        } else if (failed.asked_bytes != 0) {
            text.append(" (asked for ").append(std::to_string(failed.asked_bytes)).append(" bytes");
            if (failed.available_bytes != 0 || failed.code().category() == mapping_category())
                text.append(", there are ").append(std::to_string(failed.available_bytes));
            text.append(")");
        }
        return text;
    }

    const char* call_;
    std::shared_ptr<const std::string> path_; // shared: copying an exception must not throw
    std::uint64_t asked_;
    std::uint64_t available_;
};

namespace detail {

class category final : public std::error_category {
public:
    [[nodiscard]] const char* name() const noexcept override { return "mmstl"; }

    [[nodiscard]] std::string message(int code) const override {
        switch (static_cast<errc>(code)) {
        case errc::not_mappable: return "not a kind of file that can be mapped";
        case errc::length_not_multiple: return "the length is no multiple of the element's size";
        case errc::misaligned: return "not aligned for the element type or the page";
        case errc::past_the_end: return "the range ends past the end";
        case errc::size_overflow: return "offset and length together are too large";
        case errc::needs_count: return "a backing without a length of its own needs a count";
        case errc::wrong_access:
            return "the access does not fit the element type, the backing or the mapping";
        case errc::no_name: return "the backing has no name";
        case errc::replaced: return "the name stands for another file by now";
        case errc::bad_name: return "the name has a NUL byte inside";
        case errc::foreign_file: return "not a file of mmstl's: it has no header";
        case errc::incomplete: return "the file ends within its header";
        case errc::damaged: return "the header is damaged";
        case errc::other_version: return "written in a format of another version";
        case errc::other_byte_order: return "written with the other byte order";
        case errc::other_kind: return "the file holds another kind of object";
        case errc::other_element_size: return "the file holds elements of another size";
        case errc::other_type: return "the file holds elements of another type";
        case errc::unclean: return "the file was not closed";
        case errc::other_abi:
            return "the segment was made with another standard library or another ABI of it";
        case errc::address_taken: return "the addresses that the segment needs are taken";
        case errc::copy_is_open: return "a copy of the segment is open in this process";
        case errc::name_taken: return "there is an object of that name";
        case errc::name_too_long: return "the name is longer than 65535 bytes";
        case errc::too_many_processes: return "too many processes have the segment open";
        case errc::too_many_threads: return "too many threads allocate in the segment";
        case errc::not_in_a_segment: return "not in a segment that is open";
        }
        return "unknown error";
    }

    [[nodiscard]] std::error_condition default_error_condition(int code) const noexcept override {
        switch (static_cast<errc>(code)) {
        case errc::not_mappable:
            return std::errc::no_such_device; // what mmap(2) says of such files
        case errc::size_overflow: return std::errc::value_too_large;
        case errc::wrong_access: return std::errc::permission_denied;
        case errc::no_name: return std::errc::operation_not_supported;
        case errc::past_the_end: return std::errc::result_out_of_range;
        case errc::address_taken:
        case errc::copy_is_open: return std::errc::address_in_use;
        case errc::name_taken: return std::errc::file_exists;
        case errc::too_many_processes:
        case errc::too_many_threads: return std::errc::resource_unavailable_try_again;
        default: return std::errc::invalid_argument;
        }
    }
};

/// Fails with a code of ours; `call` has static storage.
inline failure refuse(errc code, const char* call, std::uint64_t asked_bytes = 0,
                      std::uint64_t available_bytes = 0) noexcept {
    return {static_cast<int>(code), &mapping_category(), call, asked_bytes, available_bytes};
}

[[noreturn]] inline void raise(const failure& failed, const std::string& path) {
    throw mapping_error(failed, path);
}

/// The throwing end of every function that has an `error_code` twin.
inline void throw_if(const failure& failed, const std::string& path) {
    if (failed.failed()) raise(failed, path);
}

} // namespace detail

inline const std::error_category& mapping_category() noexcept {
    static const detail::category instance;
    return instance;
}

} // namespace mmstl::inline v1

#endif
