// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/statloop/reader.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <limits>

#include "tools/statloop/worker.h"

namespace evenfs::statloop {
namespace {

constexpr std::size_t kPlanMin = std::size_t{1} << 12;
constexpr std::size_t kPlanMax = std::size_t{1} << 20;
// Share of changing names among those a worker asks for, where there are any.
constexpr std::uint64_t kChangingPercent = 50;

struct Answer {
  int error = 0;
  Seen seen;
  std::array<char, 256> link{};
  std::size_t link_length = 0;
};

Op pick_op(const Options& options, Random& random) {
  if (options.op != Op::kMix) return options.op;
  const std::uint64_t percent = random.below(100);
  if (percent < 40) return Op::kStat;
  if (percent < 70) return Op::kLookup;
  return percent < 90 ? Op::kAccess : Op::kReadlink;
}

int ask_lookup(const Target& target, Seen& seen) {
  struct statx from {};
  if (::statx(target.dir_fd, target.path.c_str(), AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC,
              STATX_BASIC_STATS, &from) != 0) {
    return errno;
  }
  seen = {
      .mode = from.stx_mode, .size = from.stx_size, .links = from.stx_nlink, .ino = from.stx_ino};
  return 0;
}

int ask_link(const Target& target, Answer& answer) {
  const ssize_t length =
      ::readlinkat(target.dir_fd, target.link_path.c_str(), answer.link.data(), answer.link.size());
  if (length < 0) return errno;
  answer.link_length = static_cast<std::size_t>(length);
  return 0;
}

// --op=none: the right answer without asking.
int ask_nobody(const Target& target, Seen& seen) {
  if (target.expect.cls == NameClass::kMissing) return ENOENT;
  seen = {.mode = S_IFREG | kModeA, .size = target.expect.min_size, .links = 1, .ino = target.ino};
  return 0;
}

void ask(const Target& target, const Step& step, Answer& answer) {
  struct stat from {};
  int status = 0;
  switch (step.op) {
    case Op::kLookup:
      answer.error = ask_lookup(target, answer.seen);
      return;
    case Op::kReadlink:
      answer.error = ask_link(target, answer);
      return;
    case Op::kNone:
      answer.error = ask_nobody(target, answer.seen);
      return;
    case Op::kAccess:
      status = ::faccessat(target.dir_fd, target.path.c_str(), step.access_mode, 0);
      break;
    case Op::kFstat:
      status = ::fstat(target.fd, &from);
      break;
    default:
      status = ::fstatat(target.dir_fd, target.path.c_str(), &from, AT_SYMLINK_NOFOLLOW);
      break;
  }
  answer.error = status == 0 ? 0 : errno;
  answer.seen = seen_of(from);
}

void check_access(const Target& target, const Step& step, int error, Findings& findings) {
  if (step.access_mode == X_OK && error == EACCES) return;  // No file is executable.
  if (error != 0) return findings.error(target.expect, "access", target.path, error);
  if (step.access_mode == X_OK) {
    findings.wrong("access X_OK", target.path, "granted, but no file is executable", "no error");
  } else if (target.expect.cls == NameClass::kMissing) {
    findings.wrong("access", target.path, "granted, but the name never existed", "no error");
  }
}

void check_link(const Target& target, const Answer& answer, Findings& findings) {
  if (answer.error != 0) {
    Expect expect = target.expect;
    if (expect.cls != NameClass::kMissing) expect.cls = NameClass::kLink;
    return findings.error(expect, "readlink", target.link_path, answer.error);
  }
  const std::string_view link(answer.link.data(), answer.link_length);
  if (link != target.link_target) {
    findings.wrong("readlink", target.link_path, "another target", std::string(link));
  }
}

void check(const Target& target, const Step& step, const Answer& answer, Findings& findings) {
  if (step.op == Op::kAccess) return check_access(target, step, answer.error, findings);
  if (step.op == Op::kReadlink) return check_link(target, answer, findings);
  if (answer.error != 0) {
    return findings.error(target.expect, name_of(step.op), target.path, answer.error);
  }
  const std::string_view why = wrong_stat(target.expect, answer.seen, target.ino);
  if (!why.empty()) findings.wrong(name_of(step.op), target.path, why, describe(answer.seen));
}

// Where one part of the run (warm-up, measurement) ends.
struct Bounds {
  std::int64_t end_ns;
  std::uint64_t ops;
};

}  // namespace

std::vector<Step> make_plan(const Options& options, const Tree& tree, unsigned worker) {
  std::vector<std::uint32_t> stable;
  std::vector<std::uint32_t> changing;
  if (options.set != Set::kMissing) {
    for (const Leaf* leaf : tree.leaves_of(worker)) {
      stable.insert(stable.end(), leaf->stable.begin(), leaf->stable.end());
      if (options.set == Set::kOneFile) continue;
      changing.insert(changing.end(), leaf->changing.begin(), leaf->changing.end());
    }
  }
  std::vector<std::uint32_t> unlinked = stable;  // What readlink and fstat may be asked of.
  if (options.op != Op::kFstat) {
    stable.insert(stable.end(), tree.missing().begin(), tree.missing().end());
    if (options.set == Set::kMissing) unlinked = tree.missing();
  }
  Random random(mix64(options.seed) + worker);
  std::vector<Step> plan(std::bit_ceil(std::clamp(stable.size() * 4, kPlanMin, kPlanMax)));
  for (Step& step : plan) {
    step.op = pick_op(options, random);
    const bool fixed = step.op == Op::kReadlink || step.op == Op::kFstat;
    const bool moving = !fixed && !changing.empty() && random.below(100) < kChangingPercent;
    const std::vector<std::uint32_t>& from = moving ? changing : fixed ? unlinked : stable;
    step.target = from[random.below(from.size())];
    step.access_mode = random.below(2) == 0 ? R_OK : X_OK;
  }
  return plan;
}

namespace {

class Reader {
 public:
  Reader(const Options& options, const Tree& tree, const std::vector<Step>& plan,
         Findings& findings, Control& control, WorkerResult& result)
      : options_(options),
        targets_(tree.targets()),
        plan_(plan),
        findings_(findings),
        control_(control),
        result_(result) {}

