"""Every metric that Groundwire exports: its name, labels, unit and meaning. Nothing else may be exported.

No label names a user, a tenant, a question or a trace, so that the number of series is bounded by the configuration.
Rates and ratios are left to PromQL.
"""

from typing import Final, Literal

from msgspec import Struct

Kind = Literal["counter", "gauge", "histogram"]

STAGE_BUCKETS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
REQUEST_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SIZE_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64)
SHARE_BUCKETS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


class Metric(Struct, frozen=True, kw_only=True):
    """One entry of the catalogue."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


REQUESTS: Final = Metric(
    name="rag_requests_total",
    kind="counter",
    help="Questions by outcome: answered, refused (insufficient evidence), cache_hit, error, shed, left.",
    labels=("outcome",),
)
REQUEST_SECONDS: Final = Metric(
    name="rag_request_duration_seconds",
    kind="histogram",
    help="Seconds from a question's arrival to the end of its answer.",
    buckets=REQUEST_BUCKETS_S,
)
TTFT_SECONDS: Final = Metric(
    name="rag_ttft_seconds",
    kind="histogram",
    help="Seconds from a question's arrival to the first text of its answer.",
    buckets=REQUEST_BUCKETS_S,
)
STAGE_SECONDS: Final = Metric(
    name="rag_stage_duration_seconds",
    kind="histogram",
    help="Seconds that a question spent in one stage.",
    labels=("stage",),
    buckets=STAGE_BUCKETS_S,
)
STAGE_ERRORS: Final = Metric(
    name="rag_stage_errors_total",
    kind="counter",
    help="Stages that failed or ran out of time, so that the answer was degraded.",
    labels=("stage",),
)
ERRORS: Final = Metric(
    name="rag_request_errors_total",
    kind="counter",
    help="Questions that ended in an error, by its class.",
    labels=("error_type",),
)
SHED: Final = Metric(
    name="rag_shed_total",
    kind="counter",
    help="Questions refused for want of capacity: overloaded or quota.",
    labels=("reason",),
)
CACHE_LOOKUPS: Final = Metric(
    name="rag_cache_lookups_total",
    kind="counter",
    help="Lookups in the answer cache by result, and by tier (none on a miss).",
    labels=("tier", "result"),
)
CACHE_REJECTIONS: Final = Metric(
    name="rag_cache_rejections_total",
    kind="counter",
    help="Kept answers that were near and not served, by what spoke against them.",
    labels=("reason",),
)
REPLY_LOOKUPS: Final = Metric(
    name="rag_reply_lookups_total",
    kind="counter",
    help="Requests of the gateway that could be answered from memory, by result: hit, miss, bypass, off.",
    labels=("result",),
)
LLM_TOKENS: Final = Metric(
    name="rag_llm_tokens_total",
    kind="counter",
    help="Tokens that model calls are charged for, by kind: input, output, and cached, which is a part of input.",
    labels=("provider", "model", "kind"),
)
COST: Final = Metric(
    name="rag_cost_usd_total",
    kind="counter",
    help="What model calls cost in US dollars, where the price is known.",
    labels=("provider", "model"),
)
COST_SAVED: Final = Metric(
    name="rag_cost_saved_usd_total",
    kind="counter",
    help="What answers from memory would have cost in US dollars, where that is known.",
    labels=("tier",),
)
LLM_ATTEMPTS: Final = Metric(
    name="rag_llm_attempts_total",
    kind="counter",
    help="Calls of models by what they came to: ok, cancelled, or a class of failure.",
    labels=("target", "provider", "model", "result"),
)
LLM_FALLBACKS: Final = Metric(
    name="rag_llm_fallbacks_total",
    kind="counter",
    help="Calls that took over from another one, by the failure of that.",
    labels=("source", "target", "reason"),
)
LLM_FIRST_OUTPUT: Final = Metric(
    name="rag_llm_first_output_seconds",
    kind="histogram",
    help="Seconds from a call of a model to its first output.",
    labels=("target",),
    buckets=REQUEST_BUCKETS_S,
)
BREAKER_STATE: Final = Metric(
    name="rag_breaker_state",
    kind="gauge",
    help="0 while a target is used, 1 while it is tried, 2 while it is left alone; as of its last call.",
    labels=("target",),
)
TOP_SCORE: Final = Metric(
    name="rag_retrieval_top_score",
    kind="histogram",
    help="Cosine of the question and its nearest passage.",
    buckets=SHARE_BUCKETS,
)
EMPTY: Final = Metric(name="rag_retrieval_empty_total", kind="counter", help="Questions for which nothing was found.")
CONFIDENCE: Final = Metric(
    name="rag_answer_confidence",
    kind="histogram",
    help="How sure the model was that the documents answer the question, where it says.",
    buckets=SHARE_BUCKETS,
)
DOCUMENTS: Final = Metric(name="rag_corpus_documents", kind="gauge", help="Documents in the index.")
DOCUMENTS_USED: Final = Metric(
    name="rag_corpus_documents_used",
    kind="gauge",
    help="Different documents of the last 24 hours' answers, by use: retrieved or cited.",
    labels=("use",),
)
INFLIGHT: Final = Metric(name="rag_inflight_requests", kind="gauge", help="Questions being answered now.")
CONCURRENCY_LIMIT: Final = Metric(
    name="rag_concurrency_limit",
    kind="gauge",
    help="Questions that may be worked on at a time now; it follows how fast they are answered.",
)
QUEUE_DEPTH: Final = Metric(
    name="rag_queue_depth",
    kind="gauge",
    help="Items that waited for a shared backend when its last batch ended.",
    labels=("queue",),
)
QUEUE_WAIT: Final = Metric(
    name="rag_queue_wait_seconds",
    kind="histogram",
    help="How long the oldest item of a batch had waited.",
    labels=("queue",),
    buckets=STAGE_BUCKETS_S,
)
BATCH_SIZE: Final = Metric(
    name="rag_batch_size", kind="histogram", help="Items in a batch.", labels=("queue",), buckets=SIZE_BUCKETS
)
BATCH_TOKENS: Final = Metric(
    name="rag_batch_tokens_total",
    kind="counter",
    help="Tokens that batches ran, by kind: real, or padding, which is computed for nothing.",
    labels=("queue", "kind"),
)
BATCH_FAILURES: Final = Metric(
    name="rag_batch_failures_total", kind="counter", help="Batches whose run failed.", labels=("queue",)
)
LOG_DROPPED: Final = Metric(
    name="rag_log_dropped_total",
    kind="counter",
    help="Records that were not written, by sink and reason: full (the queue), failed (the database).",
    labels=("sink", "reason"),
)
STARTUP_SECONDS: Final = Metric(
    name="rag_startup_seconds", kind="gauge", help="Seconds that each phase of the start took.", labels=("phase",)
)
READY: Final = Metric(name="rag_ready", kind="gauge", help="1 while requests may be sent here, else 0.")
BUILD: Final = Metric(
    name="rag_build_info",
    kind="gauge",
    help="Always 1; the labels say what runs.",
    labels=("version", "embedder", "reranker", "index"),
)
HTTP_REQUESTS: Final = Metric(
    name="rag_http_requests_total",
    kind="counter",
    help="HTTP requests by method, route and status; methods and paths that nobody knows count as other.",
    labels=("method", "route", "status"),
)

CATALOGUE: Final = tuple(each for each in vars().values() if isinstance(each, Metric))
