// SPDX-License-Identifier: LGPL-2.1-or-later
// A BackingTable without the kernel's part: files have a backing file, or do not, as a test says.
#pragma once

#include "fusefs/backing.h"

namespace evenfs::test {

class FakeBacking final : public BackingTable {
 public:
  FakeBacking() { start(0, true); }
  void refuse(bool refused = true) { refused_ = refused; }

 private:
  int make_backing(int /*fd*/) noexcept override { return refused_ ? 0 : 1; }
  void end_backing(int /*backing_id*/) noexcept override {}

  bool refused_ = false;  // Set while nothing is opened.
};

}  // namespace evenfs::test
