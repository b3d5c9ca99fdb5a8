"""Stands in for a Kubernetes cluster: the part of its API that Snakemake's executor uses, pods as local processes.

A job is checked against Kubernetes' own schema and against the rules that its API server adds for GPUs; then its
command runs as in a pod: in an empty folder, with no more variables than an image has and the job names. A volume is
there already, so it has to be mounted where it lies. What no image, node or scheduler does here is not tested.
"""

import base64
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

VERSION = "1.32"
GPU = "nvidia.com/gpu"
LOST = 137
"""Exit code of a container that was killed."""
JOB_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class Cluster:
    """What was asked of the cluster.

    Attributes:
        jobs: what was submitted, by name, in its order.
        secrets: all that were ever made.
        removed: names of the jobs and secrets that were removed.
        refused: why jobs were refused.
        used: verbs of role-based access control, each with its resource.
    """

    def __init__(self, folder: Path, image: dict[str, str], lose_first_gpu_pod: bool) -> None:
        self.folder = folder
        self.image = image
        self.jobs: dict[str, dict[str, Any]] = {}
        self.secrets: dict[str, dict[str, str]] = {}
        self.removed: list[str] = []
        self.refused: list[str] = []
        self.used: set[tuple[str, str]] = set()
        self._lose = lose_first_gpu_pod
        self._pods: dict[str, subprocess.Popen[bytes] | None] = {}
        self._lock = threading.Lock()

    def create_job(self, body: dict[str, Any]) -> None:
        """Accept a job and start its pod."""
        try:
            check(body)
        except Exception as error:
            self.refused.append(str(error))
            raise
        name = body["metadata"]["name"]
        with self._lock:
            self.jobs[name] = body
            lost, self._lose = self._lose and bool(gpus(body)), self._lose and not gpus(body)
        self._pods[name] = None if lost else self._start(name, body)

    def exit_code(self, name: str) -> int | None:
        """How a job's pod ended; None while it runs."""
        pod = self._pods[name]
        return LOST if pod is None else pod.poll()

    def log(self, name: str) -> str:
        path = self.folder / name / "log"
        return path.read_text() if path.exists() else "the node was lost"

    def stop(self) -> None:
        """End what still runs."""
        for pod in self._pods.values():
            if pod is not None and pod.poll() is None:
                pod.kill()

    def _start(self, name: str, body: dict[str, Any]) -> subprocess.Popen[bytes]:
        (container,) = body["spec"]["template"]["spec"]["containers"]
        for mount in container["volumeMounts"]:
            assert mount["name"] == "workdir" or Path(mount["mountPath"]).is_dir(), mount
        pod = self.folder / name
        (pod / "workdir").mkdir(parents=True)
        variables = {
            entry["name"]: self._secret(entry["valueFrom"]["secretKeyRef"])
            for entry in container.get("env", [])
        }
        if gpus(body):
            variables["VITALORA_DEVICES"] = ",".join(map(str, range(gpus(body))))
        with (pod / "log").open("wb") as log:
            return subprocess.Popen(
                [*container["command"], *container["args"]],
                cwd=pod / "workdir",
                env=self.image | variables | {"HOME": str(pod)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _secret(self, reference: dict[str, str]) -> str:
        return base64.b64decode(self.secrets[reference["name"]][reference["key"]]).decode()


def gpus(body: dict[str, Any]) -> int:
    """How many GPUs a job gets."""
    (container,) = body["spec"]["template"]["spec"]["containers"]
    return int(container["resources"].get("limits", {}).get(GPU, 0))


def check(body: dict[str, Any]) -> None:
    """Raise where Kubernetes would refuse a job."""
    check_schema({"apiVersion": "batch/v1", "kind": "Job", **body})
    if not JOB_NAME.fullmatch(body["metadata"]["name"]):
        raise ValueError("the name of a job is a DNS label")
    (container,) = body["spec"]["template"]["spec"]["containers"]
    resources = container["resources"]
    # GPUs cannot be overcommitted: kubernetes.io/docs/tasks/manage-gpus/scheduling-gpus
    if resources["requests"].get(GPU) != resources.get("limits", {}).get(GPU):
        raise ValueError("GPUs need a limit that equals the request")


def check_schema(body: dict[str, Any]) -> None:
    """Raise where an object is not what Kubernetes' schema says; unknown fields included."""
    import kubernetes_validate

    kubernetes_validate.validate(body, VERSION, strict=True)


class _Api(BaseHTTPRequestHandler):
    cluster: Cluster

    def do_POST(self) -> None:
        self._note("create")
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("/secrets"):
            self.cluster.secrets[body["metadata"]["name"]] = body.get("data", {})
        else:
            try:
                self.cluster.create_job(body)
            except Exception as error:
                self._answer({"kind": "Status", "status": "Failure", "message": str(error)}, 422)
                return
        self._answer(body, 201)

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        words = parts.path.split("/")
        self._note("list" if words[-1] == "pods" else "get")
        if words[-1] == "log":
            self._send(self.cluster.log(words[-2]).encode(), 200, "text/plain")
        elif words[-1] == "pods":
            name = parse_qs(parts.query)["labelSelector"][0].removeprefix("job-name=")
            self._answer({"apiVersion": "v1", "kind": "PodList", "items": [self._pod(name)]})
        else:
            code = self.cluster.exit_code(words[-2])
            status = {"active": 1} if code is None else {"failed": 1} if code else {"succeeded": 1}
            self._answer({**self.cluster.jobs[words[-2]], "status": status})

    def do_DELETE(self) -> None:
        self._note("delete")
        if "/pods/" not in self.path:
            self.cluster.removed.append(urlsplit(self.path).path.rpartition("/")[2])
        self._answer({"kind": "Status", "status": "Success"})

    def _note(self, verb: str) -> None:
        """…/namespaces/<namespace>/<resource>[/<name>[/<subresource>]]"""
        resource, *rest = urlsplit(self.path).path.partition("/namespaces/")[2].split("/")[1:]
        self.cluster.used.add((verb, "/".join([resource, *rest[1:]])))

    def _pod(self, name: str) -> dict[str, Any]:
        code = self.cluster.exit_code(name)
        state = {"running": {}} if code is None else {"terminated": {"exitCode": code}}
        container = {
            **{"name": "snakemake", "image": "", "imageID": "", "ready": code is None, "restartCount": 0},
            "state": state,
        }
        return {"metadata": {"name": name}, "status": {"containerStatuses": [container]}}

    def _answer(self, body: dict[str, Any], code: int = 200) -> None:
        self._send(json.dumps(body).encode(), code, "application/json")

    def _send(self, body: bytes, code: int, kind: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def stand_in(folder: Path, image: dict[str, str], lose_first_gpu_pod: bool) -> Iterator[Cluster]:
    """A cluster for as long as the block lasts; its kubeconfig is `config` in the folder.

    image: the variables that a pod's image sets. lose_first_gpu_pod: the first one is lost with its node.
    """
    cluster = Cluster(folder, image, lose_first_gpu_pod)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Api", (_Api,), {"cluster": cluster}))
    address = f"http://127.0.0.1:{server.server_address[1]}"
    (folder / "config").write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "stand-in", "cluster": {"server": address}}],
                "users": [{"name": "test", "user": {}}],
                "contexts": [{"name": "test", "context": {"cluster": "stand-in", "user": "test"}}],
                "current-context": "test",
            }
        )
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield cluster
    finally:
        cluster.stop()
        server.shutdown()
        server.server_close()


def install(folder: Path, *requirements: Path) -> str:
    """Install pinned packages into a folder; return why that cannot be, else nothing."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--target", str(folder)]
    for path in requirements:
        command += ["--requirement", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"pip could not install: {done.stderr.strip().splitlines()[-1:]}" if done.returncode else ""
