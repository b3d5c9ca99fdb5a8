"""Dry runs of real Snakemake in a finished study, each after an edit that is taken back: a second each.

Also a program: one process imports Snakemake and forks for every dry run.
"""

import json
import os
import re
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

Edits = dict[str, str | None]
"""Path in the project -> its text; None: the file is missing."""

GROUPING = {"all", "total"}


def planned_jobs(text: str) -> dict[str, int]:
    """How many jobs of each rule a dry run would run, from what it printed."""
    assert "Job stats:" in text or "Nothing to be done" in text, text
    table = text.partition("Job stats:")[2].partition("\n\n")[0]
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", table, flags=re.MULTILINE))
    return {rule: int(count) for rule, count in jobs.items() if rule not in GROUPING}


def plans(folder: Path, edits: list[Edits], *options: str) -> list[dict[str, int]]:
    """The jobs that Snakemake would run after each of the edits, from the same finished study every time."""
    from tests.helpers.projects import run_in  # not at the top: the program runs where there is no `tests`

    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as request:
        json.dump({"edits": edits, "options": options}, request)
        request.flush()
        done = run_in(folder, sys.executable, __file__, request.name, VITALORA_WARM="0")
    return [planned_jobs(text) for text in json.loads(done.stdout)]


@dataclass(frozen=True)
class Declared:
    """What one settings file is made of. code: modules and data files; groups: of params.yaml."""

    step: str
    code: tuple[str, ...]
    groups: tuple[str, ...]


def declared_settings(folder: Path, *targets: str) -> dict[str, Declared]:
    """What the rules ask to be written into every settings file: by the path of the file."""
    from tests.helpers.projects import run_in

    done = run_in(folder, sys.executable, "-c", _NOTE_SETTINGS, *targets, VITALORA_WARM="0")
    noted: list[tuple[str, list[str], list[str]]] = json.loads(done.stdout.splitlines()[-1])
    return {
        path: Declared(code[0].rpartition(".")[2], tuple(_within(folder, code)), tuple(groups))
        for path, code, groups in noted
    }


def _within(folder: Path, code: list[str]) -> list[str]:
    return [str(Path(name).relative_to(folder)) if name.startswith("/") else name for name in code]


_NOTE_SETTINGS = """
import json, sys
sys.path.insert(0, "")
from workflow_scripts import settings
write, noted = settings.write_step_settings, []
def note(study, groups, code, path, extra=None):
    noted.append((str(path), code, groups))
    write(study, groups, code, path, extra)
settings.write_step_settings = note
import snakemake.cli
try:
    snakemake.cli.main(["-n", "--quiet", "all", "--cores", "2", "--", *sys.argv[1:]])
except SystemExit as ended:
    assert not ended.code, ended.code
print()
print(json.dumps(noted))
"""


def _main() -> None:
    import snakemake.cli  # noqa: F401  (once, before the forks: it takes most of a dry run)

    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    texts = []
    for edits in request["edits"]:
        before = _state(edits)
        for name, text in edits.items():
            _write(Path(name), None if text is None else text.encode())
        texts.append(_forked_dry_run(request["options"]))
        _restore(before)
    print(json.dumps(texts))


def _forked_dry_run(options: list[str]) -> str:
    import snakemake.cli

    with tempfile.TemporaryFile("w+") as output:
        process = os.fork()
        if process == 0:
            try:
                with redirect_stdout(output), redirect_stderr(output):
                    snakemake.cli.main(["-n", "--cores", "2", *options])
            finally:
                output.flush()
                os._exit(0)
        os.waitpid(process, 0)
        output.seek(0)
        return output.read()


def _state(edits: Edits) -> dict[Path, tuple[bytes | None, int]]:
    """Contents and times of the files that an edit or a dry run writes: settings of steps."""
    paths = {
        *map(Path, edits),
        *(path for top in ("data", "results", "weights") for path in Path(top).rglob("settings/*")),
    }
    return {
        path: (path.read_bytes(), path.stat().st_mtime_ns) if path.exists() else (None, 0) for path in paths
    }


def _restore(before: dict[Path, tuple[bytes | None, int]]) -> None:
    for path in _state({}).keys() - before.keys():
        path.unlink()
    for path, (content, modified) in before.items():
        _write(path, content)
        if content is not None:
            os.utime(path, ns=(modified, modified))


def _write(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink(missing_ok=True)
    else:
        path.write_bytes(content)


if __name__ == "__main__":
    _main()
