// SPDX-License-Identifier: MIT
//
// undo: what is to be done when something throws before it is cancelled.

#ifndef MMSTL_DETAIL_UNDO_HPP
#define MMSTL_DETAIL_UNDO_HPP

#include <utility>

namespace mmstl::inline v1::detail {

template <class Action> class undo {
public:
    explicit undo(Action action) : action_(std::move(action)) {}
    undo(const undo&) = delete;
    undo& operator=(const undo&) = delete;
    ~undo() {
        if (is_armed_) action_();
    }
    void cancel() noexcept { is_armed_ = false; }

private:
    Action action_;
    bool is_armed_ = true;
};

} // namespace mmstl::inline v1::detail

#endif
