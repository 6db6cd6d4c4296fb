// SPDX-License-Identifier: LGPL-2.1-or-later
// delayfs SOURCE MOUNTPOINT --delay TIME: a mount of a directory that takes its time. Every request waits
// before it is answered, as if the directory were behind a network: a slow source for tests and comparisons.
//
// It is evenfs with nothing cached anywhere, and with a wait in front of each of its handlers.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <thread>

#include "fusefs/handlers.h"
#include "fusefs/launcher.h"
#include "fusefs/log.h"
#include "fusefs/mount_point.h"
#include "fusefs/option_values.h"
#include "fusefs/options.h"
#include "fusefs/session.h"

namespace evenfs {
namespace {

// For functions that C calls. Constant once the threads run.
fuse_lowlevel_ops handlers;
std::chrono::milliseconds delay;

template <auto Member, class... Args>
void wait_first(Args... args) {
  std::this_thread::sleep_for(delay);
  (handlers.*Member)(args...);
}

template <auto Member, class... Args>
void delay_one(fuse_lowlevel_ops& ops, void (*fuse_lowlevel_ops::*)(Args...)) {
  ops.*Member = wait_first<Member, Args...>;
}

template <auto... Members>
fuse_lowlevel_ops delayed() {
  handlers = make_handlers();
  fuse_lowlevel_ops ops = handlers;
  (delay_one<Members>(ops, Members), ...);
  return ops;
}

using Ops = fuse_lowlevel_ops;

// All but FORGET, which nobody waits for, and INIT.
fuse_lowlevel_ops delayed_handlers() {
  return delayed<&Ops::lookup, &Ops::getattr, &Ops::statx, &Ops::setattr, &Ops::access,
                 &Ops::readlink, &Ops::statfs, &Ops::mknod, &Ops::mkdir, &Ops::symlink, &Ops::link,
                 &Ops::unlink, &Ops::rmdir, &Ops::rename, &Ops::opendir, &Ops::readdir,
                 &Ops::readdirplus, &Ops::open, &Ops::create, &Ops::tmpfile, &Ops::read,
                 &Ops::write, &Ops::fallocate, &Ops::copy_file_range, &Ops::lseek, &Ops::fsync,
                 &Ops::getxattr, &Ops::listxattr, &Ops::setxattr, &Ops::removexattr>();
}

int fail(const std::string& line, int status) {
  fmt::print(stderr, "delayfs: {}\n", line);
  return status;
}

// Returns options, or the status to exit with.
std::optional<Options> parse(int argc, char** argv, int& status) {
  Options options;
  std::string time = "1ms";
  CLI::App app{"Mounts a directory that takes its time to answer.\n", "delayfs"};
  app.add_option("SOURCE", options.source, "directory to mount")->required();
  app.add_option("MOUNTPOINT", options.mountpoint, "where it appears")->required();
  app.add_option("--delay", time, "for each request: 500ms, 1s, ...")->capture_default_str();
  app.add_option("--threads", options.threads, "requests that wait at the same time")
      ->check(CLI::Range(1, 1024));
  app.add_flag("-f,--foreground", options.foreground, "stay in the foreground");
  options.threads = 64;
  status = kExitUsage;
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", app.help());
    status = 0;
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    fail(error.what(), status);
    return std::nullopt;
  }
  const auto wait = parse_duration(time);
  if (!wait) {
    fail(fmt::format("--delay={}: not a time; write it as 5ms or 1s", time), status);
    return std::nullopt;
  }
  delay = *wait;
  if (const auto complaint = check_paths(options.source, options.mountpoint)) {
    fail(*complaint, status);
    return std::nullopt;
  }
  options.entry_timeout = options.attr_timeout = options.negative_timeout = {};
  options.cache_ttl = std::chrono::milliseconds(0);
  options.transport = Transport::kFd;
  options.passthrough = false;
  return options;
}

}  // namespace
}  // namespace evenfs

int main(int argc, char** argv) {
  int status = 0;
  const std::optional<evenfs::Options> options = evenfs::parse(argc, argv, status);
  if (!options) return status;
  evenfs::log_to_stderr(false);
  evenfs::Result<evenfs::Launcher> launcher = evenfs::Launcher::launch(options->foreground);
  if (!launcher) {
    return evenfs::fail(fmt::format("cannot start: {}", std::strerror(launcher.error().code())),
                        evenfs::kExitFailure);
  }
  return evenfs::run_session(*options, *launcher, evenfs::delayed_handlers());
}
