// SPDX-License-Identifier: MIT
//
// segment_storable.hpp: which types may lie in a segment. What the refusals say is tested by
// compile_fail/storable_*.cpp.

#include "support/catch.hpp"

#include <mmstl/segment_storable.hpp>

#include <mmstl/containers.hpp>

#include <any>
#include <array>
#include <atomic>
#include <bitset>
#include <chrono>
#include <complex>
#include <concepts>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <filesystem>
#include <forward_list>
#include <fstream>
#include <functional>
#include <future>
#include <initializer_list>
#include <list>
#include <locale>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <queue>
#include <random>
#include <regex>
#include <scoped_allocator>
#include <set>
#include <shared_mutex>
#include <span>
#include <sstream>
#include <stack>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <tuple>
#include <typeindex>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <valarray>
#include <variant>
#include <vector>
#if __has_include(<memory_resource>)
#include <memory_resource>
#endif

using mmstl::segment_storable;
using mmstl::shared_allocator;
using mmstl::detail::is_called;

namespace user {

struct tick {
    double price;
    std::int32_t volume;
};
enum class color : std::uint8_t { red };
union either {
    int number;
    float real;
};
/// What cannot be looked into.
class with_member {
    mmstl::string name_;

public:
    const mmstl::string& name() const { return name_; }
};
struct with_constructor {
    with_constructor() {}
    std::string name;
};
struct tree {
    using allocator_type = shared_allocator<char>;
    mmstl::vector<tree> children;
};
struct window {
    int handle;
};
struct safe_view {
    std::string_view text;
};
struct interface {
    virtual void call() = 0;

protected:
    ~interface() = default;
};
struct derived_virtually : virtual tick {};

/// Called as what is refused, but not it.
struct function {};
struct mutex {};
template <class> struct span {};

/// Contain themselves in every way that is looked at.
struct of_itself {
    using allocator_type = shared_allocator<of_itself>;
    using value_type = mmstl::vector<of_itself>;
};
struct of_void {
    using allocator_type = shared_allocator<void>;
};
struct with_foreign {
    using allocator_type = std::allocator<char>;
};
struct with_shared {
    using allocator_type = shared_allocator<char>;
};
/// A table of another library's.
template <class T, class Hash> struct flat_set {
    using allocator_type = shared_allocator<T>;
    using value_type = T;
    using hasher = Hash;
    using key_equal = std::equal_to<>;
};

/// Aggregates that are refused.
struct job {
    int priority;
    mmstl::string name;
};
struct nested {
    int number;
    job inner;
};
struct derived : job {
    int more;
};
struct of_std_string {
    std::string name;
};
struct of_const {
    const std::string name;
};
struct of_function {
    std::function<void()> call;
};
struct of_any {
    std::any what;
    int number;
};
struct of_mutex {
    std::mutex mutex;
};
struct of_move_only {
    int number;
    std::unique_ptr<int> owned;
};
struct of_callback {
    int number;
    void (*call)();
};
struct of_callbacks {
    char name[64];
    void (*calls[40])();
};
struct of_interface {
    std::string_view name;
};
struct of_optional {
    std::optional<int> number;
    std::optional<std::string> name;
};
struct of_pair {
    std::pair<int, mmstl::string> pair;
};
struct of_array {
    std::array<mmstl::string, 2> names;
};
struct of_strings {
    mmstl::string names[2];
};
struct behind_arrays {
    char first[16];
    int second[3][5];
    double third;
    char fourth[256];
    std::string name;
};
struct behind_many {
    int a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t;
    std::string name;
};
struct behind_bits {
    unsigned a : 3;
    unsigned : 2;
    unsigned b : 4;
    std::string name;
};
struct behind_union {
    int kind;
    union {
        int number;
        float real;
    };
    std::string name;
};
struct behind_empty {
    std::monostate first, second;
    std::string name;
};
struct behind_variant {
    std::variant<int, std::optional<int>> first;
    std::any second;
};
struct behind_default {
    std::string first = std::string(100, ' ');
    int second = 1;
};
struct no_default {
    explicit no_default(int);
};
struct beside_no_default {
    no_default first;
    char tag[64];
    std::string name;
    no_default last;
};
struct beside_optional {
    std::optional<int> first;
    std::string name;
    no_default last;
};
struct of_reference {
    int& number;
    no_default other;
};
struct with_allocator {
    using allocator_type = shared_allocator<char>;
    std::string name;
};

/// Aggregates that may.
struct plain {
    tick ticks[3];
    std::array<int, 3> numbers;
    color shade : 2;
    const char tag[40];
    volatile int state;
    plain* const next;
    std::atomic<int> count;
    std::tuple<int, int> couple;
    double tick::*where;
    union {
        int number;
        float real;
    };
    no_default other;
    with_member hidden;
};
struct of_plain_optional {
    std::optional<tick> last;
    std::variant<int, double> number;
};
struct derived_plainly : tick, std::monostate {
    with_constructor hidden;
};
struct of_refused_and_accepted {
    std::optional<mmstl::wstring> name;
};
struct accepted {
    mmstl::string name;
};
struct of_accepted {
    accepted inner;
    accepted more[2];
};
/// From anything, or from anything of a kind.
struct greedy {
    greedy() = default;
    template <class From> greedy(From&& from); // NOLINT: takes all
};
struct label {
    template <class From>
        requires std::convertible_to<From, std::string_view>
        label(const From& from); // NOLINT: implicit
};
struct of_greedy {
    greedy first;
    label second;
    greedy more[3];
};
/// Whose default does not compile, but is not asked for.
template <class T> struct slot {
    T value = T();
    int number;
};
struct explicit_default {
    explicit explicit_default() {}
    explicit_default(const explicit_default&) = delete;
};
struct of_explicit_default {
    explicit_default first;
    int second;
};
/// Made of nothing that can be found out: accepted.
struct unseen {
    std::string name;
    no_default other;
    no_default more[20];
};

using callback = void (*)(int);
struct by_length {
    bool operator()(const mmstl::string& a, const mmstl::string& b) const {
        return a.size() < b.size();
    }
};

} // namespace user

