"""Set up what the book runs in: `python tools/environment.py setup FOLDER | install | lock`.

setup    makes a virtual environment in FOLDER and installs there; any Python from 3.11 on;
install  installs into the environment of the Python that runs it (the second half of setup);
lock     renews constraints.txt, for every Python from 3.11 on.

constraints.txt holds one pin a line, with a marker where a pin holds for some Pythons only. uv installs
it; where uv is not to be had, pip does. A pinned release may be gone, or not be made for this Python.
Then set-up says so and goes on with the nearest release; the other pins stay as they are wherever that
one allows it. What was chosen stands in FOLDER/constraints.txt.
"""

import argparse
import ast
import importlib.util
import os
import platform
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import NamedTuple

# Up to here this file is read by older Pythons too, for the sake of this message.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit(f"scoredrift needs Python 3.11 or newer, not {sys.version[:6]}; try: make PYTHON=python3.12")

ROOT = Path(__file__).resolve().parents[1]
PINS = ROOT / "constraints.txt"
OLDEST, USUAL = "3.11.0", "3.12.0"
INSTALLED = ".[book,test,dev]"
# KeOps comes as source. All other releases must have wheels, so that no compiler is needed.
WITH_WHEELS = ("notebook", "book", "images", "cluster", "test", "dev")
# What a CUDA build of torch needs it pins itself; other builds do without.
OF_CUDA_BUILDS = ("nvidia-", "cuda-")
# pip's settings that uv does not read, and the variables through which it takes them.
UV_VARIABLES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
    "trusted-host": "UV_INSECURE_HOST",
    "proxy": "ALL_PROXY",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
}


class Difference(NamedTuple):
    """A package whose version is not the pinned one."""

    name: str
    pinned: str
    taken: str


def say(text: str) -> None:
    """One line about the set-up."""
    print(f"set-up: {text}", file=sys.stderr, flush=True)


