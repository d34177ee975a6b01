// SPDX-License-Identifier: MIT
//
// The version of mmstl: the one place that says it. The build reads it from here.

#ifndef MMSTL_VERSION_HPP
#define MMSTL_VERSION_HPP

/// The version, by semantic versioning, for `#if`.
#define MMSTL_VERSION_MAJOR 0
#define MMSTL_VERSION_MINOR 1
#define MMSTL_VERSION_PATCH 0

#endif
