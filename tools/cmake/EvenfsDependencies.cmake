# SPDX-License-Identifier: LGPL-2.1-or-later
# The libraries evenfs uses. tools/deps installs them; nothing is downloaded from here.
#
# libfuse: the system's where it is new enough, else the one that tools/deps built into
# $EVENFS_DEPS/fuse (default: build/deps/fuse in the source tree).

find_package(PkgConfig REQUIRED)
find_package(Boost 1.74 REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(CLI11 2.1 REQUIRED)
find_package(nlohmann_json REQUIRED)
pkg_check_modules(URCU REQUIRED IMPORTED_TARGET liburcu-memb)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)

set(EVENFS_FUSE_VERSION_MIN 3.18)
set(evenfs_deps_dir ${PROJECT_SOURCE_DIR}/build/deps)
if(NOT "$ENV{EVENFS_DEPS}" STREQUAL "")
  file(REAL_PATH "$ENV{EVENFS_DEPS}" evenfs_deps_dir)
endif()
if(NOT evenfs_deps_dir STREQUAL "${EVENFS_DEPS_DIR}")
  # Another place than last time: forget what was found there.
  unset(__pkg_config_checked_FUSE3 CACHE)
  unset(pkgcfg_lib_FUSE3_fuse3 CACHE)
  set(EVENFS_DEPS_DIR ${evenfs_deps_dir} CACHE INTERNAL "Where tools/deps builds libfuse")
endif()

# Adds to the search path of pkg-config only if the system has no libfuse that will do: a private
# one that is left over must not win over the system's.
pkg_check_modules(EVENFS_SYSTEM_FUSE QUIET fuse3>=${EVENFS_FUSE_VERSION_MIN})
if(NOT EVENFS_SYSTEM_FUSE_FOUND)
  set(ENV{PKG_CONFIG_PATH} "${EVENFS_DEPS_DIR}/fuse/lib/pkgconfig:$ENV{PKG_CONFIG_PATH}")
endif()
pkg_check_modules(FUSE3 IMPORTED_TARGET fuse3>=${EVENFS_FUSE_VERSION_MIN})
if(NOT FUSE3_FOUND)
  message(FATAL_ERROR "libfuse ${EVENFS_FUSE_VERSION_MIN} or newer was found neither on the system "
    "nor in ${EVENFS_DEPS_DIR}/fuse. Run tools/deps, which builds it there.")
endif()

# A private libfuse is installed beside evenfs, so that an installed daemon does not need the
# build tree: EVENFS_INSTALL_RPATH is the way from bin/ to it, whatever prefix it is installed to.
# Binaries in the build tree find it by the rpath that CMake gives them.
set(EVENFS_INSTALL_RPATH "")
if(NOT EVENFS_SYSTEM_FUSE_FOUND)
  file(RELATIVE_PATH evenfs_bin_to_lib
    ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR}/evenfs)
  set(EVENFS_INSTALL_RPATH "$ORIGIN/${evenfs_bin_to_lib}")
  install(DIRECTORY ${FUSE3_LIBDIR}/ DESTINATION ${CMAKE_INSTALL_LIBDIR}/evenfs
    FILES_MATCHING PATTERN "libfuse3.so.*" PATTERN "pkgconfig" EXCLUDE)
endif()
