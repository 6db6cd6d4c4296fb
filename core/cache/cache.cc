// SPDX-License-Identifier: LGPL-2.1-or-later
// The four caches. Each is compiled in a file of its own; this one only chooses.
#include "core/cache/cache.h"

#include "core/cache/basic_cache.h"

namespace evenfs {

extern template class BasicCache<LocklessPolicy>;
extern template class BasicCache<ShardedPolicy>;
extern template class BasicCache<RwlockPolicy>;
extern template class BasicCache<MutexPolicy>;

namespace {

template <LockingPolicy Policy>
Result<std::unique_ptr<Cache>> make(Store& store, const CacheOptions& options) {
  auto made = BasicCache<Policy>::create(store, options);
  if (!made) return made.error();
  return std::unique_ptr<Cache>(std::move(made).value());
}

}  // namespace

Result<std::unique_ptr<Cache>> make_cache(Locking locking, Store& store,
                                          const CacheOptions& options) {
  switch (locking) {
    case Locking::kLockless:
      return make<LocklessPolicy>(store, options);
    case Locking::kSharded:
      return make<ShardedPolicy>(store, options);
    case Locking::kRwlock:
      return make<RwlockPolicy>(store, options);
    case Locking::kMutex:
      return make<MutexPolicy>(store, options);
  }
  return Errno(EINVAL);
}

}  // namespace evenfs
