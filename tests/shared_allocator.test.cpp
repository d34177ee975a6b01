// SPDX-License-Identifier: MIT
//
// shared_allocator.hpp and detail/uses_allocator.hpp, as far as they go without a segment: the heap
// of the process, and how what is built gets the allocator. What allocators of segments are told
// apart by is an address, and nothing here looks behind it.

#include "support/allocation.hpp"
#include "support/catch.hpp"

#include <mmstl/shared_allocator.hpp>

#include <mmstl/containers.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

using mmstl::shared_allocator;
using mmstl::detail::allocator_access;
using mmstl::detail::construct_with;
using support::allocations;
using support::failing_allocation;

namespace {

/// What allocators of three segments begin with.
std::byte bases[3];
std::byte* const here = &bases[0];
std::byte* const there = &bases[1];

template <class T> shared_allocator<T> at(std::byte* base) {
    return allocator_access::make<T>(base);
}

enum class built : unsigned char { from_nothing, from_value, by_copy, by_move };

/// Takes the allocator as the last argument, as most types do.
struct takes_last {
    using allocator_type = shared_allocator<char>;

    takes_last() = default;
    takes_last(const takes_last&) = default;
    takes_last(int v) : value(v), how(built::from_value) {} // NOLINT(google-explicit-constructor)
    explicit takes_last(const allocator_type& a) : base(allocator_access::base_of(a)) {}
    takes_last(int v, const allocator_type& a)
        : value(v), base(allocator_access::base_of(a)), how(built::from_value) {}
    takes_last(const takes_last& other, const allocator_type& a)
        : value(other.value), base(allocator_access::base_of(a)), how(built::by_copy) {}
    takes_last(takes_last&& other, const allocator_type& a)
        : value(std::exchange(other.value, -1)), base(allocator_access::base_of(a)),
          how(built::by_move) {}

    int value = 0;
    std::byte* base = nullptr;
    built how = built::from_nothing;
};

/// Takes it first, as std::tuple does; it could be taken last too, but this goes first.
struct takes_first {
    using allocator_type = shared_allocator<char>;

    takes_first() = default;
    takes_first(const takes_first&) = default;
    takes_first(int v) : value(v), how(built::from_value) {} // NOLINT(google-explicit-constructor)
    takes_first(std::allocator_arg_t, const allocator_type& a)
        : base(allocator_access::base_of(a)) {}
    takes_first(std::allocator_arg_t, const allocator_type& a, int v)
        : value(v), base(allocator_access::base_of(a)), how(built::from_value) {}
    takes_first(std::allocator_arg_t, const allocator_type& a, const takes_first& other)
        : value(other.value), base(allocator_access::base_of(a)), how(built::by_copy) {}
    takes_first(std::allocator_arg_t, const allocator_type& a, takes_first&& other)
        : value(std::exchange(other.value, -1)), base(allocator_access::base_of(a)),
          how(built::by_move) {}
    takes_first(int, const allocator_type&) { throw std::logic_error("as the last argument"); }

    int value = 0;
    std::byte* base = nullptr;
    built how = built::from_nothing;
};

/// Cannot be copied or moved: is built where it stays.
struct immovable {
    using allocator_type = shared_allocator<char>;

    immovable(int v, int w, const allocator_type& a)
        : value(v + w), base(allocator_access::base_of(a)) {}
    immovable(const immovable&) = delete;

    int value;
    std::byte* base;
};

struct throws {
    using allocator_type = shared_allocator<char>;

    explicit throws(const allocator_type&) { throw std::runtime_error("while it is built"); }
};

/// Holds itself: is incomplete where its container is named.
struct tree {
    using allocator_type = shared_allocator<tree>;

    tree() = default;
    explicit tree(const allocator_type& a) : children(a) {}
    tree(const tree& other, const allocator_type& a) : children(other.children, a) {}

