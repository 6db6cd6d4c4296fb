// SPDX-License-Identifier: LGPL-2.1-or-later
// FUSE messages as bytes: what a kernel sends (Message) and what comes back (Answer). Nothing here knows
// what a request means, so a test can say what no kernel would.
#pragma once

#include <linux/fuse.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "core/base/assert.h"

namespace evenfs::test {

// By number: headers of older kernels do not have them.
inline constexpr std::uint32_t kOpSyncfs = 50;
inline constexpr std::uint32_t kOpTmpfile = 51;
inline constexpr std::uint32_t kOpStatx = 52;
inline constexpr std::uint32_t kOpCopyFileRange64 = 53;

struct StatxIn {
  std::uint32_t getattr_flags = 0;
  std::uint32_t reserved = 0;
  std::uint64_t fh = 0;
  std::uint32_t sx_flags = 0;
  std::uint32_t sx_mask = 0;
};

// The beginning of the answer to STATX, as far as tests look.
struct StatxOut {
  std::uint64_t attr_valid = 0;
  std::uint32_t attr_valid_nsec = 0;
  std::uint32_t flags = 0;
  std::uint64_t spare[2] = {};
  std::uint32_t mask = 0;
  std::uint32_t blksize = 0;
  std::uint64_t attributes = 0;
  std::uint32_t nlink = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint16_t mode = 0;
  std::uint16_t spare0 = 0;
  std::uint64_t ino = 0;
  std::uint64_t size = 0;
};
inline constexpr std::size_t kStatxOutBytes = 288;

// A request: the header, and a body that is made of parts.
class Message {
 public:
  Message(std::uint32_t opcode, std::uint64_t node) {
    header.opcode = opcode;
    header.nodeid = node;
  }

  template <class T>
  Message& add(const T& part) {
    static_assert(std::is_trivially_copyable_v<T>);
    return add_bytes(std::as_bytes(std::span(&part, 1)));
  }
  // With the zero byte that ends a name.
  Message& name(std::string_view text) {
    add_bytes(std::as_bytes(std::span(text)));
    body.push_back(std::byte{0});
    return *this;
  }
  Message& text(std::string_view bytes) { return add_bytes(std::as_bytes(std::span(bytes))); }
  // Not inlined, for GCC 12's sake, which warns of writes that no path leads to.
  Message& add_bytes(std::span<const std::byte> bytes);
  // Leaves `bytes` of the body, as if the rest had not been sent.
  Message& cut(std::size_t bytes) {
    body.resize(std::min(bytes, body.size()));
    return *this;
  }

  fuse_in_header
      header{};  // `len` and `unique` are filled in when the message is sent, if they are 0.
  std::vector<std::byte> body;

 private:
  static_assert(sizeof(fuse_in_header) == 40);
};

// What came back for one request.
struct Answer {
  bool came = false;  // False: there was no answer, or it was refused.
  int error = 0;      // A positive errno; 0 is success.
  std::vector<std::byte> body;

  bool ok() const { return came && error == 0; }
  // The structure at `at`. REQUIRES: the body is that long; ask fits() before.
  template <class T>
  T get(std::size_t at = 0) const {
    EVENFS_CHECK(at + sizeof(T) <= body.size());
    T value;
    std::memcpy(&value, body.data() + at, sizeof(T));
    return value;
  }
  std::string_view text() const {
    return {reinterpret_cast<const char*>(body.data()), body.size()};
  }
};

// One name of a READDIR's or READDIRPLUS's answer.
struct Listed {
  std::string_view name;
  std::uint64_t ino = 0;
  std::uint64_t next = 0;
  std::uint32_t type = 0;
  std::uint64_t nodeid = 0;  // 0: nothing was counted.
};

// Valid while `answer` is. Aborts on a listing that is not well formed.
std::vector<Listed> parse_listing(const Answer& answer, bool plus);

}  // namespace evenfs::test
