// SPDX-License-Identifier: MIT
//
// Who sees a store: through a shared mapping everyone, through a private one nobody else. What others
// change in the file after it was mapped, a private mapping may see or not, in pages to which it has
// not stored itself (mmap(2)); so this looks only at a page to which it has.

#include <mmstl.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <exception>

#include <unistd.h>

namespace {

std::size_t page_bytes() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

void run() {
    auto shared = mmstl::mapped_span<char>::create("letters.bin", page_bytes());
    std::ranges::fill(shared, '.');
    const mmstl::mapped_span<const char> other("letters.bin"); // as another process has it
    mmstl::mapped_span<char> own("letters.bin", {.access = mmstl::access::copy_on_write});

    shared[0] = 's'; // one store, and everyone has it
    std::printf("shared: the other one sees '%c'\n", other[0]);

    own[0] = 'p'; // the kernel copies the page first, for this mapping alone
    std::printf("private: it sees '%c', the other one '%c'\n", own[0], other[0]);

    // Had there been no store to `own` yet, it could be either that it sees this one, or that it does
    // not.
    shared[1] = 's'; // to the page of which there is a copy by now
    std::printf("shared, after that: the private one sees '%c'\n", own[1]);
}

void take_back() {
    mmstl::mapping draft("letters.bin", {.access = mmstl::access::copy_on_write});
    std::byte* const bytes = draft.writable_data();
    bytes[0] = std::byte{'d'};
    std::printf("draft: '%c'\n", std::to_integer<char>(bytes[0]));
    draft.discard(mmstl::destructive_advice::dont_need, 0, draft.size_bytes());
    std::printf("draft, its changes dropped: '%c'\n", std::to_integer<char>(bytes[0]));
}

} // namespace

int main() {
    try {
        run();
        take_back();
        mmstl::file("letters.bin").remove();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
