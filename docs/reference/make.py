#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# Writes the reference, the other files of this directory, from the comments in include/mmstl.
#
#     make.py             writes it
#     make.py --check     tells by the exit code whether it would be the same
#
# Either way it fails where something public has no comment. A parser of our own, and not Doxygen's:
# it reads only what these headers are written in, knows our labels, and is there wherever the tests
# run, where a check by a tool that is not installed would be left out. What it does not understand
# is an error that names the line.
#
# A comment is of the declaration that follows it at once, and of those after that without an empty
# line between, as far as they have the same name, or the comment names them in backticks, or begins
# with "As `std::": then all of them are what std's are. A comment before an empty line is of the
# header, and of all in it that has none. Copying and moving need none: the class says what it does.
# Specialisations need none, either.

import argparse
import difflib
import itertools
import pathlib
import re
import sys
import textwrap

root = pathlib.Path(__file__).resolve().parents[2]
include = root / "include"
output = root / "docs/reference"

LABELS = ("Requires", "Ensures", "Throws", "Complexity", "Validity", "Threads", "Growth", "Loops",
          "Process", "Processes", "Crashes", "Truncation", "Source")
INDEX = """
All that is public, by header. Everything is in namespace `mmstl`. `mmstl.hpp` includes all headers but `mmstl/fmt.hpp`.
Written by `docs/reference/make.py` from the comments in the headers.

Each function says what it needs and does in the same words: *Requires*, *Ensures*, *Throws*, *Complexity*, *Validity*
(of pointers and iterators), *Threads*, *Source* (a man page, or a clause of the standard). What is not said is as for
the function of the standard library that has the same name. A function that takes a `std::error_code&` does not throw
what it reports through it. Lengths count elements unless the name ends in `_bytes`. What throws what is gathered in
[Errors](../errors.md).
"""
problems = []


def fail(where, message):
    sys.exit(f"make.py: {where}: {message}")


# ---- tokens ----

TOKEN = re.compile(r"""
    (?P<directive>^[ ]*\#(?:[^\n]*\\\n)*[^\n]*)
  | (?P<trailing>///<[^\n]*) | (?P<doc>///[^\n]*) | (?P<comment>//[^\n]*)
  | (?P<string>"(?:\\.|[^"\\\n])*") | (?P<number>\d[\w'.]*) | (?P<character>'(?:\\.|[^'\\\n])+')
  | (?P<word>[A-Za-z_]\w*) | (?P<mark><=>|::|->|==|!=|<=|>=|&&|\|\||\.\.\.|[^\s])
""", re.VERBOSE | re.MULTILINE)
NO_CODE = ("doc", "trailing", "comment", "directive")
CLOSING = {"(": ")", "{": "}", "[": "]", "<": ">"}


class Token:
    def __init__(self, match, line):
        self.kind, self.text = match.lastgroup, match[0]
        self.begin, self.end, self.line = match.start(), match.end(), line


class Declaration:
    """Something that has a name; `group` is what shares its comment."""

    def __init__(self, kind, name, signature, line, doc):
        self.kind, self.name, self.signature, self.line, self.doc = kind, name, signature, line, doc
        self.public = self.is_adjacent = True  # to what is before it
        self.special = ""  # what there is to say of copying and moving
        self.is_specialisation = False
        self.type = self.value = ""  # of a variable
        self.members = []  # or enumerators


