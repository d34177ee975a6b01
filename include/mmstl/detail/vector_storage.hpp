// SPDX-License-Identifier: MIT
//
// detail::vector_storage: what a mapped_vector is apart from the type of its elements: the open
// file, its header, how it grows, how it reaches the disk, what is taken of it after an unclean
// end.

#ifndef MMSTL_DETAIL_VECTOR_STORAGE_HPP
#define MMSTL_DETAIL_VECTOR_STORAGE_HPP

#include <mmstl/access.hpp>
#include <mmstl/backing.hpp>
#include <mmstl/detail/core.hpp>
#include <mmstl/detail/format.hpp>
#include <mmstl/detail/posix.hpp>
#include <mmstl/error.hpp>
#include <mmstl/mapping.hpp>
#include <mmstl/persistent_name.hpp>
#include <mmstl/vector_options.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace mmstl::inline v1::detail {

/// Where a vector that is closed finds its size.
inline constinit std::atomic<std::uint64_t> no_elements{0};

// The file, one mapping of it from its beginning to far past its end, and the counts (in elements)
// that say which part of it may be stored to:
//
//     |-- header --|---- elements ----|.... room ....|- - - - - addresses alone - - - - -|
//     base         data()             size           capacity                     reserved
//                                          ready: up to here without a look
//     |<---------------- length of the file -------->|
//
// The size is in the header, for all processes; for `raw`, and for a reader that must not see what
// is published, in `own_size_`.
class vector_storage {
public:
    vector_storage() noexcept = default;
    vector_storage(vector_storage&& other) noexcept { swap(other); }
    vector_storage& operator=(vector_storage&& other) noexcept {
        vector_storage old(std::move(other));
        swap(old);
        return *this;
    }
    /// Neither marks nor writes anything.
    ~vector_storage() = default;

    void swap(vector_storage& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(ready_, other.ready_);
        std::swap(capacity_, other.capacity_);
        std::swap(reserved_, other.reserved_);
        std::swap(element_bytes_, other.element_bytes_);
        std::swap(file_, other.file_);
        map_.swap(other.map_);
        own_size_.swap(other.own_size_);
        std::swap(options_, other.options_);
        std::swap(recovered_, other.recovered_);
        std::swap(poison_, other.poison_);
        std::swap(is_open_, other.is_open_);
        std::swap(created_, other.created_);
        std::swap(name_is_new_, other.name_is_new_);
        std::swap(header_is_synced_, other.header_is_synced_);
        std::swap(touches_ahead_, other.touches_ahead_);
        std::swap(room_has_blocks_, other.room_has_blocks_);
    }

    // ---- the fast paths ----

    [[nodiscard]] std::byte* data() const noexcept { return data_; }
    /// Acquires what was published; never more than there are addresses for.
    [[nodiscard]] std::size_t size() const noexcept {
        const std::uint64_t n = size_->load(std::memory_order_acquire);
        return n < reserved_ ? static_cast<std::size_t>(n) : reserved_;
    }
    /// The size, to the one who writes.
    [[nodiscard]] std::size_t own_size() const noexcept {
        return static_cast<std::size_t>(size_->load(std::memory_order_relaxed));
    }
    /// Up to so many elements there is nothing to do before they are stored.
    [[nodiscard]] std::size_t ready() const noexcept { return ready_; }
    /// Lets every process see `n` elements, and all that was stored before.
    void publish(std::size_t n) noexcept { size_->store(n, std::memory_order_release); }

    /// What another handle has published fits as well.
    [[nodiscard]] std::size_t capacity() const noexcept { return std::max(capacity_, size()); }
    [[nodiscard]] std::size_t reserved() const noexcept { return reserved_; }

    // ---- the rest ----

    /// Into a storage that is empty, which a failure leaves empty.
    failure open(const backing& from, access wanted, opening how, const type_identity& type,
                 const vector_options& options);

    /// Makes `more` elements behind the first `n` ready, and returns from which on they are known
    /// to be zero bytes.
    ///
    /// Throws: `reservation_exhausted`, `mapping_error`; nothing has changed then.
    std::size_t make_room(std::size_t n, std::size_t more);
    /// Makes the file long enough for `n` elements, and has blocks set aside for those that are not
    /// there yet; throws as `make_room`.
    void reserve(std::size_t n);

