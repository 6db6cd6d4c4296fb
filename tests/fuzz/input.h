// SPDX-License-Identifier: LGPL-2.1-or-later
// Input: the fuzzer's bytes, taken one decision at a time. Every sequence of bytes means something, so that
// whatever the fuzzer changes leads to another run and not to a refusal.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace evenfs::test {

class Input {
 public:
  explicit Input(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

  bool empty() const { return at_ >= bytes_.size(); }
  // 0 at the end.
  std::uint8_t byte() { return empty() ? std::uint8_t{0} : bytes_[at_++]; }
  // One of 0 .. count - 1.
  std::size_t below(std::size_t count) { return byte() % count; }
  template <class T, std::size_t kCount>
  T one_of(const T (&choices)[kCount]) {
    return choices[below(kCount)];
  }

  std::string bytes(std::size_t count) {
    std::string text;
    for (std::size_t i = 0; i < count; ++i) text.push_back(static_cast<char>(byte()));
    return text;
  }

  // A name: mostly one of few, so that requests meet; else one at a limit, one that no directory can hold,
  // or any bytes.
  std::string name() {
    const std::uint8_t choice = byte();
    if (choice < 200) return std::string(1, static_cast<char>('a' + choice % 6));
    switch (choice % 12) {
      case 0:
        return std::string(28, 'l');  // The longest that lies in the dentry itself.
      case 1:
        return std::string(29, 'l');
      case 2:
        return std::string(255, 'l');
      case 3:
        return std::string(256, 'l');
      case 4:
        return std::string(5000, 'l');
      case 5:
        return "";
      case 6:
        return ".";
      case 7:
        return "..";
      case 8:
        return "a/b";
      case 9:
        return "/";
      default:
        return bytes(below(8));
    }
  }

  // Lengths and offsets, with those at which arithmetic goes wrong.
  std::uint64_t number() {
    static constexpr std::uint64_t kChoices[] = {
        0,          1,           100,          4095,
        4096,       4097,        65536,        (1ULL << 20) + 1,
        1ULL << 31, 1ULL << 40,  (1ULL << 43), (1ULL << 43) + 1,
        1ULL << 62, ~0ULL >> 1U, 1ULL << 63U,  ~0ULL};
    return one_of(kChoices);
  }
  std::uint32_t size() {
    static constexpr std::uint32_t kChoices[] = {
        0, 1, 24, 128, 160, 512, 4096, 65536, 1U << 20U, (1U << 20U) + 1, 1U << 31U, ~0U};
    return one_of(kChoices);
  }

 private:
  std::span<const std::uint8_t> bytes_;
  std::size_t at_ = 0;
};

}  // namespace evenfs::test