template <> inline constexpr bool mmstl::segment_storable<user::window> = false;
template <> inline constexpr bool mmstl::segment_storable<user::callback> = true;
template <> inline constexpr bool mmstl::segment_storable<user::accepted> = true;
template <> inline constexpr bool mmstl::segment_storable<std::optional<mmstl::wstring>> = true;

TEST_CASE("numbers, enumerations and classes may lie in a segment") {
    STATIC_REQUIRE(segment_storable<bool>);
    STATIC_REQUIRE(segment_storable<char8_t>);
    STATIC_REQUIRE(segment_storable<std::int64_t>);
    STATIC_REQUIRE(segment_storable<long double>);
    STATIC_REQUIRE(segment_storable<std::byte>);
    STATIC_REQUIRE(segment_storable<user::color>);
    STATIC_REQUIRE(segment_storable<user::tick>);
    STATIC_REQUIRE(segment_storable<user::either>);
    STATIC_REQUIRE(segment_storable<user::with_member>);
    STATIC_REQUIRE(segment_storable<user::with_constructor>);
    STATIC_REQUIRE(segment_storable<user::tree>);
    STATIC_REQUIRE(segment_storable<user::derived_virtually>); // no pointer that is looked at
    STATIC_REQUIRE(segment_storable<std::complex<double>>);
    STATIC_REQUIRE(segment_storable<std::bitset<100>>);
    STATIC_REQUIRE(segment_storable<std::chrono::system_clock::time_point>);
    STATIC_REQUIRE(segment_storable<std::monostate>);
}

TEST_CASE("const and volatile do not count, and may be within") {
    STATIC_REQUIRE(segment_storable<const int>);
    STATIC_REQUIRE(segment_storable<volatile int>);
    STATIC_REQUIRE(segment_storable<const volatile int>);
    STATIC_REQUIRE(segment_storable<const int[3]>);
    STATIC_REQUIRE_FALSE(segment_storable<const user::window>);
    STATIC_REQUIRE_FALSE(segment_storable<const std::string>);
    STATIC_REQUIRE_FALSE(segment_storable<volatile std::string_view>);
    STATIC_REQUIRE_FALSE(segment_storable<std::pair<const std::string, int>>);
}

