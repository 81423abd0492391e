import msgspec
import pytest

from llm.routing.config import RouteConfig, check_routes
from rag.base.errors import ConfigError
from rag.settings import load_settings

MODELS = {"a", "b", "extractive"}
CIRCLE = """
[r]
targets = [{model = "a"}]
on.default = ["s"]
[s]
targets = [{model = "a"}]
on.context_length = ["t"]
[t]
targets = [{model = "b"}]
on.default = ["r"]
"""


def routes(text: str) -> dict[str, RouteConfig]:
    return msgspec.toml.decode(text, type=dict[str, RouteConfig])


@pytest.mark.parametrize(
    ("text", "path", "says"),
    [
        ('[r]\ntargets = [{model = "a"}, {model = "z"}]', "$.routes.r.targets[1].model", "no model 'z'"),
        ('[r]\ntargets = [{model = "a"}, {model = "a"}]', "$.routes.r.targets[1].model", "already"),
        ('[r]\ntargets = [{model = "a", weight = 0}]', "$.routes.r.targets", "weights of order 1"),
        ('[a]\ntargets = [{model = "b"}]', "$.routes.a", "a model has this name"),
        (
            '[r]\ntargets = [{model = "a"}]\non.default = ["b", "y"]',
            "$.routes.r.on.default[1]",
            "no model or route 'y'",
        ),
        ('[r]\ntargets = [{model = "a"}]\non.rate_limit = ["r"]', "$.routes.r.on.rate_limit[0]", "circle: r -> r"),
        ('[r]\ntargets = [{model = "a", region = "us"}]\nregions = ["eu"]', "$.routes.r.regions", "no target"),
        (
            '[r]\ntargets = [{model = "a"}]\nsummary.model = "z"\nparameters.history_tokens = 900',
            "$.routes.r.summary.model",
            "no model or route 'z'",
        ),
        ('[r]\ntargets = [{model = "a"}]\nsummary.model = "r"', "$.routes.r.summary", "it is not set"),
        (
            '[r]\ntargets = [{model = "a"}]\nsummary.model = "r"\nparameters.history_tokens = 799',
            "$.routes.r.summary",
            "at least twice summary.max_tokens",
        ),
        (
            CIRCLE,
            "$.routes.t.on.default[0]",
            "circle: r -> s -> t -> r",
        ),
    ],
)
def test_a_route_that_makes_no_sense_is_refused_with_its_place(text, path, says):
    with pytest.raises(ConfigError, match=says) as caught:
        check_routes(routes(text), MODELS)
    assert caught.value.path == path


@pytest.mark.parametrize(
    "text",
    [
        "targets = []",
        'targets = [{model = "a", weight = -1}]',
        'targets = [{model = "a", order = 0}]',
        'targets = [{model = "a"}]\nbalancer = "luck"',
        'targets = [{model = "a"}]\nmax_attempts = 0',
        'targets = [{model = "a"}]\non.timeout = ["b"]',
        'targets = [{model = "a", speed = 3}]',
    ],
)
def test_what_no_route_may_say_is_refused(text):
    with pytest.raises(msgspec.ValidationError):
        msgspec.toml.decode(text, type=RouteConfig)


def test_a_fault_in_a_route_rejects_the_whole_file(tmp_path):
    file = tmp_path / "rag.toml"
    file.write_text('[routes.r]\ntargets = [{model = "nobody"}]\n')
    with pytest.raises(ConfigError, match=r"\$\.routes\.r\.targets\[0\]\.model"):
        load_settings(file, {})
    file.write_text('[routes.r]\ntargets = [{model = "extractive"}]\n[answer]\nmodel = "r"\n')
    assert load_settings(file, {}).answer.model == "r"
