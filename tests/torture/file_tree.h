// SPDX-License-Identifier: LGPL-2.1-or-later
// FileTree: what one client after the other would be told by a small file system: the specification for
// histories of a cache. Two directories under a top that gives them changing names, files below them.
//
// What is answered without asking the store was true at one instant (P1). An answer for which the store was
// asked is put together: first the name, later the attributes; of a path each component by itself, and the
// right to search it. A change is done at one instant, whatever it took to find out what it is about.
#pragma once

#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <string>

#include "core/store/store.h"
#include "tests/torture/linear.h"

namespace evenfs::test {

struct FileTree {
  static constexpr unsigned kTop = 0;     // The directory that has directories in it.
  static constexpr unsigned kTables = 3;  // It, and two with files.
  static constexpr unsigned kNames = 3;   // In each.
  static constexpr unsigned kObjects = 48;
  static constexpr unsigned kClients = 5;
  static constexpr std::uint8_t kNone = 0xff;

  // Objects 0 and 1 are the directories, whose sizes are not looked at; 0 and 1 have tables 1 and 2.
  struct Object {
    std::uint16_t mode = 0;  // Permission bits.
    std::uint8_t size = 0;
    std::uint8_t nlink = 0;
    friend bool operator==(const Object&, const Object&) = default;
  };
  struct State {
    std::uint8_t names[kTables][kNames] = {
        {kNone, kNone, kNone}, {kNone, kNone, kNone}, {kNone, kNone, kNone}};
    std::uint8_t here[kClients] = {};  // The table that a walk in several steps has come to.
    Object objects[kObjects] = {};
  };

  enum class Ask : std::uint8_t {
    kLookup,   // A name.
    kWalk,     // A name of the top, and one below it.
    kGetattr,  // An object, by its id.
    kMode,     // The same, its mode only.
    kCreate,
    kLink,  // An object, to a name.
    kUnlink,
    kRename,
    kSet,  // Mode, size, or both.
  };
  struct Name {
    std::uint8_t table = 0;
    std::uint8_t name = 0;
    friend bool operator==(const Name&, const Name&) = default;
  };
  struct Op {
    Ask ask = Ask::kLookup;
    bool at_once = true;   // An answer of one instant.
    bool anybody = false;  // A walk by one who may not search a directory of mode 0700.
    Name at;               // Of a walk: its first component.
    Name to;               // Rename: the new name. Of a walk: `name` is its second.
    RenameMode how = RenameMode::kReplace;
    std::uint8_t object = kNone;  // Whose id was given.
    bool sets_mode = false;
    bool sets_size = false;
    std::uint16_t mode = 0;  // To be set; or of what is made.
    std::uint8_t size = 0;   // To be set.
    // What was told.
    int error = 0;
    std::uint8_t told = kNone;
    Object attr;
    std::uint64_t call = 0;
    std::uint64_t end = 0;
  };

  static Step step(const Op& op, unsigned n, unsigned client, State& state);
  static std::string text(const Op& op);
  static std::string text(const State& state);

