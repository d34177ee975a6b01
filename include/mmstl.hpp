// SPDX-License-Identifier: MIT
//
// mmstl: the C++ standard library's containers on mapped memory. This is the one header to include.
//
//     mmstl::mapped_span<const char> text("testfile.txt");          // a file as an array, read only
//     mmstl::mapped_span<float> a("a.f32");                         // read and write, to the file
//     auto b = mmstl::mapped_span<float>::create("b.f32", 1000);    // a new file of 1000 elements
//     mmstl::mapped_span<int> s(mmstl::anonymous(), {.count = 1});  // shared with fork()ed children
//
//     auto ticks = mmstl::mapped_vector<tick>::open_or_create("ticks.mmv");   // a vector in a file
//     ticks.push_back({now, 101.5});
//     auto tail = mmstl::mapped_vector<const tick>::open("ticks.mmv");        // that others follow
//
//     auto seg = mmstl::segment::open_or_create("index.mms");       // a heap in a file, for any
//     auto& hits =                                                  // container of std's
//         seg.find_or_construct<mmstl::unordered_map<mmstl::string, int>>("hits");
//     ++hits["mmap"];

#ifndef MMSTL_HPP
#define MMSTL_HPP

#include <mmstl/access.hpp>
#include <mmstl/backing.hpp>
#include <mmstl/chunks.hpp>
#include <mmstl/containers.hpp>
#include <mmstl/error.hpp>
#include <mmstl/hash.hpp>
#include <mmstl/mapped_span.hpp>
#include <mmstl/mapped_vector.hpp>
#include <mmstl/mapping.hpp>
#include <mmstl/persistent_name.hpp>
#include <mmstl/segment.hpp>
#include <mmstl/segment_options.hpp>
#include <mmstl/segment_storable.hpp>
#include <mmstl/shared_allocator.hpp>
#include <mmstl/sync.hpp>
#include <mmstl/vector_options.hpp>
#include <mmstl/version.hpp>

#endif
