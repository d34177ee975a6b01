# SPDX-License-Identifier: MIT
#
# Checks that the reference is what docs/reference/make.py makes of the headers, that all that is
# public has a comment, and that every public name is in it. The names are found here a second time,
# and in another way, so that what make.py overlooks is noticed.
#
#     complete_reference.py make.py include-directory macro,macro…

import pathlib
import re
import subprocess
import sys

make, include, macros = sys.argv[1:]
include = pathlib.Path(include)
reference = pathlib.Path(make).parent

NO_CODE = re.compile(r"""
    "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])+' | //[^\n]* | ^\ *\#(?:[^\n]*\\\n)*[^\n]*
""", re.MULTILINE | re.VERBOSE)
REQUIRES_EXPRESSION = re.compile(r"(&&|\|\||=|\brequires)\s*requires\s*(\([^()]*\)\s*)?$")
SPECIALISATION = re.compile(r"\b(?:class|struct)\s+[\w:]+\s*<[^{]*$")
CODE = re.compile(r"^```cpp\n(.*?)^```|^\| `([^`]*)`", re.MULTILINE | re.DOTALL)


def pieces(text):
    """Declarations without comments, as (what is before the braces, what is in them or None)."""
    head, at, depth = "", 0, 0
    while at < len(text):
        mark = text[at]
        depth += {"(": 1, ")": -1}.get(mark, 0)
        if mark == "{":
            begin, braces = at + 1, 1
            while braces > 0:
                at += 1
                braces += {"{": 1, "}": -1}.get(text[at], 0)
            if (depth > 0 or has_initializer(without_arguments(head)) or
                    REQUIRES_EXPRESSION.search(head)):
                head += "{}"  # what is declared comes after it
            else:
                yield head, text[begin:at]
                head = ""
        elif mark == ";" and depth == 0:
            yield head, None
            head = ""
        else:
            head += mark
        at += 1


def has_initializer(head):
    before = head.split("(")[0]
    return "=" in before and "operator" not in before


def without_arguments(head):
    """Without what is in <>."""
    head = re.sub(r"operator\s*<=>", "operator@", head)
    while (less := re.sub(r"(?<!-)<[^<>]*>", " ", head)) != head:
        head = less
    return head


def names(text, owner="", is_public=True):
    """(class or "", name) of all that is public."""
    for head, body in pieces(text):
        if labels := re.findall(r"\b(public|private):(?!:)", head):
            is_public = labels[-1] == "public"
            head = re.sub(r".*\b(public|private):(?!:)", "", head, flags=re.DOTALL)
        is_specialisation = SPECIALISATION.search(re.sub(r"template\s*<[^{}]*?>", "", head))
        head = without_arguments(head)
        if head.strip().startswith("namespace"):
            if "detail" not in head:
                yield from names(body)
            continue
        if not is_public or re.search(r"\bstatic_assert\b|\bfriend class\b", head):
            continue
        if kind := re.match(r"\s*(?:template\s+)*(?:requires[^;{]*\s)?"
                            r"\b(enum class|class|struct)\s+([\w:]+)", head):
            if body is None or is_specialisation:
                continue  # declared alone, or defined elsewhere
            yield owner, kind[2]
            if kind[1] == "enum class":
                yield from ((kind[2], one.split()[0]) for one in body.split(",") if one.strip())
            else:
                yield from names(body, kind[2], kind[1] == "struct")
        elif named := re.search(r"\b(?:using|concept)\s+(\w+)\s*=", head):
            yield owner, named[1]
        elif "(" not in head or has_initializer(head):
            if variable := re.search(r"(\w+)\s*(?:=.*)?$", head, re.DOTALL):
                yield owner, variable[1]
        else:
            called = re.findall(r"((?:::)?(?:\boperator\s*(?:\(\)|[^\s\w(]+|\w+)|~?\b\w+))\s*\(",
                                head)
            called = [one for one in called if one not in ("requires", "noexcept", "decltype")]
            if called and not called[0].startswith("::"):  # or it is the body of a member
                yield owner, called[0].replace("operator@", "operator<=>")


wrong = []
found = {("", macro) for macro in macros.split(",")}
for header in sorted((include / "mmstl").glob("*.hpp")):
    found |= set(names(NO_CODE.sub("", header.read_text(encoding="utf-8"))))
index = (reference / "README.md").read_text(encoding="utf-8").replace("\\|", "|")
pages = {}
for page in reference.glob("*.md"):
    shown = "\n".join("".join(one) for one in CODE.findall(page.read_text(encoding="utf-8")))
    for name in re.findall(r"\b(?:class|struct) (\w+)", shown):
        pages[name] = pages.get(name, "") + shown
for owner, name in sorted(found):
    is_there = (re.search(rf"(?<!\w){re.escape(name)}(?!\w)", pages.get(owner, "")) if owner
                else f"| [`{name}`](" in index)
    if not is_there:
        wrong.append(f"not in the reference: {owner and owner + '::'}{name}")
if len(found) < 300:
    wrong.append(f"only {len(found)} names found: this script does not understand the headers")

made = subprocess.run([sys.executable, make, "--check"], capture_output=True, text=True)
if made.returncode != 0:
    wrong.append(made.stderr.strip())
if wrong:
    sys.exit("\n".join(wrong))
print(f"{len(found)} names, {made.stdout.strip()}")
