#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Builds test_jsv8 (test_jsv8*.c, with cmocka) over the shim's own sources:
#
#   build_jsv8.sh OUT_DIR [NODE_PREFIX]
#
# Prints the path of the program. NODE_PREFIX holds include/node and lib (default: build/deps/usr,
# else /usr). Objects that are newer than every source are kept.
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
out=$1
prefix=${2:-}
if [ -z "$prefix" ]; then
    prefix=/usr
    [ -d "$root/build/deps/usr/include/node" ] && prefix=$root/build/deps/usr
fi
include=$prefix/include/node
[ -f "$include/node.h" ] || include=$prefix/include/nodejs/src
library=$(ls "$prefix"/lib/*-linux-gnu/libnode.so.* "$prefix"/lib/libnode.so.* 2>/dev/null |
    tail -1)
[ -n "$library" ] || { echo "no libnode below $prefix" >&2; exit 1; }
folder=$(dirname "$library")
mkdir -p "$out"
newest=$(ls -t "$root"/jsrt/v8/* | head -1)
objects=
for source in "$root"/jsrt/v8/*.cc; do
    object=$out/$(basename "$source" .cc).o
    objects="$objects $object"
    if [ ! -e "$object" ] || [ "$newest" -nt "$object" ]; then
        ${CXX:-g++} -std=gnu++17 -fno-rtti -fno-exceptions ${JSV8_CFLAGS:--O2} -g -fPIC \
            -fvisibility=hidden -Wall -Wextra -Wno-unused-parameter -Werror -isystem "$include" \
            -I"$root/jsrt/v8" -c "$source" -o "$object"
    fi
done
for source in "$root"/tests/unit/c/test_jsv8*.c "$root"/tests/unit/c/jsv8_harness.c; do
    object=$out/$(basename "$source" .c).o
    objects="$objects $object"
    ${CC:-gcc} -std=gnu11 ${JSV8_CFLAGS:--O2} -g -Wall -Wextra -Wno-unused-parameter -Werror \
        -I"$root/jsrt/v8" -c "$source" -o "$object"
done
# uv_fs_open of platform.cc must be seen by libnode: exported, as it is from the extension.
# shellcheck disable=SC2086
${CXX:-g++} ${JSV8_CFLAGS:-} -g -o "$out/test_jsv8" $objects -L"$folder" \
    -l:"$(basename "$library")" -luv -lcmocka -ldl -lpthread -lm -Wl,-rpath,"$folder" \
    -Wl,--export-dynamic-symbol=uv_fs_open
echo "$out/test_jsv8"