class Header:
    def __init__(self, name):
        self.name = name
        text = (include / name).read_text(encoding="utf-8")
        if "/*" in re.sub(r'//.*|"(?:\\.|[^"\\\n])*"', "", text):
            fail(name, "does not understand /* */")
        self.text = text
        self.purpose = purpose_of(text.split("\n\n")[0].splitlines())
        self.tokens, line, at = [], 1, 0
        for match in TOKEN.finditer(text):
            line += text.count("\n", at, match.start())
            at = match.start()
            self.tokens.append(Token(match, line))
        self.floating = []  # comments of the header
        self.specialisations = []  # of templates that are not ours
        self.at = 0
        self.clause_end = 0  # where a line is to end
        self.macros = self.find_macros()
        self.declarations = self.scope("", "public")

    # -- the parser --

    def where(self, token=None):
        token = token or self.tokens[min(self.at, len(self.tokens) - 1)]
        return f"include/{self.name}:{token.line}"

    def find_macros(self):
        found, doc = [], []
        undefined = set(re.findall(r"^\s*#\s*undef (\w+)", self.text, re.MULTILINE))
        for token in self.tokens:
            if token.kind == "doc":
                doc.append(token.text[3:])
            elif token.kind == "directive":
                name = re.match(r"\s*#\s*define (\w+)(\(.*?\))?", token.text)
                if name and not name[1].endswith("_HPP") and name[1] not in undefined:
                    signature = f"#define {name[1]}{name[2] or ''}"
                    if not doc and found and found[-1].line == token.line - 1:
                        doc = found[-1].doc
                    found.append(Declaration("macro", name[1], signature, token.line, doc))
                    doc = []
            else:
                doc = []
        return found

    def skip(self, *kinds):
        """Past what is no code."""
        while self.at < len(self.tokens) and self.tokens[self.at].kind in kinds:
            self.at += 1

    def peek(self, ahead=0):
        """The text of the next token that is code."""
        at = self.at
        while True:
            while at < len(self.tokens) and self.tokens[at].kind in NO_CODE:
                at += 1
            if at >= len(self.tokens):
                return ""
            if ahead == 0:
                return self.tokens[at].text
            ahead, at = ahead - 1, at + 1

    def take(self, expected=None):
        self.skip(*NO_CODE)
        if self.at >= len(self.tokens):
            fail(self.where(), "ends within a declaration")
        token = self.tokens[self.at]
        if expected and token.text != expected:
            fail(self.where(token), f"expected {expected}, not {token.text}")
        self.at += 1
        return token

    def balanced(self, opening="("):
        """Past a bracket and what is in it. Only within <> is < a bracket."""
        self.take(opening)
        while True:
            text = self.peek()
            if text == CLOSING[opening]:
                return self.take()
            if text == opening or text in ("(", "{", "["):
                self.balanced(text)
            else:
                self.take()

    def requires_clause(self):
        """primary { (&& | ||) primary }"""
        self.take("requires")
        while True:
            if self.peek() == "(":
                self.balanced()
            elif self.peek() == "requires":
                self.take()
                if self.peek() == "(":
                    self.balanced()
                self.balanced("{")
            else:
                self.take()
                while self.peek() in ("::", "<"):
                    if self.peek() == "<":
                        self.balanced("<")
                    else:
                        self.take()
                        self.take()
            if self.peek() not in ("&&", "||"):
                return
            self.take()

    def scope(self, owner, access):
        """The declarations up to the brace that ends a namespace or class."""
        found, doc = [], None
        while True:
            self.skip("directive")
            if self.at >= len(self.tokens):
                return found
            token = self.tokens[self.at]
            if token.kind == "doc":
                doc = self.comment()
                if doc is not None and self.at < len(self.tokens) and self.blank_before():
                    self.floating.append(doc)
                    doc = None
            elif token.kind == "trailing":
                if not found or found[-1].doc is not None:
                    fail(self.where(token), "whose comment is this?")
                found[-1].doc = self.trailing_comment()
            elif token.kind == "comment":
                self.at += 1
            elif token.text in ("public", "private", "protected") and self.peek(1) == ":":
                access = token.text
                self.at += 2
            elif token.text == "}":
                return found
            elif token.text == ";":
                self.at += 1
            elif token.text == "namespace":
                name = ""
                while self.peek() != "{":
                    name += self.take().text
                if "detail" in name:
                    self.balanced("{")
                else:
                    self.take("{")
                    found += self.scope("", "public")
                    self.take("}")
            else:
                is_adjacent = not self.blank_before()
                made = self.declaration(owner, doc, access == "public")
                if made:
                    made.public = access == "public"
                    made.is_adjacent = is_adjacent
                    found.append(made)
                doc = None

    def blank_before(self):
        """Whether an empty line is before the next token."""
        if self.at == 0:
            return True
        between = self.text[self.tokens[self.at - 1].end:self.tokens[self.at].begin]
        return between.count("\n") > 1

    def comment(self):
        lines = []
        while self.tokens[self.at].kind == "doc":
            if lines and self.blank_before():
                self.floating.append(lines)
                return None
            lines.append(self.tokens[self.at].text[3:].removeprefix(" "))
            self.at += 1
        if not any(lines):
            fail(self.where(self.tokens[self.at - 1]), "a comment that says nothing")
        return lines

    def trailing_comment(self):
        lines = []
        while self.tokens[self.at].kind == "trailing":
            lines.append(self.tokens[self.at].text[4:].strip())
            self.at += 1
        return lines

    def slice(self, begin, end):
        """The text of tokens without comments, as if it began in the first column."""
        first = self.tokens[begin].begin
        column = first - self.text.rfind("\n", 0, first) - 1
        text, at = "", first
        for index, token in enumerate(self.tokens[begin:end], begin):
            if index == self.clause_end and "\n" not in self.text[at:token.begin]:
                text += "\n"
                at = token.begin
            if token.kind in NO_CODE:
                text += self.text[at:token.begin].rstrip(" ")
            else:
                text += self.text[at:token.end]
            at = token.end
        lines = text.splitlines()
        lines = lines[:1] + [re.sub(rf"^ {{0,{column}}}", "", line) for line in lines[1:]]
        return "\n".join(line.rstrip() for line in lines if line.strip())

    def declaration(self, owner, doc, is_public):
        self.skip(*NO_CODE)
        begin, line = self.at, self.tokens[self.at].line
        if self.peek() == "static_assert":
            self.until_semicolon()
            return None
        while self.peek() == "template":
            self.take()
            if self.peek() == "<":
                self.balanced("<")
        if self.peek() == "requires":
            self.requires_clause()
            self.clause_end = self.at
        while self.peek() == "[":
            self.balanced("[")
        if self.peek() == "friend":
            end = self.at
            while self.tokens[end].text not in (";", "{"):
                end += 1
            if not is_public or self.tokens[end].text == ";":
                self.until_semicolon()
                return None
        head = self.peek()
        if head in ("class", "struct"):
            return self.class_(begin, line, doc)
        if head == "enum":
            return self.enumeration(begin, line, doc)
        if head == "concept":
            self.take()
            name = self.take().text
            self.until_semicolon()
            return Declaration("concept", name, self.slice(begin, self.at), line, doc)
        if head == "using":
            self.take()
            name = self.take().text
            if self.peek() == "=":
                self.until_semicolon()
                return Declaration("alias", name, self.slice(begin, self.at), line, doc)
            self.until_semicolon()
            return Declaration("function", owner, self.slice(begin, self.at), line, doc)
        return self.variable_or_function(begin, line, owner, doc)

    def until_semicolon(self):
        while self.peek() != ";":
            if self.peek() in ("(", "{", "["):
                self.balanced(self.peek())
            else:
                self.take()
        self.take(";")

    def class_(self, begin, line, doc):
        kind = self.take().text
        name, is_specialisation, bases = self.take().text, False, ""
        while self.peek() == "::":
            self.take()
            name += "::" + self.take().text
        if self.peek() == "<":
            self.balanced("<")
            is_specialisation = True
        end = self.at
        if self.peek() == ";":
            self.take()
            return None
        if self.peek() == ":":
            self.take()
            first = self.at
            while self.peek() != "{":
                self.take()
            bases = self.slice(first, self.at)
        self.take("{")
        signature = self.slice(begin, end)
        if bases and "detail::" not in bases:
            signature += f" : {bases}"
        made = Declaration("class", name, signature + ";", line, doc)
        made.is_specialisation = is_specialisation
        unqualified = name.split("::")[-1]
        made.members = self.scope(unqualified, "private" if kind == "class" else "public")
        self.take("}")
        self.take(";")
        return made

    def enumeration(self, begin, line, doc):
        while self.peek() in ("enum", "class", "struct"):
            self.take()
        name = self.take().text
        while self.peek() != "{":
            self.take()  # the type that it is made of
        made = Declaration("enum", name, self.slice(begin, self.at) + ";", line, doc)
        self.take("{")
        comment = None
        while True:
            token = self.tokens[self.at]
            if token.kind == "doc":
                comment = self.comment()
            elif token.kind == "trailing":
                made.members[-1].doc = self.trailing_comment()
            elif token.kind in ("comment", "directive") or token.text == ",":
                self.at += 1
            elif token.text == "}":
                break
            else:
                first = self.at
                constant = self.take().text
                while self.peek() not in (",", "}"):
                    self.take()
                constant = Declaration("enumerator", constant, self.slice(first, self.at),
                                       token.line, comment)
                made.members.append(constant)
                comment = None
        self.take("}")
        self.take(";")
        return made

    def variable_or_function(self, begin, line, owner, doc):
        name, before, is_specialisation = "", "", False
        qualified = False
        while True:
            text = self.peek()
            if text in ("alignas", "decltype"):
                self.take()
                self.balanced()
            elif text == "operator":
                self.take()
                name = "operator"
                if self.peek() == "(":
                    name += self.take().text + self.take(")").text
                first = self.at
                while self.peek() != "(":
                    if self.peek() == "<" and name == "operator" and self.at > first:
                        self.balanced("<")
                    else:
                        self.take()
                spelled = self.slice(first, self.at).strip()
                name += (" " if spelled[:1].isalpha() else "") + spelled
                break
            elif text == "<" and re.fullmatch(r"\w+", before):
                self.balanced("<")
                is_specialisation = self.peek() in ("=", ";")
                before = ">"
            elif text == "[":
                self.balanced("[")
            elif text in ("=", ";", "{", "("):
                break
            else:
                qualified = before == "::" and re.fullmatch(r"\w+", text)
                if text == "~" and self.peek(1) == owner:
                    self.take()
                    text = "~" + self.peek()
                if re.fullmatch(r"~?\w+", text):
                    name = text
                before = text
                self.take()
        if self.peek() != "(":
            end = self.at
            if self.peek() == "{":
                fail(self.where(), "does not understand this declaration")
            self.until_semicolon()
            signature = self.slice(begin, self.at)
            if not name:
                fail(self.where(), "does not understand this declaration")
            made = Declaration("variable", name, signature, line, doc)
            made.is_specialisation = is_specialisation
            made.value = signature[len(self.slice(begin, end)):].strip(" =;")
            made.type = re.sub(rf"\s*\b{name}$", "", self.slice(begin, end))
            return made
        self.balanced()
        while self.peek() not in ("{", ";", ":", "="):
            if self.peek() == "requires":
                self.requires_clause()
            elif self.peek() in ("noexcept", "decltype") and self.peek(1) == "(":
                self.take()
                self.balanced()
            else:
                self.take()
        end = self.at
        if self.peek() == "=":
            self.take()
            if self.peek() == "delete":
                end = self.at + 1
            self.until_semicolon()
        elif self.peek() == ";":
            self.take()
        else:
            if self.peek() == ":":
                last = self.take().text
                while self.peek() != "{" or re.fullmatch(r"\w+|>", last):
                    if self.peek() in ("(", "{"):
                        last = self.balanced(self.peek()).text
                    else:
                        last = self.take().text
            self.balanced("{")
        if qualified and not owner:
            return None  # the body of a member
        signature = re.sub(r"^((?:template <.*?>\s+)?(?:\[\[nodiscard\]\] )?)inline ", r"\1",
                           self.slice(begin, end)) + ";"
        made = Declaration("function", name, signature, line, doc)
        if owner and name in (owner, "operator="):
            if re.search(rf"\({owner}(?:<\w+>)?&&( \w+)?\)", signature):
                made.special = "Moves from the other one."
            elif re.search(rf"\(const {owner}&( \w+)?\)", signature):
                made.special = "Not copyable." if "= delete" in signature else "Copies."
        return made