    [[nodiscard]] failure check_range(const char* asking, std::size_t first,
                                      std::size_t n) const noexcept;
    /// Where an element begins in the mapping.
    [[nodiscard]] std::size_t byte_of(std::size_t i) const noexcept {
        return is_open_ ? static_cast<std::size_t>(end_of(i)) : 0;
    }

    failure flush();
    failure flush(std::size_t first, std::size_t n);
    failure flush_async();
    failure shrink_to_fit();
    /// Flushes, marks as clean, lets go; empty afterwards in any case.
    failure close();

    [[nodiscard]] bool is_open() const noexcept { return is_open_; }
    [[nodiscard]] bool created() const noexcept { return created_; }
    [[nodiscard]] const std::string& name() const noexcept { return map_.name(); }
    [[nodiscard]] const mapping& map() const noexcept { return map_; }
    [[nodiscard]] const std::optional<recovery>& recovered() const noexcept { return recovered_; }
    [[nodiscard]] std::size_t durable_size() const noexcept {
        return has_header() && is_open() ? static_cast<std::size_t>(last_record().size) : 0;
    }

private:
    static constexpr auto* call = "mapped_vector";
    /// The addresses to hold by default, where there are so many.
    static constexpr std::uint64_t default_reserve_bytes =
        std::min(std::uint64_t{64} << 30, std::uint64_t{SIZE_MAX} / 8);
    /// What is faulted in at a time, where elements are appended to a file; and what its length
    /// then is a multiple of, so that the kernel can use pages of that size.
    static constexpr std::uint64_t window_bytes = std::uint64_t{4} << 20;
    static constexpr std::uint64_t large_page_bytes = std::uint64_t{2} << 20;
    static constexpr std::size_t most_on_a_disk = std::size_t{64} << 20;
    static constexpr std::size_t most_in_memory = std::size_t{1} << 20;

    /// What was found in a file, and what is to be made of it.
    struct finding {
        format::contents contents;
        std::size_t chosen_size = 0;
        std::uint64_t ever_published = 0; ///< and still in the file
        bool unclean_since_boot = false;  ///< not closed before the machine was restarted
        bool is_whole_truth = true;       ///< the size in the header is the one to go by
    };

    [[nodiscard]] bool has_header() const noexcept { return options_.layout == layout::header; }
    [[nodiscard]] std::uint64_t offset() const noexcept {
        return has_header() ? format::header_bytes : 0;
    }
    [[nodiscard]] format::header& header() const noexcept {
        return *std::launder(reinterpret_cast<format::header*>(core::data(map_)));
    }
    /// How many elements a file of that length has room for.
    [[nodiscard]] std::size_t count_in(std::uint64_t length) const noexcept {
        return length <= offset() ? 0
                                  : static_cast<std::size_t>((length - offset()) / element_bytes_);
    }
    [[nodiscard]] std::uint64_t end_of(std::size_t n) const noexcept {
        return offset() + std::uint64_t{n} * element_bytes_;
    }
    [[nodiscard]] static bool is_huge(const backing_handle& file) noexcept {
        return core::facts(file).page_bytes > posix::page_size();
    }

    failure make(backing_handle& fresh, access wanted, const type_identity& type);
    failure write_header(backing_handle& fresh, const type_identity& type);
    failure open_existing(access wanted, const type_identity& type);
    failure read_header(const type_identity& type, finding& found);
    failure choose(finding& found);
    void mark_in_use(const finding& found) noexcept;
    failure map_whole(const backing_handle& from, access wanted);

    void check_reserved(std::size_t n, std::size_t more) const;
    std::size_t grow(std::size_t needed);
    [[nodiscard]] std::uint64_t next_length(std::uint64_t length,
                                            std::uint64_t needed) const noexcept;
    [[nodiscard]] std::uint64_t whole_elements(std::uint64_t length,
                                               std::uint64_t needed) const noexcept;
    void allocate_room(std::size_t n);
    failure lengthen(std::uint64_t wanted, std::uint64_t needed) noexcept;
    void touch_ahead(std::size_t n, std::size_t more) noexcept;

