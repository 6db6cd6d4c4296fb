// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fusefs/options.h"

#include <fmt/format.h>
#include <fuse_lowlevel.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <thread>

#include "fusefs/option_values.h"

namespace evenfs {
namespace {

constexpr std::uint64_t kMemoryMin = std::uint64_t{1} << 20;
constexpr unsigned kThreadsMax = 1024;
constexpr unsigned kWatchQueueMax = 1U << 20;

// Options as text, as CLI11 collects them. Every value is checked afterwards, so that each error
// is one line of ours.
struct RawOptions {
  std::string source, mountpoint;
  std::string coherence = "auto";
  std::string watch_queue = std::to_string(kWatchQueueDefault);
  // Nothing: by coherence.
  std::optional<std::string> entry_timeout, attr_timeout, negative_timeout, cache_ttl;
  std::string locking = "lockless";
  std::string memory = "1G";
  std::string threads = "auto";
  std::string transport = "auto";
  std::string passthrough = "auto";
  bool foreground = false, debug = false, version = false;
};

struct UsageError {
  std::string line;
};

constexpr std::string_view kDescription =
    "Mounts the directory SOURCE at MOUNTPOINT and answers lookup and stat from a cache of its\n"
    "own that takes no lock. Ends with: umount MOUNTPOINT\n";

constexpr std::string_view kFooter =
    "\nDurations: 500ms, 1s, 2m, 1h, or plain seconds. Sizes: 64M, 1G.\n"
    "Each option may also be given as a mount option: -o entry_timeout=0,ro\n"
    "Of mount(8)'s own options these have an effect: ro, suid, nosuid, dev, nodev, exec, noexec,\n"
    "sync, dirsync, noatime, relatime, strictatime, nodiratime, allow_other, fsname=, subtype=.\n"
    "Root mounts for everybody (allow_other); others must ask for that. Permissions are checked\n"
    "as on any file system (default_permissions).";

void add_options(CLI::App& app, RawOptions& raw) {
  const auto value = [&](const char* name, std::string& into, const char* type, const char* text) {
    app.add_option(name, into, text)->type_name(type)->capture_default_str();
  };
  app.add_option("SOURCE", raw.source, "directory to mount")->type_name("");
  app.add_option("MOUNTPOINT", raw.mountpoint, "where it appears")->type_name("");
  value(
      "--coherence", raw.coherence, "MODE",
      "how changes that others make in SOURCE are seen: watch, its file system tells of them; "
      "ttl=TIME, what is older is asked for again; ttl=LEAST..MOST, what is older than a tenth of "
      "the time since its last change, within these; strict, everything is asked for; exclusive, "
      "there are none; auto, "
      "watch where that works, else ttl=1s. The next four go by that unless they "
      "are given; if all four are, auto starts no watch");
  const auto time = [&](const char* name, std::optional<std::string>& into, const char* text) {
    app.add_option(name, into, text)->type_name("TIME");
  };
  time("--entry-timeout", raw.entry_timeout,
       "how long the kernel may use a name without asking; 0 asks each time");
  time("--attr-timeout", raw.attr_timeout, "the same for attributes");
  time("--negative-timeout", raw.negative_timeout, "the same for names that do not exist");
  time("--cache-ttl", raw.cache_ttl,
       "how long the cache may serve what it read from SOURCE; 0 asks each time; inf: for ever");
  value("--watch-queue", raw.watch_queue, "N",
        "with watch: changes that may wait to be told to the kernel; when there are more the "
        "kernel forgets "
        "all it knows");
  value("--locking", raw.locking, "NAME", "lockless, sharded, rwlock or mutex");
  value("--memory", raw.memory, "SIZE", "soft limit of the cache; at least 1M");
  value("--threads", raw.threads, "N", "threads that answer requests; auto: by cores, 2 to 64");
  value("--transport", raw.transport, "NAME",
        "how requests come from the kernel: uring (io_uring), fd (/dev/fuse), or auto: uring where "
        "the kernel has it turned on and SOURCE is on a local file system");
  value("--passthrough", raw.passthrough, "NAME",
        "auto: the kernel reads and writes the files of SOURCE by itself, where it lets us (as "
        "root, Linux "
        "6.9 and later); off");
  app.add_flag("-f,--foreground", raw.foreground, "stay in the foreground");
  app.add_flag("-d,--debug", raw.debug, "print each request; implies -f");
  app.add_flag("-V,--version", raw.version, "print versions");
  // Only for --help: gather() has taken them out before CLI11 sees the rest.
  app.add_option("-o", "mount options, comma separated")->type_name("OPT[,OPT...]");
}

// The options that may also stand behind -o, there with '_' for '-'.
bool is_own_option(std::string_view name) {
  constexpr std::array<std::string_view, 13> kNames = {
      "coherence",   "watch-queue", "entry-timeout", "attr-timeout", "negative-timeout",
      "cache-ttl",   "locking",     "memory",        "threads",      "transport",
      "passthrough", "foreground",  "debug"};
  return std::ranges::find(kNames, name) != kNames.end();
}

// Of several the last one counts, as for mount(8).
void apply_atime_option(std::string_view option, Options& options) {
  if (option == "noatime") options.atime = AtimeRule::kNever;
  if (option == "relatime") options.atime = AtimeRule::kRelative;
  if (option == "strictatime") options.atime = AtimeRule::kAlways;
  if (option == "atime" || option == "norelatime" || option == "nostrictatime") {
    options.atime.reset();
  }
  if (option == "nodiratime") options.keep_dir_atime = true;
  if (option == "diratime") options.keep_dir_atime = false;
  // The kernel shows them, and does nothing by them.
  if (options.atime != AtimeRule::kNever) std::erase(options.mount_options, "noatime");
  if (!options.keep_dir_atime) std::erase(options.mount_options, "nodiratime");
}

void apply_mount_option(const std::string& option, std::vector<std::string>& arguments,
                        Options& options) {
  const std::size_t equals = std::min(option.find('='), option.size());
  std::string name = option.substr(0, equals);
  std::ranges::replace(name, '_', '-');
  if (is_own_option(name)) {
    arguments.push_back("--" + name + option.substr(equals));
    return;
  }
  if (!options.remount) apply_atime_option(option, options);
  switch (classify_mount_option(option)) {
    case MountOption::kPass:
      options.mount_options.push_back(option);
      return;
    case MountOption::kIgnore:
      if (options.remount) options.mount_options.push_back(option);  // relatime ends noatime.
      return;
    case MountOption::kUnknown:
      if (options.remount) return;  // mount(8) adds what it reads in mountinfo: user_id=0 and more.
      throw UsageError{fmt::format("unknown mount option '{}'", option)};
  }
}

bool is_mount_helper(std::string_view program) {
  const std::size_t slash = program.rfind('/');
  if (slash != std::string_view::npos) program.remove_prefix(slash + 1);
  return program.starts_with("mount.");
}

// The command line without -o and without what only a mount helper is given.
std::vector<std::string> gather(int argc, const char* const* argv, Options& options) {
  const bool helper = is_mount_helper(argv[0]);
  std::vector<std::string> arguments;
  // As with any file system that root mounts by mount(8), unless nosuid or nodev follows.
  if (helper && ::geteuid() == 0) options.mount_options = {"suid", "dev"};
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    const auto next = [&]() -> std::string_view {
      if (i + 1 >= argc) throw UsageError{fmt::format("{} needs a value", word)};
      return argv[++i];
    };
    if (word.starts_with("-o")) {
      const auto list = split_mount_options(word.size() > 2 ? word.substr(2) : next());
      options.remount = options.remount || std::ranges::count(list, "remount") != 0;
      for (const std::string& option : list) {
        apply_mount_option(option, arguments, options);
      }
    } else if (helper && (word == "-t" || word == "-N")) {
      next();
    } else if (helper && word == "-f") {
      options.check_only = true;
    } else if (helper && (word == "-s" || word == "-n" || word == "-v")) {
      continue;
    } else {
      arguments.emplace_back(word);
    }
  }
  return arguments;
}

std::chrono::milliseconds duration_of(const char* name, const std::string& text) {
  const auto duration = parse_duration(text);
  if (!duration) {
    throw UsageError{
        fmt::format("--{}={}: not a time; write it as 500ms, 1s, 2m or in seconds", name, text)};
  }
  return *duration;
}

Locking locking_of(const std::string& text) {
  for (const Locking locking :
       {Locking::kLockless, Locking::kSharded, Locking::kRwlock, Locking::kMutex}) {
    if (text == locking_name(locking)) return locking;
  }
  throw UsageError{fmt::format("--locking={}: must be lockless, sharded, rwlock or mutex", text)};
}

unsigned threads_of(const std::string& text) {
  if (text == "auto") return default_threads();
  const auto threads = parse_unsigned(text);
  if (!threads || *threads < 1 || *threads > kThreadsMax) {
    throw UsageError{fmt::format("--threads={}: must be auto or 1 to {}", text, kThreadsMax)};
  }
  return *threads;
}

Transport transport_of(const std::string& text) {
  if (const auto transport = parse_transport(text)) return *transport;
  throw UsageError{fmt::format("--transport={}: must be auto, uring or fd", text)};
}

bool passthrough_of(const std::string& text) {
  if (text == "auto" || text == "off") return text == "auto";
  throw UsageError{fmt::format("--passthrough={}: must be auto or off", text)};
}

std::uint64_t memory_of(const std::string& text) {
  const auto bytes = parse_size(text);
  if (!bytes) {
    throw UsageError{fmt::format("--memory={}: not a size; write it as 64M or 1G", text)};
  }
  if (*bytes < kMemoryMin) throw UsageError{fmt::format("--memory={}: must be 1M or more", text)};
  return *bytes;
}

void set_times(const RawOptions& raw, Options& options) {
  const auto coherence = parse_coherence(raw.coherence);
  if (!coherence) {
    throw UsageError{
        fmt::format("--coherence={}: must be auto, watch, ttl=TIME, ttl=LEAST..MOST, strict or "
                    "exclusive; a time is 500ms, 1s, 2m or in seconds",
                    raw.coherence)};
  }
  using Time = std::optional<std::chrono::milliseconds>;
  const auto given = [](const char* name, const std::optional<std::string>& text) {
    return text ? Time(duration_of(name, *text)) : Time();
  };
  options.given.entry = given("entry-timeout", raw.entry_timeout);
  options.given.attr = given("attr-timeout", raw.attr_timeout);
  options.given.negative = given("negative-timeout", raw.negative_timeout);
  if (raw.cache_ttl == "inf") {
    options.given.cache = Time();
  } else if (raw.cache_ttl) {
    options.given.cache = given("cache-ttl", raw.cache_ttl);
  }
  set_coherence(options, *coherence);
}

std::size_t watch_queue_of(const std::string& text) {
  const auto count = parse_unsigned(text);
  if (!count || *count < 1 || *count > kWatchQueueMax) {
    throw UsageError{fmt::format("--watch-queue={}: must be 1 to {}", text, kWatchQueueMax)};
  }
  return *count;
}

void check_values(const RawOptions& raw, Options& options) {
  if (raw.source.empty()) throw UsageError{"SOURCE and MOUNTPOINT are missing; see --help"};
  if (raw.mountpoint.empty()) throw UsageError{"MOUNTPOINT is missing; see --help"};
  options.source = raw.source;
  options.mountpoint = raw.mountpoint;
  set_times(raw, options);
  options.watch_queue = watch_queue_of(raw.watch_queue);
  options.locking = locking_of(raw.locking);
  options.memory_bytes = memory_of(raw.memory);
  options.threads = threads_of(raw.threads);
  options.transport = transport_of(raw.transport);
  options.passthrough = passthrough_of(raw.passthrough);
  options.debug = raw.debug;
  options.foreground = raw.foreground || raw.debug;
}

std::string version_text() {
#ifdef _LGPL_SOURCE
  constexpr std::string_view kInlined = "read side inlined";
#else
  constexpr std::string_view kInlined = "read side called";
#endif
  return fmt::format("evenfs {} ({})\nlibfuse {}\nliburcu {} (memb, {})\n", EVENFS_VERSION,
                     EVENFS_BUILD_TYPE, fuse_pkgversion(), EVENFS_URCU_VERSION, kInlined);
}

Command usage_error(std::string line) {
  // CLI11 puts a hint on a line of its own; we promise one line.
  line.resize(std::min(line.find('\n'), line.size()));
  return {std::nullopt, fmt::format("evenfs: {}\n", line), kExitUsage};
}

}  // namespace

