// SPDX-License-Identifier: LGPL-2.1-or-later
// How long the kernel may keep an answer where somebody tells of what others change: for long what it will be
// told of, for a moment what nobody tells of, and not at all what may be of before a change that it was told of
// already. And what follows from one event for the cache and for the kernel.
#include "fusefs/watcher.h"
#include "tests/support/protocol_fixture.h"
#include "tests/support/recorded_notices.h"
#include "tests/support/store_fixture.h"

namespace evenfs::test {
namespace {

constexpr std::uint64_t kLong = 3600;

class Watched : public ::testing::Test {
 protected:
  explicit Watched(bool durable = true, bool by_directory = false)
      : store_(behind(durable, by_directory)), kernel_(store_, settings()) {}

  MemoryStore::Options behind(bool durable, bool by_directory) {
    MemoryStore::Options options;
    options.durable = durable;
    options.by_directory = by_directory;
    options.before = [this](std::string_view operation) {
      if (before_) before_(operation);
      return Status();
    };
    return options;
  }
  static FakeKernel::Settings settings() {
    FakeKernel::Settings settings = FakeKernel::small();
    settings.entry_timeout_s = settings.attr_timeout_s = settings.negative_timeout_s = kLong;
    settings.watched = true;
    settings.cache.ttl_ticks = kWatchedTicks;
    settings.cache.unnumbered_ttl_ticks = 100;
    return settings;
  }
  void negotiate(std::uint32_t minor = 45) {
    fuse_init_in in = FakeKernel::init_of_today();
    in.minor = minor;
    ASSERT_TRUE(kernel_.ask(Message(FUSE_INIT, 0).add(in)).ok());
  }
  fuse_entry_out entry(Message message) {
    const Answer answer = kernel_.ask(std::move(message));
    EXPECT_EQ(answer.error, 0);
    return answer.ok() ? answer.get<fuse_entry_out>() : fuse_entry_out{};
  }
  NodeId id(std::uint64_t number) { return kernel_.cache().id_of_number(number); }

