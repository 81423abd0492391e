"""Writes the Grafana dashboards beside it: `python examples/observability/dashboards.py`. The result is committed."""

from pathlib import Path
from string import ascii_uppercase

from grafana_foundation_sdk.builders.common import VizLegendOptions
from grafana_foundation_sdk.builders.dashboard import Dashboard, DatasourceVariable
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.timeseries import Panel
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import DataSourceRef

FOLDER = Path(__file__).parent / "dashboards"
SOURCE = DataSourceRef(type_val="prometheus", uid="${source}")

Row = tuple[str, str, str, dict[str, str]]
"""Title, unit, what it tells, and expressions by legend."""


def rate(metric: str, by: str = "", where: str = "") -> str:
    """How much a counter grows in a second."""
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{where}[$__rate_interval]))"


def share(part: str, metric: str, by: str = "") -> str:
    """The share of what a counter counts that has the labels `part`."""
    return f"{rate(metric, by, part)} / {rate(metric, by)}"


def quantile(q: float, metric: str, by: str = "") -> str:
    """A quantile of a histogram."""
    return f"histogram_quantile({q}, {rate(f'{metric}_bucket', f'le, {by}' if by else 'le')})"


def mean(metric: str, by: str = "") -> str:
    """The mean of a histogram."""
    return f"{rate(f'{metric}_sum', by)} / {rate(f'{metric}_count', by)}"


PER_DOCUMENT = " / ignoring(use) group_left max(rag_corpus_documents)"
PER_QUESTION = f" / ignoring(stage) group_left {rate('rag_requests_total')}"

