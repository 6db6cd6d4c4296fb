// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/statloop/tree.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

namespace evenfs::statloop {
namespace {

constexpr unsigned kEverybody = ~0u;
constexpr std::uint64_t kOneWriteMax = 4095;  // Within a page, so never seen half done.

std::string failed(std::string_view what, const std::string& name, int error) {
  return fmt::format("{} {}: {}", what, name, std::strerror(error));
}

// One descriptor for each file that is asked with fstat, and some for the rest.
std::string allow_descriptors(std::uint64_t files) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return failed("getrlimit", "", errno);
  const rlim_t wanted = files + 256;
  if (limit.rlim_cur >= wanted) return {};
  limit.rlim_max = std::max(limit.rlim_max, wanted);
  limit.rlim_cur = wanted;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) {
    return fmt::format("--op=fstat needs {} descriptors: {}", wanted, std::strerror(errno));
  }
  return {};
}

}  // namespace

int make_file(int dir_fd, const char* name, std::uint64_t size) {
  const UniqueFd fd(::openat(dir_fd, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, kModeA));
  if (!fd) return errno;
  if (size != 0 && ::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) return errno;
  return 0;
}

Tree::~Tree() { remove(); }

std::string Tree::remove() {
  if (options_ == nullptr || options_->keep) return {};
  std::string wrong;
  for (const std::string& name : made_) {
    std::error_code error;
    std::filesystem::remove_all(std::filesystem::path(options_->dir) / name, error);
    if (error) wrong = fmt::format("removing {}: {}", name, error.message());
  }
  made_.clear();
  return wrong;
}

std::string Tree::build(const Options& options) {
  options_ = &options;
  ::umask(0);
  root_.reset(::open(options.dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root_) return failed("open", options.dir, errno);
  if (std::string wrong = make_dirs(); !wrong.empty()) return wrong;
  const unsigned stable = options.set == Set::kOneFile ? 1 : options.files;
  if (options.op == Op::kFstat) {
    std::string wrong = allow_descriptors(std::uint64_t{stable} * leaves_.size());
    if (!wrong.empty()) return wrong;
  }
  for (Leaf& leaf : leaves_) {
    if (std::string wrong = fill_leaf(leaf, stable); !wrong.empty()) return wrong;
  }
  if (options.set == Set::kMissing || options.set == Set::kMix) add_missing();
  return make_changing();
}

std::string Tree::make_dirs() {
  const Set set = options_->set;
  std::string wrong;
  if (set != Set::kOwnDir && set != Set::kDeep) wrong = make_leaf("d.one", kEverybody, false);
  if (set == Set::kOwnDir || set == Set::kMix) {
    for (unsigned worker = 0; worker < options_->workers && wrong.empty(); ++worker) {
      wrong = make_leaf(fmt::format("d.own{}", worker), worker, false);
    }
  }
  if (wrong.empty() && (set == Set::kDeep || set == Set::kMix)) {
    std::string path = "d.deep";
    for (unsigned level = 1; level < options_->depth; ++level) path += fmt::format("/d{}", level);
    wrong = make_leaf(path, kEverybody, true);
  }
  return wrong;
}

// Walks down `path`, making what is missing if this run makes the tree.
std::string Tree::make_leaf(const std::string& path, unsigned owner, bool through_path) {
  Leaf leaf;
  std::size_t begin = 0;
  while (begin <= path.size()) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string name = path.substr(begin, end - begin);
    const int parent = leaf.fd ? leaf.fd.get() : root_.get();
    UniqueFd next;
    if (std::string wrong = enter_dir(parent, name, next); !wrong.empty()) return wrong;
    leaf.fd = std::move(next);
    begin = end + 1;
  }
  leaf.reader_fd = through_path ? root_.get() : leaf.fd.get();
  if (through_path) leaf.prefix = path + '/';
  leaves_.push_back(std::move(leaf));
  owners_.push_back(owner);
  return {};
}

