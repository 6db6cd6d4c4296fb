// SPDX-License-Identifier: LGPL-2.1-or-later
// What a mutator knows about a file of its own: which names it has, and what they must report.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <utility>

#include "tools/statloop/names.h"

namespace evenfs::statloop {

// What one name must report now.
struct Side {
  int dir_fd = -1;
  std::string name;
  bool present = false;
  std::uint64_t size = 0;
  mode_t mode = kModeA;
  std::uint64_t ino = 0;  // 0: not known.
};

struct Object {
  Expect expect;
  bool shared = false;
  Side a;
  Side b;  // Only of pairs.

  Side& current() { return a.present ? a : b; }
};

// Moves everything but the place from one name to another.
inline void move_state(Side& from, Side& to) {
  to.present = std::exchange(from.present, false);
  to.size = from.size;
  to.mode = from.mode;
  to.ino = from.ino;
}

}  // namespace evenfs::statloop
