// SPDX-License-Identifier: LGPL-2.1-or-later
// Result<T>: a value, or the errno that says why there is none.
//
// Every call that can fail returns one. Errno is a type of its own, so that an error is never
// taken for a count or a descriptor, and its sign is fixed here: positive, as in <cerrno>. Only
// the reply to the kernel and the system-call wrappers turn it around.
#pragma once

#include <cassert>
#include <cerrno>
#include <optional>
#include <utility>
#include <variant>

namespace evenfs {

class Errno {
 public:
  constexpr explicit Errno(int code) noexcept : code_(code) { assert(code > 0); }

  // Captures errno. Call it right after the failed call, before anything that may log, allocate
  // or close.
  static Errno last() noexcept { return Errno(errno); }

  constexpr int code() const noexcept { return code_; }
  friend constexpr bool operator==(Errno, Errno) noexcept = default;

 private:
  int code_;
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Errno error) noexcept : state_(std::in_place_index<1>, error) {}
  // A default value, to be filled in where it stands.
  explicit Result(std::in_place_t) : state_(std::in_place_index<0>) {}

  bool ok() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return ok(); }

  // REQUIRES: ok().
  T& value() & noexcept { return *std::get_if<0>(&state_); }
  const T& value() const& noexcept { return *std::get_if<0>(&state_); }
  T&& value() && noexcept { return std::move(*std::get_if<0>(&state_)); }
  T& operator*() & noexcept { return value(); }
  const T& operator*() const& noexcept { return value(); }
  T* operator->() noexcept { return &value(); }
  const T* operator->() const noexcept { return &value(); }

  // REQUIRES: !ok().
  Errno error() const noexcept { return *std::get_if<1>(&state_); }

 private:
  std::variant<T, Errno> state_;
};

// The result of a call that has no value: success, or an errno.
class [[nodiscard]] Status {
 public:
  Status() noexcept = default;
  Status(Errno error) noexcept : error_(error) {}

  bool ok() const noexcept { return !error_.has_value(); }
  explicit operator bool() const noexcept { return ok(); }

  // REQUIRES: !ok().
  Errno error() const noexcept { return *error_; }

 private:
  std::optional<Errno> error_;
};

}  // namespace evenfs
