# SPDX-License-Identifier: MIT
#
# check_links.py ROOT: every relative link in README.md, CHANGELOG.md and docs/ must lead to a file or
# a folder that is there, and its #anchor to a heading of it; and every program that a document names
# as `docs/examples/...` must be there. Addresses with a scheme (https:) are not looked at.

import pathlib
import re
import sys
import urllib.parse

root = pathlib.Path(sys.argv[1]).resolve()

# Inline links and pictures; references ("[name]: target"); HTML.
LINK = re.compile(
    r'\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)'
    r'|^ {0,3}\[[^\]]+\]:\s+<?([^\s>]+)'
    r'|\b(?:href|src)="([^"]+)"',
    re.M,
)
NAMED_FILE = re.compile(r'`(docs/examples/[\w./-]+)`')


def without_code(text, spans):
    """What is in code blocks is no link; nor what is in `spans`, if these go too."""
    text = re.sub(r'^(```|~~~).*?^\1', '', text, flags=re.M | re.S)
    text = re.sub(r'(?<=\n\n)(?:(?: {4}|\t).*\n)+', '', text)
    return re.sub(r'(`+)(?!`).+?(?<!`)\1(?!`)', '', text) if spans else text


def anchors_of(document):
    """The anchors that GitHub and GitLab make of headings, and those given by hand."""
    text = re.sub(r'^(```|~~~).*?^\1', '', document.read_text(), flags=re.M | re.S)
    found = set(re.findall(r'<[^>]+\b(?:id|name)="([^"]+)"', text))
    seen = {}
    for heading in re.findall(r'^#{1,6}\s+(.*?)\s*#*\s*$', text, re.M):
        heading = re.sub(r'!?\[([^\]]*)\]\([^)]*\)', r'\1', heading)
        slug = re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-')
        times = seen.get(slug, 0)
        seen[slug] = times + 1
        found.add(f'{slug}-{times}' if times else slug)
    return found


def trouble_with(document, target):
    """What is wrong with a link, or None."""
    path, _, anchor = urllib.parse.unquote(target).partition('#')
    to = (document.parent / path).resolve() if path else document
    if root != to and root not in to.parents:
        return 'leads out of the project'
    if not to.exists():
        return 'no such file'
    if anchor and (to.suffix != '.md' or anchor not in anchors_of(to)):
        return 'no such heading'
    return None


checked = broken = 0
documents = [root / 'README.md', root / 'CHANGELOG.md', *sorted((root / 'docs').rglob('*.md'))]
for document in documents:
    text = document.read_text()
    links = [next(filter(None, m.groups())) for m in LINK.finditer(without_code(text, True))]
    links = [target for target in links if not re.match(r'[a-z][a-z0-9+.-]*:|//', target)]
    faults = [(target, trouble_with(document, target)) for target in links]
    named = NAMED_FILE.findall(without_code(text, False))
    faults += [(name, None if (root / name).exists() else 'no such file') for name in named]
    checked += len(faults)
    for target, trouble in faults:
        if trouble:
            broken += 1
            print(f'{document.relative_to(root)}: {target}: {trouble}', file=sys.stderr)
print(f'{checked} links in {len(documents)} documents, {broken} of them broken')
sys.exit(broken != 0 or checked == 0)
