# SPDX-License-Identifier: MIT
#
# Checks that system calls are made in detail/posix.hpp alone, and that each of them can be made to
# fail by the tests; and that the list of public headers is complete.
#
#     system_calls.py include-directory system_calls.inc header…

import pathlib
import re
import sys

include = pathlib.Path(sys.argv[1])
wrapped = pathlib.Path(sys.argv[2]).read_text(encoding="utf-8")
names = set(re.findall(r"^[A-Z]+(?:_64)?\((\w+)", wrapped, re.MULTILINE))
listed = set(sys.argv[3:])
cannot_fail = {"sysconf", "getpid"}
wrong = []

for header in sorted(include.rglob("*.hpp")):
    name = str(header.relative_to(include))
    text = re.sub(r"//.*", "", header.read_text(encoding="utf-8"))
    calls = set(re.findall(r"(?<![\w>])::(\w+)\(", text))
    if name == "mmstl/detail/posix.hpp":
        unwrapped = calls - names - cannot_fail
        if unwrapped:
            wrong.append(f"{name}: not in system_calls.inc: {sorted(unwrapped)}")
        if not calls & names:
            wrong.append(f"{name}: no system call found: this script does not understand it")
    else:
        if calls:
            wrong.append(f"{name}: calls {sorted(calls)}, which belongs into detail/posix.hpp")
        if system := re.findall(r"#include <((?:sys/|linux/)?\w+\.h)>", text):
            wrong.append(f"{name}: includes {system}, which belongs into detail/posix.hpp")
    if name not in listed and "/detail/" not in name:
        wrong.append(f"{name}: not in the list of public headers in tests/meson.build")
if wrong:
    sys.exit("\n".join(wrong))
