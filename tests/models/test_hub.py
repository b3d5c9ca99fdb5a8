"""Downloads with the real huggingface_hub client, from a server on this machine in the hub's layout."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import constants, file_download

from tests.helpers.lag_llama_checkpoint import Runs, stand_in
from tests.helpers.local_hub import LocalHub
from workflow_scripts.models.hub import Pin, read_lock, write_pin
from workflow_scripts.models.registry import MODELS, family_class
from workflow_scripts.models.weights import load_variant
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import read_json
from workflow_scripts.runtime.step import run_step
from workflow_scripts.steps import prepare_weights

FIRST, SECOND = "1" * 40, "2" * 40
MODEL = replace(MODELS["moirai-nano"], name="test-model", hub_id="someone/test-model", licence="CC-BY-NC-4.0")
"""A published model as small as an embedded one, without a revision on record."""

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LocalHub]:
    """A hub that serves one commit of one model."""
    monkeypatch.setitem(MODELS, MODEL.name, MODEL)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    # The client waits a second before it goes on with a broken transfer.
    monkeypatch.setattr(file_download.time, "sleep", lambda _seconds: None)
    with LocalHub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        yield server


@pytest.fixture(scope="module")
def served_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    family_class(MODEL.family).create(MODEL.sizes, 1).save(folder)
    (folder / "README.md").write_text("not asked for")
    (folder / "pytorch_model.bin").write_bytes(b"a pickle, never asked for")
    return folder


@pytest.fixture
def served(hub: LocalHub, served_once: Path, tmp_path: Path) -> Path:
    """The folder that the hub serves as FIRST, free to be changed."""
    folder = Path(shutil.copytree(served_once, tmp_path / "served"))
    hub.add("someone/test-model", folder, FIRST)
    return folder


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """The step's command line in an empty project: its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)
    mask = os.umask(0o022)

    def run(model: str = MODEL.name) -> tuple[int, str]:
        arguments = ["prepare_weights", "--model", model, "--source", "hub", "--output", f"weights/{model}"]
        monkeypatch.setattr(sys, "argv", arguments)
        capsys.readouterr()
        try:
            run_step(prepare_weights.prepare_weights, online=True)
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 2
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    yield run
    os.umask(mask)


def digests(folder: Path) -> dict[str, str]:
    names = ("config.json", "model.safetensors")
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}


def nothing_was_written(project: Path) -> bool:
    weights = project / "weights"
    return not (project / "weights.lock.yaml").exists() and not (weights.exists() and any(weights.iterdir()))


def test_the_first_download_pins_the_commit_and_every_file_and_says_so(
    hub: LocalHub, served: Path, command: Command, tmp_path: Path
) -> None:
    code, printed = command()
    assert code == 0
    assert f"commit {FIRST} (what `main` is today: no revision was on record) is pinned" in printed
    assert "CC-BY-NC-4.0: non-commercial use only" in printed
    lock = yaml.safe_load((tmp_path / "weights.lock.yaml").read_text())
    assert lock == {MODEL.name: {"hub_id": MODEL.hub_id, "commit": FIRST, "sha256": digests(served)}}
    output = tmp_path / "weights" / MODEL.name
    record = read_json(output / "provenance.json")
    assert (record["source"], record["commit"], record["sha256"]) == ("hub", FIRST, digests(served))
    assert {path.name for path in output.glob("[!.]*")} == {
        "config.json",
        "model.safetensors",
        "provenance.json",
    }
    assert load_variant(MODEL, output)
    assert not any("README" in path or "bin" in path for _, path, _ in hub.requests)


def test_later_downloads_take_the_pinned_commit_though_main_went_on(
    hub: LocalHub, served: Path, command: Command, tmp_path: Path
) -> None:
    assert command()[0] == 0
    newer = Path(shutil.copytree(served, tmp_path / "newer"))
    family_class(MODEL.family).create(MODEL.sizes, 2).save(newer)
    hub.add("someone/test-model", newer, SECOND)
    shutil.rmtree(tmp_path / "weights")
    before = (tmp_path / "weights.lock.yaml").read_bytes()
    code, printed = command()
    assert code == 0
    assert "pinned" not in printed
    assert read_json(tmp_path / "weights" / MODEL.name / "provenance.json")["sha256"] == digests(served)
    assert (tmp_path / "weights.lock.yaml").read_bytes() == before


