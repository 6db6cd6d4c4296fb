// SPDX-License-Identifier: LGPL-2.1-or-later
// Log-linear histogram of latencies: 64 buckets for each power of two, so a value read back is at
// most 1/64 (1.6 %) above the one recorded; values below 64 are exact.
//
// It is plain memory without pointers: it lies in memory that processes share. One thread writes
// it; others read it after that thread or process has ended.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace evenfs::statloop {

class Histogram {
 public:
  void record(std::uint64_t value) noexcept {
    ++counts_[index_of(value)];
    ++total_;
    max_ = std::max(max_, value);
  }

  void merge(const Histogram& other) noexcept {
    for (std::size_t i = 0; i < kBuckets; ++i) counts_[i] += other.counts_[i];
    total_ += other.total_;
    max_ = std::max(max_, other.max_);
  }

  std::uint64_t total() const noexcept { return total_; }
  std::uint64_t max() const noexcept { return max_; }

  // The smallest bucket end that at least `share` of the values do not exceed; 0 if there are no
  // values. `share` is in (0, 1].
  std::uint64_t quantile(double share) const noexcept {
    const double wanted = share * static_cast<double>(total_);
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < kBuckets; ++i) {
      seen += counts_[i];
      if (seen != 0 && static_cast<double>(seen) >= wanted) return std::min(last_of(i), max_);
    }
    return max_;
  }

 private:
  static constexpr unsigned kSubBits = 6;
  static constexpr std::size_t kSub = std::size_t{1} << kSubBits;
  static constexpr std::size_t kBuckets = (64 - kSubBits + 1) * kSub;

  static std::size_t index_of(std::uint64_t value) noexcept {
    if (value < kSub) return static_cast<std::size_t>(value);
    const unsigned shift = static_cast<unsigned>(std::bit_width(value)) - kSubBits - 1;
    return (shift + 1) * kSub + static_cast<std::size_t>((value >> shift) - kSub);
  }

  // The largest value that falls into bucket `index`.
  static std::uint64_t last_of(std::size_t index) noexcept {
    if (index < kSub) return index;
    const std::size_t shift = index / kSub - 1;
    const std::uint64_t first = std::uint64_t{kSub + index % kSub} << shift;
    return first + ((std::uint64_t{1} << shift) - 1);
  }

  std::array<std::uint64_t, kBuckets> counts_{};
  std::uint64_t total_ = 0;
  std::uint64_t max_ = 0;
};

}  // namespace evenfs::statloop
