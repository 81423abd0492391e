"""The documentation is complete and its links hold: what is not written down does not exist."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import click
import msgspec
import pytest
from msgspec import inspect

from rag.cli.main import COMMANDS, rag
from rag.govern.accounts import AccountBook
from rag.govern.keys import KeyRing
from rag.govern.limits import Limits
from rag.govern.meters import Meters
from rag.govern.schedules import LocalSchedules
from rag.index.filters import Fields
from rag.serve.app import create_app
from rag.serve.gateway import reference as gateway
from rag.serve.problems import HTTP_KINDS, KINDS
from rag.settings import Settings, load_settings
from rag.telemetry.metrics import Metrics
from rag.telemetry.names import CATALOGUE
from rag.telemetry.tracing import off

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "examples").glob("*.md"), *ROOT.glob("rag/**/*.md")])
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
ROW = re.compile(r"^\| `([^`]+)` \| (?:`([^`]*)`|([^|]*?)) \| (.*) \|$", re.MULTILINE)


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def sections(text: str) -> dict[str, str]:
    """What stands under each heading, by the heading's text without backticks."""
    pieces = re.split(r"^#{1,4} (.+)$", text, flags=re.MULTILINE)
    return {title.replace("`", "").strip(): body for title, body in zip(pieces[1::2], pieces[2::2], strict=True)}


def settings_in(kind: inspect.Type, path: str = "") -> Iterator[tuple[str, object]]:
    """Every setting as (path, default): `models.NAME.kind`, `auth.keys[].id`; a `kind` has no default."""
    if isinstance(kind, inspect.Metadata):
        yield from settings_in(kind.type, path)
    elif isinstance(kind, inspect.UnionType):
        for member in kind.types:
            yield from settings_in(member, path)
    elif isinstance(kind, inspect.DictType):
        yield from settings_in(kind.value_type, f"{path}.NAME")
    elif isinstance(kind, inspect.VarTupleType | inspect.ListType):
        yield from settings_in(kind.item_type, f"{path}[]")
    elif isinstance(kind, inspect.StructType):
        if kind.tag_field:
            yield f"{path}.{kind.tag_field}", inspect.NODEFAULT
        for field in kind.fields:
            below = f"{path}.{field.encode_name}".removeprefix(".")
            nested = list(settings_in(field.type, below))
            yield from nested or [(below, field.default)]


def shown(default: object) -> str:
    """A default as the table of settings writes it: as TOML would, `required`, or `none`."""
    if default is inspect.NODEFAULT or isinstance(default, msgspec.UnsetType):
        return ""
    if default is None:
        return "none"
    return msgspec.json.encode(default).decode()


def commands(command: click.Command, name: str = "rag") -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by the words that call it."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            yield from commands(found, f"{name} {child}")
    else:
        yield name, command


@pytest.fixture(scope="module")
def app():
    nothing = {
        "keys": KeyRing(),
        "book": AccountBook(),
        "meters": Meters(LocalSchedules()),
        "limits": Limits(),
        "metrics": Metrics(),
    }
    return create_app(SimpleNamespace(**nothing, tracing=off(), parsers=None), version="0")


def test_every_setting_is_documented_with_its_default():
    """A setting that several kinds have may have a default in each: the description names those that differ."""
    documented = {path: (code or text, what) for path, code, text, what in ROW.findall(page("settings.md"))}
    settings = list(settings_in(inspect.type_info(Settings)))
    paths = {path for path, _ in settings}
    assert sorted(paths - documented.keys()) == [], "not documented"
    assert sorted(documented.keys() - paths) == [], "documented, and not a setting"
    wrong = {
        path: documented[path]
        for path, default in settings
        if shown(default) not in {documented[path][0], ""} and f"`{shown(default)}`" not in documented[path][1]
    }
    assert wrong == {}, "documented with another default"


def test_the_example_settings_are_settings():
    loaded = load_settings(ROOT / "examples" / "rag.toml", {})
    assert loaded.fields["department"] == "keyword"
    commented = re.findall(
        r"^# (\[.+\]|\w+ = .+)$", (ROOT / "examples" / "rag.toml").read_text(encoding="utf-8"), re.MULTILINE
    )
    tree = tomllib.loads("\n".join(commented))
    assert set(tree) <= set(Settings.__struct_fields__)