 private:
  static Step yes(bool it_is) { return it_is ? Step::kDone : Step::kNo; }
  static std::uint8_t& entry(State& state, Name at) { return state.names[at.table][at.name]; }
  static bool told(const Op& op, const State& state, std::uint8_t object) {
    return op.error == 0 && object != kNone && op.told == object &&
           op.attr == state.objects[object];
  }
  // Of a name: `object` is what it leads to at this instant.
  static Step found(const Op& op, const State& state, std::uint8_t object) {
    if (object == kNone) return yes(op.error == ENOENT);
    if (op.error != 0 || op.told != object) return Step::kNo;
    return op.at_once ? yes(told(op, state, object)) : Step::kMore;
  }
  static bool refused(const Op& op, const State& state, std::uint8_t directory) {
    return op.anybody && (state.objects[directory].mode & S_IXOTH) == 0;
  }
  static Step walk(const Op& op, unsigned n, unsigned client, State& state);
  static Step walk_at_once(const Op& op, State& state);
  static Step create(const Op& op, State& state);
  static Step link(const Op& op, State& state);
  static Step unlink(const Op& op, State& state);
  static Step rename(const Op& op, State& state);
  static Step set(const Op& op, State& state);
};

inline Step FileTree::walk_at_once(const Op& op, State& state) {
  const std::uint8_t directory = entry(state, op.at);
  if (directory == kNone) return yes(op.error == ENOENT);
  if (refused(op, state, directory)) return yes(op.error == EACCES);
  return found(op, state, state.names[directory + 1U][op.to.name]);
}

// The name of the directory, whether it may be searched, the name in it, the attributes.
inline Step FileTree::walk(const Op& op, unsigned n, unsigned client, State& state) {
  std::uint8_t& here = state.here[client];
  switch (n) {
    case 0:
      here = entry(state, op.at);
      return here == kNone ? yes(op.error == ENOENT) : Step::kMore;
    case 1:
      return refused(op, state, here) ? yes(op.error == EACCES) : Step::kMore;
    case 2:
      return found(op, state, state.names[here + 1U][op.to.name]);
    default:
      here = 0;
      return yes(told(op, state, op.told));
  }
}

inline Step FileTree::create(const Op& op, State& state) {
  std::uint8_t& at = entry(state, op.at);
  if (at != kNone) return yes(op.error == EEXIST);
  if (op.error != 0 || op.told == kNone || state.objects[op.told] != Object{}) return Step::kNo;
  at = op.told;
  state.objects[at] = {op.mode, 0, 1};
  return yes(told(op, state, at));
}

inline Step FileTree::link(const Op& op, State& state) {
  std::uint8_t& at = entry(state, op.at);
  if (at != kNone) return yes(op.error == EEXIST);
  if (state.objects[op.object].nlink == 0) return yes(op.error == ENOENT);
  at = op.object;
  ++state.objects[at].nlink;
  return yes(told(op, state, at));
}

inline Step FileTree::unlink(const Op& op, State& state) {
  std::uint8_t& at = entry(state, op.at);
  if (at == kNone) return yes(op.error == ENOENT);
  --state.objects[at].nlink;
  at = kNone;
  return yes(op.error == 0);
}

inline Step FileTree::rename(const Op& op, State& state) {
  std::uint8_t& from = entry(state, op.at);
  std::uint8_t& to = entry(state, op.to);
  if (from == kNone) return yes(op.error == ENOENT);
  if (to != kNone && op.how == RenameMode::kNoReplace) return yes(op.error == EEXIST);
  if (to == kNone && op.how == RenameMode::kExchange) return yes(op.error == ENOENT);
  if (op.error != 0) return Step::kNo;
  if (from == to) return Step::kDone;  // Two names of one object: both stay.
  if (op.how == RenameMode::kExchange) {
    std::swap(from, to);
    return Step::kDone;
  }
  if (to != kNone) --state.objects[to].nlink;
  to = from;
  from = kNone;
  return Step::kDone;
}

inline Step FileTree::set(const Op& op, State& state) {
  Object& object = state.objects[op.object];
  if (op.sets_mode) object.mode = op.mode;
  if (op.sets_size) object.size = op.size;
  return yes(told(op, state, op.object));
}

inline Step FileTree::step(const Op& op, unsigned n, unsigned client, State& state) {
  const bool by_id = op.ask == Ask::kGetattr || op.ask == Ask::kMode || op.ask == Ask::kLink ||
                     op.ask == Ask::kSet;
  if (by_id && op.object == kNone) return Step::kNo;
  switch (op.ask) {
    case Ask::kLookup:
      return n == 0 ? found(op, state, entry(state, op.at)) : yes(told(op, state, op.told));
    case Ask::kWalk:
      return op.at_once ? walk_at_once(op, state) : walk(op, n, client, state);
    case Ask::kGetattr:
      return yes(told(op, state, op.object));
    case Ask::kMode:
      return yes(op.error == 0 && op.attr.mode == state.objects[op.object].mode);
    case Ask::kCreate:
      return create(op, state);
    case Ask::kLink:
      return link(op, state);
    case Ask::kUnlink:
      return unlink(op, state);
    case Ask::kRename:
      return rename(op, state);
    case Ask::kSet:
      return set(op, state);
  }
  return Step::kNo;
}

// --- For those who read a history that cannot be.

inline std::string name_text(FileTree::Name name) {
  static constexpr const char* kTables[] = {"", "D0/", "D1/"};
  return std::string(kTables[name.table]) +
         (name.table == FileTree::kTop ? "ABC" : "xyz")[name.name];
}

inline std::string FileTree::text(const Op& op) {
  const std::string object = "#" + std::to_string(op.object);
  const auto octal = [](unsigned mode) {
    char text[8];
    std::snprintf(text, sizeof text, "%04o", mode);
    return std::string(text);
  };
  static constexpr const char* kHow[] = {"rename ", "rename (no replace) ", "rename (exchange) "};
  std::string out;
  switch (op.ask) {
    case Ask::kLookup:
      out = "lookup " + name_text(op.at);
      break;
    case Ask::kWalk:
      out =
          "walk " + name_text(op.at) + "/" + "xyz"[op.to.name] + (op.anybody ? " by anybody" : "");
      break;
    case Ask::kGetattr:
      out = "getattr " + object;
      break;
    case Ask::kMode:
      out = "mode " + object;
      break;
    case Ask::kCreate:
      out = "create " + name_text(op.at) + " " + octal(op.mode);
      break;
    case Ask::kLink:
      out = "link " + object + " to " + name_text(op.at);
      break;
    case Ask::kUnlink:
      out = "unlink " + name_text(op.at);
      break;
    case Ask::kRename:
      out = (op.how == RenameMode::kReplace     ? kHow[0]
             : op.how == RenameMode::kNoReplace ? kHow[1]
                                                : kHow[2]) +
            name_text(op.at) + " to " + name_text(op.to);
      break;
    case Ask::kSet:
      out = "set " + object + (op.sets_mode ? " mode " + octal(op.mode) : "") +
            (op.sets_size ? " size " + std::to_string(op.size) : "");
      break;
  }
  out += ": ";
  if (op.error != 0)
    return out + (op.error == ENOENT ? "ENOENT" : "error " + std::to_string(op.error));
  if (op.ask == Ask::kUnlink || op.ask == Ask::kRename) return out + "done";
  if (op.ask == Ask::kMode) return out + octal(op.attr.mode);
  return out + (op.told == kNone ? "#?" : "#" + std::to_string(op.told)) + " mode " +
         octal(op.attr.mode) + " size " + std::to_string(op.attr.size) + " nlink " +
         std::to_string(op.attr.nlink) + (op.at_once ? "" : " (in steps)");
}

inline std::string FileTree::text(const State& state) {
  std::string out;
  for (std::uint8_t table = 0; table < kTables; ++table) {
    for (std::uint8_t name = 0; name < kNames; ++name) {
      const std::uint8_t object = state.names[table][name];
      if (object == kNone) continue;
      Op as_told;
      as_told.at = {table, name};
      as_told.told = object;
      as_told.attr = state.objects[object];
      out += "    " + text(as_told).substr(7) + "\n";
    }
  }
  return out;
}

}  // namespace evenfs::test
