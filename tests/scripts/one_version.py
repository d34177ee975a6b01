# SPDX-License-Identifier: MIT
#
# Checks that the versions of the build, of the one file and of the changelog are that of
# mmstl/version.hpp, and that the changelog has the form of https://keepachangelog.com.
#
#     one_version.py version.hpp version-of-the-build one-file CHANGELOG.md

import pathlib
import re
import sys

header, build, one_file, changelog = sys.argv[1:]
wrong = []

defined = dict(re.findall(r"^#define MMSTL_VERSION_(\w+) (\d+)$",
                          pathlib.Path(header).read_text(encoding="utf-8"), re.MULTILINE))
version = ".".join(defined[part] for part in ("MAJOR", "MINOR", "PATCH"))
if build != version:
    wrong.append(f"the build says {build}, and {header} says {version}")
if f"\n// Version {version}, " not in pathlib.Path(one_file).read_text(encoding="utf-8"):
    wrong.append(f"{one_file} does not say {version}")

kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
current = tuple(int(part) for part in version.split("."))
to_come = (float("inf"),)
releases = []
for line in pathlib.Path(changelog).read_text(encoding="utf-8").splitlines():
    if line == "## [Unreleased]":
        releases.append(to_come)
    elif release := re.fullmatch(r"## \[(\d+)\.(\d+)\.(\d+)\] - \d{4}-\d\d-\d\d", line):
        releases.append(tuple(int(part) for part in release.groups()))
    elif line.startswith("## "):
        wrong.append(f"{changelog}: neither [Unreleased] nor [1.2.3] - 2034-05-06: {line}")
    elif line.startswith("### ") and not (line[4:] in kinds and releases):
        wrong.append(f"{changelog}: not a kind of change: {line}")
if not releases or releases != sorted(set(releases), reverse=True):
    wrong.append(f"{changelog}: no releases, or not the newest first")
elif releases[0] not in (to_come, current) or max(releases[1:], default=current) > current:
    wrong.append(f"{changelog}: its newest release is not {version}")
if wrong:
    sys.exit("\n".join(wrong))
print(version)
