// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fusefs/log.h"

#include <fuse_log.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/syslog_sink.h>

#include <array>
#include <cstdarg>
#include <cstdio>
#include <memory>
#include <string_view>

namespace evenfs {
namespace {

FuseMessages* keeper = nullptr;

spdlog::level::level_enum level_of(fuse_log_level level) {
  if (level <= FUSE_LOG_ERR) return spdlog::level::err;
  if (level == FUSE_LOG_WARNING) return spdlog::level::warn;
  if (level <= FUSE_LOG_INFO) return spdlog::level::info;
  return spdlog::level::debug;
}

void on_fuse_message(fuse_log_level level, const char* format, va_list arguments) {
  std::array<char, 512> buffer{};
  std::vsnprintf(buffer.data(), buffer.size(), format, arguments);
  std::string_view text(buffer.data());
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  constexpr std::string_view kPrefix = "fuse: ";
  if (text.starts_with(kPrefix)) text.remove_prefix(kPrefix.size());
  if (text.empty()) return;
  if (keeper != nullptr && level <= FUSE_LOG_ERR) {
    keep_fuse_message(*keeper, std::string(text));
    return;
  }
  spdlog::log(level_of(level), "libfuse: {}", text);
}

void use_sink(spdlog::sink_ptr sink, spdlog::level::level_enum level) {
  auto logger = std::make_shared<spdlog::logger>("evenfs", std::move(sink));
  logger->set_level(level);
  logger->flush_on(spdlog::level::trace);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace

void log_to_stderr(bool debug) {
  auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  sink->set_pattern("evenfs: %v");
  use_sink(std::move(sink), debug ? spdlog::level::debug : spdlog::level::info);
  fuse_set_log_func(on_fuse_message);
}

void log_to_syslog() {
  auto sink = std::make_shared<spdlog::sinks::syslog_sink_mt>("evenfs", LOG_PID, LOG_DAEMON, false);
  use_sink(std::move(sink), spdlog::level::info);
}

FuseMessages::FuseMessages() { keeper = this; }
FuseMessages::~FuseMessages() { keeper = nullptr; }

std::string FuseMessages::last(const std::string& otherwise) const {
  return last_.empty() ? otherwise : last_;
}

void keep_fuse_message(FuseMessages& messages, std::string text) {
  messages.last_ = std::move(text);
}

}  // namespace evenfs