  void run(const Bounds& bounds) {
    std::uint32_t until_timed = 1;
    const std::size_t mask = plan_.size() - 1;
    result_.ops = 0;
    result_.latency_ns = Histogram();
    const std::int64_t begin = now_ns();
    std::int64_t now = begin;
    while (result_.ops < bounds.ops && now < bounds.end_ns) {
      const Step& step = plan_[next_++ & mask];
      const Target& target = targets_[step.target];
      if (--until_timed == 0) {
        until_timed = options_.sample;
        if (control_.stop.load(std::memory_order_relaxed)) break;
        const std::int64_t before = now_ns();
        ask(target, step, answer_);
        now = now_ns();
        result_.latency_ns.record(static_cast<std::uint64_t>(now - before));
      } else {
        ask(target, step, answer_);
      }
      check(target, step, answer_, findings_);
      ++result_.ops;
      ++result_.checked;
    }
    result_.elapsed_ns = now_ns() - begin;
  }

 private:
  const Options& options_;
  const std::vector<Target>& targets_;
  const std::vector<Step>& plan_;
  Findings& findings_;
  Control& control_;
  WorkerResult& result_;
  Answer answer_;
  std::size_t next_ = 0;
};

}  // namespace

void run_reader(const Options& options, const Tree& tree, const std::vector<Step>& plan,
                unsigned worker, Control& control, WorkerResult& result) {
  constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
  constexpr std::uint64_t kNoLimit = std::numeric_limits<std::uint64_t>::max();
  Findings findings(control, result, fmt::format("worker {}", worker));
  Reader reader(options, tree, plan, findings, control, result);
  const std::int64_t start = wait_for_start(control);
  if (start == 0) return;
  const std::int64_t warm = start + static_cast<std::int64_t>(options.warmup_s * 1e9);
  if (options.warmup_s > 0) reader.run({.end_ns = warm, .ops = kNoLimit});
  const std::int64_t end =
      options.seconds > 0 ? warm + static_cast<std::int64_t>(options.seconds * 1e9) : kNever;
  reader.run({.end_ns = end, .ops = options.ops == 0 ? kNoLimit : options.ops});
  result.finished = true;
}

}  // namespace evenfs::statloop
