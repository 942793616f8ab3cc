"""Runs that can be repeated, interrupted and believed: seeds, files, checkpoints, sweeps, provenance."""

from scoredrift.runs.checkpoints import Checkpoints, Saved, locked
from scoredrift.runs.fingerprints import RANDOM, describe, held_by
from scoredrift.runs.origin import UNKNOWN, commit, device_name, machine, provenance, versions
from scoredrift.runs.seeds import generator_for, seed_words
from scoredrift.runs.storage import is_foreign, load, note_of, place, save, save_json, write
from scoredrift.runs.sweeps import cases, sweep

__all__ = [
    "RANDOM",
    "UNKNOWN",
    "Checkpoints",
    "Saved",
    "cases",
    "commit",
    "describe",
    "device_name",
    "generator_for",
    "held_by",
    "is_foreign",
    "load",
    "locked",
    "machine",
    "note_of",
    "place",
    "provenance",
    "save",
    "save_json",
    "seed_words",
    "sweep",
    "versions",
    "write",
]
