// SPDX-License-Identifier: MIT
//
// The machine and the software that figures belong to.

#include "machine.hpp"

#include "../peers/allocators.hpp"
#include "../peers/lmdb.hpp"
#include "format.hpp"
#include "posix.hpp"

#include <cstdlib>
#include <fmt/core.h>
#include <fstream>
#include <sstream>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <thread>

namespace bench {
namespace {

std::string first_line(const std::string& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line.empty() ? "unknown" : line;
}

/// What follows the colon on the first line of `path` that begins with `key`.
std::string field(const std::string& path, const std::string& key) {
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
        if (!line.starts_with(key)) continue;
        const auto value = line.find_first_not_of(" \t", line.find(':') + 1);
        return value == std::string::npos ? "" : line.substr(value);
    }
    return "";
}

std::uint64_t memory_field_bytes(const std::string& key) {
    return std::strtoull(field("/proc/meminfo", key).c_str(), nullptr, 10) * 1024;
}

std::string processor() {
    for (const char* key : {"model name", "Model", "Hardware", "cpu model"})
        if (std::string model = field("/proc/cpuinfo", key); !model.empty()) return model;
    return "unknown";
}

/// "ext4 on /dev/vda (rw,relatime)".
std::string file_system(const std::string& device_number) {
    std::ifstream mounts("/proc/self/mountinfo");
    std::string found = "unknown";
    for (std::string line; std::getline(mounts, line);) {
        std::istringstream words(line);
        std::string id, parent, device, root, point, options, word, type, source;
        words >> id >> parent >> device >> root >> point >> options;
        while (words >> word && word != "-") {
        }
        words >> type >> source;
        if (device == device_number) found = fmt::format("{} on {} ({})", type, source, options);
    }
    return found;
}

template <class Functions> std::string version_of(const peers::found<Functions>& peer) {
    return peer.functions ? peer.version : "not found";
}

} // namespace

machine_facts describe_machine(const std::string& path) {
    utsname system{};
    ::uname(&system);
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) fail("stat", path);
    const auto device = fmt::format("{}:{}", major(status.st_dev), minor(status.st_dev));
    const bool guest = field("/proc/cpuinfo", "flags").find("hypervisor") != std::string::npos;
    const std::string huge_pages = "/sys/kernel/mm/transparent_hugepage/";

    return {
        {"kernel", fmt::format("{} {} {}", system.sysname, system.release, system.machine)},
        {"cpu", processor() + (guest ? " (virtual machine)" : "")},
        {"cores", std::to_string(std::thread::hardware_concurrency())},
        {"memory", format_bytes(memory_field_bytes("MemTotal"))},
        {"page_size", format_bytes(static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)))},
        {"huge_pages", first_line(huge_pages + "enabled")},
        {"huge_pages_shared_memory", first_line(huge_pages + "shmem_enabled")},
        {"file_system", file_system(device)},
        {"read_ahead_kb", first_line("/sys/class/bdi/" + device + "/read_ahead_kb")},
        {"load_average", fmt::format("{:.2f}", load_average())},
#ifdef __clang__
        {"compiler", "Clang " __clang_version__},
#else
        {"compiler", "GCC " __VERSION__},
#endif
        {"mmstl", MMSTL_BENCHMARKS_VERSION},
        {"google_benchmark", MMSTL_BENCHMARKS_GOOGLE_BENCHMARK_VERSION},
        {"fmt",
         fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100)},
        {"boost_iostreams", MMSTL_BENCHMARKS_BOOST_VERSION},
        {"boost_interprocess", MMSTL_BENCHMARKS_BOOST_INTERPROCESS_VERSION},
        {"lmdb", peers::lmdb_version()},
        {"mimalloc", version_of(peers::find_mimalloc())},
        {"jemalloc", version_of(peers::find_jemalloc())},
    };
}

std::uint64_t available_memory_bytes() { return memory_field_bytes("MemAvailable"); }

std::uint64_t own_memory_bytes(const char* key) {
    return std::strtoull(field("/proc/self/smaps_rollup", key).c_str(), nullptr, 10) * 1024;
}

std::optional<std::uint64_t> huge_page_bytes(const void* at) {
    const auto address = reinterpret_cast<std::uintptr_t>(at);
    std::ifstream mappings("/proc/self/smaps");
    bool here = false;
    std::optional<std::uint64_t> total;
    for (std::string line; std::getline(mappings, line);) {
        // "7f04f2c00000-7f14f2c00000 r--s" begins a mapping, "AnonHugePages: 2048 kB" tells of it.
        char* end = nullptr;
        const std::uint64_t number = std::strtoull(line.c_str(), &end, 16);
        if (*end == '-') {
            if (here) break;
            here = number <= address && address < std::strtoull(end + 1, nullptr, 16);
            continue;
        }
        for (const char* key : {"AnonHugePages:", "FilePmdMapped:", "ShmemPmdMapped:"})
            if (here && line.starts_with(key))
                total = total.value_or(0) +
                        std::strtoull(line.c_str() + line.find(':') + 1, nullptr, 10) * 1024;
    }
    return total;
}

double load_average() {
    double one_minute = 0;
    return ::getloadavg(&one_minute, 1) == 1 ? one_minute : 0;
}

} // namespace bench
