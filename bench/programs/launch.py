"""Runs a program, and writes how long it took and the most memory it had: `launch.py PROGRAM [ARGUMENT …]`.

The kernel counts into a program's peak what the process had that started it, so that one is as small as
Python can be: run with -I -S, it imports nothing more.
"""

import os
import sys
from time import perf_counter

quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
began = perf_counter()
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=quiet)
_, status, usage = os.wait4(pid, 0)
print(perf_counter() - began, usage.ru_maxrss / 1024, os.waitstatus_to_exitcode(status))
