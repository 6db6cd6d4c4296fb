// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/cache/slots.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>
#include <new>

#include "core/base/node_id.h"
#include "core/mem/poison.h"

namespace evenfs {

namespace {

constexpr std::uint64_t kMagic = 0x3173666e65766531;  // "1evenfs1"
constexpr std::uint32_t kLayoutVersion = 4;
constexpr std::uint32_t kSlotsCeiling = 1U << 27;
constexpr std::uint64_t kPage = 4096;

// Bytes that one name with its inode takes, without the tables: what the limit is divided by.
constexpr std::uint64_t kBytesPerName = sizeof(InodePub) + sizeof(InodePriv) + sizeof(DentryPub) +
                                        sizeof(DentryPriv) + sizeof(std::uint32_t) + 1;

// What is poisoned of a free inode. Its count, locks and state are not: whoever comes with a dead
// id takes the lock to find out that it is dead.
constexpr std::size_t kPoisonedInode = sizeof(InodePriv) - offsetof(InodePriv, node);

constexpr std::uint64_t page_up(std::uint64_t bytes) { return (bytes + kPage - 1) & ~(kPage - 1); }
constexpr std::uint64_t huge_page_up(std::uint64_t bytes) {
  return (bytes + Mapping::kHugePage - 1) & ~(Mapping::kHugePage - 1);
}

}  // namespace

// Where everything lies. Two names share a bucket when the limit is reached: a fuller table would
// cost time, an emptier one memory that counts for every name.
struct Slots::Plan {
  std::uint32_t names;
  std::uint32_t capacity;
  std::uint32_t buckets;
  std::uint64_t inodes_at, dentries_at, cells_at, buckets_at, id_heads_at, shared_bytes;
  std::uint64_t inode_privs_at, dentry_privs_at, homes_at, clocks_at, private_bytes;

  static std::uint32_t names_for(const Limits& limits) {
    return static_cast<std::uint32_t>(
        std::clamp<std::uint64_t>(limits.memory_bytes / kBytesPerName, 64, kSlotsCeiling / 16));
  }
  static std::uint32_t capacity_for(const Limits& limits) {
    return limits.slots_max != 0 ? limits.slots_max + 1
                                 : std::clamp(names_for(limits) * 16, 1U << 20, kSlotsCeiling);
  }

  Plan(std::uint32_t names_wanted, std::uint32_t slots) : names(names_wanted), capacity(slots) {
    buckets = std::max(64U, std::bit_floor(names / 2));
    inodes_at = huge_page_up(sizeof(ArenaHeader));
    dentries_at = huge_page_up(inodes_at + std::uint64_t{capacity} * sizeof(InodePub));
    cells_at = page_up(dentries_at + std::uint64_t{capacity} * sizeof(DentryPub));
    buckets_at = huge_page_up(cells_at + std::uint64_t{cells()} * sizeof(StringCell));
    id_heads_at = huge_page_up(buckets_at + std::uint64_t{buckets} * sizeof(std::uint32_t));
    shared_bytes = page_up(id_heads_at + std::uint64_t{buckets} * sizeof(std::uint32_t));
    inode_privs_at = 0;
    dentry_privs_at = page_up(std::uint64_t{capacity} * sizeof(InodePriv));
    homes_at = page_up(dentry_privs_at + std::uint64_t{capacity} * sizeof(DentryPriv));
    clocks_at = page_up(homes_at + std::uint64_t{capacity} * sizeof(std::uint32_t));
    private_bytes = page_up(clocks_at + capacity);
  }

