#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Builds test_jsv8 (test_jsv8*.c, with cmocka) over the shim's own sources:
#
#   build_jsv8.sh OUT_DIR [NODE_PREFIX]
#
# Prints the path of the program. NODE_PREFIX holds include/node and lib (default: build/deps/usr,
# else /usr). JSV8_OBJECTS names a folder with the extension's objects of the same sources, which
# spare compiling them twice. An object is taken, and one of an earlier run kept, while it is newer
# than its source and every header.
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
header=$(ls -t "$root"/jsrt/v8/*.h* "$root"/tests/unit/c/*.h | head -1)
fresh() { # OBJECT SOURCE
    [ -e "$1" ] && [ "$1" -nt "$2" ] && [ "$1" -nt "$header" ]
}
objects=
stale=
for source in "$root"/jsrt/v8/*.cc "$root"/tests/unit/c/test_jsv8*.c "$root"/tests/unit/c/jsv8_harness.c
do
    name=$(basename "${source%.c*}").o
    object=$out/$name
    if [ -n "${JSV8_OBJECTS:-}" ] && fresh "$JSV8_OBJECTS/$name" "$source"; then
        object=$JSV8_OBJECTS/$name
    elif ! fresh "$object" "$source"; then
        stale="$stale $source"
    fi
    objects="$objects $object"
done
export out root include CC CXX JSV8_CFLAGS
# shellcheck disable=SC2016,SC2086
[ -z "$stale" ] || printf '%s\n' $stale | xargs -P "$(nproc)" -I '{}' sh -euc '
    object=$out/$(basename "${1%.c*}").o
    flags="${JSV8_CFLAGS:--O2} -g -Wall -Wextra -Wno-unused-parameter -Werror"
    case $1 in
    *.cc)
        exec ${CXX:-g++} -std=gnu++17 -fno-rtti -fno-exceptions $flags -fPIC -fvisibility=hidden \
            -isystem "$include" -I"$root/jsrt/v8" -c "$1" -o "$object" ;;
    *) exec ${CC:-gcc} -std=gnu11 $flags -I"$root/jsrt/v8" -c "$1" -o "$object" ;;
    esac' sh '{}'
# uv_fs_open of platform.cc must be seen by libnode: exported, as it is from the extension.
# shellcheck disable=SC2086
${CXX:-g++} ${JSV8_CFLAGS:-} -g -o "$out/test_jsv8" $objects -L"$folder" \
    -l:"$(basename "$library")" -luv -lcmocka -ldl -lpthread -lm -Wl,-rpath,"$folder" \
    -Wl,--export-dynamic-symbol=uv_fs_open
echo "$out/test_jsv8"
