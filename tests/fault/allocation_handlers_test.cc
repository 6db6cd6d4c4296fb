// SPDX-License-Identifier: LGPL-2.1-or-later
// The handlers without memory: each allocation that each request's handler makes fails, once or from then on.
// The answer is ENOMEM or, where the handler can do without, what it would have been; the kernel was told of
// everything that it is to give back, and the daemon goes on. Within the store in memory nothing fails, but
// for its open files.
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <vector>

#include "core/store/memory_store.h"
#include "fusefs/stats_json.h"
#include "tests/support/fake_kernel.h"
#include "tests/support/hooked_store.h"
#include "tests/support/requests.h"
#include "tests/support/store_fixture.h"

namespace evenfs::test {
namespace {

constexpr std::uint64_t kRootNumber = 1;
constexpr const char* kLongName = "a name that is longer than 28 bytes";
constexpr const char* kTarget = "a target that no short string can hold";
constexpr std::uint32_t kSetIdMode = 06775;

FakeKernel::Settings settings(std::uint64_t ttl_ticks) {
  FakeKernel::Settings settings = FakeKernel::small();
  settings.cache.ttl_ticks = ttl_ticks;
  return settings;
}

// A kernel that knows a small tree and has some of it open, and the record of all that it was told since.
struct HandlerWorld {
  explicit HandlerWorld(std::uint64_t ttl_ticks = kForeverTicks)
      : store(memory), kernel(store, settings(ttl_ticks)) {
    store.counts_holds = true;
    kernel.negotiate();
    dir = told(request::mkdir(kRootNumber, "d"));
    file = told(request::mknod(dir, "f", S_IFREG | 0644));
    other = told(request::mknod(kRootNumber, "o", S_IFREG | 0644));
    link = told(request::symlink(kRootNumber, "l", kTarget));
    (void)told(request::mkdir(kRootNumber, "empty"));
    fh = opened(request::open(file, O_RDWR));
    to_fh = opened(request::open(other, O_RDWR));
    dir_fh = opened_dir(request::opendir(kRootNumber));
    EXPECT_EQ(kernel.ask(request::write(file, fh, 0, "content")).error, 0);
    EXPECT_EQ(kernel.ask(request::setxattr(file, "user.a", "value")).error, 0);
    EXPECT_EQ(kernel.ask(request::chmod(file, kSetIdMode)).error, 0);
  }

  std::uint64_t told(const Message& message) {
    const Answer answer = kernel.ask(message);
    EXPECT_EQ(answer.error, 0);
    const auto node = answer.get<fuse_entry_out>().nodeid;
    know(node);
    return node;
  }
  std::uint64_t opened(const Message& message) {
    files.push_back(kernel.ask(message).get<fuse_open_out>().fh);
    return files.back();
  }
  std::uint64_t opened_dir(const Message& message) {
    directories.push_back(kernel.ask(message).get<fuse_open_out>().fh);
    return directories.back();
  }

  // What the answer to such a request hands over.
  void take(const Message& message, const Answer& answer) {
    if (!answer.ok()) return;
    switch (message.header.opcode) {
      case FUSE_LOOKUP:
      case FUSE_MKNOD:
      case FUSE_MKDIR:
      case FUSE_SYMLINK:
      case FUSE_LINK:
        know(answer.get<fuse_entry_out>().nodeid);
        break;
      case FUSE_CREATE:
      case kOpTmpfile:
        know(answer.get<fuse_entry_out>().nodeid);
        files.push_back(answer.get<fuse_open_out>(sizeof(fuse_entry_out)).fh);
        break;
      case FUSE_OPEN:
        files.push_back(answer.get<fuse_open_out>().fh);
        break;
      case FUSE_OPENDIR:
        directories.push_back(answer.get<fuse_open_out>().fh);
        break;
      case FUSE_READDIRPLUS:
        for (const Listed& one : parse_listing(answer, true)) know(one.nodeid);
        break;
      default:
        break;
    }
  }

  // The cache says of each name what the store says.
  void expect_agreement() {
    const Result<Found> root = memory.root();
    const Result<Found> below = memory.lookup(root->node, name_of("d"));
    for (const char* name : {"d", "o", "l", "empty", "x", "f", kLongName}) {
      agree(kRootNumber, root->node, name);
      agree(dir, below->node, name);
    }
    memory.release(below->node);
    memory.release(root->node);
  }

