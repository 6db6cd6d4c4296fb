// SPDX-License-Identifier: LGPL-2.1-or-later
// evenfs SOURCE MOUNTPOINT [options]: parses, checks, and runs the daemon.
#include <cstdio>
#include <cstring>

#include "fusefs/handlers.h"
#include "fusefs/launcher.h"
#include "fusefs/log.h"
#include "fusefs/mount_point.h"
#include "fusefs/options.h"
#include "fusefs/remount.h"
#include "fusefs/session.h"

int main(int argc, char** argv) {
  evenfs::hold_standard_descriptors();
  evenfs::Command command = evenfs::parse_command(argc, argv);
  if (!command.options) {
    std::fputs(command.text.c_str(), command.status == 0 ? stdout : stderr);
    return command.status;
  }
  evenfs::Options& options = *command.options;
  if (options.remount) {
    const evenfs::Status done = evenfs::remount(options.mountpoint, options.mount_options);
    if (done) return 0;
    std::fprintf(stderr, "evenfs: cannot remount %s: %s\n", options.mountpoint.c_str(),
                 std::strerror(done.error().code()));
    return evenfs::kExitFailure;
  }
  if (const auto complaint = evenfs::check_paths(options.source, options.mountpoint)) {
    std::fprintf(stderr, "evenfs: %s\n", complaint->c_str());
    return evenfs::kExitUsage;
  }
  if (options.check_only) return 0;

  evenfs::log_to_stderr(options.debug);
  evenfs::Result<evenfs::Launcher> launcher = evenfs::Launcher::launch(options.foreground);
  if (!launcher) {
    std::fprintf(stderr, "evenfs: cannot start: %s\n", std::strerror(launcher.error().code()));
    return evenfs::kExitFailure;
  }
  return evenfs::run_session(options, *launcher, evenfs::make_handlers());
}
