#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# Fills docs/benchmarks/report.md.in and the table of README.md with the figures and charts of results
# files. Called by benchmarks/report, which finds a Python that has matplotlib and markdown.

import argparse
import base64
import json
import math
import pathlib
import re
import sys
import typing

COLOURS = {'ours': '#1f6fb2', 'baseline': '#d97b0f', 'other': '#9a9a9a'}
LOSS, EVEN = '#b3261e', '#7a7a7a'


def import_the_rest():
    """What --check does without."""
    global markdown, plt
    import markdown
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt
    # The same figures give the same files.
    plt.rcParams.update({
        'svg.hashsalt': 'mmstl',
        'svg.fonttype': 'none',
        'font.family': 'sans-serif',
        'font.size': 9,
        'axes.spines.top': False,
        'axes.spines.right': False,
    })


MACHINE = [('cpu', 'processor'), ('cores', 'processors'), ('memory', 'memory'),
           ('kernel', 'kernel'), ('page_size', 'page'), ('file_system', 'file system'),
           ('read_ahead_kb', 'readahead (KiB)'), ('huge_pages', 'huge pages'),
           ('huge_pages_shared_memory', 'huge pages, shared memory'), ('compiler', 'compiler'),
           ('load_average', 'load average when it began')]
LIBRARIES = [('mmstl', 'mmstl'), ('google_benchmark', 'Google Benchmark'), ('fmt', 'fmt'),
             ('boost_iostreams', 'Boost.Iostreams'), ('boost_interprocess', 'Boost.Interprocess'),
             ('mimalloc', 'mimalloc'), ('jemalloc', 'jemalloc'), ('lmdb', 'LMDB')]

class Wish(typing.NamedTuple):
    """What a reader wants to do, and the arms that say how it is done best."""
    words: str
    workload: str
    arm: str  # of mmstl
    reference: str = None  # an arm, or None for the best of the baselines
    group: str = ''
    figure: str = None  # what to compare, if not the time of a run
    in_readme: bool = False


HEADLINE = [
    Wish('read a large file once that is in the cache', 'scan.cached', 'mapped_span',
         in_readme=True),
    Wish('read a large file once from the disk', 'scan.cold', 'mapped_span, chunks of 1 MiB',
         in_readme=True),
    Wish('read a file that was just written in small pieces', 'scan.small_folios', 'mapped_span',
         in_readme=True),
    Wish('scan a file again that is open', 'scan.repeated', 'mapped_span',
         group='each later pass'),
    Wish('have the first element of a large file, and all others at hand', 'open.first_element',
         'mapped_span', 'read() of the whole, not zeroed', in_readme=True),
    Wish('have the first element of a large file, and no other', 'open.first_element',
         'mapped_span', 'pread() of the first'),
    Wish('read 8 bytes here and there, in the cache', 'random.reads', 'mapped_span',
         in_readme=True),
    Wish('read 4 KiB here and there, in the cache', 'random.pages', 'mapped_span'),
    Wish('read 4 KiB here and there of a file larger than memory', 'random.larger_than_memory',
         'mapped_span, advice::random', group='4 KiB'),
    Wish('look at a few places of a file that is not in the cache', 'sparse.cold',
         'mapped_span, advice::random'),
    Wish('read many files of 4 KiB', 'small_files', 'mapped_span', group='4 KiB', in_readme=True),
    Wish('read many files of 4 KiB, with `copy_below_bytes`', 'small_files',
         'mapped_span, copied', group='4 KiB', in_readme=True),
    Wish('read many files of 1 MiB', 'small_files', 'mapped_span', group='1 MiB',
         in_readme=True),
    Wish('have the same file in several processes', 'shared.processes', 'mapped_span',
         in_readme=True),
    Wish('change 1 % of the pages of a file in private', 'copy_on_write',
         'mapped_span, copy_on_write', group='1 % of the pages are changed'),
    Wish('change every page of a file in private', 'copy_on_write', 'mapped_span, copy_on_write',
         group='every page is changed'),
    Wish('append to a new file', 'append.new_file', 'mapped_vector, push_back()',
         group='not waiting for the disk', in_readme=True),
    Wish('append to a new file, until it is on the disk', 'append.new_file',
         'mapped_vector, push_back()', group='until it is on the disk'),
    Wish('append a record, each on the disk', 'append.durable', 'push_back() and flush()',
         in_readme=True),
    Wish('change elements in place', 'update.in_place', 'mapped_vector, stores'),
    Wish('change elements in place, until they are on the disk', 'update.durable',
         'mapped_vector, stores and flush()', in_readme=True),
    Wish('grow a vector', 'push_back.file', 'mapped_vector', 'std::vector (no file)',
         in_readme=True),
    Wish('grow a vector in a file (beside write())', 'push_back.file', 'mapped_vector'),
    Wish('grow a vector in a file (beside mmap by hand)', 'push_back.file', 'mapped_vector',
         'raw mmap, same growth, prefaulting'),
    Wish('grow a vector in memory', 'push_back.memory', 'mapped_vector, anonymous', 'std::vector'),
    Wish('have no append take long: the slowest of 10 000', 'push_back.latency',
         'mapped_vector in a file', 'std::vector', figure='p99_99_seconds'),
    Wish('have no append take long: the longest of a run', 'push_back.latency',
         'mapped_vector in a file', 'std::vector', figure='median_max_seconds', in_readme=True),
    Wish('sum a vector', 'sum.vector', 'mapped_vector, range-for'),
    Wish('have a large vector back', 'reopen.warm', 'mapped_vector, reader', in_readme=True),
    Wish('have a large vector back from the disk', 'reopen.cold', 'mapped_vector, reader'),
    Wish('have a large map back', 'reopen.segment', 'segment', in_readme=True),
    Wish('have a large map back (beside LMDB)', 'reopen.segment', 'segment', 'LMDB'),
    Wish('allocate and free', 'churn.one_thread', 'segment, file', in_readme=True),
    Wish('allocate and free (beside Boost.Interprocess)', 'churn.one_thread', 'segment, file',
         'Boost.Interprocess, file'),
    Wish('allocate and free, in two processes', 'churn.two_processes', 'segment, file'),
    Wish('allocate from new memory', 'segment.memory', 'segment, file'),
    Wish('fill a map', 'map.fill', 'segment, file', in_readme=True),
    Wish('fill a map (beside Boost.Interprocess)', 'map.fill', 'segment, file',
         'Boost.Interprocess, file'),
    Wish('look up in a map', 'map.lookup', 'segment, file'),
    Wish('fill a hash map', 'unordered_map.fill', 'segment, file'),
    Wish('look up in a hash map', 'unordered_map.lookup', 'segment, file'),
    Wish('lock and unlock what nobody else wants', 'mutex.uncontended', 'robust_mutex',
         'std::mutex'),
    Wish('go on when the owner of a lock was killed', 'mutex.owner_killed', 'robust_mutex',
         group='the owner has little memory', figure='p50_seconds', in_readme=True),
]


