// SPDX-License-Identifier: LGPL-2.1-or-later
// What readers and mutators have in common: the start, and how findings are noted.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tools/statloop/names.h"
#include "tools/statloop/shared.h"

namespace evenfs::statloop {

// Reports ready and waits; returns the time of the start, or 0 if the run was stopped before.
std::int64_t wait_for_start(Control& control);

// Waits until `due_ns` of now_ns(); false if the run was stopped before.
bool wait_until(std::int64_t due_ns, const Control& control);

// The answer of a stat call as text, for messages.
std::string describe(const Seen& seen);

class Findings {
 public:
  Findings(Control& control, WorkerResult& result, std::string who)
      : control_(control), result_(result), who_(std::move(who)) {}

  // Counts an errno; one that `expect` does not explain is a finding.
  void error(const Expect& expect, std::string_view call, const std::string& path, int error);
  // Counts an errno that nothing explains.
  void unexpected(std::string_view call, const std::string& path, int error);
  void wrong(std::string_view call, const std::string& path, std::string_view why,
             const std::string& seen);

 private:
  void count(int error);
  // Keeps the text if it is this worker's first, prints it if it is the run's first.
  void note(const std::string& text);

  Control& control_;
  WorkerResult& result_;
  std::string who_;
};

}  // namespace evenfs::statloop
