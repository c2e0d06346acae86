#!/usr/bin/env bash
# Builds and runs every native test under AddressSanitizer with UndefinedBehaviorSanitizer and leak check, then under
# ThreadSanitizer, which finds races of the emulated GPU's kernels, too. Stops at the first test program that fails.
#   native/sanitize.sh                 both
#   native/sanitize.sh asan -R gguf    one of them; what follows goes to ctest
set -euo pipefail
cd "$(dirname "$0")"

presets=(asan tsan)
if [[ "${1:-}" == asan || "${1:-}" == tsan ]]; then
  presets=("$1")
  shift
fi

export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_stack_use_after_return=1:strict_string_checks=1}"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-print_stacktrace=1}"
# Some tests ask for more memory than there is.
export TSAN_OPTIONS="${TSAN_OPTIONS:-halt_on_error=1:second_deadlock_stack=1:allocator_may_return_null=1}"

# Older ThreadSanitizers do not start where the kernel spreads mappings widely; some containers forbid to change that.
fixed_addresses=()
if setarch "$(uname -m)" -R true 2>/dev/null; then
  fixed_addresses=(setarch "$(uname -m)" -R)
fi

generator=()
command -v ninja >/dev/null || generator=(-G "Unix Makefiles")

for preset in "${presets[@]}"; do
  cmake --preset "$preset" "${generator[@]}"
  cmake --build --preset "$preset" --parallel "$(nproc)"
  "${fixed_addresses[@]}" ctest --preset "$preset" --stop-on-failure "$@"
done