    mmstl::vector<tree> children;
};

struct tick {
    double price;
    int volume;
};
struct alignas(256) page {
    char bytes[256];
};
/// Can be copied by bytes, and is told apart by whether it was.
struct plain {
    plain() = default;
    explicit plain(int v) : value(v) {}
    plain(int v, const shared_allocator<char>&) : value(-v) {} // not said to be one
    int value = 0;
};

struct derived_pair : std::pair<int, int> {
    using pair::pair;
};
struct becomes_pair {
    operator std::pair<takes_last, int>() const { return {takes_last(5), 6}; } // NOLINT
};

/// Room for a `T`, built in it by the allocator of a container.
template <class T> class built_here {
public:
    template <class... Args> explicit built_here(Args&&... args) {
        // As a container of nodes does it: the allocator is that for something else.
        auto a = at<std::list<T>>(here);
        std::allocator_traits<decltype(a)>::construct(a, get(), std::forward<Args>(args)...);
    }
    built_here(const built_here&) = delete;
    built_here& operator=(const built_here&) = delete;
    ~built_here() { std::destroy_at(get()); }

    T* get() { return reinterpret_cast<T*>(&memory_); }
    T& operator*() { return *std::launder(get()); }
    T* operator->() { return std::launder(get()); }

private:
    alignas(T) std::byte memory_[sizeof(T)];
};

template <class T, class... Args>
concept has_construct = requires(shared_allocator<T> a, T* p, Args&&... args) {
    a.construct(p, std::forward<Args>(args)...);
};

} // namespace

// ---- what it is ----

TEST_CASE("an allocator is a pointer, and stays with its container") {
    using a = shared_allocator<tick>;
    using traits = std::allocator_traits<a>;
    STATIC_REQUIRE(sizeof(a) == sizeof(void*));
    STATIC_REQUIRE(std::is_trivially_copyable_v<a>);
    STATIC_REQUIRE(std::is_same_v<traits::value_type, tick>);
    STATIC_REQUIRE(std::is_same_v<traits::pointer, tick*>);
    STATIC_REQUIRE(std::is_same_v<traits::size_type, std::size_t>);
    STATIC_REQUIRE(std::is_same_v<traits::rebind_alloc<int>, shared_allocator<int>>);
    STATIC_REQUIRE_FALSE(traits::propagate_on_container_copy_assignment::value);
    STATIC_REQUIRE_FALSE(traits::propagate_on_container_move_assignment::value);
    STATIC_REQUIRE_FALSE(traits::propagate_on_container_swap::value);
    STATIC_REQUIRE_FALSE(traits::is_always_equal::value);
    STATIC_REQUIRE(std::is_nothrow_default_constructible_v<a>);
    STATIC_REQUIRE(std::is_nothrow_copy_constructible_v<a>);
    STATIC_REQUIRE(std::is_nothrow_constructible_v<a, const shared_allocator<int>&>);
    STATIC_REQUIRE(std::is_convertible_v<shared_allocator<int>, a>);
    STATIC_REQUIRE_FALSE(std::is_constructible_v<a, std::byte*>);
    STATIC_REQUIRE_FALSE(std::is_convertible_v<std::allocator<tick>, a>);
    STATIC_REQUIRE_FALSE(std::is_convertible_v<a, std::allocator<tick>>);
    [[maybe_unused]] shared_allocator<void> for_nothing; // that others are made from
}

TEST_CASE("allocators are equal if their segments are, whatever they are for") {
    CHECK(shared_allocator<int>() == shared_allocator<int>());
    CHECK(shared_allocator<int>() == shared_allocator<tick>());
    CHECK(at<int>(here) == at<int>(here));
    CHECK(at<int>(here) == shared_allocator<int>(at<tick>(here)));
    CHECK(at<int>(here) == at<tick>(here));
    CHECK(at<int>(here) != at<int>(there));
    CHECK(at<int>(here) != shared_allocator<int>());
    CHECK(shared_allocator<void>(at<int>(here)) == at<int>(here));
    CHECK(allocator_access::base_of(shared_allocator<int>(at<tick>(here))) == here);
    CHECK(allocator_access::base_of(shared_allocator<int>()) == nullptr);
}

