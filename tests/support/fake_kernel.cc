// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/support/fake_kernel.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <numeric>

#include "fusefs/handlers.h"

namespace evenfs::test {
namespace {

constexpr std::size_t kReceivedMax = std::size_t{1} << 16;  // Bytes; what goes by socket is short.
constexpr int kReceiveMs = 30'000;

std::vector<std::byte> gather(const iovec* parts, int count) {
  std::vector<std::byte> bytes;
  for (int i = 0; i < count; ++i) {
    const auto* from = static_cast<const std::byte*>(parts[i].iov_base);
    bytes.insert(bytes.end(), from, from + parts[i].iov_len);
  }
  return bytes;
}

// Header and body, as they go over the wire.
std::vector<std::byte> bytes_of(Message message, std::uint64_t& unique) {
  fuse_in_header& header = message.header;
  if (header.unique == 0) {
    unique += 2;  // Odd numbers are for interrupts.
    header.unique = unique;
  }
  if (header.len == 0) {
    header.len = static_cast<std::uint32_t>(sizeof(header) + message.body.size());
  }
  const auto head = std::as_bytes(std::span(&header, 1));
  std::vector<std::byte> bytes(head.begin(), head.end());
  bytes.insert(bytes.end(), message.body.begin(), message.body.end());
  return bytes;
}

Answer to_answer(std::span<const std::byte> bytes, fuse_out_header& header) {
  EVENFS_CHECK(bytes.size() >= sizeof(header));
  std::memcpy(&header, bytes.data(), sizeof(header));
  EVENFS_CHECK(header.len == bytes.size());
  Answer answer;
  answer.came = true;
  // Errors are negative on the wire; the kernel takes anything else for a broken daemon.
  if (header.unique != 0) {
    EVENFS_CHECK(header.error <= 0 && header.error > -1000);
    EVENFS_CHECK(header.error == 0 || bytes.size() == sizeof(header));
  }
  answer.error = -header.error;
  answer.body.assign(bytes.begin() + sizeof(header), bytes.end());
  return answer;
}

}  // namespace

Message& Message::add_bytes(std::span<const std::byte> bytes) {
  body.insert(body.end(), bytes.begin(), bytes.end());
  return *this;
}

std::vector<Listed> parse_listing(const Answer& answer, bool plus) {
  std::vector<Listed> names;
  const std::size_t prefix = plus ? sizeof(fuse_entry_out) : 0;
  for (std::size_t at = 0; at < answer.body.size();) {
    Listed one;
    if (plus) one.nodeid = answer.get<fuse_entry_out>(at).nodeid;
    const auto entry = answer.get<fuse_dirent>(at + prefix);
    const std::size_t name_at = at + prefix + FUSE_NAME_OFFSET;
    EVENFS_CHECK(entry.namelen > 0 && name_at + entry.namelen <= answer.body.size());
    one.name = answer.text().substr(name_at, entry.namelen);
    EVENFS_CHECK(one.name.find('/') == one.name.npos && one.name.find('\0') == one.name.npos);
    one.ino = entry.ino;
    one.next = entry.off;
    one.type = entry.type;
    names.push_back(one);
    at += FUSE_REC_ALIGN(prefix + FUSE_NAME_OFFSET + entry.namelen);
    EVENFS_CHECK(at <= answer.body.size());
  }
  return names;
}

FakeKernel::Settings FakeKernel::small() {
  Settings settings;
  settings.cache.memory_bytes = std::uint64_t{1} << 20;
  settings.cache.hash_seed = 0x5eed'5eed'5eed'5eed;
  return settings;
}

FakeKernel::FakeKernel(Store& store, const Settings& settings) {
  Result<std::unique_ptr<Cache>> cache = make_cache(settings.locking, store, settings.cache);
  EVENFS_CHECK(cache);
  cache_ = std::move(cache).value();
  options_.source = "test";
  options_.mountpoint = "nowhere";
  options_.threads = settings.threads;
  stats_.emplace(options_, *cache_, store, registry_, files_, directories_);
  behind_.emplace(Behind{
      {*cache_, store, settings.entry_timeout_s, settings.attr_timeout_s,
       settings.negative_timeout_s, settings.attr_timeout_s,
       settings.watched || settings.cache.ttl_ticks == kForeverTicks, *stats_, files_, directories_,
       registry_, Transport::kFd, settings.watched,
       settings.cache.ttl_ticks == 0 && settings.attr_timeout_s == 0, settings.least_timeout_s},
      this});
  ops_ = make_handlers();
  make_session();
  behind_->teller = settings.teller;
  behind_->session = session_;
  loop_ = std::make_unique<WorkerLoop>(session_, settings.threads, [this](const auto& serve) {
    ThreadState state(registry_);
    this_thread_state = &state;
    serve();
    this_thread_state = nullptr;
  });
  stats_->set_loop(*loop_);
  state_ = std::make_unique<ThreadState>(registry_);
  this_thread_state = state_.get();
  Result<Mapping> memory = Mapping::anonymous(kRequestBytesMax + kPadding);
  EVENFS_CHECK(memory);
  memory_ = std::move(memory).value();
}

// As at the daemon's end: threads, session, what is open, cache.
FakeKernel::~FakeKernel() {
  hang_up();
  EVENFS_CHECK(stop());
  loop_.reset();
  fuse_session_destroy(session_);  // Closes the session's end.
  this_thread_state = nullptr;
}

void FakeKernel::make_session() {
  std::string program = "evenfs";
  std::array<char*, 1> arguments = {program.data()};
  fuse_args args = FUSE_ARGS_INIT(1, arguments.data());
  session_ = fuse_session_new(&args, &ops_, sizeof(ops_), static_cast<Daemon*>(&*behind_));
  fuse_opt_free_args(&args);
  EVENFS_CHECK(session_ != nullptr);
  std::array<int, 2> ends{};
  EVENFS_CHECK(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) == 0);
  kernel_end_.reset(ends[1]);
  fuse_custom_io io{};
  io.writev = write_hook;
  io.read = read_hook;
  EVENFS_CHECK(fuse_session_custom_io(session_, &io, sizeof(io), ends[0]) == 0);
}