  void give_all_back() {
    for (const std::uint64_t open : files) {
      EXPECT_EQ(kernel.ask(request::release(file, open)).error, 0);
    }
    for (const std::uint64_t open : directories) {
      EXPECT_EQ(kernel.ask(request::releasedir(kRootNumber, open)).error, 0);
    }
    for (const std::uint64_t node : known) kernel.ask(request::forget(node, 1));
    EXPECT_EQ(kernel.open_files(), 0U);
    EXPECT_EQ(kernel.open_directories(), 0U);
    kernel.cache().drop_unused(kernel.me());
    const CacheStats left = kernel.stats();
    EXPECT_EQ(left.kernel_lookups, 0U);
    EXPECT_EQ(left.inodes, 1U);
    EXPECT_EQ(left.dentries, 0U);
    EXPECT_EQ(left.cells, 0U);
    EXPECT_EQ(left.orphans, 0U);
    EXPECT_EQ(kernel.count(Counter::kForgetExcess), 0U);
    EXPECT_EQ(memory.references(), 1U);
    EXPECT_EQ(store.holds.load(), 0);
  }

  MemoryStore memory;
  HookedStore store;
  FakeKernel kernel;
  std::uint64_t dir, file, other, link, fh, to_fh, dir_fh;
  std::vector<std::uint64_t> known, files, directories;  // To be forgotten and released.

