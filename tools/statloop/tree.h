// SPDX-License-Identifier: LGPL-2.1-or-later
// The directories and files that a run works on: makes them, opens them, removes them.
//
//   DIR/d.one/                 sets one-file, one-dir, missing
//   DIR/d.own<worker>/         set own-dir, one for each worker
//   DIR/d.deep/d1/d2/.../      set deep, --depth directories in all
//
// Every directory's name begins with `d`, so that a file system of constants can tell them from
// files by the first letter. Names and sizes follow from the options and the seed alone: with
// --no-create the same tree is expected, and only opened.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/unique_fd.h"
#include "tools/statloop/names.h"
#include "tools/statloop/options.h"

namespace evenfs::statloop {

// A name as readers use it: a path relative to a descriptor.
struct Target {
  Expect expect;
  int dir_fd = -1;
  std::string path;
  std::string link_path;  // A symbolic link whose target must be `link_target`; may be empty.
  std::string link_target;
  std::uint64_t ino = 0;  // 0: may change.
  int fd = -1;            // O_PATH, for fstat; -1: none.
};

// A name as mutators use it: `name` in an open directory; for a pair, `other` in another.
struct Changing {
  Expect expect;
  int dir_fd = -1;
  std::string name;
  int other_fd = -1;
  std::string other;
  bool shared = false;  // Other mutators change it too.
};

// One directory with files.
struct Leaf {
  UniqueFd fd;
  int reader_fd = -1;                   // Readers' paths begin there ...
  std::string prefix;                   // ... with this.
  std::vector<std::uint32_t> stable;    // Indices of targets.
  std::vector<std::uint32_t> changing;  // The same, of names that mutators change.
};

class Tree {
 public:
  Tree() = default;
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;
  ~Tree();  // Removes what build() made, unless options.keep.

  // Returns what went wrong, or an empty string.
  std::string build(const Options& options);
  // Removes what was made. Returns what went wrong, or an empty string.
  std::string remove();

  const std::vector<Target>& targets() const noexcept { return targets_; }
  // Leaves that `worker` reads.
  std::vector<const Leaf*> leaves_of(unsigned worker) const;
  const std::vector<std::uint32_t>& missing() const noexcept { return missing_; }
  // What `mutator` changes.
  const std::vector<Changing>& changing_of(unsigned mutator) const { return changing_[mutator]; }

 private:
  std::string make_dirs();
  std::string make_leaf(const std::string& path, unsigned owner, bool through_path);
  std::string enter_dir(int parent, const std::string& name, UniqueFd& fd);
  std::string fill_leaf(Leaf& leaf, unsigned stable);
  std::string make_stable(const Expect& expect, Target& target);
  std::string make_link(Leaf& leaf, Target& target);
  std::string identify(Target& target);
  std::string make_changing();
  std::string make_changing_group(unsigned mutator, unsigned number);
  void add_chmod_and_write_targets();
  void add_missing();
  Expect next_expect(NameClass cls);
  std::uint32_t add_target(const Leaf& leaf, const Expect& expect, const std::string& name);

  const Options* options_ = nullptr;
  UniqueFd root_;
  std::vector<std::string> made_;  // Top directories that this run made.
  std::vector<Leaf> leaves_;
  std::vector<unsigned> owners_;  // Of leaves_: the worker that reads it, or kEverybody.
  std::vector<Target> targets_;
  std::vector<UniqueFd> target_fds_;
  std::vector<std::uint32_t> missing_;
  std::vector<std::vector<Changing>> changing_;
  std::uint32_t next_id_ = 0;
};

// Makes a file of `size` bytes in the directory; errno, or 0.
int make_file(int dir_fd, const char* name, std::uint64_t size);

}  // namespace evenfs::statloop
