// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fusefs/fuse_mount.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <utility>

#include "fusefs/log.h"
#include "fusefs/options.h"
#include "fusefs/write_back.h"

namespace evenfs {
namespace {

// Commas and backslashes would divide the list of options.
std::string escape(std::string_view value) {
  std::string escaped;
  for (const char c : value) {
    if (c == ',' || c == '\\') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

bool names(const std::vector<std::string>& options, std::string_view prefix) {
  for (const std::string& option : options) {
    if (option.starts_with(prefix)) return true;
  }
  return false;
}

std::string option_list(const MountRequest& request) {
  std::string list;
  const auto add = [&](const std::string& option) {
    if (!list.empty()) list += ',';
    list += escape(option);
  };
  if (!names(request.options, "fsname=")) add("fsname=" + request.source);
  if (!names(request.options, "subtype=")) add("subtype=" + request.subtype);
  for (const std::string& option : request.options) add(option);
  if (request.uring) {
    add("io_uring");
    add(fmt::format("io_uring_q_depth={}", kRingDepth));
  }
  if (request.debug) add("debug");
  return list;
}

}  // namespace

std::unique_ptr<FuseMount> FuseMount::mount(const MountRequest& request,
                                            const fuse_lowlevel_ops& ops, void* userdata,
                                            std::string& error) {
  const FuseMessages messages;
  std::string program = request.subtype;
  std::string flag = "-o";
  std::string list = option_list(request);
  std::array<char*, 3> arguments = {program.data(), flag.data(), list.data()};
  fuse_args args = FUSE_ARGS_INIT(static_cast<int>(arguments.size()), arguments.data());
  fuse_session* session = fuse_session_new(&args, &ops, sizeof(ops), userdata);
  fuse_opt_free_args(&args);
  if (session == nullptr) {
    error = fmt::format("cannot mount: {}", messages.last("libfuse refused the options"));
    return nullptr;
  }
  std::unique_ptr<FuseMount> mount(new FuseMount(session));
  if (fuse_session_mount(session, request.mountpoint.c_str()) != 0) {
    error = fmt::format("cannot mount on {}: {}", request.mountpoint,
                        messages.last("the system refused"));
    return nullptr;
  }
  mount->point_ = MountPoint::on(request.mountpoint);
  if (!mount->point_) spdlog::warn("this system does not number mounts; unmount by hand");
  return mount;
}

FuseMount::~FuseMount() {
  // Rings, if there are any, are ended by libfuse's own loop only, here without a turn of it.
  fuse_session_exit(session_);
  fuse_session_loop(session_);
  fuse_session_destroy(session_);
}

bool FuseMount::detach() const {
  if (!point_) return true;
  // The device reports an error once the kernel has given up the connection.
  pollfd device{fuse_session_fd(session_), 0, 0};
  const bool dead = ::poll(&device, 1, 0) == 1 && (device.revents & POLLERR) != 0;
  return point_->detach(!dead);
}

EndSignals::EndSignals() {
  sigset_t all;
  sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  sigset_t wanted;
  sigemptyset(&wanted);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&wanted, signal);
  signals_.reset(::signalfd(-1, &wanted, SFD_CLOEXEC));
}

bool EndSignals::wait(int other) const {
  std::array<pollfd, 2> watched = {pollfd{signals_.get(), POLLIN, 0}, pollfd{other, POLLIN, 0}};
  while (::poll(watched.data(), watched.size(), -1) < 0 && errno == EINTR) {
  }
  if (watched[0].revents == 0) return false;
  signalfd_siginfo info{};
  [[maybe_unused]] const ssize_t got = ::read(signals_.get(), &info, sizeof(info));
  return true;
}

int serve_until_end(const FuseMount& mount, WorkerLoop& loop, const EndSignals& signals,
                    const std::function<bool()>& before_stop) {
  // On a signal the mount is taken away while the threads still answer: the kernel may have
  // pages to write back, and then tells us to end by itself if nobody uses the mount any more.
  bool detached = true;
  if (signals.wait(loop.ended_fd())) {
    UniqueFd root = mount.root();
    detached = mount.detach();
    if (root) write_back(std::move(root), loop, fuse_session_fd(mount.session()), kStopPatience);
  }
  if ((before_stop && !before_stop()) || !loop.stop(kStopPatience)) {
    spdlog::error("{} requests do not come back from the source; ending without them",
                  loop.in_flight());
    mount.detach();
    ::_exit(kExitFailure);
  }
  // After an abort the mount is still there, though nobody answers it.
  detached = mount.detach() && detached;
  if (!detached) spdlog::error("the mount could not be removed");
  if (loop.failed()) spdlog::error("reading requests failed");
  return detached && !loop.failed() ? 0 : kExitFailure;
}

}  // namespace evenfs