    [[nodiscard]] format::durable last_record() const noexcept {
        const auto& [even, odd] = header().durable;
        const auto* const last = format::last_of(even, odd);
        return last != nullptr ? *last : format::durable{}; // someone else has damaged both
    }
    /// As far as that is known: a raw file says nothing.
    [[nodiscard]] bool was_never_flushed() const noexcept {
        return has_header() ? last_record().sequence == 1 : file_.created();
    }
    failure sync(bool closing);
    failure sync_elements(std::size_t first, std::size_t n);
    failure write_record(std::size_t durable_size, bool closing);
    failure sync_header();
    failure sync_name();
    failure close_raw();

    // What appending looks at comes first.
    std::byte* data_ = nullptr;
    std::atomic<std::uint64_t>* size_ = &no_elements;
    std::size_t ready_ = 0;
    std::size_t capacity_ = 0; ///< as far as this handle knows: another one may have made more
    std::size_t reserved_ = 0;

    std::size_t element_bytes_ = 1;
    backing_handle file_; ///< closed in readers
    mapping map_;
    std::unique_ptr<std::atomic<std::uint64_t>> own_size_;
    vector_options options_;
    std::optional<recovery> recovered_;
    failure poison_; ///< of the first msync or fsync that failed: what it lost stays lost
    bool is_open_ = false;
    bool created_ = false;
    bool name_is_new_ = false;      ///< and its directory not yet on the disk
    bool header_is_synced_ = false; ///< the mark of use is on the disk
    bool touches_ahead_ = false;
    bool room_has_blocks_ = true; ///< between size and capacity, or must not have
};

// ---- opening ----

inline failure vector_storage::open(const backing& from, access wanted, opening how,
                                    const type_identity& type, const vector_options& options) {
    vector_storage made;
    made.element_bytes_ = static_cast<std::size_t>(type.size_bytes);
    made.options_ = options;
    if (options.pages == pages::huge_tlb) return refuse(errc::wrong_access, call);
    if (options.reserved && *options.reserved > (SIZE_MAX - made.offset()) / made.element_bytes_)
        return refuse(errc::size_overflow, call, UINT64_MAX);
    if (wanted == access::read_write && made.has_header()) { // before anything is touched
        std::array<char, 40> boot{};
        const auto f = format::this_boot(boot);
        if (f.failed() && f.code() != std::errc::no_such_file_or_directory) return f;
    }
    auto f = core::open(from, wanted, how, made.file_, [&](backing_handle& fresh) {
        if (wanted != access::read_write) return refuse(errc::wrong_access, call);
        return made.make(fresh, wanted, type);
    });
    if (f.failed()) return f;
    if (f = core::own(made.file_); f.failed()) return f;
    made.created_ = made.file_.created();
    if (!made.created_) {
        made.map_ = {}; // what was made for a name that another process took
        if (how == opening::open_or_create && made.has_header() &&
            core::facts(made.file_).size_bytes == 0)
            if (f = core::adopt_empty(
                    from, made.file_,
                    [&](backing_handle& empty) { return made.write_header(empty, type); },
                    made.created_);
                f.failed())
                return f;
        if (made.created_) // others may have found it, and made it longer
            if (f = core::examine(made.file_); f.failed()) return f;
        if (f = made.open_existing(wanted, type); f.failed()) return f;
    }
    made.is_open_ = true;
    made.name_is_new_ = wanted == access::read_write && from.has_name() &&
                        core::has_disk(made.map_) && made.was_never_flushed();
    made.touches_ahead_ = wanted == access::read_write && core::has_disk(made.map_) &&
                          options.pages == pages::normal &&
                          options.allocation != allocation::sparse;
    if (wanted != access::read_write) made.file_ = {};
    swap(made);
    return {};
}

/// A new file without elements, that nobody else can see yet.
inline failure vector_storage::make(backing_handle& fresh, access wanted,
                                    const type_identity& type) {
    if (has_header()) {
        if (auto f = write_header(fresh, type); f.failed()) return f;
        if (auto f = core::examine(fresh); f.failed()) return f;
    }
    if (auto f = map_whole(fresh, wanted); f.failed()) return f;
    if (has_header()) {
        mark_in_use({});
    } else {
        own_size_ = std::make_unique<std::atomic<std::uint64_t>>(0);
        size_ = own_size_.get();
    }
    return {};
}