def pins(text: str, python: str | None = None) -> dict[str, str]:
    """Versions that a list of pins asks for.

    Args:
        text: requirements ``name==version``, one a line, some with a marker.
        python: full version of the Python that is asked about; None for this one.

    Returns:
        Normalised name to version, of the pins whose marker holds.

    >>> pins("Sphinx==7.4.7\\nsoupsieve==2.10 ; python_full_version < '3.11.5'", "3.11.0")
    {'sphinx': '7.4.7', 'soupsieve': '2.10'}
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    place = (
        {} if python is None else {"python_full_version": python, "python_version": python.rpartition(".")[0]}
    )
    asked = [Requirement(line) for line in text.splitlines()]
    return {
        canonicalize_name(one.name): str(one.specifier).removeprefix("==")
        for one in asked
        if one.marker is None or one.marker.evaluate(place)
    }


def with_pins(text: str, changed: dict[str, str | None]) -> str:
    """A list of pins in which some are replaced by a version that holds everywhere, or dropped for None."""
    kept = [line for line in text.splitlines() if _name(line) not in changed]
    return "\n".join(kept + [f"{name}=={version}" for name, version in changed.items() if version]) + "\n"


def _name(pin: str) -> str:
    return re.sub(r"[-_.]+", "-", pin.partition("==")[0].strip()).lower()


def nearest(pinned: str, releases: list[str]) -> str | None:
    """The release next to one that is not to be had; None if nothing is offered.

    It is of the same minor series, else of the same major one, else any; among those the first
    that is newer, else the newest.

    >>> nearest("2.4.9", ["2.3.5", "2.4.3", "2.4.10", "2.5.0"])
    '2.4.10'
    """
    from packaging.version import Version

    pin = Version(pinned)
    final = sorted(v for v in map(Version, releases) if not v.is_prerelease)
    for digits in (2, 1, 0):
        series = [v for v in final if v.release[:digits] == pin.release[:digits]]
        if series:
            return next((v for v in series if v > pin), series[-1]).public
    return None


def installed() -> list[str]:
    """What is installed in the environment of this Python: ``name==version``, sorted."""
    from importlib import metadata

    from packaging.utils import canonicalize_name

    found = metadata.distributions()
    return sorted({f"{canonicalize_name(one.name)}=={one.version}" for one in found})


def versions(exact: list[str]) -> dict[str, str]:
    """Name to version, of a list of ``name==version``."""
    return {name: version for name, _, version in (one.partition("==") for one in exact)}


def compared(wanted: dict[str, str], found: dict[str, str]) -> list[Difference]:
    """Packages found in another version than the one wanted; a build tag makes no difference."""
    pairs = ((name, wanted[name], found[name]) for name in sorted(wanted.keys() & found.keys()))
    return [Difference(*pair) for pair in pairs if pair[1] != pair[2].partition("+")[0]]


def offered(name: str, python: str | None = None) -> list[str]:
    """Releases of a package that pip can install on a Python; empty if it cannot tell."""
    other = [] if python is None else ["--python-version", python, "--only-binary", ":all:"]
    done = _pip("index", "versions", name, *other, capture_output=True)
    listed = re.search(r"Available versions: (.*)", done.stdout)
    return listed[1].split(", ") if listed else []


def settings_for_uv() -> dict[str, str]:
    """Variables that give uv what pip is configured to use: indexes, folders of wheels, certificates.

    Like pip, uv then looks into all indexes and takes the newest release that fits. Variables that
    are set already, for uv itself, win. The values may hold passwords: they are never printed.
    """
    listed = _pip("config", "list", capture_output=True).stdout
    found = {}
    for place in ("global", "install", ":env:"):  # the later wins
        for option, value in re.findall(rf"^{place}\.([\w-]+)=(.+)$", listed, re.M):
            separator = "," if option == "find-links" else " "
            found[option] = separator.join(ast.literal_eval(value).split())
    ours = {variable: found[option] for option, variable in UV_VARIABLES.items() if option in found}
    return {"UV_INDEX_STRATEGY": "unsafe-best-match"} | ours | dict(os.environ)


def compiled(liked: str, *options: str, held: str = "", settings: dict[str, str] | None = None) -> str:
    """All that pyproject.toml needs, as pins, by uv.

    Args:
        liked: pins that stay wherever they can.
        options: more options of ``uv pip compile``.
        held: pins that stay.
        settings: the environment of uv; None for this one.

    Raises:
        subprocess.CalledProcessError: uv failed; its ``stderr`` says why.
    """
    with tempfile.TemporaryDirectory() as folder:
        result, constraints = Path(folder, "pins.txt"), Path(folder, "held.txt")
        result.write_text(liked, encoding="utf-8")
        constraints.write_text(held, encoding="utf-8")
        command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate"]
        command += ["--python", sys.executable, "--constraint", str(constraints)]
        command += ["--output-file", str(result), *options, str(ROOT / "pyproject.toml")]
        subprocess.run(command, check=True, env=settings, capture_output=True, text=True)
        lines = result.read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith(OF_CUDA_BUILDS)) + "\n"


def fitting(text: str, python: str | None = None) -> tuple[str, list[Difference]]:
    """Pins that can be had, by uv; those that cannot are named and replaced by the nearest release.

    A release that is not to be had may be the only one that others allow, so these may move too.

    Args:
        text: pins.
        python: full version of the Python; None for this one.

    Returns:
        Pins without markers, and how they differ from those given.

    Raises:
        subprocess.CalledProcessError: uv failed; its ``stderr`` says why.
    """
    options = ["--all-extras", *([] if python is None else ["--python-version", python])]
    settings, wanted = settings_for_uv(), pins(text, python)

    def all_of(held: str) -> str | None:
        try:
            return compiled("", *options, held=held, settings=settings)
        except subprocess.CalledProcessError:
            return None

    chosen = all_of(text)
    if chosen is None:
        free = compiled(text, *options, settings=settings)
        changed: dict[str, str | None] = {}
        for name, pinned, taken in compared(wanted, versions(free.splitlines())):
            releases = offered(name, python)
            if pinned not in [release.partition("+")[0] for release in releases]:
                changed[name] = nearest(pinned, releases) or taken
                _name_the_missing(name, pinned, changed[name])
        mended = with_pins(text, changed)
        chosen = all_of(mended) or compiled(mended, *options, settings=settings)
    return chosen, compared(wanted, versions(chosen.splitlines()))


def fitting_by_pip(text: str) -> str:
    """Pins that pip can install, one missing release after the other; older pips download what they look at."""
    changed: dict[str, str | None] = {}
    while True:
        with tempfile.TemporaryDirectory() as folder:
            asked = Path(folder, "constraints.txt")
            asked.write_text(with_pins(text, changed), encoding="utf-8")
            done = _pip("install", "--dry-run", "--no-deps", "--requirement", asked, capture_output=True)
        missing = re.search(r"No matching distribution found for ([\w.-]+)==(\S+)", done.stderr)
        if missing is None:
            return with_pins(text, changed)
        name = _name(missing[1])
        changed[name] = None if name in changed else nearest(missing[2], offered(name))
        _name_the_missing(name, missing[2], changed[name])


def _name_the_missing(name: str, pinned: str, other: str | None) -> None:
    say(f"{name}=={pinned} is not to be had for this Python; nearest release: {other or 'unknown'}")


def _pip(*arguments: str | Path, capture_output: bool = False) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=capture_output, text=True, check=False)


def setup(folder: Path) -> int:
    """Make a virtual environment, and install into it; return the exit status."""
    if importlib.util.find_spec("ensurepip") is None:
        say("this Python cannot make virtual environments with pip. Install what is missing")
        say("(Debian, Ubuntu: apt-get install python3-venv) or name another Python: make PYTHON=...")
        return 1
    config = folder / "pyvenv.cfg"
    stale = config.exists() and f"version = {platform.python_version()}\n" not in config.read_text(
        encoding="utf-8"
    )
    venv.create(folder, with_pip=True, symlinks=True, clear=stale)
    return subprocess.run([folder / "bin/python", __file__, "install"], check=False).returncode


def install() -> int:
    """Install the book's packages beside this Python; return the exit status."""
    once = ("install", "--quiet", "--only-binary", "uv")
    for tools in (["--constraint", PINS, "uv", "packaging"], ["uv", "packaging"], ["packaging"]):
        if _pip(*once, *tools).returncode == 0:
            break
    else:
        return 1  # pip has said why
    text, chosen = PINS.read_text(encoding="utf-8"), Path(sys.prefix, "constraints.txt")
    status = _install_by_uv(text, chosen)
    if status != 0:
        say("WITHOUT UV: pip installs, which takes minutes")
        chosen.write_text(fitting_by_pip(text), encoding="utf-8")
        status = _pip("install", "--quiet", "--constraint", chosen, "--editable", INSTALLED).returncode
    if status == 0:
        _report(compared(pins(text), versions(installed())))
    return status


