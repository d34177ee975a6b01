// SPDX-License-Identifier: MIT
//
// mimalloc and jemalloc as peers, beside the malloc of the C library and not instead of it.

#include "allocators.hpp"

#include <dlfcn.h>
#include <fmt/format.h>
#include <initializer_list>
#include <stdexcept>
#include <string_view>

namespace bench::peers {
namespace {

/// The file that has what `symbol` is for those who name it, as this program does.
std::string_view provider_of(const char* symbol) {
    Dl_info where{};
    void* const at = ::dlsym(RTLD_DEFAULT, symbol);
    return at != nullptr && ::dladdr(at, &where) != 0 ? where.dli_fname : "";
}

/// The handle of the first that is there, or why the first cannot be loaded.
void* load(std::initializer_list<const char*> names, std::string& reason) {
    const auto malloc_before = provider_of("malloc");
    const auto free_before = provider_of("free");
    void* library = nullptr;
    for (const char* const name : names) {
        library = ::dlopen(name, RTLD_NOW | RTLD_LOCAL);
        if (library != nullptr) break;
        if (reason.empty()) reason = ::dlerror();
    }
    if (provider_of("malloc") != malloc_before || provider_of("free") != free_before)
        throw std::runtime_error("a peer has replaced the malloc of this process");
    return library;
}

template <class Function>
bool look_up(void* library, const char* name, Function*& to, std::string& reason) {
    to = reinterpret_cast<Function*>(::dlsym(library, name));
    if (to == nullptr) reason = fmt::format("the library has no {}", name);
    return to != nullptr;
}

} // namespace

void jemalloc::give_back() const {
    mallctl("thread.tcache.flush", nullptr, nullptr, nullptr, 0);
    mallctl("arena.4096.purge", nullptr, nullptr, nullptr, 0); // MALLCTL_ARENAS_ALL
}

const found<mimalloc>& find_mimalloc() {
    static const auto once = [] {
        found<mimalloc> made;
        void* const library = load({"libmimalloc.so.2", "libmimalloc.so"}, made.reason);
        mimalloc functions{};
        int (*version)() = nullptr;
        if (library == nullptr ||
            !look_up(library, "mi_malloc", functions.mi_malloc, made.reason) ||
            !look_up(library, "mi_free", functions.mi_free, made.reason) ||
            !look_up(library, "mi_collect", functions.mi_collect, made.reason) ||
            !look_up(library, "mi_version", version, made.reason))
            return made;
        const int number = version(); // 209: 2.0.9
        made.version = fmt::format("{}.{}.{}", number / 100, number / 10 % 10, number % 10);
        made.functions = functions;
        return made;
    }();
    return once;
}

const found<jemalloc>& find_jemalloc() {
    static const auto once = [] {
        found<jemalloc> made;
        void* const library = load({"libjemalloc.so.2", "libjemalloc.so"}, made.reason);
        jemalloc functions{};
        if (library == nullptr || !look_up(library, "malloc", functions.malloc, made.reason) ||
            !look_up(library, "sdallocx", functions.sdallocx, made.reason) ||
            !look_up(library, "mallctl", functions.mallctl, made.reason))
            return made;
        const char* version = "";
        std::size_t size = sizeof version;
        if (functions.mallctl("version", &version, &size, nullptr, 0) == 0)
            made.version = std::string(version, std::string_view(version).find('-'));
        made.functions = functions;
        return made;
    }();
    return once;
}

void give_back_all() {
    c_library::give_back();
    if (const auto& found = find_mimalloc().functions) found->give_back();
    if (const auto& found = find_jemalloc().functions) found->give_back();
}

} // namespace bench::peers
