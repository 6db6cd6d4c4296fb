// SPDX-License-Identifier: LGPL-2.1-or-later
// What libFuzzer calls for each input; corpus_test.cc calls it for each file of the kept corpus.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/protocol_run.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  evenfs::test::ProtocolRun({data, size}).run();
  return 0;
}
