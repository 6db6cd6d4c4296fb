// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fusefs/transport.h"

#include <fmt/format.h>
#include <linux/io_uring.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "core/base/unique_fd.h"
#include "fusefs/worker_loop.h"

namespace evenfs {
namespace {

constexpr const char* kSwitch = "/sys/module/fuse/parameters/enable_uring";

// The errno that refuses a ring of the kind that libfuse makes: sysctl and seccomp may, where the kernel
// has them.
int ring_error() {
  io_uring_params params{};
  params.flags = IORING_SETUP_SQE128;
  const long fd = ::syscall(SYS_io_uring_setup, 1, &params);
  if (fd < 0) return errno;
  UniqueFd(static_cast<int>(fd)).reset();
  return 0;
}

}  // namespace

std::string_view transport_name(Transport transport) noexcept {
  switch (transport) {
    case Transport::kAuto:
      return "auto";
    case Transport::kUring:
      return "uring";
    case Transport::kFd:
      return "fd";
  }
  return "";
}

std::optional<Transport> parse_transport(std::string_view text) noexcept {
  for (const Transport one : {Transport::kAuto, Transport::kUring, Transport::kFd}) {
    if (transport_name(one) == text) return one;
  }
  return std::nullopt;
}

std::optional<std::string> uring_obstacle() {
  std::ifstream file(kSwitch);
  char value = 0;
  if (!(file >> value)) return "this kernel has no FUSE over io_uring (Linux 6.14 brought it)";
  if (value != 'Y')
    return fmt::format("FUSE over io_uring is off; to turn it on: echo Y > {}", kSwitch);
  if (const int error = ring_error()) {
    return fmt::format("io_uring is not to be had here: {}", std::strerror(error));
  }
  return std::nullopt;
}

Transport choose_transport(Transport wanted, bool slow_source, std::string& note) {
  if (wanted == Transport::kFd || (wanted == Transport::kAuto && slow_source))
    return Transport::kFd;
  const std::optional<std::string> obstacle = uring_obstacle();
  if (!obstacle) return Transport::kUring;
  if (wanted == Transport::kUring) note = *obstacle;
  return Transport::kFd;
}

void set_transport(fuse_conn_info* conn, Transport transport) {
  // Lookups and listings in one directory at the same time.
  fuse_set_feature_flag(conn, FUSE_CAP_PARALLEL_DIROPS);
  // A request that came through a pipe costs one more system call, and replies do not gain.
  fuse_unset_feature_flag(conn,
                          FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
  // libfuse wants it by itself, and takes the environment's word for it (FUSE_URING_ENABLE).
  if (transport != Transport::kUring) fuse_unset_feature_flag(conn, FUSE_CAP_OVER_IO_URING);
  // Saves a lock of the session for each request. In return no request can be interrupted: a
  // program that gets a signal while it waits for us waits for the answer first. No handler waits
  // for anything but the source, and a system call on a local disk cannot be interrupted either.
  conn->no_interrupt = 1;
  conn->max_write = std::min<unsigned>(conn->max_write, kWriteBytesMax);
  // RELEASE, readahead and asynchronous reads and writes: the default of 12 makes them queue.
  conn->max_background = 1024;
  conn->congestion_threshold = 768;
}

}  // namespace evenfs