std::string Tree::enter_dir(int parent, const std::string& name, UniqueFd& fd) {
  if (options_->create) {
    if (::mkdirat(parent, name.c_str(), 0755) != 0) {
      if (errno == EEXIST) return name + " exists: remove it, or use it with --no-create";
      return failed("mkdir", name, errno);
    }
    if (parent == root_.get()) made_.push_back(name);
  }
  fd.reset(::openat(parent, name.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  return fd ? std::string() : failed("open directory", name, errno);
}

Expect Tree::next_expect(NameClass cls) {
  Expect expect{.cls = cls, .id = next_id_++};
  if (options_->size) {
    expect.min_size = expect.max_size = *options_->size;
  } else if (cls != NameClass::kMissing) {
    const std::uint64_t random = mix64(options_->seed ^ (std::uint64_t{expect.id} << 32));
    expect.min_size = random % 2048;
    expect.max_size = expect.min_size + 1 + (random >> 32) % 2047;
  }
  if (cls == NameClass::kComesAndGoes) {  // Just created it is empty, then it grows at once.
    expect.min_size = 0;
    expect.max_size = std::min(expect.max_size, kOneWriteMax);
  }
  return expect;
}

std::uint32_t Tree::add_target(const Leaf& leaf, const Expect& expect, const std::string& name) {
  Target target;
  // The name itself is the source of truth: what is checked is what can be read from it.
  target.expect = parse_name(name).value_or(expect);
  target.dir_fd = leaf.reader_fd;
  target.path = leaf.prefix + name;
  targets_.push_back(std::move(target));
  return static_cast<std::uint32_t>(targets_.size() - 1);
}

std::string Tree::fill_leaf(Leaf& leaf, unsigned stable) {
  const bool links = options_->op == Op::kReadlink || options_->op == Op::kMix;
  for (unsigned i = 0; i < stable; ++i) {
    const Expect expect = next_expect(NameClass::kStable);
    const std::string name = make_name(expect);
    if (options_->create) {
      if (const int error = make_file(leaf.fd.get(), name.c_str(), expect.min_size)) {
        return failed("create", name, error);
      }
    }
    const std::uint32_t index = add_target(leaf, expect, name);
    leaf.stable.push_back(index);
    Target& target = targets_[index];
    target.link_target = name;
    if (std::string wrong = links ? make_link(leaf, target) : ""; !wrong.empty()) return wrong;
    if (std::string wrong = identify(target); !wrong.empty()) return wrong;
  }
  return {};
}

std::string Tree::make_link(Leaf& leaf, Target& target) {
  Expect expect = target.expect;
  expect.cls = NameClass::kLink;
  const std::string name = make_name(expect);
  target.link_path = leaf.prefix + name;
  if (!options_->create) return {};
  if (::symlinkat(target.link_target.c_str(), leaf.fd.get(), name.c_str()) == 0) return {};
  return failed("symlink", name, errno);
}

// Notes the inode number, which must not change, and opens what fstat is asked of.
std::string Tree::identify(Target& target) {
  struct stat attributes {};
  if (::fstatat(target.dir_fd, target.path.c_str(), &attributes, AT_SYMLINK_NOFOLLOW) != 0) {
    return failed("stat", target.path, errno);
  }
  target.ino = attributes.st_ino;
  if (options_->op != Op::kFstat) return {};
  UniqueFd fd(::openat(target.dir_fd, target.path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return failed("open", target.path, errno);
  target.fd = fd.get();
  target_fds_.push_back(std::move(fd));
  return {};
}

void Tree::add_missing() {
  for (unsigned i = 0; i < options_->files; ++i) {
    const Expect expect = next_expect(NameClass::kMissing);
    const std::string name = make_name(expect);
    const std::uint32_t index = add_target(leaves_.front(), expect, name);
    targets_[index].link_path = targets_[index].path;
    missing_.push_back(index);
  }
}

std::string Tree::make_changing() {
  changing_.resize(options_->mutators);
  for (unsigned mutator = 0; mutator < options_->mutators; ++mutator) {
    for (unsigned i = 0; i < options_->changing; ++i) {
      if (std::string wrong = make_changing_group(mutator, i); !wrong.empty()) return wrong;
    }
  }
  if (options_->mutators != 0) add_chmod_and_write_targets();
  return {};
}

// One name that comes and goes, one that moves, and one pair that is replaced and exchanged.
std::string Tree::make_changing_group(unsigned mutator, unsigned number) {
  Leaf& leaf = leaves_[(mutator + number) % leaves_.size()];
  Leaf& next = leaves_[(mutator + number + 1) % leaves_.size()];
  for (const NameClass cls : {NameClass::kComesAndGoes, NameClass::kMoved, NameClass::kReplaced}) {
    const Expect expect = next_expect(cls);
    const bool pair = cls != NameClass::kComesAndGoes;
    Leaf& other = cls == NameClass::kMoved ? next : leaf;  // Moves go from directory to directory.
    Changing object;
    object.expect = expect;
    object.dir_fd = leaf.fd.get();
    object.name = make_name(expect, pair ? 'a' : 0);
    leaf.changing.push_back(add_target(leaf, expect, object.name));
    if (pair) {
      object.other_fd = other.fd.get();
      object.other = make_name(expect, 'b');
      other.changing.push_back(add_target(other, expect, object.other));
    }
    int error = 0;
    if (pair) error = make_file(object.dir_fd, object.name.c_str(), expect.min_size);
    if (error == 0 && cls == NameClass::kReplaced) {
      error = make_file(object.other_fd, object.other.c_str(), expect.min_size);
    }
    if (error != 0) return failed("create", object.name, error);
    changing_[mutator].push_back(std::move(object));
  }
  return {};
}

// Stable files get chmod and writes too: each from one mutator, which then knows what it must
// read back; the one file of the set one-file from all.
void Tree::add_chmod_and_write_targets() {
  std::uint32_t number = 0;
  for (const Leaf& leaf : leaves_) {
    for (const std::uint32_t index : leaf.stable) {
      const Target& target = targets_[index];
      Changing object;
      object.expect = target.expect;
      object.dir_fd = leaf.fd.get();
      object.name = target.link_target;
      object.shared = options_->set == Set::kOneFile && options_->mutators > 1;
      if (object.shared) {
        for (std::vector<Changing>& list : changing_) list.push_back(object);
      } else {
        changing_[number++ % options_->mutators].push_back(std::move(object));
      }
    }
  }
}

std::vector<const Leaf*> Tree::leaves_of(unsigned worker) const {
  std::vector<const Leaf*> found;
  for (std::size_t i = 0; i < leaves_.size(); ++i) {
    if (owners_[i] == kEverybody || owners_[i] == worker) found.push_back(&leaves_[i]);
  }
  return found;
}

}  // namespace evenfs::statloop
