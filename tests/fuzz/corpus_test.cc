// SPDX-License-Identifier: LGPL-2.1-or-later
// Runs each file of the kept corpus, and what the fuzzer has found, as ordinary tests: without clang, and
// with the other sanitizers.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace evenfs::test {
namespace {

TEST(FuzzCorpus, EachFileOfTheCorpusLeavesNothingBehind) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(EVENFS_CORPUS)) {
    files.push_back(entry.path());
  }
  std::ranges::sort(files);
  EXPECT_GE(files.size(), 20U);
  for (const std::filesystem::path& file : files) {
    std::ifstream in(file, std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(in), {}};
    // It aborts on a finding: what is printed last is its file.
    std::cout << file.filename() << std::endl;
    EXPECT_EQ(
        LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()),
        0);
  }
}

// Ends as an input does that the fuzzer cuts to nothing.
TEST(FuzzCorpus, AnEmptyInputIsASessionWithoutRequests) {
  EXPECT_EQ(LLVMFuzzerTestOneInput(nullptr, 0), 0);
}

}  // namespace
}  // namespace evenfs::test
