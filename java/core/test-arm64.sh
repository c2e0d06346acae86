#!/usr/bin/env bash
# Cross-builds the natives of linux-arm64 and runs this module's tests with them, in an arm64 Java under qemu-user.
# MLA_ARM64_JAVA names that Java: Debian's openjdk-17-jre-headless, libc6, libstdc++6, libgcc-s1 and zlib1g of arm64,
# each unpacked into one folder by dpkg-deb -x, have it as FOLDER/usr/lib/jvm/java-17-openjdk-arm64.
#   java/core/test-arm64.sh -Dtest=SessionTest      what follows goes to Maven
set -euo pipefail
cd "$(dirname "$0")/../.."

java=${MLA_ARM64_JAVA:?must name an arm64 Java: see $0}
for tool in aarch64-linux-gnu-g++ qemu-aarch64; do
  command -v "$tool" >/dev/null || { echo "missing $tool: install g++-aarch64-linux-gnu and qemu-user" >&2; exit 1; }
done

# Maven wants a program of this name.
wrapper=$PWD/java/core/target/arm64/bin/java
mkdir -p "$(dirname "$wrapper")"
printf '#!/bin/sh\nexec qemu-aarch64 -L "%s/" "%s/bin/java" "$@"\n' "${java%/usr/lib/jvm/*}" "$java" >"$wrapper"
chmod +x "$wrapper"

export MLA_TEST_EMULATED=1
mvn -B -ntp -Parm64 -pl java/core -am verify -Djvm="$wrapper" "$@"
