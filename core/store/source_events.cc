// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/store/source_events.h"

#include <fcntl.h>
#include <sys/fanotify.h>

#include <cerrno>
#include <cstring>

namespace evenfs::local {
namespace {

using Bytes = std::span<const std::byte>;

constexpr std::uint64_t kContentMask = FAN_MODIFY | FAN_CLOSE_WRITE;
// That a marked directory itself was moved or removed: of that nothing else tells where the one above is not
// marked.
constexpr std::uint64_t kSelfMask = FAN_MOVE_SELF | FAN_DELETE_SELF;
constexpr std::uint64_t kMask =
    FAN_CREATE | FAN_DELETE | FAN_RENAME | FAN_ATTRIB | kContentMask | FAN_ONDIR;
constexpr std::uint64_t kDirectoryMask = kMask | kSelfMask | FAN_EVENT_ON_CHILD;

unsigned what_of(std::uint64_t mask) noexcept {
  unsigned what = 0;
  if ((mask & FAN_CREATE) != 0) what |= SourceEvent::kMade;
  if ((mask & FAN_DELETE) != 0) what |= SourceEvent::kRemoved;
  if ((mask & FAN_RENAME) != 0) what |= SourceEvent::kMoved;
  if ((mask & kContentMask) != 0) what |= SourceEvent::kContent;
  if ((mask & (FAN_ATTRIB | kSelfMask)) != 0) what |= SourceEvent::kAttributes;
  return what;
}

template <class T>
bool copy_head(Bytes from, T& into) noexcept {
  if (from.size() < sizeof(T)) return false;
  std::memcpy(&into, from.data(), sizeof(T));
  return true;
}

// The handle at the start of `bytes`, and what stands behind it.
bool take_handle(Bytes& bytes, HandleView& handle) noexcept {
  struct {
    std::uint32_t length;
    std::int32_t type;
  } head{};
  static_assert(sizeof head == sizeof(struct file_handle));
  if (!copy_head(bytes, head)) return false;
  bytes = bytes.subspan(sizeof head);
  if (head.length > bytes.size()) return false;
  handle.type = head.type;
  handle.bytes = {reinterpret_cast<const std::uint8_t*>(bytes.data()), head.length};
  bytes = bytes.subspan(head.length);
  return true;
}

bool take_name(Bytes bytes, std::string_view& name) noexcept {
  const auto* text = reinterpret_cast<const char*>(bytes.data());
  const std::size_t length = ::strnlen(text, bytes.size());
  name = {text, length};
  return length < bytes.size();
}

// Reads one record of handles into the event.
bool take_record(std::uint8_t type, Bytes record, SourceEvent& event) noexcept {
  const bool is_old = type == FAN_EVENT_INFO_TYPE_OLD_DFID_NAME;
  const bool is_new = type == FAN_EVENT_INFO_TYPE_NEW_DFID_NAME;
  const bool named = is_old || is_new || type == FAN_EVENT_INFO_TYPE_DFID_NAME;
  const bool bare = type == FAN_EVENT_INFO_TYPE_FID || type == FAN_EVENT_INFO_TYPE_DFID;
  if (!named && !bare) return true;  // Says something that nobody here asks for.
  constexpr std::size_t kBeforeHandle = sizeof(fanotify_event_info_fid);
  if (record.size() < kBeforeHandle) return false;
  record = record.subspan(kBeforeHandle);
  HandleView handle;
  if (!take_handle(record, handle)) return false;
  if (bare) {
    event.object = handle;
    return true;
  }
  std::string_view name;
  if (!take_name(record, name)) return false;
  if (name == ".") {  // The directory itself.
    event.object = handle;
  } else {
    event.names[is_new ? 1 : 0] = {handle, name};
  }
  return true;
}

}  // namespace

bool SourceEvents::parse(SourceEvent& event) noexcept {
  fanotify_event_metadata head{};
  if (!copy_head(left_, head)) return false;
  if (head.vers != FANOTIFY_METADATA_VERSION || head.event_len > left_.size() ||
      head.metadata_len < sizeof head || head.metadata_len > head.event_len) {
    return false;
  }
  event.pid = head.pid;
  event.what = (head.mask & FAN_Q_OVERFLOW) != 0 ? SourceEvent::kLost : what_of(head.mask);
  Bytes records = left_.first(head.event_len).subspan(head.metadata_len);
  left_ = left_.subspan(head.event_len);
  while (!records.empty()) {
    fanotify_event_info_header info{};
    if (!copy_head(records, info)) return false;
    if (info.len < sizeof info || info.len > records.size()) return false;
    if (!take_record(info.info_type, records.first(info.len), event)) return false;
    records = records.subspan(info.len);
  }
  return true;
}

bool SourceEvents::next(SourceEvent& event) noexcept {
  if (left_.empty()) return false;
  event = SourceEvent();
  if (parse(event)) return true;
  left_ = {};
  event = SourceEvent();
  event.what = SourceEvent::kLost;
  return true;
}

// The queue is the kernel's usual one, of bounded length.
Result<UniqueFd> open_events() noexcept {
  UniqueFd fd(
      ::fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_DFID_NAME_TARGET | FAN_CLOEXEC | FAN_NONBLOCK,
                      O_RDONLY | O_CLOEXEC));
  if (!fd) return Errno::last();
  return fd;
}

Status mark_file_system(int events, int dir) noexcept {
  if (::fanotify_mark(events, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, kMask, dir, ".") != 0) {
    return Errno::last();
  }
  return Status();
}

Status mark_directory(int events, int dir) noexcept {
  if (::fanotify_mark(events, FAN_MARK_ADD | FAN_MARK_ONLYDIR, kDirectoryMask, dir, ".") != 0) {
    return Errno::last();
  }
  return Status();
}

// Without a mark there is nothing to do.
void unmark_directory(int events, int dir) noexcept {
  (void)::fanotify_mark(events, FAN_MARK_REMOVE | FAN_MARK_ONLYDIR, kDirectoryMask, dir, ".");
}

// The older of two ways to say it: for a file they mean the same, and this one is known to all kernels.
Status ignore_writes(int events, int file) noexcept {
  constexpr unsigned kHow = FAN_MARK_ADD | FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY;
  if (::fanotify_mark(events, kHow, FAN_MODIFY, file, nullptr) != 0) return Errno::last();
  return Status();
}

// What must not stay: if it cannot be taken away alone, then with all others. These cost events, and no more.
void heed_writes(int events, int file) noexcept {
  constexpr unsigned kHow = FAN_MARK_REMOVE | FAN_MARK_IGNORED_MASK;
  if (::fanotify_mark(events, kHow, FAN_MODIFY, file, nullptr) == 0 || errno == ENOENT) return;
  (void)::fanotify_mark(events, FAN_MARK_FLUSH, 0, AT_FDCWD, nullptr);
}

}  // namespace evenfs::local
