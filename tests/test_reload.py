"""Settings that change while the server runs, and those that do not."""

import asyncio
import os
import signal

import pytest

from rag.base.errors import ConfigError
from rag.reload import Reloader, changes, following
from rag.settings import exchanged, load_settings
from tests.serve.stage import until

MODEL = '[models.{name}]\nkind = "openai"\nbase_url = "http://localhost:1/v1"\nmodel = "{name}"\n'


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "rag.toml"
    path.write_text(MODEL.format(name="a"))
    return path


class Exchanged:
    """Stands in for the models: remembers what it was given, refuses what is named `broken`."""

    def __init__(self) -> None:
        self.names: list[list[str]] = []

    async def __call__(self, settings) -> None:
        if "broken" in settings.models:
            raise ConfigError("this model cannot be opened", path="$.models.broken")
        self.names.append(sorted(settings.models))


def reloader(file) -> tuple[Reloader, Exchanged]:
    exchange = Exchanged()
    return Reloader(load_settings(file, {}), exchange, lambda: load_settings(file, {})), exchange


async def test_models_and_routes_are_exchanged(file):
    reload, exchange = reloader(file)
    assert await reload.reread() == ()
    file.write_text(MODEL.format(name="a") + MODEL.format(name="b") + '[routes.r]\ntargets = [{model = "b"}]\n')
    assert await reload.reread() == ("models", "routes")
    assert exchange.names == [["a", "b"]]
    assert set(reload.settings.routes) == {"r"}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[server]\nport = 9", "$.server.port"),
        ("[index]\nthreads = 3", "$.index.threads"),
        ('data_dir = "elsewhere"', "$.data_dir"),
        ("[answer]\nmax_tokens = 9", "$.answer.max_tokens"),
        ('[index]\nkind = "qdrant"\nurl = "http://localhost:6333"', "$.index"),
    ],
)
async def test_what_only_a_restart_changes_is_refused_by_name_and_then_nothing_changes(file, text, place):
    reload, exchange = reloader(file)
    file.write_text(f"{text}\n{MODEL.format(name='b')}")
    with pytest.raises(ConfigError, match="restart") as caught:
        await reload.reread()
    assert caught.value.path == place
    assert (exchange.names, set(reload.settings.models)) == ([], {"a"})


@pytest.mark.parametrize(
    "text", ["not = [toml", "[models.a]\nkind = 'nobody'", '[routes.r]\ntargets = [{model = "z"}]']
)
async def test_a_fault_changes_nothing(file, text):
    reload, exchange = reloader(file)
    file.write_text(text)
    with pytest.raises(ConfigError):
        await reload.reread()
    file.write_text(MODEL.format(name="broken"))
    with pytest.raises(ConfigError):
        await reload.reread()
    assert (exchange.names, set(reload.settings.models)) == ([], {"a"})


async def test_sections_that_come_from_elsewhere_are_checked_as_a_whole(file):
    settings = load_settings(file, {})
    changed = exchanged(settings, {"routes": {"r": {"targets": [{"model": "a"}]}}})
    assert changes(settings, changed) == ("routes",)
    model = {"kind": "openai", "base_url": "http://x/v1", "model": "m"}
    for sections, place in (
        ({"server": {"port": 1}}, "$.server"),
        ({"routes": {"r": {"targets": [{"model": "z"}]}}}, "$.routes.r.targets[0].model"),
        ({"models": {"a": {**model, "speed": 9}}}, "$.models[...]"),
        ({"routing": {"probes": 0}}, "$.routing.probes"),
    ):
        with pytest.raises(ConfigError) as caught:
            exchanged(settings, sections)
        assert caught.value.path == place


@pytest.mark.parametrize("secret", ["env:HOME", "file:/etc/passwd", "***"])
def test_a_credential_from_elsewhere_cannot_name_what_this_machine_knows(file, secret):
    model = {"kind": "openai", "base_url": "http://evil/v1", "model": "m", "api_key": secret}
    with pytest.raises(ConfigError, match="taken as it is"):
        exchanged(load_settings(file, {}), {"models": {"a": model}})


async def test_a_signal_and_a_changed_file_lead_to_it(file, caplog):
    reload, exchange = reloader(file)

    async with following(reload):
        file.write_text(MODEL.format(name="b"))
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: exchange.names[-1:] == [["b"]])
    async with following(reload, file):
        await asyncio.sleep(0.05)
        file.write_text(MODEL.format(name="c") + "# longer")
        await until(lambda: exchange.names[-1:] == [["c"]])
        file.write_text("not = [toml")
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: "stay as they were" in caplog.text)
    assert len(asyncio.all_tasks()) == 1


async def test_a_changed_prompt_in_the_folder_leads_to_it(file, tmp_path):
    folder = tmp_path / "prompts"
    folder.mkdir()
    prompt = folder / "answer.v2.md"
    prompt.write_text("# system\nx\n# user\n{sources} {question}")
    file.write_text('prompts_dir = "prompts"')
    reload, _ = reloader(file)
    async with following(reload, folder):
        await asyncio.sleep(0.05)
        prompt.write_text("# system\nlonger\n# user\n{sources} {question}")
        await until(lambda: "longer" in reload.settings.prompts["answer"].versions["2"])
        (folder / "answer.v3.md").write_text("# system\nx\n# user\n{sources} {question}")
        await until(lambda: len(reload.settings.prompts["answer"].versions) == 2)
    prompt.write_text("no prompt")
    with pytest.raises(ConfigError) as caught:
        await reload.reread()
    assert caught.value.path == "$.prompts.answer.versions.2"


def test_labels_from_elsewhere_point_to_versions_of_the_folder(file, tmp_path):
    (tmp_path / "answer.v2.md").write_text("# system\nx\n# user\n{sources} {question}")
    file.write_text('prompts_dir = "."\n[prompts.answer]\nlabels = { production = 1 }')
    settings = load_settings(file, {})
    changed = exchanged(settings, {"prompts": {"answer": {"labels": {"production": 2}}}})
    assert changed.prompts["answer"].labels == {"production": 2}
    assert changed.prompts["answer"].versions == settings.prompts["answer"].versions
    with pytest.raises(ConfigError, match="no version 3"):
        exchanged(settings, {"prompts": {"answer": {"labels": {"production": 3}}}})
