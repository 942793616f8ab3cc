"""The architecture, read from the files: layers, lengths and runnable examples."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "scoredrift"
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in sorted(PACKAGE.rglob("*.py"))
}

# What each module may import from the package. Imports run downwards only.
LAYERS = {
    "_checks": set(),
    "estimates": {"_checks"},
    "process": {"_checks"},
    "seeds": {"_checks"},
    "storage": {"_checks"},
    "laws": {"_checks", "process"},
    "mixtures": {"_checks", "laws", "process"},
    "gaussians": {"_checks", "laws", "process"},
    "kde_triton": set(),
    "attention": {"kde_triton"},
    "kde": {"_checks", "attention", "laws", "process"},
    "tails": {"_checks", "estimates"},
    "divergences": {"_checks", "estimates", "tails"},
    "bounded": {"_checks", "divergences", "estimates", "mixtures"},
    "two_samples": {"_checks", "estimates", "tails"},
    "ledger": {"_checks", "estimates"},
    "scores": {"_checks", "laws", "process"},
    "errors": {"_checks", "scores"},
    "fields": {"_checks", "scores"},
    "integrators": {"_checks", "process"},
    "simulate": {"_checks", "integrators", "laws", "process"},
    "notebook": {"_checks", "estimates"},
    "girsanov": {"_checks", "estimates", "integrators", "laws", "process", "simulate"},
    "observability": {
        "_checks",
        "errors",
        "estimates",
        "gaussians",
        "girsanov",
        "integrators",
        "laws",
        "process",
        "simulate",
    },
    "marginal_ratio": {
        "_checks",
        "divergences",
        "errors",
        "estimates",
        "laws",
        "observability",
        "process",
        "simulate",
        "tails",
    },
    "assumptions": {"_checks", "estimates", "tails"},
    "discounts": {"_checks"},
    "accumulation": {"_checks"},
    "overlaps": {"_checks", "mixtures"},
    "sampled_steps": {"_checks", "estimates"},
    "histograms": {"_checks"},
    "regimes": {"_checks", "mixtures"},
    "checkpoints": {"_checks", "storage"},
    "recursion": {"_checks", "checkpoints", "estimates", "laws", "mixtures", "regimes", "seeds", "storage"},
    "fits": {
        "_checks",
        "gaussians",
        "integrators",
        "kde",
        "laws",
        "mixtures",
        "process",
        "scores",
        "simulate",
    },
    "sweeps": {"_checks"},
    "provenance": set(),
    "experiments": {
        "_checks",
        "divergences",
        "errors",
        "estimates",
        "fits",
        "girsanov",
        "kde",
        "laws",
        "mixtures",
        "observability",
        "process",
        "provenance",
        "recursion",
        "regimes",
        "scores",
        "storage",
        "sweeps",
    },
    "cli": {"experiments"},
}
TOP = {"plots", "__init__"}  # may import anything, except that nothing imports plots


def imported_modules(path: Path) -> set[str]:
    """Modules of the package that a file imports, wherever in the file it does so."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            origin = ".".join(filter(None, ["scoredrift" * bool(node.level), node.module]))
            names |= {f"{origin}.{alias.name}" for alias in node.names}
    inside = {name.split(".")[1] for name in names if name.startswith("scoredrift.")}
    # What is no module is a name that the package itself hands out.
    return {name if name in {*LAYERS, *TOP} else "__init__" for name in inside}


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_downwards_only(module):
    layer = module.split(".")[0]
    assert layer in LAYERS or layer in TOP, f"add {layer} to LAYERS, with the modules it may import"
    allowed = LAYERS.get(layer, set(LAYERS)) | {layer}
    excess = imported_modules(MODULES[module]) - allowed
    assert not excess, f"{module} imports {sorted(excess)}, which lie above or beside it"


def test_the_layers_have_an_order():
    placed = set()
    for module, allowed in LAYERS.items():
        assert allowed <= placed, f"{module} may import {sorted(allowed - placed)}, listed below it"
        placed.add(module)


def test_reading_imports_finds_every_way_to_write_them(tmp_path):
    file = tmp_path / "sample.py"
    file.write_text(
        "import scoredrift.process\nimport torch\nfrom scoredrift import scores as s, Estimate\n"
        "from .mixtures import GaussianMixture\nfrom . import girsanov\n"
        "def late():\n    from scoredrift.estimates import Estimate\n"
    )
    found = imported_modules(file)
    assert found == {"process", "scores", "__init__", "mixtures", "girsanov", "estimates"}


@pytest.mark.parametrize("folder", ["src", "tests", "tools", "benchmarks"])
def test_files_are_short_enough_to_read(folder):
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in (ROOT / folder).rglob("*.py")
    }
    assert lengths
    assert {name: length for name, length in lengths.items() if length > 400} == {}


def needs_example(node: ast.stmt) -> bool:
    """Public functions and classes do; protocols and exceptions have nothing to run."""
    if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
        return False
    bases = {ast.unparse(base) for base in getattr(node, "bases", [])}
    return not any(base.endswith(("Protocol", "Error", "Exception")) for base in bases)


@pytest.mark.parametrize("module", [name for name in MODULES if not name.startswith("_")])
def test_public_functions_and_classes_have_a_runnable_example(module):
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    subjects = [node for node in tree.body if needs_example(node)]
    bare = [node.name for node in subjects if ">>> " not in (ast.get_docstring(node) or "")]
    assert not bare, f"{module}: no example in the docstring of {', '.join(bare)}"
