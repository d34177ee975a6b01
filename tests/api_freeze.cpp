// SPDX-License-Identifier: MIT
//
// Programs as the documentation shows them, which must go on to compile as they stand: what is
// changed here is an API break. Compiled with -std=c++20 -Wall -Wextra -Werror and the include
// directory alone, and run in an empty directory.

#include <mmstl.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

// Not in an unnamed namespace: files know it by its name.
struct tick {
    double time;
    double price;
};

struct job {
    int number;
};
template <> inline constexpr std::string_view mmstl::persistent_name<job> = "frozen/job";

namespace {

void must(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "not so: %s\n", what);
    std::exit(1); // NOLINT(concurrency-mt-unsafe)
}
#define MUST(condition) must(condition, #condition)

void print_a_file() {
    mmstl::mapped_span<const char> text("testfile.txt"); // const T: read only
    for (char c : text) std::putchar(c);
    std::string_view all(text); // converts to std::span<T>; char to string_view
    MUST(all == "print me\n");
    std::span<const char> as_span(text);
    MUST(as_span.size() == all.size());
}

void sort_a_file() {
    mmstl::mapped_span<float> a("a.f32"); // T: read and write, through to the file
    std::ranges::sort(a);
    a.flush();
    MUST(std::ranges::is_sorted(a));
}

void create_a_file() {
    auto fresh = mmstl::mapped_span<float>::create("b.f32", 1000); // a new file of 1000 elements
    MUST(fresh.size() == 1000);
    MUST(std::filesystem::file_size("b.f32") == 4000);
}

void write_privately() {
    mmstl::mapped_span<float> p("a.f32",
                                {.access = mmstl::access::copy_on_write}); // never reaches the file
    p[0] = -1;
    MUST((mmstl::mapped_span<const float>("a.f32")[0]) != -1);
}

void map_a_part() {
    mmstl::mapped_span<const std::int16_t> part(
        "dem.hgt", {.offset_bytes = 6, .count = 1201}); // offset need not be page aligned
    MUST(part.size() == 1201);
    MUST(part[0] == 3);
}

void share_an_int() {
    mmstl::mapped_span<int> shared(mmstl::anonymous(),
                                   {.count = 1}); // one int that a fork()ed child shares
    shared[0] = 5;
    MUST(shared.front() == 5);
}

void name_every_backing() {
    const mmstl::backing all[] = {
        mmstl::file("a.f32"),
        mmstl::file(std::string("a.f32"), {.permissions = 0644}),
        mmstl::temporary_file("."),
        mmstl::shared_memory("/mmstl-frozen", {.permissions = 0600}),
        mmstl::memory_file("a label"),
        mmstl::memory_file("a label", {.pages = mmstl::pages::normal}),
        mmstl::anonymous(),
        mmstl::borrowed_fd(0),
        std::filesystem::path("a.f32"),
        std::string_view("a.f32"),
    };
    for (const auto& one : all) MUST(!one.name().empty());
    mmstl::mapped_span<const float> by_path(std::filesystem::path("a.f32"));
    mmstl::mapped_span<const float> by_string(std::string("a.f32"));
    mmstl::mapped_span<const float> by_view(std::string_view("a.f32"));
    mmstl::mapped_span<const float> by_file(mmstl::file("a.f32"));
    MUST(by_path.size() == by_file.size() && by_string.size() == by_view.size());
    mmstl::file("b.f32").remove();
    MUST(!std::filesystem::exists("b.f32"));
}

void stream_a_file() {
    mmstl::mapped_span<const char> text("testfile.txt");
    std::size_t n = 0;
    for (std::span<const char> part : text.chunks(4, {.behind = mmstl::behind::release}))
        n += part.size();
    MUST(n == text.size());
}

