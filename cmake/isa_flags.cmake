# A source file's name says what instructions it may use; nothing else is compiled beyond the baseline, so that one
# binary runs everywhere and chooses at run time.
string(TOLOWER "${CMAKE_SYSTEM_PROCESSOR}" MLA_PROCESSOR)
if(MLA_PROCESSOR MATCHES "x86_64|amd64")
  set(MLA_X86 ON)
elseif(MLA_PROCESSOR MATCHES "aarch64|arm64")
  set(MLA_ARM64 ON)
endif()

function(mla_drop_foreign_isa list)
  set(files ${${list}})
  if(NOT MLA_X86)
    list(FILTER files EXCLUDE REGEX "/x86_[a-z0-9_]+\\.cc$")
  endif()
  if(NOT MLA_ARM64)
    list(FILTER files EXCLUDE REGEX "/arm64_[a-z0-9_]+\\.cc$")
  endif()
  set(${list} ${files} PARENT_SCOPE)
endfunction()

# Machines with AVX-512 but not AVX-VNNI can test its files so: what they compute is the same.
option(MLA_AVXVNNI_BY_AVX512 "Compile AVX-VNNI's files for AVX-512, and run them where that is" OFF)
if(MLA_AVXVNNI_BY_AVX512)
  add_compile_definitions(MLA_AVXVNNI_BY_AVX512)
endif()

function(mla_set_isa_flags)
  foreach(file ${ARGN})
    if(file MATCHES "/x86_avx2(_[a-z0-9_]+)?\\.cc$")
      set_source_files_properties(${file} PROPERTIES COMPILE_OPTIONS "-mavx2;-mfma;-mf16c")
    elseif(file MATCHES "/x86_avxvnni(_[a-z0-9_]+)?\\.cc$")
      if(MLA_AVXVNNI_BY_AVX512)
        set(dots "-mavx512vnni;-mavx512vl")
      else()
        set(dots "-mavxvnni")
      endif()
      set_source_files_properties(${file} PROPERTIES COMPILE_OPTIONS "-mavx2;-mfma;-mf16c;${dots}")
    elseif(file MATCHES "/x86_avx512(_[a-z0-9_]+)?\\.cc$")
      # All of these processors have prefetchw.
      set_source_files_properties(${file} PROPERTIES COMPILE_OPTIONS
        "-mavx2;-mfma;-mf16c;-mavx512f;-mavx512bw;-mavx512vl;-mavx512dq;-mavx512vnni;-mprfchw;-mprefer-vector-width=512")
      if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
        # GCC 12's own intrinsics set these off (bug 105593).
        set_property(SOURCE ${file} APPEND PROPERTY COMPILE_OPTIONS
          "-Wno-uninitialized;-Wno-maybe-uninitialized")
      endif()
    elseif(file MATCHES "/arm64_(neon|dotprod|i8mm)(_[a-z0-9_]+)?\\.cc$")
      if(CMAKE_MATCH_1 STREQUAL "dotprod")
        set_source_files_properties(${file} PROPERTIES COMPILE_OPTIONS "-march=armv8.2-a+dotprod")
      elseif(CMAKE_MATCH_1 STREQUAL "i8mm")
        set_source_files_properties(${file} PROPERTIES COMPILE_OPTIONS "-march=armv8.2-a+dotprod+i8mm")
      endif()  # NEON is in the baseline
      if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
        # Ahead of register allocation GCC moves loads so far up that sums are spilled in the innermost loops.
        set_property(SOURCE ${file} APPEND PROPERTY COMPILE_OPTIONS "-fno-schedule-insns")
      endif()
    endif()
    if(file MATCHES "/cache/group_quantizer\\.cc$|/kernels/encode/")
      # Pages have the same bytes wherever they are written: no product and sum in one operation.
      set_property(SOURCE ${file} APPEND PROPERTY COMPILE_OPTIONS "-ffp-contract=off")
    endif()
  endforeach()
endfunction()

# Fails where a file with extra instructions defines something that the linker may give to other files.
function(mla_test_isa_symbols target)
  if((MLA_X86 OR MLA_ARM64) AND NOT MLA_SANITIZE)
    add_test(NAME isa_symbols COMMAND ${CMAKE_COMMAND} -DNM=${CMAKE_NM} "-DOBJECTS=$<TARGET_OBJECTS:${target}>"
      -P ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/check_isa_symbols.cmake)
  endif()
endfunction()
