// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/evenfs-stat/table.h"

#include <fmt/format.h>

#include <array>
#include <string_view>

#include "core/stats/counters.h"

namespace evenfs::stat_tool {
namespace {

using std::uint64_t;

std::string bytes(uint64_t count) {
  constexpr std::array kUnits = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(count);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  return unit == 0 ? fmt::format("{} bytes", count) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

// Seconds, or the word that stands for no limit.
std::string duration(const Json& value) {
  return value.is_string() ? value.get<std::string>() : fmt::format("{}s", value.get<double>());
}

std::string percent(uint64_t part, uint64_t whole) {
  if (whole == 0) return "-";
  return fmt::format("{:.2f} %", 100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

class Table {
 public:
  Table(const Json& now, const Json* before) : now_(now), before_(before) {
    if (before_ != nullptr && before_->at("pid") != now_.at("pid")) before_ = nullptr;
    if (before_ != nullptr) {
      elapsed_s_ = now_.at("uptime_s").get<double>() - before_->at("uptime_s").get<double>();
    }
  }

  std::string text() {
    head();
    requests();
    answers();
    counters("left the lock-free path", "fallback.");
    counters("cache work", "fill.", "dentry.", "inode.", "reclaim.", "evict.", "forget.");
    watch();
    gauges();
    return std::move(out_);
  }

 private:
  template <class... Args>
  void line(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
    out_ += '\n';
  }

  uint64_t counter(const std::string& name) const { return now_.at("counters").at(name); }

  // A total, and how many a second were added since the answer before.
  void total(std::string_view name, const std::string& group, const std::string& key,
             std::string_view remark = "") {
    const uint64_t value = now_.at(group).at(key);
    std::string rate;
    if (before_ != nullptr && elapsed_s_ > 0) {
      const uint64_t old = before_->at(group).value(key, uint64_t{0});
      rate = fmt::format("{:>12.0f}/s", static_cast<double>(value - old) / elapsed_s_);
    }
    line("  {:<26}{:>14}{}{}{}", name, value, rate, remark.empty() ? "" : "  ", remark);
  }

  void head() {
    const Json& options = now_.at("options");
    line("{} on {}", options.at("source").get<std::string>(),
         options.at("mountpoint").get<std::string>());
    line("  evenfs {}, up {:.0f} s, locking {}, {} threads, {} request(s) in flight",
         now_.at("version").get<std::string>(), now_.at("uptime_s").get<double>(),
         options.at("locking").get<std::string>(), options.at("threads").get<uint64_t>(),
         now_.at("requests_in_flight").get<uint64_t>());
    const auto note = options.at("coherence_note").get<std::string>();
    if (!note.empty()) line("  no watch: {}", note);
    line("  coherence {}; timeouts: entry {}, attr {}, negative {}; cache ttl {}",
         options.at("coherence").get<std::string>(), duration(options.at("entry_timeout_s")),
         duration(options.at("attr_timeout_s")), duration(options.at("negative_timeout_s")),
         duration(options.at("cache_ttl_s")));
  }

  void requests() {
    line("requests");
    for (const auto& item : now_.at("requests").items()) total(item.key(), "requests", item.key());
  }

  void answers() {
    line("answered without asking the source, and by asking it");
    answer("lookup", {"lookup.hit", "lookup.negative", "lookup.complete"}, "lookup.store");
    answer("getattr", {"getattr.hit"}, "getattr.store");
    answer("readlink", {"readlink.hit"}, "readlink.store");
    answer("getxattr", {"getxattr.hit"}, "getxattr.store");
    answer("listing", {"listing.hit"}, "listing.store");
  }

  void answer(std::string_view what, std::initializer_list<const char*> hits, const char* asked) {
    uint64_t hit = 0;
    for (const char* name : hits) hit += counter(name);
    for (const char* name : hits) total(name, "counters", name);
    total(asked, "counters", asked);
    line("  {:<26}{:>14}", fmt::format("{} hit rate", what), percent(hit, hit + counter(asked)));
  }

  // The counters whose names begin with one of `prefixes` and that are not 0.
  template <class... Prefixes>
  void counters(std::string_view title, const Prefixes&... prefixes) {
    line("{}", title);
    for (const CounterInfo& info : kCounterInfo) {
      const std::string name(info.name);
      if (!(info.name.starts_with(prefixes) || ...) || counter(name) == 0) continue;
      total(name, "counters", name, info.sentence);
    }
  }

  // Of what others do in the source; if somebody tells of that.
  void watch() {
    if (!now_.contains("watch")) return;
    line(
        "changes by others, as the source's file system tells of them, and how the kernel was "
        "told");
    for (const auto& item : now_.at("watch").items()) total(item.key(), "watch", item.key());
  }

  void gauges() {
    const Json& cache = now_.at("cache");
    const Json& memory = now_.at("memory");
    const Json& open = now_.at("descriptors");
    const auto of = [](const Json& group, const char* key) {
      return group.at(key).get<uint64_t>();
    };
    line("now");
    line("  inodes {} in {} slots, dentries {} ({} negative) in {} slots, cells {} in {}",
         of(cache, "inodes"), of(cache, "inode_slots"), of(cache, "dentries"),
         of(cache, "negative_dentries"), of(cache, "dentry_slots"), of(cache, "cells"),
         of(cache, "cell_slots"));
    line("  the kernel holds {} inodes by {} lookups", of(cache, "kernel_inodes"),
         of(cache, "kernel_lookups"));
    if (now_.contains("prune")) {
      const Json& prune = now_.at("prune");
      if (prune.at("able").get<bool>()) {
        line("  asked back from the kernel: {} inodes", of(prune, "asked"));
      } else {
        line("  asked back from the kernel: nothing, it cannot be asked (Linux 6.18)");
      }
    }
    line(
        "  memory: cache {} of {}, of it {} of {} listings, source side {}, whole process {} ({} "
        "bytes a dentry)",
        bytes(of(memory, "cache_bytes")), bytes(of(memory, "limit_bytes")),
        bytes(of(memory, "listing_bytes")), of(cache, "listings"), bytes(of(memory, "store_bytes")),
        bytes(of(memory, "resident_bytes")), of(memory, "resident_bytes_per_dentry"));
    line(
        "  descriptors: {}, of them open files {}, open directories {}, kept for speed {}, "
        "pinned {}",
        of(open, "total"), of(open, "open_files"), of(open, "open_directories"),
        of(open, "store_cached"), of(open, "store_pinned"));
  }

  const Json& now_;
  const Json* before_;
  double elapsed_s_ = 0;
  std::string out_;
};

}  // namespace

std::string to_table(const Json& now, const Json* before) { return Table(now, before).text(); }

}  // namespace evenfs::stat_tool
