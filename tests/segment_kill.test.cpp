// SPDX-License-Identifier: MIT
//
// Processes that are killed at every instruction of what they do in a segment, and whoever comes
// after them.

#include "support/blocks.hpp"
#include "support/catch.hpp"
#include "support/in_child.hpp"
#include "support/leaks.hpp"
#include "support/soak.hpp"
#include "support/step.hpp"
#include "support/temporary.hpp"

#include <mmstl/containers.hpp>
#include <mmstl/segment.hpp>
#include <mmstl/sync.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace support;
using namespace support::blocks;
using mmstl::segment;
using mmstl::segment_options;

namespace heap = mmstl::detail::heap;

// Everything happens on a stage of its own: a process that makes a segment, lives on while its child
// is killed in it, and looks at what that one has left. So one killing is like the other, to the
// address, and a stage where nobody goes on any more is noticed.
//
// Two instructions are the same to whoever comes after if nothing has changed between them that
// outlives the process: the contents of the segment's file, its length and blocks, and the locks on
// its bytes, which are given back by the kernel. All but the contents is changed by system calls
// alone. So each operation is walked through once, instruction by instruction, to see where a new
// state of these begins, which is wherever the contents differ from before, and behind each system
// call that has not failed; and it is enough to be killed once in each of these states. With
// MMSTL_SOAK it is at each instruction, too.

namespace {

struct dies_in_its_constructor {
    int unused = 0;
    dies_in_its_constructor() { ::raise(SIGKILL); }
};

} // namespace

template <>
inline constexpr std::string_view mmstl::persistent_name<dies_in_its_constructor> = "test/dies";

namespace {

constexpr std::uint64_t MiB = std::uint64_t{1} << 20;
constexpr std::uint64_t capacity_bytes = 128 * MiB;

/// Memory that a process shares with those that it forks; zero at first.
template <class T> class shared {
public:
    shared() {
        void* const at = ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (at == MAP_FAILED) throw std::bad_alloc(); // NOLINT: the macro casts
        object_ = new (at) T;                         // does not touch what has no initial value
    }
    shared(const shared&) = delete;
    shared& operator=(const shared&) = delete;
    ~shared() { ::munmap(object_, sizeof(T)); }

    T* operator->() const noexcept { return object_; }
    T& operator*() const noexcept { return *object_; }

private:
    T* object_;
};

// ---- what others can see ----

/// The pages of a segment's file, as one sees them who does not use it.
class onlooker {
public:
    using page = std::uint32_t;

    explicit onlooker(const std::string& name) : fd_(::shm_open(name.c_str(), O_RDONLY, 0)) {
        expect(fd_ != -1, "shm_open");
        void* const at = ::mmap(nullptr, mapped_bytes, PROT_READ, MAP_SHARED, fd_, 0);
        expect(at != MAP_FAILED, "mmap"); // NOLINT: the macro casts
        file_ = static_cast<const std::byte*>(at);
    }
    onlooker(const onlooker&) = delete;
    onlooker& operator=(const onlooker&) = delete;
    ~onlooker() {
        ::munmap(const_cast<std::byte*>(file_), mapped_bytes);
        ::close(fd_);
    }

    /// Of those that have anything in them, and what that is.
    [[nodiscard]] std::map<page, std::uint64_t> all() {
        look_at_length();
        std::map<page, std::uint64_t> found;
        for (::off_t data = 0; (data = ::lseek(fd_, data, SEEK_DATA)) != -1;) {
            const auto hole = ::lseek(fd_, data, SEEK_HOLE);
            for (; data < hole; data += ::off_t{page_bytes}) {
                const auto which = static_cast<page>(data / ::off_t{page_bytes});
                found.emplace(which, hash_of(0, contents_of(which)));
            }
        }
        return found;
    }
    /// In which it says what is where, of blocks and processes.
    [[nodiscard]] std::vector<page> metadata() const {
        const heap::image image(const_cast<std::byte*>(file_) + heap_offset, n_regions);
        std::vector<page> found;
        const auto add = [&](std::uint64_t offset, std::uint64_t n_bytes) {
            for (auto at = offset; at < offset + n_bytes; at += page_bytes)
                found.push_back(static_cast<page>(at / page_bytes));
        };
        add(0, heap::directory_offset + n_regions * sizeof(std::uint64_t));
        for (std::uint32_t i = 0; i < n_regions; ++i)
            add(heap_offset + i * heap::region_bytes, image.described(i) * sizeof(heap::span));
        return found;
    }

    /// From now on it looks at these.
    void look_at(std::vector<page> pages) {
        look_at_length();
        pages_ = std::move(pages);
        seen_.assign(pages_.size() * page_bytes, std::byte{});
        (void)has_changed();
    }
    /// Whether what is in them has changed since it was asked last.
    [[nodiscard]] bool has_changed() {
        bool has = false;
        for (std::size_t i = 0; i < pages_.size(); ++i) {
            auto* const before = seen_.data() + i * page_bytes;
            const auto* const now = contents_of(pages_[i]);
            if (std::memcmp(before, now, page_bytes) == 0) continue;
            std::memcpy(before, now, page_bytes);
            has = true;
        }
        return has;
    }
    /// It is changed by system calls alone, and what is behind it must not be looked at.
    void look_at_length() {
        struct ::stat now {};
        expect(::fstat(fd_, &now) == 0, "fstat");
        length_ = static_cast<std::uint64_t>(now.st_size);
    }
    /// What is in the pages, but for what is different each time: the segment's identity, and the ids
    /// of processes.
    [[nodiscard]] std::uint64_t contents() const {
        std::uint64_t hash = 0;
        std::array<std::byte, page_bytes> copy;
        for (const auto which : pages_) {
            std::memcpy(copy.data(), contents_of(which), page_bytes);
            if (which == 0) std::memset(copy.data(), 0, mmstl::detail::format::sector_bytes);
            if (which == heap::processes_offset / page_bytes)
                for (auto at = offsetof(heap::process_record, id); at < page_bytes;
                     at += sizeof(heap::process_record))
                    std::memset(copy.data() + at, 0, sizeof(heap::process_record::id));
            hash = hash_of(hash, copy.data());
        }
        return hash;
    }

private:
    static constexpr std::size_t page_bytes = heap::page_bytes;
    static constexpr std::uint32_t n_regions = capacity_bytes / heap::region_bytes;
    static constexpr auto heap_offset = heap::heap_offset_for(n_regions);
    static constexpr std::size_t mapped_bytes = heap_offset + capacity_bytes;

