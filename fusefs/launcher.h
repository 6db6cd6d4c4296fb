// SPDX-License-Identifier: LGPL-2.1-or-later
// Launcher: leaves the terminal the way a daemon does, and tells the shell how it went.
//
// The fork happens before anything else does: neither threads nor liburcu's state survive one.
// The parent waits until the child says that the mount is live, and exits with status 0; if the
// child ends before, it has printed its error itself and the parent exits with its status.
#pragma once

#include "core/base/result.h"
#include "core/base/unique_fd.h"

namespace evenfs {

// Opens those of 0 to 2 that are closed on /dev/null, so that nothing else gets these numbers, to which
// messages go and which the launcher points elsewhere. To be called before anything is opened.
void hold_standard_descriptors();

class Launcher {
 public:
  // Returns in the process that is to serve: this one if `foreground`, else the child.
  static Result<Launcher> launch(bool foreground);

  // The mount is live: the parent may exit, and the child lets go of the terminal.
  void ready();

 private:
  UniqueFd to_parent_;  // None in the foreground.
};

}  // namespace evenfs