# ---- what belongs together ----

class Group:
    """Declarations that share a comment."""

    def __init__(self, first):
        self.all, self.doc = [first], first.doc
        self.header, self.anchor = None, ""

    def takes(self, other):
        text = "\n".join(self.doc or [])
        return (self.doc is not None and other.doc is None and other.is_adjacent and
                not other.special and
                (other.name == self.all[-1].name or text.startswith("As `std::") or
                 re.search(rf"`{re.escape(other.name)}`", text) is not None))

    @property
    def names(self):
        return list(dict.fromkeys(one.name for one in self.all))


def bare(signature):
    """Tells overloads apart, whether they are declared or defined."""
    signature = re.sub(r"\[\[.*?\]\]|\binline\b| = (?:\{\}|[\w:]+)(?=[,)])", "", signature)
    return re.sub(r"\s", "", signature)


def group(declarations, where):
    """Those that are public, in groups; tells of those that have no comment."""
    groups, declared, last = [], set(), None
    for one in declarations:
        if not one.public:
            last = None
            continue
        if one.kind == "function" and bare(one.signature) in declared:
            last = None
            continue  # its body
        declared.add(bare(one.signature))
        if last and last.takes(one):
            last.all.append(one)
            continue
        if one.doc is None and one.special:
            one.doc = [one.special]
        last = Group(one)
        groups.append(last)
    for each in groups:
        if each.doc is None and not all(one.is_specialisation for one in each.all):
            problems.append(f"include/{where}:{each.all[0].line}: no comment: {each.all[0].name}")
    return groups


