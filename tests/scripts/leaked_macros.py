# SPDX-License-Identifier: MIT
#
# Lists the macros that our headers leave defined, without the include guards, and compares them
# with the budget. The directory may be that of the one file that is made of all headers, which has
# all of their guards.
#
#     leaked_macros.py include-directory allowed,macros compiler [arguments…]

import os
import re
import subprocess
import sys

include, allowed, *compiler = sys.argv[1:]
include = os.path.realpath(include)

# -dD keeps the #defines among the line markers, which tell what file each one is in.
command = [*compiler, "-E", "-dD", "-x", "c++", "-I", include, "-"]
program = "#include <mmstl.hpp>\n"
output = subprocess.run(command, input=program, capture_output=True, text=True, check=True).stdout

left = {}
file = ""
for line in output.splitlines():
    if marker := re.match(r'# \d+ "([^"]*)"', line):
        file = marker[1]
    elif definition := re.match(r"#define (\w+)", line):
        if os.path.realpath(file).startswith(include + os.sep):
            left[definition[1]] = file
    elif removal := re.match(r"#undef (\w+)", line):
        left.pop(removal[1], None)


def guard(header):
    return re.sub(r"\W", "_", header).upper()


parts = {}  # of the one file
with open(f"{include}/mmstl.hpp", encoding="utf-8") as umbrella:
    for header in re.findall(r"^// ==== (.+) ====$", umbrella.read(), re.MULTILINE):
        parts[guard(header)] = f"{include}/mmstl.hpp"
guards = {name for name, file in left.items()
          if name == guard(os.path.relpath(os.path.realpath(file), include))
          or os.path.realpath(file) == parts.get(name)}
found = set(left) - guards
budget = set(allowed.split(","))
if not guards:
    sys.exit("no include guard found: this script does not understand the preprocessor's output")
if found != budget:
    beyond, gone = sorted(found - budget), sorted(budget - found)
    sys.exit(f"macros beyond the budget: {beyond}; in the budget but gone: {gone}")
print(f"{len(guards)} include guards and {sorted(found)}")
