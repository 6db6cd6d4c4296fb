// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/cache/basic_cache.h"

namespace evenfs {

template class BasicCache<MutexPolicy>;

}  // namespace evenfs