  std::function<void(std::string_view)> before_;
  MemoryStore store_;
  FakeKernel kernel_;
};

class Unnumbered : public Watched {
 protected:
  Unnumbered() : Watched(false) {}
};

class ByDirectory : public Watched {
 protected:
  ByDirectory() : Watched(true, true) {}
};

TEST_F(Watched, WhatIsToldOfIsKeptForLong) {
  negotiate();
  const fuse_entry_out dir = entry(request::mkdir(kRootNumber, "d"));
  EXPECT_EQ(dir.entry_valid, kLong);
  EXPECT_EQ(dir.attr_valid, kLong);
  entry(request::mknod(dir.nodeid, "f", S_IFREG | 0644));
  const fuse_entry_out file = entry(request::lookup(dir.nodeid, "f"));
  EXPECT_EQ(file.entry_valid, kLong);
  EXPECT_EQ(file.attr_valid, kLong);
  EXPECT_EQ(entry(request::lookup(dir.nodeid, "none")).entry_valid, kLong);
  EXPECT_EQ(kernel_.ask(request::getattr(file.nodeid)).get<fuse_attr_out>().attr_valid, kLong);
  EXPECT_EQ(kernel_.ask(request::getattr(kRootNumber)).get<fuse_attr_out>().attr_valid, kLong);
}

// The kernel takes them as they come, whatever it was told since it asked: they serve for what it does next.
TEST_F(Watched, AttributesAfterAChangeAreSoonAskedForAgain) {
  negotiate();
  constexpr auto kSoonNs = static_cast<std::uint32_t>(kChangedS * 1e9);
  const fuse_entry_out file = entry(request::mknod(kRootNumber, "f", S_IFREG | 0644));
  const auto after = kernel_.ask(request::chmod(file.nodeid, 0600)).get<fuse_attr_out>();
  EXPECT_EQ(after.attr_valid, 0U);
  EXPECT_EQ(after.attr_valid_nsec, kSoonNs);
  const fuse_entry_out link = entry(request::link(file.nodeid, kRootNumber, "l"));
  EXPECT_EQ(link.attr_valid, 0U);
  EXPECT_EQ(link.attr_valid_nsec, kSoonNs);
  EXPECT_EQ(link.entry_valid, kLong);
  EXPECT_EQ(entry(request::create(kRootNumber, "c")).attr_valid, 0U);
}

// Of writes by a mapping that outlived its file nobody tells.
TEST_F(Watched, WhatWasMappedIsKeptForAMoment) {
  negotiate();
  const fuse_entry_out file = entry(request::mknod(kRootNumber, "f", S_IFREG | 0644));
  const auto kept_for = [&] {
    return kernel_.ask(request::getattr(file.nodeid)).get<fuse_attr_out>().attr_valid;
  };
  EXPECT_EQ(code(kernel_.cache().begin_bypass(id(file.nodeid), Cache::Unseen::kWrites)), 0);
  EXPECT_EQ(kept_for(), kLong);
  EXPECT_EQ(code(kernel_.cache().begin_bypass(id(file.nodeid), Cache::Unseen::kMaps)), 0);
  EXPECT_EQ(kept_for(), 1U);
  EXPECT_EQ(entry(request::lookup(kRootNumber, "f")).attr_valid, 1U);
}

// The kernel was told before it had the inode, so the answer must not count on that.
TEST_F(Watched, WhatWasChangedWhileItWasAskedForIsNotKept) {
  negotiate();
  const fuse_entry_out file = entry(request::mknod(kRootNumber, "f", S_IFREG | 0644));
  int told = 0;
  before_ = [&](std::string_view operation) {
    if (operation != "getattr") return;
    kernel_.cache().invalidate_number(file.nodeid);
    ++told;
  };
  kernel_.cache().invalidate_number(file.nodeid);
  const fuse_entry_out found = entry(request::lookup(kRootNumber, "f"));
  before_ = nullptr;
  EXPECT_EQ(told, 1);
  EXPECT_EQ(found.attr_valid, 0U);
  EXPECT_EQ(found.entry_valid, kLong);
  EXPECT_EQ(entry(request::lookup(kRootNumber, "f")).attr_valid, kLong);
}

TEST_F(Unnumbered, WhatNobodyTellsOfIsKeptForAMoment) {
  negotiate();
  const fuse_entry_out dir = entry(request::mkdir(kRootNumber, "d"));
  EXPECT_EQ(dir.entry_valid, kLong);  // The root is told of.
  EXPECT_EQ(dir.attr_valid, 1U);
  entry(request::mknod(dir.nodeid, "f", S_IFREG | 0644));
  const fuse_entry_out file = entry(request::lookup(dir.nodeid, "f"));
  EXPECT_EQ(file.entry_valid, 1U);
  EXPECT_EQ(file.attr_valid, 1U);
  EXPECT_EQ(entry(request::lookup(dir.nodeid, "none")).entry_valid, 1U);
  EXPECT_EQ(entry(request::lookup(kRootNumber, "none")).entry_valid, kLong);
  EXPECT_EQ(kernel_.ask(request::getattr(file.nodeid)).get<fuse_attr_out>().attr_valid, 1U);
}

// Its other name may be where nobody tells of what is done by it.
TEST_F(ByDirectory, WhatHasOtherNamesIsKeptForAMoment) {
  negotiate();
  const fuse_entry_out made = entry(request::mknod(kRootNumber, "f", S_IFREG | 0644));
  EXPECT_EQ(kernel_.ask(request::getattr(made.nodeid)).get<fuse_attr_out>().attr_valid, kLong);
  entry(request::link(made.nodeid, kRootNumber, "l"));
  EXPECT_EQ(kernel_.ask(request::getattr(made.nodeid)).get<fuse_attr_out>().attr_valid, 1U);
  const fuse_entry_out file = entry(request::lookup(kRootNumber, "f"));
  EXPECT_EQ(file.entry_valid, kLong);
  EXPECT_EQ(file.attr_valid, 1U);
}

// Before Linux 6.16 it cannot be told to look up all names again.
TEST_F(Watched, AnOlderKernelKeepsNamesForAMoment) {
  negotiate(43);
  const fuse_entry_out file = entry(request::mknod(kRootNumber, "f", S_IFREG | 0644));
  EXPECT_EQ(file.entry_valid, 1U);
  EXPECT_EQ(file.attr_valid, kLong);
  EXPECT_EQ(entry(request::lookup(kRootNumber, "none")).entry_valid, 1U);
}

// --- What follows from an event. Handles are numbers here.

using local::HandleView;
using local::SourceEvent;
using What = Notice::What;

class Events : public Watched {
 protected:
  Events() {
    negotiate();
    dir_ = entry(request::mkdir(kRootNumber, "d")).nodeid;
    file_ = entry(request::mknod(dir_, "f", S_IFREG | 0644)).nodeid;
    EXPECT_EQ(kernel_.ask(request::getattr(dir_)).error, 0);
  }
  static HandleView handle(const std::uint64_t& number) {
    return {1, {reinterpret_cast<const std::uint8_t*>(&number), sizeof number}};
  }
  static std::optional<std::uint64_t> number_of(const HandleView& handle) {
    std::uint64_t number = 0;
    std::memcpy(&number, handle.bytes.data(), sizeof number);
    if (number == 0) return std::nullopt;
    return number;
  }
  bool has_attributes(std::uint64_t number) {
    Attr attr;
    return kernel_.cache().peek_attr(id(number), attr);
  }
  // Asks for what an event was about, so that it is cached again; whether the store was asked for the name.
  bool look_again() {
    bool asked = false;
    before_ = [&](std::string_view operation) { asked = asked || operation == "lookup"; };
    entry(request::lookup(dir_, "f"));
    before_ = nullptr;
    EXPECT_EQ(kernel_.ask(request::getattr(dir_)).error, 0);
    return asked;
  }
  SourceEvent event(unsigned what, std::int32_t pid = 100) {
    SourceEvent event;
    event.what = what;
    event.pid = pid;
    event.object = handle(file_);
    if ((what & (SourceEvent::kMade | SourceEvent::kRemoved | SourceEvent::kMoved)) != 0) {
      event.names[0] = {handle(dir_), "f"};
    }
    return event;
  }

