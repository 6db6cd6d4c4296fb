// SPDX-License-Identifier: LGPL-2.1-or-later
// SourceMarks: the directories of which the kernel tells what others do there, where it does not tell of the
// whole file system (source_events.h, mark_directory).
//
// A directory is marked once, for all who hold its mark; it is marked before a hold() of it returns, and stays
// so until the last of them drops it. The kernel keeps a marked directory's inode in memory, and not more than
// fs.fanotify.max_user_marks of them. A mark whose directory cannot be found again when it is dropped stays,
// and goes with the directory: it costs events about what nobody knows.
//
// Threading: any function from any thread. One mutex, held across the system call, so that a mark is not taken
// away from who has just been promised it.
#pragma once

#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "core/base/unique_fd.h"

namespace evenfs::local {

struct MarkStats {
  std::uint64_t marked = 0;   // Directories, besides the root.
  std::uint64_t refused = 0;  // How often one could not be marked.
};

class SourceMarks {
 public:
  // `events`: of open_events(), and nobody else marks anything for it.
  explicit SourceMarks(UniqueFd events) noexcept : events_(std::move(events)) {}
  SourceMarks(const SourceMarks&) = delete;
  SourceMarks& operator=(const SourceMarks&) = delete;

  // `number`: the durable one of the directory `dir`, a descriptor. False: it cannot be marked.
  bool hold(std::uint64_t number, int dir);
  // Once for each hold() that was true. `dir`: a descriptor of the same directory, or -1.
  void drop(std::uint64_t number, int dir) noexcept;
  // Nothing is marked or taken away from now on. What is marked goes when nobody reads the events any more.
  void end() noexcept;
  bool is_over() const noexcept;

  MarkStats stats() const;

 private:
  mutable std::mutex mutex_;  // A leaf lock.
  // Under mutex_, as the rest.
  UniqueFd events_;
  std::unordered_map<std::uint64_t, std::uint32_t> holders_;  // How many, by number.
  std::uint64_t refused_ = 0;
};

// What hold() promised, until the end of the scope or until it is handed on.
class [[nodiscard]] MarkHold {
 public:
  MarkHold(SourceMarks& marks, std::uint64_t number, int dir)
      : marks_(marks), number_(marks.hold(number, dir) ? number : 0), dir_(dir) {}
  ~MarkHold() {
    if (number_ != 0) marks_.drop(number_, dir_);
  }
  MarkHold(const MarkHold&) = delete;
  MarkHold& operator=(const MarkHold&) = delete;
  std::uint64_t number() const noexcept { return number_; }  // 0: it is not marked.
  void hand_on() noexcept { number_ = 0; }

 private:
  SourceMarks& marks_;
  std::uint64_t number_;
  const int dir_;
};

}  // namespace evenfs::local
