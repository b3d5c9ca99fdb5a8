"""Codes of a MEDS data set that look like vital signs and are not mapped."""

from pathlib import Path
from typing import Annotated

from typer import Option

from workflow_scripts.runtime.step import run_step


def list_unmapped_codes(
    raw: Annotated[Path, Option(help="a MEDS data set: the folder that holds data and metadata")],
    mapping: Annotated[
        str, Option(help="mapping of its codes: mimic-iv, eicu, or a YAML file of your own")
    ] = "mimic-iv",
    json: Annotated[Path | None, Option(help="the list as JSON, also to write")] = None,
    threads: Annotated[int, Option(help="threads of the query engine")] = 2,
) -> None:
    """List the codes of a MEDS data set that look like vital signs and are not mapped, the most frequent first.

    By their words: heart rate, mmHg, SpO2 …, in the code or its description. By their values: distributed like a vital
    sign of adults, and charted at least every 4.5 hours within ICU stays. Codes of fewer than 11 patients or values are
    not listed. Many such codes are rightly unmapped: alarm limits, or pressures of other vessels.

    Example:
        python -m workflow_scripts.steps.list_unmapped_codes --raw data/raw/our-meds --mapping our-mapping.yaml
    """
    import tempfile

    from workflow_scripts.runtime.files import require_own_file, write_json
    from workflow_scripts.runtime.terminal import show, table
    from workflow_scripts.sources.meds.mapping import read_mapping
    from workflow_scripts.sources.meds.reading import open_reading
    from workflow_scripts.sources.meds.unmapped import unmapped_by_values, unmapped_by_words

    if json:
        require_own_file(json, begins='{\n  "unmapped_codes"')
    with (
        tempfile.TemporaryDirectory() as folder,
        open_reading(raw, read_mapping(mapping), Path(folder), threads) as reading,
    ):
        worded = unmapped_by_words(reading)
        names = {code.code for code in worded}
        found = worded + [code for code in unmapped_by_values(reading) if code.code not in names]
    if json:
        write_json(json, {"unmapped_codes": [code.as_json() for code in found]})
    rows = [[code.code, code.looks_like, code.by, f"{code.values:,}", f"{code.patients:,}"] for code in found]
    show(table(["code", "looks like", "by its", "values", "patients"], rows, {3, 4}) if rows else "none")


if __name__ == "__main__":
    run_step(list_unmapped_codes)
