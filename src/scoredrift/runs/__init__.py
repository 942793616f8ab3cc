"""Runs that can be repeated, interrupted and believed: seeds, files, checkpoints, sweeps, provenance."""

from scoredrift.runs.checkpoints import Checkpoints, Saved
from scoredrift.runs.origin import commit, device_name, machine, provenance, versions
from scoredrift.runs.seeds import generator_for
from scoredrift.runs.storage import describe, load, save, save_json, write
from scoredrift.runs.sweeps import cases, sweep

__all__ = [
    "Checkpoints",
    "Saved",
    "cases",
    "commit",
    "describe",
    "device_name",
    "generator_for",
    "load",
    "machine",
    "provenance",
    "save",
    "save_json",
    "sweep",
    "versions",
    "write",
]