TEST_CASE("the copy of a container is in the heap of the process") {
    using traits = std::allocator_traits<shared_allocator<int>>;
    CHECK(traits::select_on_container_copy_construction(at<int>(here)) == shared_allocator<int>());
    const mmstl::string text("short", at<char>(here)); // so short that nothing is allocated
    const mmstl::string copy = text;
    CHECK(copy.get_allocator() == shared_allocator<char>());
    CHECK(copy == text);
    const mmstl::string copy_there(text, at<char>(there));
    CHECK(copy_there.get_allocator() == at<char>(there));
    mmstl::string to_move(text, at<char>(there));
    const mmstl::string moved = std::move(to_move);
    CHECK(moved.get_allocator() == at<char>(there));
    mmstl::string assigned(at<char>(here));
    assigned = moved;
    CHECK(assigned.get_allocator() == at<char>(here));
    assigned = mmstl::string("other");
    CHECK(assigned.get_allocator() == at<char>(here));
    CHECK(assigned == "other");
}

// ---- the heap of the process ----

TEST_CASE("default constructed, it calls operator new once") {
    shared_allocator<tick> a;
    const long before = allocations();
    tick* const all = a.allocate(10);
    CHECK(allocations() == before + 1);
    CHECK(reinterpret_cast<std::uintptr_t>(all) % alignof(tick) == 0);
    all[9] = {1, 2};
    a.deallocate(all, 10);
    tick* const none = a.allocate(0);
    CHECK(none != nullptr);
    a.deallocate(none, 0);
}

TEST_CASE("over-aligned types are aligned") {
    shared_allocator<page> a;
    for (const std::size_t n : {1U, 3U}) {
        page* const pages = a.allocate(n);
        CHECK(reinterpret_cast<std::uintptr_t>(pages) % alignof(page) == 0);
        pages[n - 1].bytes[255] = 1;
        a.deallocate(pages, n);
    }
}

TEST_CASE("more than can be addressed is bad_array_new_length") {
    constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
    shared_allocator<tick> a;
    const long before = allocations();
    CHECK_THROWS_AS(a.allocate(most), std::bad_array_new_length);
    CHECK_THROWS_AS(a.allocate(most / sizeof(tick) + 1), std::bad_array_new_length);
    auto of_segment = at<tick>(here);
    CHECK_THROWS_AS(of_segment.allocate(most / sizeof(tick) + 1), std::bad_array_new_length);
    CHECK(allocations() == before);
}

TEST_CASE("what operator new throws comes through") {
    shared_allocator<tick> a;
    bool thrown = false;
    try {
        const failing_allocation failing(1);
        [[maybe_unused]] tick* const got = a.allocate(1);
    } catch (const std::bad_alloc&) {
        thrown = true;
    }
    CHECK(thrown);
}

// ---- which elements it builds ----

TEST_CASE("there is no construct for elements that take no allocator") {
    // Whatever kind of type: containers copy these by bytes, and must go on to do so.
    STATIC_REQUIRE_FALSE(has_construct<int>);
    STATIC_REQUIRE_FALSE(has_construct<int, int>);
    STATIC_REQUIRE_FALSE(has_construct<int*>);
    STATIC_REQUIRE_FALSE(has_construct<tick, const tick&>);
    STATIC_REQUIRE_FALSE(has_construct<plain, int>);
    STATIC_REQUIRE_FALSE(has_construct<std::string, std::string>);
    STATIC_REQUIRE_FALSE(has_construct<std::vector<int>>);
    STATIC_REQUIRE_FALSE(has_construct<std::pair<int, tick>, int, tick>);
    STATIC_REQUIRE_FALSE(has_construct<std::pair<int, std::string>>);
    STATIC_REQUIRE_FALSE(has_construct<std::tuple<int, tick>>);
    STATIC_REQUIRE_FALSE(has_construct<std::tuple<>>);
    STATIC_REQUIRE_FALSE(has_construct<std::array<int, 3>>);
    STATIC_REQUIRE_FALSE(has_construct<std::array<mmstl::string, 0>>);
    STATIC_REQUIRE_FALSE(has_construct<std::optional<mmstl::string>>); // it takes none
    STATIC_REQUIRE_FALSE(has_construct<std::variant<int, mmstl::string>>);
    STATIC_REQUIRE_FALSE(has_construct<std::pair<int&, int>, int&, int>);
}

