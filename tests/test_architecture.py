"""The rules that keep the layers apart, checked on the sources themselves."""

import ast
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import tomllib

ROOT = Path(__file__).resolve().parent.parent
# A layer imports from its own folder and from those named here, never upward.
ALLOWED = {
    "": {"core", "nodes"},  # __init__.py, which names things for lazy import
    "cli": {"", "commands", "core"},
    "commands": {"core", "nodes", "training"},
    "nodes": {"core", "kernels"},
    "training": {"core", "kernels"},
    "core": {"kernels"},
    "kernels": set(),
}
LAYERS = ("kernels", "core", "training", "nodes", "commands")
HEAVY = ("torch", "comfy", "comfy_api", "folder_paths", "numpy", "PIL", "pydantic", "safetensors")
LINES = 600


def sources(*, tests: bool = False) -> list[Path]:
    files = [ROOT / "__init__.py", ROOT / "cli.py"]
    for folder in LAYERS + (("tests",) if tests else ()):
        files += sorted((ROOT / folder).rglob("*.py"))
    return files


def layer_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return "" if parts == ("__init__",) else parts[0]


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def imports(file: Path) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of every import; ours begin with "ganvas"."""
    package = ("ganvas", *file.relative_to(ROOT).parts[:-1])
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            prefix = [*base, *([node.module] if node.module else [])]
            yield from ((node.lineno, ".".join([*prefix, alias.name])) for alias in node.names)


def where(file: Path, line: int, what: str) -> str:
    return f"{file.relative_to(ROOT)}:{line}: {what}"


def test_every_layer_has_sources():
    assert {layer_of(file) for file in sources()} == set(ALLOWED)


def test_no_layer_imports_upward():
    breaches = []
    for file in sources():
        own = layer_of(file)
        for line, name in imports(file):
            parts = name.split(".")
            if parts[0] != "ganvas":
                continue
            target = parts[1] if len(parts) > 1 and parts[1] in ALLOWED else ""
            if target != own and target not in ALLOWED[own]:
                breaches.append(where(file, line, f"{own or 'root'} imports {name}"))
    assert not breaches


def test_imports_inside_the_package_are_relative():
    """ComfyUI loads the pack under another name; a bare `import nodes` is a file of its own."""
    breaches = []
    for file in sources():
        for node in ast.walk(tree(file)):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            breaches += [
                where(file, node.lineno, name)
                for name in names
                if name.split(".")[0] in ("ganvas", "cli", *LAYERS)
            ]
    assert not breaches


def test_triton_stays_in_the_kernels_and_comfyui_in_its_adapter():
    breaches = []
    for file in sources():
        path = file.relative_to(ROOT).as_posix()
        for line, name in imports(file):
            root = name.split(".")[0]
            if root == "triton" and layer_of(file) != "kernels":
                breaches.append(where(file, line, name))
            if (root.startswith("comfy") or root == "folder_paths") and (
                path != "nodes/comfy_adapter.py"
            ):
                breaches.append(where(file, line, name))
    assert not breaches


def test_every_subpackage_is_listed_for_installation():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = settings["tool"]["setuptools"]["packages"]
    found = {"ganvas"}
    for folder in LAYERS:
        for file in (ROOT / folder).rglob("*.py"):
            found.add(".".join(["ganvas", *file.relative_to(ROOT).parts[:-1]]))
    assert sorted(listed) == sorted(found)
    for name in listed:
        folder = ROOT.joinpath(*name.split(".")[1:])
        assert (folder / "__init__.py").is_file(), f"{name} needs an __init__.py"


def test_the_version_is_the_same_everywhere():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    import ganvas

    assert ganvas.__version__ == settings["project"]["version"]
    assert f"## {ganvas.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("file", sources(tests=True), ids=lambda f: f.relative_to(ROOT).as_posix())
def test_files_are_short_enough_to_read(file):
    assert len(file.read_text(encoding="utf-8").splitlines()) <= LINES


def test_no_exception_is_swallowed_and_no_check_silenced():
    breaches = []
    for file in sources(tests=True):
        if file == Path(__file__).resolve():
            continue
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.ExceptHandler) and node.type is None:
                breaches.append(where(file, node.lineno, "bare except"))
        for line, text in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            if "# noqa" in text or "# type: ignore" in text:
                breaches.append(where(file, line, text.strip()))
    assert not breaches


def test_importing_the_package_is_quick_and_loads_nothing_heavy(tmp_path):
    (tmp_path / "ganvas").symlink_to(ROOT, target_is_directory=True)
    script = f"""
        import sys, time
        sys.path.insert(0, {str(tmp_path)!r})
        start = time.process_time()
        import ganvas
        spent = time.process_time() - start
        assert ganvas.__file__.startswith({str(tmp_path)!r}), ganvas.__file__
        heavy = sorted(set(sys.modules) & set({HEAVY!r}))
        assert not heavy, heavy
        assert spent < 0.2, spent
        import ganvas.cli
        heavy = sorted(set(sys.modules) & set({HEAVY!r}))
        assert not heavy, ("cli", heavy)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_comfyui_can_load_the_checkout_under_its_own_name(tmp_path):
    """ComfyUI names the module by its path, dots replaced, and looks for the entry point."""
    script = f"""
        import importlib.util, inspect, sys
        name = "/custom_nodes/ganvas_x_dot_y"
        spec = importlib.util.spec_from_file_location(
            name, {str(ROOT / "__init__.py")!r}, submodule_search_locations=[{str(ROOT)!r}]
        )
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        assert inspect.iscoroutinefunction(module.comfy_entrypoint)
        assert not hasattr(module, "NODE_CLASS_MAPPINGS")
        assert module.load.__module__.startswith(name), module.load.__module__
        assert not [m for m in sys.modules if m == "ganvas" or m.startswith("ganvas.")]
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
