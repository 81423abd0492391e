"""Transformer folders with random weights, small enough to be made and exported within a test."""

from pathlib import Path

WORDS = "how do i the signing key yes error quick brown fox passage question and is of a in".split()  # noqa: SIM905  # a row of words reads better
WIDTH = 64


def save_model(folder: Path, *, scored: bool) -> None:
    """A BERT of three layers with its tokenizer; `scored` gives it a head with one score, as cross-encoders have."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizerFast

    torch.manual_seed(0)
    vocabulary = {word: at for at, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    BertTokenizerFast(tokenizer_object=tokenizer, model_max_length=512).save_pretrained(folder)
    config = BertConfig(
        vocab_size=4000, hidden_size=WIDTH, num_hidden_layers=3, num_attention_heads=4, intermediate_size=128,
        num_labels=1, initializer_range=0.2,
    )  # fmt: skip
    model = BertForSequenceClassification(config) if scored else BertModel(config)
    model.save_pretrained(folder)


def save_bi_encoder(folder: Path, *, pooling: str = "mean", prompts: dict[str, str] | None = None) -> None:
    """The same BERT with what sentence-transformers keeps beside the weights."""
    from sentence_transformers import SentenceTransformer, models

    save_model(folder / "plain", scored=False)
    words = models.Transformer(str(folder / "plain"), max_seq_length=32)
    pooled = models.Pooling(WIDTH, pooling_mode=pooling)
    SentenceTransformer(modules=[words, pooled, models.Normalize()], prompts=prompts).save(str(folder))