def seconds(value):
    for limit, factor, unit in ((1e-6, 1e9, 'ns'), (1e-3, 1e6, 'µs'), (1, 1e3, 'ms')):
        if value < limit:
            break
    else:
        factor, unit = 1, 's'
    value *= factor
    return f'{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {unit}'


def size(value):
    for unit in ('bytes', 'KiB', 'MiB', 'GiB'):
        if value < 1024 or unit == 'GiB':
            return f'{value:.4g} {unit}'
        value /= 1024


def size_of_group(group):
    """The bytes of "16 KiB", or None."""
    found = re.fullmatch(r'([\d.]+) (bytes|KiB|MiB|GiB)', group)
    if not found:
        return None
    return float(found[1]) * 1024 ** ('bytes', 'KiB', 'MiB', 'GiB').index(found[2])


def times(ratio):
    if ratio < 99.5:
        return f'{ratio:.{2 if ratio < 9.95 else 0}f} ×'
    return f'{float(f"{ratio:.2g}"):,.0f} ×'.replace(',', ' ')


def judged(ratio):
    """Of how many times as fast the first is."""
    if ratio > 1.05:
        return f'{times(ratio)} faster'
    if ratio < 0.95:
        return f'**{times(1 / ratio)} slower**'
    return 'as fast'


def beside(ratio, what):
    """The same as the end of a sentence: "as fast as ..."."""
    return judged(ratio) + (' as ' if 0.95 <= ratio <= 1.05 else ' than ') + what


def load(path):
    """The document of a results file."""
    try:
        document = json.loads(pathlib.Path(path).read_text())
        if document['schema'] != 1:
            sys.exit(f'{path}: schema {document["schema"]} is not known here')
        for key in ('machine', 'quick', 'questions', 'results', 'skipped'):
            document[key]
        return document
    except OSError as error:
        sys.exit(f'{path}: {error.strerror}; benchmarks/run makes one')
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        sys.exit(f'{path}: not a results file of benchmarks/run: {error!r}')


