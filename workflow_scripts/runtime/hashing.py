"""SHA-256 of files, folders and of the code that a step's result depends on."""

import ast
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import resolve_name
from pathlib import Path

from workflow_scripts.runtime.errors import UserError

PACKAGE = Path(__file__).resolve().parents[1]


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as hexadecimal text."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def folder_hash(path: Path, patterns: Sequence[str] = ("**/[!.]*",)) -> str:
    """Return the SHA-256 over relative names and contents of a folder's files that match the glob patterns.

    Does not depend on the order of the file system, on times or on modes. Symbolic links count as what they
    point to. Hidden files count only where a pattern says so: Snakemake leaves one in every folder that a job makes.

    Raises:
        UserError: the folder is missing, or no file in it matches.
    """
    files = {found for pattern in patterns for found in path.glob(pattern) if found.is_file()}
    if not files:
        raise UserError(
            str(path),
            "no file" if path.is_dir() else "no such folder",
            f"a folder with files like {', '.join(patterns)}",
            "make the step run that writes this folder, or correct the path",
        )
    names = sorted((found.relative_to(path).as_posix(), found) for found in files)
    return _combined(f"{name}\0{file_hash(found)}" for name, found in names)


def code_hash(roots: Sequence[str], package: Path = PACKAGE, ignored: Sequence[str] = ()) -> str:
    """Return the SHA-256 of the code and data files that a step's result depends on.

    Each root is a module name (`workflow_scripts.steps.run_arm`) or a data file's path (SQL, YAML; relative to
    the repository). Every static import of a module of the package is followed, inside functions too; imports
    under `if TYPE_CHECKING` are not, and neither are modules that are imported by a computed name: give those
    as roots of their own. A package that imports pkgutil counts with all of its modules. Comments, docstrings,
    formatting and the kind of line ends (LF, CRLF) change nothing. Nothing is imported.

    Args:
        roots: module names and data files, in any order.
        package: the package's folder; its name is the first part of every module name.
        ignored: modules and packages on which no result depends; neither they nor what they import counts.

    Raises:
        UserError: a root, or a module that the code imports, does not exist.
    """
    modules = {root for root in roots if root.partition(".")[0] == package.name and "/" not in root}
    files = {_data_file(root, package) for root in set(roots) - modules}
    digests = module_digests(modules, package, ignored)
    parts = [f"module {name}\0{digest}" for name, digest in digests.items()]
    # Only the part of the path within the repository counts, so that every clone has the same hash.
    parts += [f"file {path.relative_to(package.parent).as_posix()}\0{_text_hash(path)}" for path in files]
    return _combined(sorted(parts))


def _combined(parts: Iterator[str] | list[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _text_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


def _data_file(name: str, package: Path) -> Path:
    path = (package.parent / name).resolve()
    if not path.is_file() or not path.is_relative_to(package.parent):
        raise UserError(
            f"code hash of {name}",
            "no such file in the repository",
            f"a module name that starts with {package.name}., or a file below {package.parent}",
            "correct the name in the rule",
        )
    return path


def module_digests(roots: set[str], package: Path = PACKAGE, ignored: Sequence[str] = ()) -> dict[str, str]:
    """Return the digest of every module that the roots import, directly or not, and of their packages.

    Arguments and errors are those of `code_hash`.
    """
    digests: dict[str, str] = {}
    pending = list(roots)
    while pending:
        name = pending.pop()
        if name in digests or any(f"{name}.".startswith(f"{one}.") for one in ignored):
            continue
        source = _source(name, package)
        if source is None:
            raise UserError(
                f"code hash of module {name}",
                "no such module",
                f"a module below {package}",
                "correct the name in the rule, or the import",
            )
        status = source.stat()
        module = _read_module(name, source, package, status.st_mtime_ns, status.st_size)
        digests[name] = module.digest
        # Importing a module runs the packages around it as well.
        if "." in name:
            pending.append(name.rpartition(".")[0])
        pending += module.imports
    return digests


def _source(name: str, package: Path) -> Path | None:
    """Return the file of a module of the package, or None where there is none."""
    first, *rest = name.split(".")
    if first != package.name:
        return None
    path = package.joinpath(*rest)
    if rest and path.with_suffix(".py").is_file():
        return path.with_suffix(".py")
    return path / "__init__.py" if (path / "__init__.py").is_file() else None


@dataclass(frozen=True)
class _Module:
    """A module that was read: the digest of its meaning, and the modules of the package that it imports."""

    digest: str
    imports: tuple[str, ...]


@lru_cache(maxsize=4096)
def _read_module(name: str, source: Path, package: Path, modified_ns: int, size: int) -> _Module:  # noqa: ARG001
    """Read a module; its time and size tell whether what was read before still holds."""
    tree = ast.parse(source.read_bytes())
    statements = _strip(tree)
    parts: list[str] = []
    _describe(tree, parts)
    imports = (found for statement in statements for found in _imported(statement, name, source, package))
    return _Module(_combined(parts), tuple(dict.fromkeys(imports)))


def _strip(tree: ast.Module) -> list[ast.Import | ast.ImportFrom]:
    """Remove docstrings and type-checking blocks in place; return the import statements that are left."""
    imports: list[ast.Import | ast.ImportFrom] = []
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports.append(node)
            continue
        body = getattr(node, "body", None)
        if isinstance(body, list):
            # Every text that stands alone as a statement does nothing, attribute docstrings included.
            node.body = [child for child in body if not _is_text(child)]  # type: ignore[attr-defined]
        if isinstance(node, ast.If) and _is_type_checking(node.test):
            node.body = []
        pending += (child for child in ast.iter_child_nodes(node) if isinstance(child, _BLOCKS))
    return imports


def _describe(value: object, parts: list[str]) -> None:
    """Append a text form of a syntax tree without positions; twice as fast as `ast.dump`."""
    if isinstance(value, ast.AST):
        parts.append(type(value).__name__)
        for field in value._fields:
            _describe(getattr(value, field, None), parts)
    elif isinstance(value, list):
        parts.append("[")
        for item in value:
            _describe(item, parts)
        parts.append("]")
    else:
        parts.append(repr(value))


_BLOCKS = (ast.stmt, ast.excepthandler, ast.match_case)


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def _imported(statement: ast.Import | ast.ImportFrom, module: str, source: Path, package: Path) -> list[str]:
    """Return the modules of the package that an import statement of `module` runs."""
    if isinstance(statement, ast.Import):
        names = [alias.name for alias in statement.names]
        if "pkgutil" in names and source.name == "__init__.py":
            # Such a package imports whatever modules are in its folder.
            names += [f"{module}.{path.stem}" for path in source.parent.glob("*.py") if path != source]
        return [name for name in names if name.partition(".")[0] == package.name]
    parent = module if source.name == "__init__.py" else module.rpartition(".")[0]
    base = resolve_name("." * statement.level + (statement.module or ""), parent)
    if base.partition(".")[0] != package.name:
        return []
    candidates = [f"{base}.{alias.name}" for alias in statement.names]
    return [base, *(name for name in candidates if _source(name, package))]