 private:
  // 0 is nobody: there is no such name, or nothing was counted.
  void know(std::uint64_t node) {
    if (node != 0) known.push_back(node);
  }
  void agree(std::uint64_t number, const Node& node, const char* name) {
    const Result<Found> truth = memory.lookup(node, name_of(name));
    const Message message = request::lookup(number, name);
    const Answer answer = kernel.ask(message);
    if (!truth) {
      // Without a number: the name is not there.
      EXPECT_TRUE(answer.error == ENOENT || answer.get<fuse_entry_out>().nodeid == 0) << name;
      return;
    }
    ASSERT_EQ(answer.error, 0) << name;
    take(message, answer);
    EXPECT_EQ(answer.get<fuse_entry_out>().attr.ino, truth->attr.ino) << name;
    EXPECT_EQ(answer.get<fuse_entry_out>().attr.mode, truth->attr.mode) << name;
    EXPECT_EQ(answer.get<fuse_entry_out>().attr.nlink, truth->attr.nlink) << name;
    memory.release(truth->node);
  }
};

using W = HandlerWorld;
using Make = std::function<Message(const W&)>;

Message by_somebody(Message message) {
  message.header.uid = 12345;
  message.header.gid = 12345;
  message.header.pid = static_cast<std::uint32_t>(::getpid());
  return message;
}

fuse_setattr_in owner(std::uint32_t uid) {
  fuse_setattr_in in{};
  in.valid = FATTR_UID;
  in.uid = uid;
  return in;
}

std::vector<Make> requests_for_names() {
  namespace r = request;
  return {
      [](const W& w) { return r::lookup(w.dir, "f"); },
      [](const W& w) { return r::lookup(w.file, "."); },
      [](const W& w) { return r::lookup(w.dir, ".."); },
      [](const W& w) { return r::lookup(w.dir, "x"); },
      [](const W& w) { return r::mknod(w.dir, kLongName, S_IFREG | 0644); },
      [](const W& w) { return r::mkdir(w.dir, "x"); },
      [](const W&) { return r::symlink(kRootNumber, "x", kTarget); },
      [](const W& w) { return r::link(w.file, kRootNumber, "x"); },
      [](const W& w) { return r::unlink(w.dir, "f"); },
      [](const W&) { return r::rmdir(kRootNumber, "empty"); },
      [](const W& w) { return r::rename(w.dir, "f", kRootNumber, "o"); },
      [](const W& w) { return r::rename2(w.dir, "f", kRootNumber, "o", 2); },
      [](const W&) { return r::rename2(kRootNumber, "empty", kRootNumber, "x", 1); },
      [](const W& w) { return by_somebody(r::rename2(w.dir, "f", w.dir, "x", 4)); },
      [](const W& w) { return r::create(w.dir, "x"); },
      [](const W& w) { return by_somebody(r::create(w.dir, "f")); },
      [](const W&) { return r::tmpfile(kRootNumber); },
      [](const W& w) { return r::opendir(w.dir); },
      [](const W& w) { return r::readdir(kRootNumber, w.dir_fh); },
      [](const W& w) { return r::readdirplus(kRootNumber, w.dir_fh); },
      [](const W& w) { return r::fsync(FUSE_FSYNCDIR, kRootNumber, w.dir_fh); },
  };
}

std::vector<Make> requests_for_files() {
  namespace r = request;
  return {
      [](const W& w) { return r::getattr(w.file); },
      [](const W& w) { return r::getattr_of_file(w.file, w.fh); },
      [](const W& w) { return r::statx(w.file, 0x2000); },
      [](const W& w) { return r::chmod(w.file, 0600); },
      [](const W& w) { return by_somebody(r::truncate(w.file, 1)); },
      [](const W& w) { return by_somebody(r::setattr(w.file, owner(12345))); },
      [](const W& w) { return by_somebody(r::setattr(w.file, fuse_setattr_in{})); },
      [](const W& w) { return by_somebody(r::access(w.file, R_OK)); },
      [](const W& w) { return r::readlink(w.link); },
      [](const W& w) { return r::statfs(w.file); },
      [](const W& w) { return r::open(w.file, O_RDWR); },
      [](const W& w) { return r::open(w.file, O_RDWR | O_TRUNC); },
      [](const W& w) { return r::read(w.file, w.fh, 0, 100); },
      [](const W& w) { return by_somebody(r::write(w.file, w.fh, 5000, "more")); },
      [](const W& w) { return r::flush(w.file, w.fh); },
      [](const W& w) { return r::fsync(FUSE_FSYNC, w.file, w.fh); },
      [](const W& w) { return by_somebody(r::fallocate(w.file, w.fh, 0, 10000)); },
      [](const W& w) { return r::lseek(w.file, w.fh, 0, SEEK_DATA); },
      [](const W& w) { return r::copy_file_range(w.file, w.fh, w.other, w.to_fh, 7); },
      [](const W& w) { return by_somebody(r::setxattr(w.file, "user.b", "value")); },
      [](const W& w) { return by_somebody(r::setxattr(w.file, "system.posix_acl_access", "v")); },
      [](const W& w) { return r::getxattr(w.file, "user.a", 100); },
      [](const W& w) { return by_somebody(r::listxattr(w.file, 100)); },
      [](const W& w) { return r::removexattr(w.file, "user.a"); },
      [](const W& w) { return by_somebody(r::removexattr(w.file, "security.capability")); },
      [](const W& w) { return r::ioctl(w.file, w.fh, 0x80086601, "", 4); },
  };
}

// What the request is answered with when nothing is wanting.
int usual_answer(const Make& make, std::uint64_t ttl_ticks) {
  HandlerWorld w(ttl_ticks);
  return w.kernel.ask(make(w)).error;
}

// Returns how many there were.
std::uint64_t fail_each_allocation(const Make& make, std::uint64_t ttl_ticks) {
  const int usual = usual_answer(make, ttl_ticks);
  return for_each_allocation([&](std::uint64_t nth, Shortage shortage) {
    HandlerWorld w(ttl_ticks);
    const Message message = make(w);
    SCOPED_TRACE(testing::Message() << "opcode " << message.header.opcode << ", allocation " << nth
                                    << (shortage == Shortage::kOnce ? "" : " and all others"));
    w.kernel.fail_next_allocation(nth, shortage);
    const Answer answer = w.kernel.ask(message);
    const std::uint64_t seen = w.kernel.allocations();
    EXPECT_TRUE(answer.error == usual || (answer.error == ENOMEM && seen >= nth)) << answer.error;
    w.take(message, answer);
    w.expect_agreement();
    w.give_all_back();
    return seen;
  });
}

class AllocationInHandlers : public ::testing::TestWithParam<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(TimeToLive, AllocationInHandlers,
                         ::testing::Values(kForeverTicks, std::uint64_t{0}),
                         [](const auto& which) { return which.param == 0 ? "none" : "forever"; });

TEST_P(AllocationInHandlers, EachOfARequestForNamesFails) {
  std::uint64_t failures = 0;
  for (const Make& make : requests_for_names()) failures += fail_each_allocation(make, GetParam());
  EXPECT_GT(failures, 20U);
}

TEST_P(AllocationInHandlers, EachOfARequestForFilesFails) {
  std::uint64_t failures = 0;
  for (const Make& make : requests_for_files()) failures += fail_each_allocation(make, GetParam());
  EXPECT_GT(failures, 60U);
}

// The statistics are made of many allocations, and the way back from each must not take one.
TEST(AllocationInStatistics, EachFails) {
  HandlerWorld w;
  std::uint64_t failures = for_each_allocation([&](std::uint64_t nth, Shortage shortage) {
    w.kernel.fail_next_allocation(nth, shortage);
    const Answer answer = w.kernel.ask(request::getxattr(kRootNumber, kStatsXattr, 65536));
    EXPECT_TRUE(answer.error == 0 || (answer.error == ENOMEM && w.kernel.allocations() >= nth));
    return w.kernel.allocations();
  });
  EXPECT_GT(failures, 100U);
  w.give_all_back();
}

// What gives back asks for nothing: it could not be asked again.
TEST(AllocationInHandlersOfReleases, ThereIsNone) {
  HandlerWorld w;
  const auto none = [&](const Message& message) {
    const Answer answer = w.kernel.ask(message);
    EXPECT_EQ(answer.error, 0);
    EXPECT_EQ(w.kernel.allocations(), 0U) << message.header.opcode;
  };
  EXPECT_EQ(w.kernel.ask(request::unlink(w.dir, "f")).error, 0);
  none(request::release(w.file, w.fh));
  none(request::release(w.other, w.to_fh));
  none(request::releasedir(kRootNumber, w.dir_fh));
  none(request::batch_forget({{w.link, 1}, {w.other, 1}}));
  none(request::forget(w.file, 1));
}

// Takes CAP_FSETID from this thread while it lives.
class WithoutFsetid {
 public:
  WithoutFsetid() {
    EXPECT_EQ(::syscall(SYS_capget, &header_, before_), 0);
    __user_cap_data_struct now[2] = {before_[0], before_[1]};
    now[0].effective &= ~CAP_TO_MASK(CAP_FSETID);
    EXPECT_EQ(::syscall(SYS_capset, &header_, now), 0);
  }
  ~WithoutFsetid() { ::syscall(SYS_capset, &header_, before_); }
  WithoutFsetid(const WithoutFsetid&) = delete;
  WithoutFsetid& operator=(const WithoutFsetid&) = delete;

