import json

import pytest

from rerank.batches import Question
from rerank.train import Clock, Progress, Settings, choose_held_out, parse, rate_factor, share_done


def test_the_learning_rate_rises_then_falls_to_zero():
    rates = [rate_factor(done / 1000, 0.06) for done in range(1001)]
    peak = rates.index(max(rates))
    assert peak == 60
    assert rates[peak] == pytest.approx(1.0)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[0] > 0
    assert rates[-1] == 0


def test_a_run_ends_by_steps_or_by_the_clock_and_needs_one_of_them():
    progress = Progress(step=30, elapsed_s=500.0)
    assert share_done(progress, Settings(max_steps=60)) == 0.5
    assert share_done(progress, Settings(max_wall_s=2000.0)) == 0.25
    assert share_done(progress, Settings(max_wall_s=100.0)) == 1.0
    with pytest.raises(ValueError, match="max-steps"):
        share_done(progress, Settings())


def test_a_task_is_due_once_per_interval():
    progress = Progress()
    clock = Clock(progress, Settings(checkpoint_every_s=10.0))
    progress.elapsed_s = 9.0
    assert not clock.is_due("checkpoint")
    progress.elapsed_s = 11.0
    assert clock.is_due("checkpoint")
    assert not clock.is_due("checkpoint")


def test_held_out_questions_are_taken_evenly():
    questions = [Question(dataset="ab"[n % 7 == 0], question=[n], passages=[]) for n in range(70)]
    chosen = choose_held_out(questions, 5)
    assert [item.dataset for item in chosen].count("a") == 5
    assert [item.dataset for item in chosen].count("b") == 5


def test_the_command_line_carries_the_settings():
    options = parse(["e", "s", "o", "--max-steps", "5", "--layers", "1,3,5", "--resume", "--learning-rate", "1e-4"])
    assert options.layers == (1, 3, 5)
    assert options.max_steps == 5
    assert options.resume
    assert options.learning_rate == 1e-4


def write_examples(path):
    words = ["amber", "birch", "cedar", "delta"]
    rows = [
        {
            "dataset": "toy", "question": f"where is {words[n % 4]}", "positive": f"{words[n % 4]} is here",
            "negatives": [f"{words[(n + k) % 4]} is here" for k in (1, 2, 3)], "held_out": n % 8 == 0,
        }
        for n in range(48)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_start(folder):
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import BertConfig, BertModel

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "where", "is", "here", "amber", "birch", "cedar", "delta"]
    tokenizer = Tokenizer(models.WordPiece({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))


@pytest.mark.torch
def test_a_resumed_run_ends_as_an_uninterrupted_one(tmp_path):
    import torch

    from rerank.batches import read_examples, tokenise
    from rerank.train import Trainer

    torch.manual_seed(0)
    write_start(tmp_path / "start")
    write_examples(tmp_path / "examples.jsonl")
    examples = read_examples(tmp_path / "examples.jsonl")

    def train(out, n_done, *, resume):
        trainer = Trainer(tmp_path / "start", tmp_path / out, Settings(max_steps=20, n_threads=1))
        if resume:
            trainer.resume()
        data = tokenise(examples, trainer.tokenizer)
        original = trainer.step

        def step(groups):
            if trainer.progress.step == n_done:
                trainer.save()
                raise KeyboardInterrupt
            return original(groups)

        trainer.step = step
        try:
            trainer.run(data[:30], data[30:])
        except KeyboardInterrupt:
            assert trainer.progress.step == n_done
        return trainer

    whole = train("whole", None, resume=False)
    train("broken", 9, resume=False)
    mended = train("broken", None, resume=True)
    assert mended.progress.step == whole.progress.step == 20
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(weight, mended.model.state_dict()[name]), name
