#!/usr/bin/env bash
# Builds the GPU's tests with nvcc and runs them on a real GPU. Status 1: one failed, or something is missing.
#   native/test-gpu.sh                         all of them on cuda:0
#   native/test-gpu.sh attention decoder       some: attention_gpu_test, decoder_gpu_test
#   native/test-gpu.sh memcheck attention      under a tool of NVIDIA's compute-sanitizer (or racecheck,
#                                              synccheck, initcheck)
#   native/test-gpu.sh --bench                 only builds mla_gpu_bench, for which no GoogleTest is needed; says where
#   MLA_TEST_GPU=cuda:1 GTEST_FILTER='*Plan*' native/test-gpu.sh     another GPU, some tests of each program
# A program built on another machine runs by itself: MLA_TEST_GPU=cuda:0 native/build/gpu/attention_gpu_test
set -euo pipefail
cd "$(dirname "$0")"

fail() { echo "test-gpu: $*" >&2; exit 1; }

launcher=()
only_bench=
case ${1:-} in
  --bench)
    only_bench=1
    shift
    [[ $# == 0 ]] || fail "--bench takes no arguments"
    ;;
  memcheck | racecheck | synccheck | initcheck)
    launcher=(compute-sanitizer --tool "$1" --error-exitcode 1)
    shift
    ;;
  -*) fail "unknown option $1" ;;
esac

# CUDA's own folder, which its packages do not put on PATH.
[[ ! -d /usr/local/cuda/bin ]] || PATH=$PATH:/usr/local/cuda/bin

missing=()
command -v "${CUDACXX:-nvcc}" >/dev/null || missing+=("nvcc (CUDA's toolkit; CUDACXX names it where it is not on PATH)")
command -v cmake >/dev/null || missing+=("CMake 3.22 or newer")
if [[ -z $only_bench ]]; then
  nvidia-smi -L >/dev/null 2>&1 || ldconfig -p 2>/dev/null | grep -q 'libcuda\.so\.1' ||
    missing+=("an NVIDIA GPU with its driver (nvidia-smi shows none)")
  [[ ${#launcher[@]} == 0 ]] || command -v compute-sanitizer >/dev/null ||
    missing+=("compute-sanitizer (of CUDA's toolkit)")
  if [[ -z "${CMAKE_PREFIX_PATH:-}${GTest_ROOT:-}" ]] &&
    ! echo '#include <gtest/gtest.h>' | "${CXX:-c++}" -E -x c++ - >/dev/null 2>&1; then
    missing+=("GoogleTest (libgtest-dev; 'mla_gpu_bench --check MODEL.gguf' needs none: $0 --bench builds it)")
  fi
fi
if [[ ${#missing[@]} -gt 0 ]]; then
  printf 'test-gpu: missing: %s\n' "${missing[@]}" >&2
  exit 1
fi

generator=()
command -v ninja >/dev/null || generator=(-G "Unix Makefiles")

if [[ -n $only_bench ]]; then
  cmake --preset gpu "${generator[@]}" -DMLA_BUILD_TESTS=OFF >&2
  cmake --build --preset gpu --parallel "$(nproc)" --target mla_gpu_bench >&2
  echo "$PWD/build/gpu/mla_gpu_bench"
  exit
fi

programs=()
for name in "$@"; do programs+=("${name%_gpu_test}_gpu_test"); done
if [[ $# == 0 ]]; then
  mapfile -t programs < <(find src -name '*_gpu_test.cc' -exec basename {} .cc \; | sort)
fi
cmake --preset gpu "${generator[@]}" -DMLA_BUILD_TESTS=ON
cmake --build --preset gpu --parallel "$(nproc)" --target "${programs[@]}"

export MLA_TEST_GPU="${MLA_TEST_GPU:-cuda:0}"
failed=()
for program in "${programs[@]}"; do
  echo "== $program on $MLA_TEST_GPU ${launcher[*]}"
  "${launcher[@]}" "build/gpu/$program" || failed+=("$program")
done
[[ ${#failed[@]} == 0 ]] || fail "FAILED: ${failed[*]}"
echo "test-gpu: all passed on $MLA_TEST_GPU"
