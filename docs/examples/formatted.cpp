// SPDX-License-Identifier: MIT
//
// Prints what mmstl has by the {fmt} library.

#include <mmstl/fmt.hpp>

#include <exception>
#include <system_error>

namespace {

void print_values() {
    auto prices = mmstl::mapped_vector<double>::create("prices.mmv");
    prices = {101.5, 99.25};
    fmt::print("{} or {::.2f}\n", prices, prices);

    const mmstl::mapped_span<const char> text("testfile.txt");
    fmt::print("{:.8}...\n", text);

    const mmstl::span_options options = {.access = mmstl::access::copy_on_write, .count = 10};
    fmt::print("{:<13}|{}\n", mmstl::access::read_only, options);
}

void print_errors() {
    try {
        const mmstl::mapped_span<const char> past("testfile.txt", {.offset_bytes = 1000});
    } catch (const mmstl::mapping_error& error) {
        fmt::print("{}\n", error);
    }
    auto few = mmstl::mapped_vector<int>::create(mmstl::anonymous(), {.reserved = 1000});
    try {
        few.reserve(1'000'000);
    } catch (const mmstl::reservation_exhausted& error) {
        fmt::print("{}\n", error);
    }
    std::error_code ec;
    (void)mmstl::segment::open("testfile.txt", ec);
    if (ec.category() == mmstl::mapping_category()) // else it is an errno
        fmt::print("{}\n", static_cast<mmstl::errc>(ec.value()));
}

void print_a_segment() {
    auto seg = mmstl::segment::create("index.mms");
    auto& hits = seg.construct<mmstl::map<mmstl::string, int>>("hits");
    ++hits["mmap"];
    auto& mutex = seg.construct<mmstl::robust_mutex>("mutex");
    fmt::print("{}, {}\n", hits, mutex);
    seg.close();
    fmt::print("{}\n", seg);
}

} // namespace

int main() {
    try {
        print_values();
        print_errors();
        print_a_segment();
    } catch (const std::exception& error) {
        fmt::print(stderr, "{}\n", error.what());
        return 1;
    }
}
