"""Documents in, cited answers out, in a folder that is thrown away afterwards.

Indexes the project's own pages and the documents beside this file, serves them, asks three questions over HTTP, checks
the answers and stops the server. Needs the standard library and the installed `rag` command only; `make demo` runs it.
Ends with 1 if an answer is not what it should be.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from textwrap import fill
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RAG = Path(sys.executable).with_name("rag")
READY_WITHIN_S = 60.0
STOPPED_WITHIN_S = 20.0

Answer = dict[str, Any]


class Surprise(Exception):
    """Something went other than the demo promises."""


def main() -> int:
    """The exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RAG__")}
    with tempfile.TemporaryDirectory(prefix="groundwire-demo-") as folder:
        environment = {**plain, "RAG__DATA_DIR": folder, "RAG__SERVER__PORT": "0"}
        try:
            index(environment)
            with server(environment, Path(folder)) as address:
                ask_streamed(address)
                ask_filtered(address)
                ask_in_vain(address)
        except Surprise as surprise:
            print(f"\nthe demo failed: {surprise}", file=sys.stderr)
            return 1
    print("\nThat was the demo. Next: .venv/bin/rag ingest YOUR_FOLDER, then .venv/bin/rag serve")
    return 0


def index(environment: dict[str, str]) -> None:
    """Indexes the documents and says how many there were."""
    command = ["ingest", "docs", "examples/documents", "README.md", "--json"]
    say(f"rag {' '.join(command)}")
    run = subprocess.run([RAG, *command], cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=False)
    if run.returncode:
        raise Surprise(f"rag ingest ended with {run.returncode}")
    summary = json.loads(run.stdout)
    print(f"{summary['added']} documents, {summary['chunks']} chunks, {summary['seconds']:.1f} s")
    expect(summary["added"] >= 6, "at least the six documents of the example are indexed")


@contextmanager
def server(environment: dict[str, str], folder: Path) -> Iterator[str]:
    """The address, as host:port, of a server that is ready; it is stopped at the end, whatever happens."""
    say("rag serve")
    started_s = time.monotonic()
    process = subprocess.Popen([RAG, "serve"], cwd=ROOT, env=environment)
    try:
        address = wait_for(process, folder / "server.json")
        print(f"ready at http://{address} after {time.monotonic() - started_s:.1f} s")
        yield address
    finally:
        stop(process)
    expect(process.returncode == 0, f"the server ends with 0 on SIGTERM (it ended with {process.returncode})")


def wait_for(process: "subprocess.Popen[bytes]", ready_file: Path) -> str:
    """The address that the server wrote down when it was ready."""
    give_up_s = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < give_up_s:
        if ready_file.exists():
            return str(json.loads(ready_file.read_text(encoding="utf-8"))["url"]).removeprefix("http://").rstrip("/")
        if process.poll() is not None:
            raise Surprise(f"the server ended with {process.returncode} before it was ready")
        time.sleep(0.05)
    raise Surprise(f"the server was not ready within {READY_WITHIN_S:g} s")


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Ends the server as a service manager would, and by force if it does not listen."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOPPED_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def ask_streamed(address: str) -> None:
    """The answer arrives as it is written, as server-sent events."""
    question = "How many weeks of parental leave may each parent take?"
    say(f"{question}  (streamed)")
    answer: Answer = {}
    with post(address, {"question": question, "stream": True}) as response:
        for name, data in events(response):
            if name == "token":
                print(data["text"], end="", flush=True)
            elif name in {"done", "error"}:
                answer = data
    print()
    show(answer, with_text=False)
    expect("26 weeks" in answer.get("answer", ""), "the answer says 26 weeks")
    expect(any(one["uri"].endswith("handbook.md") for one in answer["citations"]), "the handbook is cited")


def ask_filtered(address: str) -> None:
    """A metadata filter narrows the search to PDF files."""
    question = "At which temperatures may a battery be charged?"
    say(f'{question}  (filters: {{"format": "pdf"}})')
    answer = ask(address, {"question": question, "filters": {"format": "pdf"}})
    show(answer)
    expect("0 and 40 degrees" in answer["answer"], "the answer says between 0 and 40 degrees")
    uris = {one["uri"] for one in answer["sources"]}
    expect(bool(uris) and all(uri.endswith(".pdf") for uri in uris), "every source is a PDF file")


def ask_in_vain(address: str) -> None:
    """What the documents do not say is not answered."""
    question = "Who painted the ceiling of the Sistine Chapel?"
    say(f"{question}  (not in the documents)")
    answer = ask(address, {"question": question})
    show(answer)
    expect(answer["stop_reason"] == "insufficient_evidence", "the question is declined for want of evidence")


def ask(address: str, body: dict[str, Any]) -> Answer:
    """The whole answer at once."""
    with post(address, body) as response:
        answer: Answer = json.load(response)
        return answer


@contextmanager
def post(address: str, body: dict[str, Any]) -> Iterator[HTTPResponse]:
    """The response to a question."""
    connection = HTTPConnection(address, timeout=60)
    try:
        connection.request("POST", "/ask", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != 200:
            raise Surprise(f"POST /ask answered {response.status}: {response.read().decode(errors='replace')}")
        yield response
    finally:
        connection.close()


def events(response: HTTPResponse) -> Iterator[tuple[str, Any]]:
    """The name and the data of each server-sent event; enough of the format for this server."""
    name = ""
    for line in response:
        field, _, value = line.decode().rstrip("\r\n").partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


def show(answer: Answer, *, with_text: bool = True) -> None:
    """An answer with its citations and what each stage took."""
    if with_text:
        print(fill(answer["answer"], 100))
    for citation in answer["citations"]:
        place = f"[{citation['marker']}] {Path(citation['uri']).name}:{citation['start']}-{citation['stop']}"
        quote = " ".join(citation["quote"].split())
        print(fill(f'{place} "{quote}"', 100, subsequent_indent="    "))
    stages = "  ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in answer["stages_s"].items())
    print(f"    {answer['stop_reason']}; {stages}")


def say(headline: str) -> None:
    """A line that stands out."""
    print(f"\n> {headline}", flush=True)


def expect(holds: bool, what: str) -> None:
    """Ends the demo unless the claim holds."""
    if not holds:
        raise Surprise(f"expected: {what}")


if __name__ == "__main__":
    sys.exit(main())
