// SPDX-License-Identifier: LGPL-2.1-or-later
// An open directory on the source, opened there when that is wanted: its names may be in the cache.
#pragma once

#include <functional>

#include "fusefs/request.h"

namespace evenfs {

// REQUIRES, here and below: the directory is counted or pinned.

// Whether all that is wanted of it may be names that are kept, so that it need not be opened on the source yet.
bool kept_names_may_do(Request& r, NodeId id);

// What the kernel is told to keep of the listing: fills in the reply to OPENDIR.
void set_listing_kept(Request& r, fuse_file_info& fi, OpenDirectory& open);

// REQUIRES, from here on: open.mutex, or that nobody else knows of it yet.

// Errors: those of Store::opendir. ESTALE: others have removed it, or it is not found where it was.
Status open_on_source(Request& r, OpenDirectory& open);

// The names from `cookie` on, as Directory::read: those that are kept, if they are right when a listing begins,
// else the source's, which are also added to open.under_way.
Status read_names(Request& r, OpenDirectory& open, std::uint64_t cookie,
                  const std::function<bool(const DirEntry&)>& visit);

}  // namespace evenfs
