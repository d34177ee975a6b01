// SPDX-License-Identifier: MIT
//
// The code of docs/from-boost-interprocess.md, as it stands there.

#include <mmstl.hpp>

#include <cstdio>
#include <exception>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace {

// What was a typedef of a shm_allocator for each container, and then the containers.
using prices = mmstl::map<mmstl::string, double>;
using series = mmstl::vector<double>;

// The same in full, for who has such aliases already.
using pair_allocator = mmstl::shared_allocator<std::pair<const mmstl::string, double>>;
using prices_in_full = std::map<mmstl::string, double, std::less<>, pair_allocator>;

void open_segments() {
    auto seg = mmstl::segment::open_or_create("prices.mms", {.capacity_bytes = 64 << 20});
    auto shm = mmstl::segment::open_or_create(mmstl::shared_memory("/mmstl-prices"));
    auto reader = mmstl::segment::open("prices.mms");

    std::printf("%d %d\n", seg.created(), shm.is_open());
    mmstl::shared_memory("/mmstl-prices").remove();
    reader.close();
    seg.close();
}

void use_objects() {
    auto seg = mmstl::segment::open("prices.mms");
    prices& all = seg.find_or_construct<prices>("prices"); // one call, and it is made
    series& one = seg.construct<series>("series", 100, 0.5);
    const auto row = seg.find_or_construct<int[]>("row", 10, 3); // ten, each of them 3
    prices* found = seg.find<prices>("prices");
    seg.destroy<series>("series");

    std::printf("%zu %zu %d\n", one.size(), row.size(), found == &all);
    all["DAX"] = 15'000; // no allocator to hand over, no string to convert
    all.emplace(std::string("DOW"), 34'000);
    std::printf("%d\n", all.contains(std::string_view("DOW")));
    prices_in_full& same = all;
    std::printf("%zu\n", same.size());
}

} // namespace

int main() {
    try {
        open_segments();
        use_objects();
        mmstl::file("prices.mms").remove();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