class Page:
    def __init__(self, name, header):
        self.file = re.sub(r"\W", "_", name.lower()) + ".md"
        self.name, self.header = name, header
        self.main = None  # the entity that it is named after
        self.groups = []  # all at namespace scope that is on it
        self.specialisations = []
        self.anchors = {}  # of members
        self.free = {}  # of what is at namespace scope
        self.here = ""  # the anchor of what is being written
        self.private = {}  # names that signatures do not show, and what they stand for
        self.sections, self.taken = [], {}  # and the anchors of all headings


def first_sentence(text):
    sentence = re.match(r"(.*?\.)(?= [A-Z`]|$)", text)
    return sentence[1] if sentence else text.removesuffix(":").removesuffix(".") + "."


def cell(text):
    """In a table, a bar ends a cell even within backticks."""
    return re.sub(r"(?<!\\)\|", r"\\|", text)


def purpose_of(lines):
    """What the comment at the top of a file says first."""
    lines = [line.removeprefix("//").removeprefix(" ") for line in lines[2:]]
    prose = itertools.takewhile(lambda line: not line.startswith(" ") and line, lines)
    return " ".join(prose)


def slug(heading, taken):
    """The anchor of a heading, as GitHub makes it."""
    base = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
    made = base if base not in taken else f"{base}-{taken[base]}"
    taken[base] = taken.get(base, 0) + 1
    return made


