"""Stands for W&B's server, on the loopback alone: takes runs, files and artifacts, and keeps what it was sent.

It speaks as much of GraphQL, of the file stream and of uploads as W&B's client needs, and can be told to
hang, to refuse, or to die.
"""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self

Manner = Literal["serve", "refuse", "hang"]


class Server(ThreadingHTTPServer):
    """Says nothing of clients that go away."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class WandbStub:
    """A server for the time of a `with` block.

    manner: how it treats requests from now on; `refuse` answers 500, `hang` never answers.
    """

    def __init__(self, manner: Manner = "serve") -> None:
        self.manner: Manner = manner
        self.operations: list[tuple[str, dict[str, Any]]] = []
        """GraphQL: name and variables of each operation."""
        self.runs: dict[str, dict[str, Any]] = {}
        """What is known of each run, by its name."""
        self.stream: dict[str, dict[int, str]] = {}
        """Lines of each file of the file streams, by their number."""
        self.complete: list[int] = []
        """Exit codes of streams that have ended."""
        self.uploads: dict[str, bytes] = {}
        """Content of each upload, by its name: `run/…` for files of a run, `artifact/ID/…` for those of artifacts."""
        self.artifacts: dict[str, dict[str, Any]] = {}
        """Artifacts by their ids; `committed` once they are whole."""
        self.released = threading.Event()
        self._lock = threading.Lock()
        self._server = Server(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.die()

    def die(self) -> None:
        """Nobody listens any more."""
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def rows(self) -> list[dict[str, Any]]:
        """Rows of history, without W&B's own columns."""
        lines = self.stream.get("wandb-history.jsonl", {})
        rows = [json.loads(lines[number]) for number in sorted(lines)]
        return [{key: value for key, value in row.items() if not key.startswith("_")} for row in rows]

    def summary(self) -> dict[str, Any]:
        """The last summary."""
        lines = self.stream.get("wandb-summary.json", {})
        last: dict[str, Any] = json.loads(lines[max(lines)]) if lines else {}
        return last

    def take_stream(self, sent: dict[str, Any]) -> None:
        """One request of a file stream."""
        with self._lock:
            for name, part in sent.get("files", {}).items():
                for place, line in enumerate(part["content"], part["offset"]):
                    self.stream.setdefault(name, {})[place] = line
            if sent.get("complete"):
                self.complete.append(sent["exitcode"])

    def answer(self, operation: str, given: dict[str, Any]) -> dict[str, Any]:
        """Data of one GraphQL operation. Raises KeyError for one that is not known."""
        with self._lock:
            self.operations.append((operation, given))
            data: dict[str, Any] = ANSWERS[operation](self, given)
            return data

    def url_of(self, name: str) -> str:
        """Where a file is to be uploaded."""
        return f"{self.url}/upload/{name}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                sent = self._sent()
                if self._treated():
                    return
                if self.path == "/graphql":
                    asked = json.loads(sent)
                    name = asked.get("operationName") or re.findall(r"(?:query|mutation)\s+(\w+)", asked["query"])[0]
                    try:
                        data: dict[str, Any] = {"data": stub.answer(name, asked.get("variables") or {})}
                    except KeyError:
                        data = {"errors": [{"message": f"stub: no {name}"}]}
                    self._reply(json.dumps(data).encode())
                elif self.path.endswith("/file_stream"):
                    stub.take_stream(json.loads(sent))
                    self._reply(b"{}")
                else:
                    self._reply(b"{}", 404)

            do_PATCH = do_POST  # noqa: N815

            def do_PUT(self) -> None:
                sent = self._sent()
                if self._treated():
                    return
                stub.uploads[self.path.removeprefix("/upload/")] = sent
                self._reply(b"")

            def do_GET(self) -> None:
                if not self._treated():
                    self._reply(b"{}", 404)

            def _sent(self) -> bytes:
                if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                    pieces = []
                    while size := int(self.rfile.readline().split(b";")[0], 16):
                        pieces.append(self.rfile.read(size))
                        self.rfile.readline()
                    self.rfile.readline()
                    return b"".join(pieces)
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))

            def _treated(self) -> bool:
                """Whether this request gets no real answer."""
                if stub.manner == "hang":
                    stub.released.wait()
                    self.close_connection = True
                elif stub.manner == "refuse":
                    self._reply(b"out of order", 500)
                return stub.manner != "serve"

            def _reply(self, content: bytes, status: int = 200) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: Any) -> None:
                pass

        return Handler


