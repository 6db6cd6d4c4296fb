// SPDX-License-Identifier: LGPL-2.1-or-later
// Events as the kernel writes them, for those who read them.
#pragma once

#include <sys/fanotify.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace evenfs::test {

using EventBytes = std::string;

template <class T>
void append(EventBytes& to, const T& value) {
  to.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// A record of a handle of `bytes`, with a name if there is one.
inline EventBytes event_record(std::uint8_t type, const std::string& bytes,
                               const char* name = nullptr) {
  EventBytes out;
  fanotify_event_info_fid info{};
  info.hdr.info_type = type;
  append(out, info);
  append(out, static_cast<std::uint32_t>(bytes.size()));
  append(out, std::int32_t{0x81});
  out += bytes;
  if (name != nullptr) out.append(name, std::strlen(name) + 1);
  while (out.size() % 4 != 0) out += '\0';
  const auto length = static_cast<std::uint16_t>(out.size());
  std::memcpy(out.data() + offsetof(fanotify_event_info_header, len), &length, sizeof length);
  return out;
}

inline EventBytes event_bytes(std::uint64_t mask, std::int32_t pid,
                              const std::vector<EventBytes>& records = {}) {
  fanotify_event_metadata head{};
  head.vers = FANOTIFY_METADATA_VERSION;
  head.metadata_len = sizeof head;
  head.mask = mask;
  head.fd = FAN_NOFD;
  head.pid = pid;
  std::size_t length = sizeof head;
  for (const EventBytes& one : records) length += one.size();
  head.event_len = static_cast<std::uint32_t>(length);
  EventBytes out;
  append(out, head);
  for (const EventBytes& one : records) out += one;
  return out;
}

}  // namespace evenfs::test
