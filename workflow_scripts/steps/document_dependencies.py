"""The page of dependencies."""

from collections import defaultdict
from importlib.metadata import metadata
from pathlib import Path
from typing import Annotated

from typer import Option

from workflow_scripts.models.registry import SCRATCH_VARIANTS, VARIANTS
from workflow_scripts.runtime.files import write_text
from workflow_scripts.runtime.step import run_step

ENVIRONMENTS = Path(__file__).parents[2] / "envs"
PIN_FILES = ("requirements.txt", "constraints.txt", "without_dependencies.txt")

HEADING = """# Dependencies

`envs/requirements.txt` pins what is imported, `envs/constraints.txt` what that needs, and
`envs/without_dependencies.txt` the two packages that are installed without what they declare: {count} packages. The
tables below are made by `python -m workflow_scripts.steps.document_dependencies`; a test fails when they drift from the
installed packages.

## Hashes

`envs/hashes.txt` holds the SHA-256 of every file that the package index has of these pins, torch left out: its build
differs from machine to machine (CPU, CUDA), and so does what it brings. pip accepts nothing else:

<!-- not run: needs a package index -->
```bash
pip install --require-hashes --no-deps --requirement envs/hashes.txt
pip install --requirement envs/requirements.txt --constraint envs/constraints.txt     # torch, and what CUDA needs
```

A test holds the file's packages to the pins. After a change of pins it is written anew, with the tools below:

<!-- not run: needs a package index -->
```bash
grep -hv '^torch==' envs/requirements.txt envs/constraints.txt envs/without_dependencies.txt > pins.in
uv pip compile --no-deps --generate-hashes --universal --python-version 3.11 --no-header --no-annotate \\
    pins.in --output-file envs/hashes.txt
```

## Known vulnerabilities and the bill of materials

The tools stay out of the study's environment; `envs/supply-chain.txt` pins them:

<!-- not run: needs a package index -->
```bash
python3.11 -m venv .venv/tools && .venv/tools/bin/pip install --requirement envs/supply-chain.txt
.venv/tools/bin/pip-audit --no-deps --disable-pip --requirement envs/hashes.txt
.venv/tools/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \\
    --output-file logs/sbom.json .venv/bin/python
```

pip-audit asks the vulnerability service of the package index. A mirror of the index does not have it: pip-audit then
says of each package that it "could not be audited", which is no clean result. That is all it could say where this page
was written. cyclonedx-py writes CycloneDX JSON; nothing of it is kept in git, where it would be out of date.

## Licences of packages

As the packages' own metadata say, in their words; {direct} are named in `requirements.txt` or in
`without_dependencies.txt`: **bold**.
Those under the GPL (grandalf, pygit2 with a linking exception, docutils in parts) come with DVC and Snakemake; no
module of this project imports them.

"""

WEIGHTS = """
## Licences of weights

Of the models that can be used (`docs/models.md`); their code is under Apache-2.0. `provenance.json` beside prepared
weights repeats the licence.

"""


def document_dependencies(
    output: Annotated[Path, Option(help="folder of the page")] = Path("docs"),
) -> None:
    """Write docs/dependencies.md: what is installed, by licence, and how it is checked.

    Example:
        python -m workflow_scripts.steps.document_dependencies
    """
    write_text(output / "dependencies.md", dependencies_page())


def dependencies_page() -> str:
    """The page, in Markdown."""
    direct = pins("requirements.txt") | pins("without_dependencies.txt")
    pinned = {package for name in PIN_FILES for package in pins(name)}
    heading = HEADING.format(count=len(pinned), direct=len(direct))
    return heading + _packages(sorted(pinned, key=str.lower), set(direct)) + WEIGHTS + _weights()


def pins(name: str) -> dict[str, str]:
    """Package -> version, of a file of `envs/`."""
    lines = (ENVIRONMENTS / name).read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {package: version for package, version in pairs}


def licence_of(package: str) -> str:
    """The licence that an installed package declares: as an expression, else in its classifiers, else in words."""
    declared = metadata(package)
    expression = next(iter(declared.get_all("License-Expression") or []), "")
    classifiers = declared.get_all("Classifier") or []
    named = [line.split(" :: ")[-1] for line in classifiers if line.startswith("License :: ")]
    words = "".join(declared.get_all("License") or []).strip().splitlines()
    if expression or [name for name in named if name != "OSI Approved"]:
        return expression or ", ".join(named)
    return words[0] if words and len(words[0]) <= 60 else "not declared in its metadata"


def _packages(names: list[str], direct: set[str]) -> str:
    by_licence = defaultdict(list)
    for name in names:
        by_licence[licence_of(name)].append(f"**{name}**" if name in direct else name)
    rows = [
        f"| {licence} | {', '.join(by_licence[licence])} |" for licence in sorted(by_licence, key=str.lower)
    ]
    return "\n".join(["| licence | packages |", "|---|---|", *rows]) + "\n"


def _weights() -> str:
    facts = sorted(
        {
            (entry.family, entry.licence, entry.restriction or "none")
            for entry in [*VARIANTS.values(), *SCRATCH_VARIANTS.values()]
        }
    )
    rows = [f"| {family} | {licence} | {restriction} |" for family, licence, restriction in facts]
    return "\n".join(["| family | licence | restriction |", "|---|---|---|", *rows]) + "\n"


if __name__ == "__main__":
    run_step(document_dependencies)
