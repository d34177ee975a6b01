// SPDX-License-Identifier: MIT
//
// Fuzzes the opening of a segment's file, by libFuzzer: tests/fuzz/run.
//
// An input is a byte of flags, and then stores into the metadata of a sound segment (`store`). The
// file is opened in every way there is, asked all there is to ask, and closed. A refusal or a report
// has to come of it.

#include "support/segment_specimen.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <random>

namespace {

using support::segment_specimen;

struct store {
    std::uint64_t value;
    std::uint16_t where; ///< in the range
    std::uint8_t range;  ///< of the specimen's metadata
    std::uint8_t how;
    std::uint32_t zero;
};

/// What the first byte of an input says.
constexpr unsigned char is_killed = 1, is_unclean = 2, is_sealed = 4;

segment_specimen& specimen(support::left how) {
    static segment_specimen closed(support::left::closed);
    static segment_specimen killed(support::left::killed);
    return how == support::left::closed ? closed : killed;
}

void apply(segment_specimen& to, const store& one) {
    const auto& ranges = to.metadata();
    const auto& range = ranges[one.range % ranges.size()];
    const auto offset = range.first + one.where % range.n_bytes;
    switch (one.how % 8) {
    case 0: return to.put(offset, static_cast<std::uint8_t>(one.value));
    case 1: return to.put(offset / 2 * 2, static_cast<std::uint16_t>(one.value));
    case 2: return to.put(offset / 4 * 4, static_cast<std::uint32_t>(one.value));
    case 3: return to.put(offset / 8 * 8, one.value);
    case 4: { // a little more, or less
        const auto wide = offset / 8 * 8;
        return to.put(wide, to.get<std::uint64_t>(wide) + one.value % 129 - 64);
    }
    case 5: {
        const auto at = offset / 4 * 4;
        return to.put(at, to.get(at) ^ std::uint32_t{1} << one.value % 32);
    }
    default: { // what belongs elsewhere
        const auto& other = ranges[(one.value >> 16) % ranges.size()];
        const auto from = other.first + one.value % 65536 % other.n_bytes;
        if (one.how % 2 == 0)
            to.put(offset / 4 * 4, to.get(from / 4 * 4));
        else
            to.put(offset / 8 * 8, to.get<std::uint64_t>(from / 8 * 8));
    }
    }
}

} // namespace

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

/// Makes the specimens, in children, before the fuzzer has a thread: a child made beside one may wait
/// for ever for a lock that the thread had.
extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
    for (const auto how : {support::left::closed, support::left::killed}) (void)specimen(how);
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const auto how = data[0];
    const auto damage = [&](segment_specimen& file) {
        if ((how & is_unclean) != 0) file.make_unclean();
        for (std::size_t at = 1; at + sizeof(store) <= size; at += sizeof(store)) {
            store one;
            std::memcpy(&one, data + at, sizeof one);
            apply(file, one);
        }
        if ((how & is_sealed) != 0) file.seal();
    };
    auto& file = specimen((how & is_killed) != 0 ? support::left::killed : support::left::closed);
    try {
        support::ask_in_every_way(file, damage);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "%s\n", e.what());
        std::abort(); // where that was is in libFuzzer's report
    }
    return 0;
}

/// Whole stores, of what programs stumble over.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t most, unsigned seed) {
    std::minstd_rand dice(seed);
    if (dice() % 4 == 0) return LLVMFuzzerMutate(data, size, most);
    if (size == 0) data[0] = 0;
    auto n = size == 0 ? 0 : (size - 1) / sizeof(store);
    const auto room = (most - 1) / sizeof(store);
    if (dice() % 8 == 0) data[0] = static_cast<std::uint8_t>(dice() % 8);
    if (room == 0) return 1;
    if (n == 0 || (n < room && dice() % 4 == 0))
        ++n;
    else if (n > 1 && dice() % 4 == 0)
        --n;
    constexpr std::array<std::uint64_t, 12> wild = {
        0, 1, 2, 3, 8, 511, 512, 65536, 0x80000000, UINT32_MAX, UINT64_MAX, UINT64_MAX - 7};
    // The last one, which may be new, or any.
    const std::size_t i = dice() % 2 == 0 ? n - 1 : dice() % n;
    store one{wild[dice() % wild.size()], static_cast<std::uint16_t>(dice()),
              static_cast<std::uint8_t>(dice()), static_cast<std::uint8_t>(dice()), 0};
    if (dice() % 4 == 0) one.value = std::uint64_t{dice()} << 31 ^ dice();
    if (dice() % 4 == 0) one.value = std::uint64_t{dice() % 514} << 8 | dice() % 5;
    std::memcpy(data + 1 + i * sizeof(store), &one, sizeof one);
    return 1 + n * sizeof(store);
}
