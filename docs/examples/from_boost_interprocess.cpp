// SPDX-License-Identifier: MIT
//
// The code of docs/from-boost-interprocess.md, as it stands there.

#include <mmstl.hpp>

#include <chrono>
#include <cstdio>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

// What was a struct with an interprocess_mutex in it.
struct ticker {
    mmstl::robust_mutex mutex;
    double bid = 0;
    double ask = 0;
};

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

    std::printf("%zu %zu %d\n", one.size(), row.size(), found == &all);
    seg.destroy<series>("series");

    all["DAX"] = 15'000; // no allocator to hand over, no string to convert
    all.emplace(std::string("DOW"), 34'000);
    std::printf("%d\n", all.contains(std::string_view("DOW")));
    prices_in_full& same = all;
    std::printf("%zu\n", same.size());
}

void use_locks() {
    auto seg = mmstl::segment::open("prices.mms");
    auto& mutex = seg.find_or_construct<mmstl::robust_mutex>("prices mutex"); // a named_mutex
    try {
        const std::scoped_lock lock(mutex); // bip::scoped_lock<bip::named_mutex>
        ++seg.find_or_construct<prices>("prices")["DAX"];
    } catch (const mmstl::owner_died&) { // what Boost does not say
        mutex.recover([&] { seg.abandon("prices"); });
    }

    auto& one = seg.find_or_construct<ticker>("ticker");
    if (const std::unique_lock lock(one.mutex, std::chrono::milliseconds(100)); lock)
        one.ask = one.bid + 1; // got within that time: timed_lock

    std::printf("%g %g\n", seg.find<prices>("prices")->at("DAX"), one.ask);
}

} // namespace

int main() {
    try {
        open_segments();
        use_objects();
        use_locks();
        mmstl::file("prices.mms").remove();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