TEST_CASE("pointers to objects may, references and pointers to functions may not") {
    STATIC_REQUIRE(segment_storable<int*>);
    STATIC_REQUIRE(segment_storable<const user::tick*>);
    STATIC_REQUIRE(segment_storable<void*>);
    STATIC_REQUIRE(segment_storable<std::nullptr_t>);
    STATIC_REQUIRE(segment_storable<double user::tick::*>); // an offset
    STATIC_REQUIRE_FALSE(segment_storable<int&>);
    STATIC_REQUIRE_FALSE(segment_storable<int&&>);
    STATIC_REQUIRE_FALSE(segment_storable<void>);
    STATIC_REQUIRE_FALSE(segment_storable<int()>);
    STATIC_REQUIRE_FALSE(segment_storable<int (*)()>);
    STATIC_REQUIRE_FALSE(segment_storable<int (*const)(int) noexcept>);
    STATIC_REQUIRE_FALSE(segment_storable<void (user::interface::*)()>);
}

TEST_CASE("containers with a shared_allocator may") {
    STATIC_REQUIRE(segment_storable<mmstl::string>);
    STATIC_REQUIRE(segment_storable<mmstl::u32string>);
    STATIC_REQUIRE(segment_storable<mmstl::vector<int>>);
    STATIC_REQUIRE(segment_storable<mmstl::vector<bool>>);
    STATIC_REQUIRE(segment_storable<mmstl::deque<user::tick>>);
    STATIC_REQUIRE(segment_storable<mmstl::list<mmstl::string>>);
    STATIC_REQUIRE(segment_storable<mmstl::forward_list<int*>>);
    STATIC_REQUIRE(segment_storable<mmstl::map<mmstl::string, mmstl::vector<mmstl::string>>>);
    STATIC_REQUIRE(segment_storable<mmstl::multimap<int, int>>);
    STATIC_REQUIRE(segment_storable<mmstl::set<mmstl::string, user::by_length>>);
    STATIC_REQUIRE(segment_storable<mmstl::multiset<int>>);
    STATIC_REQUIRE(segment_storable<mmstl::unordered_map<mmstl::string, std::pair<int, int>>>);
    STATIC_REQUIRE(segment_storable<mmstl::unordered_multimap<int, int>>);
    STATIC_REQUIRE(segment_storable<mmstl::unordered_set<int>>);
    STATIC_REQUIRE(segment_storable<mmstl::unordered_multiset<int>>);
    STATIC_REQUIRE(segment_storable<std::stack<int, mmstl::vector<int>>>);
    STATIC_REQUIRE(segment_storable<std::priority_queue<int, mmstl::vector<int>>>);
    STATIC_REQUIRE(segment_storable<user::with_shared>);
    STATIC_REQUIRE(segment_storable<user::of_itself>);
    STATIC_REQUIRE(segment_storable<user::of_void>);
    STATIC_REQUIRE(segment_storable<mmstl::vector<user::of_itself>>);
    STATIC_REQUIRE(segment_storable<shared_allocator<int>>);
}

TEST_CASE("containers with another allocator may not") {
    STATIC_REQUIRE_FALSE(segment_storable<std::string>);
    STATIC_REQUIRE_FALSE(segment_storable<std::u16string>);
    STATIC_REQUIRE_FALSE(segment_storable<std::vector<int>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::vector<bool>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::deque<int>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::list<int>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::forward_list<int>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::map<int, int>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::multimap<int, int>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::set<int>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::multiset<int>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::unordered_map<int, int>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::unordered_multimap<int, int>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::unordered_set<int>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::unordered_multiset<int>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::stack<int>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::queue<int>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::priority_queue<int>>);
    STATIC_REQUIRE_FALSE(segment_storable<user::with_foreign>);
    using scoped = std::scoped_allocator_adaptor<shared_allocator<int>>;
    STATIC_REQUIRE_FALSE(segment_storable<std::vector<int, scoped>>);
#if __has_include(<memory_resource>)
    STATIC_REQUIRE_FALSE(segment_storable<std::vector<int, std::pmr::polymorphic_allocator<int>>>);
#endif
}

