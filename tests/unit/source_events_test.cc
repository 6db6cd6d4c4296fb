// SPDX-License-Identifier: LGPL-2.1-or-later
// What is read of the kernel's events: each kind in its form, several at once, and buffers that end too early
// or claim more than there is, of which nothing may be read beyond the end.
#include "core/store/source_events.h"

#include <gtest/gtest.h>
#include <sys/fanotify.h>

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/support/event_bytes.h"

namespace evenfs::local {
namespace {

using test::append;
using test::event_bytes;
using test::event_record;
using Buffer = test::EventBytes;

// With nothing behind it that could be read without notice.
std::vector<SourceEvent> parsed(const Buffer& bytes, std::unique_ptr<std::byte[]>& memory) {
  memory = std::make_unique<std::byte[]>(bytes.size());
  std::memcpy(memory.get(), bytes.data(), bytes.size());
  SourceEvents events({memory.get(), bytes.size()});
  std::vector<SourceEvent> out;
  for (SourceEvent one; events.next(one);) out.push_back(one);
  return out;
}

std::string text(const HandleView& handle) {
  return {reinterpret_cast<const char*>(handle.bytes.data()), handle.bytes.size()};
}

constexpr std::uint8_t kFid = FAN_EVENT_INFO_TYPE_FID;
constexpr std::uint8_t kName = FAN_EVENT_INFO_TYPE_DFID_NAME;
constexpr std::uint8_t kOld = FAN_EVENT_INFO_TYPE_OLD_DFID_NAME;
constexpr std::uint8_t kNew = FAN_EVENT_INFO_TYPE_NEW_DFID_NAME;

TEST(SourceEvents, EachKindSaysWhatHappened) {
  std::unique_ptr<std::byte[]> memory;
  Buffer bytes = event_bytes(
      FAN_CREATE, 7, {event_record(kName, "directory", "name"), event_record(kFid, "object")});
  for (const Buffer& more :
       {event_bytes(FAN_DELETE | FAN_ONDIR, 8,
                    {event_record(kName, "directory", "gone"), event_record(kFid, "o")}),
        event_bytes(FAN_RENAME, 9,
                    {event_record(kOld, "from", "a"), event_record(kNew, "to", "b"),
                     event_record(kFid, "object")}),
        event_bytes(FAN_RENAME, 9, {event_record(kNew, "to", "b")}),
        event_bytes(FAN_ATTRIB | FAN_ONDIR, 10, {event_record(kName, "directory", ".")}),
        event_bytes(FAN_MODIFY | FAN_CLOSE_WRITE, 0,
                    {event_record(kName, "d", "n"), event_record(kFid, "file")})}) {
    bytes += more;
  }
  const std::vector<SourceEvent> events = parsed(bytes, memory);
  ASSERT_EQ(events.size(), 6U);
  EXPECT_EQ(events[0].what, SourceEvent::kMade);
  EXPECT_EQ(events[0].pid, 7);
  EXPECT_EQ(text(events[0].names[0].dir), "directory");
  EXPECT_EQ(events[0].names[0].dir.type, 0x81);
  EXPECT_EQ(events[0].names[0].name, "name");
  EXPECT_TRUE(events[0].names[1].dir.bytes.empty());
  EXPECT_EQ(text(events[0].object), "object");
  EXPECT_EQ(events[1].what, SourceEvent::kRemoved);
  EXPECT_EQ(events[2].what, SourceEvent::kMoved);
  EXPECT_EQ(text(events[2].names[0].dir), "from");
  EXPECT_EQ(text(events[2].names[1].dir), "to");
  EXPECT_EQ(events[2].names[1].name, "b");
  EXPECT_TRUE(events[3].names[0].dir.bytes.empty());
  EXPECT_EQ(events[3].names[1].name, "b");
  EXPECT_EQ(events[4].what, SourceEvent::kAttributes);
  EXPECT_EQ(text(events[4].object), "directory");
  EXPECT_TRUE(events[4].names[0].dir.bytes.empty());
  EXPECT_EQ(events[5].what, SourceEvent::kContent);
  EXPECT_EQ(text(events[5].object), "file");
}

TEST(SourceEvents, LostEventsAreTold) {
  std::unique_ptr<std::byte[]> memory;
  const auto events = parsed(event_bytes(FAN_Q_OVERFLOW, 0), memory);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].what, SourceEvent::kLost);
  EXPECT_TRUE(parsed({}, memory).empty());
}

// A kernel of tomorrow may say more.
TEST(SourceEvents, RecordsOfOtherKindsArePassedOver) {
  std::unique_ptr<std::byte[]> memory;
  const auto events = parsed(
      event_bytes(FAN_CREATE, 1, {event_record(99, "what is this"), event_record(kName, "d", "n")}),
      memory);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].names[0].name, "n");
}

// Whatever is wrong with it: what came before counts, and the rest is lost.
TEST(SourceEvents, WhatCannotBeReadIsLost) {
  std::unique_ptr<std::byte[]> memory;
  const Buffer good = event_bytes(FAN_CREATE, 1, {event_record(kName, "directory", "name")});
  const auto lost = [&](const Buffer& bad) {
    const Buffer bytes = good + bad;
    const auto events = parsed(bytes, memory);
    ASSERT_EQ(events.size(), 2U);
    EXPECT_EQ(events[0].what, SourceEvent::kMade);
    EXPECT_EQ(events[1].what, SourceEvent::kLost);
  };
  for (std::size_t size = 1; size < good.size(); ++size) lost(good.substr(0, size));
  const auto patched = [&](std::size_t at, auto value) {
    Buffer bytes = good;
    std::memcpy(bytes.data() + at, &value, sizeof value);
    lost(bytes);
  };
  constexpr std::size_t kHead = sizeof(fanotify_event_metadata);
  patched(offsetof(fanotify_event_metadata, event_len), std::uint32_t{0});
  patched(offsetof(fanotify_event_metadata, event_len), ~std::uint32_t{0});
  patched(offsetof(fanotify_event_metadata, vers), std::uint8_t{2});
  patched(offsetof(fanotify_event_metadata, metadata_len), std::uint16_t{0});
  patched(offsetof(fanotify_event_metadata, metadata_len), std::uint16_t{0xffff});
  patched(kHead + offsetof(fanotify_event_info_header, len), std::uint16_t{0});
  patched(kHead + offsetof(fanotify_event_info_header, len), std::uint16_t{0xffff});
  patched(kHead + sizeof(fanotify_event_info_fid), ~std::uint32_t{0});  // The handle's length.
  lost(event_bytes(FAN_CREATE, 1, {event_record(kName, "no end of its name012345")}));
}

TEST(SourceEvents, AnyBytesAreReadToTheirEnd) {
  std::mt19937 random(1);
  const Buffer good = event_bytes(
      FAN_RENAME, 1,
      {event_record(kOld, "from", "a"), event_record(kNew, "to", "b"), event_record(kFid, "o")});
  for (int i = 0; i < 20'000; ++i) {
    Buffer bytes = good + good;
    for (int flips = 0; flips < 4; ++flips) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    std::unique_ptr<std::byte[]> memory;
    const auto events = parsed(bytes, memory);
    EXPECT_LE(events.size(), 4U);
    for (const SourceEvent& one : events) {
      for (const auto& name : one.names) EXPECT_LT(name.name.size(), bytes.size());
    }
  }
}

}  // namespace
}  // namespace evenfs::local
