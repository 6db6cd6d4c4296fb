// SPDX-License-Identifier: LGPL-2.1-or-later
// evenfs-stat MOUNTPOINT [--json] [--watch SECONDS]: what the cache behind a mount does. Asks the
// mount itself for its statistics (the extended attribute evenfs.stats of its root).
#include <sys/xattr.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <thread>

#include "tools/evenfs-stat/table.h"

namespace {

constexpr int kExitUsage = 2;
constexpr std::size_t kStatsMax = 65536;  // Bytes; what Linux allows for one attribute.

struct Arguments {
  std::string mountpoint;
  bool json = false;
  double watch_s = 0;  // 0: print once.
};

// Returns arguments, or the status to exit with.
std::optional<Arguments> parse(int argc, char** argv, int& status) {
  Arguments arguments;
  CLI::App app{"Shows what the cache behind a mount of evenfs does.\n", "evenfs-stat"};
  app.add_option("MOUNTPOINT", arguments.mountpoint, "a mount of evenfs")->required();
  app.add_flag("--json", arguments.json, "print the figures as one line of JSON");
  app.add_option("--watch", arguments.watch_s, "again each so many seconds, as rates")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.1, 86400.0));
  try {
    app.parse(argc, argv);
    return arguments;
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    status = 0;
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "evenfs-stat: %s\n", error.what());
    status = kExitUsage;
  }
  return std::nullopt;
}

std::optional<std::string> read_stats(const std::string& mountpoint) {
  std::string text(kStatsMax, '\0');
  const ssize_t size = ::getxattr(mountpoint.c_str(), "evenfs.stats", text.data(), text.size());
  if (size >= 0) {
    text.resize(static_cast<std::size_t>(size));
    return text;
  }
  if (errno == ENODATA || errno == EOPNOTSUPP) {
    std::fprintf(stderr, "evenfs-stat: %s: not the root of a mount of evenfs\n",
                 mountpoint.c_str());
  } else {
    std::fprintf(stderr, "evenfs-stat: %s: %s\n", mountpoint.c_str(), std::strerror(errno));
  }
  return std::nullopt;
}

int show(const Arguments& arguments) {
  std::optional<evenfs::stat_tool::Json> before;
  while (true) {
    const std::optional<std::string> text = read_stats(arguments.mountpoint);
    if (!text) return kExitUsage;
    if (arguments.json) {
      std::printf("%s\n", text->c_str());
    } else {
      evenfs::stat_tool::Json now = evenfs::stat_tool::Json::parse(*text);
      std::fputs(evenfs::stat_tool::to_table(now, before ? &*before : nullptr).c_str(), stdout);
      before = std::move(now);
    }
    std::fflush(stdout);
    if (arguments.watch_s <= 0) return 0;
    std::this_thread::sleep_for(std::chrono::duration<double>(arguments.watch_s));
  }
}

}  // namespace

int main(int argc, char** argv) {
  int status = 0;
  const std::optional<Arguments> arguments = parse(argc, argv, status);
  if (!arguments) return status;
  try {
    return show(*arguments);
  } catch (const nlohmann::json::exception& error) {
    std::fprintf(stderr, "evenfs-stat: %s: statistics of another version\n",
                 arguments->mountpoint.c_str());
    return kExitUsage;
  }
}
