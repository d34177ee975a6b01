// SPDX-License-Identifier: MIT
//
// Boost.Interprocess as a peer: a heap and maps in a file, and a mutex, or nothing where it was not
// found.

#ifndef MMSTL_BENCHMARKS_PEERS_BOOST_INTERPROCESS_HPP
#define MMSTL_BENCHMARKS_PEERS_BOOST_INTERPROCESS_HPP

#include "../support/entries.hpp"
#include "../support/guarded_count.hpp"

#include <cstddef>
#include <memory>
#include <string>

namespace bench::peers {

#ifdef MMSTL_BENCHMARKS_HAS_BOOST_INTERPROCESS
inline constexpr bool has_boost_interprocess = true;
#else
inline constexpr bool has_boost_interprocess = false;
#endif
inline constexpr const char* no_boost_interprocess =
    "Boost.Interprocess was not found when this was built";

/// What is allocated in a `managed_mapped_file`, which does not grow.
class boost_heap {
public:
    virtual ~boost_heap() = default;
    [[nodiscard]] virtual void* allocate(std::size_t n_bytes) = 0;
    virtual void deallocate(void* p) noexcept = 0;
};

/// In a new file. Null without Boost.Interprocess, as all below.
[[nodiscard]] std::unique_ptr<boost_heap> make_boost_heap(const std::string& path,
                                                          std::size_t file_bytes);

/// `boost::interprocess::map`, or `boost::unordered_map`, with the allocator of a
/// `managed_mapped_file`: a new one.
[[nodiscard]] std::unique_ptr<entries> make_boost_map(const std::string& path,
                                                      std::size_t file_bytes);
[[nodiscard]] std::unique_ptr<entries> make_boost_unordered_map(const std::string& path,
                                                                std::size_t file_bytes);
/// The map that is in the file.
[[nodiscard]] std::unique_ptr<entries> open_boost_map(const std::string& path);

/// By an `interprocess_mutex`.
[[nodiscard]] std::unique_ptr<guarded_count> make_boost_guarded_count();

} // namespace bench::peers

#endif // MMSTL_BENCHMARKS_PEERS_BOOST_INTERPROCESS_HPP
