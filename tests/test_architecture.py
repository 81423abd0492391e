"""The rules of the house that no linter knows."""

import ast
import importlib.util
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("rag", "ingest", "rerank", "llm", "cache")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

MAX_MODULE_LINES = 350
MAX_BODY_LINES = 40
MAX_REQUIRED = 5
CALLED_ONCE = {"__init__", "open", "open_store", "render"}  # in compose or in the recipe, each part by its name

# Each vendor's library has one home; a path without a suffix is a package, and all of it may import the vendor.
HOMES = {
    "aiohappyeyeballs": {"rag/infer/pool.py"},
    "aiohttp": {"rag/infer/transport.py", "rag/infer/over_httpx.py", "ingest/web.py"},
    "botocore": {"llm/sigv4.py", "ingest/s3.py"},
    "google": {"llm/google_token.py"},
    "httptools": {"rag/infer/connection.py"},
    "httpx_aiohttp": {"rag/infer/transport.py"},
    "huggingface_hub": {"rag/infer/hub.py"},
    "kreuzberg": {"ingest/parse"},
    "litestar": {"rag/serve"},
    # two prepare training; rag/bench runs what we are measured against
    "onnxruntime": {"rag/infer", "rerank/mine.py", "rerank/teacher.py", "rag/bench"},
    "opentelemetry": {"rag/telemetry/otlp.py"},
    "psycopg": {"rag/govern/ledgers/postgres.py", "rag/records/connection.py"},
    "pyarrow": {"rag/records/parquet.py"},
    "qdrant_client": {"rag/index"},
    "qdrant_edge": {"rag/index"},
    "rensa": {"ingest/minhash.py"},
    "saq": {"ingest/queue/saq.py"},
    "semantic_text_splitter": {"ingest/chunk.py"},
    "structlog": {"rag/telemetry/logs.py"},
    "uvicorn": {"rag/serve/connection.py"},
    "uvloop": {"rag/cli"},
}
ENTRY = PROJECT["scripts"]["rag"].partition(":")[0]
LIGHT = f"import sys, {ENTRY}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
HEAVY = {
    "aiohttp",
    "botocore",
    "google",
    "httpx",
    "kreuzberg",
    "litestar",
    "numpy",
    "onnxruntime",
    "opentelemetry",
    "psycopg",
    "pyarrow",
    "qdrant_client",
    "qdrant_edge",
    "rensa",
    "saq",
    "torch",
    "uvicorn",
}

UNLISTED = {"transformers"}  # comes with sentence-transformers, whose version it must fit

REGISTRY = re.compile(r"files\.python" + r"hosted|pypi\." + r"org|registry\.npm" + r"js|deb\.debian\." + r"org")
WORKSTATION = re.compile(r"(?<![\w.$}])/(?:work|farm|home/[a-z]+|Users/[a-z]+|root)/|/tmp/bash_" + r"jobs")
UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")


def tracked() -> list[Path]:
    """The files that git tracks and that are text."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    if not names:
        pytest.skip("not a git checkout: what is tracked cannot be told")
    binary = {".onnx", ".pdf", ".png"}
    return [
        ROOT / name
        for name in names.split("\0")
        if name and (ROOT / name).is_file() and Path(name).suffix not in binary
    ]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def n_required(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """How many values a caller must think of."""
    arguments = function.args
    positional = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    named = [default for default in arguments.kw_defaults if default is None]
    return len(positional) - len(arguments.defaults) + len(named) - len({"self", "cls"} & set(positional[:1]))


def imported(path: Path) -> Iterator[str]:
    """The top-level names of the packages that a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("package", PACKAGES)
