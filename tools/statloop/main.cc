// SPDX-License-Identifier: LGPL-2.1-or-later
// statloop: loops of stat and its kin over a tree whose names say what must be reported, with or
// without others changing that tree, with every answer checked. See --help.
#include <fmt/format.h>

#include <cstdio>
#include <string>

#include "tools/statloop/options.h"
#include "tools/statloop/report.h"
#include "tools/statloop/runner.h"
#include "tools/statloop/shared.h"
#include "tools/statloop/tree.h"

namespace {

int complain(const std::string& text) {
  fmt::print(stderr, "statloop: {}\n", text);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace evenfs::statloop;
  int status = 0;
  const std::optional<Options> options = parse_options(argc, argv, status);
  if (!options) return status;
  Tree tree;
  if (const std::string wrong = tree.build(*options); !wrong.empty()) return complain(wrong);
  Shared shared(options->workers + options->mutators);
  if (!shared.ok()) return complain("no memory");
  if (const std::string wrong = run_all(*options, tree, shared); !wrong.empty()) {
    return complain(wrong);
  }
  const bool right = report(*options, shared.results());
  if (const std::string wrong = tree.remove(); !wrong.empty()) return complain(wrong);
  return right ? 0 : 1;
}
