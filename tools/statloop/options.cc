// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/statloop/options.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <vector>

namespace evenfs::statloop {
namespace {

constexpr double kDefaultSeconds = 5;

constexpr const char* kFooter = R"(
Operations. Names are given relative to an open directory, so a path has one component (deep: as
many as --depth says, and one). What reaches the file system of a mount depends on its timeouts;
with entry and attribute timeouts of 0 over FUSE:
  stat      fstatat, links not followed: one LOOKUP for each component and a GETATTR
  lookup    statx with AT_STATX_DONT_SYNC: the LOOKUPs only; answers what the last reply said
  fstat     fstat of an O_PATH descriptor opened before: the GETATTR only (files never removed)
  access    faccessat, R_OK (must be granted) and X_OK (must be EACCES) in turn: LOOKUP, and ACCESS
            or the kernel's own check
  readlink  readlinkat of a symbolic link: LOOKUP, READLINK; the target must be the right one
  mix       40 % stat, 30 % lookup, 20 % access, 10 % readlink
  none      no system call: what the loop itself costs

Sets: one-file: all workers the same name; one-dir: names of one directory; own-dir: a directory
for each worker; deep: at the end of a path; missing: names that never existed; mix: all of these
but one-file. With mutators, half of the names that a worker asks for are changing ones, except in
one-file (there the mutators' chmod and write go to the one file) and missing.

Mutations: create and unlink supply each other: naming one enables both. rename moves names (between
directories where the set has several), replaces names and exchanges them.

Answers are checked against the names. Exit status: 0 all right; 1 a wrong answer, an unexpected
errno or a failed run; 2 bad usage.)";

template <class Enum, std::size_t N>
bool from_name(const std::string& text, const std::array<std::string_view, N>& names, Enum& value) {
  const auto found = std::find(names.begin(), names.end(), text);
  if (found == names.end()) return false;
  value = static_cast<Enum>(found - names.begin());
  return true;
}

// What CLI11 leaves as text.
struct Texts {
  std::string op = "stat";
  std::string set = "one-dir";
  std::vector<std::string> mutate;
  unsigned threads = 1;
  unsigned processes = 0;
};

void add_work_options(CLI::App& app, Options& options, Texts& texts) {
  app.add_option("DIR", options.dir, "Directory to work in; d.* are made there")->required();
  app.add_option("--op", texts.op, "stat, lookup, fstat, access, readlink, mix or none")
      ->capture_default_str();
  app.add_option("--set", texts.set, "one-file, one-dir, own-dir, deep, missing or mix")
      ->capture_default_str();
  auto* threads = app.add_option("--threads", texts.threads, "Workers, as threads")
                      ->check(CLI::Range(1u, 1024u))
                      ->capture_default_str();
  app.add_option("--processes", texts.processes, "Workers (and mutators), as processes instead")
      ->check(CLI::Range(1u, 1024u))
      ->excludes(threads);
  app.add_option("--files", options.files, "Files in each directory of the set")
      ->check(CLI::Range(1u, 10'000'000u))
      ->capture_default_str();
  app.add_option("--depth", options.depth, "Directories above each file of the set deep")
      ->check(CLI::Range(1u, 200u))
      ->capture_default_str();
  app.add_option("--size", options.size, "Size of every file in bytes (default: many, below 4096)")
      ->check(CLI::Range(std::uint64_t{0}, std::uint64_t{1} << 30));
  app.add_flag("--no-create{false}", options.create, "Use the tree that --keep left, or constants");
  app.add_flag("--keep", options.keep, "Leave the tree there");
}

void add_bound_options(CLI::App& app, Options& options) {
  app.add_option("--seconds", options.seconds, "How long (default 5 unless --ops is given)")
      ->check(CLI::Range(0.01, 86400.0));
  app.add_option("--ops", options.ops, "How many operations by each worker, at most")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 60));
  app.add_option("--warmup", options.warmup_s, "Seconds that are checked but not measured")
      ->check(CLI::Range(0.0, 3600.0))
      ->capture_default_str();
  app.add_option("--sample", options.sample, "Time every K-th operation")
      ->check(CLI::Range(1u, 1'000'000u))
      ->capture_default_str();
  app.add_option("--seed", options.seed, "Of sizes and of the order of operations")
      ->capture_default_str();
  app.add_flag("--pin", options.pin, "Bind each worker to one CPU, in turn");
  app.add_option("--json", options.json, "Write the results to this file as well, - for stdout");
}

void add_mutator_options(CLI::App& app, Options& options, Texts& texts) {
  app.add_option("--mutators", options.mutators, "Concurrent mutators")
      ->check(CLI::Range(0u, 1024u))
      ->capture_default_str();
  app.add_option("--mutate", texts.mutate, "create, unlink, rename, chmod, write (default: all)")
      ->delimiter(',');
  app.add_flag("!--no-exchange", options.exchange,
               "Renames exchange no names, which some file systems cannot");
  app.add_option("--rate", options.rate, "Mutations per second of each; 0: as fast as they go")
      ->check(CLI::Range(0.0, 1e9))
      ->capture_default_str();
  app.add_option("--changing", options.changing, "Changing names of each class for each mutator")
      ->check(CLI::Range(1u, 100'000u))
      ->capture_default_str();
}

// Returns what is wrong, or an empty string.
std::string interpret(const Texts& texts, Options& options) {
  if (!from_name(texts.op, kOpNames, options.op)) return "--op: no operation " + texts.op;
  if (!from_name(texts.set, kSetNames, options.set)) return "--set: no set " + texts.set;
  if (!texts.mutate.empty()) options.mutate.fill(false);
  for (const std::string& name : texts.mutate) {
    Mutation kind{};
    if (!from_name(name, kMutationNames, kind)) return "--mutate: no mutation " + name;
    options.mutate[static_cast<std::size_t>(kind)] = true;
  }
  bool& create = options.mutate[static_cast<std::size_t>(Mutation::kCreate)];
  bool& unlink = options.mutate[static_cast<std::size_t>(Mutation::kUnlink)];
  create = unlink = create || unlink;
  options.processes = texts.processes != 0;
  options.workers = options.processes ? texts.processes : texts.threads;
  if (options.seconds == 0 && options.ops == 0) options.seconds = kDefaultSeconds;
  if (options.mutators != 0 && !options.create) return "--mutators needs a tree made by this run";
  if (options.op == Op::kFstat && options.set == Set::kMissing) {
    return "--op=fstat needs files: not with --set=missing";
  }
  struct stat attributes {};
  if (::stat(options.dir.c_str(), &attributes) != 0 || !S_ISDIR(attributes.st_mode)) {
    return options.dir + " is not a directory";
  }
  return {};
}

}  // namespace

std::optional<Options> parse_options(int argc, char** argv, int& status) {
  Options options;
  Texts texts;
  CLI::App app{"Bounded loops of stat and its kin whose every answer is checked.", "statloop"};
  app.footer(kFooter);
  add_work_options(app, options, texts);
  add_bound_options(app, options);
  add_mutator_options(app, options, texts);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    status = app.exit(help);
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    fmt::print(stderr, "statloop: {}\n", error.what());
    status = 2;
    return std::nullopt;
  }
  if (const std::string wrong = interpret(texts, options); !wrong.empty()) {
    fmt::print(stderr, "statloop: {}\n", wrong);
    status = 2;
    return std::nullopt;
  }
  return options;
}

}  // namespace evenfs::statloop
