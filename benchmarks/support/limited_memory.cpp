// SPDX-License-Identifier: MIT
//
// So little memory that a file does not fit into it, on a machine that has more.

#include "limited_memory.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fmt/format.h>
#include <fstream>
#include <optional>
#include <sstream>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <utility>

namespace bench {
namespace {

/// How a version of control groups limits memory.
struct version {
    const char* mount_type;
    const char* controller; ///< In its line of /proc/self/cgroup.
    const char* limit_file;
    const char* unlimited;
    bool root_alone_has_both; ///< Processes and groups with limits.
};

constexpr version versions[] = {
    {"cgroup2", "", "memory.max", "max", true},
    {"cgroup", "memory", "memory.limit_in_bytes", "-1", false},
};

/// Where groups are made whose memory is limited, and where this process is now: directories.
struct groups {
    std::string own;
    std::string parent; ///< Of a new group.
    const version* of = nullptr;
};

bool has_word(std::string list, const std::string& wanted, char separator) {
    std::ranges::replace(list, separator, ' ');
    std::istringstream words(list);
    for (std::string word; words >> word;)
        if (word == wanted) return true;
    return false;
}

/// The path of this process's group below the root of all groups, or empty.
std::string own_group(const version& of) {
    // ID:CONTROLLER,...:PATH
    std::ifstream lines("/proc/self/cgroup");
    for (std::string line; std::getline(lines, line);) {
        const std::size_t first = line.find(':');
        const std::size_t second = line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        const std::string wanted = of.controller;
        if (controllers == wanted || (!wanted.empty() && has_word(controllers, wanted, ',')))
            return line.substr(second + 1);
    }
    return {};
}

/// Nothing where no group of that version is within reach that passes on the limiting of memory.
std::optional<groups> find_groups(const version& of) {
    const std::string path = own_group(of);
    if (path.empty()) return std::nullopt;
    std::ifstream mounts("/proc/self/mountinfo");
    for (std::string line; std::getline(mounts, line);) {
        std::istringstream words(line);
        std::string id, parent, device, root, point, options, word, type, source, super_options;
        words >> id >> parent >> device >> root >> point >> options;
        while (words >> word && word != "-") {
        }
        words >> type >> source >> super_options;
        if (type != of.mount_type) continue;
        if (*of.controller != '\0' && !has_word(super_options, of.controller, ',')) continue;
        // A mount of a part of the tree shows the paths below that.
        if (root == "/") root.clear();
        if (!path.starts_with(root)) continue;
        std::string below = path.substr(root.size());
        if (below == "/") below.clear();
        if (!below.empty() && !below.starts_with('/')) continue; // a root of a longer name
        groups found{.own = point + below, .parent = point + below, .of = &of};
        if (!of.root_alone_has_both) return found;
        // A new one comes beside its own.
        if (!below.empty()) found.parent.resize(found.parent.find_last_of('/'));
        std::ifstream file(found.parent + "/cgroup.subtree_control");
        std::string passed_on;
        std::getline(file, passed_on);
        if (has_word(passed_on, "memory", ' ')) return found;
    }
    return std::nullopt;
}

std::optional<groups> find_groups() {
    for (const version& of : versions)
        if (const auto found = find_groups(of)) return found;
    return std::nullopt;
}

std::string name_of(pid_t process) { return fmt::format("mmstl-benchmarks.{}", process); }

/// By one write(2), as control groups want it.
bool put(const std::string& path, const std::string& text) {
    std::ofstream file(path);
    file << text;
    return static_cast<bool>(file.flush());
}

/// Whether it is gone; errno says why not.
bool remove_group(const std::string& path) {
    // Whoever was killed in there may take a moment to be gone.
    for (int attempt = 0; attempt < 50; ++attempt) {
        if (::rmdir(path.c_str()) == 0) return true;
        if (errno != EBUSY) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    errno = EBUSY;
    return false;
}

} // namespace

std::string limited_memory::enter(std::uint64_t bytes) {
    const auto found = find_groups();
    if (!found) return "no control group is within reach that could limit memory";
    const std::string group = found->parent + "/" + name_of(::getpid());
    if (::mkdir(group.c_str(), 0755) != 0 && errno != EEXIST)
        return fmt::format("a control group cannot be made: {}: {}", group, std::strerror(errno));
    const auto give_up = [&](const char* what) {
        std::string reason = fmt::format("{}: {}", what, std::strerror(errno));
        ::rmdir(group.c_str());
        return reason;
    };
    if (!put(group + "/" + found->of->limit_file, std::to_string(bytes)))
        return give_up("the memory of a control group cannot be limited");
    if (!put(group + "/cgroup.procs", std::to_string(::getpid())))
        return give_up("a control group cannot be entered");
    group_ = group;
    previous_ = found->own;
    limit_file_ = found->of->limit_file;
    unlimited_ = found->of->unlimited;
    return {};
}

std::string limited_memory::leave() {
    if (group_.empty()) return {};
    const std::string group = std::exchange(group_, {});
    // If this process has to stay, it shall at least have more memory for what comes next.
    const bool is_wide = put(group + "/" + limit_file_, unlimited_);
    if (!put(previous_ + "/cgroup.procs", std::to_string(::getpid())))
        return fmt::format("the control group {} cannot be left: {}; {}", group,
                           std::strerror(errno),
                           is_wide ? "its memory is no longer limited"
                                   : "all that comes next has as little memory");
    if (!remove_group(group))
        return fmt::format("the control group {} cannot be removed: {}", group,
                           std::strerror(errno));
    return {};
}

void limited_memory::clean_up_after(pid_t process) noexcept {
    try {
        if (const auto found = find_groups())
            (void)remove_group(found->parent + "/" + name_of(process));
    } catch (const std::exception&) { // there is nobody to tell
    }
}

} // namespace bench
