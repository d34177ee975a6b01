// SPDX-License-Identifier: MIT
//
// MMSTL_ASSERT: the check of a precondition, live in debug builds. Define it beforehand to replace
//               it.

#ifndef MMSTL_DETAIL_ASSERT_HPP
#define MMSTL_DETAIL_ASSERT_HPP

/// Checks a precondition, which is called `Requires:` where it is stated: by `assert`, which
/// `NDEBUG` turns off, or by whatever it is defined as before the first header of mmstl's is
/// included.
#ifndef MMSTL_ASSERT
#include <cassert>
#define MMSTL_ASSERT(condition) assert(condition)
#endif

#endif