void fail_without_exceptions() {
    std::error_code ec;
    mmstl::mapped_span<const char> none("absent", ec);
    MUST(ec == std::errc::no_such_file_or_directory);
    MUST(none.empty());
    auto fresh = mmstl::mapped_span<int>::open_or_create("c.i32", 3, ec);
    MUST(!ec && fresh.created());
    fresh.flush(ec);
    fresh.close(ec);
    MUST(!ec && fresh.empty());
}

void fail_with_exceptions() {
    try {
        mmstl::mapped_span<const char> none("absent");
        MUST(false);
    } catch (const mmstl::mapping_error& e) {
        MUST(e.path() == "absent");
        MUST(std::string_view(e.call()) == "open");
    }
}

void tell_the_kernel() {
    mmstl::mapped_span<const float> a("a.f32",
                                      {.copy_below_bytes = mmstl::recommended_copy_below_bytes});
    a.advise(mmstl::advice::sequential);
    MUST(a.readable());
    mmstl::mapped_span<float> b("a.f32");
    b.flush(0, 1);
    b.flush_async();
    MUST(!b.refresh());
}

void map_bytes() {
    mmstl::mapping bytes(
        "testfile.txt", {.access = mmstl::access::read_only, .offset_bytes = 6, .length_bytes = 2});
    MUST(static_cast<char>(bytes.data()[0]) == 'm');
    auto handle = mmstl::file("a.f32").open(mmstl::access::read_write);
    handle.resize(handle.size_bytes() + 4, mmstl::allocation::sparse);
    handle.close();
}

void keep_a_vector() {
    const double now = 12.5;
    auto ticks = mmstl::mapped_vector<tick>::open_or_create("ticks.mmv");
    ticks.push_back({now, 101.5});
    ticks.flush(); // std::vector's interface
    MUST(ticks.created() && ticks.durable_size() == 1);
    auto tail =
        mmstl::mapped_vector<const tick>::open("ticks.mmv"); // a reader: constness is in the type
    MUST(tail.back().price == 101.5);
    const std::vector<tick> more(10);
    ticks.append_range(more);
    MUST(tail.size() == 11);
    double sum = 0;
    for (const tick& one : tail) sum += one.price;
    for (const tick& one : std::span(tail)) sum += one.price;
    MUST(sum == 203);
    ticks.close();
    MUST(!ticks.is_open());
}

void share_a_vector() {
    auto live = mmstl::mapped_vector<tick>::create(mmstl::shared_memory("/mmstl-frozen-ticks"));
    mmstl::shared_memory("/mmstl-frozen-ticks").remove();
    live.push_back({1, 2});
    auto jobs = mmstl::mapped_vector<job>::create(mmstl::anonymous());
    jobs.emplace_back().number = 7;
    MUST(jobs.at(0).number == 7);
}

void choose_how_a_vector_grows() {
    using vector = mmstl::mapped_vector<std::int32_t>;
    const mmstl::vector_options options = {
        .reserved = 1000,
        .growth = {.factor = 1.5, .least_bytes = 4096, .most_bytes = 1 << 20},
        .allocation = mmstl::allocation::sparse,
        .layout = mmstl::layout::header,
        .on_unclean = mmstl::on_unclean::published,
        .pages = mmstl::pages::normal};
    auto numbers = vector::create("numbers.mmv", options);
    numbers = {3, 1, 2};
    numbers.insert(numbers.begin(), {5, 4});
    std::ranges::sort(numbers);
    MUST(numbers.front() == 1 && numbers.back() == 5);
    std::ranges::fill(numbers.append_uninitialized(100), 6);
    numbers.commit(1);
    MUST(numbers.size() == 6);
    MUST(erase_if(numbers, [](int n) { return n > 3; }) == 3);
    numbers.shrink_to_fit();
    MUST(!numbers.recovered());
    try {
        numbers.reserve(2000);
        MUST(false);
    } catch (const mmstl::reservation_exhausted& e) {
        MUST(e.asked() == 2000 && e.reserved() == 1000);
    }
    std::error_code ec;
    numbers.flush(ec);
    numbers.close(ec);
    MUST(!ec);
    (void)vector::create("numbers.mmv", ec);
    MUST(ec == std::errc::file_exists);

    auto raw = vector::create("numbers.i32", {.layout = mmstl::layout::raw});
    raw.append_range(std::vector<int>{1, 2, 3});
    raw.close();
    MUST(std::filesystem::file_size("numbers.i32") == 12);
}