/// Into a file that is empty. From then on it is a vector for everyone who finds it: what they append
/// may not be cut off.
inline failure vector_storage::write_header(backing_handle& fresh, const type_identity& type) {
    format::header_image image;
    format::compose(image, type);
    if (is_huge(fresh)) { // which cannot be written to but through a mapping
        if (auto f = core::resize(fresh, image.size(), allocation::blocks); f.failed()) return f;
        mapping whole;
        mapping_options writing;
        writing.access = access::read_write;
        if (auto f = core::map(whole, fresh, writing); f.failed()) return f;
        std::memcpy(core::data(whole), image.data(), image.size());
        return {};
    }
    if (auto f = posix::check_size_limit(image.size()); f.failed()) return f;
    return posix::write_at(fresh.native_handle(), 0, image.data(), image.size());
}

inline failure vector_storage::open_existing(access wanted, const type_identity& type) {
    const std::uint64_t length = core::facts(file_).size_bytes;
    finding found{};
    if (has_header()) {
        if (auto f = read_header(type, found); f.failed()) return f;
        // Since its length was asked for, someone may have made it longer and published more.
        if (found.contents.published_size > count_in(length))
            if (auto f = core::examine(file_); f.failed()) return f;
        if (auto f = choose(found); f.failed()) return f;
    } else {
        if (length % element_bytes_ != 0)
            return refuse(errc::length_not_multiple, call,
                          length / element_bytes_ * element_bytes_ + element_bytes_, length);
        found.chosen_size = count_in(length);
        found.is_whole_truth = false;
    }
    const bool writes = wanted == access::read_write;
    if (!has_header() || (!writes && !found.is_whole_truth))
        own_size_ = std::make_unique<std::atomic<std::uint64_t>>(found.chosen_size);
    if (auto f = map_whole(file_, wanted); f.failed()) return f;
    if (own_size_ != nullptr)
        size_ = own_size_.get();
    else if (writes)
        mark_in_use(found);
    if (found.chosen_size < capacity_ && !core::is_sparse(map_, options_.allocation)) {
        room_has_blocks_ = false;
        ready_ = found.chosen_size;
    }
    return {};
}

inline failure vector_storage::read_header(const type_identity& type, finding& found) {
    // Read, not mapped: whoever shortens the file meanwhile causes an error, and no signal.
    format::header_image image;
    std::size_t n_bytes = 0;
    if (auto f = posix::read_at(file_.native_handle(), 0, image.data(), image.size(), n_bytes);
        f.failed())
        return f;
    return format::examine(image, n_bytes, type, found.contents);
}

/// Which elements there are. Nothing that a `flush()` promised is lost, and nothing is destroyed:
/// the size that is not taken is kept until the next flush.
inline failure vector_storage::choose(finding& found) {
    const auto& says = found.contents;
    const auto holds = std::uint64_t{count_in(core::facts(file_).size_bytes)};
    auto chosen = says.published_size;
    if (says.state != format::state::clean) {
        bool same_boot = false;
        if (auto f = format::is_this_boot(says.boot_id, same_boot); f.failed()) return f;
        const auto ever = std::max(says.published_size, says.lost_size);
        auto take = options_.on_unclean;
        if (take == on_unclean::automatic)
            take = same_boot ? on_unclean::published : on_unclean::durable;
        else if (take == on_unclean::published)
            chosen = ever;
        if (take == on_unclean::fail)
            return refuse(errc::unclean, call, ever * element_bytes_,
                          says.last.size * element_bytes_);
        if (take == on_unclean::durable) chosen = says.last.size;
        found.unclean_since_boot = !same_boot;
        // The header may have reached the disk, and the new length of the file not.
        if (!same_boot && take == on_unclean::published) chosen = std::min(chosen, holds);
        if (!same_boot || says.state == format::state::recovering || chosen < ever)
            recovered_ = recovery{static_cast<std::size_t>(says.last.size),
                                  static_cast<std::size_t>(std::min(ever, holds))};
        found.ever_published = std::min(ever, holds);
    }
    if (chosen > holds) {
        const bool wraps = chosen > (UINT64_MAX - offset()) / element_bytes_;
        return refuse(errc::past_the_end, call,
                      wraps ? UINT64_MAX : offset() + chosen * element_bytes_,
                      core::facts(file_).size_bytes);
    }
    found.chosen_size = static_cast<std::size_t>(chosen);
    found.is_whole_truth = chosen == says.published_size;
    return {};
}