void set_coherence(Options& options, const Coherence& coherence) {
  const Timeouts times = timeouts_of(coherence);
  const Options::Given& given = options.given;
  options.coherence = coherence;
  options.entry_timeout = given.entry.value_or(times.entry);
  options.attr_timeout = given.attr.value_or(times.attr);
  options.negative_timeout = given.negative.value_or(times.negative);
  options.cache_ttl = given.cache.value_or(times.cache);
}

// One for each core: the kernel wakes them in turn, and more than can run cost a switch each. Those that wait
// for the source have substitutes.
unsigned default_threads() { return std::clamp(std::thread::hardware_concurrency(), 2U, 64U); }

Command parse_command(int argc, const char* const* argv) {
  RawOptions raw;
  CLI::App app{std::string(kDescription), "evenfs"};
  app.footer(std::string(kFooter));
  add_options(app, raw);
  try {
    Options options;
    std::vector<std::string> arguments = gather(argc, argv, options);
    std::ranges::reverse(arguments);  // As CLI11 wants a vector.
    app.parse(std::move(arguments));
    if (raw.version) return {std::nullopt, version_text(), 0};
    check_values(raw, options);
    return {std::move(options), "", 0};
  } catch (const CLI::CallForHelp&) {
    return {std::nullopt, app.help(), 0};
  } catch (const CLI::ParseError& error) {
    return usage_error(error.what());
  } catch (const UsageError& error) {
    return usage_error(error.line);
  }
}

}  // namespace evenfs
