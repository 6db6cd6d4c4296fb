// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/statloop/report.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>

namespace evenfs::statloop {
namespace {

using Json = nlohmann::ordered_json;

double rate_of(std::uint64_t count, std::int64_t elapsed_ns) {
  return elapsed_ns <= 0 ? 0 : static_cast<double>(count) * 1e9 / static_cast<double>(elapsed_ns);
}

// Sums over the workers of one kind.
struct Total {
  std::uint64_t ops = 0;
  std::uint64_t wrong = 0;
  std::uint64_t unexpected = 0;
  std::uint64_t checked = 0;
  std::array<std::uint64_t, kErrnoMax> by_errno{};
  std::array<std::uint64_t, kMutationNames.size()> mutations{};
  double per_second = 0;  // Sum of the workers' own rates.
  double min_per_second = 0;
  double max_per_second = 0;
  Histogram latency_ns;
};

template <std::size_t N>
void add_all(std::array<std::uint64_t, N>& to, const std::array<std::uint64_t, N>& from) {
  std::transform(to.begin(), to.end(), from.begin(), to.begin(), std::plus<>());
}

void sum_up(std::span<const WorkerResult> results, Total& total) {
  for (const WorkerResult& result : results) {
    const double rate = rate_of(result.ops, result.elapsed_ns);
    const bool first = &result == results.data();
    total.ops += result.ops;
    total.wrong += result.wrong;
    total.unexpected += result.unexpected;
    total.checked += result.checked;
    add_all(total.by_errno, result.by_errno);
    add_all(total.mutations, result.mutations);
    total.per_second += rate;
    total.min_per_second = first ? rate : std::min(total.min_per_second, rate);
    total.max_per_second = std::max(total.max_per_second, rate);
    total.latency_ns.merge(result.latency_ns);
  }
}

std::string errno_name(std::size_t error) {
  const char* name = error == kErrnoMax - 1 ? nullptr : ::strerrorname_np(static_cast<int>(error));
  return name == nullptr ? fmt::format("errno {}", error) : name;
}

Json errors_json(const Total& readers, const Total& mutators) {
  Json json = Json::object();
  for (std::size_t error = 1; error < kErrnoMax; ++error) {
    const std::uint64_t count = readers.by_errno[error] + mutators.by_errno[error];
    if (count != 0) json[errno_name(error)] = count;
  }
  return json;
}

Json latency_json(const Histogram& histogram) {
  return {{"timed", histogram.total()},
          {"p50", histogram.quantile(0.5)},
          {"p99", histogram.quantile(0.99)},
          {"p99_9", histogram.quantile(0.999)},
          {"max", histogram.max()}};
}

Json mutations_json(const Total& mutators) {
  Json json = Json::object();
  for (std::size_t kind = 0; kind < kMutationNames.size(); ++kind) {
    json[std::string(kMutationNames[kind])] = mutators.mutations[kind];
  }
  return json;
}

Json parameters_json(const Options& options) {
  Json mutate = Json::array();
  for (std::size_t kind = 0; kind < kMutationNames.size(); ++kind) {
    if (options.mutate[kind]) mutate.push_back(kMutationNames[kind]);
  }
  return {{"dir", options.dir},
          {"op", name_of(options.op)},
          {"set", name_of(options.set)},
          {"workers", options.workers},
          {"as", options.processes ? "processes" : "threads"},
          {"files", options.files},
          {"depth", options.depth},
          {"size", options.size ? Json(*options.size) : Json()},
          {"seconds", options.seconds},
          {"ops", options.ops},
          {"warmup_s", options.warmup_s},
          {"sample", options.sample},
          {"seed", options.seed},
          {"pin", options.pin},
          {"mutators", options.mutators},
          {"mutate", options.mutators == 0 ? Json::array() : mutate},
          {"rate", options.rate},
          {"changing", options.changing},
          {"create", options.create}};
}

Json machine_json() {
  utsname name{};
  ::uname(&name);
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  ::sched_getaffinity(0, sizeof allowed, &allowed);
  return {{"kernel", name.release}, {"arch", name.machine}, {"cpus", CPU_COUNT(&allowed)}};
}

Json findings_json(std::span<const WorkerResult> results) {
  Json json = Json::array();
  for (const WorkerResult& result : results) {
    if (result.first_wrong[0] != '\0') json.push_back(result.first_wrong.data());
  }
  return json;
}

// A number with its thousands divided, for people.
std::string grouped(double value) {
  std::string digits = fmt::format("{:.0f}", value);
  for (std::size_t i = digits.size(); i > 3; i -= 3) digits.insert(i - 3, 1, ',');
  return digits;
}

void print_text(const Options& options, const Total& readers, const Total& mutators,
                const Json& json) {
  fmt::print("statloop: {} {} in {} {}, {} mutators, {} files, seed {}; {} CPUs, Linux {}\n",
             name_of(options.op), name_of(options.set), options.workers,
             options.processes ? "processes" : "threads", options.mutators, options.files,
             options.seed, json["machine"]["cpus"].get<int>(),
             json["machine"]["kernel"].get<std::string>());
  fmt::print("  throughput  {} ops/s ({} ops; by worker {} to {})\n", grouped(readers.per_second),
             readers.ops, grouped(readers.min_per_second), grouped(readers.max_per_second));
  const auto latency = [&](std::string_view what, const Histogram& of) {
    fmt::print("  {:<11} p50 {} p99 {} p99.9 {} max {} ns ({} timed)\n", what, of.quantile(0.5),
               of.quantile(0.99), of.quantile(0.999), of.max(), of.total());
  };
  latency("latency", readers.latency_ns);
  if (options.mutators != 0) {
    fmt::print("  mutations   {} /s:", grouped(mutators.per_second));
    for (std::size_t kind = 0; kind < kMutationNames.size(); ++kind) {
      fmt::print(" {} {}", kMutationNames[kind], mutators.mutations[kind]);
    }
    fmt::print("\n");
    latency("mutation", mutators.latency_ns);
  }
  fmt::print("  errors      {}\n", json["errors"].dump());
  fmt::print("  answers     {} checked, {} wrong; {} unexpected errors\n",
             readers.checked + mutators.checked, readers.wrong + mutators.wrong,
             readers.unexpected + mutators.unexpected);
}

bool write_json(const std::string& path, const Json& json) {
  if (path == "-") {
    std::cout << json.dump(2) << std::endl;
    return std::cout.good();
  }
  std::ofstream file(path);
  file << json.dump(2) << '\n';
  file.close();
  if (file) return true;
  fmt::print(stderr, "statloop: cannot write {}\n", path);
  return false;
}

Json make_json(const Options& options, std::span<const WorkerResult> results, const Total& readers,
               const Total& mutators) {
  Json workers = Json::array();
  for (const WorkerResult& result : results.first(options.workers)) {
    workers.push_back(rate_of(result.ops, result.elapsed_ns));
  }
  Json json = {{"parameters", parameters_json(options)},
               {"machine", machine_json()},
               {"ops", readers.ops},
               {"ops_per_second", readers.per_second},
               {"ops_per_second_by_worker", workers},
               {"latency_ns", latency_json(readers.latency_ns)},
               {"mutations", mutations_json(mutators)},
               {"mutations_per_second", mutators.per_second},
               {"mutation_latency_ns", latency_json(mutators.latency_ns)},
               {"errors", errors_json(readers, mutators)},
               {"checked", readers.checked + mutators.checked},
               {"wrong", readers.wrong + mutators.wrong},
               {"unexpected", readers.unexpected + mutators.unexpected},
               {"findings", findings_json(results)}};
  json["finished"] = std::all_of(results.begin(), results.end(),
                                 [](const WorkerResult& result) { return result.finished; });
  return json;
}

}  // namespace

bool report(const Options& options, std::span<const WorkerResult> results) {
  // Histograms are large for a stack.
  const auto readers = std::make_unique<Total>();
  const auto mutators = std::make_unique<Total>();
  sum_up(results.first(options.workers), *readers);
  sum_up(results.subspan(options.workers), *mutators);
  const Json json = make_json(options, results, *readers, *mutators);
  if (options.json != "-") print_text(options, *readers, *mutators, json);
  std::fflush(stdout);
  const bool written = options.json.empty() || write_json(options.json, json);
  const std::uint64_t findings =
      readers->wrong + readers->unexpected + mutators->wrong + mutators->unexpected;
  return written && findings == 0 && readers->ops != 0;
}

}  // namespace evenfs::statloop
