"""The rooms of the house: who may import whom, and which rooms load no model library.

The order and its reasons: `CONTRIBUTING.md`.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from safeeraser.assets import ROOT

# From bottom to top; a room imports itself and rooms that stand before it. Rooms of one line do not know each other.
ORDER = (
    ("errors", "assets", "units"),
    ("files", "losses", "replies", "web"),
    ("store",),
    ("demo",),
    ("plain",),
    ("data",),
    ("judge",),
    ("config",),
    ("runs",),
    ("score", "models"),
    ("charts", "generate"),
    ("unlearn",),
    ("attack",),
    ("stages",),
    ("report",),
    ("bundle",),
    ("plan",),
    ("ui", "arena"),
    ("commands",),
)
# Rooms that know nothing of models, though they stand beside or above some of them.
NO_MODELS = {"score", "charts"}
MODELS = {"models", "generate", "unlearn", "attack"}
# The verbs and what finds them; a launched run's process calls the latter.
TOP = {"cli": "commands", "__main__": "commands"}
UI = ("frame", "parts", "views")

# All that loads a model library; everything else must answer at once.
HEAVY = {
    "models",
    "unlearn",
    "demo.base_model",
    "plain.asking",
    "plain.base_model",
    "plain.efficientnet",
    "plain.pictures",
    "plain.rows",
    "plain.training",
    "plan.tokens",
    "plan.model_sizes",
} | {
    *("attack.attacking", "attack.weights"),
    *(f"generate.{name}" for name in ("answering", "answerer", "decode", "sampling", "slots", "targets")),
}
MODEL_LIBRARIES = {"torch", "transformers", "peft", "accelerate"}
APP_LIBRARIES = {"ui": "streamlit", "arena": "gradio"}  # each in one room

MODULES = {
    ".".join(path.relative_to(ROOT / "safeeraser").with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "safeeraser").rglob("*.py"))
}


def room(module: str) -> str:
    first = module.split(".")[0]
    return TOP.get(first, first)


def imports(path: Path) -> set[str]:
    """The modules of the package that a file imports, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.removeprefix("safeeraser.") for name in found if name.startswith("safeeraser.")}


def test_every_module_stands_in_a_room_and_few_lie_flat():
    known = {name for line in ORDER for name in line} | {"__init__", *TOP}
    assert {module.split(".")[0] for module in MODULES} <= known
    flat = [path for path in MODULES.values() if path.parent.name == "safeeraser"]
    assert len(flat) <= 12


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down_only(module: str):
    height = {name: place for place, line in enumerate(ORDER) for name in line}
    mine = room(module)
    for name in imports(MODULES[module]):
        theirs = room(name)
        if theirs in ("__version__", mine):
            continue
        assert height[theirs] < height[mine], f"{module} imports {name}"
        assert not (mine in NO_MODELS and theirs in MODELS), f"{module} imports {name}"


@pytest.mark.parametrize("module", [module for module in MODULES if module.startswith("ui.")])
def test_inside_the_app_views_use_parts_and_parts_use_the_frame(module: str):
    mine = module.split(".")[1]
    for name in imports(MODULES[module]):
        if name.startswith("ui.") and len(name.split(".")) > 2:
            assert UI.index(name.split(".")[1]) <= UI.index(mine), f"{module} imports {name}"


def test_streamlit_and_gradio_stay_in_their_rooms():
    for module, path in MODULES.items():
        text = path.read_text(encoding="utf-8")
        tree = ast.walk(ast.parse(text))
        tops = {(node.module or "").split(".")[0] for node in tree if isinstance(node, ast.ImportFrom)}
        tops |= {
            alias.name.split(".")[0]
            for n in ast.walk(ast.parse(text))
            if isinstance(n, ast.Import)
            for alias in n.names
        }
        assert {*APP_LIBRARIES.values()} & tops <= {APP_LIBRARIES.get(room(module))}, module


@pytest.mark.slow
def test_a_light_room_loads_no_model_library():
    light = [
        module
        for module in MODULES
        if room(module) not in HEAVY and module not in HEAVY | {"__init__", "__main__", "ui.frame.main"}
    ]
    light.sort(key=lambda module: room(module) in APP_LIBRARIES)  # last: they alone may load one
    script = (
        "import sys; from importlib import import_module\n"
        "for name in sys.argv[1:]:\n"
        "    before = set(sys.modules)\n"
        "    import_module(f'safeeraser.{name}')\n"
        "    print(name, *{new.split('.')[0] for new in sys.modules.keys() - before})\n"
    )
    ran = subprocess.run([sys.executable, "-c", script, *light], capture_output=True, text=True, check=True)
    loaded = {name: set(new) for name, *new in map(str.split, ran.stdout.splitlines())}
    assert loaded.keys() == set(light)
    for name, new in loaded.items():
        forbidden = MODEL_LIBRARIES | {*APP_LIBRARIES.values()} - {APP_LIBRARIES.get(room(name))}
        assert forbidden & new == set(), name


WRITING = {"write_text", "write_bytes"}


@pytest.mark.parametrize("module", [module for module in MODULES if module != "files"])
def test_files_are_written_in_one_place(module: str):
    """Locks and the log of a launched process are opened elsewhere, to be appended to by the system alone."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            modes = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            assert node.func.attr not in WRITING, f"{module} writes by {node.func.attr}"
            assert not (node.func.attr == "open" and {"w", "wb", "x"} & set(modes)), f"{module} opens a file to write"
