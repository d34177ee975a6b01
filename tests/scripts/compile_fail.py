# SPDX-License-Identifier: MIT
#
# Checks one refusal: the program must not compile, the diagnostic must have the words of its `//
# expect:` lines, and with EXPECT_OK defined it must compile, so that it fails for that reason and
# no other. What an `// arguments:` line says is given to the compiler too.
#
#     compile_fail.py program.cpp mmstl.hpp.gch gcc|clang compiler [arguments…]
#
# The .gch is mmstl.hpp, precompiled by the same compiler with the same arguments.

import re
import subprocess
import sys

program, precompiled, kind, *compiler = sys.argv[1:]


def compile_it(*more):
    command = [*compiler, "-fsyntax-only", *more, program]
    return subprocess.run(command, capture_output=True, text=True)


with open(program, encoding="utf-8") as file:
    source = file.read()
words = re.findall(r"^// expect: (.+)$", source, re.MULTILINE)
if not words:
    sys.exit(f"{program}: no `// expect:` line")
arguments = re.findall(r"^// arguments: (.+)$", source, re.MULTILINE)
if arguments:
    compiler += " ".join(arguments).split()
elif re.match(r"(?://.*\n|\n)*#include <mmstl\.hpp>\n", source):
    compiler += ["-include-pch", precompiled] if kind == "clang" else ["-include", precompiled[:-4]]

control = compile_it("-DEXPECT_OK")
if control.returncode != 0:
    sys.exit(f"{program}: does not compile with EXPECT_OK:\n{control.stderr}")
refused = compile_it()
if refused.returncode == 0:
    sys.exit(f"{program}: compiles, and should not")
missing = [w for w in words if not re.search(w, refused.stderr)]
if missing:
    sys.exit(f"{program}: the diagnostic lacks {missing}:\n{refused.stderr}")
