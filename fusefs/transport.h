// SPDX-License-Identifier: LGPL-2.1-or-later
// How requests come from the kernel.
//
//   fd     Threads of ours read /dev/fuse (worker_loop.h). Two system calls and a wake-up for each request;
//          any thread takes any request, so a slow one delays its caller only.
//   uring  FUSE over io_uring: a ring for each processor, with a thread of libfuse's bound to it. About half
//          the price of a request, since it is answered where it was asked. But that thread answers one request
//          after the other, so one that waits for the source delays all that are asked there, hits too.
//          With libfuse 3.18 nobody else may answer: a reply from another thread can be submitted half
//          filled (libfuse issue 1443).
//
// Hence `auto`: uring where the kernel has it and the source is a local file system.
#pragma once

#include <fuse_lowlevel.h>

#include <optional>
#include <string>
#include <string_view>

namespace evenfs {

enum class Transport { kAuto, kUring, kFd };

// "auto", "uring", "fd".
std::string_view transport_name(Transport transport) noexcept;
std::optional<Transport> parse_transport(std::string_view text) noexcept;

// Requests that each ring can hold. More cost memory only, 1 MiB each where large ones come.
inline constexpr unsigned kRingDepth = 8;

// One line that says what is in the way of rings, with what to do about it; nothing if nothing is.
std::optional<std::string> uring_obstacle();

// What `wanted` comes to on this system: kUring or kFd, never kAuto. `slow_source`: calls of the source may
// take long. If somebody asked for rings and cannot have them, `note` says why.
Transport choose_transport(Transport wanted, bool slow_source, std::string& note);

// The capabilities and limits that evenfs and nullfs share: the transport is the same for both. For init.
void set_transport(fuse_conn_info* conn, Transport transport);

}  // namespace evenfs
