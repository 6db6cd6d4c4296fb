// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/store/local_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <limits>

#include "core/store/local_sys.h"

namespace evenfs {
namespace {

// What getdents64 writes; the C library's type of this name has a longer array at its end.
struct RawEntry {
  std::uint64_t ino;
  std::int64_t next;
  std::uint16_t length;  // Bytes from this entry to the one behind it.
  std::uint8_t type;
};
constexpr std::size_t kNameOffset = 19;  // Behind `type`, without padding.

// Repeats `call` while it is interrupted. `call` returns -1 and errno on failure.
template <class Call>
auto retry(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

template <class Call>
Status status_of(Call call) {
  return retry(call) < 0 ? Status(Errno::last()) : Status();
}

bool fits(std::uint64_t offset) noexcept {
  return offset <= static_cast<std::uint64_t>(std::numeric_limits<off_t>::max());
}

}  // namespace

Result<std::size_t> LocalFile::read(std::span<std::byte> into, std::uint64_t offset) {
  std::size_t done = 0;
  while (done < into.size()) {
    if (!fits(offset + done)) return Errno(EINVAL);
    const ssize_t got = retry([&] {
      return ::pread(fd_.get(), into.data() + done, into.size() - done,
                     static_cast<off_t>(offset + done));
    });
    if (got < 0 && done == 0) return Errno::last();
    if (got <= 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

Result<std::size_t> LocalFile::write(std::span<const std::byte> from, std::uint64_t offset) {
  std::size_t done = 0;
  while (done < from.size()) {
    if (!fits(offset + done)) return Errno(EFBIG);
    const ssize_t put = retry([&] {
      return ::pwrite(fd_.get(), from.data() + done, from.size() - done,
                      static_cast<off_t>(offset + done));
    });
    if (put < 0 && done == 0) return Errno::last();
    if (put <= 0) break;  // The caller learns the reason when it writes the rest.
    done += static_cast<std::size_t>(put);
  }
  return done;
}

Status LocalFile::fsync(bool data_only) {
  return status_of([&] { return data_only ? ::fdatasync(fd_.get()) : ::fsync(fd_.get()); });
}

Status LocalFile::flush() {
  const int twin = ::fcntl(fd_.get(), F_DUPFD_CLOEXEC, 0);
  if (twin < 0) return Errno::last();
  // Closed even when it fails; EINTR says nothing about the data.
  if (::close(twin) != 0 && errno != EINTR) return Errno::last();
  return Status();
}

Status LocalFile::fallocate(int mode, std::uint64_t offset, std::uint64_t length) {
  if (!fits(offset) || !fits(length)) return Errno(EFBIG);
  return status_of([&] {
    return ::fallocate(fd_.get(), mode, static_cast<off_t>(offset), static_cast<off_t>(length));
  });
}

Result<std::uint64_t> LocalFile::lseek(std::uint64_t offset, int whence) {
  if (whence != SEEK_DATA && whence != SEEK_HOLE) return Errno(EINVAL);
  if (!fits(offset)) return Errno(ENXIO);
  // Moves the descriptor's own offset, which nothing here uses.
  const off_t at = ::lseek(fd_.get(), static_cast<off_t>(offset), whence);
  if (at < 0) return Errno::last();
  return static_cast<std::uint64_t>(at);
}

Result<std::size_t> LocalFile::copy_range(std::uint64_t offset, File& to, std::uint64_t to_offset,
                                          std::size_t length) {
  if (to.fd() < 0) return Errno(EXDEV);
  if (!fits(offset) || !fits(to_offset)) return Errno(EINVAL);
  auto in = static_cast<off64_t>(offset);
  auto out = static_cast<off64_t>(to_offset);
  const ssize_t copied =
      retry([&] { return ::copy_file_range(fd_.get(), &in, to.fd(), &out, length, 0); });
  if (copied < 0) return Errno::last();
  return static_cast<std::size_t>(copied);
}

Status LocalDirectory::seek(std::uint64_t cookie) {
  if (!fits(cookie)) return Errno(EINVAL);
  if (::lseek(fd_.get(), static_cast<off_t>(cookie), SEEK_SET) < 0) return Errno::last();
  begin_ = end_ = 0;
  next_cookie_ = cookie;
  return Status();
}

Result<bool> LocalDirectory::fill() {
  if (buffer_.empty()) buffer_.resize(kBufferBytes);
  const long got =
      retry([&] { return ::syscall(SYS_getdents64, fd_.get(), buffer_.data(), buffer_.size()); });
  if (got < 0 && errno == ENOENT) return false;  // Removed: nothing is left in it.
  if (got < 0) return Errno::last();
  begin_ = 0;
  end_ = static_cast<std::size_t>(got);
  return got > 0;
}

Status LocalDirectory::read(std::uint64_t cookie,
                            const std::function<bool(const DirEntry&)>& visit) {
  const bool goes_on = cookie == next_cookie_ && cookie != 0;
  if (!goes_on) {
    if (const Status status = seek(cookie); !status) return status;
  }
  for (;;) {
    if (begin_ == end_) {
      const Result<bool> more = fill();
      if (!more) return more.error();
      if (!*more) return Status();
    }
    RawEntry raw;
    std::memcpy(&raw, buffer_.data() + begin_, kNameOffset);
    const char* name = reinterpret_cast<const char*>(buffer_.data() + begin_ + kNameOffset);
    DirEntry entry;
    entry.name = std::string_view(name);
    entry.ino = raw.ino;
    entry.type = raw.type == DT_UNKNOWN ? 0 : static_cast<std::uint32_t>(DTTOIF(raw.type));
    entry.next = static_cast<std::uint64_t>(raw.next);
    if (!visit(entry)) return Status();
    begin_ += raw.length;
    next_cookie_ = entry.next;
  }
}

Result<Attr> LocalDirectory::getattr() {
  const Result<local::Seen> seen = local::look_at(fd_.get(), false);
  if (!seen) return seen.error();
  return local::attr_of(seen->stat);
}

Status LocalDirectory::fsync(bool data_only) {
  return status_of([&] { return data_only ? ::fdatasync(fd_.get()) : ::fsync(fd_.get()); });
}

}  // namespace evenfs