TEST_CASE("there is a construct for those that do, and for what has one within") {
    STATIC_REQUIRE(has_construct<mmstl::string>);
    STATIC_REQUIRE(has_construct<mmstl::string, const char*>);
    STATIC_REQUIRE(has_construct<mmstl::vector<int>, std::size_t>);
    STATIC_REQUIRE(has_construct<takes_last>);
    STATIC_REQUIRE(has_construct<takes_first>);
    STATIC_REQUIRE(has_construct<tree>);
    STATIC_REQUIRE(has_construct<std::pair<int, mmstl::string>>);
    STATIC_REQUIRE(has_construct<std::pair<const mmstl::string, int>>);
    STATIC_REQUIRE(has_construct<std::pair<int, std::pair<int, const mmstl::string>>>);
    STATIC_REQUIRE(has_construct<std::tuple<int, mmstl::string>>);
    STATIC_REQUIRE(has_construct<std::array<std::pair<int, mmstl::string>, 2>>);
}

TEMPLATE_TEST_CASE("an element gets the allocator, first or last, with all of its arguments", "",
                   takes_last, takes_first) {
    // The two ways there are to take one. `const` elements are those of pairs in maps.
    built_here<TestType> nothing;
    CHECK(nothing->base == here);
    CHECK(nothing->how == built::from_nothing);
    built_here<TestType> value(7);
    CHECK(value->base == here);
    CHECK(value->value == 7);
    TestType original(3);
    built_here<TestType> copy(std::as_const(original));
    CHECK(copy->base == here);
    CHECK(copy->how == built::by_copy);
    CHECK(original.value == 3);
    built_here<TestType> moved(std::move(original));
    CHECK(moved->base == here);
    CHECK(moved->how == built::by_move);
    CHECK(moved->value == 3);
    built_here<const TestType> constant(8);
    CHECK(constant->base == here);
    CHECK(constant->value == 8);
}

TEST_CASE("an element that cannot be moved is built in place") {
    built_here<immovable> one(3, 4);
    CHECK(one->base == here);
    CHECK(one->value == 7);
    built_here<std::pair<const immovable, immovable>> two(
        std::piecewise_construct, std::forward_as_tuple(1, 2), std::forward_as_tuple(3, 4));
    CHECK(two->first.base == here);
    CHECK(two->second.value == 7);
}

TEST_CASE("what an element throws while it is built comes through") {
    auto a = at<throws>(here);
    alignas(throws) std::byte memory[sizeof(throws)];
    CHECK_THROWS_AS(a.construct(reinterpret_cast<throws*>(memory)), std::runtime_error);
}

TEMPLATE_TEST_CASE("pairs get the allocator in all the ways to build one", "", takes_last,
                   takes_first) {
    // Of one that takes the allocator in either way, and one that takes none, on either side.
    using left = std::pair<const TestType, int>;
    using right = std::pair<int, TestType>;
    const auto check = [](auto& pair, int first, int second) {
        if constexpr (std::is_same_v<std::remove_reference_t<decltype(pair)>, built_here<left>>) {
            CHECK(pair->first.base == here);
            CHECK(pair->first.value == first);
            CHECK(pair->second == second);
        } else {
            CHECK(pair->second.base == here);
            CHECK(pair->first == first);
            CHECK(pair->second.value == second);
        }
    };
    SECTION("nothing") {
        built_here<left> a;
        check(a, 0, 0);
        built_here<right> b;
        check(b, 0, 0);
    }
    SECTION("two values") {
        built_here<left> a(1, 2);
        check(a, 1, 2);
        CHECK(a->first.how == built::from_value);
        built_here<right> b(1, TestType(2));
        check(b, 1, 2);
        CHECK(b->second.how == built::by_move);
    }
    SECTION("piecewise") {
        built_here<left> a(std::piecewise_construct, std::tuple(1), std::tuple(2));
        check(a, 1, 2);
        built_here<right> b(std::piecewise_construct, std::tuple<>(), std::tuple<>());
        check(b, 0, 0);
        TestType value(3);
        built_here<right> c(std::piecewise_construct, std::forward_as_tuple(1),
                            std::forward_as_tuple(std::move(value)));
        check(c, 1, 3);
        CHECK(c->second.how == built::by_move);
    }
    SECTION("a pair of the same types") {
        right original(1, 2);
        built_here<right> copy(std::as_const(original));
        check(copy, 1, 2);
        CHECK(copy->second.how == built::by_copy);
        built_here<right> copy_of_mutable(original);
        check(copy_of_mutable, 1, 2);
        CHECK(copy_of_mutable->second.how == built::by_copy);
        CHECK(original.second.value == 2);
        built_here<right> copy_of_constant(static_cast<const right&&>(original));
        check(copy_of_constant, 1, 2);
        built_here<right> moved(std::move(original));
        check(moved, 1, 2);
        CHECK(moved->second.how == built::by_move);
        // A const first stays what it was.
        left constant(3, 4);
        built_here<left> of_constant(std::move(constant));
        check(of_constant, 3, 4);
        CHECK(of_constant->first.how == built::by_copy);
    }
    SECTION("a pair of others, of references, a tuple, an array") {
        built_here<left> of_others(std::pair<short, long>(short{1}, 2));
        check(of_others, 1, 2);
        TestType value(1);
        int number = 2;
        built_here<left> of_references(std::pair<TestType&, int&>(value, number));
        check(of_references, 1, 2);
        CHECK(of_references->first.how == built::by_copy);
        built_here<right> of_tuple(std::tuple(1, 2));
        check(of_tuple, 1, 2);
        built_here<right> of_array(std::array{1, 2});
        check(of_array, 1, 2);
    }
    SECTION("what is derived from a pair") {
        const derived_pair derived(1, 2);
        using numbers = std::pair<TestType, int>;
        built_here<numbers> one(static_cast<const std::pair<int, int>&>(derived));
        CHECK(one->first.base == here);
        CHECK(one->first.value == 1);
    }
}