/// In an order that leaves a header to be recovered from, wherever it ends.
inline void vector_storage::mark_in_use(const finding& found) noexcept {
    auto& now = header().live;
    const auto& says = found.contents;
    auto mark = says.state == format::state::recovering ? says.state : format::state::in_use;
    const bool is_in_doubt = found.unclean_since_boot && (found.chosen_size != says.last.size ||
                                                          says.published_size != says.last.size);
    if (found.chosen_size < found.ever_published || is_in_doubt) {
        now.lost_size = found.ever_published;
        mark = format::state::recovering;
    }
    if (mark == format::state::recovering) now.state.store(mark, std::memory_order_release);
    if (found.chosen_size != says.published_size) publish(found.chosen_size);
    std::array<char, 40> boot{};
    (void)format::this_boot(boot); // known since `open`, or there is none: zeros, nobody's
    now.boot_id = boot;
    now.state.store(mark, std::memory_order_release);
}

inline failure vector_storage::map_whole(const backing_handle& from, access wanted) {
    if (!has_header() && is_huge(from) && wanted == access::read_write)
        return posix::failed(call, EOPNOTSUPP); // whole pages only, which elements are not
    const std::uint64_t length = core::facts(from).size_bytes;
    mapping_options how;
    how.access = wanted;
    how.pages = options_.pages;
    std::uint64_t reserve = std::max(default_reserve_bytes, 2 * length);
    if (options_.reserved) reserve = end_of(*options_.reserved);
    if (!has_header() && wanted != access::read_write) reserve = length; // it follows nobody
    for (;; reserve = std::max(reserve / 2, length)) {
        how.reserve_bytes = static_cast<std::size_t>(reserve);
        const auto f = core::map(map_, from, how);
        if (!f.failed()) break;
        if (options_.reserved || !posix::is_for_want_of_addresses(f) || reserve <= length) return f;
    }
    if (core::data(map_) == nullptr) return {}; // a raw file without elements, to be read
    data_ = core::data(map_) + offset();
    if (has_header()) size_ = &header().live.size;
    reserved_ = count_in(map_.reserved_bytes());
    capacity_ = std::min(count_in(length), reserved_);
    ready_ = capacity_;
    return {};
}

// ---- growing ----

inline std::size_t vector_storage::make_room(std::size_t n, std::size_t more) {
    check_reserved(n, more);
    const std::size_t zero_from = n + more > capacity_ ? grow(n + more) : n + more;
    if (n + more > ready_ && !room_has_blocks_) allocate_room(n);
    if (n + more > ready_) touch_ahead(n, more);
    return zero_from;
}

inline void vector_storage::reserve(std::size_t n) {
    check_reserved(0, n);
    if (n > capacity_) grow(n);
    if (n > own_size() && !room_has_blocks_) allocate_room(own_size());
}

inline void vector_storage::check_reserved(std::size_t n, std::size_t more) const {
    if (n <= reserved_ && more <= reserved_ - n) return;
    if (!is_open()) throw_if(posix::failed(call, EBADF), name());
    throw reservation_exhausted(more > SIZE_MAX - n ? SIZE_MAX : n + more, reserved_);
}

/// Returns from which element on the file is known to be zero: what another handle has added may be
/// anything.
inline std::size_t vector_storage::grow(std::size_t needed) {
    posix::facts now;
    auto clean = format::state::clean;
    throw_if(posix::examine(file_.native_handle(), now), name());
    const auto old_length = now.size_bytes;
    if (old_length < end_of(needed)) {
        throw_if(lengthen(next_length(old_length, end_of(needed)), end_of(needed)), name());
        now = core::facts(file_);
    } else {
        room_has_blocks_ = core::is_sparse(map_, options_.allocation);
    }
    // Another handle may have marked it as closed meanwhile.
    if (has_header()) header().live.state.compare_exchange_strong(clean, format::state::in_use);
    capacity_ = std::min(count_in(now.size_bytes), reserved_);
    if (room_has_blocks_ && (!touches_ahead_ || now.size_bytes - old_length < window_bytes))
        ready_ = capacity_;
    return count_in(old_length + element_bytes_ - 1);
}