    [[nodiscard]] const std::byte* contents_of(page which) const noexcept {
        static constexpr std::array<std::byte, page_bytes> nothing{};
        const auto first = std::uint64_t{which} * page_bytes;
        return first + page_bytes <= length_ ? file_ + first : nothing.data();
    }
    static std::uint64_t hash_of(std::uint64_t seed, const std::byte* of) noexcept {
        for (std::size_t i = 0; i < page_bytes; i += sizeof(std::uint64_t)) {
            std::uint64_t word;
            std::memcpy(&word, of + i, sizeof word);
            seed = ((seed << 7 | seed >> 57) ^ word) * 0x9e3779b97f4a7c15;
        }
        return seed;
    }

    int fd_;
    const std::byte* file_;
    std::uint64_t length_ = 0;
    std::vector<page> pages_;
    std::vector<std::byte> seen_;
};

// ---- who is killed, and what there was ----

/// What a process has allocated, for another to see when it was killed.
struct ledger {
    static constexpr std::size_t most = 256;
    std::size_t n = 0;
    std::array<block, most> blocks{};
    std::atomic<bool> has_neighbour{false};
    long n_names = 0;           ///< objects that are called by their number, which they hold
    std::uint64_t n_others = 0; ///< blocks of objects that are looked at elsewhere
};

using object = mmstl::vector<long>;
constexpr std::size_t object_size = 3;
constexpr long object_element = 7;
constexpr const char* object_name = "object";

/// A segment, and what a process has in it that is killed.
class victim {
public:
    victim(const std::string& name, void* base, mmstl::allocation how)
        : name_(name), options_{.capacity_bytes = capacity_bytes,
                                .base_address = base,
                                .allocation = how},
          in_(segment::create(mmstl::shared_memory(name), options_)) {
        keep_name();
        in_.construct<object>(object_name); // what is worked out of a type once in a process
        in_.destroy<object>(object_name);
    }

    segment& in() { return in_; }
    [[nodiscard]] const std::string& name() const { return name_; }
    void open() { in_ = segment::open(mmstl::shared_memory(name_), options_); }
    [[nodiscard]] heap::shared_heap& shared_heap() const {
        return heap::heaps_of_this_process().find(base_of(in_))->shared;
    }

    // ---- of the one that is killed, or of one before ----

    block& make(request as) {
        expect(ledger_->n < ledger::most);
        auto& next = ledger_->blocks[ledger_->n];
        next = block::make(in_, as, ledger_->n + 1);
        ++ledger_->n;
        return next;
    }
    void make(request as, std::size_t n) {
        while (n-- != 0) make(as);
    }
    [[nodiscard]] block& at(std::size_t i) { return ledger_->blocks[i]; }
    [[nodiscard]] std::size_t size() const { return ledger_->n; }
    /// What is not counted any more: it is about to be freed.
    block forget(std::size_t i) {
        const auto gone = at(i);
        ledger_->n -= 1;
        at(i) = at(ledger_->n);
        return gone;
    }
    void free(std::size_t i) { expect(forget(i).free(in_), "whole"); }

    /// One more object that is to stay.
    void keep_name() {
        in_.construct<long>(std::to_string(ledger_->n_names), ledger_->n_names);
        ++ledger_->n_names;
    }
    /// Blocks that stay, and are looked at by none of these.
    void count_blocks(std::uint64_t n) { ledger_->n_others += n; }

    // ---- of another one ----

    /// That has joined, and does nothing more.
    void have_neighbour() {
        begin_neighbour([this] { make({64, 3}); });
    }
    /// That is as many as there are places left for processes.
    void have_crowd() {
        begin_neighbour([this] {
            const auto& image = shared_heap().in();
            std::uint32_t p = 0;
            while (image.process(p).is_there.load() != 0) ++p;
            const int fd = ::shm_open(name_.c_str(), O_RDWR, 0);
            auto all = mmstl::detail::posix::lock_of(F_WRLCK, heap::liveness_offset + p,
                                                     heap::most_processes - p);
            expect(::fcntl(fd, F_OFD_SETLK, &all) == 0, "locked");
            for (; p < heap::most_processes; ++p) image.process(p).is_there.store(1);
        });
    }
    void kill_neighbour() { neighbour_.reset(); }

    // ---- of whoever comes after ----

