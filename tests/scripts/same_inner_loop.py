# SPDX-License-Identifier: MIT
#
# Compares the machine code of inner loops: pairs of functions x_span and x_raw in a program must
# have the same loops, up to the names of registers and the addresses.
#
#     same_inner_loop.py program.cpp objdump compiler [arguments…]

import re
import subprocess
import sys
import tempfile

program, objdump, *compiler = sys.argv[1:]
if not objdump:
    print("SKIPPED: no objdump here")
    sys.exit(77)


def disassemble():
    with tempfile.TemporaryDirectory() as directory:
        thing = f"{directory}/loops.o"
        subprocess.run([*compiler, "-O3", "-c", program, "-o", thing], check=True)
        command = [objdump, "-d", "--no-show-raw-insn", thing]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def functions(text):
    """{name: [(address, instruction)]}"""
    found = {}
    for line in text.splitlines():
        if start := re.match(r"[0-9a-f]+ <(\w+)>:", line):
            body = found.setdefault(start[1], [])
        elif code := re.match(r"\s+([0-9a-f]+):\t(.+)", line):
            body.append((int(code[1], 16), code[2].split("#")[0].strip()))
    return found


def normalise(instructions):
    """Names registers by the order in which they appear, and takes out targets."""
    names = {}

    def rename(register):
        word = register[0]
        kind = re.match(r"%[xyz]mm", word)
        number = word[len(kind[0]):] if kind else re.sub(r"^[er]|[dwbl]$", "", word[1:])
        return (kind[0] if kind else "%") + str(names.setdefault((bool(kind), number), len(names)))

    code = [re.sub(r"%\w+", rename, re.sub(r"^(j\w+|b\.\w+)\s.*", r"\1", text))
            for text in instructions if not text.startswith(("nop", "data16", "xchg %ax,%ax"))]
    for at, (text, after) in enumerate(zip(code, code[1:])):  # whether equal: either way round
        if (both := re.match(r"(cmp\s+)(%\w+),(%\w+)$", text)) and after in ("je", "jne"):
            code[at] = both[1] + ",".join(sorted(both.groups()[1:]))
    return tuple(code)


def loops(body):
    """The innermost loops: from the target of a backward jump to it, with no jump in between."""
    jump = re.compile(r"(?:j\w+|b(?:\.\w+)?|cb\w+)\s+(?:\w+,\s*)?([0-9a-f]+)\b")
    found = set()
    for address, text in body:
        if (back := jump.match(text)) and int(back[1], 16) <= address:
            inside = [t for a, t in body if int(back[1], 16) <= a <= address]
            if not any(jump.match(t) or t.startswith("ret") for t in inside[:-1]):
                found.add(normalise(inside))
    return sorted(found)


code = functions(disassemble())
pairs = [(name, name.replace("_span", "_raw")) for name in code if name.endswith("_span")]
if not pairs:
    sys.exit("no pairs of functions found")
for ours, raw in pairs:
    if not loops(code[raw]):
        sys.exit(f"{raw}: no loop found: this script does not understand the machine code")
    if loops(code[ours]) != loops(code[raw]):
        for name in (ours, raw):
            print(f"{name}:")
            for loop in loops(code[name]):
                print("   ", "\n    ".join(loop), "\n")
        sys.exit(f"{ours} and {raw} do not have the same loops")
    print(f"{ours}: the same {len(loops(code[raw]))} loops as {raw}")
