// SPDX-License-Identifier: LGPL-2.1-or-later
// What stat(2) reports, who asks, and what tells one object from another. Plain values.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>

namespace evenfs {

// Seconds since the epoch and nanoseconds in 0..999,999,999.
struct Timestamp {
  std::int64_t sec = 0;
  std::uint32_t nsec = 0;
  friend constexpr auto operator<=>(const Timestamp&, const Timestamp&) = default;
};

// One version of an object's attributes, all of the same instant.
struct Attr {
  std::uint64_t ino = 0;
  std::uint64_t dev = 0;   // Device that holds the object, as st_dev.
  std::uint32_t mode = 0;  // Type and permission bits, as st_mode.
  std::uint32_t nlink = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint64_t rdev = 0;        // As st_rdev; 0 unless a device node.
  std::uint64_t size = 0;        // Bytes.
  std::uint64_t blocks = 0;      // Units of 512 bytes.
  std::uint32_t blksize = 4096;  // Bytes.
  // Not of stat: nobody tells of what others do to the object, although it has a durable number.
  bool untold = false;
  Timestamp atime, mtime, ctime, btime;  // btime is 0.0 where the store has none.
  friend bool operator==(const Attr&, const Attr&) = default;
};

// What makes an object itself, within one store: no two objects that ever lived share it.
// `generation` is the store's: it differs when an inode number is used again. With kDurable it names
// the object by itself, also to another process over the same source (Store::find).
struct Identity {
  static constexpr std::uint64_t kDurable = std::uint64_t{1} << 63;

  std::uint64_t dev = 0;
  std::uint64_t ino = 0;
  std::uint64_t generation = 0;

  static constexpr bool is_durable(std::uint64_t generation) noexcept {
    return (generation & kDurable) != 0;
  }
  friend bool operator==(const Identity&, const Identity&) = default;
};

// Who asks. `groups` are the supplementary groups where they are known; empty otherwise.
struct Cred {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t umask = 0;  // Applied by the store to what it makes, unless an ACL takes its place.
  std::span<const std::uint32_t> groups{};
};

// The attributes that a setattr changes; what is not set stays. With nothing set the time of change
// moves all the same, as by chown(-1, -1).
struct SetAttr {
  struct Time {
    bool now = false;
    Timestamp at{};
  };
  std::optional<std::uint32_t> mode;  // Permission bits (07777).
  std::optional<std::uint32_t> uid;
  std::optional<std::uint32_t> gid;
  std::optional<std::uint64_t> size;
  std::optional<Time> atime;
  std::optional<Time> mtime;
  bool clear_suid_sgid = false;  // A truncate or chown by somebody without privilege.

  bool is_nothing() const noexcept {
    return !mode && !uid && !gid && !size && !atime && !mtime && !clear_suid_sgid;
  }
};

}  // namespace evenfs
