"""Train the cross-encoder: listwise softmax over one right passage and several hard negatives.

`python -m rerank.train EXAMPLES START OUT --max-wall-s 5000` starts from the encoder in the folder START, reads what
`rerank.mine` wrote, and leaves a transformers folder in OUT/model, a checkpoint in OUT/checkpoint.pt and a log in
OUT/log.jsonl. `--resume` goes on from the checkpoint: the batches follow from the seed, so with `--max-steps` an
interrupted run ends as an uninterrupted one. `--max-wall-s` lets the learning rate follow the clock instead, for a
machine whose speed is not ours to know. `--layers 1,3,5 --teacher FOLDER` trains a smaller student that also learns
the scores of an exported cross-encoder.
"""

import argparse
import json
import os
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from rerank.batches import Group, Question, Shape, epoch_batches, join_pair, read_examples, tokenise
from rerank.teacher import open_teacher

EVALUATED_PER_DATASET = 25


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a run depends on besides its data and its start."""

    seed: int = 20261123
    shape: Shape = Shape()
    learning_rate: float = 6e-5
    head_learning_rate: float = 3e-4
    warmup_share: float = 0.06
    weight_decay: float = 0.01
    max_gradient: float = 1.0
    max_steps: int | None = None
    max_wall_s: float | None = None
    evaluate_every_s: float = 900.0
    checkpoint_every_s: float = 300.0
    n_threads: int = 2
    layers: tuple[int, ...] = ()
    teacher_share: float = 0.7
    teacher_temperature: float = 1.0


class Progress(msgspec.Struct, kw_only=True):
    """Where a run stands; saved with every checkpoint."""

    step: int = 0
    epoch: int = 0
    position: int = 0
    elapsed_s: float = 0.0


def share_done(progress: Progress, settings: Settings) -> float:
    """How much of the run is over, 0 to 1: by steps where they are limited, else by the clock."""
    if settings.max_steps is not None:
        return min(progress.step / settings.max_steps, 1.0)
    if settings.max_wall_s is not None:
        return min(progress.elapsed_s / settings.max_wall_s, 1.0)
    raise ValueError("a run needs an end: give --max-steps or --max-wall-s")


def rate_factor(done: float, warmup_share: float) -> float:
    """The learning rate as a share of its peak: a linear rise over the warm-up, then a linear fall to zero."""
    if done < warmup_share:
        return max(done / warmup_share, 0.01)
    return max((1.0 - done) / (1.0 - warmup_share), 0.0)


class Trainer:
    """One run: the model, its optimiser and where it stands."""

    def __init__(self, start: Path, out: Path, settings: Settings, teacher: Path | None = None) -> None:
        import torch
        from tokenizers import Tokenizer

        torch.manual_seed(settings.seed)
        torch.set_num_threads(settings.n_threads)
        self.settings, self.out, self.start, self.progress = settings, out, start, Progress()
        self.tokenizer = Tokenizer.from_file(str(start / "tokenizer.json"))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.special = (token_id(self.tokenizer, "[CLS]"), token_id(self.tokenizer, "[SEP]"))
        self.model = load_model(start, settings.layers)
        self.optimizer = make_optimizer(self.model, settings)
        self.teacher = open_teacher(teacher, settings.n_threads) if teacher else None
        out.mkdir(parents=True, exist_ok=True)

    def inputs(self, groups: Sequence[Group]) -> list[dict[str, Any]]:
        """Unpadded model inputs, one per pair, group after group."""
        pairs = [
            join_pair(group[0], passage, self.settings.shape.max_tokens, self.special)
            for group in groups
            for passage in group[1:]
        ]
        return [{"input_ids": ids, "token_type_ids": segments} for ids, segments in pairs]

    def scores(self, rows: Sequence[dict[str, Any]]) -> Any:
        """The model's score of every pair, `(n,)`, in float32."""
        import torch

        longest = max(len(row["input_ids"]) for row in rows)
        ids = torch.zeros((len(rows), longest), dtype=torch.int64)
        segments, mask = torch.zeros_like(ids), torch.zeros_like(ids)
        for at, row in enumerate(rows):
            n_tokens = len(row["input_ids"])
            ids[at, :n_tokens] = torch.tensor(row["input_ids"])
            segments[at, :n_tokens] = torch.tensor(row["token_type_ids"])
            mask[at, :n_tokens] = 1
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = self.model(input_ids=ids, token_type_ids=segments, attention_mask=mask)
        return output.logits[:, 0].float()

    def loss(self, groups: Sequence[Group]) -> Any:
        """Listwise cross-entropy; with a teacher, mixed with the divergence from its softened scores."""
        import torch
        from torch.nn import functional

        rows = self.inputs(groups)
        scores = self.scores(rows).view(len(groups), -1)
        loss = functional.cross_entropy(scores, torch.zeros(len(groups), dtype=torch.int64))
        if self.teacher is None:
            return loss
        heat, share = self.settings.teacher_temperature, self.settings.teacher_share
        wanted = torch.from_numpy(self.teacher(rows)).view(len(groups), -1)
        soft = functional.kl_div(
            functional.log_softmax(scores / heat, 1), functional.softmax(wanted / heat, 1), reduction="batchmean"
        )
        return (1 - share) * loss + share * heat * heat * soft

    def step(self, groups: Sequence[Group]) -> float:
        """One update; returns the loss before it."""
        import torch

        factor = rate_factor(share_done(self.progress, self.settings), self.settings.warmup_share)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        loss = self.loss(groups)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.max_gradient)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    def evaluate(self, questions: Sequence[Question]) -> dict[str, float]:
        """Mean reciprocal rank of the right passage among its mined negatives, per set and over the sets."""
        import torch

        self.model.eval()
        found: dict[str, list[float]] = defaultdict(list)
        with torch.inference_mode():
            for item in sorted(questions, key=lambda item: len(item.passages[0])):
                scores = self.scores(self.inputs([[item.question, *item.passages]]))
                found[item.dataset].append(1.0 / (1 + int((scores[1:] >= scores[0]).sum())))
        self.model.train()
        means = {name: sum(values) / len(values) for name, values in sorted(found.items())}
        return {"macro": sum(means.values()) / len(means)} | means

    def run(self, training: Sequence[Question], held_out: Sequence[Question]) -> None:
        """Train to the end, with evaluations and checkpoints on the way."""
        clock = Clock(self.progress, self.settings)
        losses: list[float] = []
        self.model.train()
        while share_done(self.progress, self.settings) < 1.0:
            batches = list(epoch_batches(training, f"{self.settings.seed}/{self.progress.epoch}", self.settings.shape))
            for groups in batches[self.progress.position :]:
                losses.append(self.step(groups))
                self.progress.step += 1
                self.progress.position += 1
                clock.tick()
                if self.progress.step % 20 == 0:
                    self.log({"loss": sum(losses) / len(losses)})
                    losses.clear()
                if clock.is_due("checkpoint"):
                    self.save()
                if clock.is_due("evaluate"):
                    self.log({"held_out_mrr": self.evaluate(held_out)})
                if share_done(self.progress, self.settings) >= 1.0:
                    break
            else:
                self.progress.epoch += 1
                self.progress.position = 0
        self.save()
        self.log({"held_out_mrr": self.evaluate(held_out), "finished": True})

    def log(self, record: dict[str, Any]) -> None:
        """Append one line to OUT/log.jsonl."""
        where = {"share_done": round(share_done(self.progress, self.settings), 4)}
        line = json.dumps(msgspec.to_builtins(self.progress) | where | record)
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def save(self) -> None:
        """Write the checkpoint, whole or not at all, and the model as a transformers folder."""
        import torch

        state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        state |= {"progress": msgspec.to_builtins(self.progress), "random": torch.get_rng_state()}
        torch.save(state, self.out / "checkpoint.tmp")
        (self.out / "checkpoint.tmp").replace(self.out / "checkpoint.pt")
        self.model.save_pretrained(self.out / "model")
        for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
            if (self.start / name).is_file():
                (self.out / "model" / name).write_bytes((self.start / name).read_bytes())

    def resume(self) -> None:
        """Go back to the checkpoint."""
        import torch

        state = torch.load(self.out / "checkpoint.pt", weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        self.progress = msgspec.convert(state["progress"], Progress)


class Clock:
    """Adds working time to a run's progress and says when something is due."""

    def __init__(self, progress: Progress, settings: Settings) -> None:
        self._progress = progress
        self._every = {"checkpoint": settings.checkpoint_every_s, "evaluate": settings.evaluate_every_s}
        self._last = dict.fromkeys(self._every, progress.elapsed_s)
        self._now = time.monotonic()

    def tick(self) -> None:
        """Count the time since the last tick."""
        now = time.monotonic()
        self._progress.elapsed_s += now - self._now
        self._now = now

    def is_due(self, what: str) -> bool:
        """Whether the interval of `what` is over; if so, the next one begins."""
        due = self._progress.elapsed_s - self._last[what] >= self._every[what]
        if due:
            self._last[what] = self._progress.elapsed_s
        return due


def token_id(tokenizer: Any, token: str) -> int:
    """The id of a special token. Raises ValueError where the tokenizer has none."""
    found = tokenizer.token_to_id(token)
    if found is None:
        raise ValueError(f"the tokenizer has no {token}: start from a BERT encoder")
    return int(found)


def load_model(start: Path, layers: Sequence[int]) -> Any:
    """The encoder in `start` with a head of one score; with `layers`, only those, in that order."""
    import torch
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(
        start, num_labels=1, local_files_only=True, dtype=torch.float32,
        attention_probs_dropout_prob=0.0, hidden_dropout_prob=0.0,  # less than an epoch: nothing to overfit
    )  # fmt: skip  # a long list of plain fields reads better unexploded
    if layers:
        stack = model.base_model.encoder
        stack.layer = torch.nn.ModuleList([stack.layer[index] for index in layers])
        model.config.num_hidden_layers = len(layers)
    model.base_model.embeddings.word_embeddings.weight.requires_grad_(False)
    return model


def make_optimizer(model: Any, settings: Settings) -> Any:
    """AdamW with a faster head and no decay of biases and norms; each group remembers its peak rate."""
    import torch

    groups = []
    for is_head in (False, True):
        for is_matrix in (False, True):
            chosen = [
                weight
                for name, weight in model.named_parameters()
                if weight.requires_grad and name.startswith("classifier") is is_head and (weight.ndim > 1) is is_matrix
            ]
            peak = settings.head_learning_rate if is_head else settings.learning_rate
            groups.append({"params": chosen, "peak": peak, "weight_decay": settings.weight_decay * is_matrix})
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)