ssize_t FakeKernel::write_hook(int fd, iovec* parts, int count, void* userdata) {
  FakeKernel& kernel = *static_cast<Behind*>(static_cast<Daemon*>(userdata))->kernel;
  if (kernel.started_) return ::writev(fd, parts, count);
  const AllocationPause pause;
  const std::vector<std::byte> bytes = gather(parts, count);
  if (const int error = kernel.take_answer(bytes); error != 0) {
    errno = error;
    return -1;
  }
  return static_cast<ssize_t>(bytes.size());
}

// libfuse wants one; the daemon reads by itself.
ssize_t FakeKernel::read_hook(int fd, void* into, std::size_t size, void* /*userdata*/) {
  return ::read(fd, into, size);
}

// Returns the errno that refuses it, or 0.
int FakeKernel::take_answer(std::span<const std::byte> bytes) {
  fuse_out_header header{};
  Answer answer = to_answer(bytes, header);
  if (header.unique == 0) {  // Not an answer, but a message of the daemon's own.
    notifications_.push_back(header.error);
    return 0;
  }
  EVENFS_CHECK(header.unique == awaited_);
  EVENFS_CHECK(!std::exchange(answered_, true));
  if (refusal_ != 0) return std::exchange(refusal_, 0);
  answer_ = std::move(answer);
  if (when_answered_) when_answered_(answer_);
  return 0;
}

bool FakeKernel::wants_answer(std::uint32_t opcode) {
  return opcode != FUSE_FORGET && opcode != FUSE_BATCH_FORGET && opcode != FUSE_NOTIFY_REPLY;
}

Answer FakeKernel::ask(Message message) {
  EVENFS_CHECK(!started_);
  const std::uint32_t opcode = message.header.opcode;
  const std::vector<std::byte> bytes = bytes_of(std::move(message), unique_);
  EVENFS_CHECK(bytes.size() <= kRequestBytesMax);
  std::ranges::copy(bytes, memory_.base());
  fuse_in_header header{};
  std::memcpy(&header, bytes.data(), sizeof(header));
  awaited_ = header.unique;
  answered_ = false;
  answer_ = Answer();
  fuse_buf buffer{};
  buffer.mem = memory_.base();
  buffer.size = bytes.size();
  {
    const AllocationFault fault(std::exchange(failing_, 0), shortage_);
    fuse_session_process_buf(session_, &buffer);
    allocations_ = fault.seen();
  }
  EVENFS_CHECK(answered_ || !wants_answer(opcode));
  refusal_ = 0;
  std::fill_n(memory_.base(), bytes.size(), std::byte{0});
  return std::move(answer_);
}

fuse_init_in FakeKernel::init_of_today() {
  fuse_init_in in{};
  in.major = FUSE_KERNEL_VERSION;
  in.minor = FUSE_KERNEL_MINOR_VERSION;
  in.max_readahead = 1U << 17;
  // Everything but io_uring and idmapped mounts, which are of flags2.
  in.flags = ~0U;
  in.flags2 = 0;
  return in;
}

fuse_init_out FakeKernel::negotiate() {
  const Answer answer = ask(Message(FUSE_INIT, 0).add(init_of_today()));
  EVENFS_CHECK(answer.ok());
  return answer.get<fuse_init_out>();
}

void FakeKernel::start() {
  EVENFS_CHECK(!std::exchange(started_, true));
  EVENFS_CHECK(loop_->start());
}

std::uint64_t FakeKernel::send(Message message) {
  const std::vector<std::byte> bytes = bytes_of(std::move(message), unique_);
  send_bytes(bytes);
  return unique_;
}

void FakeKernel::send_bytes(std::span<const std::byte> bytes) {
  EVENFS_CHECK(::write(kernel_end_.get(), bytes.data(), bytes.size()) ==
               static_cast<ssize_t>(bytes.size()));
}

std::optional<std::pair<std::uint64_t, Answer>> FakeKernel::receive() {
  pollfd ready{kernel_end_.get(), POLLIN, 0};
  if (::poll(&ready, 1, kReceiveMs) != 1) return std::nullopt;
  std::array<std::byte, kReceivedMax> bytes;
  // With MSG_TRUNC: the length that was sent, also of what did not fit.
  const ssize_t got = ::recv(kernel_end_.get(), bytes.data(), bytes.size(), MSG_TRUNC);
  if (got <= 0) return std::nullopt;
  EVENFS_CHECK(static_cast<std::size_t>(got) <= bytes.size());
  fuse_out_header header{};
  Answer answer = to_answer(std::span(bytes).first(static_cast<std::size_t>(got)), header);
  return std::pair(header.unique, std::move(answer));
}

bool FakeKernel::wait_for_end() const {
  pollfd ended{loop_->ended_fd(), POLLIN, 0};
  return ::poll(&ended, 1, kReceiveMs) == 1;
}

}  // namespace evenfs::test
