// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fusefs/caller.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <sstream>
#include <string>
#include <utility>

#include "core/base/unique_fd.h"

namespace evenfs {
namespace {

constexpr std::array<long, 4> kChowns = {
#ifdef SYS_chown
    SYS_chown, SYS_lchown,
#endif
    SYS_fchown, SYS_fchownat};

std::string proc_path(pid_t thread, const char* what) {
  return fmt::format("/proc/{}/{}", thread, what);
}

// Empty if we may not read it.
std::string content_of(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  std::array<char, 4096> part;
  while (fd) {
    const ssize_t got = ::read(fd.get(), part.data(), part.size());
    if (got <= 0) break;
    text.append(part.data(), static_cast<std::size_t>(got));
  }
  return text;
}

// A stream takes a want of memory for the end of what it reads, unless it is told to pass the exception on;
// and who is not seen in full could be taken for somebody who may more.
std::istringstream words_of(std::string text) {
  std::istringstream words(std::move(text));
  words.exceptions(std::ios::badbit);
  return words;
}

// The fourth of the ids in a line of /proc/PID/status is the one for files.
bool is_for_files(std::istringstream& words, std::uint32_t id) {
  std::uint32_t last = 0;
  for (int n = 0; n < 4; ++n) words >> last;
  return words && last == id;
}

// Threads that the kernel made (PF_IO_WORKER, PF_USER_WORKER, PF_KTHREAD), by /proc/PID/stat: they act for
// others, and show what they were made with.
bool is_worker(pid_t thread) {
  constexpr std::uint64_t kWorkers = 0x10 | 0x4000 | 0x200000;
  const std::string text = content_of(proc_path(thread, "stat"));
  std::istringstream words = words_of(text.substr(std::min(text.rfind(')') + 1, text.size())));
  std::string skipped;
  for (int n = 0; n < 6; ++n) words >> skipped;
  std::uint64_t flags = 0;
  return words >> flags && (flags & kWorkers) != 0;
}

}  // namespace

Caller::Caller(Request& r)
    : r_(r), uid_(r.maker().uid), gid_(r.maker().gid), thread_(fuse_req_ctx(r.req)->pid) {
  look();
}

// By lines: the first has the thread's name, in which it may have written anything but a newline.
void Caller::look() {
  std::istringstream status = words_of(content_of(proc_path(thread_, "status")));
  std::string line;
  bool same_uid = false;
  bool same_gid = false;
  while (std::getline(status, line)) {
    std::istringstream words = words_of(line);
    std::string key;
    words >> key;
    if (key == "Uid:") same_uid = is_for_files(words, uid_);
    if (key == "Gid:") same_gid = is_for_files(words, gid_);
    if (key != "CapEff:" || !(words >> std::hex >> effective_)) continue;
    const bool caller = same_uid && same_gid && !is_worker(thread_);
    shown_ = caller ? Shown::kCaller : Shown::kAnother;
    return;
  }
}

bool Caller::has(unsigned capability) const {
  return shown_ == Shown::kCaller ? (effective_ >> capability & 1U) != 0 : uid_ == 0;
}

// Seen by those who may trace the caller only.
std::optional<bool> Caller::is_of_our_user_namespace() const {
  struct stat theirs {};
  struct stat ours {};
  if (::stat("/proc/self/ns/user", &ours) != 0) return std::nullopt;
  if (::stat(proc_path(thread_, "ns/user").c_str(), &theirs) != 0) return std::nullopt;
  return theirs.st_ino == ours.st_ino && theirs.st_dev == ours.st_dev;
}

// Of another namespace the map says which of our ids it knows; of ours, which of the one around it. One
// that has the same map as ours knows the same, if it cannot be told from ours.
bool Caller::knows(const char* map, std::uint32_t id) const {
  if (shown_ != Shown::kCaller || is_of_our_user_namespace().value_or(false)) return true;
  const std::string text = content_of(proc_path(thread_, map));
  if (!text.empty() && text == content_of(proc_path(::getpid(), map))) return true;
  std::istringstream lines = words_of(text);
  std::uint64_t inside = 0, outside = 0, count = 0;
  while (lines >> inside >> outside >> count) {
    if (id >= outside && id - outside < count) return true;
  }
  return false;
}

Cred Caller::cred() const { return shown_ == Shown::kAnother ? r_.maker() : r_.cred_with_groups(); }

bool Caller::has_fsetid() const {
  return shown_ != Shown::kAnother && has(CAP_FSETID) &&
         (shown_ == Shown::kNothing || is_of_our_user_namespace().value_or(false));
}

bool Caller::has_fsetid_over(const Attr& attr) const {
  return shown_ != Shown::kAnother && has(CAP_FSETID) && knows("uid_map", attr.uid) &&
         knows("gid_map", attr.gid);
}

bool Caller::may_chmod(const Attr& attr) const {
  return uid_ == attr.uid || (has(CAP_FOWNER) && knows("uid_map", attr.uid));
}

// The file has the number of the call, its six arguments, stack pointer and program counter. A program
// with 32 bits has numbers of its own, and its stack below 4 GiB.
bool Caller::is_in_chown() const {
  constexpr int kTries = 50;
  constexpr useconds_t kPauseUs = 20;
  if (thread_ == 0) return false;
  for (int tries = 0; tries < kTries; ++tries) {
    std::istringstream words = words_of(content_of(proc_path(thread_, "syscall")));
    if (words.view().empty()) return false;  // We may not see it.
    long number = -1;
    if (words >> number) {
      std::array<std::uint64_t, 7> rest{};
      for (std::uint64_t& word : rest) words >> std::hex >> word;
      return words && rest.back() >> 32U != 0 && std::ranges::count(kChowns, number) != 0;
    }
    ::usleep(kPauseUs);  // "running": it has sent the request, and is about to wait for us.
  }
  return false;
}

}  // namespace evenfs
