"""A model hub on 127.0.0.1 that serves folders in the layout of the real one, and its faults on demand."""

import hashlib
import json
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Self
from urllib.parse import unquote, urlsplit


@dataclass
class LocalHub:
    """Repositories by id: commit -> folder. `main` is the commit that was added last.

    The addresses and headers are those that huggingface_hub asks for and reads: /api/models/<id>/revision/<revision>
    for the commit, /api/models/<id>/tree/<commit> for the list of files, /<id>/resolve/<commit>/<file> for each.
    """

    repositories: dict[str, dict[str, Path]] = field(default_factory=dict)
    spoiled: set[str] = field(default_factory=set)
    """Files whose last byte is sent wrong."""
    hidden: set[str] = field(default_factory=set)
    """Files that are listed but not there."""
    cuts: int = 0
    """How many more connections break off in the middle of a large file."""
    answer_with: str | None = None
    """The commit that the list of files names, whatever was asked for."""
    broken: bool = False
    """Whether every request ends with an internal error."""
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    """Method, path and asked range of every request."""

    def __enter__(self) -> Self:
        hub = self

        class Handler(_Handler):
            state = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        """What HF_ENDPOINT should be."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def add(self, name: str, folder: Path, commit: str) -> None:
        """Serve a folder as a commit of a repository."""
        self.repositories.setdefault(name, {})[commit] = folder

    def commit(self, name: str, revision: str) -> str | None:
        """The commit that a revision is."""
        commits = self.repositories.get(name, {})
        return (
            list(commits)[-1] if revision == "main" and commits else revision if revision in commits else None
        )


class _Handler(BaseHTTPRequestHandler):
    state: LocalHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments: object) -> None:
        """Print nothing."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        self.state.requests.append((self.command, path, self.headers.get("Range")))
        parts = path.split("/")
        if self.state.broken:
            self._send(500, b"broken")
        elif parts[:2] == ["api", "models"] and parts[4:5] in (["revision"], ["tree"]):
            self._describe("/".join(parts[2:4]), parts[4], "/".join(parts[5:]))
        elif parts[2:3] == ["resolve"]:
            self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        else:
            self._send(404, b"", {"X-Error-Code": "RepoNotFound"})

    def _describe(self, name: str, asked: str, revision: str) -> None:
        commit = self.state.commit(name, revision)
        if commit is None:
            known = name in self.state.repositories
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound" if known else "RepoNotFound"})
            return
        answer: Any = {"id": name, "sha": self.state.answer_with or commit}
        if asked == "tree":
            answer = [_describe(path) for path in sorted(self.state.repositories[name][commit].iterdir())]
        self._send(200, json.dumps(answer).encode())

    def _file(self, name: str, revision: str, file: str) -> None:
        commit = self.state.commit(name, revision)
        if commit is None or file in self.state.hidden:
            code = "RevisionNotFound" if commit is None else "EntryNotFound"
            self._send(404, b"", {"X-Error-Code": code})
            return
        content = (self.state.repositories[name][commit] / file).read_bytes()
        if file in self.state.spoiled:
            content = content[:-1] + bytes([content[-1] ^ 1])
        headers = {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
        asked = self.headers.get("Range")
        begin = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
        headers |= {"Content-Range": f"bytes {begin}-{len(content) - 1}/{len(content)}"} if asked else {}
        self._send(206 if asked else 200, content[begin:], headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if status in (200, 206) and "/resolve/" in self.path and self.state.cuts and len(body) > 100_000:
            self.state.cuts -= 1
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.close_connection = True
            return
        self.wfile.write(body)


def _describe(path: Path) -> dict[str, Any]:
    """A file as the hub lists it: large ones by SHA-256, small ones by git's hash of a file."""
    content = path.read_bytes()
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    described: dict[str, Any] = {"type": "file", "path": path.name, "size": len(content), "oid": blob}
    if path.suffix in {".safetensors", ".ckpt", ".bin"}:
        digest = hashlib.sha256(content).hexdigest()
        described["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 134}
    return described
