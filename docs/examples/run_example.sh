#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run_example.sh PROGRAM [EXPECTED [SCRIPT]]: runs it in a scratch directory that has a copy of the
# examples' data files, and compares what it prints with EXPECTED. SCRIPT is in Python, and run
# between `PROGRAM write` and `PROGRAM read`.
#
# run_example.sh --skip REASON: says so.

set -eu

skip() {
    printf 'SKIPPED: %s\n' "$1" >&2
    exit 77
}
[ "$1" != --skip ] || skip "$2"

program=$(realpath "$1")
expected=${2:+$(realpath "$2")}
script=${3:+$(realpath "$3")}
data=$(cd "$(dirname "$0")" && pwd)

# The first Python that has what the script imports: a version manager's may lack what apt installed.
python=''
if [ -n "$script" ]; then
    needed=$(sed -nE 's/^import ([a-z]+).*/import \1/p' "$script")
    for candidate in python3 /usr/bin/python3; do
        if "$candidate" -c "$needed" 2>/dev/null; then
            python=$candidate
            break
        fi
    done
    [ -n "$python" ] || skip "no python3 that can $needed (apt-get install python3-numpy)"
fi

run() {
    if [ -z "$script" ]; then
        "$program"
    else
        "$program" write && PYTHONDONTWRITEBYTECODE=1 "$python" "$script" && "$program" read
    fi
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/run"
cd "$scratch/run"
find "$data" -maxdepth 1 -name '*.txt' -exec cp {} . \;

code=0
run >../printed || code=$?
cat ../printed
if [ -n "$expected" ] && [ "$code" -ne 77 ]; then # 77: it says why it was skipped
    diff -u "$expected" ../printed
fi
exit "$code"
