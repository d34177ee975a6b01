# SPDX-License-Identifier: MIT
#
# Checks that the reference is what docs/reference/make.py makes of the headers, that all that is
# public has a comment, and that every public name is in it. The names are found here a second time,
# and in another way, so that what make.py overlooks is noticed. A name is in the reference where it
# is declared under its own heading, or has a row of its table; that a text or an example has the
# word is not enough.
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
CODE = re.compile(r"^```cpp\n(.*?)^```", re.MULTILINE | re.DOTALL)


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
    """(class or "", name, kind) of all that is public."""
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
            yield owner, kind[2], "type"
            inner = f"{owner}::{kind[2]}" if owner else kind[2]
            if kind[1] == "enum class":
                for one in body.split(","):
                    if one.strip():
                        yield inner, one.split()[0], "enumerator"
            else:
                yield from names(body, inner, kind[1] == "struct")
        elif named := re.search(r"\b(?:using|concept)\s+(\w+)\s*=", head):
            yield owner, named[1], "type"
        elif inherited := re.search(r"\busing\s+[\w:]*\b(\w+)\s*$", head):
            yield owner, inherited[1], "inherited"
        elif "(" not in head or has_initializer(head):
            if variable := re.search(r"(\w+)\s*(?:=.*)?$", head, re.DOTALL):
                yield owner, variable[1], "variable"
        else:
            called = re.findall(r"((?:::)?(?:\boperator\s*(?:\(\)|[^\s\w(]+|[\w:]+)|~?\b\w+))\s*\(",
                                head)
            called = [one for one in called if one not in ("requires", "noexcept", "decltype")]
            if called and not called[0].startswith("::"):  # or it is the body of a member
                yield owner, called[0].replace("operator@", "operator<=>"), "function"


# ---- the pages ----

class Section:
    """What is below a heading: `part` is the one of the second level that it belongs to."""

    def __init__(self, part, heading, body):
        self.part, self.heading, self.body = part, heading, body
        self.code = "\n".join(CODE.findall(body))
        self.lists = [bare(one) for one in re.split(r",\s*", heading)]


def bare(name):
    """As a heading has it, or a declaration."""
    return re.sub(r"\s", "", without_arguments(name.replace("\\", "")).replace("@", "<=>"))


def sections(page):
    """Those of a page, the first of which is what comes before all headings but the page's."""
    found, part = [], ""
    for one in re.split(r"^(?=##+ )", page, flags=re.MULTILINE):
        marks, _, heading = one.split("\n", 1)[0].partition(" ")
        if marks == "##":
            part = heading
        found.append(Section(part, heading if marks.startswith("##") else "", one))
    return found


def anchor(heading, before):
    """As GitHub makes it, for one that comes after those in `before`."""
    made = [re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in [*before, heading]]
    times = made[:-1].count(made[-1])
    return f"{made[-1]}-{times}" if times else made[-1]


def declares(code, name, kind):
    word = r"\s*".join(map(re.escape, re.findall(r"~|\w+|[^\w\s]+", name)))
    form = {
        "type": rf"\b(?:class|struct|enum class|using|concept) {word}(?:;| :| =)",
        "variable": rf"[\w>&*] {word}(?: =|;)",
        "inherited": rf"^using [\w:]*\b{word};",
        "macro": rf"^#define {word}\b",
        # After a type, or at the beginning of a line. A call has neither.
        "function": rf"(?:^ *|(?<!\breturn)(?<=[\w>&*\]]) |[&*>]){word}(?:<[^()]*>)?\(",
    }[kind]
    return re.search(form, code, re.MULTILINE) is not None


def is_member_shown(page, inner, owner, name, kind):
    """`inner` is of a class in the class of the page: what its headings begin with."""
    if kind in ("variable", "enumerator"):
        part = inner + ("Data members" if kind == "variable" else "Enumerators")
        row = re.compile(rf"^\| `{name}(?: = [^`]*)?` \|", re.MULTILINE)
        return any(one.part == part and row.search(one.body) for one in page)
    if kind == "type":
        return any(one.part == inner + "Member types" and one.heading in (one.part, name) and
                   declares(one.code, name, kind) for one in page)
    heading = name
    if name.strip("~") == owner or kind == "inherited":
        heading = "(destructor)" if name.startswith("~") else "(constructor)"
    parts = (inner + "Member functions", "Non-member functions")
    return any(one.part in parts and bare(heading) in one.lists and declares(one.code, name, kind)
               for one in page)


def is_shown(header, name, kind):
    """Whether the index leads, below the name of the header, to what declares `name`."""
    below = next((one.body for one in index if one.heading == header), "")
    row = rf"^\| \[`{re.escape(name)}`\]\(([\w.]+)(?:#([\w-]+))?\) \|"
    for page, to in re.findall(row, below, re.MULTILINE):
        before = []
        for section in pages.get(page, []):
            if to in ("", anchor(section.heading, before)) and declares(section.code, name, kind):
                return True
            if to == "":
                break  # its first section is what such a page is about
            before.append(section.heading)
    return False


wrong = []
pages = {page.name: sections(page.read_text(encoding="utf-8")) for page in reference.glob("*.md")}
index = sections((reference / "README.md").read_text(encoding="utf-8").replace("\\|", "|"))
found = {("Macros", "", macro, "macro") for macro in macros.split(",")}
for header in sorted((include / "mmstl").glob("*.hpp")):
    text = NO_CODE.sub("", header.read_text(encoding="utf-8"))
    found |= {(f"mmstl/{header.name}", *one) for one in names(text)}
for header, owner, name, kind in sorted(found):
    outer, _, inner = owner.partition("::")
    is_there = (is_member_shown(pages.get(f"{outer}.md", []), inner and f"{inner}: ",
                                inner or outer, name, kind) if owner
                else is_shown(header, name, kind))
    if not is_there:
        wrong.append(f"not in the reference as it must be: {kind} {owner and owner + '::'}{name}")
if len(found) < 300:
    wrong.append(f"only {len(found)} names found: this script does not understand the headers")

made = subprocess.run([sys.executable, make, "--check"], capture_output=True, text=True)
if made.returncode != 0:
    wrong.append(made.stderr.strip())
if wrong:
    sys.exit("\n".join(wrong))
print(f"{len(found)} names, {made.stdout.strip()}")