TEST_CASE("what is within counts, however deep") {
    STATIC_REQUIRE(segment_storable<std::pair<mmstl::string, int>>);
    STATIC_REQUIRE(segment_storable<std::tuple<int, mmstl::string, std::tuple<mmstl::string>>>);
    STATIC_REQUIRE(segment_storable<std::tuple<>>);
    STATIC_REQUIRE(segment_storable<std::array<mmstl::string, 2>>);
    STATIC_REQUIRE(segment_storable<std::array<int, 0>>);
    STATIC_REQUIRE(segment_storable<std::optional<std::pair<int, user::tick>>>);
    STATIC_REQUIRE(segment_storable<std::variant<int, user::tick>>);
    STATIC_REQUIRE(segment_storable<int[2][3]>);

    STATIC_REQUIRE_FALSE(segment_storable<mmstl::vector<std::string>>);
    STATIC_REQUIRE_FALSE(segment_storable<mmstl::vector<std::string_view>>);
    STATIC_REQUIRE_FALSE(segment_storable<mmstl::map<std::string, int>>);
    STATIC_REQUIRE_FALSE(segment_storable<mmstl::map<int, std::string>>);
    STATIC_REQUIRE_FALSE(segment_storable<mmstl::unordered_set<std::string>>);
    STATIC_REQUIRE_FALSE(segment_storable<mmstl::map<int, mmstl::vector<std::vector<int>>>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::pair<int, std::string>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::pair<std::string, int>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::pair<int&, int>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::tuple<int, std::string>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::optional<std::string>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::variant<int, std::string>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::array<std::string, 2>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::string[2]>);
    STATIC_REQUIRE_FALSE(segment_storable<std::string[2][3]>);
    STATIC_REQUIRE_FALSE(segment_storable<std::stack<std::string, mmstl::vector<std::string>>>);
}

TEST_CASE("what a container calls counts") {
    using compare = std::function<bool(int, int)>;
    STATIC_REQUIRE_FALSE(segment_storable<mmstl::set<int, compare>>);
    STATIC_REQUIRE_FALSE(segment_storable<mmstl::set<int, bool (*)(int, int)>>);
    STATIC_REQUIRE_FALSE(segment_storable<mmstl::map<int, int, compare>>);
    STATIC_REQUIRE_FALSE(segment_storable<mmstl::unordered_set<int, std::size_t (*)(int)>>);
    STATIC_REQUIRE_FALSE(
        segment_storable<mmstl::unordered_map<int, int, mmstl::hash<int>, compare>>);
    STATIC_REQUIRE(segment_storable<user::flat_set<int, mmstl::hash<int>>>);
    STATIC_REQUIRE_FALSE(segment_storable<user::flat_set<int, std::size_t (*)(int)>>);
}

TEST_CASE("what does not hand the allocator on may not hold what takes one") {
    STATIC_REQUIRE_FALSE(segment_storable<std::optional<mmstl::string>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::optional<std::pair<int, mmstl::string>>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::variant<int, mmstl::string>>);
    STATIC_REQUIRE_FALSE(segment_storable<mmstl::string[2]>);
    STATIC_REQUIRE_FALSE(segment_storable<std::tuple<std::pair<mmstl::string, int>>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::tuple<int, std::array<mmstl::string, 1>>>);
    STATIC_REQUIRE_FALSE(segment_storable<mmstl::map<int, std::optional<mmstl::string>>>);
    STATIC_REQUIRE(segment_storable<std::tuple<std::pair<int, int>>>);
}

TEST_CASE("the members of an aggregate count") {
    STATIC_REQUIRE_FALSE(segment_storable<user::of_std_string>);
    STATIC_REQUIRE_FALSE(segment_storable<user::of_const>);
    STATIC_REQUIRE_FALSE(segment_storable<user::of_function>);
    STATIC_REQUIRE_FALSE(segment_storable<user::of_any>);
    STATIC_REQUIRE_FALSE(segment_storable<user::of_mutex>);
    STATIC_REQUIRE_FALSE(segment_storable<user::of_move_only>);
    STATIC_REQUIRE_FALSE(segment_storable<user::of_callback>);
    STATIC_REQUIRE_FALSE(segment_storable<user::of_callbacks>);
    STATIC_REQUIRE_FALSE(segment_storable<user::of_interface>);
    STATIC_REQUIRE_FALSE(segment_storable<user::of_optional>);
    STATIC_REQUIRE_FALSE(segment_storable<user::of_reference>);
    STATIC_REQUIRE_FALSE(segment_storable<user::with_allocator>);
    STATIC_REQUIRE_FALSE(segment_storable<user::slot<std::string>>);
    STATIC_REQUIRE_FALSE(segment_storable<mmstl::vector<user::of_std_string>>);
    STATIC_REQUIRE_FALSE(segment_storable<const user::of_std_string>);
    STATIC_REQUIRE(segment_storable<user::plain>);
    STATIC_REQUIRE(segment_storable<user::of_plain_optional>);
    STATIC_REQUIRE(segment_storable<user::derived_plainly>);
    STATIC_REQUIRE(segment_storable<user::slot<int>>);
}

