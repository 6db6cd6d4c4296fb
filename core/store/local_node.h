// SPDX-License-Identifier: LGPL-2.1-or-later
// How the local store writes an object into the 16 bytes of a Node.
//
//   byte   0          1            2..3                4..7         8..15
//   inline kind|len   handle type  S_IFMT:4|mount:12   handle bytes 0..11
//   heap   kind       0            S_IFMT:4|0          0            pointer to HeapHandle
//   named  kind       0            S_IFMT:4|0          0            pointer to NamedNode
//
// The type of an object never changes, so keeping it here saves a system call where only the
// type is asked. No Node is all zero: that means none.
#pragma once

#include <sys/stat.h>

#include <bit>
#include <cstdint>
#include <cstring>

#include "core/store/local_sys.h"
#include "core/store/store.h"

namespace evenfs::local {

enum class NodeKind : std::uint8_t { kNone = 0, kInline = 1, kHeap = 2, kNamed = 3 };

inline constexpr std::size_t kInlineBytes = 12;
inline constexpr std::uint16_t kMountMask = 0x0fff;

struct NodeBytes {
  std::uint8_t kind_and_length = 0;
  std::uint8_t handle_type = 0;
  std::uint16_t type_and_mount = 0;
  std::uint8_t bytes[kInlineBytes] = {};
};
static_assert(sizeof(NodeBytes) == sizeof(Node));

inline NodeBytes unpack(const Node& node) noexcept { return std::bit_cast<NodeBytes>(node); }

inline NodeKind kind_of(const Node& node) noexcept {
  return static_cast<NodeKind>(unpack(node).kind_and_length >> 4);
}
// As in st_mode, without permissions.
inline std::uint32_t type_of(const Node& node) noexcept {
  return static_cast<std::uint32_t>(unpack(node).type_and_mount & ~kMountMask);
}
inline bool same_node(const Node& a, const Node& b) noexcept {
  return a.words[0] == b.words[0] && a.words[1] == b.words[1];
}

inline bool fits_inline(const FileHandle& handle) noexcept {
  return handle.length <= kInlineBytes && handle.type >= 0 && handle.type <= 0xff;
}

// REQUIRES: fits_inline(handle).
inline Node inline_node(const FileHandle& handle, std::uint32_t mode,
                        std::uint16_t mount) noexcept {
  NodeBytes packed;
  packed.kind_and_length =
      static_cast<std::uint8_t>((static_cast<unsigned>(NodeKind::kInline) << 4) | handle.length);
  packed.handle_type = static_cast<std::uint8_t>(handle.type);
  packed.type_and_mount = static_cast<std::uint16_t>((mode & S_IFMT) | mount);
  std::memcpy(packed.bytes, handle.bytes.data(), handle.length);
  return std::bit_cast<Node>(packed);
}

inline FileHandle inline_handle(const Node& node) noexcept {
  const NodeBytes packed = unpack(node);
  FileHandle handle;
  handle.length = packed.kind_and_length & 0x0fU;
  handle.type = packed.handle_type;
  std::memcpy(handle.bytes.data(), packed.bytes, kInlineBytes);
  return handle;
}
inline std::uint16_t inline_mount(const Node& node) noexcept {
  return unpack(node).type_and_mount & kMountMask;
}

inline Node pointer_node(NodeKind kind, const void* object, std::uint32_t mode) noexcept {
  NodeBytes packed;
  packed.kind_and_length = static_cast<std::uint8_t>(static_cast<unsigned>(kind) << 4);
  packed.type_and_mount = static_cast<std::uint16_t>(mode & S_IFMT);
  Node node = std::bit_cast<Node>(packed);
  node.words[1] = reinterpret_cast<std::uintptr_t>(object);
  return node;
}
template <class T>
T& pointed(const Node& node) noexcept {
  return *reinterpret_cast<T*>(static_cast<std::uintptr_t>(node.words[1]));
}

}  // namespace evenfs::local
