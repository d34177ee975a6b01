// SPDX-License-Identifier: MIT
//
// LMDB as a peer: a map in a file, or nothing where it was not found.

#ifndef MMSTL_BENCHMARKS_PEERS_LMDB_HPP
#define MMSTL_BENCHMARKS_PEERS_LMDB_HPP

#include "../support/entries.hpp"

#include <cstddef>
#include <memory>
#include <string>

namespace bench::peers {

#ifdef MMSTL_BENCHMARKS_HAS_LMDB
inline constexpr bool has_lmdb = true;
#else
inline constexpr bool has_lmdb = false;
#endif
inline constexpr const char* no_lmdb = "LMDB was not found when this was built";

[[nodiscard]] std::string lmdb_version();

/// A new database in one file, without a lock file: one process uses it. Null without LMDB.
[[nodiscard]] std::unique_ptr<entries> make_lmdb(const std::string& path, std::size_t most_bytes);
/// The one that is in the file, read only.
[[nodiscard]] std::unique_ptr<entries> open_lmdb(const std::string& path);

} // namespace bench::peers

#endif // MMSTL_BENCHMARKS_PEERS_LMDB_HPP
