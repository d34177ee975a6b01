#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run_example.sh PROGRAM [EXPECTED]: runs it in a scratch directory that has a copy of the examples'
# data files, and compares what it prints with EXPECTED.

set -eu
program=$(realpath "$1")
expected=${2:+$(realpath "$2")}
data=$(cd "$(dirname "$0")" && pwd)

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/run"
cd "$scratch/run"
find "$data" -maxdepth 1 -name '*.txt' -exec cp {} . \;

code=0
"$program" >../printed || code=$?
cat ../printed
if [ -n "$expected" ]; then
    diff -u "$expected" ../printed
fi
exit "$code"
