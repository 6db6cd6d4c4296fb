// SPDX-License-Identifier: LGPL-2.1-or-later
// HookedStore: a store that passes everything on to another, and lets a test step in between: before
// an operation (it may fail it), or after it, when the store has answered and the cache has not
// heard it yet. That gap is where a cache without leases goes wrong.
//
// A hook is called once and is forgotten before it runs, so it may use the cache itself.
// release() is only counted: it may be called with a directory's operation lock held.
//
// Allocations within it, and within the store behind, do not fail (allocation.h): they are the test's own.
// How a store looks that finds no memory is shown by kThrows.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <new>
#include <string>
#include <utility>

#include "core/store/store.h"
#include "tests/support/allocation.h"

namespace evenfs::test {

// A File that can do nothing but be there, and be counted.
class CountedHold final : public File {
 public:
  explicit CountedHold(std::atomic<int>& holds) : holds_(holds) { ++holds_; }
  ~CountedHold() override { --holds_; }
  int fd() const noexcept override { return -1; }
  Result<std::size_t> read(std::span<std::byte>, std::uint64_t) override { return Errno(EBADF); }
  Result<std::size_t> write(std::span<const std::byte>, std::uint64_t) override {
    return Errno(EBADF);
  }
  Status fsync(bool) override { return Errno(EBADF); }
  Status flush() override { return Errno(EBADF); }
  Status fallocate(int, std::uint64_t, std::uint64_t) override { return Errno(EBADF); }
  Result<std::uint64_t> lseek(std::uint64_t, int) override { return Errno(EBADF); }
  Result<std::size_t> copy_range(std::uint64_t, File&, std::uint64_t, std::size_t) override {
    return Errno(EBADF);
  }

 private:
  std::atomic<int>& holds_;
};

class HookedStore final : public Store {
 public:
  using Before = std::function<Status()>;
  using After = std::function<void()>;

  explicit HookedStore(Store& behind) : behind_(behind), caps_(behind.caps()) {}

  // As if the store were behind a network. Before the store is used.
  void set_may_be_slow() { caps_.may_be_slow = true; }

  // As if the store's files were read by this rule. Before the store is used.
  void set_atime_rule(AtimeRule rule) { caps_.atime_rule = rule; }

  // From now on what is looked up, or asked for its attributes, has changed so many seconds earlier.
  void set_older(std::int64_t seconds) { older_s_.store(seconds, std::memory_order_relaxed); }

  // The next `operation` ("lookup", "rename", ...) calls `hook` first; an error is its answer.
  void before(std::string operation, Before hook) {
    const std::lock_guard lock(mutex_);
    before_[std::move(operation)] = std::move(hook);
  }
  // The next `operation` calls `hook` when the store behind has answered.
  void after(std::string operation, After hook) {
    const std::lock_guard lock(mutex_);
    after_[std::move(operation)] = std::move(hook);
  }
  void fail(std::string operation, int error) {
    before(std::move(operation), [error] { return Status(Errno(error)); });
  }
  // The nth call of any operation from now on fails: without having reached the store behind, or after
  // the store has done it, as when its answer is lost. release() is no such call.
  enum class When { kBefore, kAfter };
  // In place of an errno: the call throws std::bad_alloc.
  static constexpr int kThrows = -1;
  void fail_nth(int n, When when, int error) {
    const std::lock_guard lock(mutex_);
    failing_ = {n, when, error};
    seen_ = 0;
  }
  // Calls since the last fail_nth().
  int seen() const {
    const std::lock_guard lock(mutex_);
    return seen_;
  }
  std::uint64_t calls(const std::string& operation) const {
    const std::lock_guard lock(mutex_);
    const auto at = calls_.find(operation);
    return at == calls_.end() ? 0 : at->second;
  }
  // Hooks that were set and not called: a test whose hook never ran proves nothing.
  std::size_t hooks_left() const {
    const std::lock_guard lock(mutex_);
    return before_.size() + after_.size();
  }
  // Called each time that the store behind has answered; to be set before others use the store.
  After after_each;
  // As a store whose Nodes do not keep their objects in being.
  bool counts_holds = false;
  std::atomic<int> holds{0};

