"""Checks that Arize Phoenix shows our spans as what they are: asks a question of a server that exports to it.

    python -m venv phoenix && phoenix/bin/pip install arize-phoenix && phoenix/bin/phoenix serve &
    RAG__TRACING__ENDPOINT=http://localhost:6006/v1/traces RAG__RERANKER__KIND=onnx rag serve &
    python examples/observability/phoenix.py http://localhost:8080 http://localhost:6006

Ends with 0 when a retriever, a reranker, an embedding, a model call and a prompt are there under one trace and no span
is of a kind that Phoenix does not know; else with 1.
"""

import json
import sys
import time
import urllib.request
from typing import Any

EXPECTED = {
    "RETRIEVER": "retrieval.documents.0.document.id",
    "RERANKER": "reranker.model_name",
    "EMBEDDING": "embedding.model_name",
    "LLM": "llm.model_name",
    "CHAIN": "gen_ai.operation.name",
    "PROMPT": "prompt.id",
}
"""The kinds that must be shown, each with an attribute that its view is made of."""

PATIENCE_S = 30.0


def asked(url: str, body: dict[str, Any] | None = None) -> Any:
    """The JSON of a reply."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})  # noqa: S310 - the caller's own URL
    with urllib.request.urlopen(request, timeout=60) as reply:  # noqa: S310 - as above
        return json.load(reply)


def shown(phoenix: str, trace_id: str) -> list[dict[str, Any]]:
    """The spans that Phoenix has of the trace, once the model call is among them."""
    give_up_s = time.monotonic() + PATIENCE_S
    while True:
        page = asked(f"{phoenix}/v1/projects/default/spans?limit=1000")
        spans = [span for span in page["data"] if span["context"]["trace_id"] == trace_id]
        if any(span["span_kind"] == "LLM" for span in spans) or time.monotonic() > give_up_s:
            return spans
        time.sleep(0.5)


def flat(attributes: dict[str, Any], prefix: str = "") -> set[str]:
    """The names of attributes, whether Phoenix gives them with dots or nested."""
    names: set[str] = set()
    for name, value in attributes.items():
        items = dict(enumerate(value)) if isinstance(value, list) else value
        nested = isinstance(items, dict)
        names |= flat({str(key): one for key, one in items.items()}, f"{prefix}{name}.") if nested else {prefix + name}
    return names


def main(server: str, phoenix: str) -> int:
    """Prints what is shown and what is missing."""
    question = {"question": "What is written here?", "cache": "off"}
    answer = asked(f"{server}/ask", question)
    trace = asked(f"{server}/traces/{answer['id']}")
    spans = shown(phoenix, trace["trace_id"])
    for span in spans:
        print(f"{span['span_kind']:10s} {span['name']}")
    missing = [
        f"{kind} with {name}"
        for kind, name in EXPECTED.items()
        if not any(span["span_kind"] == kind and name in flat(span["attributes"]) for span in spans)
    ]
    missing += [f"a kind for {span['name']}" for span in spans if span["span_kind"] == "UNKNOWN"]
    print(f"missing: {', '.join(missing)}" if missing else "all there")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