class Results:
    """Those of a run, and of later ones on the same machine, which have the last word on what they
    measured."""

    def __init__(self, first, *later):
        document = load(first)
        self.machine = document['machine']
        self.quick = document['quick']
        self.complete = document.get('complete', False)
        self.questions, self.rows, self.skipped = {}, {}, []
        self.missing = []
        self.repeated = document.get('repeated', [])
        self.take(document)
        for path in later:
            document = load(path)
            for key, value in self.machine.items():
                if key != 'load_average' and document['machine'].get(key) != value:
                    sys.exit(f'{path}: {key} is {document["machine"].get(key)}, '
                             f'and {value} in {first}: not to be mixed')
            if document['quick'] != self.quick:
                sys.exit(f'{path}: a quick run and a full one are not to be mixed')
            self.repeated += [q['workload'] for q in document['questions']
                              if q['workload'] not in self.repeated]
            self.take(document)

    def take(self, document):
        new = {q['workload']: q for q in document['questions']}
        self.questions.update(new)
        self.rows = {w: rows for w, rows in self.rows.items() if w not in new}
        for row in document['results']:
            self.rows.setdefault(row['workload'], []).append(row)
        # A workload that was measured before is not missing because it was left out later.
        skipped = [s for s in document['skipped']
                   if s['workload'] in new or s['workload'] not in self.questions]
        replaced = new.keys() | {s['workload'] for s in skipped}
        self.skipped = [s for s in self.skipped if s['workload'] not in replaced] + skipped

    def document(self):
        """What a single results file would have."""
        return {'schema': 1, 'quick': self.quick, 'complete': self.complete, 'machine': self.machine,
                'repeated': self.repeated, 'questions': list(self.questions.values()),
                'results': [row for rows in self.rows.values() for row in rows],
                'skipped': self.skipped}

    def groups(self, workload):
        """(group, measured rows) in their order."""
        groups = {}
        for row in self.rows.get(workload, []):
            if 'error' not in row:
                groups.setdefault(row['group'], []).append(row)
        return groups

    def find(self, workload, arm, group=''):
        self.want(workload, arm, group)
        for row in self.groups(workload).get(group, []):
            if row['arm'] == arm:
                return row
        return None

    def want(self, workload, arm=None, group=''):
        """Notes what is missing: neither measured, nor failed, nor left out with a reason."""
        rows = self.rows.get(workload, [])
        left_out = [s['arm'] for s in self.skipped if s['workload'] == workload]
        if None in left_out or arm in left_out or (rows and arm is None):
            return
        if any(row['group'] == group and row['arm'] == arm for row in rows):
            return
        if (workload, group, arm) not in self.missing:
            self.missing.append((workload, group, arm))

    def unit_seconds(self, row, key='median_seconds'):
        """The time of an operation, where the workload has operations, else of a run."""
        has_unit = self.questions[row['workload']]['unit'] and row['operations']
        return row[key] / (row['operations'] if has_unit else 1)

    def compare(self, workload, group, arm, reference=None):
        """(row of the arm, row of what it is compared with, times as fast), or None."""
        row = self.find(workload, arm, group)
        if row is None:
            return None
        other = self.find(workload, reference or row['baseline'], group)
        # Arms that saw other data are never compared.
        if other is None or other['checksum'] != row['checksum']:
            return None
        return row, other, other['median_seconds'] / row['median_seconds']


def noisy(*rows):
    return any(row['spread'] > 0.1 for row in rows)


def undecided(*rows):
    """Whether one of the pairs is noisy or differs, and not by so much that noise is of no account."""
    for one, other in zip(rows[::2], rows[1::2], strict=True):
        apart = abs(math.log(one['median_seconds'] / other['median_seconds']))
        if ((noisy(one, other) or apart > 0.05)
                and apart <= 2 * (one['spread'] + other['spread'])):
            return True
    return False


def remark(row, other):
    return (' (noisy: conclude nothing)' if undecided(row, other) else
            ' (noisy)' if noisy(row, other) else '')


# ---- charts ----

def save(figure, path):
    figure.savefig(path, format='svg', bbox_inches='tight', metadata={'Date': None})
    plt.close(figure)


def bars(axes, rows, values, errors, text, title):
    labels = [row['arm'] for row in rows]
    places = range(len(rows))
    axes.barh(places, values, color=[COLOURS[row['role']] for row in rows],
              xerr=errors, ecolor='#333333', error_kw={'linewidth': 0.8, 'capsize': 2})
    axes.set_yticks(list(places), labels)
    axes.invert_yaxis()
    if title:
        axes.set_title(title, loc='left', fontsize=9)
    ends = [value + high for value, high in zip(values, errors[1])] if errors else values
    positive = [value for value in values if value > 0]
    if positive and max(positive) > 30 * min(positive):
        axes.set_xscale('log')
        axes.set_xlim(min(positive) / 2, max(ends) * 4)
    else:
        axes.set_xlim(0, (max(ends) or 1) * 1.25)
    reach = errors[1] if errors else [0] * len(values)
    for place, value, high in zip(places, values, reach):
        axes.annotate(text(value), (value + high, place), xytext=(6, 0), textcoords='offset points',
                      va='center', fontsize=8)
    axes.tick_params(axis='x', labelbottom=False, bottom=False, which='both')


def bar_chart(results, workload, path):
    groups = results.groups(workload)
    heights = [len(rows) * 0.28 + 0.35 for rows in groups.values()]
    figure, all_axes = plt.subplots(len(groups), 1, figsize=(8, sum(heights)), squeeze=False,
                                    gridspec_kw={'height_ratios': heights})
    for axes, (group, rows) in zip(all_axes[:, 0], groups.items()):
        values = [results.unit_seconds(row) for row in rows]
        low = [v - results.unit_seconds({**row, 'median_seconds': row['quartile_seconds'][0]})
               for row, v in zip(rows, values)]
        high = [results.unit_seconds({**row, 'median_seconds': row['quartile_seconds'][1]}) - v
                for row, v in zip(rows, values)]
        bars(axes, rows, values, [[max(0, x) for x in low], [max(0, x) for x in high]], seconds,
             group)
    figure.tight_layout()
    save(figure, path)


