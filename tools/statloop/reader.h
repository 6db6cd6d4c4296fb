// SPDX-License-Identifier: LGPL-2.1-or-later
// A worker that asks and checks the answers. What it asks, and in which order, is decided before
// the clock starts.
#pragma once

#include <cstdint>
#include <vector>

#include "tools/statloop/options.h"
#include "tools/statloop/shared.h"
#include "tools/statloop/tree.h"

namespace evenfs::statloop {

// One operation of a plan. kAccess asks for what `mode` says.
struct Step {
  std::uint32_t target = 0;
  Op op = Op::kStat;
  std::uint8_t access_mode = 0;
};

// The operations of `worker`, to be repeated in a circle; their number is a power of two.
std::vector<Step> make_plan(const Options& options, const Tree& tree, unsigned worker);

// Waits for the start and works until the options' bounds or until control.stop.
void run_reader(const Options& options, const Tree& tree, const std::vector<Step>& plan,
                unsigned worker, Control& control, WorkerResult& result);

}  // namespace evenfs::statloop