def _bucket(stub: WandbStub, given: dict[str, Any]) -> dict[str, Any]:
    name = given["name"]
    inserted = name not in stub.runs
    stub.runs.setdefault(name, {}).update({key: value for key, value in given.items() if value is not None})
    project = {"id": "UHJvamVjdA==", "name": given["project"], "entity": {"id": "RW50", "name": "tester"}}
    bucket = {"id": "UnVu", "name": name, "displayName": given.get("displayName"), "description": None, "config": "{}",
              "sweepName": None, "project": project, "historyLineCount": 0}  # fmt: skip
    return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}


def _run_files(stub: WandbStub, given: dict[str, Any]) -> dict[str, Any]:
    files = [{"name": name, "uploadUrl": stub.url_of(f"run/{name}")} for name in given["files"]]
    return {"createRunFiles": {"runID": "UnVu", "uploadHeaders": [], "files": files}}


def _artifact(stub: WandbStub, given: dict[str, Any]) -> dict[str, Any]:
    number = f"artifact-{len(stub.artifacts)}"
    stub.artifacts[number] = {**given["input"], "committed": False}
    sequence = {"id": "c2Vx", "state": "READY", "latestArtifact": None}
    return {"createArtifact": {"artifact": {"id": number, "state": "PENDING", "artifactSequence": sequence}}}


def _manifest(stub: WandbStub, given: dict[str, Any]) -> dict[str, Any]:
    number = given.get("artifactID") or given["artifactManifestID"]
    name = f"artifact/{number}/manifest.json"
    file = {"id": "RmlsZQ==", "uploadUrl": stub.url_of(name), "uploadHeaders": []}
    return {"artifactManifest": {"id": number, "file": file if given["includeUpload"] else {"id": "RmlsZQ=="}}}


def _artifact_files(stub: WandbStub, given: dict[str, Any]) -> dict[str, Any]:
    edges = []
    for file in given["input"]["artifactFiles"]:
        name = f"artifact/{file['artifactID']}/{file['name']}"
        node: dict[str, Any] = {"storagePath": name, "uploadUrl": stub.url_of(name), "uploadHeaders": [],
                                "uploadMultipartUrls": None, "artifact": {"id": file["artifactID"]}}  # fmt: skip
        edges.append({"node": node})
    return {"createArtifactFiles": {"files": {"edges": edges}}}


def _commit(stub: WandbStub, given: dict[str, Any]) -> dict[str, Any]:
    made = stub.artifacts[given["artifactID"]]
    made["committed"] = True
    return {"commitArtifact": {"artifact": {"id": given["artifactID"], "digest": made["digest"]}}}


VIEWER = {"id": "dXNlcg==", "entity": "tester", "username": "tester", "email": "tester@localhost", "flags": "{}",
          "teams": {"edges": []}}  # fmt: skip

ANSWERS: dict[str, Any] = {
    "Viewer": lambda stub, given: {"viewer": VIEWER},
    "ServerFeaturesQuery": lambda stub, given: {"serverInfo": {"features": []}},
    "RunResumeStatus": lambda stub, given: {"model": None},
    "UpsertBucket": _bucket,
    "CreateRunFiles": _run_files,
    "MarkRunFilesUploaded": lambda stub, given: {"markRunFilesUploaded": {"success": True}},
    "XXHashDigestsEnabled": lambda stub, given: {"entity": {"xxhashDigestsEnabled": False}},
    "FetchArtifactDigestAlgorithm": lambda stub, given: {"project": {"artifactType": None}},
    "ArtifactType": lambda stub, given: {"project": None},
    "CreateArtifact": _artifact,
    "CreateArtifactManifest": lambda stub, given: {"createArtifactManifest": _manifest(stub, given)},
    "UpdateArtifactManifest": lambda stub, given: {"updateArtifactManifest": _manifest(stub, given)},
    "CreateArtifactFiles": _artifact_files,
    "CommitArtifact": _commit,
}
"""What each operation of the client is answered."""