/// Makes the file `wanted` bytes long or, where there is no room for that, as much longer than
/// `needed` as there may be room for.
inline failure vector_storage::lengthen(std::uint64_t wanted, std::uint64_t needed) noexcept {
    // Huge pages that are not there when they are touched are SIGBUS, whatever was wished for.
    const auto how = is_huge(file_) ? allocation::blocks : options_.allocation;
    const std::uint64_t page = posix::page_size();
    const auto whole_page = whole_elements((needed + page - 1) / page * page, needed);
    for (;;) {
        const auto f = core::resize(file_, wanted, how);
        if (!f.failed() || wanted <= needed) return f;
        const auto less = whole_elements(needed + (wanted - needed) / 8, needed);
        wanted = less > whole_page ? less : wanted > whole_page ? whole_page : needed;
    }
}

/// Of a file without a header, whose length says how many elements there are.
inline std::uint64_t vector_storage::whole_elements(std::uint64_t length,
                                                    std::uint64_t needed) const noexcept {
    return has_header() ? length : needed + (length - needed) / element_bytes_ * element_bytes_;
}

/// Of room that this handle has not made, nothing is known: a copy of a file may have holes where
/// the file had blocks.
inline void vector_storage::allocate_room(std::size_t n) {
    const auto f = posix::allocate(file_.native_handle(), end_of(n), end_of(capacity_) - end_of(n));
    const bool cannot = options_.allocation == allocation::automatic &&
                        f.code() == std::errc::operation_not_supported;
    if (!cannot) throw_if(f, name());
    room_has_blocks_ = true;
    if (end_of(capacity_) - end_of(n) < window_bytes) ready_ = capacity_;
}

inline std::uint64_t vector_storage::next_length(std::uint64_t length,
                                                 std::uint64_t needed) const noexcept {
    const auto round_up = [](std::uint64_t n, std::uint64_t to) { return (n + to - 1) / to * to; };
    const auto& [factor, least, most_if_given] = options_.growth;
    const auto most =
        most_if_given.value_or(core::has_disk(map_) ? most_on_a_disk : most_in_memory);
    const double grown = static_cast<double>(length) * (factor - 1);
    auto step = std::uint64_t{most};
    if (!(grown >= static_cast<double>(most)))
        step = grown > 0 ? static_cast<std::uint64_t>(grown) : 0;
    step = std::max(step, std::uint64_t{least});
    // No step leads further than there are addresses, so that no sum wraps.
    const auto most_ever = std::uint64_t{map_.reserved_bytes()};
    auto wanted = std::max(needed, length + std::min(step, most_ever));
    wanted = round_up(wanted, step < large_page_bytes ? posix::page_size() : large_page_bytes);
    wanted = std::max(needed, std::min(wanted, most_ever));
    return whole_elements(wanted, needed);
}

/// Faults pages in before they are stored to, many at a time, and as large ones where the kernel
/// has them. What is appended in bulk is faulted in by the copying.
///
/// A wish: where the kernel refuses, stores fault pages in one by one.
inline void vector_storage::touch_ahead(std::size_t n, std::size_t more) noexcept {
    const std::uint64_t length = end_of(capacity_);
    const std::uint64_t first =
        end_of(std::max(n, ready_)) / posix::page_size() * posix::page_size();
    const std::uint64_t last =
        std::min(length, (end_of(n + more) / window_bytes + 1) * window_bytes);
    if (touches_ahead_ && last - first <= 2 * window_bytes) {
        auto* const at = core::data(map_) + first;
        const auto n_bytes = static_cast<std::size_t>(last - first);
        touches_ahead_ = !posix::advise(at, n_bytes, advice::huge_page).failed() &&
                         !posix::advise(at, n_bytes, advice::populate_write).failed();
    }
    ready_ = touches_ahead_ ? std::max(n + more, count_in(last)) : capacity_;
}

// ---- to the disk ----

inline failure vector_storage::flush() { return is_open() ? sync(false) : failure{}; }

inline failure vector_storage::check_range(const char* asking, std::size_t first,
                                           std::size_t n) const noexcept {
    const auto all = size();
    if (first <= all && n <= all - first) return {};
    const auto most = SIZE_MAX / element_bytes_;
    const bool wraps = first > most || n > most - first;
    return refuse(errc::past_the_end, asking, wraps ? SIZE_MAX : (first + n) * element_bytes_,
                  all * element_bytes_);
}

