// SPDX-License-Identifier: LGPL-2.1-or-later
// Result<T>: a value, or the errno that says why there is none.
//
// Every call that can fail returns one. Errno is a type of its own, so that an error is never
// taken for a count or a descriptor, and its sign is fixed here: positive, as in <cerrno>. Only
// the reply to the kernel and the system-call wrappers turn it around.
#pragma once

#include <cassert>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

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
  Result(T value) noexcept(std::is_nothrow_move_constructible_v<T>) {
    std::construct_at(place(), std::move(value));
  }
  Result(Errno error) noexcept : error_(error.code()) {}

  // A value that is there but not set: whoever asks for it sets all of it, or assigns an error.
  // For answers that are filled in where they stand, because clearing them first costs as much
  // as finding them. (Such a T comes to life with the bytes: an implicit-lifetime type.)
  explicit Result(std::in_place_t) noexcept
      requires(std::is_trivially_copyable_v<T>&& std::is_aggregate_v<T>) {}

  Result(Result&& other) noexcept(std::is_nothrow_move_constructible_v<T>) : error_(other.error_) {
    if (ok()) std::construct_at(place(), std::move(other.value()));
  }
  Result(const Result& other) : error_(other.error_) {
    if (ok()) std::construct_at(place(), other.value());
  }
  // The old value goes first; if making the new one throws, what is left is EIO.
  Result& operator=(Result other) noexcept(std::is_nothrow_move_constructible_v<T>) {
    if (ok()) std::destroy_at(place());
    error_ = EIO;
    if (other.ok()) std::construct_at(place(), std::move(other.value()));
    error_ = other.error_;
    return *this;
  }
  ~Result() {
    if (ok()) std::destroy_at(place());
  }

  bool ok() const noexcept { return error_ == 0; }
  explicit operator bool() const noexcept { return ok(); }

  // REQUIRES: ok().
  T& value() & noexcept { return *place(); }
  const T& value() const& noexcept { return *place(); }
  T&& value() && noexcept { return std::move(*place()); }
  T& operator*() & noexcept { return *place(); }
  const T& operator*() const& noexcept { return *place(); }
  T* operator->() noexcept { return place(); }
  const T* operator->() const noexcept { return place(); }

  // REQUIRES: !ok().
  Errno error() const noexcept { return Errno(error_); }

 private:
  T* place() noexcept { return std::launder(reinterpret_cast<T*>(bytes_)); }
  const T* place() const noexcept { return std::launder(reinterpret_cast<const T*>(bytes_)); }

  alignas(T) std::byte bytes_[sizeof(T)];
  int error_ = 0;  // 0: there is a value.
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
