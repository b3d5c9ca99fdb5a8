"""Hashes of files, folders and code. Expected SHA-256 values come from coreutils' sha256sum."""

import subprocess
import sys
from pathlib import Path

import pytest

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.hashing import (
    code_hash,
    file_hash,
    folder_hash,
    module_digests,
)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """train_arm → training.loop → runtime.files (inside a function); report → nothing."""
    folder = tmp_path / "workflow_scripts"
    files = {
        "__init__.py": '"""The package."""\n',
        "train_arm.py": (
            '"""Train."""\nfrom workflow_scripts.training import loop\n\n\ndef main() -> None:\n'
            '    """Run."""\n    loop.run(1)\n'
        ),
        "report.py": "def draw() -> int:\n    return 1\n",
        "training/__init__.py": "",
        "training/loop.py": (
            "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n"
            "    from workflow_scripts.report import draw\n\n\n"
            "def run(steps: int) -> int:\n    from ..runtime.files import write\n\n    # a comment\n"
            "    return write(steps)\n"
        ),
        "runtime/__init__.py": "",
        "runtime/files.py": "def write(value: int) -> int:\n    return value + 1\n",
        "cohorts/angus.sql": "SELECT 1\n",
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def _edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def test_a_file_hash_equals_sha256sum(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(bytes(range(256)) * 5000)
    expected = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout.split()[
        0
    ]
    assert file_hash(path) == expected


def test_a_folder_hash_depends_on_names_and_contents_only(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, names in ((first, ("a.json", "b.json")), (second, ("b.json", "a.json"))):
        folder.mkdir()
        for name in names:
            (folder / name).write_text(name)
    assert folder_hash(first) == folder_hash(second)
    (second / "notes.txt").write_text("")
    assert folder_hash(first, ("*.json",)) == folder_hash(second, ("*.json",))
    assert folder_hash(first) != folder_hash(second)
    (second / "notes.txt").unlink()
    (second / "a.json").rename(second / "c.json")
    assert folder_hash(first) != folder_hash(second)


def test_what_snakemake_leaves_in_a_folder_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "adapter.json").write_text("{}")
    before = folder_hash(tmp_path)
    (tmp_path / ".snakemake_timestamp").touch()
    assert folder_hash(tmp_path) == before
    assert folder_hash(tmp_path, ("**/*",)) != before


def test_an_empty_or_missing_folder_has_no_hash(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        folder_hash(tmp_path / "missing")
    with pytest.raises(UserError, match="no file"):
        folder_hash(tmp_path, ("*.safetensors",))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# a comment", "# another, longer comment"),
        ("    return write(steps)", "    return write(\n        steps,\n    )"),
        ("def run(steps: int) -> int:\n", 'def run(steps: int) -> int:\n    """Say what it does."""\n'),
        ("    from workflow_scripts.report import draw\n", "    from workflow_scripts.report import other\n"),
    ],
    ids=["comment", "formatting", "docstring", "type-checking import"],
)
def test_an_edit_without_meaning_keeps_the_hash(package: Path, before: str, after: str) -> None:
    original = code_hash(["workflow_scripts.train_arm"], package)
    _edit(package / "training" / "loop.py", before, after)
    assert code_hash(["workflow_scripts.train_arm"], package) == original


@pytest.mark.parametrize(
    ("edited", "before", "after"),
    [
        ("train_arm.py", "loop.run(1)", "loop.run(2)"),
        ("training/loop.py", "write(steps)", "write(steps + 1)"),
        ("runtime/files.py", "value + 1", "value + 2"),
        ("training/__init__.py", "", "SIDE_EFFECT = 1\n"),
    ],
)
def test_an_edit_of_code_changes_the_hash_of_its_dependants_only(
    package: Path, edited: str, before: str, after: str
) -> None:
    train, report = (code_hash([f"workflow_scripts.{name}"], package) for name in ("train_arm", "report"))
    _edit(package / edited, before, after)
    assert code_hash(["workflow_scripts.train_arm"], package) != train
    assert code_hash(["workflow_scripts.report"], package) == report


def test_a_module_under_type_checking_is_no_dependency(package: Path) -> None:
    train = code_hash(["workflow_scripts.train_arm"], package)
    _edit(package / "report.py", "return 1", "return 2")
    assert code_hash(["workflow_scripts.train_arm"], package) == train


def test_an_ignored_module_is_no_dependency_and_neither_is_what_it_alone_imports(package: Path) -> None:
    root, ignored = ["workflow_scripts.train_arm"], ["workflow_scripts.training.loop"]
    original = code_hash(root, package, ignored)
    for name in ("training/loop.py", "runtime/files.py"):
        (package / name).write_text("EDITED = 1\n")
        assert code_hash(root, package, ignored) == original
    (package / "training/__init__.py").write_text("EDITED = 1\n")
    assert code_hash(root, package, ignored) != original


def test_a_package_that_finds_its_modules_by_itself_counts_with_all_of_them(package: Path) -> None:
    (package / "training/__init__.py").write_text("import pkgutil\n")
    (package / "training/found.py").write_text("VALUE = 1\n")
    original = code_hash(["workflow_scripts.train_arm"], package)
    (package / "training/found.py").write_text("VALUE = 2\n")
    assert code_hash(["workflow_scripts.train_arm"], package) != original


def test_a_clone_with_other_line_ends_has_the_same_hash(package: Path) -> None:
    """Git for Windows writes CRLF into text files where core.autocrlf says so."""
    roots = ["workflow_scripts.train_arm", "workflow_scripts/cohorts/angus.sql"]
    (package / "runtime/files.py").write_text(
        'TEXT = """two\nlines"""\n\n\ndef write(value):\n    return value\n'
    )
    (package / "cohorts/angus.sql").write_text("SELECT 1,\n    2\n")
    original = code_hash(roots, package)
    for path in (path for path in package.rglob("*") if path.is_file()):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert code_hash(roots, package) == original


def test_every_edit_of_a_data_file_counts(package: Path) -> None:
    roots = ["workflow_scripts.report", "workflow_scripts/cohorts/angus.sql"]
    original = code_hash(roots, package)
    assert code_hash([str(package / "cohorts" / "angus.sql"), roots[0]], package) == original
    _edit(package / "cohorts" / "angus.sql", "SELECT 1", "SELECT 2")
    assert code_hash(roots, package) != original


@pytest.mark.parametrize("root", ["workflow_scripts.missing", "workflow_scripts/missing.sql", "json"])
def test_an_unknown_root_is_refused(package: Path, root: str) -> None:
    with pytest.raises(UserError, match="no such"):
        code_hash([root], package)


def test_an_import_of_a_missing_module_is_refused(package: Path) -> None:
    _edit(package / "report.py", "def draw", "from workflow_scripts.gone import x\n\n\ndef draw")
    with pytest.raises(UserError, match=r"workflow_scripts\.gone"):
        code_hash(["workflow_scripts.report"], package)


def test_static_imports_cover_what_python_really_loads() -> None:
    """The expected set is what the interpreter has in sys.modules after importing the module."""
    root = "workflow_scripts.training.parameters"
    program = (
        f"import sys, {root}; print(*(name for name in sys.modules if name.startswith('workflow_scripts')))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert set(loaded.split()) == set(module_digests({root}))


def test_nothing_is_imported(package: Path) -> None:
    _edit(package / "runtime" / "files.py", "def write", "raise RuntimeError\n\n\ndef write")
    assert len(code_hash(["workflow_scripts.train_arm"], package)) == 64
