// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fusefs/inode_numbers.h"

namespace evenfs {
namespace {

constexpr unsigned kInoBits = 48;

// Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014: a bijection.
std::uint64_t mix(std::uint64_t x) noexcept {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

}  // namespace

std::uint64_t InodeNumbers::number_of_device(std::uint64_t dev) noexcept {
  const std::size_t begin = mix(dev) % kDevicesMax;
  for (std::size_t step = 0; step < kDevicesMax; ++step) {
    const std::size_t at = (begin + step) % kDevicesMax;
    std::uint64_t found = devices_[at].load(std::memory_order_relaxed);
    // The place is all there is to know of it.
    if (found == 0 &&
        devices_[at].compare_exchange_strong(found, dev + 1, std::memory_order_relaxed)) {
      return at + 1;
    }
    if (found == dev + 1) return at + 1;
  }
  return begin + 1;
}

std::uint64_t InodeNumbers::of_another(std::uint64_t dev, std::uint64_t ino) noexcept {
  const std::uint64_t device = number_of_device(dev);
  if (ino >> kInoBits == 0) return device << kInoBits | ino;
  return mix(ino ^ mix(device));
}

}  // namespace evenfs
