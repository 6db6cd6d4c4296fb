// SPDX-License-Identifier: LGPL-2.1-or-later
// nullfs MOUNTPOINT: answers lookup and getattr with constants, over the same worker loop, the
// same capabilities and the same reply path as evenfs. What a stat costs here is what the kernel
// and the transport cost; no file system behind them can be faster.
//
// There are no tables: a node's number is a hash of its path with its type in the lowest bit. A
// name that begins with 'd' is a directory, 'm' is missing, anything else is an empty file.
#include <fmt/format.h>
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "fusefs/fuse_mount.h"
#include "fusefs/launcher.h"
#include "fusefs/log.h"
#include "fusefs/option_values.h"
#include "fusefs/options.h"

namespace evenfs {
namespace {

struct NullOptions {
  std::string mountpoint;
  double entry_timeout_s = 1;
  double attr_timeout_s = 1;
  double negative_timeout_s = 1;
  unsigned threads = default_threads();
  std::optional<unsigned> files;  // Set: the files are f0, f1, ... below this number.
  Transport transport = Transport::kFd;
  bool foreground = false;
};

constexpr std::uint64_t kIsDirectory = 1;
constexpr std::uint64_t kHighBit = std::uint64_t{1} << 62;  // Keeps clear of 0 and the root's 1.

bool is_directory(fuse_ino_t ino) { return ino == FUSE_ROOT_ID || (ino & kIsDirectory) != 0; }

// FNV-1a of the name, begun with the directory's number.
fuse_ino_t number_of(fuse_ino_t parent, std::string_view name) {
  std::uint64_t hash = parent ^ 0xcbf29ce484222325;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  const std::uint64_t type = name.front() == 'd' ? kIsDirectory : 0;
  return ((hash << 1) & (kHighBit - 1)) | kHighBit | type;
}

bool exists(const NullOptions& options, std::string_view name) {
  if (name.empty() || name.front() == 'm') return false;
  if (!options.files || name.front() != 'f') return true;
  const auto number = parse_unsigned(name.substr(1));
  return number && *number < *options.files;
}

struct stat attributes(fuse_ino_t ino) {
  struct stat st {};
  st.st_ino = ino;
  st.st_mode = is_directory(ino) ? S_IFDIR | 0755 : S_IFREG | 0644;
  st.st_nlink = is_directory(ino) ? 2 : 1;
  st.st_blksize = 4096;
  return st;
}

const NullOptions& options_of(fuse_req_t req) {
  return *static_cast<const NullOptions*>(fuse_req_userdata(req));
}

// As evenfs does: a directory's attributes hold for a tick of the kernel's.
double attr_timeout_of(fuse_req_t req, fuse_ino_t ino) {
  const double wanted = options_of(req).attr_timeout_s;
  return is_directory(ino) ? std::max(wanted, 0.001) : wanted;
}

void lookup(fuse_req_t req, fuse_ino_t parent, const char* name) {
  const NullOptions& options = options_of(req);
  fuse_entry_param entry{};
  if (!exists(options, name)) {
    if (options.negative_timeout_s <= 0) {
      fuse_reply_err(req, ENOENT);
      return;
    }
    entry.entry_timeout = options.negative_timeout_s;
    fuse_reply_entry(req, &entry);
    return;
  }
  entry.ino = number_of(parent, name);
  entry.generation = 1;
  entry.attr = attributes(entry.ino);
  entry.attr_timeout = attr_timeout_of(req, entry.ino);
  entry.entry_timeout = options.entry_timeout_s;
  fuse_reply_entry(req, &entry);
}

void getattr(fuse_req_t req, fuse_ino_t ino, fuse_file_info* /*fi*/) {
  const struct stat st = attributes(ino);
  fuse_reply_attr(req, &st, attr_timeout_of(req, ino));
}

void init(void* userdata, fuse_conn_info* conn) {
  set_transport(conn, static_cast<const NullOptions*>(userdata)->transport);
}

std::optional<double> seconds_of(const std::string& text) {
  const auto duration = parse_duration(text);
  if (!duration) return std::nullopt;
  return std::chrono::duration<double>(*duration).count();
}

// Returns options, or the status to exit with.
std::optional<NullOptions> parse(int argc, char** argv, int& status) {
  NullOptions options;
  std::string entry = "1s";
  std::string attr = "1s";
  std::string negative = "1s";
  std::string transport = "fd";
  CLI::App app{"Mounts a file system of constants: the floor below which no stat can go.\n",
               "nullfs"};
  app.add_option("MOUNTPOINT", options.mountpoint, "where it appears")->required();
  app.add_option("--threads", options.threads, "threads that answer requests")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  app.add_option("--entry-timeout", entry, "as for evenfs")->capture_default_str();
  app.add_option("--attr-timeout", attr, "as for evenfs")->capture_default_str();
  app.add_option("--negative-timeout", negative, "as for evenfs")->capture_default_str();
  app.add_option("--transport", transport, "as for evenfs")->capture_default_str();
  app.add_option("--files", options.files, "only f0 to fN-1 are files; else any name is one");
  app.add_flag("-f,--foreground", options.foreground, "stay in the foreground");
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    status = 0;
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    fmt::print(stderr, "nullfs: {}\n", error.what());
    status = kExitUsage;
    return std::nullopt;
  }
  const auto entry_s = seconds_of(entry);
  const auto attr_s = seconds_of(attr);
  const auto negative_s = seconds_of(negative);
  status = kExitUsage;
  if (!entry_s || !attr_s || !negative_s) {
    fmt::print(stderr, "nullfs: not a time; write it as 500ms, 1s, 2m or in seconds\n");
    return std::nullopt;
  }
  const auto wanted = parse_transport(transport);
  if (!wanted) {
    fmt::print(stderr, "nullfs: --transport={}: must be auto, uring or fd\n", transport);
    return std::nullopt;
  }
  options.transport = *wanted;
  options.entry_timeout_s = *entry_s;
  options.attr_timeout_s = *attr_s;
  options.negative_timeout_s = *negative_s;
  if (const auto complaint = resolve_mountpoint(options.mountpoint)) {
    fmt::print(stderr, "nullfs: {}\n", *complaint);
    return std::nullopt;
  }
  return options;
}

int run(NullOptions& options, Launcher& launcher) {
  const EndSignals signals;
  fuse_lowlevel_ops ops{};
  ops.init = init;
  ops.lookup = lookup;
  ops.getattr = getattr;
  std::string error;
  options.transport = choose_transport(options.transport, false, error);
  if (!error.empty()) spdlog::warn("{}; using /dev/fuse", error);
  const bool uring = options.transport == Transport::kUring;
  const MountRequest request{"nullfs", options.mountpoint, "nullfs", {"default_permissions"}, false,
                             uring};
  auto mount = FuseMount::mount(request, ops, &options, error);
  if (!mount) {
    fmt::print(stderr, "nullfs: {}\n", error);
    return kExitFailure;
  }
  WorkerLoop loop(mount->session(), options.threads, [](const auto& serve) { serve(); });
  if (!loop.start()) {
    loop.stop(kStopPatience);
    mount->detach();
    fmt::print(stderr, "nullfs: cannot start {} threads\n", options.threads);
    return kExitFailure;
  }
  if (options.foreground) {
    fmt::print("nullfs: mounted on {} ({}, {} threads); end with Ctrl-C or: umount {}\n",
               options.mountpoint, uring ? "io_uring" : "/dev/fuse", options.threads,
               options.mountpoint);
    std::fflush(stdout);
  }
  launcher.ready();
  return serve_until_end(*mount, loop, signals);
}

}  // namespace
}  // namespace evenfs

int main(int argc, char** argv) {
  int status = 0;
  std::optional<evenfs::NullOptions> options = evenfs::parse(argc, argv, status);
  if (!options) return status;
  evenfs::log_to_stderr(false);
  evenfs::Result<evenfs::Launcher> launcher = evenfs::Launcher::launch(options->foreground);
  if (!launcher) {
    fmt::print(stderr, "nullfs: cannot start: {}\n", std::strerror(launcher.error().code()));
    return evenfs::kExitFailure;
  }
  return evenfs::run(*options, *launcher);
}