void keep_a_segment() {
    auto seg = mmstl::segment::open_or_create("index.mms");
    auto& hits = seg.find_or_construct<mmstl::unordered_map<mmstl::string, std::uint64_t>>("hits");
    ++hits["mmap"]; // the string's bytes end up in the segment too
    if (auto it = hits.find(std::string_view("mmap")); it != hits.end()) // no temporary string
        MUST(it->second == 1 && seg.contains(&it->first));
    std::vector<int, mmstl::shared_allocator<int>> v(
        seg.allocator<int>()); // any std container, plain std spelling
    v.push_back(1);
    MUST(seg.contains(v.data()));
    auto* m = seg.find<mmstl::map<int, int>>("absent"); // nullptr
    MUST(m == nullptr);
    seg.construct<mmstl::map<int, int>>("m")[1] = 2;
    seg.destroy<mmstl::map<int, int>>("m");
    MUST((seg.find<mmstl::map<int, int>>("m") == nullptr));
}

void share_a_segment() {
    auto shm = mmstl::segment::create(mmstl::anonymous()); // shared with children after fork()
    auto& q = shm.construct<mmstl::deque<job>>("queue");   // throws if "queue" exists
    q.push_back({7});
    MUST(shm.find<const mmstl::deque<job>>("queue")->front().number == 7);
    try {
        shm.construct<mmstl::deque<job>>("queue");
        MUST(false);
    } catch (const mmstl::mapping_error& e) {
        MUST(e.code() == mmstl::errc::name_taken);
    }
    try {
        (void)shm.find<mmstl::deque<int>>("queue"); // an error, not a cast
        MUST(false);
    } catch (const mmstl::mapping_error& e) {
        MUST(e.code() == mmstl::errc::other_type);
    }
}

void choose_how_a_segment_is_opened() {
    const mmstl::segment_options options = {.capacity_bytes = 64 << 20,
                                            .base_address = nullptr,
                                            .growth_bytes = 1 << 20,
                                            .allocation = mmstl::allocation::sparse,
                                            .unclean = mmstl::unclean_segment::check,
                                            .access = mmstl::access::read_write};
    auto seg = mmstl::segment::create("options.mms", options);
    MUST(seg.is_open() && seg.created() && seg.name() == "options.mms");
    MUST(seg.capacity_bytes() == 64 << 20);
    const auto [object, is_new] = seg.try_construct<double>("one", 0.5);
    MUST(is_new && *object == 0.5);
    const std::span<int> grid = seg.construct<int[]>("grid", 100, 3);
    MUST(seg.find<const int[]>("grid").back() == 3);
    MUST(seg.find_or_construct<int[]>("grid", 5).data() == grid.data());
    MUST(seg.address_of(seg.offset_of(grid.data())) == grid.data());
    MUST(seg.named_objects().size() == 2);
    for (const mmstl::named_object& one : seg.named_objects())
        MUST(!one.name.empty() && !one.type_name.empty() && one.count != 0 && one.size_bytes != 0 &&
             one.alignment != 0 && one.offset != 0);
    MUST(seg.used_bytes() + seg.free_bytes() < seg.capacity_bytes());
    MUST(seg.size_bytes() != 0 && seg.base_address() != nullptr);
    const mmstl::segment_report report = seg.check();
    MUST(report.clean() && report && report.problems.empty() && report.n_problems == 0);
    MUST(report.n_named_objects == 2 && report.n_blocks != 0 && report.used_bytes != 0 &&
         report.free_bytes != 0);
    try {
        (void)seg.construct<mmstl::vector<char>>("too much", 1 << 30);
        MUST(false);
    } catch (const mmstl::segment_exhausted& e) { // a std::bad_alloc
        MUST(e.asked_bytes() == 1 << 30 && e.available_bytes() < 64 << 20);
        MUST(e.code() == std::errc::not_enough_memory);
    }
    MUST(seg.destroy<int[]>("grid") && seg.abandon("one") && !seg.abandon("one"));
    std::error_code ec;
    seg.flush(ec);
    seg.flush();
    seg.close(ec);
    MUST(!ec && !seg.is_open());
    auto reader = mmstl::segment::open("options.mms", {.access = mmstl::access::read_only}, ec);
    MUST(!ec && reader.find<const int>("absent") == nullptr);
    reader = mmstl::segment::open("options.mms", ec);
    auto either = mmstl::segment::open_or_create("options.mms", {}, ec);
    MUST(!ec && !either.created());
    (void)mmstl::segment::create("options.mms", ec);
    MUST(ec == std::errc::file_exists);
}