inline failure vector_storage::flush(std::size_t first, std::size_t n) {
    if (auto f = check_range("msync", first, n); f.failed()) return f;
    if (poison_.failed()) return poison_;
    return poison_ = sync_elements(first, n);
}

inline failure vector_storage::flush_async() {
    if (!is_open() || poison_.failed()) return poison_;
    return posix::start_writing(file_.native_handle(), 0, end_of(size()));
}

inline failure vector_storage::sync_elements(std::size_t first, std::size_t n) {
    return core::flush(map_, byte_of(first), n * element_bytes_);
}

/// The elements first, then the record that says so: a header that is found on the disk never
/// promises more than was there. And its name: whoever finds a second record need not ask for that.
inline failure vector_storage::sync(bool closing) {
    if (poison_.failed()) return poison_;
    const auto n = own_size();
    // Another writer may have published more than there are addresses for here.
    poison_ = n <= reserved_ ? sync_elements(0, n) : posix::sync(file_.native_handle());
    if (poison_.failed()) return poison_;
    if (auto f = sync_name(); f.failed()) return f;
    if (!has_header()) return {};
    const bool is_said = header_is_synced_ && last_record().size == n &&
                         header().live.state.load() == format::state::in_use;
    if (closing || !is_said) poison_ = write_record(n, closing);
    return poison_;
}

/// The name of a file that nobody has flushed yet: a directory that cannot be opened just now can
/// be tried again, one that could not be written cannot.
inline failure vector_storage::sync_name() {
    if (!name_is_new_) return {};
    const auto f = posix::sync_directory_of(name().c_str());
    name_is_new_ = f.failed();
    if (std::string_view(f.call) == "fsync") poison_ = f;
    return f;
}

/// Over the older of the two records. A failure takes it back: what is not known to be on the disk
/// is not promised.
inline failure vector_storage::write_record(std::size_t durable_size, bool closing) {
    auto& live = header().live;
    const auto next = last_record().sequence + 1;
    auto& record = header().durable[format::slot_of(next)];
    const auto old_record = std::exchange(record, format::durable_record(next, durable_size));
    const auto old_state =
        live.state.exchange(closing ? format::state::clean : format::state::in_use);
    const auto f = sync_header();
    if (f.failed()) {
        record = old_record;
        live.state.store(old_state);
    }
    return f;
}

inline failure vector_storage::sync_header() {
    const auto f = core::flush(map_, 0, format::header_bytes);
    if (!f.failed()) header_is_synced_ = true;
    return f;
}

/// The promise is lowered, on the disk, before the elements that it was about are gone. A file that
/// the disk still takes for closed promises as many as were published, whatever the record says.
inline failure vector_storage::shrink_to_fit() {
    if (!is_open()) return {};
    if (poison_.failed()) return poison_;
    const auto n = own_size();
    if (durable_size() > n)
        poison_ = write_record(n, false);
    else if (has_header() && !header_is_synced_)
        poison_ = sync_header();
    if (poison_.failed()) return poison_;
    if (has_header()) // what a recovery has not taken is given up
        header().live.lost_size = std::min(header().live.lost_size, std::uint64_t{n});
    if (auto f = core::resize(file_, end_of(n), options_.allocation); f.failed()) return f;
    capacity_ = ready_ = std::min(n, reserved_);
    room_has_blocks_ = true; // there is none
    return {};
}

inline failure vector_storage::close() {
    failure f;
    if (is_open() && file_.is_open()) f = has_header() ? sync(true) : close_raw();
    const auto unmapped = core::release(map_);
    std::error_code closed;
    file_.close(closed);
    if (!f.failed()) f = unmapped;
    if (!f.failed() && closed) f = posix::failed("close", closed.value());

    data_ = nullptr;
    size_ = &no_elements;
    ready_ = capacity_ = reserved_ = 0;
    own_size_.reset();
    recovered_.reset();
    poison_ = {};
    is_open_ = false;
    return f;
}

/// The file is its elements, and nothing else.
inline failure vector_storage::close_raw() {
    if (poison_.failed()) return poison_;
    if (auto f = shrink_to_fit(); f.failed()) return f;
    if (auto f = posix::sync(file_.native_handle()); f.failed()) return f;
    return sync_name();
}

} // namespace mmstl::inline v1::detail

#endif