def choose_held_out(questions: Sequence[Question], n_each: int = EVALUATED_PER_DATASET) -> list[Question]:
    """The first `n_each` questions of every set, in order."""
    n_taken: dict[str, int] = defaultdict(int)
    chosen = []
    for item in questions:
        n_taken[item.dataset] += 1
        if n_taken[item.dataset] <= n_each:
            chosen.append(item)
    return chosen


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train the cross-encoder on mined examples.")
    parser.add_argument("examples", type=Path)
    parser.add_argument("start", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--max-steps", type=int)
    parser.add_argument("--max-wall-s", type=float)
    parser.add_argument("--layers", type=lambda text: tuple(int(part) for part in text.split(",")), default=())
    parser.add_argument("--teacher", type=Path)
    parser.add_argument("--resume", action="store_true")
    for name in ("seed", "n_threads"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(Settings(), name))
    for name in ("learning_rate", "evaluate_every_s", "checkpoint_every_s"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=getattr(Settings(), name))
    return parser.parse_args(arguments)


def main() -> None:
    """Train as the command line says."""
    # Threads that spin while they wait doubled the CPU time of a step on a machine shared with others (2026-11-23).
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    options = vars(parse())
    given = {name: value for name, value in options.items() if name in Settings.__struct_fields__}
    trainer = Trainer(options["start"], options["out"], Settings(**given), options["teacher"])
    if options["resume"]:
        trainer.resume()
    examples = read_examples(options["examples"])
    training = tokenise([example for example in examples if not example.held_out], trainer.tokenizer)
    held_out = tokenise([example for example in examples if example.held_out], trainer.tokenizer)
    trainer.run(training, choose_held_out(held_out))


if __name__ == "__main__":
    main()
