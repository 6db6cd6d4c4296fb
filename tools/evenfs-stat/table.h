// SPDX-License-Identifier: LGPL-2.1-or-later
// The statistics of a mount as text for people.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace evenfs::stat_tool {

using Json = nlohmann::ordered_json;

// With `before`, an earlier answer of the same daemon, totals are also shown as rates. Throws
// nlohmann::json::exception if the figures are not those of a daemon of this version.
std::string to_table(const Json& now, const Json* before);

}  // namespace evenfs::stat_tool