def test_our_names_resolve_to_this_repository(package):
    """`llm` and `cache` are names of unrelated packages too."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert Path(spec.origin).parent == ROOT / package


def test_the_floors_hold():
    """In a process of its own: the linter configures logging, and with it silences the loggers of other tests."""
    lint = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    run = subprocess.run(
        [sys.executable, "-c", lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout


def test_no_module_is_longer_than_a_reader_keeps_in_mind():
    lengths = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {path: length for path, length in lengths.items() if length > MAX_MODULE_LINES} == {}


def test_no_function_is_longer_than_a_screen():
    long = {
        f"{relative(path)}:{function.lineno} {function.name}": body_lines(function)
        for path in MODULES
        for function in functions(path)
        if body_lines(function) > MAX_BODY_LINES
    }
    assert long == {}


def test_no_function_asks_for_more_than_five_things():
    """Parameters of a command are its options."""
    greedy = {
        f"{relative(path)}:{function.lineno} {function.name}": n_required(function)
        for path in MODULES
        if ROOT / "rag" / "cli" not in path.parents
        for function in functions(path)
        if function.name not in CALLED_ONCE and n_required(function) > MAX_REQUIRED
    }
    assert greedy == {}


def test_every_init_is_empty():
    assert [relative(path) for path in MODULES if path.name == "__init__.py" and path.stat().st_size] == []


def test_a_vendor_is_imported_at_home_only():
    strays = [
        f"{relative(path)} imports {vendor}"
        for path in MODULES
        for vendor in set(imported(path)) & HOMES.keys()
        if not any(relative(path) == home or relative(path).startswith(f"{home}/") for home in HOMES[vendor])
    ]
    assert strays == []


def test_what_is_imported_is_asked_for():
    """Something else may bring it today and not tomorrow, and the default install may leave it out."""
    every = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    asked = {canonicalize_name(Requirement(line).name) for lines in every for line in lines} | UNLISTED
    homes = packages_distributions()
    strays = {
        f"{relative(path)} imports {name}"
        for path in MODULES
        for name in imported(path)
        if name not in {*PACKAGES, *sys.stdlib_module_names}
        if asked.isdisjoint(canonicalize_name(home) for home in homes.get(name, [name]))
    }
    assert strays == set()


def test_help_imports_nothing_heavy():
    if importlib.util.find_spec(ENTRY) is None:
        pytest.skip("there is no command line yet")
    run = subprocess.run([sys.executable, "-c", LIGHT], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(run.stdout.split()) & HEAVY == set()


@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        ("the host of a package registry", REGISTRY),
        ("a path of one workstation", WORKSTATION),
        ("unfinished work", UNFINISHED),
    ],
    ids=["registry", "workstation", "unfinished"],
)
def test_no_tracked_file_names(what, pattern):
    found = [
        f"{relative(path)}:{number} names {what}"
        for path in tracked()
        if path.suffix not in {".json", ".jsonl"}  # vocabularies hold every word there is
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("lock", "extras"),
    [
        ("default", []),
        ("stack", ["queue", "redis", "postgres"]),
        ("dev", ["dev"]),
        ("torch", ["dev", "torch"]),
        ("ray", ["dev", "ray"]),
        ("all", list(PROJECT["optional-dependencies"])),
    ],
)
def test_the_lock_holds_what_the_project_asks_for(lock, extras):
    """A dependency that was added or raised without `make lock` fails here and not on a fresh machine."""
    asked = [*PROJECT["dependencies"], *(line for extra in extras for line in PROJECT["optional-dependencies"][extra])]
    locked = locked_versions(ROOT / ".ci" / "lock" / f"{lock}.txt")
    missing = [
        line
        for line in asked
        if not any(Requirement(line).specifier.contains(version) for version in locked.get(Requirement(line).name, []))
    ]
    assert missing == []


def locked_versions(lock: Path) -> dict[str, list[Version]]:
    """The versions by name; a name has several where they differ between interpreters."""
    versions: dict[str, list[Version]] = {}
    for name, version in re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", lock.read_text(encoding="utf-8"), re.MULTILINE):
        versions.setdefault(name, []).append(Version(version))
    return versions


def test_every_locked_file_has_a_hash_and_no_address():
    for lock in (ROOT / ".ci" / "lock").glob("*.txt"):
        text = lock.read_text(encoding="utf-8")
        assert "://" not in text, lock.name
        if lock.name not in {"build.txt", "constraints.txt"}:
            entries = re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)
            assert all("--hash=sha256:" in entry for entry in entries if re.match("[a-z]", entry)), lock.name