void name_every_container() {
    auto seg = mmstl::segment::create(mmstl::memory_file("containers"));
    struct all {
        using allocator_type = mmstl::shared_allocator<char>;
        explicit all(const allocator_type& in)
            : text(in), wide(in), u8(in), u16(in), u32(in), vector(in), bits(in), deque(in),
              list(in), forward_list(in), map(in), multimap(in), set(in), multiset(in),
              unordered_map(in), unordered_multimap(in), unordered_set(in), unordered_multiset(in) {
        }
        mmstl::string text;
        mmstl::wstring wide;
        mmstl::u8string u8;
        mmstl::u16string u16;
        mmstl::u32string u32;
        mmstl::vector<int> vector;
        mmstl::vector<bool> bits;
        mmstl::deque<int> deque;
        mmstl::list<int> list;
        mmstl::forward_list<int> forward_list;
        mmstl::map<int, int> map;
        mmstl::multimap<mmstl::string, mmstl::vector<mmstl::string>> multimap;
        mmstl::set<mmstl::string> set;
        mmstl::multiset<int> multiset;
        mmstl::unordered_map<int, int> unordered_map;
        mmstl::unordered_multimap<mmstl::string, int> unordered_multimap;
        mmstl::unordered_set<mmstl::string> unordered_set;
        mmstl::unordered_multiset<std::pair<int, mmstl::string>> unordered_multiset;
    };
    all one(seg.allocator<char>());
    one.multimap.emplace("key", mmstl::vector<mmstl::string>{"value"});
    one.unordered_multiset.emplace(1, "one");
    MUST(one.multimap.contains("key") && one.set.count(std::string("absent")) == 0);
    MUST(mmstl::hash<mmstl::string>()("mmap") == mmstl::hash<std::string_view>()("mmap"));
    static_assert(mmstl::segment_storable<mmstl::map<mmstl::string, mmstl::vector<int>>>);
    static_assert(!mmstl::segment_storable<std::vector<std::string>>);
}

} // namespace

int main() {
    std::ofstream("testfile.txt") << "print me\n";
    const float numbers[] = {3, 1, 2};
    std::ofstream("a.f32", std::ios::binary)
        .write(reinterpret_cast<const char*>(numbers), sizeof numbers);
    std::int16_t heights[1300];
    std::iota(std::begin(heights), std::end(heights), std::int16_t{0});
    std::ofstream("dem.hgt", std::ios::binary)
        .write(reinterpret_cast<const char*>(heights), sizeof heights);
    print_a_file();
    sort_a_file();
    create_a_file();
    write_privately();
    map_a_part();
    share_an_int();
    name_every_backing();
    stream_a_file();
    fail_without_exceptions();
    fail_with_exceptions();
    tell_the_kernel();
    map_bytes();
    keep_a_vector();
    share_a_vector();
    choose_how_a_vector_grows();
    keep_a_segment();
    share_a_segment();
    choose_how_a_segment_is_opened();
    name_every_container();
}