TEST_CASE("an aggregate does not hand the allocator on") {
    STATIC_REQUIRE_FALSE(segment_storable<user::job>);
    STATIC_REQUIRE_FALSE(segment_storable<user::nested>);
    STATIC_REQUIRE_FALSE(segment_storable<user::derived>);
    STATIC_REQUIRE_FALSE(segment_storable<user::of_pair>);
    STATIC_REQUIRE_FALSE(segment_storable<user::of_array>);
    STATIC_REQUIRE_FALSE(segment_storable<user::of_strings>);
    STATIC_REQUIRE_FALSE(segment_storable<mmstl::map<int, user::job>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::optional<user::job>>);
}

TEST_CASE("the members of an aggregate are found behind others") {
    STATIC_REQUIRE_FALSE(segment_storable<user::behind_arrays>);
    STATIC_REQUIRE_FALSE(segment_storable<user::behind_many>);
    STATIC_REQUIRE_FALSE(segment_storable<user::behind_bits>);
    STATIC_REQUIRE_FALSE(segment_storable<user::behind_union>);
    STATIC_REQUIRE_FALSE(segment_storable<user::behind_empty>);
    STATIC_REQUIRE_FALSE(segment_storable<user::behind_variant>);
    STATIC_REQUIRE_FALSE(segment_storable<user::behind_default>);
    STATIC_REQUIRE_FALSE(segment_storable<user::beside_no_default>);
    STATIC_REQUIRE_FALSE(segment_storable<user::beside_optional>);
}

TEST_CASE("an aggregate whose members cannot be seen is accepted") {
    STATIC_REQUIRE(segment_storable<user::of_greedy>);
    STATIC_REQUIRE(segment_storable<user::slot<user::no_default>>);
    STATIC_REQUIRE(segment_storable<user::of_explicit_default>);
    STATIC_REQUIRE(segment_storable<user::unseen>);
}

TEST_CASE("what is of one process may not, though its header is not included by ours") {
    STATIC_REQUIRE_FALSE(segment_storable<std::function<void()>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::any>);
    STATIC_REQUIRE_FALSE(segment_storable<std::shared_ptr<int>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::weak_ptr<int>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::unique_ptr<int>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::unique_ptr<int[]>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::promise<int>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::future<int>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::shared_future<int>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::packaged_task<int()>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::exception_ptr>);
    STATIC_REQUIRE_FALSE(segment_storable<std::locale>);
    STATIC_REQUIRE_FALSE(segment_storable<std::filesystem::path>);
    STATIC_REQUIRE_FALSE(segment_storable<std::filesystem::directory_entry>);
    STATIC_REQUIRE_FALSE(segment_storable<std::regex>);
    STATIC_REQUIRE_FALSE(segment_storable<std::wregex>);
    STATIC_REQUIRE_FALSE(segment_storable<std::valarray<int>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::error_code>);
    STATIC_REQUIRE_FALSE(segment_storable<std::error_condition>);
    STATIC_REQUIRE_FALSE(segment_storable<std::type_index>);
    STATIC_REQUIRE_FALSE(segment_storable<std::random_device>);
    STATIC_REQUIRE_FALSE(segment_storable<std::thread>);
    STATIC_REQUIRE_FALSE(segment_storable<std::mutex>);
    STATIC_REQUIRE_FALSE(segment_storable<std::recursive_mutex>);
    STATIC_REQUIRE_FALSE(segment_storable<std::timed_mutex>);
    STATIC_REQUIRE_FALSE(segment_storable<std::shared_mutex>);
    STATIC_REQUIRE_FALSE(segment_storable<std::shared_timed_mutex>);
    STATIC_REQUIRE_FALSE(segment_storable<std::condition_variable>);
    STATIC_REQUIRE_FALSE(segment_storable<std::condition_variable_any>);
    STATIC_REQUIRE_FALSE(segment_storable<std::once_flag>);
    STATIC_REQUIRE_FALSE(segment_storable<std::unique_lock<std::mutex>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::ostringstream>);
    STATIC_REQUIRE_FALSE(segment_storable<std::ifstream>);
    STATIC_REQUIRE_FALSE(segment_storable<std::stringbuf>);
    STATIC_REQUIRE_FALSE(segment_storable<user::interface>);
    STATIC_REQUIRE_FALSE(segment_storable<std::string_view>);
    STATIC_REQUIRE_FALSE(segment_storable<std::wstring_view>);
    STATIC_REQUIRE_FALSE(segment_storable<std::u8string_view>);
    STATIC_REQUIRE_FALSE(segment_storable<std::span<int>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::span<const int, 3>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::initializer_list<int>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::reference_wrapper<int>>);
}

