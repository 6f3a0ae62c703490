import os
import subprocess
import sys

from wamim_mm.interop.cores import usable_cores


def test_a_job_on_one_core_of_the_machine():
    """As a cluster's scheduler starts it."""
    code = 'from wamim_mm.interop.cores import usable_cores; print(usable_cores())'
    one = {min(os.sched_getaffinity(0))}
    done = subprocess.run(
        [sys.executable, '-c', code],
        preexec_fn=lambda: os.sched_setaffinity(0, one),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ['1']


def test_systems_that_cannot_tell(monkeypatch):
    monkeypatch.delattr(os, 'sched_getaffinity')
    assert usable_cores() == os.cpu_count()
    monkeypatch.setattr(os, 'cpu_count', lambda: None)
    assert usable_cores() == 1
