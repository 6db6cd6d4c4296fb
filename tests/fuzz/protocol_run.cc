// SPDX-License-Identifier: LGPL-2.1-or-later
// The account: what a kernel holds after each answer, and what must be left at the end. What is sent is
// decided in protocol_requests.cc.
#include "tests/fuzz/protocol_run.h"

#include "tests/support/requests.h"

namespace evenfs::test {
namespace {

constexpr int kStepsMax = 200;
constexpr std::uint64_t kRoot = 1;

std::uint64_t fh_of(const Message& message) {
  std::uint64_t fh = 0;
  std::memcpy(&fh, message.body.data(), sizeof(fh));
  return fh;
}

FakeKernel::Settings settings_of(Input& in) {
  FakeKernel::Settings settings = FakeKernel::small();
  const std::uint8_t bits = in.byte();
  static constexpr Locking kPolicies[] = {Locking::kLockless, Locking::kSharded, Locking::kRwlock,
                                          Locking::kMutex};
  settings.locking = kPolicies[bits & 3U];
  // So few that each is used again all the time, and that there are none left at times.
  static constexpr std::uint32_t kSlots[] = {6, 12, 40, 200};
  settings.cache.slots_max = kSlots[bits >> 2U & 3U];
  settings.negative_timeout_s = (bits & 16U) != 0 ? 1 : 0;
  if ((bits & 32U) != 0) settings.cache.ttl_ticks = 3;
  // Counts about to pass 2^32.
  if ((bits & 64U) != 0) settings.cache.seq_start = (std::uint64_t{1} << 31) - 2;
  return settings;
}

// Objects that a name leads to.
std::uint64_t reachable(Store& store, const Node& dir) {
  std::uint64_t count = 0;
  const Result<std::unique_ptr<Directory>> open = store.opendir(dir, 0);
  EVENFS_CHECK(open);
  const Status read = (*open)->read(0, [&](const DirEntry& entry) {
    const Result<NameRef> name = NameRef::make(entry.name);
    if (!name) return true;  // "." and "..".
    const Result<Found> found = store.lookup(dir, *name);
    EVENFS_CHECK(found);
    ++count;
    if (S_ISDIR(found->attr.mode)) count += reachable(store, found->node);
    store.release(found->node);
    return true;
  });
  EVENFS_CHECK(read);
  return count;
}

}  // namespace

ProtocolRun::ProtocolRun(std::span<const std::uint8_t> bytes)
    : in_(bytes), store_(store_options()) {
  kernel_ = std::make_unique<FakeKernel>(store_, settings_of(in_));
  kernel_->negotiate();
  known_.push_back(kRoot);
}

MemoryStore::Options ProtocolRun::store_options() {
  MemoryStore::Options options;
  const std::uint8_t bits = in_.byte();
  options.durable = (bits & 1U) != 0;
  options.reuse_inode_numbers = (bits & 2U) != 0;
  options.has_acls = (bits & 4U) != 0;
  options.before = [this](std::string_view operation) -> Status {
    if (failure_ == 0 || failure_after_-- != 0) return Status();
    const int failure = std::exchange(failure_, 0);
    // That a name is not there is not a failure but an answer, and is cached.
    return Errno(failure == ENOENT && operation == "lookup" ? ESTALE : failure);
  };
  return options;
}

void ProtocolRun::run() {
  for (int steps = 0; steps < kStepsMax && !in_.empty(); ++steps) {
    step();
    if (steps % 8 == 0) check_account();
  }
  failure_ = 0;
  check_account();
  forget_all();
  check_nothing_left();
  kernel_.reset();
  EVENFS_CHECK(store_.references() == 0);
}

void ProtocolRun::hold(std::uint64_t number) {
  if (number == 0) return;
  ++held_[number];
  if (std::ranges::find(known_, number) == known_.end()) known_.push_back(number);
}

void ProtocolRun::learn(std::uint32_t opcode, const Answer& answer) {
  if (!answer.ok()) return;
  switch (opcode) {
    case FUSE_LOOKUP:
    case FUSE_MKNOD:
    case FUSE_MKDIR:
    case FUSE_SYMLINK:
    case FUSE_LINK:
      hold(answer.get<fuse_entry_out>().nodeid);
      break;
    case FUSE_CREATE:
    case kOpTmpfile: {
      const std::uint64_t node = answer.get<fuse_entry_out>().nodeid;
      hold(node);
      files_.push_back({node, answer.get<fuse_open_out>(sizeof(fuse_entry_out)).fh});
      break;
    }
    case FUSE_READDIRPLUS:
      for (const Listed& one : parse_listing(answer, true)) hold(one.nodeid);
      break;
    case FUSE_READDIR:
      (void)parse_listing(answer, false);
      break;
    default:
      break;
  }
}

// A FORGET must take what is there and refuse to take more, whatever it names.
void ProtocolRun::learn_forgets(const Message& sent) {
  const auto forget = [this](std::uint64_t number, std::uint64_t count) {
    const auto at = held_.find(number);
    const std::uint64_t there = at == held_.end() ? 0 : at->second;
    if (count == 0) {
      // Refused if the number is nobody's, which may be known to the cache alone.
      excess_is_known_ = false;
    } else if (count > there) {
      ++excess_;
    } else if ((at->second -= count) == 0) {
      held_.erase(at);
    }
  };
  // As it is read: what was not sent is zeros.
  std::vector<std::byte> body = sent.body;
  body.resize(std::max(body.size(), sizeof(std::uint64_t)));
  if (sent.header.opcode == FUSE_FORGET) {
    std::uint64_t count = 0;
    std::memcpy(&count, body.data(), sizeof(count));
    return forget(sent.header.nodeid, count);
  }
  fuse_batch_forget_in head{};
  std::memcpy(&head, body.data(), sizeof(head));
  body.resize(sizeof(head) + std::size_t{head.count} * sizeof(fuse_forget_one));
  for (std::size_t i = 0; i < head.count; ++i) {
    fuse_forget_one one{};
    std::memcpy(&one, body.data() + sizeof(head) + i * sizeof(one), sizeof(one));
    forget(one.nodeid, one.nlookup);
  }
}

void ProtocolRun::learn_releases(const Message& sent) {
  std::vector<Handle>& handles = sent.header.opcode == FUSE_RELEASE ? files_ : directories_;
  const auto at = std::ranges::find(handles, fh_of(sent), &Handle::fh);
  EVENFS_CHECK(at != handles.end());
  handles.erase(at);
}

void ProtocolRun::send(Built built) {
  const std::uint8_t spoil = in_.byte();
  Message& message = built.message;
  if (spoil >= 248) {
    const std::size_t room = message.body.size() - std::min(built.keep, message.body.size());
    message.cut(message.body.size() - (room == 0 ? 0 : in_.below(room + 1)));
  } else if (spoil >= 240) {
    message.header.len = static_cast<std::uint32_t>(in_.number());
  }
  const bool refused = spoil >= 224 && spoil < 232;
  if (refused) kernel_->refuse_next_answer();
  message.header.uid = spoil % 8 == 7 ? 1000 : 0;
  const std::uint32_t opcode = message.header.opcode;
  const Message sent = message;
  const Answer answer = kernel_->ask(std::move(message));
  if (opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET) {
    EVENFS_CHECK(!answer.came);
    return learn_forgets(sent);
  }
  EVENFS_CHECK(answer.came != refused);
  if (opcode == FUSE_RELEASE || opcode == FUSE_RELEASEDIR) {
    EVENFS_CHECK(answer.error == 0);  // The kernel does not ask again.
    return learn_releases(sent);
  }
  check_answer(opcode, answer);
  if (answer.ok() && opcode == FUSE_OPEN) {
    files_.push_back({sent.header.nodeid, answer.get<fuse_open_out>().fh});
  } else if (answer.ok() && opcode == FUSE_OPENDIR) {
    directories_.push_back({sent.header.nodeid, answer.get<fuse_open_out>().fh});
  }
  learn(opcode, answer);
}

void ProtocolRun::check_account() {
  std::uint64_t lookups = 0;
  std::uint64_t inodes = 0;
  for (const auto& [number, count] : held_) {
    if (number == kRoot) continue;  // Not counted in the statistics.
    lookups += count;
    ++inodes;
  }
  const CacheStats stats = kernel_->stats();
  EVENFS_CHECK(stats.kernel_lookups == lookups);
  EVENFS_CHECK(stats.kernel_inodes == inodes);
  EVENFS_CHECK(kernel_->open_files() == files_.size());
  EVENFS_CHECK(kernel_->open_directories() == directories_.size());
  const std::uint64_t excess = kernel_->count(Counter::kForgetExcess);
  EVENFS_CHECK(excess == excess_ || !std::exchange(excess_is_known_, true));
  excess_ = excess;
}

Answer ProtocolRun::must(Message message) {
  Answer answer = kernel_->ask(std::move(message));
  EVENFS_CHECK(answer.ok());
  return answer;
}

void ProtocolRun::forget_all() {
  for (const auto& [node, fh] : files_) must(request::release(node, fh));
  for (const auto& [node, fh] : directories_) must(request::releasedir(node, fh));
  files_.clear();
  directories_.clear();
  std::vector<fuse_forget_one> all;
  for (const auto& [number, count] : held_) all.push_back({number, count});
  held_.clear();
  kernel_->ask(request::batch_forget(all));
  check_account();
}

void ProtocolRun::check_nothing_left() {
  kernel_->cache().drop_unused(kernel_->me());
  const CacheStats left = kernel_->stats();
  EVENFS_CHECK(left.inodes == 1);  // The root's.
  EVENFS_CHECK(left.dentries == 0);
  EVENFS_CHECK(left.negative_dentries == 0);
  EVENFS_CHECK(left.cells == 0);
  EVENFS_CHECK(left.orphans == 0);
  EVENFS_CHECK(store_.references() == 1);
  // Hard links are counted once for each name, so this is a bound and not an equality.
  const Result<Found> root = store_.root();
  EVENFS_CHECK(root);
  EVENFS_CHECK(store_.objects() <= 1 + reachable(store_, root->node));
  store_.release(root->node);
}

}  // namespace evenfs::test