DASHBOARDS: dict[str, list[Row]] = {
    "service": [
        ("Questions", "reqps", "By outcome.", {"{{outcome}}": rate("rag_requests_total", "outcome")}),
        (
            "Failed and shed",
            "percentunit",
            "The share of questions that got no answer.",
            {
                "failed": share('{outcome="error"}', "rag_requests_total"),
                "shed": share('{outcome="shed"}', "rag_requests_total"),
            },
        ),
        (
            "Seconds to the whole answer",
            "s",
            "Points are traces: `rag traces show`.",
            {
                "p50": quantile(0.5, "rag_request_duration_seconds"),
                "p95": quantile(0.95, "rag_request_duration_seconds"),
            },
        ),
        (
            "Seconds to the first text",
            "s",
            "",
            {"p50": quantile(0.5, "rag_ttft_seconds"), "p95": quantile(0.95, "rag_ttft_seconds")},
        ),
        ("Seconds by stage, p95", "s", "", {"{{stage}}": quantile(0.95, "rag_stage_duration_seconds", "stage")}),
        (
            "Degraded stages",
            "reqps",
            "A degraded answer is still one.",
            {"{{stage}}": rate("rag_stage_errors_total", "stage")},
        ),
        ("Errors by class", "reqps", "", {"{{error_type}}": rate("rag_request_errors_total", "error_type")}),
        ("HTTP by status", "reqps", "", {"{{route}} {{status}}": rate("rag_http_requests_total", "route, status")}),
        ("Ready", "short", "", {"{{instance}}": "rag_ready"}),
        ("Records lost", "reqps", "", {"{{sink}} {{reason}}": rate("rag_log_dropped_total", "sink, reason")}),
    ],
    "cost-and-cache": [
        ("Dollars an hour", "currencyUSD", "", {"{{model}}": f"3600 * {rate('rag_cost_usd_total', 'model')}"}),
        (
            "Dollars a question",
            "currencyUSD",
            "",
            {"all": f"{rate('rag_cost_usd_total')} / {rate('rag_requests_total')}"},
        ),
        (
            "Dollars an hour that memory saved",
            "currencyUSD",
            "",
            {"{{tier}}": f"3600 * {rate('rag_cost_saved_usd_total', 'tier')}"},
        ),
        ("Tokens", "short", "In a second.", {"{{model}} {{kind}}": rate("rag_llm_tokens_total", "model, kind")}),
        (
            "Read from the provider's cache",
            "percentunit",
            "Of the input.",
            {
                "{{model}}": " / ".join(
                    rate("rag_llm_tokens_total", "model", f'{{kind="{kind}"}}') for kind in ("cached", "input")
                )
            },
        ),
        (
            "Answers from memory",
            "percentunit",
            "The share of lookups that hit.",
            {"all": share('{result="hit"}', "rag_cache_lookups_total")},
        ),
        ("Lookups", "reqps", "", {"{{tier}} {{result}}": rate("rag_cache_lookups_total", "tier, result")}),
        (
            "Kept answers not used",
            "reqps",
            "By what spoke against it.",
            {"{{reason}}": rate("rag_cache_rejections_total", "reason")},
        ),
        (
            "Gateway's replies",
            "reqps",
            "That memory has a part in.",
            {"{{result}}": rate("rag_reply_lookups_total", "result")},
        ),
        ("Calls by result", "reqps", "", {"{{target}} {{result}}": rate("rag_llm_attempts_total", "target, result")}),
        (
            "Fallbacks",
            "reqps",
            "",
            {"{{source}} to {{target}}: {{reason}}": rate("rag_llm_fallbacks_total", "source, target, reason")},
        ),
        ("Breakers", "short", "0 closed, 1 probing, 2 open.", {"{{target}}": "max by (target) (rag_breaker_state)"}),
    ],
    "quality": [
        (
            "Refused",
            "percentunit",
            "The documents do not say.",
            {"all": share('{outcome="refused"}', "rag_requests_total")},
        ),
        (
            "Nothing found",
            "percentunit",
            "",
            {"all": f"{rate('rag_retrieval_empty_total')} / {rate('rag_requests_total')}"},
        ),
        (
            "Cosine of the nearest passage",
            "short",
            "Falls when questions drift away from the documents.",
            {"p10": quantile(0.1, "rag_retrieval_top_score"), "p50": quantile(0.5, "rag_retrieval_top_score")},
        ),
        (
            "Confidence",
            "short",
            "Where the model tells one.",
            {"p10": quantile(0.1, "rag_answer_confidence"), "p50": quantile(0.5, "rag_answer_confidence")},
        ),
        (
            "Documents of use",
            "percentunit",
            "The share that answers of the last day found, and the share that they cited.",
            {"{{use}}": "max by (use) (rag_corpus_documents_used)" + PER_DOCUMENT},
        ),
        ("Degraded answers", "percentunit", "", {"{{stage}}": rate("rag_stage_errors_total", "stage") + PER_QUESTION}),
    ],
    "capacity": [
        (
            "In flight",
            "short",
            "And how many may be.",
            {"{{instance}}": "rag_inflight_requests", "{{instance}} limit": "rag_concurrency_limit"},
        ),
        ("Waiting", "short", "When the last batch ended.", {"{{queue}}": "sum by (queue) (rag_queue_depth)"}),
        (
            "Wait, p95",
            "s",
            "Of the oldest of a batch.",
            {"{{queue}}": quantile(0.95, "rag_queue_wait_seconds", "queue")},
        ),
        ("Batch size", "short", "", {"{{queue}}": mean("rag_batch_size", "queue")}),
        (
            "Padding",
            "percentunit",
            "Computed for nothing.",
            {"{{queue}}": share('{kind="padding"}', "rag_batch_tokens_total", "queue")},
        ),
        ("Batches that failed", "reqps", "", {"{{queue}}": rate("rag_batch_failures_total", "queue")}),
        ("Shed", "reqps", "", {"{{reason}}": rate("rag_shed_total", "reason")}),
        (
            "First output by target, p95",
            "s",
            "",
            {"{{target}}": quantile(0.95, "rag_llm_first_output_seconds", "target")},
        ),
        ("Start", "s", "By phase.", {"{{phase}}": "max by (phase) (rag_startup_seconds)"}),
        (
            "Versions",
            "short",
            "",
            {"{{version}} {{embedder}} {{index}}": "count by (version, embedder, index) (rag_build_info)"},
        ),
    ],
}


def panel(row: Row) -> Panel:
    """One graph."""
    title, unit, description, expressions = row
    legend = VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM).show_legend(True)
    drawn = (
        Panel().title(title).unit(unit).description(description).datasource(SOURCE).span(12).height(8).legend(legend)
    )
    for letter, (name, expression) in zip(ascii_uppercase, expressions.items(), strict=False):
        query = (
            Dataquery().expr(expression).legend_format(name).ref_id(letter).exemplar("histogram_quantile" in expression)
        )
        drawn = drawn.with_target(query)
    return drawn


def dashboard(name: str) -> str:
    """One dashboard as JSON."""
    built = (
        Dashboard(f"Groundwire: {name.replace('-', ' ')}")
        .uid(f"groundwire-{name}")
        .tags(["groundwire"])
        .refresh("30s")
        .time("now-6h", "now")
        .with_variable(DatasourceVariable("source").label("Prometheus").type("prometheus"))
    )
    for row in DASHBOARDS[name]:
        built = built.with_panel(panel(row))
    return JSONEncoder(sort_keys=True, indent=2).encode(built.build()) + "\n"


if __name__ == "__main__":
    for each in DASHBOARDS:
        (FOLDER / f"{each}.json").write_text(dashboard(each), encoding="utf-8")