  // What opendir() returns instead of the directory behind.
  std::function<std::unique_ptr<Directory>(std::unique_ptr<Directory>)> wrap_directory;

  // As a store some of whose names no listing shows.
  bool hides_names = false;

  std::uint64_t releases() const { return releases_.load(std::memory_order_relaxed); }

  const StoreCaps& caps() const noexcept override { return caps_; }
  StoreStats stats() const override { return behind_.stats(); }
  Result<Found> root() override {
    return around("root", [&] { return behind_.root(); });
  }
  void release(const Node& node) noexcept override {
    const AllocationPause pause;
    releases_.fetch_add(1, std::memory_order_relaxed);
    behind_.release(node);
  }
  std::unique_ptr<StoreScope> without_fsetid(const Cred& cred) override {
    return behind_.without_fsetid(cred);
  }
  Result<Found> lookup(const Node& dir, NameRef name) override {
    return around("lookup", [&] {
      Result<Found> found = behind_.lookup(dir, name);
      if (found) age(found->attr);
      return found;
    });
  }
  Result<Found> lookup_parent(const Node& dir) override {
    return around("lookup_parent", [&] { return behind_.lookup_parent(dir); });
  }
  Result<Found> find(std::uint64_t durable) override {
    return around("find", [&] { return behind_.find(durable); });
  }
  Result<Attr> getattr(const Node& node, File* file) override {
    return around("getattr", [&] {
      Result<Attr> attr = behind_.getattr(node, file);
      if (attr) age(*attr);
      return attr;
    });
  }
  Result<Attr> setattr(const Node& node, const SetAttr& change, File* file) override {
    return around("setattr", [&] { return behind_.setattr(node, change, file); });
  }
  Status access(const Node& node, const Cred& cred, int mask) override {
    return around("access", [&] { return behind_.access(node, cred, mask); });
  }
  Result<std::string> readlink(const Node& node) override {
    return around("readlink", [&] { return behind_.readlink(node); });
  }
  Result<Found> mknod(const Node& dir, NameRef name, std::uint32_t mode, std::uint64_t rdev,
                      const Cred& cred) override {
    return around("mknod", [&] { return behind_.mknod(dir, name, mode, rdev, cred); });
  }
  Result<Found> mkdir(const Node& dir, NameRef name, std::uint32_t mode,
                      const Cred& cred) override {
    return around("mkdir", [&] { return behind_.mkdir(dir, name, mode, cred); });
  }
  Result<Found> symlink(const Node& dir, NameRef name, const char* target,
                        const Cred& cred) override {
    return around("symlink", [&] { return behind_.symlink(dir, name, target, cred); });
  }
  Result<Attr> link(const Node& node, const Node& new_dir, NameRef new_name) override {
    return around("link", [&] { return behind_.link(node, new_dir, new_name); });
  }
  Status unlink(const Node& dir, NameRef name) override {
    return around("unlink", [&] { return behind_.unlink(dir, name); });
  }
  Status rmdir(const Node& dir, NameRef name) override {
    return around("rmdir", [&] { return behind_.rmdir(dir, name); });
  }
  Status rename(const Node& dir, NameRef name, const Node& new_dir, NameRef new_name,
                RenameMode mode, const Cred& cred) override {
    return around("rename",
                  [&] { return behind_.rename(dir, name, new_dir, new_name, mode, cred); });
  }
  Result<std::unique_ptr<File>> open(const Node& node, int flags) override {
    return around("open", [&] { return behind_.open(node, flags); });
  }
  Result<Created> create(const Node& dir, NameRef name, std::uint32_t mode, int flags,
                         const Cred& cred) override {
    return around("create", [&] { return behind_.create(dir, name, mode, flags, cred); });
  }
  Result<Created> tmpfile(const Node& dir, std::uint32_t mode, int flags,
                          const Cred& cred) override {
    return around("tmpfile", [&] { return behind_.tmpfile(dir, mode, flags, cred); });
  }
  Result<std::unique_ptr<Directory>> opendir(const Node& node, int flags) override {
    return around("opendir", [&]() -> Result<std::unique_ptr<Directory>> {
      Result<std::unique_ptr<Directory>> open = behind_.opendir(node, flags);
      if (open && wrap_directory) return wrap_directory(std::move(*open));
      return open;
    });
  }
  Result<std::unique_ptr<File>> hold(const Node& node) override {
    return around("hold", [&]() -> Result<std::unique_ptr<File>> {
      if (!counts_holds) return behind_.hold(node);
      return std::unique_ptr<File>(std::make_unique<CountedHold>(holds));
    });
  }
  // By those two, with their hooks.
  Result<HeldFound> lookup_and_hold(const Node& dir, NameRef name) override {
    const Result<Found> found = lookup(dir, name);
    if (!found) return found.error();
    try {
      Result<std::unique_ptr<File>> held = hold(found->node);
      return HeldFound{*found, held ? std::move(*held) : nullptr};
    } catch (...) {
      behind_.release(found->node);
      throw;
    }
  }
  bool lists_all(const Node& dir) override { return !hides_names && behind_.lists_all(dir); }
  Result<struct statvfs> statfs(const Node& node) override {
    return around("statfs", [&] { return behind_.statfs(node); });
  }
  Result<std::size_t> getxattr(const Node& node, const char* name,
                               std::span<std::byte> into) override {
    return around("getxattr", [&] { return behind_.getxattr(node, name, into); });
  }
  Result<std::size_t> listxattr(const Node& node, std::span<char> into) override {
    return around("listxattr", [&] { return behind_.listxattr(node, into); });
  }
  Status setxattr(const Node& node, const char* name, std::span<const std::byte> value,
                  int flags) override {
    return around("setxattr", [&] { return behind_.setxattr(node, name, value, flags); });
  }
  Status removexattr(const Node& node, const char* name) override {
    return around("removexattr", [&] { return behind_.removexattr(node, name); });
  }

