# SPDX-License-Identifier: LGPL-2.1-or-later
# evenfs_flags: warnings, definitions and sanitizers, the same for every target of the project.

find_package(Threads REQUIRED)

add_library(evenfs_flags INTERFACE)
target_link_libraries(evenfs_flags INTERFACE Threads::Threads)
target_include_directories(evenfs_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(evenfs_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion
  $<$<BOOL:${EVENFS_WERROR}>:-Werror>
  $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety>)
target_compile_definitions(evenfs_flags INTERFACE
  _FILE_OFFSET_BITS=64
  EVENFS_VERSION="${PROJECT_VERSION}"
  $<$<BOOL:${EVENFS_ASSERT}>:EVENFS_ASSERTIONS>
  $<$<BOOL:${EVENFS_PAUSE_POINTS}>:EVENFS_PAUSE_POINTS>)

# Inlines liburcu's read side; liburcu offers that to LGPL-compatible code. Not for ThreadSanitizer, which
# would see liburcu's plain accesses and nothing of what orders them.
if(NOT EVENFS_SANITIZE STREQUAL "thread")
  target_compile_definitions(evenfs_flags INTERFACE _LGPL_SOURCE)
endif()

if(EVENFS_SANITIZE)
  target_compile_options(evenfs_flags INTERFACE
    -fsanitize=${EVENFS_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(evenfs_flags INTERFACE -fsanitize=${EVENFS_SANITIZE})
  if(EVENFS_SANITIZE MATCHES "undefined")
    # Without it a finding is printed and the test passes.
    target_compile_options(evenfs_flags INTERFACE -fno-sanitize-recover=undefined)
  endif()
  if(EVENFS_SANITIZE STREQUAL "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC warns that TSan does not model fences. Ours order only atomics, so nothing is missed.
    target_compile_options(evenfs_flags INTERFACE -Wno-tsan)
  endif()
endif()

# liburcu's thread-local data is C: GCC need not look each time whether C++ has to initialise it.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(evenfs_flags INTERFACE -fno-extern-tls-init)
endif()

# GCC 12 warns of overlapping copies inside its own std::string at -O3 (GCC bug 105651).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(evenfs_flags INTERFACE -Wno-restrict)
endif()

# evenfs_lightly_optimised(target [OPTION]): for what is tested, or tests, and is not the cache. In builds that
# check to optimise it takes more than half of the time (lease_test.cc: 33 s at -O1, 13 s at -O0, with
# address+undefined). OPTION is for release builds. What is fuzzed should be fast.
function(evenfs_lightly_optimised target)
  if(CMAKE_BUILD_TYPE STREQUAL "Release")
    target_compile_options(${target} PRIVATE ${ARGN})
  elseif(NOT EVENFS_FUZZ)
    target_compile_options(${target} PRIVATE -O0)
  endif()
endfunction()
