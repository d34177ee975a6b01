// SPDX-License-Identifier: MIT
//
// The code of docs/segment.md, as it stands there.

#include <mmstl.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <queue>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

// Takes the segment's allocator, and hands it to its members.
struct book {
    using allocator_type = mmstl::shared_allocator<char>;

    explicit book(const allocator_type& in) : title(in), authors(in) {}
    book(std::string_view its_title, const allocator_type& in)
        : title(its_title, in), authors(in) {}
    book(const book& other, const allocator_type& in)
        : title(other.title, in), authors(other.authors, in) {}
    book(book&& other, const allocator_type& in)
        : title(std::move(other.title), in), authors(std::move(other.authors), in) {}
    book(const book&) = default;
    book(book&&) = default;
    book& operator=(const book&) = default;
    book& operator=(book&&) = default;

    mmstl::string title;
    mmstl::vector<mmstl::string> authors;
};

template <> inline constexpr std::string_view mmstl::persistent_name<book> = "library/book/1";

// Looks as if it could: but its members are in the heap of the process, wherever it is itself, and
// with a constructor or a private member it is not seen that there are any.
class leaflet {
public:
    mmstl::string& title() { return title_; }

private:
    mmstl::string title_;
};

namespace {

constexpr const char* long_text = "a text that is too long for the room within a string";

void first_program() {
    auto seg = mmstl::segment::open_or_create("index.mms");
    auto& hits = seg.find_or_construct<mmstl::unordered_map<mmstl::string, int>>("hits");
    ++hits["mmap"]; // the characters of the key are in the segment, too
    if (auto it = hits.find(std::string_view("mmap")); it != hits.end()) // no temporary string
        std::printf("%s: %d\n", it->first.c_str(), it->second);
    seg.close(); // on the disk, and marked as closed, when this returns
}

void open_in_every_way() {
    auto fresh = mmstl::segment::create("a.mms");          // EEXIST if there is one
    auto again = mmstl::segment::open("a.mms");            // ENOENT if there is none
    auto either = mmstl::segment::open_or_create("a.mms"); // created() says which

    auto family = mmstl::segment::create(mmstl::anonymous()); // shared with fork()ed children
    auto scratch = mmstl::segment::create(mmstl::temporary_file("."));

    std::error_code ec;
    auto absent = mmstl::segment::open("absent.mms", ec);
    if (ec == std::errc::no_such_file_or_directory) std::printf("no such file\n");

    std::printf("%d %d %d\n", fresh.created(), again.created(), either.created());
    std::printf("%d %d %d\n", family.created(), scratch.created(), absent.is_open());
    fresh.construct<int>("one", 1);
    std::printf("%d\n", *again.find<int>("one"));
}

void set_options() {
    auto big = mmstl::segment::create("big.mms", {.capacity_bytes = std::uint64_t{64} << 30,
                                                  .growth_bytes = 16 << 20,
                                                  .allocation = mmstl::allocation::blocks});
    std::printf("%llu GiB\n", static_cast<unsigned long long>(big.capacity_bytes() >> 30));
}

void name_objects(mmstl::segment& seg) {
    auto& limits = seg.construct<mmstl::map<int, double>>("limits"); // name_taken if there is one
    auto& counts = seg.find_or_construct<mmstl::vector<int>>("counts", 3, 7); // {7, 7, 7} if new
    auto* absent = seg.find<mmstl::map<int, int>>("absent");                  // nullptr
    const auto [state, is_new] = seg.try_construct<int>("state", 42);
    std::span<double> grid = seg.construct<double[]>("grid", 1000, 0.5); // 1000 times 0.5
    std::span<double> found = seg.find<double[]>("grid");

    for (const mmstl::named_object& one : seg.named_objects())
        std::printf("%s: %zu\n", one.name.c_str(), one.count); // and its type, size and place
    seg.destroy<double[]>("grid"); // false if there is none of that name

    try {
        (void)seg.find<mmstl::map<int, long>>("limits");
    } catch (const mmstl::mapping_error& e) {
        if (e.code() == mmstl::errc::other_type) std::printf("limits are something else\n");
    }

    limits[1] = 0.5;
    std::printf("%zu %zu %d %d %d %d\n", limits.size(), counts.size(), absent == nullptr, *state,
                is_new, found.data() == grid.data());
    std::printf("%zu objects are left\n", seg.named_objects().size());
}

void use_containers(mmstl::segment& seg) {
    auto& titles = seg.construct<mmstl::map<int, mmstl::vector<mmstl::string>>>("titles");
    titles[1984].emplace_back(long_text);       // the map, the vector and the text: in the segment
    titles[1984][0] = mmstl::string(long_text); // a temporary of the process, copied into it
    std::vector<int, mmstl::shared_allocator<int>> v(seg.allocator<int>()); // no name: for a while
    auto& next =
        seg.construct<std::priority_queue<int, mmstl::vector<int>>>("next"); // adaptors too

    std::printf("%d\n", seg.contains(titles[1984][0].data()));
    v.push_back(1);
    next.push(1);
    std::printf("%d %d\n", seg.contains(v.data()), seg.contains(&next.top()));

    auto copy = titles; // in the heap of the process
    mmstl::map<int, mmstl::vector<mmstl::string>> also_there(titles, seg.allocator<char>());
    auto moved = std::move(also_there); // stays in the segment
    std::printf("%d %d\n", seg.contains(copy[1984].data()), seg.contains(moved[1984].data()));
}

void look_up_words(mmstl::segment& seg, std::string_view word) {
    auto& hits = seg.construct<mmstl::unordered_map<mmstl::string, int>>("hits");
    for (int i = 0; i < 2; ++i) {
        if (auto it = hits.find(word); it != hits.end()) // no temporary string
            ++it->second;
        else
            hits.emplace(word, 1); // the one string that is made is made in the segment
    }
    std::printf("%d\n", hits.at("mmap"));
}

void use_own_types(mmstl::segment& seg) {
    auto& books = seg.construct<mmstl::vector<book>>("books");
    books.emplace_back(long_text).authors.emplace_back(long_text);
    std::printf("%d %d\n", seg.contains(books[0].title.data()),
                seg.contains(books[0].authors[0].data()));

    auto& wrong = seg.construct<leaflet>("leaflet");
    wrong.title() =
        long_text; // compiles; the text is in the heap of this process, and gone tomorrow
    std::printf("%d\n", seg.contains(wrong.title().data()));
    seg.destroy<leaflet>("leaflet");
}

void share_with_children() {
    auto shm = mmstl::segment::create(mmstl::anonymous());
    auto& primes = shm.construct<mmstl::set<int>>("primes");
    const pid_t child = fork();
    if (child == 0) {
        primes.insert({2, 3, 5}); // allocates: there is nothing to open or to attach
        _exit(0);
    }
    waitpid(child, nullptr, 0);
    std::printf("%zu primes\n", primes.size());
}

void count_under_a_lock() {
    auto seg = mmstl::segment::open_or_create("count.mms");
    auto& mutex = seg.find_or_construct<mmstl::robust_mutex>("visits mutex");
    try {
        const std::scoped_lock held(mutex); // among all threads of all processes
        auto& visits = seg.find_or_construct<mmstl::deque<pid_t>>("visits");
        visits.push_back(getpid());
    } catch (const mmstl::owner_died&) {
        mutex.recover([&] { seg.abandon("visits"); }); // an insertion may be half done
    }
    std::printf("%zu visits\n", seg.find<mmstl::deque<pid_t>>("visits")->size());
    seg.close();
}

void ask_for_room(mmstl::segment& seg) {
    const auto used = seg.used_bytes(); // by blocks that are handed out
    const auto free = seg.free_bytes(); // that the capacity has left, though not in one block
    const auto size = seg.size_bytes(); // of the file; of small segments mostly holes
    const auto most = seg.capacity_bytes();

    auto& samples = seg.construct<mmstl::vector<double>>("samples", 1000);
    try {
        samples.resize(100'000'000);
    } catch (const mmstl::segment_exhausted& e) {     // a std::bad_alloc; samples is as before
        if (e.code() == std::errc::not_enough_memory) // of addresses: the capacity is reached
            std::printf("asked for %llu bytes\n", static_cast<unsigned long long>(e.asked_bytes()));
    }
    std::printf("%d %d %zu\n", used + free <= most, size < most, samples.size());
}

void read_only() {
    auto reader = mmstl::segment::open("index.mms", {.access = mmstl::access::read_only});
    const auto* hits = reader.find<const mmstl::unordered_map<mmstl::string, int>>("hits");
    std::printf("%d\n", hits->at("mmap"));
}

// As after a power cut: not closed, and of another boot of the machine.
void cut_power(const char* path) {
    mmstl::segment::create(path).construct<mmstl::vector<int>>("numbers", 3, 1);
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(584).write("another boot", 12); // see docs/file-format.md
}

void open_after_power_cut(const char* path) {
    std::error_code ec;
    auto seg = mmstl::segment::open(path, ec);
    if (ec == mmstl::errc::unclean) { // a copy of the file, first, if it is worth anything
        seg = mmstl::segment::open(path, {.unclean = mmstl::unclean_segment::check});
        // The heap is sound. Whether the containers are, nobody knows: look at what is in them, or
        // abandon them and make them anew.
        for (const auto& one : seg.named_objects()) seg.abandon(one.name);
    }
    const mmstl::segment_report report = seg.check();
    for (const std::string& problem : report.problems) std::printf("%s\n", problem.c_str());
    std::printf("%s, %zu objects\n", report.clean() ? "clean" : "not clean",
                seg.named_objects().size());
}

void handle_errors() {
    try {
        auto seg = mmstl::segment::open("testfile.txt");
    } catch (const mmstl::mapping_error& e) {
        if (e.code() == mmstl::errc::foreign_file) std::printf("%s\n", e.what());
    }
}

} // namespace

int main() {
    try {
        first_program();
        first_program();
        open_in_every_way();
        set_options();
        {
            auto seg = mmstl::segment::create("tour.mms", {.capacity_bytes = 64 << 20});
            name_objects(seg);
            use_containers(seg);
            look_up_words(seg, "mmap");
            use_own_types(seg);
            ask_for_room(seg);
        }
        std::fflush(stdout); // or a child would print it, too
        share_with_children();
        count_under_a_lock();
        read_only();
        cut_power("cut.mms");
        open_after_power_cut("cut.mms");
        handle_errors();
        for (const char* const name :
             {"index.mms", "a.mms", "big.mms", "tour.mms", "count.mms", "cut.mms"})
            std::filesystem::remove(name);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
