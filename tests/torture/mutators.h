// SPDX-License-Identifier: LGPL-2.1-or-later
// Those who change things, each by one thread, through the cache; what they do is in the oracle's histories.
#pragma once

#include "tests/support/cache_fixture.h"
#include "tests/torture/checks.h"

namespace evenfs::test {

template <class Policy>
class Mutators {
 public:
  // Builds the tree. The ids of the directories and tokens stay counted until forget_all().
  Mutators(World<Policy>& w, Oracle& oracle) : w_(w), oracle_(oracle) {
    for (unsigned home = 0; home < kHomes; ++home) homes_[home] = dir(kRoot, home_name(home));
    for (unsigned token = 0; token < kTokens; ++token) {
      const NodeId home = homes_[home_of(token, 0)];
      tokens_[token] = w.mknod(home, token_name(token), kTokenMode | token).id;
    }
    vault_ = dir(kRoot, "vault");
    secret_ = w.mknod(vault_, "f", kOpenMode).id;
    p_ = dir(kRoot, "p");
    q_ = dir(kRoot, "q");
    w.forget(w.mknod(p_, "t", exchanged_mode(true, 0)).id);
    w.forget(w.mknod(q_, "t", exchanged_mode(false, 0)).id);
    w.forget(w.mknod(p_, "who", parent_mode(0)).id);
    w.forget(w.mknod(q_, "who", parent_mode(1)).id);
    oracle.moving = dir(p_, "m");
    w.forget(w.mknod(kRoot, "one", link_mode(0)).id);
    w.forget(w.mknod(kRoot, "two", link_mode(1)).id);
    w.forget(w.symlink(kRoot, "l", "one").id);
    churn_ = dir(kRoot, "churn");
    hard_ = w.mknod(kRoot, "h", kHardMode).id;
  }

  void forget_all() {
    for (const NodeId id : homes_) w_.forget(id);
    for (const NodeId id : tokens_) w_.forget(id);
    for (const NodeId id : {vault_, secret_, p_, q_, oracle_.moving, churn_, hard_}) w_.forget(id);
  }

  // --- One thread each.

  void change_tokens(Worker& me, std::mt19937_64& random) {
    const auto token = static_cast<unsigned>(random() % kTokens);
    if (random() % 2 == 0) {
      History& moves = oracle_.moves[token];
      const std::uint64_t n = moves.begin();
      rename(me, homes_[home_of(token, n - 1)], token_name(token), homes_[home_of(token, n)],
             token_name(token), RenameMode::kReplace);
      moves.end();
      return;
    }
    SetAttr cut;
    cut.size = oracle_.versions[token].begin();
    must(code(w_.cache->setattr(me, tokens_[token], cut, nullptr)), "truncate");
    oracle_.versions[token].end();
  }

  void change_places(Worker& me, std::mt19937_64& random) {
    switch (random() % 4) {
      case 0:
        return flap(me);
      case 1:
        oracle_.exchange.begin();
        rename(me, p_, "t", q_, "t", RenameMode::kExchange);
        return oracle_.exchange.end();
      case 2: {
        const bool to_q = oracle_.mover.begin() % 2 != 0;
        rename(me, to_q ? p_ : q_, "m", to_q ? q_ : p_, "m", RenameMode::kReplace);
        return oracle_.mover.end();
      }
      default: {
        const char* target = oracle_.link.begin() % 2 != 0 ? "two" : "one";
        make(me, kRoot, "l.new",
             [&] { return w_.cache->symlink(me, kRoot, name_of("l.new"), target, kSuper); });
        rename(me, kRoot, "l.new", kRoot, "l", RenameMode::kReplace);
        return oracle_.link.end();
      }
    }
  }