def line_chart(results, workload, path):
    """Groups that are sizes: a line for each arm."""
    groups = results.groups(workload)
    figure, axes = plt.subplots(figsize=(8, 4.2))
    arms = {}
    for group, rows in groups.items():
        for row in rows:
            arms.setdefault(row['arm'], []).append((size_of_group(group), row))
    styles = ['-', '--', ':', '-.']
    used = {}
    for arm, points in arms.items():
        role = points[0][1]['role']
        style = styles[used.setdefault(role, 0) % len(styles)]
        used[role] += 1
        axes.plot([x for x, _ in points], [results.unit_seconds(row) for _, row in points],
                  style, color=COLOURS[role], marker='.', label=arm, linewidth=1.3)
    axes.set_xscale('log', base=2)
    axes.set_yscale('log')
    axes.set_xticks([size_of_group(g) for g in groups], list(groups), fontsize=8)
    axes.minorticks_off()
    unit = results.questions[workload]['unit'] or 'run'
    axes.set_yticks(axes.get_yticks(), [seconds(y) for y in axes.get_yticks()])
    lowest = min(results.unit_seconds(row) for rows in groups.values() for row in rows)
    highest = max(results.unit_seconds(row) for rows in groups.values() for row in rows)
    axes.set_ylim(lowest / 1.5, highest * 1.5)
    axes.set_ylabel(f'time of a {unit}')
    axes.legend(fontsize=8, frameon=False)
    axes.grid(True, linewidth=0.3)
    save(figure, path)


MEMORY = {'private_bytes': 'private memory', 'proportional_bytes': 'memory of all together',
          'resident_bytes': 'resident memory', 'cached_bytes': 'in the page cache afterwards'}


def memory_chart(results, workload, path):
    """Of the arms that have found out what they take. False if none has."""
    for key, title in MEMORY.items():
        groups = {group: [row for row in rows if key in row.get('figures', {})]
                  for group, rows in results.groups(workload).items()}
        groups = {group: rows for group, rows in groups.items() if rows}
        if not groups:
            continue
        heights = [len(rows) * 0.28 + 0.35 for rows in groups.values()]
        figure, all_axes = plt.subplots(len(groups), 1, figsize=(8, sum(heights)), squeeze=False,
                                        gridspec_kw={'height_ratios': heights})
        for axes, (group, rows) in zip(all_axes[:, 0], groups.items()):
            bars(axes, rows, [row['figures'][key] for row in rows], None, size,
                 f'{group}: {title}' if group else title)
        figure.tight_layout()
        save(figure, path)
        return True
    return False


def headline_chart(answers, path):
    figure, axes = plt.subplots(figsize=(8, 0.27 * len(answers) + 0.7))
    ratios = [answer.ratio for answer in answers]
    for place, (answer, ratio) in enumerate(zip(answers, ratios)):
        colour = COLOURS['ours'] if ratio > 1.05 else LOSS if ratio < 0.95 else EVEN
        axes.plot([1, ratio], [place, place], color=colour, linewidth=2)
        axes.plot([ratio], [place], 'o', color=colour, markersize=5,
                  markerfacecolor='white' if answer.noisy else colour)
        axes.annotate(times(ratio), (ratio, place), xytext=(7 if ratio >= 1 else -7, 0),
                      textcoords='offset points', va='center', fontsize=8,
                      ha='left' if ratio >= 1 else 'right')
    axes.axvline(1, color='#333333', linewidth=0.8)
    axes.set_xscale('log')
    axes.set_xlim(min(0.5, min(ratios) / 6), max(2, max(ratios) * 4))
    axes.set_yticks(range(len(answers)), [answer.wish.words.replace('`', '') for answer in answers])
    axes.invert_yaxis()
    axes.tick_params(axis='x', labelbottom=False, bottom=False, which='both')
    for words, offset, side in (('mmstl is slower', -7, 'right'), ('mmstl is faster', 7, 'left')):
        axes.annotate(words, (1, 1), xycoords=('data', 'axes fraction'), xytext=(offset, 4),
                      textcoords='offset points', ha=side, fontsize=8)
    save(figure, path)


# ---- claims ----

def amount(row, key):
    return None if row is None else row.get('figures', {}).get(key)


def word(holds, *rows):
    """The verdict, unless it rests on the times of pairs from which nothing is to be concluded."""
    if undecided(*rows):
        return '**undecided**'
    return '**confirmed**' if holds else '**refuted**'


NOT_MEASURED = 'not measured in this run'