def test_every_problem_is_documented_with_its_status():
    documented = sections(page("problems.md"))
    kinds = {kind.slug: kind for kind in (*KINDS.values(), *HTTP_KINDS.values())}
    assert sorted(kinds.keys() - documented.keys()) == []
    assert documented.keys() - kinds.keys() == {"Problems"}
    assert [
        slug
        for slug, kind in kinds.items()
        if not documented[slug].strip().startswith(f"{kind.status}, *{kind.title}*")
    ] == []


def test_every_endpoint_is_documented(app):
    documented = sections(page("http-api.md"))
    served = {
        f"{method.upper()} {path}"
        for path, item in app.openapi_schema.to_schema()["paths"].items()
        for method in item
        if method in {"get", "put", "post", "delete", "patch"}
    }
    served |= {"POST /ask", "POST /search"}  # plain ASGI, which the framework cannot describe
    assert sorted(served - documented.keys()) == [], "not documented"
    promised = {title for title in documented if re.match(r"(GET|PUT|POST|DELETE|PATCH) /", title)}
    assert sorted(promised - served - {"GET /schema"}) == [], "documented, and not served"


def test_every_route_of_the_gateway_is_documented():
    documented = sections(page("gateway.md"))
    served = {f"{method.upper()} {path}" for method, path in gateway.OPERATIONS if method == "post"}
    assert {title for title in documented if title.startswith("POST ")} == served
    text = page("gateway.md")
    assert [f"`{path}`" for _, path in gateway.OPERATIONS if f"{path.partition('{')[0]}" not in text] == []


def test_every_member_of_a_request_and_of_a_response_is_documented(app):
    text = page("http-api.md") + page("problems.md")
    schemas = app.openapi_schema.to_schema()["components"]["schemas"]
    names = {name for schema in schemas.values() for name in schema.get("properties", ())}
    assert sorted(name for name in names if f"`{name}`" not in text) == []


def test_every_field_that_filters_know_is_documented():
    text = page("http-api.md")
    assert sorted(name for name in Fields({}).filterable if f"`{name}`" not in text) == []


def test_every_command_and_option_is_documented():
    documented = sections(page("cli.md"))
    known = dict(commands(rag))
    assert sorted(known.keys() - documented.keys()) == [], "not documented"
    promised = {title for title in documented if title.startswith("rag ")}
    assert sorted(promised - known.keys()) == [], "documented, and not there"
    missing = [
        f"{name} {option}"
        for name, command in known.items()
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--") and f"`{option}" not in documented[name]
    ]
    assert missing == []


def test_the_table_of_commands_says_what_the_commands_say():
    context = click.Context(rag)
    for name, line in COMMANDS.items():
        command = rag.get_command(context, name)
        assert command is not None
        assert command.help, name
        assert line.endswith("."), name


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_link_is_broken(path):
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        aim = path.parent / file if file else path
        assert aim.exists(), f"{target} leads nowhere"
        assert not anchor or anchor in anchors(aim), f"{target}: there is no such heading"


def anchors(path: Path) -> set[str]:
    """The anchors that forges give to the headings of a page."""
    titles = re.findall(r"^#{1,6} (.+)$", FENCE.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_every_decision_has_a_number_of_its_own_and_a_line_in_the_index():
    files = sorted((DOCS / "decisions").glob("*.md"))
    titles = {file.name: file.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ") for file in files}
    assert len({name[:4] for name in titles}) == len(files)
    assert all(title.startswith(f"{name[:4]} ") for name, title in titles.items())
    wanted = [f"  - [{title}](decisions/{name})" for name, title in titles.items()]
    assert re.findall(r"^  - \[\d{4} .*$", (DOCS / "index.md").read_text(encoding="utf-8"), re.MULTILINE) == wanted


def test_every_metric_is_documented_as_the_catalogue_has_it():
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \| (.*) \|$", page("metrics.md"), re.MULTILINE)
    documented = {name: (kind, tuple(re.findall(r"`(\w+)`", labels)), text) for name, kind, labels, text in rows}
    assert documented == {metric.name: (metric.kind, metric.labels, metric.help) for metric in CATALOGUE}
