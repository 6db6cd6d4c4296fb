// SPDX-License-Identifier: LGPL-2.1-or-later
// Where the daemon's messages go: standard error, or syslog once it is detached. Never used on
// the way of a request that is answered normally, and never in core/.
#pragma once

#include <spdlog/spdlog.h>

#include <string>

namespace evenfs {

// Messages go to standard error as "evenfs: ...". Also receives what libfuse has to say.
void log_to_stderr(bool debug);

// Messages go to syslog under the name "evenfs" from now on.
void log_to_syslog();

// While one is alive, libfuse's error messages of this thread are kept instead of printed, so
// that a failure to mount can be told in one line. One at a time, before threads are started.
class FuseMessages {
 public:
  FuseMessages();
  ~FuseMessages();
  FuseMessages(const FuseMessages&) = delete;
  FuseMessages& operator=(const FuseMessages&) = delete;
  // The last message without its prefix, or `otherwise`.
  std::string last(const std::string& otherwise) const;

 private:
  friend void keep_fuse_message(FuseMessages& messages, std::string text);
  std::string last_;
};

}  // namespace evenfs