def claim_fewer_calls(r):
    groups = list(r.groups('system_calls'))
    if not groups:
        return NOT_MEASURED
    lines = []
    verdict = None
    for group in (groups[0], groups[-1]):
        by_mmap = r.find('system_calls', 'open, fstat, mmap, close, munmap', group)
        by_read = r.find('system_calls', 'open, read into 64 KiB, close', group)
        if None in (by_mmap, by_read) or None in (by_mmap['system_calls'], by_read['system_calls']):
            return NOT_MEASURED
        if verdict is None:
            verdict = word(by_mmap['system_calls'] < by_read['system_calls'])
        lines.append(f'a file of {group} takes {by_mmap["system_calls"]} calls by `mmap` and '
                     f'{by_read["system_calls"]} by `read()`, {seconds(by_mmap["median_seconds"])} '
                     f'and {seconds(by_read["median_seconds"])}{remark(by_mmap, by_read)}')
    return f'{verdict} for small files: ' + '; '.join(lines)


def claim_many_times(r):
    found = r.compare('small_files', '4 KiB', 'raw mmap')
    if found is None:
        return NOT_MEASURED
    row, other, ratio = found
    return (f'{word(ratio > 1.05, row, other)}: one file of 4 KiB after the other takes '
            f'{seconds(r.unit_seconds(row))} by `mmap` and {seconds(r.unit_seconds(other))} '
            f'by `read()`, {judged(ratio)}{remark(row, other)}')


def claim_large(r):
    found = [(words, r.compare(workload, '', arm)) for words, workload, arm in
             (('cached', 'scan.cached', 'raw mmap'), ('from the disk', 'scan.cold', 'raw mmap'))]
    found = [(words, f) for words, f in found if f]
    if not found:
        return NOT_MEASURED
    rows = [row for _, f in found for row in f[:2]]
    return (f'{word(all(f[2] > 0.95 for _, f in found), *rows)}, as to speed: '
            + '; '.join(f'{words}, a scan by `mmap` is {beside(f[2], "the best `read()`")}'
                        f'{remark(*f[:2])}'
                        for words, f in found))


def claim_lazy(r):
    found = r.compare('open.first_element', '', 'mapped_span',
                      'read() of the whole, not zeroed')
    if found is None:
        return NOT_MEASURED
    row, other, ratio = found
    text = (f'{word(ratio > 10, row, other)}: the first element is there after '
            f'{seconds(row["median_seconds"])}; reading the file whole takes '
            f'{seconds(other["median_seconds"])}{remark(row, other)}')
    plain = r.find('sparse.cold', 'mapped_span')
    advised = r.find('sparse.cold', 'mapped_span, advice::random')
    whole = r.find('sparse.cold', 'read() of all, 256 KiB buffer')
    if None not in (amount(plain, 'cached_bytes'), amount(advised, 'cached_bytes'),
                    amount(whole, 'cached_bytes')):
        text += (f'. But the kernel reads ahead: looking at {plain["operations"]} places brings '
                 f'{size(amount(plain, "cached_bytes"))} of {size(amount(whole, "cached_bytes"))} '
                 f'in, and {size(amount(advised, "cached_bytes"))} with `advice::random`')
    return text


def claim_shared(r):
    mapped = r.find('shared.processes', 'mapped_span')
    copied = r.find('shared.processes', 'read() into a buffer, not zeroed')
    used, other = amount(mapped, 'proportional_bytes'), amount(copied, 'proportional_bytes')
    if not used or not other:
        return NOT_MEASURED
    return (f'{word(used < other / 2)}: {mapped["figures"]["processes"]:.0f} processes with a file '
            f'of {size(mapped["figures"]["file_bytes"])} have {size(used)} together, and '
            f'{size(other)} if each reads it in')


def claim_copy_on_write(r):
    name = 'mapped_span, copy_on_write'
    groups = ('none is changed', '1 % of the pages are changed', 'every page is changed')
    used = [amount(r.find('copy_on_write', name, g), 'private_bytes') for g in groups]
    copy = amount(r.find('copy_on_write', 'read() into a buffer, not zeroed', groups[1]),
                  'private_bytes')
    if None in used or not copy:
        return NOT_MEASURED
    text = (f'{word(used[1] < copy / 5)}: {size(used[0])} of private memory where nothing is '
            f'changed, {size(used[1])} where 1 % of the pages are, {size(used[2])} where all are; '
            f'a copy always has {size(copy)}')
    found = r.compare('copy_on_write', groups[2], name)
    if found:
        text += f'. In time, with every page changed, it is {beside(found[2], "the copy")}'
        text += remark(*found[:2])
    return text


def claim_pages(r):
    row = r.find('page_granularity', 'mapped_span, copy_on_write',
                 'change one byte of each page, in private')
    used = amount(row, 'resident_bytes')
    if used is None:
        return NOT_MEASURED
    each = used / row['figures']['touched_bytes']
    return f'{word(each >= 2048)}: each byte changed, one a page, takes {each:.0f} bytes of memory'


