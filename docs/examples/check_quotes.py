# SPDX-License-Identifier: MIT
#
# check_quotes.py ROOT: every block of C++ or Python in README.md, docs/*.md and docs/guide/ must be in
# one of the examples, so that it is compiled and run. Compared paragraph by paragraph, without comments and
# white space.

import pathlib
import re
import sys


def bare(code, language):
    comment = r'//.*' if language == 'cpp' else r'#.*'
    return re.sub(r'\s', '', re.sub(comment, '', code))


root = pathlib.Path(sys.argv[1])
examples = root / 'docs/examples'
compiled = {
    language: [bare(file.read_text(), language) for file in sorted(examples.glob(pattern))]
    for language, pattern in (('cpp', '*.cpp'), ('python', '*.py'))
}
checked = missing = 0
documents = [*sorted((root / 'docs').glob('*.md')), *sorted((root / 'docs/guide').glob('*.md'))]
for document in [root / 'README.md', *documents]:
    blocks = re.findall(r'^```(cpp|python)\n(.*?)^```', document.read_text(), re.M | re.S)
    for language, block in blocks:
        for paragraph in re.split(r'\n\s*\n', block):
            checked += 1
            if bare(paragraph, language) in ('', '#include<mmstl.hpp>'):
                continue
            if not any(bare(paragraph, language) in code for code in compiled[language]):
                missing += 1
                print(f'{document.name}: in no example:\n{paragraph}\n', file=sys.stderr)
print(f'{checked} paragraphs of code, {missing} of them in no example')
sys.exit(missing != 0 or checked == 0)