  // A name has at most five cells and a link's target 74; twice the slots is ample.
  std::uint32_t cells() const { return std::max(capacity * 2, 1024U); }
};

Result<std::unique_ptr<Slots>> Slots::create(const Limits& limits) {
  if (limits.memory_bytes < (1U << 19) || limits.slots_max >= kSlotsCeiling) return Errno(EINVAL);
  const Plan plan(Plan::names_for(limits), Plan::capacity_for(limits));
  Result<Mapping> shared = Mapping::shared("evenfs", plan.shared_bytes);
  if (!shared) return shared.error();
  Result<Mapping> priv = Mapping::anonymous(plan.private_bytes);
  if (!priv) return priv.error();
  std::unique_ptr<Slots> slots(
      new Slots(limits, plan, std::move(shared).value(), std::move(priv).value(), 1));
  slots->lay_out(plan);
  return slots;
}

Result<std::unique_ptr<Slots>> Slots::attach(int fd) {
  Result<Mapping> shared = Mapping::read_only(fd);
  if (!shared) return shared.error();
  if (shared->bytes() < sizeof(ArenaHeader)) return Errno(EINVAL);
  ArenaHeader header;
  std::memcpy(&header, shared->base(), sizeof header);
  if (header.magic != kMagic || header.layout_version != kLayoutVersion) return Errno(EINVAL);
  const Plan plan(header.names, header.capacity);
  if (plan.shared_bytes != header.shared_bytes || plan.shared_bytes > shared->bytes()) {
    return Errno(EINVAL);
  }
  Result<Mapping> priv = Mapping::anonymous(plan.private_bytes);
  if (!priv) return priv.error();
  const Limits limits{
      .memory_bytes = 0, .slots_max = 0, .hash_seed = header.hash_seed, .seq_start = 0};
  return std::unique_ptr<Slots>(
      new Slots(limits, plan, std::move(shared).value(), std::move(priv).value(), plan.capacity));
}

Slots::Slots(const Limits& limits, const Plan& plan, Mapping shared, Mapping priv,
             std::uint32_t carved) noexcept
    : shared_(std::move(shared)),
      private_(std::move(priv)),
      inodes_(reinterpret_cast<InodePub*>(shared_.base() + plan.inodes_at)),
      dentries_(reinterpret_cast<DentryPub*>(shared_.base() + plan.dentries_at)),
      cells_(reinterpret_cast<StringCell*>(shared_.base() + plan.cells_at)),
      buckets_(reinterpret_cast<Shared<std::uint32_t>*>(shared_.base() + plan.buckets_at)),
      inode_privs_(reinterpret_cast<InodePriv*>(private_.base() + plan.inode_privs_at)),
      dentry_privs_(reinterpret_cast<DentryPriv*>(private_.base() + plan.dentry_privs_at)),
      id_heads_(reinterpret_cast<Shared<std::uint32_t>*>(shared_.base() + plan.id_heads_at)),
      homes_(reinterpret_cast<std::atomic<std::uint32_t>*>(private_.base() + plan.homes_at)),
      clocks_(reinterpret_cast<std::atomic<std::uint8_t>*>(private_.base() + plan.clocks_at)),
      bucket_count_(plan.buckets),
      names_for_limit_(plan.names),
      limit_bytes_(limits.memory_bytes),
      hash_seed_(limits.hash_seed),
      seq_start_(limits.seq_start),
      inode_pool_(plan.capacity, carved),
      dentry_pool_(plan.capacity, carved),
      cell_pool_(plan.cells(), carved == 1 ? 1 : plan.cells()) {}

void Slots::lay_out(const Plan& plan) noexcept {
  new (shared_.base()) ArenaHeader{
      .magic = kMagic,
      .layout_version = kLayoutVersion,
      .bucket_count = bucket_count_,
      .inodes_at = plan.inodes_at,
      .dentries_at = plan.dentries_at,
      .cells_at = plan.cells_at,
      .buckets_at = plan.buckets_at,
      .hash_seed = hash_seed_,
      .id_heads_at = plan.id_heads_at,
      .shared_bytes = plan.shared_bytes,
      .names = plan.names,
      .capacity = plan.capacity,
  };
  // The buckets are counted as memory from the start; touching them all here keeps that true.
  for (std::uint32_t b = 0; b < bucket_count_; ++b) {
    new (&buckets_[b]) Shared<std::uint32_t>(kEndOfChain | b);
    new (&id_heads_[b]) Shared<std::uint32_t>(kEndOfChain | b);
  }
}

// Poison outlives the mapping, and the next one may be laid where this one was.
Slots::~Slots() {
  unpoison(inode_privs_, inode_pool_.high_water() * sizeof(InodePriv));
  unpoison(dentry_privs_, dentry_pool_.high_water() * sizeof(DentryPriv));
  unpoison(cells_, cell_pool_.high_water() * sizeof(StringCell));
}

void Slots::make_read_only_for_test() const noexcept {
  ::mprotect(shared_.base(), shared_.bytes(), PROT_READ);
  ::mprotect(private_.base(), private_.bytes(), PROT_READ);
}

void Slots::use_huge_pages() noexcept {
  const auto whole = [this](auto* array, std::uint64_t slots, std::uint64_t& done) {
    const auto at =
        static_cast<std::uint64_t>(reinterpret_cast<std::byte*>(array) - shared_.base());
    const std::uint64_t end = at + slots * sizeof *array;
    const std::uint64_t from = std::max(at, done);
    if (end < from + Mapping::kHugePage) return;
    shared_.collapse(from, end);
    done = end / Mapping::kHugePage * Mapping::kHugePage;
  };
  whole(buckets_, bucket_count_, huge_buckets_);
  whole(id_heads_, bucket_count_, huge_id_heads_);
  whole(dentries_, dentry_pool_.high_water(), huge_dentries_);
  whole(inodes_, inode_pool_.high_water(), huge_inodes_);
}

std::optional<std::uint32_t> Slots::reuse_inode() noexcept {
  const auto index = inode_pool_.take_free();
  if (index) unpoison(&inode_privs_[*index].node, kPoisonedInode);
  return index;
}

std::optional<std::uint32_t> Slots::reuse_dentry() noexcept {
  const auto index = dentry_pool_.take_free();
  if (index) unpoison(&dentry_privs_[*index], sizeof(DentryPriv));
  return index;
}

std::optional<std::uint32_t> Slots::carve_inode() noexcept {
  return inode_pool_.carve([this](std::uint32_t index) {
    InodePub* slot = new (&inodes_[index]) InodePub;
    // Ids of an earlier cache over the same store, as an exporting server may keep them, are
    // to be stale here: each cache starts its generations somewhere else.
    if (index != NodeId::kRootIndex) {
      slot->generation.store(1 + static_cast<std::uint32_t>(hash_seed_ >> 34),  // Below 2^30 + 1.
                             std::memory_order_relaxed);
    }
    slot->nseq.advance_for_test(seq_start_);
    slot->aseq.advance_for_test(seq_start_);
    slot->cseq.advance_for_test(seq_start_);
    new (&inode_privs_[index]) InodePriv;
  });
}

std::optional<std::uint32_t> Slots::carve_dentry() noexcept {
  return dentry_pool_.carve([this](std::uint32_t index) {
    DentryPub* slot = new (&dentries_[index]) DentryPub;
    slot->seq.advance_for_test(seq_start_);
    new (&dentry_privs_[index]) DentryPriv;
    new (&homes_[index]) std::atomic<std::uint32_t>(0);
    new (&clocks_[index]) std::atomic<std::uint8_t>(0);
  });
}

std::optional<std::uint32_t> Slots::take_cell() noexcept {
  if (const auto index = cell_pool_.take_free()) {
    unpoison(&cells_[*index], sizeof(StringCell));
    return index;
  }
  if (!room()) return std::nullopt;
  return cell_pool_.carve([this](std::uint32_t index) { new (&cells_[index]) StringCell; });
}

void Slots::free_inode(std::uint32_t index) noexcept {
  poison(&inode_privs_[index].node, kPoisonedInode);
  inode_pool_.give_back(index);
}

void Slots::free_dentry(std::uint32_t index) noexcept {
  poison(&dentry_privs_[index], sizeof(DentryPriv));
  dentry_pool_.give_back(index);
}

void Slots::free_cell(std::uint32_t index) noexcept {
  poison(&cells_[index], sizeof(StringCell));
  cell_pool_.give_back(index);
}

std::uint64_t Slots::bytes_of(std::uint32_t inodes, std::uint32_t dentries,
                              std::uint32_t cells) const noexcept {
  return std::uint64_t{inodes} * kLargestSlot +
         std::uint64_t{dentries} * (kBytesPerName - kLargestSlot) +
         std::uint64_t{cells} * sizeof(StringCell) +
         std::uint64_t{bucket_count_} * 2 * sizeof(std::uint32_t);
}

std::uint64_t Slots::bytes() const noexcept {
  return bytes_of(inode_pool_.slots(), dentry_pool_.slots(), cell_pool_.slots());
}

std::uint64_t Slots::used_bytes() const noexcept {
  return bytes_of(inode_pool_.used(), dentry_pool_.used(), cell_pool_.used());
}

}  // namespace evenfs
