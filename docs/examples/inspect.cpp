// SPDX-License-Identifier: MIT
//
// Tells what is in segments, named on the command line, and whether their heaps are sound: an example of
// mmstl/fmt.hpp. Without a name it makes one, a sound one and a damaged one, and tells of these.

#include <mmstl/fmt.hpp>

#include <cstdint>
#include <exception>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

struct station {
    double latitude;
    double longitude;
};

template <> inline constexpr std::string_view mmstl::persistent_name<station> = "example/station/1";

namespace {

/// Whether it could be opened, and nothing is wrong in it. It is only read.
bool inspect(const std::string& path) {
    try {
        const auto seg = mmstl::segment::open(path, {.access = mmstl::access::read_only});
        const mmstl::segment_report report = seg.check();
        fmt::print("{}\n  {}\n", path, report);
        for (const mmstl::named_object& object : seg.named_objects()) fmt::print("  {}\n", object);
        return report.clean();
    } catch (const mmstl::mapping_error& error) {
        fmt::print("{}\n", error); // the call, the file, and why
        return false;
    }
}

void make_examples() {
    {
        auto seg = mmstl::segment::create("stations.mms");
        seg.construct<station[]>("stations", 12);
        seg.construct<std::int64_t>("last change", 1795737600);
        seg.close();
    }
    std::filesystem::copy_file("stations.mms", "damaged.mms");
    std::fstream file("damaged.mms", std::ios::in | std::ios::out | std::ios::binary);
    file.exceptions(std::ios::badbit | std::ios::failbit);
    file.seekp(0).write("oh, no!", 7);
}

} // namespace

int main(int argc, char** argv) {
    try {
        if (argc == 1) {
            make_examples();
            inspect("stations.mms");
            inspect("damaged.mms");
            inspect("absent.mms");
            std::filesystem::remove("stations.mms");
            std::filesystem::remove("damaged.mms");
            return 0;
        }
        bool good = true;
        for (int i = 1; i < argc; ++i) good = inspect(argv[i]) && good;
        return good ? 0 : 1;
    } catch (const std::exception& error) {
        fmt::print(stderr, "{}\n", error.what());
        return 1;
    }
}
