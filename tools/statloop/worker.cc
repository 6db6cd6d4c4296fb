// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/statloop/worker.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <ctime>

namespace evenfs::statloop {

std::int64_t wait_for_start(Control& control) {
  control.ready.fetch_add(1, std::memory_order_relaxed);
  while (!control.stop.load(std::memory_order_relaxed)) {
    const std::int64_t start = control.start_ns.load(std::memory_order_relaxed);
    if (start != 0) return start;
    const timespec pause{.tv_sec = 0, .tv_nsec = 100'000};
    ::nanosleep(&pause, nullptr);
  }
  return 0;
}

bool wait_until(std::int64_t due_ns, const Control& control) {
  constexpr std::int64_t kSliceNs = 20'000'000;
  while (!control.stop.load(std::memory_order_relaxed)) {
    const std::int64_t left = due_ns - now_ns();
    if (left <= 0) return true;
    const timespec pause{.tv_sec = 0, .tv_nsec = std::min(left, kSliceNs)};
    ::nanosleep(&pause, nullptr);
  }
  return false;
}

std::string describe(const Seen& seen) {
  return fmt::format("mode {:o}, size {}, links {}, ino {}", seen.mode, seen.size, seen.links,
                     seen.ino);
}

void Findings::count(int error) {
  ++result_.by_errno[std::min(static_cast<std::size_t>(error), kErrnoMax - 1)];
}

void Findings::error(const Expect& expect, std::string_view call, const std::string& path,
                     int error) {
  switch (judge_error(expect, error)) {
    case Judgement::kRight:
      count(error);
      break;
    case Judgement::kWrong:
      count(error);
      wrong(call, path, "reported missing, but it was never removed", std::strerror(error));
      break;
    case Judgement::kUnexpected:
      unexpected(call, path, error);
      break;
  }
}

void Findings::unexpected(std::string_view call, const std::string& path, int error) {
  count(error);
  ++result_.unexpected;
  note(fmt::format("{}: {} {}: unexpected error: {}", who_, call, path, std::strerror(error)));
}

void Findings::wrong(std::string_view call, const std::string& path, std::string_view why,
                     const std::string& seen) {
  ++result_.wrong;
  note(fmt::format("{}: {} {}: wrong answer: {} ({})", who_, call, path, why, seen));
}

void Findings::note(const std::string& text) {
  if (result_.first_wrong[0] == '\0') {
    const std::size_t length = std::min(text.size(), result_.first_wrong.size() - 1);
    std::memcpy(result_.first_wrong.data(), text.data(), length);
    result_.first_wrong[length] = '\0';
  }
  if (!control_.detail_printed.exchange(true, std::memory_order_relaxed)) {
    fmt::print(stderr, "statloop: {}\n", text);
  }
}

}  // namespace evenfs::statloop
