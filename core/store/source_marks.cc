// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/store/source_marks.h"

#include "core/base/assert.h"
#include "core/store/source_events.h"

namespace evenfs::local {

bool SourceMarks::hold(std::uint64_t number, int dir) {
  const std::lock_guard guard(mutex_);
  if (!events_) return false;
  const auto [at, is_new] = holders_.try_emplace(number, 0);
  if (is_new && !mark_directory(events_.get(), dir)) {
    holders_.erase(at);
    ++refused_;
    return false;
  }
  ++at->second;
  return true;
}

void SourceMarks::drop(std::uint64_t number, int dir) noexcept {
  const std::lock_guard guard(mutex_);
  const auto at = holders_.find(number);
  EVENFS_CHECK(at != holders_.end());
  if (--at->second != 0) return;
  holders_.erase(at);
  if (events_ && dir >= 0) unmark_directory(events_.get(), dir);
}

void SourceMarks::end() noexcept {
  const std::lock_guard guard(mutex_);
  events_.reset();
}

bool SourceMarks::is_over() const noexcept {
  const std::lock_guard guard(mutex_);
  return !events_;
}

MarkStats SourceMarks::stats() const {
  const std::lock_guard guard(mutex_);
  return {holders_.size(), refused_};
}

}  // namespace evenfs::local