def _install_by_uv(text: str, chosen: Path) -> int:
    if importlib.util.find_spec("uv") is None:
        return 1
    try:
        chosen.write_text(fitting(text)[0], encoding="utf-8")
    except subprocess.CalledProcessError as failed:
        say(f"uv cannot find what is needed: {failed.stderr.strip()}")
        return failed.returncode
    quiet = [] if sys.stderr.isatty() else ["--quiet"]
    command = [sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable, *quiet]
    command += ["--constraint", str(chosen), "--editable", INSTALLED]
    return subprocess.run(command, cwd=ROOT, env=settings_for_uv(), check=False).returncode


def _report(differences: list[Difference]) -> None:
    if not differences:
        say("every package has its pinned version")
        return
    say(f"{len(differences)} PACKAGES DO NOT HAVE THEIR PINNED VERSION, numbers may differ in their digits:")
    for name, pinned, taken in differences:
        say(f"    {name}: pinned {pinned}, installed {taken}")


def lock() -> int:
    """Renew constraints.txt: complete it, and keep the pins that can stay; return the exit status.

    Of a package with several pins the one for most Pythons is kept, and the others are found anew.
    """
    text = PINS.read_text(encoding="utf-8")
    names = [line.partition("==")[0] for line in text.splitlines()]
    forked = {name for name in names if names.count(name) > 1}
    usual = {name: version for name, version in pins(text, USUAL).items() if name in forked}
    kept = with_pins(text, dict.fromkeys(forked) | usual)
    universal = ("--universal", "--python-version", OLDEST)
    some = [option for extra in WITH_WHEELS for option in ("--extra", extra)]
    wheels = compiled(kept, *universal, *some, "--only-binary", ":all:")
    # The required environments of pyproject.toml are about wheels: the rest does without them.
    PINS.write_text(compiled(kept, *universal, "--no-config", "--all-extras", held=wheels), encoding="utf-8")
    return 0


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    tasks = parser.add_subparsers(dest="task", required=True)
    tasks.add_parser("setup").add_argument("folder", type=Path)
    tasks.add_parser("install")
    tasks.add_parser("lock")
    options = parser.parse_args()
    if options.task == "setup":
        return setup(options.folder)
    try:
        return install() if options.task == "install" else lock()
    except subprocess.CalledProcessError as failed:
        say(failed.stderr)
        return failed.returncode


if __name__ == "__main__":
    sys.exit(main())