TEST_CASE("a pair is built from what converts to one") {
    built_here<std::pair<takes_last, int>> one{becomes_pair()};
    CHECK(one->first.base == here);
    CHECK(one->first.value == 5);
    CHECK(one->first.how == built::by_move);
    CHECK(one->second == 6);
    const becomes_pair constant;
    built_here<const std::pair<takes_last, int>> two(constant);
    CHECK(two->first.base == here);
    // Derived from the pair itself, it is not known as one.
    struct derived : std::pair<takes_last, int> {
        using pair::pair;
    };
    const derived original(7, 8);
    built_here<std::pair<takes_last, int>> three(original);
    CHECK(three->first.base == here);
    CHECK(three->first.value == 7);
    CHECK(three->first.how == built::by_copy);
}

TEST_CASE("pairs within pairs get the allocator") {
    using inner = std::pair<takes_first, int>;
    using outer = std::pair<const inner, std::pair<int, takes_last>>;
    built_here<outer> nothing;
    CHECK(nothing->first.first.base == here);
    CHECK(nothing->second.second.base == here);
    built_here<outer> values(std::pair(1, 2), std::pair(3, 4));
    CHECK(values->first.first.base == here);
    CHECK(values->first.first.value == 1);
    CHECK(values->first.second == 2);
    CHECK(values->second.first == 3);
    CHECK(values->second.second.base == here);
    CHECK(values->second.second.value == 4);
    built_here<outer> copy(*values);
    CHECK(copy->first.first.base == here);
    CHECK(copy->second.second.value == 4);
    built_here<outer> piecewise(
        std::piecewise_construct,
        std::forward_as_tuple(std::piecewise_construct, std::tuple(5), std::tuple<>()),
        std::forward_as_tuple(6, 7));
    CHECK(piecewise->first.first.base == here);
    CHECK(piecewise->first.first.value == 5);
    CHECK(piecewise->second.second.base == here);
    CHECK(piecewise->second.second.value == 7);
}

TEST_CASE("tuples get the allocator, and tuples within them") {
    using tuple = std::tuple<int, takes_last, std::tuple<takes_first, int>>;
    built_here<tuple> nothing;
    CHECK(std::get<1>(*nothing).base == here);
    CHECK(std::get<0>(std::get<2>(*nothing)).base == here);
    built_here<tuple> values(1, 2, std::tuple(3, 4));
    CHECK(std::get<0>(*values) == 1);
    CHECK(std::get<1>(*values).base == here);
    CHECK(std::get<1>(*values).value == 2);
    CHECK(std::get<0>(std::get<2>(*values)).base == here);
    CHECK(std::get<0>(std::get<2>(*values)).value == 3);
    tuple original(5, 6, std::tuple(7, 8));
    built_here<tuple> copy(std::as_const(original));
    CHECK(std::get<1>(*copy).base == here);
    CHECK(std::get<1>(*copy).how == built::by_copy);
    built_here<tuple> moved(std::move(original));
    CHECK(std::get<1>(*moved).base == here);
    CHECK(std::get<1>(*moved).value == 6);
    built_here<std::pair<std::tuple<takes_last>, int>> in_pair(std::tuple(9), 1);
    CHECK(std::get<0>(in_pair->first).base == here);
    CHECK(std::get<0>(in_pair->first).value == 9);
}