def claim_repeated(r):
    found = [(words, r.compare(workload, group, 'raw mmap')) for words, workload, group in (
        ('a further scan', 'scan.repeated', 'each later pass'),
        ('random reads of 8 bytes', 'random.reads', ''),
        ('random reads of 4 KiB', 'random.pages', ''))]
    found = [(words, f) for words, f in found if f]
    if not found:
        return NOT_MEASURED
    rows = [row for _, f in found for row in f[:2]]
    by_more = ', and by more,' if all(f[2] > 1.6 for _, f in found) else ''
    return (f'{word(all(f[2] >= 1.2 for _, f in found), *rows)}{by_more} by `mmap` by hand: '
            + '; '.join(f'{words}: {beside(f[2], "by read()")}{remark(*f[:2])}'
                        for words, f in found))


def claim_new_file(r):
    found = r.compare('append.new_file', 'not waiting for the disk', 'raw mmap, the same growth')
    ours = r.compare('append.new_file', 'not waiting for the disk', 'mapped_vector, push_back()')
    if found is None or 'ext4' not in r.machine.get('file_system', ''):
        return NOT_MEASURED
    text = (f'{word(found[2] < 0.95, *found[:2])}: appending by `mmap` by hand is '
            + beside(found[2], 'by `write()`') + remark(*found[:2]))
    if ours:
        text += f'; `mapped_vector` is {judged(ours[2])}{remark(*ours[:2])}'
    return text


def claim_threads(r):
    text = []
    rows = []
    worst = 1
    for group in r.groups('threads.first_touch'):
        found = r.compare('threads.first_touch', group, 'mapped_span, threads, one for all',
                          'mapped_span, a process each')
        if found and group != 'one':
            worst = min(worst, found[2])
            rows += found[:2]
            text.append(f'{group}, threads with one mapping take {times(1 / found[2])} as long as '
                        f'processes with a mapping each{remark(*found[:2])}')
    return f'{word(worst < 0.9, *rows)}: ' + '; '.join(text) if text else NOT_MEASURED


ARTICLE = [
    ('`mmap` needs a single system call, and so has less overhead than `open`, `read`, `close`',
     claim_fewer_calls),
    ('that shows where files are opened many times', claim_many_times),
    ('`mmap` loads large files easily, compared with standard I/O', claim_large),
    ('loading is lazy', claim_lazy),
    ('several processes that read the same file save memory', claim_shared),
    ('a private mapping is copied where it is changed, and only there', claim_copy_on_write),
    ('`mmap` gives memory in pages, not in bytes', claim_pages),
]
OTHERS = [
    ('repeated and random reads are 20 to 60 % faster', claim_repeated),
    ('new files are written more slowly through `mmap` on ext4', claim_new_file),
    ('several threads fault more slowly in one address space', claim_threads),
]


# ---- the document ----

def new_page_seconds(r):
    """What a fault in new memory takes, found by what reading into such memory takes more, or None."""
    found = r.compare('scan.cached', '', 'read() into a fresh vector')
    if found is None or found[0]['minor_faults'] < 1000:
        return None
    fresh, again, _ = found
    return (fresh['median_seconds'] - again['median_seconds']) / fresh['minor_faults']


def machine_table(r):
    rows = [(title, r.machine.get(key, '')) for key, title in MACHINE]
    versions = ', '.join(f'{title} {r.machine[key]}' for key, title in LIBRARIES
                         if r.machine.get(key, 'not found') != 'not found')
    absent = ', '.join(title for key, title in LIBRARIES
                       if r.machine.get(key, 'not found') == 'not found')
    if (fault := new_page_seconds(r)) is not None:
        rows.append(('a page of new memory takes', seconds(fault)))
    rows.append(('libraries', versions + (f'; without {absent}' if absent else '')))
    return '\n'.join(['| | |', '|---|---|'] + [f'| {k} | {v} |' for k, v in rows])


class Answer(typing.NamedTuple):
    wish: Wish
    row: dict
    other: dict
    seconds: tuple  # of both
    noisy: bool

    @property
    def ratio(self):
        return self.seconds[1] / self.seconds[0]

    @property
    def advice(self):
        if self.wish.figure is None and undecided(self.row, self.other):
            return 'run again'
        if self.ratio > 1.05:
            return f'`{self.row["arm"]}`'
        return f'**{self.other["arm"]}**' if self.ratio < 0.95 else 'either'


def headline(r):
    answers = []
    for wish in HEADLINE:
        found = r.compare(wish.workload, wish.group, wish.arm, wish.reference)
        if not found:
            continue
        rows = found[:2]
        if wish.figure is None:
            both = tuple(r.unit_seconds(row) for row in rows)
        else:
            both = tuple(amount(row, wish.figure) for row in rows)
        if None in both:
            continue
        # The spread is that of the times; figures have been collected over all repetitions.
        answers.append(Answer(wish, *rows, both, wish.figure is None and noisy(*rows)))
    return answers