  std::uint64_t dir_ = 0;
  std::uint64_t file_ = 0;
  RecordedNotices sink_;
  Notifier notifier_{sink_, kernel_.cache(), 100};
  OutsideChanges changes_{kernel_.cache(), notifier_, number_of, 7, nullptr};
};

TEST_F(Events, ContentAndAttributesAreTheObjectsOwn) {
  changes_.apply(kernel_.me(), event(SourceEvent::kContent));
  EXPECT_EQ(sink_.take(1), (std::vector<Notice>{{What::kContent, file_}}));
  EXPECT_FALSE(has_attributes(file_));
  EXPECT_TRUE(has_attributes(dir_));
  EXPECT_FALSE(look_again());
  changes_.apply(kernel_.me(), event(SourceEvent::kAttributes));
  EXPECT_EQ(sink_.take(1), (std::vector<Notice>{{What::kAttributes, file_}}));
  EXPECT_FALSE(has_attributes(file_));
}

TEST_F(Events, ANameThatCameOrWentIsTheDirectorysToo) {
  const Notice directory{What::kContent, dir_};
  const Notice object{What::kAttributes, file_};
  changes_.apply(kernel_.me(), event(SourceEvent::kMade));
  EXPECT_EQ(sink_.take(3),
            (std::vector<Notice>{{What::kNewName, dir_, 0, "f"}, directory, object}));
  EXPECT_FALSE(has_attributes(file_));
  EXPECT_FALSE(has_attributes(dir_));
  EXPECT_TRUE(look_again());
  changes_.apply(kernel_.me(), event(SourceEvent::kRemoved));
  const std::vector<Notice> removed = sink_.take(4);
  ASSERT_EQ(removed.size(), 4U);  // The object's attributes twice.
  EXPECT_EQ(removed[0], (Notice{What::kRemoved, dir_, file_, "f"}));
  EXPECT_TRUE(look_again());
  // Made and removed again, or the other way round: what is there now has to be asked for.
  changes_.apply(kernel_.me(), event(SourceEvent::kMade | SourceEvent::kRemoved));
  EXPECT_EQ(sink_.take(3)[0], (Notice{What::kName, dir_, 0, "f"}));
}

// Whoever has made many changes is not to be woken for each; whoever waits for one is.
TEST_F(Events, OnlyWhatSomebodyHereMayWaitForIsUrgent) {
  Worker& me = kernel_.me();
  EXPECT_TRUE(changes_.apply(me, event(SourceEvent::kContent)));
  EXPECT_TRUE(changes_.apply(me, event(SourceEvent::kAttributes)));
  EXPECT_FALSE(changes_.apply(me, event(SourceEvent::kRemoved, 7)));  // Our own.
  SourceEvent elsewhere = event(SourceEvent::kContent);
  const std::uint64_t unknown = Identity::kDurable | 4711;
  elsewhere.object = handle(unknown);
  EXPECT_FALSE(changes_.apply(me, elsewhere));
  // It was open for writing here.
  EXPECT_EQ(code(kernel_.cache().begin_bypass(id(file_), Cache::Unseen::kWrites)), 0);
  EXPECT_FALSE(changes_.apply(me, event(SourceEvent::kContent)));
  EXPECT_TRUE(changes_.apply(me, event(SourceEvent::kContent | SourceEvent::kAttributes)));
  EXPECT_TRUE(changes_.apply(me, event(SourceEvent::kLost)));
}

// Which has no lookup count.
TEST_F(Events, OfTheTopTheKernelIsTold) {
  SourceEvent top = event(SourceEvent::kAttributes);
  const std::uint64_t root = kRootNumber;
  top.object = handle(root);
  EXPECT_TRUE(changes_.apply(kernel_.me(), top));
  EXPECT_EQ(sink_.take(1), (std::vector<Notice>{{What::kAttributes, kRootNumber}}));
}

TEST_F(Events, BothNamesOfWhatMovedAreForgotten) {
  SourceEvent moved = event(SourceEvent::kMoved);
  const std::uint64_t root = kRootNumber;
  moved.names[1] = {handle(root), "g"};
  EXPECT_EQ(entry(request::lookup(kRootNumber, "g")).nodeid, 0U);
  changes_.apply(kernel_.me(), moved);
  EXPECT_EQ(sink_.take(5), (std::vector<Notice>{{What::kName, dir_, 0, "f"},
                                                {What::kContent, dir_},
                                                {What::kName, kRootNumber, 0, "g"},
                                                {What::kContent, kRootNumber},
                                                {What::kAttributes, file_}}));
  EXPECT_TRUE(look_again());
}

TEST_F(Events, OwnChangesAndThoseElsewhereAreCountedAndNothingElse) {
  changes_.apply(kernel_.me(), event(SourceEvent::kRemoved, 7));
  SourceEvent elsewhere = event(SourceEvent::kMade);
  const std::uint64_t unknown = Identity::kDurable | 4711;
  elsewhere.names[0].dir = elsewhere.object = handle(unknown);
  changes_.apply(kernel_.me(), elsewhere);
  EXPECT_TRUE(has_attributes(file_));
  EXPECT_FALSE(look_again());
  EXPECT_EQ(changes_.stats().events, 2U);
  EXPECT_EQ(changes_.stats().own, 1U);
  EXPECT_EQ(changes_.stats().elsewhere, 1U);
  EXPECT_EQ(notifier_.stats().sent + notifier_.stats().waiting, 0U);
}

// It is not told of where it is now, and the kernel may have its attributes for long.
TEST_F(Events, WhatWeMoveToWhereNobodyTellsIsAskedForAgain) {
  SourceEvent moved = event(SourceEvent::kMoved, 7);
  moved.names[1] = {handle(dir_), "g"};
  changes_.apply(kernel_.me(), moved);
  EXPECT_TRUE(has_attributes(file_));
  moved.names[1] = {};
  changes_.apply(kernel_.me(), moved);
  EXPECT_FALSE(has_attributes(file_));
  EXPECT_EQ(sink_.take(1), (std::vector<Notice>{{What::kAttributes, file_}}));
  EXPECT_EQ(changes_.stats().own, 2U);
}

TEST_F(Events, WhenEventsAreLostEverythingIsForgotten) {
  changes_.apply(kernel_.me(), event(SourceEvent::kLost));
  EXPECT_EQ(sink_.take(4), (std::vector<Notice>{{What::kAllNames},
                                                {What::kContent, kRootNumber},
                                                {What::kContent, dir_},
                                                {What::kContent, file_}}));
  EXPECT_FALSE(has_attributes(file_));
  EXPECT_TRUE(look_again());
  EXPECT_EQ(changes_.stats().overflows, 1U);
}

TEST_F(Events, MountsAreTheSameWhereverElseSomethingIsMounted) {
  const std::string here =
      "21 1 0:20 / / rw - ext4 /dev/a rw\n"
      "30 21 0:30 / /a/source rw - tmpfs t rw\n"
      "31 30 0:31 / /a/source/be\\040low rw - tmpfs t rw\n";
  const std::string elsewhere = here + "40 21 0:40 / /a/sources rw - tmpfs t rw\n";
  const std::string below = here + "41 30 0:41 / /a/source/x rw - tmpfs t rw\n";
  EXPECT_EQ(mounts_below(here, "/a/source"), mounts_below(elsewhere, "/a/source"));
  EXPECT_NE(mounts_below(here, "/a/source"), mounts_below(below, "/a/source"));
  EXPECT_NE(mounts_below(here, "/"), mounts_below(elsewhere, "/"));
  EXPECT_NE(mounts_below(here, "/a/source/be low"), 0U);
  EXPECT_EQ(mounts_below(here, "/b"), 0U);
  EXPECT_EQ(mounts_below("", "/b"), 0U);
  EXPECT_EQ(mounts_below("odd\n\n", "/b"), 0U);
}

}  // namespace
}  // namespace evenfs::test