TEST_CASE("arrays get the allocator in each of their elements") {
    using array = std::array<takes_last, 2>;
    built_here<array> nothing;
    CHECK((*nothing)[0].base == here);
    CHECK((*nothing)[1].base == here);
    array original = {1, 2};
    built_here<array> copy(std::as_const(original));
    CHECK((*copy)[0].how != built::from_nothing);
    CHECK((*copy)[1].base == here);
    CHECK((*copy)[1].value == 2);
    CHECK(original[1].value == 2);
    built_here<array> moved(std::move(original));
    CHECK((*moved)[1].base == here);
    CHECK((*moved)[1].value == 2);
    CHECK(original[1].value == -1); // NOLINT(bugprone-use-after-move)
    using nested = std::pair<int, std::array<std::pair<int, std::array<takes_first, 1>>, 2>>;
    built_here<nested> within;
    CHECK(within->second[1].second[0].base == here);
    nested full;
    full.second[1].second[0].value = 4;
    built_here<nested> within_copy(full);
    CHECK(within_copy->second[1].second[0].base == here);
    CHECK(within_copy->second[1].second[0].value == 4);
}

TEST_CASE("optional and variant are handed an allocator by hand") {
    std::optional<takes_last> maybe;
    maybe.emplace(3, at<char>(here));
    built_here<std::optional<takes_last>> moved(std::move(maybe));
    CHECK((*moved)->base == here);
    std::variant<int, takes_last> either;
    either.emplace<takes_last>(3, at<char>(here));
    built_here<std::variant<int, takes_last>> copy(either);
    CHECK(std::get<takes_last>(*copy).base == here);
}

// ---- what a segment builds objects by ----

TEST_CASE("construct_with builds what a container would, and aggregates from their members") {
    const auto a = at<void>(here);
    alignas(64) std::byte memory[256];
    const auto room_for = [&memory]<class T>(T*) { return reinterpret_cast<T*>(memory); };

    int* const number = construct_with(a, room_for(static_cast<int*>(nullptr)), 7);
    CHECK(*number == 7);
    tick* const made = construct_with(a, room_for(static_cast<tick*>(nullptr)), 1.5, 2);
    CHECK(made->price == 1.5);
    CHECK(made->volume == 2);
    CHECK(construct_with(a, room_for(static_cast<tick*>(nullptr)))->volume == 0);
    const plain* const unasked = construct_with(a, room_for(static_cast<plain*>(nullptr)), 3);
    CHECK(unasked->value == 3);
    auto* const vector =
        construct_with(a, room_for(static_cast<std::vector<int>*>(nullptr)), 3U, 1);
    CHECK(vector->size() == 3); // (3, 1), not {3, 1}
    std::destroy_at(vector);
    auto* const last = construct_with(a, room_for(static_cast<takes_last*>(nullptr)), 4);
    CHECK(last->base == here);
    auto* const pair =
        construct_with(a, room_for(static_cast<std::pair<int, takes_first>*>(nullptr)), 1, 2);
    CHECK(pair->second.base == here);
    auto* const text = construct_with(a, room_for(static_cast<mmstl::string*>(nullptr)), "short");
    CHECK(text->get_allocator() == at<char>(here));
    std::destroy_at(text);
}

#ifdef _LIBCPP_HAS_ASAN_CONTAINER_ANNOTATIONS_FOR_ALL_ALLOCATORS
TEST_CASE("AddressSanitizer is not told of what is unused in a segment's containers") {
    STATIC_REQUIRE_FALSE(
        std::__asan_annotate_container_with_allocator<shared_allocator<int>>::value);
    STATIC_REQUIRE(std::__asan_annotate_container_with_allocator<std::allocator<int>>::value);
}
#endif
