"""Dashboards and alerts name metrics and labels that exist, and the committed files are those that are generated."""

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from rag.telemetry.names import CATALOGUE

FOLDER = Path(__file__).resolve().parent.parent / "examples" / "observability"
RULES = yaml.safe_load((FOLDER / "prometheus" / "rules.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
DASHBOARDS = sorted((FOLDER / "dashboards").glob("*.json"))
KNOWN = {metric.name: metric for metric in CATALOGUE}
NOT_OURS = {"le", "instance", "job"}


def expressions() -> dict[str, str]:
    """Every expression, by where it stands."""
    found = {f"rules: {rule.get('alert') or rule['record']}": rule["expr"] for rule in RULES}
    for file in DASHBOARDS:
        for panel in json.loads(file.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                found[f"{file.stem}: {panel['title']} {target['refId']}"] = target["expr"]
    return found


def metric_of(name: str):
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    metric = KNOWN.get(name) or KNOWN.get(base)
    assert metric is not None, f"{name} is in no catalogue"
    assert name in KNOWN or metric.kind == "histogram", f"{name} is no histogram"
    return metric


@pytest.mark.parametrize(
    ("place", "expression"), expressions().items(), ids=lambda value: value if ":" in value else ""
)
def test_an_expression_names_metrics_of_the_catalogue_with_their_labels(place, expression):
    names = re.findall(r"\brag_\w+", expression)
    assert names or "groundwire:" in expression, place
    labels = {label for name in names for label in metric_of(name).labels} | NOT_OURS
    for name, matchers in re.findall(r"(rag_\w+)\{([^}]*)\}", expression):
        used = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
        assert used <= {*metric_of(name).labels, *NOT_OURS}, f"{place}: {name} has no {used}"
    for group in re.findall(r"\b(?:by|ignoring)\s*\(([^)]*)\)", expression):
        assert {label.strip() for label in group.split(",")} <= labels, place


def test_a_recorded_series_that_is_used_is_recorded():
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    used = {name for rule in RULES for name in re.findall(r"groundwire:[\w:]+", rule["expr"])}
    assert used <= recorded


def test_every_alert_has_a_test_and_says_what_to_do():
    tested = {
        test["alertname"]
        for case in yaml.safe_load((FOLDER / "prometheus" / "tests.yml").read_text(encoding="utf-8"))["tests"]
        for test in case["alert_rule_test"]
        if test["exp_alerts"]
    }
    alerts = [rule for rule in RULES if "alert" in rule]
    assert {rule["alert"] for rule in alerts} == tested
    assert all(rule["labels"]["severity"] in {"page", "ticket"} and rule["annotations"]["summary"] for rule in alerts)


def test_every_metric_is_on_a_dashboard():
    drawn = {metric_of(name).name for place, text in expressions().items() for name in re.findall(r"\brag_\w+", text)}
    assert drawn == KNOWN.keys()


def test_what_is_said_about_scaling_is_valid_and_names_metrics_that_exist():
    text = (FOLDER.parent.parent / "docs" / "autoscaling.md").read_text(encoding="utf-8")
    kinds = [yaml.safe_load(block)["kind"] for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    assert kinds == ["ScaledObject", "HorizontalPodAutoscaler"]
    assert set(re.findall(r"\brag_\w+", text)) <= KNOWN.keys()


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_a_dashboard_is_as_it_is_generated(file):
    spec = importlib.util.spec_from_file_location("dashboards", FOLDER / "dashboards.py")
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert {each.stem for each in DASHBOARDS} == module.DASHBOARDS.keys()
    assert file.read_text(encoding="utf-8") == module.dashboard(file.stem)


def promtool(*arguments: str) -> None:
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("promtool is not installed (Debian's package `prometheus`)")
    run = subprocess.run([tool, *arguments], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("command", [("check", "rules", "rules.yml"), ("test", "rules", "tests.yml")], ids=" ".join)
def test_prometheus_itself_agrees(command):
    *what, file = command
    promtool(*what, str(FOLDER / "prometheus" / file))


def test_prometheus_understands_what_the_dashboards_ask(tmp_path):
    """It has no check for expressions alone, so each becomes a rule."""
    asked = [text.replace("$__rate_interval", "5m") for place, text in expressions().items() if "rules" not in place]
    rules = [{"record": f"asked:{number}", "expr": text} for number, text in enumerate(asked)]
    file = tmp_path / "asked.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": rules}]}), encoding="utf-8")
    promtool("check", "rules", str(file))
