// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/statloop/mutator.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <vector>

#include "tools/statloop/object.h"
#include "tools/statloop/worker.h"

namespace evenfs::statloop {
namespace {

class Mutator {
 public:
  Mutator(const Options& options, const Tree& tree, unsigned mutator, Control& control,
          WorkerResult& result)
      : result_(result),
        findings_(control, result, fmt::format("mutator {}", mutator)),
        random_(mix64(~options.seed) + mutator),
        exchanges_(options.exchange) {
    for (const Changing& changing : tree.changing_of(mutator)) add(changing);
    for (std::size_t kind = 0; kind < options.mutate.size(); ++kind) {
      if (options.mutate[kind]) kinds_.push_back(static_cast<Mutation>(kind));
    }
  }

  void mutate() {
    switch (kinds_[random_.below(kinds_.size())]) {
      case Mutation::kCreate:
      case Mutation::kUnlink:
        return create_or_unlink(pick(coming_));
      case Mutation::kRename:
        if (random_.below(2) == 0) return move(pick(moved_));
        if (!exchanges_ || random_.below(2) == 0) return replace(pick(replaced_));
        return exchange(pick(replaced_));
      case Mutation::kChmod:
        return change_mode(pick_file());
      case Mutation::kWrite:
        return write(pick_file());
    }
  }

 private:
  void add(const Changing& from);
  Object& pick(std::vector<Object>& from) { return from[random_.below(from.size())]; }
  // A file for chmod and write: one that stays, or now and then one that moves.
  Object& pick_file() {
    return stable_.empty() || random_.below(4) == 0 ? pick(moved_) : pick(stable_);
  }

  void create_or_unlink(Object& object);
  void move(Object& object);
  void replace(Object& object);
  void exchange(Object& object);
  void change_mode(Object& object);
  void write(Object& object);
  int write_size(const Side& side, const Expect& expect, std::uint64_t size);

  // Times `call`, which sets errno if it is not 0, and counts it as a mutation; false if it
  // failed, which is a finding.
  template <class Call>
  bool timed(Mutation kind, std::string_view what, const std::string& name, const Call& call) {
    const std::int64_t before = now_ns();
    const int error = call() == 0 ? 0 : errno;
    result_.latency_ns.record(static_cast<std::uint64_t>(now_ns() - before));
    if (error != 0) {
      findings_.unexpected(what, name, error);
      return false;
    }
    ++result_.ops;
    ++result_.mutations[static_cast<std::size_t>(kind)];
    return true;
  }

  // Compares the name with what it must report after this mutator's own change.
  void verify(std::string_view after, Side& side, bool size_and_mode = true);

