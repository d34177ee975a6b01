// SPDX-License-Identifier: MIT
//
// The vocabulary of mappings: what may be done with the pages, and what the kernel is told of them.

#ifndef MMSTL_ACCESS_HPP
#define MMSTL_ACCESS_HPP

namespace mmstl::inline v1 {

/// What the pages of a mapping may be used for, and whether writes reach the backing.
///
/// Source: mmap(2), PROT_* and MAP_SHARED or MAP_PRIVATE.
enum class access : unsigned char {
    none,          ///< no access at all: holds the addresses; any touch raises SIGSEGV
    read_only,     ///< reads; sees what others write
    read_write,    ///< reads and writes, through to the backing and to everyone who maps it
    copy_on_write, ///< reads and writes; a page written to becomes this process's own
    execute,       ///< reads and runs machine code; private
};

/// Advice that never changes what the pages hold. See `destructive_advice` for the rest.
///
/// Source: madvise(2). What the running kernel does not know, it refuses with EINVAL.
enum class advice : unsigned char {
    normal,         ///< take back `random` and `sequential`
    random,         ///< no readahead
    sequential,     ///< read ahead aggressively
    will_need,      ///< start reading in the background: fetches small folios (docs/streaming.md)
    populate_read,  ///< fault all pages in for reading, and wait for them (Linux 5.14)
    populate_write, ///< the same for writing: dirties every page (Linux 5.14)
    cold,           ///< not needed soon (Linux 5.4)
    page_out,       ///< write back and reclaim now (Linux 5.4)
    huge_page,      ///< use transparent huge pages where there are any
    no_huge_page,   ///< do not
    collapse,       ///< gather the pages into huge pages now (Linux 6.1)
    mergeable,      ///< let the kernel merge equal pages
    unmergeable,    ///< do not
    dump,           ///< include in core dumps
    dont_dump,      ///< leave out of core dumps
    fork,           ///< a fork()ed child inherits the pages
    dont_fork,      ///< a fork()ed child does not: there, a touch raises SIGSEGV
};

/// Advice after which pages may hold something else. Taken by `mapping::discard`, never
/// by `advise`. Left out: what injects memory failures for tests of the kernel.
///
/// Source: madvise(2).
enum class destructive_advice : unsigned char {
    dont_need,        ///< drop the pages: private changes are lost, shared pages come back
    dont_need_locked, ///< the same for locked pages too (Linux 5.18)
    free,             ///< private anonymous pages may be dropped until next written to
    remove,       ///< punch a hole: the range reads as zeros, its blocks go back to the file system
    wipe_on_fork, ///< a fork()ed child finds zeros (private anonymous memory alone)
    keep_on_fork, ///< take back `wipe_on_fork`
    guard_install, ///< drop the pages; a touch then raises SIGSEGV (Linux 6.13)
    guard_remove,  ///< take back `guard_install`
};

/// The kind of pages that memory is made of.
enum class pages : unsigned char {
    normal,           ///< whatever the system does by itself
    transparent_huge, ///< transparent huge pages: a wish, silently not granted where they are off
    huge_tlb,         ///< the default huge pages, reserved beforehand: an error when none is left
};

/// Whether growing a backing allocates its blocks.
enum class allocation : unsigned char {
    automatic, ///< `blocks` for files and shared memory, where the file system can; else `sparse`
    blocks,    ///< allocate: a full disk is an error here, and not a SIGBUS later
    sparse,    ///< set the length alone: a write to a page may find the disk full, by SIGBUS
};

/// How the address in `mapping_options` is meant.
enum class placement : unsigned char {
    anywhere, ///< the kernel chooses
    hint,     ///< there if it is free, else anywhere
    exact,    ///< there, or an error; whatever is mapped there stays
};

/// What `mapped_span::chunks` does with what the reader has left behind.
enum class behind : unsigned char {
    keep,    ///< nothing
    release, ///< unmap from this process (resident set stays bounded); the page cache keeps it
    evict,   ///< reclaim from the page cache too, where the kernel agrees
};

} // namespace mmstl::inline v1

#endif
