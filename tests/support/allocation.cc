// SPDX-License-Identifier: LGPL-2.1-or-later
// All replaceable forms of new and delete, so that what one takes another of ours gives back, under the
// sanitizers too: they see malloc() and free().
#include "tests/support/allocation.h"

#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

using evenfs::test::allocation_plan;
using evenfs::test::AllocationPlan;
using evenfs::test::Shortage;

bool is_to_fail() noexcept {
  AllocationPlan& plan = allocation_plan;
  if (!plan.armed || plan.pauses != 0) return false;
  ++plan.seen;
  if (plan.nth == 0) return false;
  return plan.shortage == Shortage::kOnce ? plan.seen == plan.nth : plan.seen >= plan.nth;
}

void* take(std::size_t bytes) noexcept {
  return is_to_fail() ? nullptr : std::malloc(bytes != 0 ? bytes : 1);
}

void* take(std::size_t bytes, std::align_val_t align) noexcept {
  const auto unit = static_cast<std::size_t>(align);
  return is_to_fail() ? nullptr : std::aligned_alloc(unit, (bytes + unit - 1) / unit * unit);
}

void* or_throw(void* at) {
  if (at == nullptr) throw std::bad_alloc();
  return at;
}

}  // namespace

void* operator new(std::size_t bytes) { return or_throw(take(bytes)); }
void* operator new[](std::size_t bytes) { return or_throw(take(bytes)); }
void* operator new(std::size_t bytes, std::align_val_t align) {
  return or_throw(take(bytes, align));
}
void* operator new[](std::size_t bytes, std::align_val_t align) {
  return or_throw(take(bytes, align));
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return take(bytes); }
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept { return take(bytes); }
void* operator new(std::size_t bytes, std::align_val_t align, const std::nothrow_t&) noexcept {
  return take(bytes, align);
}
void* operator new[](std::size_t bytes, std::align_val_t align, const std::nothrow_t&) noexcept {
  return take(bytes, align);
}

void operator delete(void* at) noexcept { std::free(at); }
void operator delete[](void* at) noexcept { std::free(at); }
void operator delete(void* at, std::size_t) noexcept { std::free(at); }
void operator delete[](void* at, std::size_t) noexcept { std::free(at); }
void operator delete(void* at, std::align_val_t) noexcept { std::free(at); }
void operator delete[](void* at, std::align_val_t) noexcept { std::free(at); }
void operator delete(void* at, std::size_t, std::align_val_t) noexcept { std::free(at); }
void operator delete[](void* at, std::size_t, std::align_val_t) noexcept { std::free(at); }
void operator delete(void* at, const std::nothrow_t&) noexcept { std::free(at); }
void operator delete[](void* at, const std::nothrow_t&) noexcept { std::free(at); }
void operator delete(void* at, std::align_val_t, const std::nothrow_t&) noexcept { std::free(at); }
void operator delete[](void* at, std::align_val_t, const std::nothrow_t&) noexcept {
  std::free(at);
}
