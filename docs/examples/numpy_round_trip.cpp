// SPDX-License-Identifier: MIT
//
// Exchanges arrays with NumPy without a copy or a conversion:
//
//     numpy_round_trip write          makes prices.mmv (with a header) and volumes.i32 (without)
//     python3 numpy_round_trip.py     changes both in place, and writes totals.f64
//     numpy_round_trip read           reads all three

#include <mmstl.hpp>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <string_view>

namespace {

void write() {
    auto prices = mmstl::mapped_vector<double>::create("prices.mmv");
    prices = {10, 20, 30, 40};
    prices.close();
    auto volumes =
        mmstl::mapped_vector<std::int32_t>::create("volumes.i32", {.layout = mmstl::layout::raw});
    volumes = {5, 6, 7, 8};
    volumes.close(); // the file is the four numbers and nothing else
}

void read() {
    const auto prices = mmstl::mapped_vector<const double>::open("prices.mmv");
    const mmstl::mapped_span<const std::int32_t> volumes("volumes.i32");
    auto totals = mmstl::mapped_vector<double>::open("totals.f64", {.layout = mmstl::layout::raw});
    totals.push_back(0); // a file of NumPy's that grows
    for (std::size_t i = 0; i < prices.size(); ++i) totals.back() += totals[i];

    for (double price : prices) std::printf(" %g", price);
    std::printf(" prices\n");
    for (std::int32_t volume : volumes) std::printf(" %d", volume);
    std::printf(" volumes\n");
    for (double total : totals) std::printf(" %g", total);
    std::printf(" totals, and their sum\n");
    totals.close();
}

} // namespace

int main(int argc, char** argv) {
    try {
        const std::string_view what = argc > 1 ? argv[1] : "";
        if (what == "write") {
            write();
        } else if (what == "read") {
            read();
        } else {
            std::fprintf(stderr, "usage: numpy_round_trip write|read\n");
            return 2;
        }
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
