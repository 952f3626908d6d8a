"""Runs a command, and again where it fails: a registry may stall, or break a connection off."""

from __future__ import annotations

import subprocess
import sys
import time

status = 1
for pause in (0, 15, 60):
    if pause:
        print(f"exit {status}; once more in {pause} s: {' '.join(sys.argv[1:])}", flush=True)
        time.sleep(pause)
    status = subprocess.call(sys.argv[1:])
    if status == 0:
        break
sys.exit(status)