def headline_table(r, in_readme=False):
    lines = ['| you want to | mmstl | beside | mmstl is | use |', '|---|---|---|---|---|']
    for answer in headline(r):
        if in_readme and not answer.wish.in_readme:
            continue
        lines.append(f'| {answer.wish.words} | {seconds(answer.seconds[0])} '
                     f'| {answer.other["arm"]} {seconds(answer.seconds[1])} '
                     f'| {judged(answer.ratio)}{" (noisy)" if answer.noisy else ""} '
                     f'| {answer.advice} |')
    return '\n'.join(lines) if len(lines) > 2 else NOT_MEASURED


def check_names(template, r):
    """Whether the results have all that the report asks for, by its name."""
    for workload in re.findall(r'@section ([\w.]+)@', template):
        r.want(workload)
    for wish in HEADLINE:
        r.want(wish.workload, wish.arm, wish.group)
        if wish.reference:
            r.want(wish.workload, wish.reference, wish.group)
        row = r.find(wish.workload, wish.arm, wish.group)
        if wish.figure and row and amount(row, wish.figure) is None:
            r.missing.append((wish.workload, wish.group, wish.arm, wish.figure))
    new_page_seconds(r)
    claims(r, ARTICLE + OTHERS)
    return r.missing


def crossover(r):
    lines = r.questions.get('small_files', {}).get('verdicts', [])
    return next((line for line in lines if ' wins below ' in line or ' at all sizes' in line),
                NOT_MEASURED)


def claims(r, which):
    return '\n'.join(['| it is said that | found |', '|---|---|']
                     + [f'| {words} | {find(r)} |' for words, find in which])


def calls(row):
    if row['system_calls'] is None:
        return 'n/a'
    return ('> ' if row['system_calls_at_least'] else '') + str(row['system_calls'])


def arms_table(r, workload):
    unit = r.questions[workload]['unit']
    head = f'| arm | median | ± | {"per " + unit if unit else "GB/s"} | × the baseline | faults | system calls |'
    lines = [head, '|---|---|---|---|---|---|---|']
    for group, rows in r.groups(workload).items():
        if group:
            lines.append(f'| *{group}* | | | | | | |')
        for row in rows:
            if unit and row['operations']:
                rate = seconds(row['median_seconds'] / row['operations'])
            else:
                rate = f'{row["bytes"] / row["median_seconds"] / 1e9:.2f}' if row['bytes'] else ''
            ratio = row['ratio_to_baseline']
            lines.append('| ' + ' | '.join([
                row['arm'] + (' (noisy)' if noisy(row) else ''), seconds(row['median_seconds']),
                f'{100 * row["spread"]:.1f} %', rate,
                '' if ratio is None else
                'baseline' if row['baseline'] == row['arm'] else f'{ratio:.2f}',
                f'{row["minor_faults"] + row["major_faults"]:.0f}', calls(row)]) + ' |')
    for row in r.rows[workload]:
        if 'error' in row:
            lines.append(f'| {row["arm"]} | failed: {row["error"]} | | | | | |')
    return '\n'.join(lines)


def section(r, workload, charts):
    if not r.groups(workload):
        reasons = [s['reason'] for s in r.skipped
                   if s['workload'] == workload and s['arm'] is None]
        return f'*`{workload}`: {reasons[0] if reasons else NOT_MEASURED}.*'
    question = r.questions[workload]
    groups = list(r.groups(workload))
    path = charts / f'{workload}.svg'
    if len(groups) > 2 and all(size_of_group(g) for g in groups):
        line_chart(r, workload, path)
    else:
        bar_chart(r, workload, path)
    state = ' '.join(question['state'].split())
    lines = [f'**{question["question"]}** (`{workload}`; {state}).', '',
             f'![{workload}]({charts.name}/{workload}.svg)', '']
    memory = charts / f'{workload}.memory.svg'
    if memory_chart(r, workload, memory):
        lines += [f'![{workload}, memory]({charts.name}/{memory.name})', '']
    lines += [f'- {verdict}' for verdict in question['verdicts']]
    skipped = [f'{s["arm"]} ({s["reason"]})' for s in r.skipped
               if s['workload'] == workload and s['arm']]
    if skipped:
        lines.append(f'- left out: {", ".join(skipped)}')
    # A blank line lets Markdown be Markdown in there.
    lines += ['', '<details markdown="1"><summary>all figures</summary>', '',
              arms_table(r, workload), '', '</details>']
    return '\n'.join(lines)


def run_in_words(r):
    run = 'a quick run: small files, few repetitions' if r.quick else 'a full run'
    text = (f'{run}, on {r.machine.get("cpu", "?")} with {r.machine.get("cores", "?")} cores, '
            f'{r.machine.get("kernel", "?")}')
    if (fault := new_page_seconds(r)) is not None:
        text += f', where a page of new memory takes {seconds(fault)}'
    return text


