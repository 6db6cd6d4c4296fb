// SPDX-License-Identifier: LGPL-2.1-or-later
// What the store tests share: a Node that gives itself back, a private directory on disk, and
// short names for what tests do often. Not a fake: the stores under test are the real ones.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "core/store/store.h"

namespace evenfs::test {

inline NameRef name_of(std::string_view bytes) {
  const Result<NameRef> made = NameRef::make(bytes);
  if (!made) std::abort();
  return *made;
}

template <class T>
int code(const Result<T>& result) {
  return result ? 0 : result.error().code();
}
inline int code(const Status& status) { return status ? 0 : status.error().code(); }

// A Found that is released once.
class Held {
 public:
  Held() = default;
  Held(Store& store, Found found) : store_(&store), found_(found) {}
  Held(Held&& other) noexcept
      : store_(std::exchange(other.store_, nullptr)), found_(other.found_) {}
  Held& operator=(Held&& other) noexcept {
    std::swap(store_, other.store_);
    std::swap(found_, other.found_);
    return *this;
  }
  ~Held() {
    if (store_ != nullptr) store_->release(found_.node);
  }
  explicit operator bool() const { return store_ != nullptr; }
  const Node& node() const { return found_.node; }
  const Attr& attr() const { return found_.attr; }
  const Identity& identity() const { return found_.identity; }

 private:
  Store* store_ = nullptr;
  Found found_{};
};

// A new directory that is removed with all that is in it.
class TempDir {
 public:
  TempDir() {
    std::string pattern = std::filesystem::temp_directory_path() / "evenfs-test-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    path_ = pattern;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }
  std::string operator/(std::string_view below) const { return path_ + "/" + std::string(below); }

 private:
  std::string path_;
};

// A store and its root, with functions that fail the test where success is taken for granted.
class StoreUser {
 public:
  explicit StoreUser(Store& used) : store_(used) {
    cred.uid = ::geteuid();
    cred.gid = ::getegid();
    root = take(store_.root());
  }

  Held take(Result<Found> found) {
    EXPECT_TRUE(found.ok()) << (found ? 0 : found.error().code());
    return found ? Held(store_, *found) : Held();
  }
  Held mkdir(const Held& dir, std::string_view name, std::uint32_t mode = 0755) {
    return take(store_.mkdir(dir.node(), name_of(name), mode, cred));
  }
  Held file(const Held& dir, std::string_view name, std::string_view content = "") {
    Result<Created> made = store_.create(dir.node(), name_of(name), 0644, O_RDWR | O_EXCL, cred);
    EXPECT_EQ(code(made), 0) << name;
    if (!made) return Held();
    const auto bytes = std::as_bytes(std::span(content.data(), content.size()));
    if (!bytes.empty()) {
      EXPECT_TRUE(made->file->write(bytes, 0).ok());
    }
    return Held(store_, made->found);
  }
  Held look(const Held& dir, std::string_view name) {
    return take(store_.lookup(dir.node(), name_of(name)));
  }
  // The errno of a lookup, 0 when it found something.
  int look_error(const Held& dir, std::string_view name) {
    const Result<Found> found = store_.lookup(dir.node(), name_of(name));
    if (found) store_.release(found->node);
    return code(found);
  }
  Attr attr(const Held& object) {
    const Result<Attr> got = store_.getattr(object.node(), nullptr);
    EXPECT_TRUE(got.ok()) << code(got);
    return got ? *got : Attr{};
  }
  std::string content(const Held& object) {
    Result<std::unique_ptr<File>> opened = store_.open(object.node(), O_RDONLY);
    EXPECT_TRUE(opened.ok()) << code(opened);
    std::string bytes(4096, '\0');
    if (!opened) return "";
    const Result<std::size_t> got =
        (*opened)->read(std::as_writable_bytes(std::span(bytes.data(), bytes.size())), 0);
    EXPECT_TRUE(got.ok()) << code(got);
    bytes.resize(got ? *got : 0);
    return bytes;
  }
  std::vector<std::string> list(const Held& dir) {
    std::vector<std::string> names;
    Result<std::unique_ptr<Directory>> opened = store_.opendir(dir.node(), 0);
    EXPECT_TRUE(opened.ok()) << code(opened);
    if (!opened) return names;
    const Status status = (*opened)->read(0, [&names](const DirEntry& entry) {
      names.emplace_back(entry.name);
      return true;
    });
    EXPECT_TRUE(status.ok()) << code(status);
    return names;
  }

  Cred cred;
  Held root;

 private:
  Store& store_;
};

}  // namespace evenfs::test