    mmstl::segment_report expect_clean() const {
        auto report = in_.check();
        expect(report.clean(), report.clean() ? "" : report.problems.front());
        return report;
    }
    /// Whether somebody has a lock, who may have been in the middle of something.
    [[nodiscard]] bool is_locked() const {
        const auto& locks = shared_heap().in().locks();
        return locks.heap.word.load() != 0 || locks.names.word.load() != 0;
    }
    /// All that has been kept is there, and all else is as it has to be.
    void expect_order() {
        const auto report = expect_clean();
        expect(in_.used_bytes() == report.used_bytes, "as many blocks in use as are counted");
        for (std::size_t i = 0; i < size(); ++i) expect(at(i).is_whole(), "whole");
        for (long i = 0; i < ledger_->n_names; ++i) {
            const auto* const found = in_.find<long>(std::to_string(i));
            expect(found != nullptr && *found == i, "the objects that were there");
        }
        expect_nothing_of_the_dead();
        expect_rings();
    }
    /// Blocks that are in use, and for which there is no other use than to have been in the hands of
    /// the dead.
    [[nodiscard]] std::uint64_t n_lost() const {
        const auto n_known = size() + static_cast<std::uint64_t>(ledger_->n_names) * 2 +
                             n_tables() + ledger_->n_others;
        const auto n = in_.check().n_blocks;
        expect(n >= n_known, "all that was allocated is in use");
        return n - n_known;
    }
    /// All that is free is handed out, and to nobody else; and all is given back.
    void use_all() {
        std::vector<block> others;
        const auto n_before = in_.check().n_blocks;
        for (const auto& [n_bytes, n] : {std::pair{24U, 100U},
                                         {64U, 1100U},
                                         {1024U, 80U},
                                         {8192U, 40U},
                                         {16384U, 40U},
                                         {70'000U, 4U}})
            for (unsigned i = 0; i < n; ++i)
                others.push_back(block::make(in_, {n_bytes, 3}, 1000 + i));
        expect(in_.check().n_blocks == n_before + others.size(), "as many more");
        while (size() != 0) free(size() - 1);
        for (const auto& one : others) expect(one.free(in_), "whole");
        expect_order();
        // Who ends gives all back in which nothing is in use.
        open_anew();
        expect_order();
        for_each_span([&](const heap::span& of) {
            expect(of.used.get() != heap::count_of(of.returned.load()), "no span that is empty");
        });
    }
    void open_anew() {
        in_ = segment();
        open();
    }
    /// As if the machine had been restarted, in order: the file is as they have left it.
    void restart() {
        kill_neighbour();
        const int fd = ::shm_open(name_.c_str(), O_RDWR, 0);
        const auto left = all_in(fd);
        in_ = segment(); // what that does to the file does not count
        expect(::ftruncate(fd, 0) == 0 && ::ftruncate(fd, left.length) == 0, "ftruncate");
        for (const auto& [at, bytes] : left.pieces)
            expect(::pwrite(fd, bytes.data(), bytes.size(), at) ==
                       static_cast<::ssize_t>(bytes.size()),
                   "pwrite");
        using mmstl::detail::format::header;
        using mmstl::detail::format::live;
        expect(::pwrite(fd, "0000", 4, offsetof(header, live) + offsetof(live, boot_id)) == 4,
               "pwrite");
        ::close(fd);
        options_.unclean = mmstl::unclean_segment::check;
        open();
        options_.unclean = mmstl::unclean_segment::refuse;
    }

private:
    struct file_contents {
        ::off_t length = 0;
        std::vector<std::pair<::off_t, std::vector<char>>> pieces;
    };
    static file_contents all_in(int fd) {
        file_contents found;
        found.length = ::lseek(fd, 0, SEEK_END);
        for (::off_t at = 0; (at = ::lseek(fd, at, SEEK_DATA)) != -1;) {
            const auto end = ::lseek(fd, at, SEEK_HOLE);
            std::vector<char> bytes(static_cast<std::size_t>(end - at));
            expect(::pread(fd, bytes.data(), bytes.size(), at) == end - at, "pread");
            found.pieces.emplace_back(at, std::move(bytes));
            at = end;
        }
        return found;
    }
    template <class Begin> void begin_neighbour(Begin begin) {
        neighbour_.emplace([this, begin] {
            begin();
            ledger_->has_neighbour = true;
            for (;;) ::pause();
        });
        while (!ledger_->has_neighbour) std::this_thread::yield();
    }
    /// Those that were the table of names, too.
    [[nodiscard]] std::uint64_t n_tables() const {
        const heap::names names(shared_heap().in());
        std::vector<const heap::name_table*> all;
        for (const auto* next = names.current();
             next != nullptr && std::find(all.begin(), all.end(), next) == all.end();
             next = names.table_at(next->previous))
            all.push_back(next);
        return all.size();
    }
    void expect_nothing_of_the_dead() {
        auto& shared = shared_heap();
        const auto& image = shared.in();
        for (auto* const line : {&image.locks().heap, &image.locks().names}) {
            expect(line->word.load() == 0, "nobody has a lock");
            expect(line->intent.kind.get() == 0, "nobody is in the middle of anything");
        }
        for (std::uint32_t p = 0; p < heap::most_processes; ++p)
            expect((image.process(p).is_there.load() != 0) == (p == shared.members().process()),
                   "nobody else is there");
        for (std::size_t i = 0; i < heap::most_threads; ++i) {
            const auto of = image.thread(i).process.load();
            expect(of == 0 || of == shared.members().process() + 1, "no other thread");
        }
    }
    /// Those without an owner are where they are looked for.
    void expect_rings() {
        const auto& shared = shared_heap();
        const auto& image = shared.in();
        std::size_t n_abandoned = 0;
        for_each_span([&](const heap::span& of) {
            const auto owner = of.owner.load();
            n_abandoned += owner == 0 ? 1 : 0;
            expect(owner == 0 || shared.is_alive(owner), "an owner that lives");
            expect(of.pending.get() == 0, "nothing on its way");
        });
        for (const auto& head : image.root().abandoned)
            for (auto at = head.get(); at != 0;) {
                expect(n_abandoned-- != 0, "no more in the rings than there are");
                at = image.span_at(at - 1).next.get();
                if (at == head.get()) break;
            }
        expect(n_abandoned == 0, "all that have no owner are in the rings");
    }
    template <class Look> void for_each_span(Look look) const {
        const auto& image = shared_heap().in();
        for (std::uint32_t region = 0; region < image.n_regions(); ++region)
            for (std::uint32_t i = 1; i < image.described(region); ++i) {
                const auto& of = image.span_at(heap::slices{region, i, 1}.index());
                if (heap::slice_map(image.maps(region).used).test(i) &&
                    of.state.get() == heap::span_state::blocks)
                    look(of);
            }
    }

    std::string name_;
    segment_options options_;
    shared<ledger> ledger_;
    segment in_;
    std::optional<child> neighbour_;
};

struct scenario {
    using part = std::function<void(victim&)>;

    const char* name = "";
    part before = [](victim&) {};  ///< in the process that lives on
    part prepare = [](victim&) {}; ///< in the one that is killed
    part operation;
    /// In the one that lives on: what it does without a thought of the dead, ...
    part next = [](victim&) {};
    /// ... and what it sees to before all that there is is counted.
    part finally = [](victim&) {};
    std::uint64_t most_in_hand = 1;
    mmstl::allocation how = mmstl::allocation::automatic;
    bool is_alone = false; ///< nobody else has it open, and who comes next opens it
};

/// What the survivor does first.
enum class survivor : unsigned char {
    goes_on, ///< and takes over what is in its way
    recovers,
    restarts, ///< the machine, and finds nobody else there
};

// ---- one operation ----

/// What a walk through an operation has found.
struct findings {
    static constexpr std::size_t most_steps = 2'000'000;
    static constexpr std::size_t most_states = 4'000;
    static constexpr std::size_t most_pages = 10'000;

    void* base; ///< of the segment
    bool is_refused;
    std::uint32_t n_steps;
    std::uint32_t n_states;
    std::uint32_t n_pages;
    std::array<onlooker::page, most_pages> pages;    ///< in which anything may change
    std::array<place, most_steps> places;            ///< of each instruction,
    std::array<std::uint32_t, most_steps> states;    ///< which state it is in,
    std::array<std::uint32_t, most_states> first;    ///< where each begins,
    std::array<std::uint64_t, most_states> contents; ///< and what is in the file then
};

/// What many killings have come to.
struct account {
    std::atomic<std::uint64_t> longest_us; ///< until somebody went on
};

constexpr int exit_code_of_another_place = 77;

/// An operation, and the stages that it is on.
class stage {
public:
    stage(const scenario& one, const std::string& name, void* base)
        : one_(one), of_(name, base, one.how), seen_(name) {
        one.before(of_);
        child_ = std::make_unique<stepped_child>([this] { one_.operation(of_); },
                                                 [this] { one_.prepare(of_); });
    }

    /// The pages that are ever written to: what is not there, or as it was, at the end is what says
    /// what is where, or of no account.
    void find_pages(findings& to) {
        to.is_refused = child_->now() == stepped_child::state::refused;
        if (to.is_refused) return;
        const auto before = seen_.all();
        auto pages = seen_.metadata();
        child_->run_to_end();
        expect(child_->now() == stepped_child::state::at_end, "the operation ends");
        std::ranges::copy(seen_.metadata(), std::back_inserter(pages));
        const auto after = seen_.all();
        for (const auto* const those : {&before, &after})
            for (const auto& one : *those) {
                const auto is_same = [&](const auto& among) {
                    const auto found = among.find(one.first);
                    return found != among.end() && found->second == one.second;
                };
                if (!is_same(before) || !is_same(after)) pages.push_back(one.first);
            }
        std::ranges::sort(pages);
        pages.erase(std::unique(pages.begin(), pages.end()), pages.end());
        expect(pages.size() <= findings::most_pages, "few pages");
        std::ranges::copy(pages, to.pages.begin());
        to.n_pages = static_cast<std::uint32_t>(pages.size());
    }

    void walk_through(findings& to) {
        look_at(to);
        route so_far;
        const auto note = [&](bool is_new) {
            expect(to.n_steps < findings::most_steps && to.n_states < findings::most_states,
                   "a short operation");
            if (is_new) {
                to.first[to.n_states] = to.n_steps;
                to.contents[to.n_states] = seen_.contents();
                ++to.n_states;
            }
            to.places[to.n_steps] = so_far.to(child_->next());
            to.states[to.n_steps] = to.n_states - 1;
        };
        note(true);
        while (child_->now() == stepped_child::state::inside) {
            const bool is_new = step();
            ++to.n_steps;
            note(is_new);
        }
        expect(child_->now() == stepped_child::state::at_end, "the operation ends");
    }

    /// Goes to where it is to be killed; false if that is not the state that it is to be in.
    bool go_to(const findings& by, std::uint32_t k) {
        look_at(by);
        const bool is_there = child_->run_to(by.places[k]);
        seen_.look_at_length();
        return is_there && seen_.contents() == by.contents[by.states[k]];
    }
    /// The same, to where a state begins, counting them.
    bool walk_to(const findings& by, std::uint32_t state) {
        look_at(by);
        for (std::uint32_t n = 0; n < state && child_->now() == stepped_child::state::inside;)
            n += step() ? 1U : 0U;
        return seen_.contents() == by.contents[state];
    }

    void kill_and_see(survivor who, account& to) {
        child_->kill();
        const auto killed = std::chrono::steady_clock::now();
        if (who == survivor::restarts)
            of_.restart();
        else if (one_.is_alone)
            of_.open();
        else if (who == survivor::recovers)
            of_.in().recover();
        else
            of_.expect_clean();
        go_on();
        note_time(to, killed);
        of_.expect_clean();
        of_.in().recover();
        of_.expect_order();
        one_.finally(of_);
        of_.expect_order();
        const auto n_lost = of_.n_lost();
        expect(n_lost <= one_.most_in_hand, "lost: " + std::to_string(n_lost));
        of_.use_all();
        expect(of_.n_lost() == n_lost, "as many lost as before");
    }

private:
    void look_at(const findings& by) {
        seen_.look_at({by.pages.begin(), by.pages.begin() + by.n_pages});
    }
    /// Whether it is in another state now.
    bool step() {
        const bool is_call = stepped_child::is_system_call(child_->next());
        child_->step();
        if (is_call) seen_.look_at_length();
        return seen_.has_changed() || (is_call && !child_->has_failed());
    }
    /// As somebody does who knows of nothing.
    void go_on() {
        auto& in = of_.in();
        one_.next(of_);
        for (const request each : {request{64, 3}, request{8192, 3}, request{70'000, 3}})
            expect(block::make(in, each, 0).free(in), "whole");
        in.construct<long>("another", 1);
        expect(in.destroy<long>("another"), "its name");
    }
    static void note_time(account& to, std::chrono::steady_clock::time_point since) {
        using std::chrono::microseconds;
        const auto now = std::chrono::steady_clock::now();
        const auto us = static_cast<std::uint64_t>(
            std::chrono::duration_cast<microseconds>(now - since).count());
        auto longest = to.longest_us.load();
        while (us > longest && !to.longest_us.compare_exchange_weak(longest, us)) {
        }
    }

    const scenario& one_;
    victim of_;
    onlooker seen_;
    std::unique_ptr<stepped_child> child_;
};

/// Where the segment can be in memory each time: somewhere that is free.
void* find_base() {
    return base_of(segment::create(mmstl::anonymous(), {.capacity_bytes = capacity_bytes}));
}

/// Stages, several at a time: a lock of the dead is waited for.
class company {
public:
    /// Runs `play(name)`, with a name for the segment, in a process of its own, and tells `after`
    /// with what it has ended, which may start more.
    void start(std::function<int(const std::string&)> play,
               std::function<void(const child_result&)> after) {
        waiting_.push_back({std::move(play), std::move(after)});
        if (!is_told_) go_on(most);
    }
    void finish() { go_on(0); }

private:
    static constexpr std::size_t most = 4;
    struct request {
        std::function<int(const std::string&)> play;
        std::function<void(const child_result&)> after;
    };
    struct one {
        std::unique_ptr<shared_memory_name> name;
        child process;
        std::function<void(const child_result&)> after;
    };

    /// Until nobody waits any more, and no more than `left` play.
    void go_on(std::size_t left) {
        while (!waiting_.empty() || playing_.size() > left)
            if (!waiting_.empty() && playing_.size() < most)
                begin_one();
            else
                finish_one();
    }
    void begin_one() {
        const request next = std::move(waiting_.front());
        waiting_.pop_front();
        auto name = std::make_unique<shared_memory_name>();
        const auto& text = name->text();
        playing_.push_back({std::move(name), child([&] { return next.play(text); }), next.after});
    }
    void finish_one() {
        one first = std::move(playing_.front());
        playing_.pop_front();
        is_told_ = true;
        first.after(first.process.wait());
        is_told_ = false;
    }

    std::deque<request> waiting_;
    std::deque<one> playing_;
    bool is_told_ = false; ///< `after`: what it starts waits, else these would be one in another
};

/// In another process, and waits for it.
void play(const std::function<void(const std::string&)>& what) {
    company alone;
    alone.start(
        [&](const std::string& name) {
            what(name);
            return 0;
        },
        [](const child_result& result) {
            INFO(result);
            REQUIRE(result.ok());
        });
    alone.finish();
}

struct totals {
    long n_instructions = 0;
    long n_states = 0;
    long n_kills = 0;
};

/// Finds the states that an operation goes through. False where that is not allowed.
bool explore(const scenario& one, findings& to) {
    INFO(one.name);
    to.base = find_base();
    play([&](const std::string& name) { stage(one, name, to.base).find_pages(to); });
    if (to.is_refused) {
        skip_loudly("ptrace is not allowed here");
        return false;
    }
    play([&](const std::string& name) { stage(one, name, to.base).walk_through(to); });
    return true;
}

/// Kills once in each of them, or at each instruction.
void kill_everywhere(const scenario& one, const findings& by, bool at_each_instruction,
                     totals& sum) {
    const shared<account> seen;
    long n_kills = 0;
    company all;
    const auto kill_at = [&](std::uint32_t k, survivor who) {
        const auto state = by.states[k];
        const auto report = [&, k, state](const child_result& result) {
            INFO(one.name << ", killed after instruction " << k << " of " << by.n_steps
                          << ", in state " << state << " of " << by.n_states);
            INFO(result);
            CHECK(result.ok());
            ++n_kills;
        };
        const auto at_once = [&, k, who](const std::string& name) {
            stage on(one, name, by.base);
            if (!on.go_to(by, k)) return exit_code_of_another_place;
            on.kill_and_see(who, *seen);
            return 0;
        };
        const auto by_states = [&, state, who](const std::string& name) {
            stage on(one, name, by.base);
            expect(on.walk_to(by, state), "the same state as before");
            on.kill_and_see(who, *seen);
            return 0;
        };
        all.start(at_once, [&all, by_states, report](const child_result& result) {
            if (result.exit_code == exit_code_of_another_place)
                all.start(by_states, report);
            else
                report(result);
        });
    };
    for (std::uint32_t i = 0; i < by.n_states; ++i) {
        kill_at(by.first[i], survivor::goes_on);
        if (!one.is_alone) kill_at(by.first[i], survivor::recovers); // else it does, as it opens
        kill_at(by.first[i], survivor::restarts);
    }
    if (at_each_instruction)
        for (std::uint32_t k = 0; k <= by.n_steps; ++k)
            kill_at(k, k % 2 == 0 ? survivor::goes_on : survivor::recovers);
    all.finish();
    std::printf(
        "%s: %u instructions in %u states, killed %s; the next one went on after %.1f ms at "
        "most\n",
        one.name, by.n_steps, by.n_states,
        at_each_instruction ? "at each, and in all of them" : "in all of them",
        static_cast<double>(seen->longest_us.load()) / 1000);
    sum.n_instructions += by.n_steps;
    sum.n_states += by.n_states;
    sum.n_kills += n_kills;
}

// ---- operations ----

constexpr request small_block{8192, 3}; // eight in a span
constexpr request medium_block{16384, 3};
constexpr request run{70'000, 3};
constexpr request long_run{MiB, 3}; // is punched out when it is freed
constexpr request longest_run{16 * MiB, 3};
constexpr request regions{40 * MiB, 3};

/// Nothing is written to the block, which would be a state at each byte.
scenario::part allocate(request as) {
    return [as](victim& of) {
        (void)allocating_at[as.log2_alignment].allocate(base_of(of.in()), as.n_bytes);
    };
}
/// Nor is what is in it looked at.
scenario::part free_at(std::size_t i) {
    return [i](victim& of) {
        const auto& one = of.at(i);
        allocating_at[one.as.log2_alignment].deallocate(base_of(of.in()), one.at, one.as.n_bytes);
    };
}
scenario::part hand_over(std::size_t i) {
    return [i](victim& of) { (void)of.forget(i); };
}

/// A thread makes them, and ends.
void make_in_a_thread(victim& of, request as, std::size_t n) {
    std::thread([&] { of.make(as, n); }).join();
}
/// Another thread frees `n` from the i-th on.
void free_in_a_thread(victim& of, std::size_t i, std::size_t n) {
    std::thread([&] {
        while (n-- != 0) of.free(i);
    }).join();
}
/// A process does it, and is killed at the end.
void die_after(victim& of, const scenario::part& doing) {
    const auto result = in_child([&] {
        doing(of);
        ::raise(SIGKILL);
    });
    expect(result.signal == SIGKILL, result.message);
}

/// What there is to be left when one dies between two operations: spans that are full, or not, or
/// empty.
void leave_spans(victim& of) {
    of.make(small_block, 12);
    of.make(medium_block, 2);
    of.free(13);
    of.free(2);
}

/// As if cut short in all that can be: a list of blocks that is being taken over, a run that is
/// being given back, half of a span, and both locks.
void leave_all_half_done(victim& of) {
    const auto one = of.size() + 12;
    of.make(small_block, 24);
    of.make(run);
    of.make(medium_block);
    auto& full = *heap::slice_of(of.at(one).at);
    for (std::size_t i = of.size(); i-- > one + 1;)
        if (heap::slice_of(of.at(i).at) == &full) free_in_a_thread(of, i, 1);
    full.pending.set(heap::first_of(full.returned.exchange(0)));
    expect(full.pending.get() != 0 && full.local_free.get() == 0, "not merged");

    auto& shared = of.shared_heap();
    const auto& image = shared.in();
    for (std::size_t i = 0; i < of.size(); ++i)
        if (of.at(i).as.n_bytes == run.n_bytes) {
            auto& freed = *heap::slice_of(of.forget(i).at);
            freed.pending.set(shared.members().process() + 1);
            freed.state.set(heap::span_state::purging);
        }
    for (auto* const line : {&image.locks().heap, &image.locks().names})
        line->word.store(shared.members().lock_word());
    heap::slice_map used(image.maps(0).used);
    const auto at = used.find_clear(1, 1, 1);
    expect(at < image.described(0), "is described");
    auto& intent = image.locks().heap.intent;
    intent.first.set(at);
    intent.n_slices.set(1);
    intent.is_huge.set(0);
    intent.kind.set(static_cast<std::uint32_t>(heap::intent_kind::claim));
    used.set(at, 1, true);
}

/// As where a block cannot be given back to the file system: what it was full of is there still. One
/// byte here and there, each of which is a state when it is taken away.
void leave_something_in_regions(victim& of) {
    auto& in = of.in();
    const auto& how = allocating_at[regions.log2_alignment];
    auto* const block = static_cast<std::byte*>(how.allocate(base_of(in), regions.n_bytes));
    how.deallocate(base_of(in), block, regions.n_bytes);
    const auto& image = of.shared_heap().in();
    const auto region = static_cast<std::uint32_t>(static_cast<std::size_t>(block - image.heap()) /
                                                   heap::region_bytes);
    constexpr std::byte junk{0xff};
    // Bits of slices 320 to 327; descriptions of some, of which a few are claimed next.
    block[offsetof(heap::region_maps, used) + 40] = junk;
    for (const std::uint32_t i : {3U, 31U, 32U, 50U})
        reinterpret_cast<std::byte*>(&image.span_at(
            heap::slices{region, i, 1}.index()))[offsetof(heap::span, state)] = std::byte{2};
}

void construct_object(victim& of) {
    of.in().construct<object>(object_name, object_size, object_element);
}
void find_or_construct_object(victim& of) {
    const auto& found = of.in().find_or_construct<object>(object_name, object_size, object_element);
    expect(found.size() == object_size && found.front() == object_element &&
               found.back() == object_element,
           "whole");
}
void destroy_object(victim& of) {
    find_or_construct_object(of);
    expect(of.in().destroy<object>(object_name), "by its name");
}

void add_blocks(std::vector<scenario>& to) {
    to.push_back({.name = "a block of the thread's own list",
                  .prepare =
                      [](victim& of) {
                          of.make(small_block, 5);
                          of.free(2);
                          of.free(0);
                      },
                  .operation = allocate(small_block)});
    to.push_back({.name = "a block that is new",
                  .prepare = [](victim& of) { of.make(small_block, 3); },
                  .operation = allocate(small_block)});
    to.push_back({.name = "freeing a block of one's own",
                  .prepare = [](victim& of) { of.make(small_block, 3); },
                  .operation = free_at(2),
                  .next = hand_over(2)});
    to.push_back({.name = "freeing the first block of a span that was full",
                  .prepare = [](victim& of) { of.make(small_block, 20); },
                  .operation = free_at(2),
                  .next = hand_over(2)});
    to.push_back({.name = "freeing the last block of a span",
                  .prepare =
                      [](victim& of) {
                          of.make(small_block, 24); // three spans, the first two are full
                          of.free(8);               // the second has room, the first a block
                          for (std::size_t i = 7; i != 0; --i) of.free(i);
                      },
                  .operation = free_at(0),
                  .next = hand_over(0)});
    to.push_back({.name = "freeing another process's block",
                  .before = [](victim& of) { of.make(small_block, 3); },
                  .prepare =
                      [](victim& of) {
                          of.make({64, 3});
                      },
                  .operation = free_at(1),
                  .next = hand_over(1)});
    to.push_back({.name = "freeing a block of a span that nobody owns",
                  .prepare =
                      [](victim& of) {
                          of.make({64, 3});
                          make_in_a_thread(of, small_block, 10);
                      },
                  .operation = free_at(3),
                  .next = hand_over(3)});
    to.push_back({.name = "freeing the last block of a span that nobody owns",
                  .prepare =
                      [](victim& of) {
                          of.make({64, 3});
                          make_in_a_thread(of, small_block, 10);
                          while (of.size() != 2) of.free(1);
                      },
                  .operation = free_at(1),
                  .next = hand_over(1)});
    to.push_back({.name = "taking over what others have returned",
                  .prepare =
                      [](victim& of) {
                          of.make(small_block, 8);
                          free_in_a_thread(of, 1, 3);
                      },
                  .operation = allocate(small_block)});
    to.push_back({.name = "taking over what others have returned, who then return more",
                  .prepare =
                      [](victim& of) {
                          of.make(small_block, 8);
                          free_in_a_thread(of, 1, 3);
                      },
                  .operation = allocate(small_block),
                  .next = [](victim& of) { of.free(0); }});
    to.push_back({.name = "a block of a span that was full, of which others have returned some",
                  .prepare =
                      [](victim& of) {
                          of.make(small_block, 16); // the second is full as well
                          free_in_a_thread(of, 0, 3);
                      },
                  .operation = allocate(small_block)});
}

void add_spans(std::vector<scenario>& to) {
    to.push_back({.name = "a new span",
                  .prepare = [](victim& of) { of.make(small_block, 8); },
                  .operation = allocate(small_block)});
    to.push_back({.name = "a new span, in a heap that allocates ahead",
                  .prepare =
                      [](victim& of) {
                          of.make(long_run, 2);
                          of.make(small_block, 16); // has committed one more than its two
                      },
                  .operation = allocate(small_block)});
    to.push_back({.name = "a new span of eight slices",
                  .prepare =
                      [](victim& of) {
                          of.make({64, 3});
                      },
                  .operation = allocate(medium_block)});
    to.push_back({.name = "pages for a span",
                  .prepare =
                      [](victim& of) {
                          of.make({1024, 3}, 4);
                      },
                  .operation = allocate({1024, 3})});
    to.push_back({.name = "a span that another thread has left",
                  .prepare =
                      [](victim& of) {
                          of.make({64, 3});
                          make_in_a_thread(of, small_block, 20); // two are full
                          of.free(3);
                      },
                  .operation = allocate(small_block)});
    to.push_back({.name = "a span, when another process has died",
                  .before = [](victim& of) { die_after(of, leave_spans); },
                  .prepare =
                      [](victim& of) {
                          of.make({64, 3});
                      },
                  .operation = allocate(small_block)});
    to.push_back({.name = "a run",
                  .prepare =
                      [](victim& of) {
                          of.make({64, 3});
                      },
                  .operation = allocate(run)});
    to.push_back({.name = "a run, in a sparse file",
                  .prepare =
                      [](victim& of) {
                          of.make({64, 3});
                      },
                  .operation = allocate(run),
                  .how = mmstl::allocation::sparse});
    to.push_back({.name = "a run, when another process has died",
                  .before = [](victim& of) { die_after(of, leave_spans); },
                  .prepare =
                      [](victim& of) {
                          of.make({64, 3});
                      },
                  .operation = allocate(run)});
    to.push_back({.name = "a run, when the lock is another's who has died",
                  .prepare =
                      [](victim& of) {
                          of.make({64, 3});
                          die_after(of, leave_all_half_done);
                      },
                  .operation = allocate(run)});
    to.push_back({.name = "a run in a new region, where there was something else",
                  .before = leave_something_in_regions,
                  .prepare =
                      [](victim& of) {
                          of.make({64, 3});
                          allocate(longest_run)(of); // so that there is no room in the first one
                          allocate({15 * MiB, 3})(of);
                          of.count_blocks(2);
                      },
                  .operation = allocate({40 * heap::slice_bytes, 3}),
                  .how = mmstl::allocation::sparse});
    to.push_back({.name = "freeing a run",
                  .prepare = [](victim& of) { of.make(run, 2); },
                  .operation = free_at(1),
                  .next = hand_over(1)});
    to.push_back({.name = "freeing a run that is punched out",
                  .prepare =
                      [](victim& of) {
                          of.make({64, 3});
                          of.make(long_run);
                      },
                  .operation = free_at(1),
                  .next = hand_over(1)});
    to.push_back({.name = "regions",
                  .prepare =
                      [](victim& of) {
                          of.make({64, 3});
                      },
                  .operation = allocate(regions),
                  .how = mmstl::allocation::sparse});
    to.push_back({.name = "regions, when another process has died",
                  .before = [](victim& of) { die_after(of, leave_spans); },
                  .prepare =
                      [](victim& of) {
                          of.make({64, 3});
                      },
                  .operation = allocate(regions),
                  .how = mmstl::allocation::sparse});
    to.push_back({.name = "freeing regions",
                  .prepare =
                      [](victim& of) {
                          of.make({64, 3});
                          of.make(regions);
                      },
                  .operation = free_at(1),
                  .next = hand_over(1),
                  .how = mmstl::allocation::sparse});
}

/// Those of names have the object, its element's memory and a node in hand, and perhaps a table.
void add_names(std::vector<scenario>& to) {
    constexpr std::uint64_t most = 3;
    const auto join = [](victim& of) { of.make({64, 3}); };
    const auto join_with_spans = [](victim& of) {
        of.make({64, 3});
        destroy_object(of);
    };
    to.push_back({.name = "construct",
                  .prepare = join_with_spans,
                  .operation = construct_object,
                  .next = find_or_construct_object,
                  .finally = destroy_object,
                  .most_in_hand = most});
    to.push_back({.name = "construct, when the table of names has to grow",
                  .before =
                      [](victim& of) {
                          for (int i = 0; i < 11; ++i) of.keep_name();
                      },
                  .prepare = join,
                  .operation = construct_object,
                  .next = find_or_construct_object,
                  .finally = destroy_object,
                  .most_in_hand = most + 1});
    to.push_back({.name = "construct, when a table of names is used again",
                  .before =
                      [](victim& of) {
                          const heap::names names(of.shared_heap().in());
                          for (int i = 0;; ++i) {
                              const auto& now = *names.current();
                              if (now.previous != 0 && (now.n_filled + 1) * 4 > now.n_slots * 3)
                                  break;
                              const auto next = "old " + std::to_string(i);
                              of.in().construct<long>(next, i);
                              of.in().construct<long>(next + " too", i);
                              of.in().destroy<long>(next);
                              of.in().destroy<long>(next + " too");
                          }
                      },
                  .prepare = join,
                  .operation = construct_object,
                  .next = find_or_construct_object,
                  .finally = destroy_object,
                  .most_in_hand = most});
    to.push_back({.name = "find_or_construct",
                  .prepare = join_with_spans,
                  .operation = find_or_construct_object,
                  .next = find_or_construct_object,
                  .finally = destroy_object,
                  .most_in_hand = most});
    to.push_back({.name = "find_or_construct of what another one was at who has died",
                  .before =
                      [](victim& of) {
                          die_after(of, [](victim& dying) {
                              dying.in().construct<dies_in_its_constructor>(object_name);
                          });
                      },
                  .prepare = join,
                  .operation = find_or_construct_object,
                  .next = find_or_construct_object,
                  .finally = destroy_object,
                  .most_in_hand = most + 2});
    to.push_back({.name = "destroy",
                  .prepare =
                      [](victim& of) {
                          of.make({64, 3});
                          construct_object(of);
                      },
                  .operation = [](victim& of) { of.in().destroy<object>(object_name); },
                  .next = find_or_construct_object,
                  .finally = destroy_object,
                  .most_in_hand = most});
    to.push_back({.name = "destroy, of a name with those of removed ones before it",
                  .before =
                      [](victim& of) {
                          // All of them are looked for in one place.
                          const auto mask = std::uint64_t{15};
                          const auto at = mmstl::detail::fnv1a(object_name) & mask;
                          std::vector<std::string> others;
                          for (int i = 0; others.size() < 3; ++i)
                              if (auto next = std::to_string(i) + " other";
                                  (mmstl::detail::fnv1a(next) & mask) == at)
                                  others.push_back(next);
                          for (const auto& one : others) of.in().construct<long>(one, 0);
                          construct_object(of);
                          for (const auto& one : others) of.in().destroy<long>(one);
                      },
                  .prepare =
                      [](victim& of) {
                          of.make({64, 3});
                      },
                  .operation = [](victim& of) { of.in().destroy<object>(object_name); },
                  .next = find_or_construct_object,
                  .finally = destroy_object,
                  .most_in_hand = most});
    to.push_back({.name = "abandon",
                  .before = construct_object,
                  .prepare =
                      [](victim& of) {
                          of.make({64, 3});
                      },
                  .operation = [](victim& of) { of.in().abandon(object_name); },
                  .next = find_or_construct_object,
                  .finally = destroy_object,
                  .most_in_hand = most});
}

void add_comings_and_goings(std::vector<scenario>& to) {
    to.push_back({.name = "joining", .operation = allocate(small_block)});
    to.push_back({.name = "joining behind one who has died",
                  .before = [](victim& of) { die_after(of, leave_all_half_done); },
                  .operation = allocate(small_block)});
    to.push_back({.name = "joining in the place of one who has died",
                  .before =
                      [](victim& of) {
                          die_after(of, leave_all_half_done);
                          of.have_crowd();
                      },
                  .operation = allocate(small_block),
                  .next = [](victim& of) { of.kill_neighbour(); }});
    to.push_back({.name = "opening",
                  .before =
                      [](victim& of) {
                          of.make(small_block, 3);
                          of.in() = segment();
                      },
                  .operation = [](victim& of) { of.open(); },
                  .most_in_hand = 0,
                  .is_alone = true});
    to.push_back({.name = "opening what one has left who has died",
                  .before =
                      [](victim& of) {
                          die_after(of, leave_spans);
                          of.in() = segment();
                          die_after(of, [](victim& dying) {
                              dying.open();
                              leave_all_half_done(dying);
                          });
                      },
                  .operation = [](victim& of) { of.open(); },
                  .most_in_hand = 0,
                  .is_alone = true});
    to.push_back({.name = "leaving",
                  .prepare =
                      [](victim& of) {
                          leave_spans(of);
                          of.make({64, 3}, 3);
                          of.make({200, 3});
                          of.free(of.size() - 1); // an empty span
                      },
                  .operation = [](victim& of) { of.in() = segment(); },
                  .most_in_hand = 0});
    to.push_back({.name = "closing, as the last one",
                  .before = [](victim& of) { of.in() = segment(); },
                  .prepare =
                      [](victim& of) {
                          of.open();
                          leave_spans(of);
                          // As far as to a second region.
                          std::array<void*, 2> runs{};
                          const auto& how = allocating_at[longest_run.log2_alignment];
                          for (auto& one : runs)
                              one = how.allocate(base_of(of.in()), longest_run.n_bytes);
                          for (auto* const one : runs)
                              how.deallocate(base_of(of.in()), one, longest_run.n_bytes);
                      },
                  .operation = [](victim& of) { of.in().close(); },
                  .most_in_hand = 0,
                  .how = mmstl::allocation::sparse,
                  .is_alone = true});
    to.push_back({.name = "a robust_mutex, and a block while it is locked",
                  .before =
                      [](victim& of) {
                          of.in().construct<mmstl::robust_mutex>("mutex");
                          of.count_blocks(2);
                      },
                  .prepare = [](victim& of) { of.make(small_block, 3); },
                  .operation =
                      [](victim& of) {
                          auto& mutex = *of.in().find<mmstl::robust_mutex>("mutex");
                          const std::scoped_lock lock(mutex);
                          allocate(small_block)(of);
                      },
                  .next =
                      [](victim& of) {
                          auto& mutex = *of.in().find<mmstl::robust_mutex>("mutex");
                          try {
                              const std::scoped_lock lock(mutex);
                          } catch (const mmstl::owner_died&) {
                              expect(mutex.recover([] {}), "it needs to be");
                          }
                          const std::scoped_lock lock(mutex);
                      }});
}

/// It has joined before the one died whose remains it sees to: else it had done so then.
void join_and_have_one_die(victim& of) {
    of.make({64, 3});
    die_after(of, leave_all_half_done);
}

/// Beside another one that has joined before it, so that it is the same as the first one of two.
const scenario reaping{.name = "recover",
                       .before = [](victim& of) { of.have_neighbour(); },
                       .prepare = join_and_have_one_die,
                       .operation = [](victim& of) { of.in().recover(); },
                       .next = [](victim& of) { of.kill_neighbour(); },
                       .most_in_hand = 0};

/// By a second one, when a first one was killed in the k-th state.
scenario reaping_behind_one_killed_in(const findings& by, std::uint32_t k) {
    auto second = reaping;
    second.name = "recover, behind one who was killed in it";
    second.before = [](victim&) {};
    second.prepare = [&by, k](victim& of) {
        of.make({64, 3});
        onlooker seen(of.name());
        stepped_child first([&of] { reaping.operation(of); }, [&of] { reaping.prepare(of); });
        seen.look_at({by.pages.begin(), by.pages.begin() + by.n_pages});
        expect(first.run_to(by.places[by.first[k]]), "it can be killed");
        seen.look_at_length();
        expect(seen.contents() == by.contents[k], "the same state as before");
        first.kill();
    };
    second.next = [](victim&) {};
    return second;
}

/// The second one is killed, too: with MMSTL_SOAK in all states that it gets into, else at two of
/// the places where the first one is.
void kill_two_in_it(const findings& by, totals& sum) {
    if (soak_scale() > 1) {
        for (std::uint32_t i = 0; i < by.n_states; ++i) {
            const auto second = reaping_behind_one_killed_in(by, i);
            const shared<findings> found;
            if (explore(second, *found)) kill_everywhere(second, *found, false, sum);
        }
        return;
    }
    const shared<account> seen;
    company all;
    const auto kill_at = [&](std::uint32_t first, std::uint32_t second) {
        all.start(
            [&, first, second](const std::string& name) {
                const auto one = reaping_behind_one_killed_in(by, first);
                stage on(one, name, by.base);
                (void)on.go_to(by, by.first[second]);
                on.kill_and_see(survivor::recovers, *seen);
                return 0;
            },
            [=](const child_result& result) {
                INFO("one was killed in state " << first << ", and the next one in state "
                                                << second);
                INFO(result);
                CHECK(result.ok());
            });
        sum.n_kills += 2;
    };
    for (std::uint32_t i = 0; i < by.n_states; ++i) {
        kill_at(i, i);
        kill_at(i, by.n_states - 1 - i);
    }
    all.finish();
    std::printf("recover, behind one who was killed in it: killed in it in %u pairs of states\n",
                2 * by.n_states);
}

} // namespace

TEST_CASE("whoever is killed at whatever instruction loses what he had in hand, and no more") {
    // They make thousands of instructions of two stores.
    if (MMSTL_TESTS_SANITIZED) return skip_loudly("a sanitizer is not stepped through");
    if (!stepped_child::knows_places) return skip_loudly("it is not known where a child is, here");
    std::vector<scenario> all;
    add_blocks(all);
    add_spans(all);
    add_names(all);
    add_comings_and_goings(all);
    totals sum;
    for (const auto& one : all) {
        const shared<findings> found;
        if (!explore(one, *found)) return;
        kill_everywhere(one, *found, soak_scale() > 1, sum);
    }
    const shared<findings> found;
    explore(reaping, *found);
    kill_everywhere(reaping, *found, soak_scale() > 1, sum);
    kill_two_in_it(*found, sum);
    std::printf("kill at every instruction: %ld instructions, %ld states, %ld kills\n",
                sum.n_instructions, sum.n_states, sum.n_kills);
}
