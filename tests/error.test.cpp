// SPDX-License-Identifier: MIT
//
// error.hpp: mapping_error and the codes of mmstl's own.

#include "support/catch.hpp"

#include <mmstl/backing.hpp>
#include <mmstl/error.hpp>
#include <mmstl/mapping.hpp>

#include <array>
#include <cstdint>
#include <exception>
#include <new>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <type_traits>

using mmstl::errc;
using mmstl::mapping_error;
using support::contains_text;

namespace {

constexpr std::array all_codes{errc::not_mappable,  errc::length_not_multiple,
                               errc::misaligned,    errc::past_the_end,
                               errc::size_overflow, errc::needs_count,
                               errc::wrong_access,  errc::no_name,
                               errc::replaced,      errc::bad_name};

/// The error of opening a file that is not there.
mapping_error missing(const std::string& path) {
    try {
        (void)mmstl::backing(path).open();
    } catch (const mapping_error& e) {
        return e;
    }
    throw std::logic_error("there is a file " + path);
}

/// The error of mapping `n_bytes` of a memory file that has 100.
mapping_error past_the_end(std::uint64_t n_bytes) {
    auto handle = mmstl::memory_file("x").create();
    handle.resize(100);
    try {
        const mmstl::mapping map(handle, {.length_bytes = n_bytes});
    } catch (const mapping_error& e) {
        return e;
    }
    throw std::logic_error("there are so many bytes");
}

} // namespace

TEST_CASE("a mapping_error says the call, the path and the reason") {
    const auto e = missing("/nowhere/a.f32");
    CHECK(std::string(e.call()) == "open");
    CHECK(e.path() == "/nowhere/a.f32");
    CHECK(e.code() == std::errc::no_such_file_or_directory);
    CHECK(e.code().category() == std::system_category());
    CHECK(e.asked_bytes() == 0);
    CHECK(e.available_bytes() == 0);
    CHECK(std::string(e.what()) == "open '/nowhere/a.f32': No such file or directory");
}

TEST_CASE("a mapping_error about a size says what was asked for and what there was") {
    const auto e = past_the_end(4096);
    CHECK(e.asked_bytes() == 4096);
    CHECK(e.available_bytes() == 100);
    CHECK(e.code() == errc::past_the_end);
    CHECK_THAT(e.what(), contains_text("x'") && contains_text("4096") && contains_text("100"));
}

TEST_CASE("a mapping_error is a system_error, and unambiguously a std::exception") {
    STATIC_REQUIRE(std::is_base_of_v<std::system_error, mapping_error>);
    STATIC_REQUIRE_FALSE(std::is_base_of_v<std::bad_alloc, mapping_error>);
    bool caught = false;
    try {
        throw missing("/nowhere/x");
    } catch (const std::exception&) {
        caught = true;
    }
    CHECK(caught);
}

TEST_CASE("copying a mapping_error does not throw, and copies are equal") {
    STATIC_REQUIRE(std::is_nothrow_copy_constructible_v<mapping_error>);
    STATIC_REQUIRE(std::is_nothrow_copy_assignable_v<mapping_error>);
    const auto e = missing("/nowhere/" + std::string(200, 'p'));
    const mapping_error copy = e; // NOLINT(performance-unnecessary-copy-initialization)
    CHECK(copy.path() == e.path());
    CHECK(std::string(copy.what()) == e.what());
}

TEST_CASE("every code has a message of its own") {
    std::set<std::string> messages;
    for (const auto code : all_codes) messages.insert(make_error_code(code).message());
    CHECK(messages.size() == all_codes.size());
    CHECK_FALSE(messages.contains(mmstl::mapping_category().message(0)));
    CHECK_FALSE(mmstl::mapping_category().message(static_cast<int>(all_codes.size()) + 1).empty());
}

TEST_CASE(
    "a code converts to an error_code of the category mmstl, and none of them means success") {
    STATIC_REQUIRE(std::is_error_code_enum_v<errc>);
    for (const auto code : all_codes) {
        const std::error_code converted = code;
        CHECK(converted);
        CHECK(&converted.category() == &mmstl::mapping_category());
        CHECK(converted == code);
    }
    CHECK(std::string(mmstl::mapping_category().name()) == "mmstl");
}

TEST_CASE("every code is equivalent to a condition of std::errc") {
    const auto is = [](errc code, std::errc condition) {
        return make_error_code(code) == condition;
    };
    CHECK(is(errc::not_mappable, std::errc::no_such_device));
    CHECK(is(errc::length_not_multiple, std::errc::invalid_argument));
    CHECK(is(errc::misaligned, std::errc::invalid_argument));
    CHECK(is(errc::past_the_end, std::errc::result_out_of_range));
    CHECK(is(errc::size_overflow, std::errc::value_too_large));
    CHECK(is(errc::needs_count, std::errc::invalid_argument));
    CHECK(is(errc::wrong_access, std::errc::permission_denied));
    CHECK(is(errc::no_name, std::errc::operation_not_supported));
    CHECK(is(errc::replaced, std::errc::invalid_argument));
    CHECK(is(errc::bad_name, std::errc::invalid_argument));
}