  void come_and_go(Worker& me, std::mt19937_64& random) {
    const std::uint64_t what = random() % 16;
    if (what == 0) return w_.cache->drop_unused(me);
    if (what == 1) return w_.cache->housekeep(me);
    if (what == 2) return w_.cache->invalidate(tokens_[random() % kTokens]);
    if (what == 4 && random() % 2 == 0) return list(me, random);
    if (what == 3) {
      const auto token = static_cast<unsigned>(random() % kTokens);
      return w_.cache->invalidate_name(me, homes_[random() % kHomes], name_of(token_name(token)));
    }
    if (what < 7) {
      const auto i = static_cast<unsigned>(random() % kHardLinks);
      return toggle(me, oracle_.hard[i], kRoot, hard_name(i),
                    [&](NameRef name) { return w_.cache->link(me, hard_, kRoot, name); });
    }
    const auto i = static_cast<unsigned>(random() % kChurned);
    toggle(me, oracle_.churn[i], churn_, churned_name(i), [&](NameRef name) {
      return w_.cache->mknod(me, churn_, name, S_IFREG | kChurnedMode | i, 0, kSuper);
    });
  }

  // Then all names of a directory may be known.
  void list(Worker& me, std::mt19937_64& random) {
    const NodeId dirs[] = {kRoot, churn_, p_, homes_[random() % kHomes]};
    (void)w_.list(dirs[random() % std::size(dirs)], me);
  }

  NodeId home(unsigned i) const { return homes_[i]; }
  NodeId churn() const { return churn_; }

 private:
  static constexpr int kPatience = 10000;

  NodeId dir(NodeId parent, const std::string& name) { return w_.mkdir(parent, name, 0755).id; }

  void must(int error, const char* what) {
    if (error != 0) oracle_.report("%s: error %d", what, error);
  }

  void flap(Worker& me) {
    SetAttr to;
    const auto chmod = [&](NodeId id, std::uint32_t mode) {
      to.mode = mode;
      must(code(w_.cache->setattr(me, id, to, nullptr)), "chmod");
    };
    oracle_.vault.begin();
    chmod(vault_, 0700);
    oracle_.vault.end();
    chmod(secret_, kSecretMode);
    (void)w_.cache->peek(me, vault_, name_of("f"));
    chmod(secret_, kOpenMode);
    oracle_.vault.begin();
    chmod(vault_, 0755);
    oracle_.vault.end();
  }

  // With so few slots all of them may be in use for a moment: ENOMEM, and nothing was done.
  void rename(Worker& me, NodeId from, const std::string& name, NodeId to,
              const std::string& new_name, RenameMode mode) {
    int error = ENOMEM;
    for (int i = 0; i < kPatience && error == ENOMEM; ++i) {
      error = code(w_.cache->rename(me, from, name_of(name), to, name_of(new_name), mode, kSuper));
    }
    must(error, "rename");
  }

  // The object may have been made and found no slot: then it is taken away and made again.
  template <class Make>
  void make(Worker& me, NodeId dir, const std::string& name, Make call) {
    for (int i = 0; i < kPatience; ++i) {
      const Result<Entry> made = call();
      if (made) return w_.cache->forget(me, made->id, 1);
      if (code(made) != ENOMEM) return must(code(made), "make");
      remove(me, dir, name);
    }
    must(ENOMEM, "make");
  }
  void remove(Worker& me, NodeId dir, const std::string& name) {
    int error = ENOMEM;
    for (int i = 0; i < kPatience && error == ENOMEM; ++i) {
      error = code(w_.cache->unlink(me, dir, name_of(name)));
    }
    must(error, "unlink");
  }

  template <class Make>
  void toggle(Worker& me, History& history, NodeId dir, const std::string& name, Make call) {
    if (history.begin() % 2 != 0) {
      make(me, dir, name, [&] { return call(name_of(name)); });
    } else {
      remove(me, dir, name);
    }
    history.end();
  }

  World<Policy>& w_;
  Oracle& oracle_;
  NodeId homes_[kHomes];
  NodeId tokens_[kTokens];
  NodeId vault_, secret_, p_, q_, churn_, hard_;
};

}  // namespace evenfs::test
