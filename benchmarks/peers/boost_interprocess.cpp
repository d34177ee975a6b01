// SPDX-License-Identifier: MIT
//
// Boost.Interprocess as a peer: a heap and maps in a file, and a mutex, or nothing where it was not
// found.

#include "boost_interprocess.hpp"

#ifdef MMSTL_BENCHMARKS_HAS_BOOST_INTERPROCESS
#include <boost/interprocess/allocators/allocator.hpp>
#include <boost/interprocess/containers/map.hpp>
#include <boost/interprocess/managed_mapped_file.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/unordered_map.hpp>

#include <functional>
#include <utility>
#endif

namespace bench::peers {

#ifdef MMSTL_BENCHMARKS_HAS_BOOST_INTERPROCESS

namespace {

namespace bip = boost::interprocess;

class heap_in_file : public boost_heap {
public:
    heap_in_file(const std::string& path, std::size_t file_bytes)
        : file_(bip::create_only, path.c_str(), file_bytes) {}

    void* allocate(std::size_t n_bytes) override { return file_.allocate(n_bytes); }
    void deallocate(void* p) noexcept override { file_.deallocate(p); }

private:
    bip::managed_mapped_file file_;
};

using pair = std::pair<const std::uint64_t, std::uint64_t>;
using pair_allocator = bip::allocator<pair, bip::managed_mapped_file::segment_manager>;
using map = bip::map<std::uint64_t, std::uint64_t, std::less<std::uint64_t>, pair_allocator>;
using unordered_map = boost::unordered_map<std::uint64_t, std::uint64_t, boost::hash<std::uint64_t>,
                                           std::equal_to<std::uint64_t>, pair_allocator>;

constexpr const char* name = "entries";

} // namespace

std::unique_ptr<boost_heap> make_boost_heap(const std::string& path, std::size_t file_bytes) {
    return std::make_unique<heap_in_file>(path, file_bytes);
}

std::unique_ptr<entries> make_boost_map(const std::string& path, std::size_t file_bytes) {
    return std::make_unique<entries_in<bip::managed_mapped_file, map&>>(
        bip::managed_mapped_file(bip::create_only, path.c_str(), file_bytes),
        [](bip::managed_mapped_file& in) -> map& {
            return *in.construct<map>(name)(pair_allocator(in.get_segment_manager()));
        });
}

std::unique_ptr<entries> make_boost_unordered_map(const std::string& path, std::size_t file_bytes) {
    return std::make_unique<entries_in<bip::managed_mapped_file, unordered_map&>>(
        bip::managed_mapped_file(bip::create_only, path.c_str(), file_bytes),
        [](bip::managed_mapped_file& in) -> unordered_map& {
            return *in.construct<unordered_map>(name)(pair_allocator(in.get_segment_manager()));
        });
}

std::unique_ptr<entries> open_boost_map(const std::string& path) {
    return std::make_unique<entries_in<bip::managed_mapped_file, map&>>(
        bip::managed_mapped_file(bip::open_only, path.c_str()),
        [](bip::managed_mapped_file& in) -> map& { return *in.find<map>(name).first; });
}

std::unique_ptr<guarded_count> make_boost_guarded_count() {
    return std::make_unique<count_guarded_by<bip::interprocess_mutex>>();
}

#else

std::unique_ptr<boost_heap> make_boost_heap(const std::string&, std::size_t) { return nullptr; }
std::unique_ptr<entries> make_boost_map(const std::string&, std::size_t) { return nullptr; }
std::unique_ptr<entries> make_boost_unordered_map(const std::string&, std::size_t) {
    return nullptr;
}
std::unique_ptr<entries> open_boost_map(const std::string&) { return nullptr; }
std::unique_ptr<guarded_count> make_boost_guarded_count() { return nullptr; }

#endif

} // namespace bench::peers
