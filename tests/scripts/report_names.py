# SPDX-License-Identifier: MIT
#
# Checks that benchmarks/report notices each name that is missing in a results file, and that the
# arms that it names are those of the benchmarks; and that the tables of README.md and of
# docs/benchmarks.md are those of the published results.
#
#     report_names.py benchmarks/support/report.py docs/benchmarks/report.md.in README.md
#         docs/benchmarks.md docs/benchmarks/results.json

import importlib.util
import json
import pathlib
import subprocess
import sys
import tempfile

source, template, readme, made, published = map(pathlib.Path, sys.argv[1:])
spec = importlib.util.spec_from_file_location('report', source)
sys.dont_write_bytecode = True
report = importlib.util.module_from_spec(spec)
spec.loader.exec_module(report)

ANY = 'any'
FIGURES = ('cached_bytes', 'file_bytes', 'median_max_seconds', 'p50_seconds', 'p99_99_seconds',
           'private_bytes', 'processes', 'proportional_bytes', 'resident_bytes', 'touched_bytes')
MEASURED = {'median_seconds': 1, 'spread': 0, 'operations': 1, 'checksum': '', 'system_calls': 1,
            'minor_faults': 1, 'figures': dict.fromkeys(FIGURES, 1)}
scratch = tempfile.TemporaryDirectory()
results = pathlib.Path(scratch.name) / 'results.json'


def missing_in(names, skipped=()):
    """What the report misses where there are such rows: (workload, group, arm)."""
    rows = [{'workload': workload, 'group': group, 'arm': arm, 'baseline': arm, **MEASURED}
            for workload, group, arm in names]
    questions = [{'workload': workload, 'unit': '', 'verdicts': []} for workload, _, _ in names]
    left_out = [{'workload': workload, 'arm': arm, 'reason': ''} for workload, arm in skipped]
    results.write_text(json.dumps({
        'schema': 1, 'quick': True, 'machine': {'file_system': 'ext4'}, 'questions': questions,
        'results': rows, 'skipped': left_out}))
    return report.check_names(template.read_text(), report.Results(results))


def run(*options):
    return subprocess.run(
        [sys.executable, source, results, '--template', template, '--default-results', '',
         '--default-out', scratch.name, '--readme', '', '--check', *options],
        capture_output=True, text=True)


def expect(holds, otherwise):
    if not holds:
        sys.exit(otherwise)


# Nothing is there: many are named, and more when these are there. A section needs any arm.
names = []
while missing := missing_in(names):
    names += [(workload, group, arm or ANY) for workload, group, arm in missing]
    expect(len(names) == len(set(names)), f'missing although it is there: {missing}')
done = run()
expect(done.returncode == 0 and not done.stderr, f'all is there, and yet: {done.stderr}')

arms = [name for name in names if name[2] != ANY]
for one in arms:
    without = [name for name in names if name != one]
    expect(one in missing_in(without), f'nobody misses {one}')
    expect(one not in missing_in(without, [(one[0], one[2])]), f'{one} was left out, and is missed')

workload, group, arm = arms[0]
missing_in([name for name in names if name != arms[0]])
done = run()
expect(done.returncode == 1 and workload in done.stderr and arm in done.stderr,
       f'{arms[0]} is missing, and the report says: {done.stderr}')
expect(run('--partial').returncode == 0, f'{arms[0]} is missed in partial results')

sources = ''.join(path.read_text() for path in sorted(source.parent.parent.glob('*.cpp')))
unknown = sorted({arm for _, _, arm in arms if f'"{arm}"' not in sources})
expect(not unknown, f'no benchmark has an arm of that name: {unknown}')

# ---- later results of the same machine, and what must not be published ----


def file_of(name, *rows, skipped=(), machine='a', quick=False):
    """A results file with such rows: (workload, arm, seconds)."""
    path = pathlib.Path(scratch.name) / name
    path.write_text(json.dumps({
        'schema': 1, 'quick': quick, 'complete': True,
        'machine': {'cpu': machine, 'load_average': name},
        'questions': [{'workload': row[0], 'unit': '', 'verdicts': []} for row in rows],
        'results': [{'workload': workload, 'group': '', 'arm': arm, 'baseline': arm, **MEASURED,
                     'median_seconds': seconds} for workload, arm, seconds in rows],
        'skipped': [{'workload': w, 'arm': None, 'reason': ''} for w in skipped]}))
    return path


first = file_of('first', ('a', 'x', 1), ('b', 'y', 2), skipped=['c'])
later = file_of('later', ('a', 'x', 3), ('c', 'z', 4), skipped=['b'])
mixed = report.Results(first, later)
expect([mixed.find(w, arm)['median_seconds'] for w, arm in ('ax', 'by', 'cz')] == [3, 2, 4],
       'the later results have not the last word on what they measured, and on that alone')
expect(mixed.repeated == ['a', 'c'] and not mixed.skipped, 'what is of a later run is not told')
for name, other in (('other', {'machine': 'b'}), ('short', {'quick': True})):
    try:
        report.Results(first, file_of(name, ('a', 'x', 3), **other))
    except SystemExit:
        continue
    sys.exit(f'results are mixed that do not go together: {other}')

missing_in(names)
copy = pathlib.Path(scratch.name) / 'README.md'
copy.write_text(readme.read_text())
done = subprocess.run(
    [sys.executable, source, results, '--template', template, '--default-results', '',
     '--default-out', scratch.name, '--readme', copy], capture_output=True, text=True)
expect(done.returncode == 1 and '--out' in done.stderr, f'a quick run is published: {done.stderr}')


def apart(ratio, spread):
    return ({'median_seconds': ratio, 'spread': spread}, {'median_seconds': 1, 'spread': 0.02})


for ratio, spread, wanted in ((61, 0.13, False), (1.3, 0.25, True), (1.08, 0.09, True),
                              (1, 0.02, False), (1.4, 0.02, False)):
    expect(report.undecided(*apart(ratio, spread)) == wanted,
           f'a ratio of {ratio} at ± {spread}: undecided is not {wanted}')

# ---- what is published ----

published = report.Results(published)
expect(report.README_TABLE.search(readme.read_text())[0] == report.readme_table(published),
       f'{readme}: the table is not that of the results: run benchmarks/report')
expect(report.headline_table(published) in made.read_text(),
       f'{made}: the table is not that of the results: run benchmarks/report')
print(f'{len(arms)} names')