TEST_CASE("an atomic may if it is lock-free") {
    STATIC_REQUIRE(segment_storable<std::atomic<int>>);
    STATIC_REQUIRE(segment_storable<std::atomic<user::color>>);
    STATIC_REQUIRE(segment_storable<std::atomic_flag>);
    STATIC_REQUIRE_FALSE(segment_storable<std::atomic<std::array<char, 64>>>);
}

TEST_CASE("a specialisation has the last word, and counts within") {
    STATIC_REQUIRE_FALSE(segment_storable<user::window>);
    STATIC_REQUIRE_FALSE(segment_storable<mmstl::vector<user::window>>);
    STATIC_REQUIRE_FALSE(segment_storable<std::pair<int, user::window>>);
    STATIC_REQUIRE(segment_storable<user::callback>);
    STATIC_REQUIRE(segment_storable<mmstl::vector<user::callback>>);
    STATIC_REQUIRE(segment_storable<user::accepted>);
    STATIC_REQUIRE(segment_storable<user::of_accepted>);
    STATIC_REQUIRE(segment_storable<user::of_refused_and_accepted>);
    STATIC_REQUIRE(segment_storable<mmstl::map<int, std::optional<mmstl::wstring>>>);
    mmstl::detail::require_segment_storable<mmstl::vector<user::callback>>();
}

TEST_CASE("types of the standard library are known by their names, with care") {
    STATIC_REQUIRE(segment_storable<user::function>);
    STATIC_REQUIRE(segment_storable<user::mutex>);
    STATIC_REQUIRE(segment_storable<user::span<std::function<void()>>>);
    STATIC_REQUIRE(is_called("f() [with T = std::mutex]", "mutex"));
    STATIC_REQUIRE(is_called("f() [T = std::__1::function<void ()>]", "function"));
    STATIC_REQUIRE(is_called("f() [with T = std::_V2::condition_variable_any; U = int]",
                             "condition_variable_any"));
    STATIC_REQUIRE(is_called("f() [with T = std::filesystem::__cxx11::path]", "filesystem::path"));
    STATIC_REQUIRE(is_called("f() [T = std::__1::filesystem::path]", "filesystem::path"));
    STATIC_REQUIRE_FALSE(is_called("f() [with T = std::thread::id]", "thread"));
    STATIC_REQUIRE_FALSE(is_called("f() [with T = std::mutexes]", "mutex"));
    STATIC_REQUIRE_FALSE(is_called("f() [with T = std::path]", "filesystem::path"));
    STATIC_REQUIRE_FALSE(is_called("f() [with T = std::filesystem::path]", "path"));
    STATIC_REQUIRE_FALSE(is_called("f() [with T = mystd::mutex]", "mutex"));
    STATIC_REQUIRE_FALSE(is_called("f() [with T = user::std::mutex]", "mutex"));
    STATIC_REQUIRE_FALSE(is_called("f() [with T = std::_Box<std::function<void()> >]", "function"));
    STATIC_REQUIRE_FALSE(is_called("f() [with T = std::_Box<_function<int> >]", "function"));
    STATIC_REQUIRE_FALSE(is_called("f() [with T = std::vector<std::mutex>]", "mutex"));
    STATIC_REQUIRE_FALSE(is_called("f()", "mutex"));
}
