// SPDX-License-Identifier: LGPL-2.1-or-later
// InodeNumbers: the st_ino that the mount shows.
//
// A mount has one st_dev. What is below the source may be on several file systems or btrfs subvolumes, with an
// st_dev each, and who copies or archives takes two names of one (st_dev, st_ino) for hard links. So numbers
// of other devices than the top's get a number for their device in the upper 16 bits, as overlayfs's xino has
// for its layers. What does not leave these bits free is mixed with it.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace evenfs {

class InodeNumbers {
 public:
  static constexpr std::size_t kDevicesMax = 4096;

  // `top`: the st_dev of the source's top, whose numbers stay as they are.
  explicit InodeNumbers(std::uint64_t top) noexcept : top_(top) {}

  // Any thread; the same for the same arguments. Of more than kDevicesMax devices some share their numbers.
  std::uint64_t of(std::uint64_t dev, std::uint64_t ino) noexcept {
    return dev == top_ ? ino : of_another(dev, ino);
  }

 private:
  std::uint64_t of_another(std::uint64_t dev, std::uint64_t ino) noexcept;
  // From 1 on: the first that was free from a place on that follows from `dev`, so mostly the same in each
  // mount.
  std::uint64_t number_of_device(std::uint64_t dev) noexcept;

  const std::uint64_t top_;
  // Devices, plus 1; 0: free. Each is written once, by whoever meets the device first, without a lock.
  std::array<std::atomic<std::uint64_t>, kDevicesMax> devices_{};
};

}  // namespace evenfs