@pytest.mark.usefixtures("served")
def test_a_revision_of_the_registry_is_asked_for_and_pinned(
    hub: LocalHub, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("someone/test-model", tmp_path / "never read", SECOND)
    monkeypatch.setitem(MODELS, MODEL.name, replace(MODEL, revision=FIRST))
    code, printed = command()
    assert code == 0
    assert f"commit {FIRST} (the registry's revision) is pinned" in printed
    assert read_lock(tmp_path / "weights.lock.yaml")[MODEL.name].commit == FIRST
    monkeypatch.setitem(MODELS, MODEL.name, replace(MODEL, revision=SECOND))
    code, printed = command()
    assert code == 1
    assert f"commit {FIRST}" in printed
    assert f"commit {SECOND}, as the registry says" in printed


def test_a_cut_connection_is_resumed_where_it_broke(
    hub: LocalHub, served: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The client keeps whole pieces of 10 MB; so small a file needs smaller ones.
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100_000)
    size = (served / "model.safetensors").stat().st_size
    hub.cuts = 3
    assert command()[0] == 0
    asked = [asked for _, path, asked in hub.requests if asked and path.endswith("safetensors")]
    begins = [int(each.removeprefix("bytes=").removesuffix("-")) for each in asked]
    # Half of what is left comes before each cut, in whole pieces.
    assert begins[0] == size // 2 // 100_000 * 100_000
    assert begins == sorted(begins)
    assert digests(tmp_path / "weights" / MODEL.name) == digests(served)


@pytest.mark.usefixtures("hub")
def test_files_that_differ_from_the_lock_are_refused_with_both_hashes(
    served: Path, command: Command, tmp_path: Path
) -> None:
    assert command()[0] == 0
    pinned = digests(served)
    shutil.rmtree(tmp_path / "weights")
    # The same commit, but other bytes, which the hub's own listing confirms.
    family_class(MODEL.family).create(MODEL.sizes, 2).save(served)
    code, printed = command()
    assert code == 1
    assert printed.count("error:") == 1
    assert "file model.safetensors" in printed
    assert f"found:      SHA-256 {digests(served)['model.safetensors']}" in printed
    assert f"expected:   SHA-256 {pinned['model.safetensors']}, as weights.lock.yaml says" in printed
    assert list((tmp_path / "weights").iterdir()) == []


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize(("name", "kind"), [("model.safetensors", "SHA-256"), ("config.json", "git hash")])
def test_bytes_that_differ_from_the_hub_s_own_listing_are_refused(
    name: str, kind: str, hub: LocalHub, command: Command, tmp_path: Path
) -> None:
    hub.spoiled = {name}
    code, printed = command()
    assert code == 1
    assert f"file {name}" in printed
    assert printed.count(kind) == 2
    assert "as the hub's own listing says" in printed
    assert nothing_was_written(tmp_path)


def folder_of(hub: LocalHub) -> Path:
    return hub.repositories["someone/test-model"][FIRST]


def absent_file(hub: LocalHub) -> None:
    (folder_of(hub) / "model.safetensors").unlink()


def hidden_file(hub: LocalHub) -> None:
    hub.hidden = {"model.safetensors"}


def other_model(hub: LocalHub) -> None:
    path = folder_of(hub) / "config.json"
    path.write_text(path.read_text().replace('"num_layers": 2', '"num_layers": 3'))


def another_commit(hub: LocalHub) -> None:
    hub.repositories["someone/test-model"][SECOND] = folder_of(hub)
    hub.answer_with = SECOND


def broken_hub(hub: LocalHub) -> None:
    hub.broken = True


def no_repository(hub: LocalHub) -> None:
    hub.repositories.clear()


def always_cut(hub: LocalHub) -> None:
    hub.cuts = 1_000_000


FAULTS: dict[str, tuple[Callable[[LocalHub], None], str]] = {
    "a file that is not in the repository": (absent_file, "a repository without model.safetensors"),
    "a file that is listed, but not there": (hidden_file, "a file is missing there"),
    "a hub that answers with another commit": (another_commit, f"a hub that answers with commit {SECOND}"),
    "another size": (other_model, "num_layers 3"),
    "a hub that is out of order": (broken_hub, "the download failed (HfHubHTTPError"),
    "a repository that is gone": (no_repository, "the hub does not give out this repository"),
    "a connection that breaks every time": (always_cut, "the download failed ("),
}


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_ends_with_one_message_and_leaves_nothing(
    fault: str, hub: LocalHub, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODELS, MODEL.name, replace(MODEL, revision=FIRST))
    spoil, finding = FAULTS[fault]
    spoil(hub)
    code, printed = command()
    assert code == 1
    assert finding in printed
    assert printed.count("error:") == 1
    assert "Traceback" not in printed
    assert nothing_was_written(tmp_path)


@pytest.mark.usefixtures("hub", "served")
def test_a_revoked_revision_is_named(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODELS, MODEL.name, replace(MODEL, revision=SECOND))
    code, printed = command()
    assert code == 1
    assert f"someone/test-model on the hub, revision {SECOND}" in printed
    assert "no such revision" in printed
    assert nothing_was_written(tmp_path)


@pytest.mark.usefixtures("hub", "served")
def test_no_network_is_said(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Port 9 (discard): nobody listens there.
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    code, printed = command()
    assert code == 1
    assert "the download failed (ConnectError" in printed
    assert nothing_was_written(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    code, printed = command()
    assert code == 1
    assert "HF_HUB_OFFLINE is set" in printed


def test_an_embedded_model_is_not_looked_for_on_the_hub(hub: LocalHub, command: Command) -> None:
    code, printed = command("moirai-nano")
    assert code == 1
    assert "an embedded model, which no hub has" in printed
    assert hub.requests == []


def test_lag_llama_s_checkpoint_is_downloaded_converted_and_pinned_by_its_own_hash(
    hub: LocalHub, command: Command, tmp_path: Path
) -> None:
    folder = tmp_path / "published"
    folder.mkdir()
    torch.save(stand_in(), folder / "lag-llama.ckpt")
    # The hub's repository holds this file too, without a configuration: it is left alone.
    (folder / "model.safetensors").write_bytes(b"never asked for")
    entry = MODELS["lag-llama"]
    hub.add(str(entry.hub_id), folder, str(entry.revision))
    assert command("lag-llama")[0] == 0
    output, digest = tmp_path / "weights/lag-llama", hashlib.sha256((folder / "lag-llama.ckpt").read_bytes())
    record = read_json(output / "provenance.json")
    assert record["checkpoint"] == {"file": "lag-llama.ckpt", "sha256": digest.hexdigest()}
    assert set(record["sha256"]) == {"config.json", "model.safetensors"}
    pin = read_lock(tmp_path / "weights.lock.yaml")["lag-llama"]
    assert pin.sha256 == {"lag-llama.ckpt": digest.hexdigest()}
    assert not (output / "lag-llama.ckpt").exists()
    assert load_variant(entry, output)
    # Again, from the pin.
    assert command("lag-llama")[0] == 0


def test_a_hostile_checkpoint_on_the_hub_is_refused_and_never_runs(
    hub: LocalHub, command: Command, tmp_path: Path
) -> None:
    folder, trace = tmp_path / "published", tmp_path / "trace"
    folder.mkdir()
    content = stand_in()
    content["hyper_parameters"]["loss"] = Runs(os.system, f"touch {trace}")
    torch.save(content, folder / "lag-llama.ckpt")
    entry = MODELS["lag-llama"]
    hub.add(str(entry.hub_id), folder, str(entry.revision))
    code, printed = command("lag-llama")
    assert code == 1
    assert "posix.system" in printed
    assert f"error: the hub's {entry.hub_id}/lag-llama.ckpt" in printed
    assert not trace.exists()
    assert nothing_was_written(tmp_path)


def test_several_processes_pin_at_once_and_no_pin_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "weights.lock.yaml"
    pins = {f"model-{number}": Pin("someone/model", FIRST, {"a": str(number)}) for number in range(16)}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: write_pin(name, pins[name], path), pins))
    assert read_lock(path) == pins
    assert path.read_text().startswith("# What was downloaded")


@pytest.mark.parametrize(
    "text", ["[", "- a", "model: 3", "model: {hub_id: a}", "model: {hub_id: a, commit: short, sha256: {}}"]
)
def test_a_lock_file_that_cannot_be_read_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.lock.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match="not readable as a list of pinned models"):
        read_lock(path)


STEPS = sorted(path for path in Path(prepare_weights.__file__).parent.glob("*.py") if path.stem != "__init__")


def test_every_other_step_keeps_the_hub_s_client_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    online = [path.stem for path in STEPS if "online=True" in path.read_text(encoding="utf-8")]
    assert online == ["prepare_weights"]
    for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "0")
    seen: list[str | None] = []
    mask = os.umask(0o022)
    monkeypatch.setattr(sys, "argv", ["step"])
    with pytest.raises(SystemExit) as ended:
        run_step(lambda: seen.extend(map(os.environ.get, ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"))))
    assert not ended.value.code
    os.umask(mask)
    assert seen == ["1", "1"]


def test_no_step_imports_the_hub_s_client_before_it_is_offline() -> None:
    names = ", ".join(f"workflow_scripts.steps.{path.stem}" for path in STEPS)
    # The client reads its settings once, when it is imported.
    program = f"import sys, {names}; assert 'huggingface_hub' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
