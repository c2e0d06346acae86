# Kernels of the GPU are cuda*.cu files. nvcc compiles them where there is one; the host's compiler always does so once
# more, for the emulated GPU of the tests (native/src/cuda/simt.h). Files src/cuda/cuda_*.cu are for the real GPU alone.
set(MLA_CUDA AUTO CACHE STRING "CUDA kernels in the library: ON, OFF, or AUTO where nvcc is found")
file(GLOB_RECURSE MLA_GPU_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/src/*.cu)

# Fewer kernels to compile where time on a GPU is short.
option(MLA_CUDA_NATIVE "CUDA kernels for the GPUs of this machine alone, where nvidia-smi shows any" OFF)
if(MLA_CUDA AND MLA_CUDA_NATIVE AND NOT CMAKE_CUDA_ARCHITECTURES)
  execute_process(COMMAND nvidia-smi --query-gpu=compute_cap --format=csv,noheader
    OUTPUT_VARIABLE capabilities RESULT_VARIABLE none ERROR_QUIET)
  string(REGEX MATCHALL "[0-9]+\\.[0-9]+" capabilities "${capabilities}")
  list(REMOVE_DUPLICATES capabilities)
  foreach(capability ${capabilities})
    string(REPLACE "." "" architecture ${capability})
    string(REGEX REPLACE "^90$" "90a" architecture ${architecture})
    list(APPEND CMAKE_CUDA_ARCHITECTURES ${architecture}-real)
  endforeach()
endif()

# Ampere and Hopper (with what only Hopper has: groups of warps that multiply) in machine code, later ones by what the
# driver makes of PTX. The runtime is linked in, so that the
# library loads, and says what is missing, on machines without CUDA.
if(MLA_CUDA)
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80-real 90a-real 90-virtual)
  endif()
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)  # not in a function: it sets variables
    if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
      # CMake 3.25 does not know that nvcc knows it.
      set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
    endif()
  elseif(NOT MLA_CUDA STREQUAL "AUTO")
    message(FATAL_ERROR "MLA_CUDA=${MLA_CUDA}, but no nvcc was found: put it on PATH or name it by CUDACXX")
  endif()
endif()

function(mla_add_cuda target)
  if(NOT MLA_CUDA OR NOT CMAKE_CUDA_COMPILER)
    return()
  endif()
  add_library(mla_cuda STATIC ${MLA_GPU_SOURCES})
  set_target_properties(mla_cuda PROPERTIES CUDA_STANDARD 20 CUDA_STANDARD_REQUIRED ON CUDA_EXTENSIONS OFF
    CUDA_RUNTIME_LIBRARY Static CUDA_VISIBILITY_PRESET hidden CUDA_ARCHITECTURES "${CMAKE_CUDA_ARCHITECTURES}")
  target_include_directories(mla_cuda PRIVATE include src)
  target_compile_definitions(mla_cuda PRIVATE MLA_BUILD)
  target_compile_options(mla_cuda PRIVATE --expt-relaxed-constexpr --Werror=all-warnings
    -Xcompiler=-Wall,-Wextra,-Werror)
  target_compile_definitions(${target} PUBLIC MLA_WITH_CUDA)
  target_link_libraries(${target} PUBLIC mla_cuda)
endfunction()

# The GPU of the tests: emulated, or where they are told to a real one (native/src/cuda/gpu_testing.h).
function(mla_add_test_gpu target)
  file(GLOB sources ${CMAKE_CURRENT_SOURCE_DIR}/src/cuda/*_testing.cc)
  foreach(source ${MLA_GPU_SOURCES})
    if(NOT source MATCHES "/src/cuda/cuda_[a-z0-9_]+\\.cu$")
      file(RELATIVE_PATH name ${CMAKE_CURRENT_SOURCE_DIR}/src ${source})
      string(REPLACE "/" "_" name ${name})
      set(stub ${CMAKE_CURRENT_BINARY_DIR}/emulated/${name}.cc)
      file(CONFIGURE OUTPUT ${stub} CONTENT "#include \"${source}\"\n")
      list(APPEND sources ${stub})
    endif()
  endforeach()
  add_library(${target} STATIC ${sources})
  target_link_libraries(${target} PUBLIC mla_objects GTest::gtest)
  target_include_directories(${target} PUBLIC include src)
  # Kernels that compute what the host does, to the bit, say themselves what nvcc must not contract (src/cuda/both.h).
  target_compile_options(${target} PRIVATE -ffp-contract=off)
  mla_strict(${target})
endfunction()
