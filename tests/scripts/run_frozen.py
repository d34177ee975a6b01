# SPDX-License-Identifier: MIT
#
# Compiles the frozen programs with nothing but the flags that the documentation promises, and runs
# them in an empty directory.
#
#     run_frozen.py program.cpp include-directory compiler [arguments…]

import subprocess
import sys
import tempfile

program, include, *compiler = sys.argv[1:]
with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
    flags = ["-std=c++20", "-Wall", "-Wextra", "-Werror", "-I", include]
    subprocess.run([*compiler, *flags, program, "-o", f"{directory}/frozen"], check=True)
    subprocess.run(["./frozen"], cwd=directory, check=True)
