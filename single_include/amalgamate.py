#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# Writes all headers that mmstl.hpp includes into one file, which needs nothing of mmstl's beside it.
#
#     amalgamate.py [--depfile FILE] OUTPUT      writes it
#     amalgamate.py --check OUTPUT               tells by the exit code whether it would be the same
#
# Each part keeps its include guard, so that the one file and the headers it is made of go together
# in one program, and in one translation unit. What they include of the standard library and the
# system is collected at the top, except where a condition stands around it.

import argparse
import difflib
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parent.parent
include = root / "include"
umbrella = "mmstl.hpp"


def fail(message):
    sys.exit(f"amalgamate.py: {message}")


class Amalgamation:
    def __init__(self):
        self.parts = []  # in the order in which a compiler sees them
        self.seen = {}  # name: whether it has been left
        self.outside = set()

    def add(self, name):
        """Adds what `name` includes, then the rest of it."""
        if name in self.seen:
            if not self.seen[name]:
                fail(f"{name} includes itself, by way of others")
            return
        self.seen[name] = False
        purpose, body = self.split(name)
        depth, kept = 0, []
        for line in body:
            if re.match(r"\s*#\s*if", line):
                depth += 1
            elif re.match(r"\s*#\s*endif", line):
                depth -= 1
            included = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
            if included and (included[1] == '"' or (include / included[2]).is_file()):
                if depth > 1 or included[1] == '"':
                    fail(f"{name}: does not understand: {line}")
                self.add(included[2])
            elif included and depth == 1:  # in the include guard alone
                self.outside.add(included[2])
            elif included is None and re.match(r"\s*#\s*include", line):
                fail(f"{name}: does not understand: {line}")
            else:
                kept.append(line)
        self.seen[name] = True
        self.parts.append((name, purpose, kept))

    def split(self, name):
        """The lines of the comment that says what it is for, and those of the rest."""
        lines = (include / name).read_text(encoding="utf-8").splitlines()
        guard = re.sub(r"\W", "_", name).upper()
        if lines[:2] != ["// SPDX-License-Identifier: MIT", "//"] or "" not in lines:
            fail(f"{name}: does not begin with the licence and what it is for")
        end = lines.index("")
        rest = lines[end + 1:]
        if rest[:2] != [f"#ifndef {guard}", f"#define {guard}"] or rest[-1] != "#endif":
            fail(f"{name}: is not within an include guard {guard}")
        return lines[2:end], rest

    def text(self):
        version = ".".join(re.findall(r"^#define MMSTL_VERSION_\w+ +(\d+)",
                                      (include / "mmstl/version.hpp").read_text(), re.MULTILINE))
        name, purpose, rest = self.parts[-1]
        assert name == umbrella
        guard, end = rest[:2], rest[-1:]
        # <sys/stat.h> after <vector>
        outside = sorted(self.outside, key=lambda header: (header.endswith(".h"), header))
        lines = [
            "// SPDX-License-Identifier: MIT", "//", *purpose, "//",
            f"// Version {version}, all of it in one file, made of the headers in include/ by",
            "// single_include/amalgamate.py. Change those, not this. The licence is at the end.",
            "", *guard, "",
            *(f"#include <{header}>" for header in outside),
        ]
        for name, purpose, body in self.parts[:-1]:
            lines += ["", f"// ==== {name} ====", "//", *purpose, "", *body]
        licence = (root / "LICENSE").read_text(encoding="utf-8").splitlines()
        lines += ["", *end, "", *(f"// {line}".rstrip() for line in licence)]
        return re.sub(r"\n{3,}", "\n\n", "\n".join(lines) + "\n")


options = argparse.ArgumentParser()
options.add_argument("--check", action="store_true")
options.add_argument("--depfile", type=pathlib.Path)
options.add_argument("output", type=pathlib.Path)
options = options.parse_args()

amalgamation = Amalgamation()
amalgamation.add(umbrella)
text = amalgamation.text()
if options.check:
    if not options.output.is_file():
        fail(f"{options.output}: no such file")
    there = options.output.read_text(encoding="utf-8")
    if there != text:
        changes = difflib.unified_diff(there.splitlines(), text.splitlines(), str(options.output),
                                       "made anew", lineterm="", n=0)
        sys.exit("\n".join(changes))
else:
    options.output.write_text(text, encoding="utf-8")
if options.depfile:
    needed = [include / name for name in amalgamation.seen] + [root / "LICENSE"]
    escaped = (str(path).replace(" ", "\\ ") for path in needed)
    options.depfile.write_text(f"{options.output}: {' '.join(escaped)}\n", encoding="utf-8")
