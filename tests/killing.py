"""Work in a process of its own, on a slow disk, which is killed at a moment that is chosen."""

import multiprocessing
import os
import signal
import threading
import time
from contextlib import contextmanager

import pytest
import torch
from tqdm import tqdm

needs_forkserver = pytest.mark.skipif(
    "forkserver" not in multiprocessing.get_all_start_methods(), reason="needs forkserver"
)


def _slowly(work, folder, ready):
    torch.set_num_threads(1)
    tqdm.set_lock(threading.RLock())  # its own lock would outlive a killed process
    fsync = os.fsync
    os.fsync = lambda descriptor: (time.sleep(0.02), fsync(descriptor))
    ready.send(True)
    work(folder)


@contextmanager
def killed_at_the_end(work, folder):
    """``work(folder)`` goes on in another process, with a disk slow enough to be caught writing, and is killed."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pytest", "torch", "scoredrift"])  # a restart costs a fork, no import
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_slowly, args=(work, folder, there))
    process.start()
    assert here.poll(30)
    yield
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL, "killed, not finished"


def wait_until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "no progress"
        time.sleep(0.0005)