def fill(template, r, charts):
    charts.mkdir(parents=True, exist_ok=True)
    named = set(re.findall(r'@section ([\w.]+)@', template))
    others = [w for w in r.questions if w not in named]

    def replace(found):
        what, _, argument = found[1].partition(' ')
        if what == 'machine':
            return machine_table(r)
        if what == 'run':
            return run_in_words(r)
        if what == 'repeated':
            return (f'Measured apart, later: {", ".join(f"`{name}`" for name in r.repeated)}.'
                    if r.repeated else '')
        if what == 'headline':
            return headline_table(r)
        if what == 'chart':
            answers = headline(r)
            if not answers:
                return ''
            headline_chart(answers, charts / 'headline.svg')
            return f'![how many times as fast]({charts.name}/headline.svg)'
        if what == 'crossover':
            return crossover(r)
        if what == 'article':
            return claims(r, ARTICLE)
        if what == 'others':
            return claims(r, OTHERS)
        if what == 'section':
            return section(r, argument, charts)
        if what == 'more':
            return '\n\n'.join(['## More'] * bool(others)
                               + [section(r, w, charts) for w in others])
        sys.exit(f'the template asks for @{found[1]}@, which is not known here')

    return re.sub(r'^@(\w+(?: [\w.]+)?)@$|(?<=\s)@(\w+)@(?=[.,;:]?\s)',
                  lambda m: replace(m if m[1] else {1: m[2]}), template, flags=re.M)


README_TABLE = re.compile(r'(?<=<!-- benchmarks/report: -->\n).*?(?=<!-- end -->)', re.S)


def readme_table(r):
    """The first rows of the headline, and of what they are."""
    text = (f'{headline_table(r, in_readme=True)}\n\nTimes are of one read, file, record or entry '
            f'where there are many. Medians of {run_in_words(r)}')
    later = [wish.workload for wish in HEADLINE if wish.in_readme and wish.workload in r.repeated]
    if later:
        text += f'; {", ".join(f"`{name}`" for name in later)} measured later'
    return text + '.\n'


def with_readme_table(path, r):
    """The text of README.md with the table between its marks."""
    text, n_marks = README_TABLE.subn(lambda _: readme_table(r), path.read_text())
    if n_marks != 1:
        sys.exit(f'{path}: the marks for the table are not there')
    return text


STYLE = '''body { max-width: 60em; margin: 2em auto; padding: 0 1em; font: 15px/1.5 sans-serif; }
table { border-collapse: collapse; } td, th { border: 1px solid #ccc; padding: .25em .6em; }
img { max-width: 100%; }'''


def page(text, directory):
    """One page with the charts in it."""
    body = markdown.markdown(text, extensions=['tables', 'md_in_html', 'sane_lists'])

    def inline(found):
        data = base64.b64encode((directory / found[1]).read_bytes()).decode()
        return f'src="data:image/svg+xml;base64,{data}"'

    body = re.sub(r'src="([^":]+\.svg)"', inline, body)
    return (f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<title>mmstl: benchmarks</title><style>{STYLE}</style></head>\n'
            f'<body>\n{body}\n</body></html>\n')


def main():
    parser = argparse.ArgumentParser(
        prog='benchmarks/report',
        usage='benchmarks/report [RESULTS.json]... [--out DIR] [--html PATH] [--partial] [--check]')
    parser.add_argument('results', nargs='*')
    parser.add_argument('--template', required=True)
    parser.add_argument('--default-results', required=True)
    parser.add_argument('--default-out', required=True)
    parser.add_argument('--readme', required=True)
    parser.add_argument('--out')
    parser.add_argument('--html')
    parser.add_argument('--partial', action='store_true')
    parser.add_argument('--check', action='store_true')
    arguments = parser.parse_args()

    sources = arguments.results or [arguments.default_results]
    results = Results(*sources)
    out = pathlib.Path(arguments.out or arguments.default_out)
    template = pathlib.Path(arguments.template).read_text()
    missing = check_names(template, results)
    if missing and not arguments.partial:
        lines = [': '.join(part for part in name if part) for name in missing]
        sys.exit('\n  '.join([f'{", ".join(sources)}: the report asks for what is not there:', *lines]) +
                 '\nSay --partial if the run was cut, or was one with --only or --file. Else a '
                 'name has changed in benchmarks/, and not in benchmarks/support/report.py or '
                 f'{arguments.template}.')
    if arguments.check:
        return
    if not arguments.out and (results.quick or arguments.partial):
        sys.exit('What is published is of a full run, and all of it: say --out DIR.')
    import_the_rest()
    try:
        readme = pathlib.Path(arguments.readme)
        if not arguments.out:
            readme_text = with_readme_table(readme, results)
        text = fill(template, results, out / 'benchmarks')
        (out / 'benchmarks.md').write_text(text)
        (out / 'benchmarks/results.json').write_text(
            json.dumps(results.document(), indent=1, ensure_ascii=False) + '\n')
        print(f'wrote {out / "benchmarks.md"} and the charts in {out / "benchmarks"}')
        if not arguments.out:
            readme.write_text(readme_text)
            print(f'wrote the table of {readme}')
        if arguments.html:
            pathlib.Path(arguments.html).write_text(page(text, out))
            print(f'wrote {arguments.html}')
    except OSError as error:
        sys.exit(f'{error.filename}: {error.strerror}')


if __name__ == '__main__':
    main()
