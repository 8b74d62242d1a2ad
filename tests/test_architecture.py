"""The house rules that a program can check: imports point down, and a few habits that keep the rooms apart.

Each rule reads the parsed package and gives one sentence a breach, which says what to do. The second half
proves on a small invented package that every rule can fail. The picture is in docs/architecture.md.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCES = Path(__file__).resolve().parent.parent / "src"
PACKAGE = "understudy"

WORDS = (PACKAGE, "errors", "events", "registry", "contracts", "learning", "config", "recipes", "assets")
ROOMS: tuple[tuple[str, ...], ...] = (
    WORDS,  # the only row whose members may import one another
    ("image", "nn", "stream", "durable"),
    ("weights",),
    ("video",),
    ("faces",),
    ("performers",),
    ("provenance",),
    ("training", "metrics"),
    (
        *("detectors", "landmarkers", "segmenters", "embedders", "models", "losses"),
        *("color_transfers", "blends", "enhancers", "watermarks", "forensics"),
    ),
    ("pipelines",),
    ("interop",),
    ("cli", "studio"),
    ("__main__",),
)
"""From low to high. A room imports lower rows only; rooms in one row are strangers."""
RANK = {room: rank for rank, row in enumerate(ROOMS) for room in row}
PIPELINES: tuple[tuple[str, ...], ...] = (
    ("setup", "footage", "person", "likeness", "swapper", "measuring", "extract", "project"),
    ("compositing",),
    ("merging", "runs", "readiness"),
    ("evaluation",),
    ("suite",),
    ("swap",),
    ("demo",),
)
"""Inside ``pipelines``, low to high: what every stage needs, the stages, the whole jobs. In the lowest row
files may import one another; in the others neighbours are strangers."""

ONLY_IN = {
    "tyro": "config",
    "rich": "cli",
    "_thread": "stream",
    "concurrent": "stream",
    "multiprocessing": "stream",
}
"""Libraries that one room keeps to itself. ``threading`` has a rule of its own."""
SOLD_AS = {
    "PyOpenColorIO": "opencolorio",
    "c2pa": "c2pa-python",
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "dlib": "dlib-bin",
}
"""Libraries whose package has another name."""
HEAVY = {"torch", "cv2", "av", "scipy", "ai_edge_litert", "dlib"}
"""What ``understudy --help`` must not wait for."""
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
STARTS_NO_THREAD = {"Lock", "local", "get_ident", "current_thread", "main_thread"}
NO_SUBJECT = re.compile(r"(.*_)?(utils?|helpers?|common|misc)")
MODULE_LINES, FUNCTION_LINES = 400, 60


@dataclass(frozen=True)
class Import:
    """One imported name: ``from a.b import c`` is ``a.b.c``."""

    target: str
    line: int
    top: bool
    """Runs when the module is imported: not in a function, not for the type checker only."""


@dataclass(frozen=True)
class Module:
    """A parsed file of the package."""

    name: str
    path: Path
    tree: ast.Module
    lines: int

    @property
    def room(self) -> str:
        """First name below the package, or the package itself for its ``__init__``."""
        return self.name.split(".")[1] if "." in self.name else PACKAGE

    def at(self, line: int) -> str:
        """Place for a message."""
        return f"{self.path}:{line}"

    def imports(self) -> Iterator[Import]:
        """Everything imported, in functions and for the type checker too, relative imports made absolute."""
        for node, top in _walk(self.tree, top=True):
            if isinstance(node, ast.Import):
                yield from (Import(alias.name, node.lineno, top) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    parents = self.name.split(".")[: -node.level + (self.path.name == "__init__.py") or None]
                    base = ".".join([*parents, *filter(None, [node.module])])
                yield from (Import(f"{base}.{alias.name}", node.lineno, top) for alias in node.names)
            elif isinstance(node, ast.Call) and _name(node.func).endswith(("import_module", "__import__")):
                named = node.args[0] if node.args else None
                if isinstance(named, ast.Constant):
                    yield Import(str(named.value), node.lineno, top=False)


def _walk(node: ast.AST, top: bool) -> Iterator[tuple[ast.AST, bool]]:
    for child in ast.iter_child_nodes(node):
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for_checker = isinstance(child, ast.If) and _name(child.test).endswith("TYPE_CHECKING")
        below = top and not inside and not for_checker
        yield child, below
        yield from _walk(child, below)


def _name(node: ast.AST) -> str:
    """``a.b.c`` of a chain of attributes, else an empty text."""
    if isinstance(node, ast.Attribute):
        return f"{_name(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def read_package(sources: Path) -> list[Module]:
    """Every module of the package below ``sources``."""
    modules: list[Module] = []
    for path in sorted((sources / PACKAGE).rglob("*.py")):
        parts = path.relative_to(sources).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text("utf-8")
        modules.append(Module(name, path.relative_to(sources), ast.parse(text), len(text.splitlines())))
    return modules


# ---------------------------------------------------------------------------------------- rules

Rule = Callable[[list[Module]], Iterator[str]]
RULES: list[Rule] = []


def rule(check: Rule) -> Rule:
    """Decorator that adds a rule to the list."""
    RULES.append(check)
    return check


def _arrows(modules: list[Module]) -> Iterator[tuple[Module, Module, int]]:
    """Importing module, imported module, line; of arrows inside the package."""
    known = {module.name: module for module in modules}
    for module in modules:
        for item in module.imports():
            target = item.target
            while target and target not in known:  # a class in a module, a module in a package
                target = target.rpartition(".")[0]
            if target and target != module.name:
                yield module, known[target], item.line


@rule
def every_room_has_its_place(modules: list[Module]) -> Iterator[str]:
    for module in modules:
        if module.room not in RANK:
            yield (
                f"{module.path}: the room {module.room!r} has no place in the order; put the code into one "
                "that has, or give the new room its row in ROOMS here and in docs/architecture.md"
            )


@rule
def imports_point_down(modules: list[Module]) -> Iterator[str]:
    for module, target, line in _arrows(modules):
        mine, theirs = module.room, target.room
        if mine == theirs or mine not in RANK or theirs not in RANK or RANK[theirs] < RANK[mine]:
            continue
        if RANK[theirs] > RANK[mine]:
            yield (
                f"{module.at(line)}: {module.name} imports {target.name} from a higher room; move what both "
                f"need down, or let the caller hand it to {mine}"
            )
        elif mine not in WORDS:
            yield (
                f"{module.at(line)}: {module.name} imports {target.name}, a neighbour in the same row; the "
                "pipeline that uses both gives one to the other, and shared code moves to a lower room"
            )


@rule
def pipelines_point_down(modules: list[Module]) -> Iterator[str]:
    rank = {stage: at for at, row in enumerate(PIPELINES) for stage in row}
    for module, target, line in _arrows(modules):
        mine, theirs = (_stage(each.name) for each in (module, target))
        if not mine or not theirs or mine == theirs:
            continue
        lost = next((stage for stage in (mine, theirs) if stage not in rank), None)
        if lost:
            yield f"{module.at(line)}: pipelines.{lost} has no place in PIPELINES here; give it its row"
        elif rank[theirs] > rank[mine] or rank[theirs] == rank[mine] > 0:
            yield (
                f"{module.at(line)}: {module.name} imports {target.name}, which does not stand below it; "
                "move what both need down"
            )


def _stage(name: str) -> str:
    """The folder or file of ``pipelines`` that a module belongs to, or an empty text."""
    parts = name.split(".")
    return parts[2] if parts[1:2] == ["pipelines"] and len(parts) > 2 else ""


@rule
def imports_make_no_circle(modules: list[Module]) -> Iterator[str]:
    graph: dict[str, set[str]] = {module.name: set() for module in modules}
    for module, target, _ in _arrows(modules):
        graph[module.name].add(target.name)
    done: set[str] = set()

    def visit(name: str, way: list[str]) -> Iterator[str]:
        if name in way:
            circle = " → ".join([*way[way.index(name) :], name])
            yield f"a circle of imports: {circle}; move what they share into a module below both"
        elif name not in done:
            for target in sorted(graph[name]):
                yield from visit(target, [*way, name])
            done.add(name)

    for name in sorted(graph):
        yield from visit(name, [])


@rule
def libraries_stay_in_their_room(modules: list[Module]) -> Iterator[str]:
    for module in modules:
        for item in module.imports():
            library = item.target.partition(".")[0]
            if module.room != ONLY_IN.get(library, module.room):
                yield (
                    f"{module.at(item.line)}: {library} is imported in {ONLY_IN[library]} only; use what "
                    "that room offers, or add it there"
                )


@rule
def libraries_are_declared(modules: list[Module]) -> Iterator[str]:
    project = tomllib.loads((SOURCES.parent / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    declared = [*project["dependencies"], *(line for e in extras if e != "dev" for line in extras[e])]
    names = {re.split(r"[^\w.-]", line)[0].lower() for line in declared}
    for module in modules:
        for item in module.imports():
            library = item.target.partition(".")[0]
            known = {*sys.stdlib_module_names, PACKAGE, *names}
            if library not in known and SOLD_AS.get(library, library.replace("_", "-")).lower() not in names:
                yield (
                    f"{module.at(item.line)}: {library} is not among the dependencies in pyproject.toml; do "
                    "without it, or declare it there and say in the commit what for"
                )


@rule
def threads_live_in_stream(modules: list[Module]) -> Iterator[str]:
    for module in modules:
        if module.room == "stream":
            continue
        used = [
            (i.target.removeprefix("threading."), i.line)
            for i in module.imports()
            if "threading." in i.target
        ]
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute) and _name(node.value) == "threading":
                used.append((node.attr, node.lineno))
        for name, line in used:
            if name not in STARTS_NO_THREAD:
                yield (
                    f"{module.at(line)}: threading.{name} outside stream.py; let stream.py run the stations "
                    "(threading.local is welcome where each thread keeps its own interpreter)"
                )


@rule
def words_are_light(modules: list[Module]) -> Iterator[str]:
    for module in modules:
        if module.room in WORDS or module.path.name == "__init__.py":
            for item in module.imports():
                if item.top and (library := item.target.partition(".")[0]) in HEAVY:
                    yield (
                        f"{module.at(item.line)}: {library} is imported where `understudy --help` passes; "
                        "import it under TYPE_CHECKING for a type, or in the function that needs it"
                    )


@rule
def nothing_is_pickled(modules: list[Module]) -> Iterator[str]:
    remedy = "write tensors with safetensors and everything else as JSON or TOML"
    for module in modules:
        for item in module.imports():
            if (library := item.target.partition(".")[0]) in PICKLES:
                yield f"{module.at(item.line)}: {library} can run a stranger's code; {remedy}"
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Call):
                continue
            options = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
            called = _name(node.func)
            if called == "torch.save" or (called == "torch.load" and options.get("weights_only") is not True):
                yield f"{module.at(node.lineno)}: {called} pickles; {remedy}"
            if options.get("allow_pickle", False) is not False:
                yield f"{module.at(node.lineno)}: {called} with allow_pickle; {remedy}"


@rule
def only_the_command_line_prints(modules: list[Module]) -> Iterator[str]:
    for module in modules:
        if module.room == "cli":
            continue
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Name | ast.Attribute) and _name(node) in (
                "print",
                "sys.stdout",
                "sys.stderr",
            ):
                yield (
                    f"{module.at(node.lineno)}: prints outside cli; yield an event (understudy.events) and "
                    "let the command line show it"
                )


@rule
def a_module_has_a_subject(modules: list[Module]) -> Iterator[str]:
    for module in modules:
        if NO_SUBJECT.fullmatch(module.name.rpartition(".")[2]):
            yield f"{module.path}: a name that says nothing; name the file after what its functions are about"
        if not ast.get_docstring(module.tree):
            yield f"{module.path}: no docstring; say in a sentence what is here and what it relies on"


@rule
def modules_and_functions_stay_short(modules: list[Module]) -> Iterator[str]:
    for module in modules:
        if module.lines > MODULE_LINES:
            yield f"{module.path}: {module.lines} lines, {MODULE_LINES} at most; give a subject its own file"
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES:
                    yield (
                        f"{module.at(node.lineno)}: {node.name} has {length} lines, {FUNCTION_LINES} at "
                        "most; take a step out that has a name of its own"
                    )


# ---------------------------------------------------------------------------------------- the real house


@pytest.fixture(scope="module")
def package() -> list[Module]:
    return read_package(SOURCES)


@pytest.mark.parametrize("check", RULES, ids=lambda check: check.__name__)
def test_house(check: Rule, package: list[Module]) -> None:
    breaches = list(check(package))
    assert not breaches, "\n" + "\n".join(breaches)


def test_house_is_read_whole(package: list[Module]) -> None:
    names = {module.name for module in package}
    assert {PACKAGE, f"{PACKAGE}.contracts", f"{PACKAGE}.blends", f"{PACKAGE}.cli.main"} <= names


# ---------------------------------------------------------------------------------------- proof

SOUND = {
    "__init__.py": '"""A package."""\n',
    "errors.py": '"""Errors."""\n',
    "registry.py": '"""Names."""\nfrom understudy.errors import Nothing\n',
    "image/__init__.py": '"""Pictures."""\n',
    "image/warp.py": '"""Warps."""\nimport torch\nfrom understudy import errors\n',
    "stream.py": '"""Stations."""\nimport threading\nrun = threading.Thread\n',
    "blends/__init__.py": '"""Blends."""\nif TYPE_CHECKING:\n    import torch\n',
    "blends/feather.py": '"""Soft."""\nfrom understudy.blends import BLENDS\nimport understudy.image.warp\n',
    "losses/__init__.py": '"""Losses."""\n',
    "losses/mse.py": '"""Squares."""\n',
    "detectors/near.py": '"""Near."""\nimport threading\nkept = threading.local()\n',
    "pipelines/setup.py": '"""Setup."""\n',
    "pipelines/merging/merge.py": '"""Merge."""\nimport understudy.pipelines.setup\n',
    "pipelines/runs/train.py": '"""Train."""\nfrom understudy.blends import BLENDS\n',
    "cli/main.py": '"""Commands."""\nimport rich\nprint("hello")\n',
}
"""A small package in which everything is right."""

UP = "from understudy.pipelines.merging import merge\n"
CASES: list[tuple[Rule, str, str | None, str]] = [
    (every_room_has_its_place, "attic/box.py", "", "'attic' has no place"),
    (imports_point_down, "image/warp.py", UP, "a higher room"),
    (imports_point_down, "image/warp.py", "import understudy.pipelines.setup\n", "a higher room"),
    (imports_point_down, "image/warp.py", f"def f():\n    {UP}", "a higher room"),
    (imports_point_down, "image/warp.py", f"if TYPE_CHECKING:\n    {UP}", "a higher room"),
    (imports_point_down, "image/warp.py", "from ..pipelines import setup\n", "a higher room"),
    (imports_point_down, "image/__init__.py", "from ..pipelines import setup\n", "a higher room"),
    (imports_point_down, "stream.py", "import_module('understudy.pipelines.setup')\n", "a higher room"),
    (imports_point_down, "blends/feather.py", "from understudy.losses import mse\n", "in the same row"),
    (imports_point_down, "stream.py", "from understudy.image import warp\n", "in the same row"),
    (
        pipelines_point_down,
        "pipelines/setup.py",
        "import understudy.pipelines.runs.train\n",
        "does not stand",
    ),
    (
        pipelines_point_down,
        "pipelines/runs/train.py",
        "import understudy.pipelines.merging.merge\n",
        "does not stand below",
    ),
    (pipelines_point_down, "pipelines/odd.py", "import understudy.pipelines.setup\n", "has no place in"),
    (imports_make_no_circle, "errors.py", "import understudy.registry\n", "errors → understudy.registry → "),
    (imports_make_no_circle, "blends/__init__.py", "from understudy.blends.feather import F\n", "blends → "),
    (libraries_stay_in_their_room, "losses/mse.py", "import tyro\n", "tyro is imported in config only"),
    (libraries_stay_in_their_room, "losses/mse.py", "import concurrent.futures\n", "in stream only"),
    (libraries_stay_in_their_room, "pipelines/setup.py", "def f():\n    import rich.text\n", "in cli only"),
    (libraries_are_declared, "losses/mse.py", "import pandas\n", "pandas is not among the dependencies"),
    (threads_live_in_stream, "losses/mse.py", "import threading\nthreading.Thread()\n", "threading.Thread"),
    (threads_live_in_stream, "losses/mse.py", "from threading import Event\n", "threading.Event outside"),
    (words_are_light, "errors.py", "import torch\n", "torch is imported where"),
    (words_are_light, "losses/__init__.py", "from cv2 import remap\n", "cv2 is imported where"),
    (nothing_is_pickled, "losses/mse.py", "import pickle\n", "pickle can run a stranger's code"),
    (nothing_is_pickled, "losses/mse.py", "torch.load(p)\n", "torch.load pickles"),
    (nothing_is_pickled, "losses/mse.py", "torch.save(p)\n", "torch.save pickles"),
    (nothing_is_pickled, "losses/mse.py", "numpy.load(p, allow_pickle=True)\n", "allow_pickle"),
    (only_the_command_line_prints, "losses/mse.py", "print('x')\n", "prints outside cli"),
    (only_the_command_line_prints, "losses/mse.py", "sys.stderr.write('x')\n", "prints outside cli"),
    (a_module_has_a_subject, "image/utils.py", "", "a name that says nothing"),
    (a_module_has_a_subject, "image/warp_helpers.py", "", "a name that says nothing"),
    (a_module_has_a_subject, "losses/mse.py", None, "no docstring"),
    (modules_and_functions_stay_short, "losses/mse.py", "x = 1\n" * MODULE_LINES, "401 lines, 400 at most"),
    (modules_and_functions_stay_short, "losses/mse.py", "def f():\n" + "    1\n" * 60, "f has 61 lines, 60"),
]
"""A rule, a file, what stands in it below its docstring (None: without one), and the message."""


def _build(folder: Path, files: dict[str, str]) -> list[Module]:
    for name, text in files.items():
        path = folder / PACKAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return read_package(folder)


def test_sound_package_passes_every_rule(tmp_path: Path) -> None:
    modules = _build(tmp_path, SOUND)
    assert [breach for check in RULES for breach in check(modules)] == []


@pytest.mark.parametrize(("check", "file", "text", "message"), CASES)
def test_rule_can_fail(check: Rule, file: str, text: str | None, message: str, tmp_path: Path) -> None:
    broken = "x = 1\n" if text is None else f'"""A module."""\n{text}'
    breaches = list(check(_build(tmp_path, SOUND | {file: broken})))
    assert len(breaches) == 1, breaches
    assert message in breaches[0]


def test_every_rule_is_proven() -> None:
    assert {case[0] for case in CASES} == set(RULES)


def test_longest_allowed_passes(tmp_path: Path) -> None:
    body = "def f():\n" + "    x = 1\n" * (FUNCTION_LINES - 1)
    longest = '"""Long."""\n' + body + "x = 1\n" * (MODULE_LINES - 1 - FUNCTION_LINES)
    assert not list(modules_and_functions_stay_short(_build(tmp_path, {"losses/mse.py": longest})))
