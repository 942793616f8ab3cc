"""Files are whole or refused, and belong to one run: storage, descriptions, checkpoints."""

import json
import pickle
import random
import re
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers import random_mixture, seeded
from scoredrift import Accumulate, Flow, FreshFraction, KernelFit, OrnsteinUhlenbeck, Replace
from scoredrift.process import scale, variance
from scoredrift.runs import Checkpoints, describe, load, save

NOISE = torch.randn(6, 4, generator=seeded(0), dtype=torch.float64)
TYPES = [NOISE, NOISE.float(), NOISE.bfloat16(), torch.tensor([-(2**62), 0, 7]), torch.tensor([True, False])]
SHAPES = [NOISE[:5].T, NOISE[::2, 1:3], torch.arange(3.0).expand(12, 3), torch.tensor(1.5), torch.zeros(0, 3)]
SPECIAL = [torch.tensor([torch.nan, torch.inf, -0.0]), NOISE.clone().requires_grad_()]
STORED = {f"name {i}": value for i, value in enumerate(TYPES + SHAPES + SPECIAL)}
NOTE = {"seed": 1, "α": [0.1, None, {"names": ["p̂", "a\nb"]}], "done": True}


def bits(x):
    x = x.detach().contiguous()
    return x.dtype, x.shape, x.reshape(-1).view(torch.uint8).tolist()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "kept.safetensors"
    save(path, {"x": NOISE.float(), "n": torch.arange(3), "empty": torch.zeros(0, 2)}, NOTE)
    return path


def refused(path):
    return pytest.raises(ValueError, match=re.escape(f"file = {path}: "))


def test_what_is_loaded_is_what_was_saved_to_the_last_bit(tmp_path):
    path = tmp_path / "a" / "new" / "folder" / "result.safetensors"
    save(path, STORED, NOTE)
    tensors, note = load(path)
    assert note == NOTE
    assert {name: bits(x) for name, x in tensors.items()} == {name: bits(x) for name, x in STORED.items()}


def test_other_readers_of_the_format_can_read_the_file(file):
    """By the format's definition: length of the header in 8 bytes, the header in JSON, the values."""
    raw = file.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    entry = json.loads(raw[8:start])["x"]
    values = np.frombuffer(raw[start:][slice(*entry["data_offsets"])], dtype="<f4")
    assert values.reshape(entry["shape"]).tolist() == NOISE.float().tolist()


def test_a_failure_to_write_leaves_the_old_file_and_nothing_else(file, monkeypatch):
    before = file.read_bytes()

    def full_disk(descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="no space left"):
        save(file, {"x": NOISE}, {})
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_the_new_file_takes_the_name_in_one_step_when_it_is_on_the_disk(file, monkeypatch):
    before, seen = file.read_bytes(), []
    monkeypatch.setattr("os.fsync", lambda descriptor: seen.append(file.read_bytes()))
    with file.open("rb") as reader:  # an open file keeps its contents while the name moves on
        save(file, {"x": NOISE}, {"new": True})
        assert [reader.read(), *seen] == [before, before]
    assert load(file)[1] == {"new": True}
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_file_cut_short_anywhere_or_continued_is_refused(file):
    raw = file.read_bytes()
    for changed in [raw[:length] for length in range(len(raw))] + [raw + b"\0"]:
        file.write_bytes(changed)
        with refused(file):
            load(file)


def test_a_changed_bit_anywhere_is_refused(file):
    raw, choice = file.read_bytes(), random.Random(1)
    for position in range(len(raw)):
        changed = bytearray(raw)
        changed[position] ^= 1 << choice.randrange(8)
        file.write_bytes(bytes(changed))
        with refused(file):
            load(file)


SWAPS = {
    b'"seed\\": 1': b'"seed\\": 2',
    b'"F32","shape":[6,4]': b'"I32","shape":[6,4]',
    b'"shape":[6,4]': b'"shape":[4,6]',
    b'"shape":[0,2]': b'"shape":[2,0]',
}


@pytest.mark.parametrize("there", SWAPS)
def test_a_change_that_leaves_the_format_valid_is_refused_by_the_digest(file, there):
    assert file.read_bytes().count(there) == 1
    file.write_bytes(file.read_bytes().replace(there, SWAPS[there]))
    with pytest.raises(ValueError, match=re.escape(f"file = {file}: ") + ".*SHA-256"):
        load(file)


class Trap:
    def __reduce__(self):
        return Path.touch, (Path("sprung"),)


def test_files_of_other_kinds_are_refused_and_never_unpickled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("empty").touch()
    Path("pickle").write_bytes(pickle.dumps({"x": Trap()}))
    torch.save({"x": Trap()}, "torch")
    np.savez("numpy.npz", x=np.array(Trap(), dtype=object))
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(ValueError, match=f"file = .*{path.name}: .*delete it"):
            load(path)
    assert not Path("sprung").exists()
    pickle.loads(Path("pickle").read_bytes())
    assert Path("sprung").exists()  # the trap works


def test_where_no_file_is_the_error_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        load(tmp_path / "absent")
    with pytest.raises((OSError, ValueError), match=tmp_path.name):
        load(tmp_path)


