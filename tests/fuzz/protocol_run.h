// SPDX-License-Identifier: LGPL-2.1-or-later
// ProtocolRun: one input of the fuzzer, as a sequence of FUSE requests to a new session over a small store
// in memory, with an account of what a kernel would hold afterwards. It aborts where that account and the
// daemon's differ, or where anything is left once all is given back.
//
// What it sends: any request, for numbers that are held, were held or were never given; names of every
// kind; messages that end early; answers that cannot be delivered; a store whose next call fails. What it
// does not send is what FakeKernel keeps from the session: forged numbers of open files, one file's under
// another's inode, and lengths that lie beyond the zeros behind a message.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/store/memory_store.h"
#include "tests/fuzz/input.h"
#include "tests/support/fake_kernel.h"

namespace evenfs::test {

class ProtocolRun {
 public:
  explicit ProtocolRun(std::span<const std::uint8_t> bytes);
  // Sends what the bytes say, then gives everything back and looks at what is left.
  void run();

 private:
  struct Handle {
    std::uint64_t node;
    std::uint64_t fh;
  };

  // A request that is built: how much of it must be sent, since the number of an open file is in it.
  struct Built {
    Message message;
    std::size_t keep = 0;
  };

  MemoryStore::Options store_options();
  void step();
  void housekeeping(std::uint8_t choice);
  Built names_request(std::uint8_t choice);
  Built two_names_request(std::uint8_t choice);
  Built attributes_request(std::uint8_t choice);
  Built xattr_request(std::uint8_t choice);
  Built forget_request(std::uint8_t choice);
  Built odd_request();
  Built open_request(std::uint8_t choice);
  Built file_request(std::uint8_t choice);
  Built directory_request(std::uint8_t choice);
  Built setattr_request();

  void send(Built built);
  void learn(std::uint32_t opcode, const Answer& answer);
  void learn_forgets(const Message& sent);
  void learn_releases(const Message& sent);
  void hold(std::uint64_t number);
  void check_answer(std::uint32_t opcode, const Answer& answer) const;
  void check_account();
  void ask_twice();

  std::uint64_t number();
  const Handle& handle(std::vector<Handle>& handles);
  std::uint64_t node_for(const Handle& handle);
  Answer must(Message message);
  void forget_all();
  void check_nothing_left();

  Input in_;
  int failure_ = 0;  // What the store's call after `failure_after_` more fails with.
  unsigned failure_after_ = 0;
  MemoryStore store_;
  std::unique_ptr<FakeKernel> kernel_;

  std::map<std::uint64_t, std::uint64_t> held_;  // Number: its lookup count. The root has one too.
  std::vector<std::uint64_t> known_;             // Every number that was ever given.
  std::vector<Handle> files_;
  std::vector<Handle> directories_;
  std::uint64_t tick_ = 0;
  std::uint64_t excess_ = 0;     // FORGETs that must have been refused.
  bool excess_is_known_ = true;  // Until one of them said 0.
  bool nonsense_ = false;        // The number last chosen was never anybody's.
};

}  // namespace evenfs::test
