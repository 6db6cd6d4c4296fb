// SPDX-License-Identifier: LGPL-2.1-or-later
// The cases of set-group-id that the kernel leaves to a FUSE server.
//
// A local file system takes the bit away when somebody changes the file who is not of its group and has
// no privilege (CAP_FSETID; here: is not root). On a FUSE mount the kernel does so itself, by a SETATTR
// before the change, but by an older rule: only if the group may execute the file. And for an ACL that
// is set it does nothing. Set-user-id is always dealt with by the kernel.
#pragma once

#include <optional>

#include "fusefs/request.h"

namespace evenfs {

// The mode that `id` is left with when the caller changes its content or owner: nothing if the kernel has
// seen to it. `file`, where given, is an open file of it.
Result<std::optional<std::uint32_t>> mode_without_set_group_id(Request& r, NodeId id, File* file);

// Gives `id` that mode. To be called before its content is changed.
Status drop_set_group_id(Request& r, NodeId id, File* file);

// After an access ACL was set, inside the section of that change.
Status drop_set_group_id_after_acl(Request& r, const Node& node);

}  // namespace evenfs