class Reference:
    def __init__(self):
        names = sorted(p.relative_to(include).as_posix() for p in (include / "mmstl").glob("*.hpp"))
        self.headers = [Header(name) for name in names]
        self.umbrella = re.findall(r"#include <(mmstl/.*)>", (include / "mmstl.hpp").read_text())
        self.pages, self.entity, self.enumerator = [], {}, {}
        for header in self.headers:
            self.distribute(header)
        assertion = Header("mmstl/detail/assert.hpp")
        macros = [(h, m) for h in [*self.headers, assertion] for m in h.macros]
        if macros:
            page = Page("Macros", None)
            self.pages.append(page)
            for header, macro in macros:
                if not macro.doc:
                    problems.append(f"include/{header.name}:{macro.line}: no comment: {macro.name}")
                macro.doc = [line.strip() for line in macro.doc or []]
                same = page.groups and page.groups[-1].doc == macro.doc
                if same:
                    page.groups[-1].all.append(macro)
                else:
                    page.groups.append(Group(macro))
                    page.groups[-1].header = header
                self.entity[macro.name] = page

    def distribute(self, header):
        header.page = None
        if header.floating:
            header.page = Page(pathlib.PurePath(header.name).stem, header)
            self.pages.append(header.page)
            for one in header.declarations:
                if one.doc is None and not one.is_specialisation and one.kind == "alias":
                    one.doc = []
        types, functions = {}, []
        for each in group(header.declarations, header.name):
            first = each.all[0]
            if first.is_specialisation:
                if "__" in first.name:
                    continue  # what a library has for itself
                if first.name in types:
                    types[first.name].specialisations += each.all
                else:
                    header.specialisations += each.all
            elif first.kind == "function":
                functions.append(each)
            elif each.doc == []:
                header.page.groups.append(each)
                self.entity.update((name, header.page) for name in each.names)
                types.update((name, header.page) for name in each.names)
            else:
                page = Page(first.name, header)
                page.main = first
                page.groups.append(each)
                page.specialisations += [one for one in each.all if one.is_specialisation]
                each.all = [one for one in each.all if not one.is_specialisation]
                self.pages.append(page)
                self.entity.update((name, page) for name in each.names)
                types.update((name, page) for name in each.names)
                if first.kind == "enum":
                    for one in first.members:
                        self.enumerator.setdefault(one.name, []).append(page)
                        if one.doc is None:
                            problems.append(
                                f"include/{header.name}:{one.line}: no comment: {one.name}")
        for each in functions:  # to the first type of this header that they or their comment name
            words = re.findall(r"\w+", each.all[0].signature + " " + " ".join(each.doc or []))
            page = next((types[word] for word in words if word in types and
                         (types[word].main or each.all[0]).kind != "concept"), None)
            if page is None:
                fail(f"include/{header.name}:{each.all[0].line}",
                     f"a function that has to do with no type of the header: {each.all[0].name}")
            page.groups.append(each)
            self.entity.update((name, page) for name in each.names if name.isidentifier())
        if header.specialisations and header.page:
            header.page.specialisations += header.specialisations
        elif header.specialisations:
            for one in header.specialisations:
                name = next((n for n in re.findall(r"mmstl::(\w+)", one.signature) if n in types),
                            None)
                if name is None:
                    fail(header.name, f"a specialisation for no type of the header: {one.name}")
                types[name].specialisations.append(one)

    # -- text --

    def link(self, page, code, parameters):
        """A code span, with a link if it names something that has a page."""
        plain = f"`{code}`"
        match = re.fullmatch(r"(?:mmstl::)?(\w+)(?:<[^()]*>)?(?:::(\w+))?(\(.*\))?", code)
        if not match:
            return plain
        name, member, call = match.groups()
        if name in parameters and not member and not call:
            return plain
        if member:
            owner = self.entity.get(name)
            if owner is None:
                return plain
            target = owner.file + ("#" + owner.anchors[member] if member in owner.anchors else "")
            return plain if owner is page and "#" not in target else f"[{plain}]({target})"
        owner = self.entity.get(name)
        if name in page.anchors and (call or owner is None or
                                     owner is page and page.main and name != page.main.name):
            anchor = page.anchors[name]
            return plain if anchor == page.here else f"[{plain}](#{anchor})"
        if owner is not None:
            anchor = owner.free.get(name)
            if owner is page:
                return f"[{plain}](#{anchor})" if anchor and anchor != page.here else plain
            if anchor and owner.main and not call and owner.header is not page.header:
                return plain  # the name of a function may be one of std's
            return f"[{plain}]({owner.file}{'#' + anchor if anchor else ''})"
        pages = self.enumerator.get(name, [])
        if not call and len(pages) == 1 and pages[0] is not page:
            return f"[{plain}]({pages[0].file})"
        return plain

    def prose(self, page, text, parameters=()):
        def outside(part):
            part = part.replace("&", "&amp;").replace("<", "&lt;")

            def document(match):
                if not (root / match[0]).is_file():
                    problems.append(f"{page.name}: there is no {match[0]}")
                return f"[{match[0]}](../{match[1]})"
            return re.sub(r"docs/([\w./-]+\.md)", document, part)
        parts = re.split(r"`([^`]*)`", text)
        return "".join(self.link(page, part, parameters) if i % 2 else outside(part)
                       for i, part in enumerate(parts))

    def blocks(self, lines):
        """Paragraphs as ("", text), code as ("code", lines), labels as (label, text)."""
        found, fresh = [], True
        for line in lines:
            label = re.match(r"([A-Z][a-z]+(?:, [a-z ]+)?):\s+(\S.*)", line)
            if label and label[1].split(",")[0] not in LABELS:
                if found and (fresh or found[-1][0] not in ("", "code")):
                    problems.append(f"not a label: {line}")
                label = None
            if not line.strip():
                if found and found[-1][0] == "code":
                    found[-1][1].append("")
                fresh = True
            elif label:
                found.append([label[1], label[2]])
                fresh = False
            elif line.startswith("    ") and (fresh or found and found[-1][0] == "code") and not (
                    found and found[-1][0] not in ("", "code")):
                if not (found and found[-1][0] == "code"):
                    found.append(["code", []])
                found[-1][1].append(line[4:])
            elif fresh or found[-1][0] == "code" or found[-1][0] and not line.startswith(" "):
                found.append(["", line.strip()])
                fresh = False
            else:
                found[-1][1] += " " + line.strip()
        return found

    def wrapped(self, text, indent=""):
        lines = textwrap.wrap(text, 120, subsequent_indent=indent, break_long_words=False,
                              break_on_hyphens=False)
        kept = lines[:1]
        for line in lines[1:]:  # what would begin a list or a heading does not begin a line
            if re.match(r"\s*([-+*#>|=]|\d+[.)])", line):
                kept[-1] += " " + line.strip()
            else:
                kept.append(line)
        return kept

    def render(self, page, doc, signatures=""):
        parameters = set(re.findall(r"(\w+)\s*(?:=[^,()]*)?[,)]", signatures))
        text, labels = [], []
        for kind, content in self.blocks(doc or []):
            if kind == "code":
                while content and not content[-1]:
                    content.pop()
                code = re.sub(r"\s*//.*", "", content[0])
                text += [f"```{'cpp' if re.search('[;{]$', code) else 'text'}", *content, "```", ""]
            elif kind:
                label = f"- **{kind}:** {self.prose(page, content, parameters)}"
                labels.append((LABELS.index(kind.split(",")[0]), self.wrapped(label, "  ")))
            else:
                text += [*self.wrapped(self.prose(page, content, parameters)), ""]
        lines = [line for _, label in sorted(labels, key=lambda one: one[0]) for line in label]
        return text + lines + ([""] if lines else [])

    def summary(self, page, doc):
        """The first sentence."""
        for kind, content in self.blocks(doc or []):
            if kind == "code":
                continue
            return self.prose(page, (f"{kind}: " if kind else "") + first_sentence(content))
        return ""

    def code(self, page, signatures):
        text = "\n".join(signatures)
        for name, meaning in page.private.items():
            text = re.sub(rf"(?<![\w.:]){name}\b(?!\()", meaning, text)
        text = text.replace("requires (", "requires(")
        return ["```cpp", text, "```", ""]

    # -- pages --

    def anchors(self):
        """Headings are known before text links to them."""
        for page in self.pages:
            title = page.main.name if page.main else page.name
            slug(self.title(page), page.taken)
            main = page.groups[0].all[0] if page.main else None
            if main is not None and main.kind == "class":
                for one in main.members:
                    if not one.public and one.kind == "alias":
                        value = one.signature.split("=", 1)[1].strip(" ;")
                        if "detail::" not in value:
                            page.private[one.name] = value
                    elif not one.public and "constexpr bool" in one.signature and one.value:
                        page.private[one.name] = f"({one.value})"
                page.sections += self.sections(main, page.header.name, "")
                for nested in main.members:
                    if nested.public and nested.kind == "class":
                        page.sections += self.sections(nested, page.header.name, nested.name)
            rest = page.groups[1:] if page.main else page.groups
            rest = self.merged(rest)
            if rest:
                page.sections.append(("Non-member functions" if page.main else "", None, rest))
            for heading, owner, groups in page.sections:
                of_section = slug(heading, page.taken) if heading else ""
                for each in groups:
                    each[0].anchor = of_section if self.is_list(groups) else slug(
                        self.heading(each, owner.name if owner else title), page.taken)
                    for one in each:
                        if one.all[0].kind == "variable":
                            continue  # a row in a table
                        for name in one.names:
                            (page.anchors if owner else page.free).setdefault(name, each[0].anchor)

    def sections(self, owner, where, prefix):
        """(heading, class, [[groups of one name]])"""
        inside = prefix and f"{prefix}: "
        groups = [g for g in group(owner.members, where) if g.doc is not None]
        found = []
        data = [g for g in groups if g.all[0].kind == "variable"]
        types = [g for g in groups if g.all[0].kind in ("alias", "class", "enum")]
        functions = [g for g in groups if g.all[0].kind == "function"]
        if types:
            found.append((f"{inside}Member types", owner, self.merged(types)))
        if data:
            found.append((f"{inside}Data members", owner, [data]))
        if functions:
            found.append((f"{inside}Member functions", owner, self.merged(functions)))
        return found

    def is_list(self, groups):
        """Whether a section needs no headings of its own: aliases, data members."""
        kinds = {one.kind for each in groups for g in each for one in g.all}
        return len(groups) == 1 and kinds <= {"alias", "variable"}

    def merged(self, groups):
        by_name = {}
        for each in groups:
            by_name.setdefault(each.names[0], []).append(each)
        return list(by_name.values())

    def heading(self, groups, owner):
        names = list(dict.fromkeys(name for each in groups for name in each.names))
        return ", ".join({owner: "(constructor)", "~" + owner: "(destructor)"}.get(name, name)
                         for name in names)

    def title(self, page):
        if page.main is None:
            return page.name if page.header is None else page.header.name
        return ", ".join(f"mmstl::{name}" for name in page.groups[0].names)

    def write(self, page):
        lines = [f"# {self.title(page)}", ""]
        if page.header:
            by = "" if page.header.name not in self.umbrella else ", which `mmstl.hpp` includes"
            lines += [f"Defined in {self.file_link(page.header)}{by}.", ""]
        if page.main:
            first = page.groups[0]
            lines += self.code(page, [self.shown(one) for one in first.all])
            lines += self.render(page, first.doc)
        elif page.header:
            for doc in page.header.floating:
                lines += self.render(page, doc)
        if page.main and page.main.kind == "enum":
            lines += ["## Enumerators", "", "| enumerator | meaning |", "|---|---|"]
            for one in page.main.members:
                doc = self.prose(page, " ".join(line.strip() for line in one.doc or []))
                lines.append(f"| `{one.signature}` | {cell(doc)} |")
            lines.append("")
        for heading, owner, groups in page.sections:
            if heading:
                lines += [f"## {heading}", ""]
            if heading.endswith("Data members"):
                lines += self.data_members(page, groups[0])
                continue
            name = owner.name if owner else page.name
            if heading and len(groups) > 2:
                lines += ["| name | |", "|---|---|"]
                for each in groups:
                    first = max(each, key=lambda g: (not g.all[0].special,
                                                     "= delete" not in g.all[0].signature,
                                                     len(" ".join(g.doc or []))))
                    names = cell(self.heading(each, name))
                    summary = cell(self.summary(page, first.doc))
                    lines.append(f"| [`{names}`](#{each[0].anchor}) | {summary} |")
                lines.append("")
            level = "###" if heading else "##"
            for each in groups:
                if not self.is_list(groups):
                    lines += [f"{level} {self.heading(each, name)}".replace("<", "\\<"), ""]
                page.here = each[0].anchor
                for one in each:
                    signatures = [self.shown(d) for d in one.all]
                    if one.all[0].kind == "macro":
                        lines += [f"Defined in {self.file_link(one.header)}.", ""]
                    lines += self.code(page, signatures)
                    lines += self.render(page, one.doc, "\n".join(signatures))
        if page.specialisations:
            lines += ["## Specialisations", "",
                      *self.code(page, [self.shown(one) for one in page.specialisations])]
        uses = self.uses(page)
        if uses:
            lines += ["## Examples", "", *uses, ""]
        return "\n".join(lines).rstrip("\n") + "\n"

    def file_link(self, header):
        return f"[`{header.name}`](../../include/{header.name})"

    def shown(self, one):
        """A signature; what is in detail says nothing to users."""
        text = one.signature
        joined = re.sub(r"\s+", " ", text)
        if one.is_specialisation and len(joined) <= 100:
            text = joined
        if one.kind == "variable":
            text = re.sub(r"= [^=]*detail::.*;", "= /* see below */;", text, flags=re.DOTALL)
        return text

    def data_members(self, page, groups):
        lines = ["| member | type | by default | meaning |", "|---|---|---|---|"]
        for each in groups:
            for one in each.all:
                value = re.sub(r"\s+", " ", one.value)
                text = " ".join(line.strip() for line in each.doc or [] if line.strip())
                doc = self.prose(page, text)
                cells = [f"`{one.name}`", f"`{one.type}`", f"`{value}`" if value else "", doc]
                lines.append("| " + " | ".join(map(cell, cells)) + " |")
        return lines + [""]

    def uses(self, page):
        names = [n for g in page.groups for n in g.names if n.isidentifier()]
        found = []
        for path in sorted((root / "docs/examples").glob("*.cpp")):
            text = path.read_text(encoding="utf-8")
            code = re.sub(r"//.*", "", text)
            if page.main is None and page.header and page.header.name not in self.umbrella:
                is_used = f"#include <{page.header.name}>" in code
            else:
                is_used = any(re.search(rf"\bmmstl::{name}\b" if page.header else rf"\b{name}\b",
                                        code) for name in names)
            if is_used:
                purpose = first_sentence(purpose_of(text.split("\n\n")[0].splitlines()))
                entry = f"- [{path.name}](../examples/{path.name}): {self.prose(page, purpose)}"
                found += self.wrapped(entry, "  ")
        return found

    def index(self):
        page = Page("index", None)
        lines = ["# Reference", "", *INDEX.strip().splitlines(), ""]
        for header in self.headers:
            entries = []
            for each in (p for p in self.pages if p.header is header):
                if each.main is None:
                    if not each.groups:
                        summary = self.summary(page, header.floating[0])
                        entries.append((header.name, each.file, summary))
                for one in each.groups:
                    named = [n for n in one.names if n.isidentifier() or n.startswith("operator")]
                    for name in named:
                        anchor = each.free.get(name) if one.all[0] is not each.main else None
                        mine = next((d for d in one.all if d.name == name))
                        text = self.summary(page, one.doc)
                        if one.doc == []:
                            meaning = re.split(r"using \w+ =", mine.signature)[1]
                            text = "`" + re.sub(r"\s+", " ", meaning).strip(" ;") + "`"
                        entries.append((name, each.file + (f"#{anchor}" if anchor else ""), text))
            if entries:
                page.header = header
                purpose = re.sub(r"\b(\w+_\w+(?:<\w+>)?|^\w+(?:<\w+>)?(?=:))", r"`\1`",
                                 header.purpose)
                lines += [f"## {header.name}", "", self.prose(page, purpose), "",
                          "| name | |", "|---|---|"]
                lines += [f"| [`{cell(name)}`]({target}) | {cell(text)} |"
                          for name, target, text in dict.fromkeys(entries)]
                lines.append("")
        lines += ["## Macros", "", "| name | |", "|---|---|"]
        for each in self.pages:
            if each.header is None:
                for one in each.groups:
                    for name in one.names:
                        target = f"{each.file}#{each.free[name]}"
                        summary = cell(self.summary(page, one.doc))
                        lines.append(f"| [`{name}`]({target}) | {summary} |")
        return "\n".join(lines) + "\n"

    def files(self):
        self.anchors()
        made = {page.file: self.write(page) for page in self.pages}
        if len(made) != len(self.pages):
            fail("docs/reference", "two pages of one name")
        made["README.md"] = self.index()
        return made


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--check", action="store_true")
    arguments = arguments.parse_args()
    files = Reference().files()
    there = {path.name: path for path in output.glob("*.md")}
    if arguments.check:
        for name in sorted(files.keys() | there.keys()):
            old = there[name].read_text(encoding="utf-8") if name in there else ""
            changes = difflib.unified_diff(old.splitlines(), files.get(name, "").splitlines(),
                                           f"docs/reference/{name}", "made anew", lineterm="", n=0)
            problems.extend(changes)
        if any(p.startswith("+++ made anew") for p in problems):
            problems.append("the reference is not current: run docs/reference/make.py")
    if problems:
        sys.exit("\n".join(dict.fromkeys(problems)))
    if not arguments.check:
        for name in there.keys() - files.keys():
            there[name].unlink()
        for name, text in files.items():
            (output / name).write_text(text, encoding="utf-8")
    print(f"{len(files)} pages")


main()