@dataclass(frozen=True)
class Pair:
    first: object
    second: object = None


ONES, OU = torch.ones(2, 3), OrnsteinUhlenbeck()
ALL_DIFFERENT = [
    [1, 2, 0.1, 0.1 + 1e-15, "a", "b", None, False, [1, 2], [2, 1], [1, [2]], {"a": 1}, {"b": 1}],
    [ONES, 2 * ONES, ONES.double(), ONES.T, ONES.reshape(-1), torch.tensor(0.0), torch.tensor(-0.0)],
    [json.dumps, pickle.dumps, scale, variance, Pair, KernelFit, partial(scale, 1.0), partial(variance, 1.0)],
    [scale, partial(scale, 1.0), partial(scale, 2.0), partial(scale, t=1.0), partial(scale, t=2.0)],
    [Replace(), Accumulate(), FreshFraction(0.5), FreshFraction(0.6)],
    [Pair(1), Pair(1, 2), Pair(2, 1), Pair(Pair(1))],
    [KernelFit(0.5, OU), KernelFit(0.6, OU), KernelFit(0.5, OrnsteinUhlenbeck(0.03))],
    [
        Flow(random_mixture(0), OU),
        Flow(random_mixture(1), OU),
        Flow(random_mixture(0), OrnsteinUhlenbeck(0.1)),
    ],
]


@pytest.mark.parametrize("things", ALL_DIFFERENT, ids=range(len(ALL_DIFFERENT)))
def test_different_settings_have_different_descriptions(things):
    described = [describe(thing) for thing in things]
    assert not [(a, b) for a, b in combinations(described, 2) if a == b]
    assert json.loads(json.dumps(described)) == described, "JSON holds them"


def test_equal_settings_have_equal_descriptions():
    def settings():
        law, call = random_mixture(2), partial(scale, t=torch.arange(3.0))
        return {"call": call, "law": law, "sizes": [1, 2.5], "fit": KernelFit(0.5, OU)}

    assert describe(settings()) == describe(settings())
    assert describe(ONES.T) == describe(ONES.T.contiguous())
    assert describe((1, 2)) == describe([1, 2])


def stored(i):
    """What these tests store after generation i."""
    return NOISE + i, NOISE - i, [{"index": torch.tensor(k), "a/b": NOISE[:k].clone()} for k in range(i + 1)]


def is_of(saved, i):
    def exactly(training, drawn, measured):
        return bits(training), bits(drawn), [{k: bits(x) for k, x in one.items()} for one in measured]

    return exactly(saved.training, saved.drawn, saved.measured) == exactly(*stored(i))


def write(store, *generations):
    for i in generations:
        store.write(i, *stored(i))


@pytest.fixture
def store(tmp_path):
    return Checkpoints(tmp_path / "run", {"seed": 1, "fit": {"KernelFit": {"bandwidth": 0.6}}})


def paths(store):
    return sorted(path for path in store.folder.iterdir() if not path.name.startswith("."))


@pytest.mark.filterwarnings("error")
def test_the_newest_state_comes_back_and_two_are_kept_whatever_drafts_lie_there(store):
    store.folder.mkdir()
    for i in range(13):
        (store.folder / f".generation-{i:04d}.safetensors.0123abcd").write_bytes(b"half a draft")
        assert i or store.newest(20) is None
        write(store, i)
        assert is_of(store.newest(20), i)
        assert len(paths(store)) == min(i + 1, 2)


@pytest.mark.parametrize("damage", [lambda raw: raw[:100], lambda raw: raw[:-1] + b"?", lambda raw: b""])
def test_a_damaged_newest_is_named_and_the_one_before_is_used(store, damage):
    write(store, 3, 4)
    newest = paths(store)[-1]
    newest.write_bytes(damage(newest.read_bytes()))
    with pytest.warns(UserWarning, match=f"passed over: file = {re.escape(str(newest))}"):
        assert is_of(store.newest(9), 3)


def test_where_all_are_damaged_each_is_named_and_there_is_none(store):
    write(store, 3, 4)
    for path in paths(store):
        path.write_bytes(b"")
    with pytest.warns(UserWarning, match="passed over") as warned:
        assert store.newest(9) is None
    assert all(f"generation-000{i}" in str(w.message) for i, w in zip((4, 3), warned, strict=True))


def test_another_run_is_refused_by_the_setting_that_differs(store):
    write(store, 0)
    for name, value in [("seed", 2), ("size", 5), ("fit", {"KernelFit": {}})]:
        with pytest.raises(ValueError, match=f"^{name} = .*{store.folder}.*another folder"):
            Checkpoints(store.folder, store.settings | {name: value}).newest(5)
    with pytest.raises(ValueError, match="seed = None"):
        Checkpoints(store.folder, {"fit": store.settings["fit"]}).newest(5)


def test_states_of_later_generations_are_passed_over_or_refused(store):
    write(store, 4, 5)
    assert is_of(store.newest(4), 4)
    with pytest.raises(ValueError, match=r"generations = 3: .* generation 4"):
        store.newest(3)