 private:
  template <class Hook>
  Hook take(std::map<std::string, Hook>& hooks, const std::string& operation) {
    const std::lock_guard lock(mutex_);
    const auto node = hooks.extract(operation);
    return node ? std::move(node.mapped()) : Hook();
  }
  template <class Call>
  auto around(const std::string& operation, Call call) -> decltype(call()) {
    const AllocationPause pause;
    bool fails = false;
    {
      const std::lock_guard lock(mutex_);
      ++calls_[operation];
      ++seen_;
      fails = failing_.left > 0 && --failing_.left == 0;
    }
    if (const Before hook = take(before_, operation)) {
      if (const Status status = hook(); !status) return status.error();
    }
    if (fails && failing_.when == When::kBefore) return failure();
    auto answer = call();
    if (after_each) after_each();
    if (fails) {
      drop(answer);
      return failure();
    }
    if (const After hook = take(after_, operation)) hook();
    return answer;
  }

  Errno failure() const {
    if (failing_.error == kThrows) throw std::bad_alloc();
    return Errno(failing_.error);
  }

  // What nobody will hear of: its node is given back.
  void age(Attr& attr) const { attr.ctime.sec -= older_s_.load(std::memory_order_relaxed); }
  void drop(const Result<Found>& lost) {
    if (lost) behind_.release(lost->node);
  }
  void drop(const Result<Created>& lost) {
    if (lost) behind_.release(lost->found.node);
  }
  template <class Other>
  void drop(const Other&) {}

  struct Failing {
    int left = 0;  // 0: nothing is to fail.
    When when = When::kBefore;
    int error = 0;
  };

  std::atomic<std::int64_t> older_s_{0};
  Store& behind_;
  StoreCaps caps_;
  mutable std::mutex mutex_;
  Failing failing_;  // Under mutex_, as the four below; set while no call is under way.
  int seen_ = 0;
  std::map<std::string, Before> before_;
  std::map<std::string, After> after_;
  std::map<std::string, std::uint64_t> calls_;
  std::atomic<std::uint64_t> releases_{0};
};

}  // namespace evenfs::test