 private:
  __user_cap_header_struct header_{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct before_[2] = {};
};

// What /proc says of a caller is cut short where memory is wanting, if streams have their way; and of whom
// nothing can be seen a superuser is believed.
TEST(AllocationInCaller, ASuperuserWithoutFsetidLosesSetIdBitsOrIsRefused) {
  std::uint64_t failures = for_each_allocation([&](std::uint64_t nth, Shortage shortage) {
    SCOPED_TRACE(testing::Message() << "allocation " << nth);
    HandlerWorld w;
    Message message = request::write(w.file, w.fh, 0, "written");
    message.header.pid = static_cast<std::uint32_t>(::syscall(SYS_gettid));
    const WithoutFsetid without;
    w.kernel.fail_next_allocation(nth, shortage);
    const Answer answer = w.kernel.ask(message);
    const std::uint64_t seen = w.kernel.allocations();
    EXPECT_TRUE(answer.error == 0 || answer.error == ENOMEM) << answer.error;
    const auto now = w.kernel.ask(request::getattr(w.file)).get<fuse_attr_out>().attr;
    EXPECT_EQ(now.mode & (S_ISUID | S_ISGID), answer.error == 0 ? 0U : S_ISUID | S_ISGID);
    w.give_all_back();
    return seen;
  });
  EXPECT_GT(failures, 6U);
}

// Threads that cannot be made, or find no memory for their buffer, are a failure to start.
TEST(AllocationInWorkerLoop, AThreadThatCannotBeMadeIsAnError) {
  MemoryStore memory;
  FakeKernel kernel(memory);
  const auto nothing = [](const auto&) {};
  for (std::uint64_t nth = 1; nth <= 3; ++nth) {
    WorkerLoop loop(kernel.session(), 3, nothing);
    int answer = 0;
    std::uint64_t seen = 0;
    {
      const AllocationFault fault(nth);
      answer = code(loop.start());
      seen = fault.seen();
    }
    EXPECT_EQ(seen, nth);
    EXPECT_EQ(answer, ENOMEM);
    EXPECT_TRUE(loop.stop(std::chrono::seconds(30)));
  }
}

TEST(AllocationInWorkerLoop, AThreadWithoutABufferEndsTheLoop) {
  MemoryStore memory;
  FakeKernel kernel(memory);
  WorkerLoop loop(kernel.session(), 1, [](const std::function<void()>& serve) {
    const AllocationFault fault(1);
    serve();
  });
  EXPECT_EQ(code(loop.start()), 0);
  EXPECT_TRUE(loop.stop(std::chrono::seconds(30)));
  EXPECT_TRUE(loop.failed());
}

}  // namespace
}  // namespace evenfs::test
