// SPDX-License-Identifier: MIT
//
// chunk_range: a mapped array handed out piece by piece, with the disk kept busy ahead of the
// reader.

#ifndef MMSTL_CHUNKS_HPP
#define MMSTL_CHUNKS_HPP

#include <mmstl/access.hpp>
#include <mmstl/detail/assert.hpp>
#include <mmstl/detail/posix.hpp>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <span>
#include <type_traits>

namespace mmstl::inline v1 {

/// Options of `mapped_span::chunks`.
struct chunk_options {
    /// How far ahead of the chunk to keep the disk busy; 0: leave it to the kernel's readahead.
    std::size_t prefetch_bytes = std::size_t{1} << 20;
    /// What becomes of the pages of chunks that are done.
    mmstl::behind behind = mmstl::behind::keep;
};

/// The sub-spans of a mapped array, in order: what `mapped_span::chunks` returns. An input range of
/// `std::span<T>`.
///
/// A step forward looks whether the pages ahead are in memory (one mincore(2) each `prefetch_bytes
/// / 4`); where the kernel's own readahead has not got there, it asks for them. It does not ask for
/// more: pages fetched by request come singly, those of the kernel's readahead in large folios,
/// which are fetched and mapped several times faster. Where the first page is not in memory, the
/// first 2 MiB of an array of up to 128 MiB are advised `huge_page`, so that readahead starts with
/// large folios at once.
///
/// Validity: the sub-spans as the array they come from; with `behind` not `keep` too, their pages
///           are only fetched again.
/// Threads:  each range is its own; several may stream through one array.
template <class T> class chunk_range {
public:
    /// An input iterator over the chunks, whose end is a `std::default_sentinel_t`.
    class iterator {
    public:
        /// As `std::input_iterator` asks for.
        using value_type = std::span<T>;
        using difference_type = std::ptrdiff_t;
        using iterator_concept = std::input_iterator_tag;

        /// As `std::input_iterator` asks for. A step forward also does what `chunk_range` says.
        [[nodiscard]] std::span<T> operator*() const noexcept {
            return all_.subspan(first_, std::min(length_, all_.size() - first_));
        }
        iterator& operator++() noexcept {
            first_ += std::min(length_, all_.size() - first_);
            drop_behind();
            look_ahead();
            return *this;
        }
        void operator++(int) noexcept { ++*this; }

        /// Whether all chunks are done.
        [[nodiscard]] friend bool operator==(const iterator& i, std::default_sentinel_t) noexcept {
            return i.first_ == i.all_.size();
        }

    private:
        friend class chunk_range;

        static constexpr std::size_t largest_folio = std::size_t{2} << 20;

        iterator(std::span<T> all, std::size_t length, const chunk_options& options) noexcept
            : all_(all), length_(length), options_(options) {
            // Of a long array the first window is a small part, and later ones do better without.
            constexpr std::size_t long_array = std::size_t{128} << 20;
            if (options_.prefetch_bytes == 0 || all_.empty() || all_.size_bytes() > long_array ||
                resident(0))
                return;
            // To the last page of a smaller array: what is left over would be a mapping of its own.
            std::byte* const first = page_of(0);
            const std::byte* const end =
                page_of(all_.size_bytes() - 1) + detail::posix::page_size();
            (void)detail::posix::advise(
                first, std::min(largest_folio, static_cast<std::size_t>(end - first)),
                advice::huge_page);
        }

        /// Whether the page of that byte is in memory; yes if that cannot be asked.
        [[nodiscard]] bool resident(std::size_t at) const noexcept {
            std::size_t n_pages = 0;
            return detail::posix::count_resident(page_of(at), 1, n_pages).failed() || n_pages != 0;
        }

        void look_ahead() noexcept {
            const std::size_t chunk_end = std::min(first_ + length_, all_.size()) * sizeof(T);
            if (options_.prefetch_bytes == 0 || chunk_end < next_look_) return;
            next_look_ = chunk_end + options_.prefetch_bytes / 4;
            const std::size_t end =
                std::min(options_.prefetch_bytes, all_.size_bytes() - chunk_end) + chunk_end;
            if (end <= asked_ || resident(end - 1)) return;
            // In pieces: the kernel cuts a longer request down to the device's readahead. Advice
            // may fail: nothing is lost.
            constexpr std::size_t piece = std::size_t{128} << 10;
            for (std::size_t at = std::max(asked_, chunk_end); at < end; at += piece)
                (void)detail::posix::advise(page_of(at), std::min(piece, end - at),
                                            advice::will_need);
            asked_ = end;
        }

        void drop_behind() noexcept {
            if (options_.behind == behind::keep) return;
            const std::size_t done = first_ * sizeof(T);
            std::byte* const first = page_of(dropped_);
            std::byte* last = page_of(done); // the chunk that follows may share that page
            if (options_.behind == behind::evict && done != all_.size_bytes()) {
                // The kernel reclaims folios as a whole: wait until a block of the largest is done.
                last -= reinterpret_cast<std::uintptr_t>(last) % largest_folio;
            }
            if (last <= first) return;
            const auto length = static_cast<std::size_t>(last - first);
            if (options_.behind == behind::evict)
                (void)detail::posix::advise(first, length, advice::page_out);
            (void)detail::posix::advise(first, length, destructive_advice::dont_need);
            dropped_ += static_cast<std::size_t>(last - page_of(dropped_));
        }

        /// The page that holds a byte of the array.
        [[nodiscard]] std::byte* page_of(std::size_t at) const noexcept {
            auto* const bytes =
                reinterpret_cast<std::byte*>(const_cast<std::remove_const_t<T>*>(all_.data())) + at;
            return bytes - reinterpret_cast<std::uintptr_t>(bytes) % detail::posix::page_size();
        }

        std::span<T> all_;
        std::size_t first_ = 0; ///< of the chunk, in elements
        std::size_t length_;
        chunk_options options_;
        // In bytes from the start:
        std::size_t next_look_ = 0;
        std::size_t asked_ = 0;
        std::size_t dropped_ = 0;
    };

    /// The elements of `all` in chunks of `length` each, the last one shorter.
    ///
    /// Requires: `length > 0`. `all` is mapped, and shared where `behind` is not `keep`.
    chunk_range(std::span<T> all, std::size_t length, const chunk_options& options) noexcept
        : all_(all), length_(length), options_(options) {
        MMSTL_ASSERT(length > 0);
    }

    /// As `std::ranges::input_range` asks for. Each `begin()` is at the first chunk.
    [[nodiscard]] iterator begin() const noexcept { return iterator(all_, length_, options_); }
    [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }
    /// The number of chunks.
    [[nodiscard]] std::size_t size() const noexcept {
        return all_.size() / length_ + (all_.size() % length_ != 0 ? 1 : 0);
    }

private:
    std::span<T> all_;
    std::size_t length_;
    chunk_options options_;
};

} // namespace mmstl::inline v1

#endif
