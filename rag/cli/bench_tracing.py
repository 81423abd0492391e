"""`rag bench tracing`."""

import click


@click.command("tracing")
@click.option("--rounds", type=click.IntRange(1, 1_000), default=20, show_default=True)
@click.option("--questions", type=click.IntRange(1, 100_000), default=200, show_default=True, help="Of each round.")
def tracing(rounds: int, questions: int) -> None:
    """Measure what a trace costs of processor time, by turns with tracing off."""
    from rag.bench.tracing import measure

    for cost in measure(rounds, questions):
        click.echo(f"{cost.mode:26s} {cost.question_us:8.1f} µs a question, of it the trace {cost.trace_us:7.1f} µs")