  WorkerResult& result_;
  Findings findings_;
  Random random_;
  const bool exchanges_;
  std::vector<Mutation> kinds_;
  std::vector<Object> stable_;
  std::vector<Object> moved_;
  std::vector<Object> replaced_;
  std::vector<Object> coming_;
};

void Mutator::add(const Changing& from) {
  const Expect& expect = from.expect;
  Object object{.expect = expect, .shared = from.shared, .a = {}, .b = {}};
  object.a = {.dir_fd = from.dir_fd,
              .name = from.name,
              .present = expect.cls != NameClass::kComesAndGoes,
              .size = expect.min_size};
  object.b = {.dir_fd = from.other_fd,
              .name = from.other,
              .present = expect.cls == NameClass::kReplaced,
              .size = expect.min_size};
  switch (expect.cls) {
    case NameClass::kMoved:
      return moved_.push_back(std::move(object));
    case NameClass::kReplaced:
      return replaced_.push_back(std::move(object));
    case NameClass::kComesAndGoes:
      return coming_.push_back(std::move(object));
    default:
      return stable_.push_back(std::move(object));
  }
}

void Mutator::verify(std::string_view after, Side& side, bool size_and_mode) {
  struct stat from {};
  ++result_.checked;
  if (::fstatat(side.dir_fd, side.name.c_str(), &from, AT_SYMLINK_NOFOLLOW) != 0) {
    const int error = errno;
    if (error != ENOENT) return findings_.unexpected("stat", side.name, error);
    if (side.present) findings_.wrong(after, side.name, "missing right after its change", "ENOENT");
    return;
  }
  const Seen seen = seen_of(from);
  std::string_view why;
  if (!side.present) {
    why = "present right after it was taken away";
  } else if (side.ino != 0 && seen.ino != side.ino) {
    why = "another inode number than before its change";
  } else if (seen.links != 1) {
    why = "wrong link count right after its change";
  } else if (size_and_mode && seen.size != side.size) {
    why = "not the size that it was just given";
  } else if (size_and_mode && seen.mode != (S_IFREG | side.mode)) {
    why = "not the mode that it was just given";
  }
  if (!why.empty()) {
    return findings_.wrong(after, side.name, why,
                           fmt::format("{}; due: mode {:o}, size {}, ino {}", describe(seen),
                                       side.mode, side.size, side.ino));
  }
  side.ino = seen.ino;
}

// Brings a file to one of its two sizes with one call that no stat can see half done. -1: errno
// says why.
int Mutator::write_size(const Side& side, const Expect& expect, std::uint64_t size) {
  const UniqueFd fd(::openat(side.dir_fd, side.name.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return -1;
  if (size < expect.max_size) {
    return ::ftruncate(fd.get(), static_cast<off_t>(size));
  }
  // A fixed size may be large; then one byte is written over and only the times change.
  const bool fixed = expect.min_size == expect.max_size;
  static constexpr std::array<char, 4096> kZeros{};
  const std::uint64_t length = fixed ? std::min<std::uint64_t>(size, 1) : size - expect.min_size;
  const off_t at = fixed ? 0 : static_cast<off_t>(expect.min_size);
  const ssize_t written = ::pwrite(fd.get(), kZeros.data(), length, at);
  if (written == static_cast<ssize_t>(length)) return 0;
  if (written >= 0) errno = EIO;
  return -1;
}

void Mutator::create_or_unlink(Object& object) {
  Side& side = object.a;
  if (side.present) {
    const bool done = timed(Mutation::kUnlink, "unlink", side.name,
                            [&] { return ::unlinkat(side.dir_fd, side.name.c_str(), 0); });
    if (!done) return;
    side = {.dir_fd = side.dir_fd, .name = side.name};
    return verify("unlink", side);
  }
  const bool done = timed(Mutation::kCreate, "create", side.name, [&] {
    const int flags = O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC;
    return UniqueFd(::openat(side.dir_fd, side.name.c_str(), flags, kModeA)) ? 0 : -1;
  });
  if (!done) return;
  side.present = true;
  side.size = 0;
  if (random_.below(2) == 0) {
    if (write_size(side, object.expect, object.expect.max_size) != 0) {
      return findings_.unexpected("write", side.name, errno);
    }
    side.size = object.expect.max_size;
  }
  verify("create", side);
}

void Mutator::move(Object& object) {
  Side& from = object.current();
  Side& to = object.a.present ? object.b : object.a;
  const bool done = timed(Mutation::kRename, "rename", from.name, [&] {
    return ::renameat(from.dir_fd, from.name.c_str(), to.dir_fd, to.name.c_str());
  });
  if (!done) return;
  move_state(from, to);
  verify("rename (new name)", to);
  verify("rename (old name)", from);
}

// Makes a temporary and renames it over a name, which must exist at every instant.
void Mutator::replace(Object& object) {
  Side& side = random_.below(2) == 0 ? object.a : object.b;
  Expect expect = object.expect;
  expect.cls = NameClass::kTemporary;
  const std::string temporary = make_name(expect);
  const std::uint64_t size = random_.below(2) == 0 ? expect.min_size : expect.max_size;
  if (const int error = make_file(side.dir_fd, temporary.c_str(), size)) {
    return findings_.unexpected("create", temporary, error);
  }
  const bool done = timed(Mutation::kRename, "replace", side.name, [&] {
    return ::renameat(side.dir_fd, temporary.c_str(), side.dir_fd, side.name.c_str());
  });
  if (!done) return;
  side.size = size;
  side.mode = kModeA;
  side.ino = 0;
  verify("replace", side);
}

void Mutator::exchange(Object& object) {
  Side& a = object.a;
  Side& b = object.b;
  const bool done = timed(Mutation::kRename, "exchange", a.name, [&] {
    return ::renameat2(a.dir_fd, a.name.c_str(), b.dir_fd, b.name.c_str(), RENAME_EXCHANGE);
  });
  if (!done) return;
  std::swap(a.size, b.size);
  std::swap(a.mode, b.mode);
  std::swap(a.ino, b.ino);
  verify("exchange", a);
  verify("exchange", b);
}

void Mutator::change_mode(Object& object) {
  Side& side = object.current();
  const mode_t mode = random_.below(2) == 0 ? kModeA : kModeB;
  const bool done = timed(Mutation::kChmod, "chmod", side.name,
                          [&] { return ::fchmodat(side.dir_fd, side.name.c_str(), mode, 0); });
  if (!done) return;
  side.mode = mode;
  verify("chmod", side, !object.shared);
}

void Mutator::write(Object& object) {
  Side& side = object.current();
  const Expect& expect = object.expect;
  // Of a file that others write too, the present size is not known: either end will do.
  const bool grow = object.shared ? random_.below(2) == 0 : side.size == expect.min_size;
  const std::uint64_t size = grow ? expect.max_size : expect.min_size;
  const bool done =
      timed(Mutation::kWrite, "write", side.name, [&] { return write_size(side, expect, size); });
  if (!done) return;
  side.size = size;
  verify("write", side, !object.shared);
}

}  // namespace

void run_mutator(const Options& options, const Tree& tree, unsigned mutator, Control& control,
                 WorkerResult& result) {
  Mutator work(options, tree, mutator, control, result);
  const std::int64_t start = wait_for_start(control);
  if (start == 0) return;
  const double interval_ns = options.rate > 0 ? 1e9 / options.rate : 0;
  for (std::uint64_t i = 0;; ++i) {
    const auto due = start + static_cast<std::int64_t>(static_cast<double>(i) * interval_ns);
    if (!wait_until(due, control)) break;
    work.mutate();
  }
  result.elapsed_ns = now_ns() - start;
  result.finished = true;
}

}  // namespace evenfs::statloop
