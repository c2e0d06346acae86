#!/usr/bin/env bash
# Builds everything for arm64 and runs the native tests under qemu-user.
#   native/test-arm64.sh                            all tests, on a processor with every extension
#   native/test-arm64.sh -R attention               what follows goes to ctest
#   QEMU_CPU=cortex-a57 native/test-arm64.sh        one without dot products (neoverse-n1: without i8mm)
#   MLA_ISA=dotprod native/test-arm64.sh            what the decoder takes; kernels' tests run all that there is
set -euo pipefail
cd "$(dirname "$0")"

packages=()
command -v aarch64-linux-gnu-g++ >/dev/null || packages+=(g++-aarch64-linux-gnu)
command -v qemu-aarch64 >/dev/null || packages+=(qemu-user)
[[ -e /usr/src/googletest/CMakeLists.txt ]] || packages+=(googletest)
if [[ ${#packages[@]} -gt 0 ]]; then
  if [[ "$(id -u)" != 0 ]] || ! apt-get install -y -q --no-install-recommends "${packages[@]}"; then
    echo "missing ${packages[*]}: install with 'apt-get install ${packages[*]}' as root, then run this again" >&2
    exit 1
  fi
fi

generator=()
command -v ninja >/dev/null || generator=(-G "Unix Makefiles")

cmake --preset arm64 "${generator[@]}"
cmake --build --preset arm64 --parallel "$(nproc)"
ctest --preset arm64 "$@"
