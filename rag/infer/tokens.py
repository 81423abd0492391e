"""Text to token ids, as the models were trained on them."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
from tokenizers import Encoding, Tokenizer

from rag.base.errors import ConfigError


class TokenRow(msgspec.Struct, frozen=True):
    """The ids of one input, special tokens included; `types` is 1 on the second text of a pair."""

    ids: tuple[int, ...]
    types: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.ids)


def load_tokenizer(file: Path, max_length_tokens: int) -> Tokenizer:
    """A tokenizer that cuts at the model's limit and does not pad; safe to share between threads."""
    return cut_at(Tokenizer.from_file(str(file)), max_length_tokens)


def load_counter(file: Path) -> Tokenizer:
    """A tokenizer that neither cuts nor pads, for measuring texts. Raises ConfigError."""
    try:
        return uncut(Tokenizer.from_file(str(file)))
    except Exception as fault:  # the library raises plain Exception
        raise ConfigError(f"{file} is no tokenizer of the tokenizers library: {type(fault).__name__}") from fault


def cut_at(tokenizer: Tokenizer, max_length_tokens: int) -> Tokenizer:
    """The tokenizer itself, set to cut there and not to pad."""
    tokenizer.enable_truncation(max_length=max_length_tokens)
    tokenizer.no_padding()
    return tokenizer


def uncut(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer itself, set neither to cut nor to pad."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def text_rows(tokenizer: Tokenizer, texts: Sequence[str]) -> list[TokenRow]:
    """One row per text."""
    if len(texts) == 1:  # without a way through the library's own threads, which would have to be woken
        return [_row(tokenizer.encode(texts[0]))]
    return [_row(encoding) for encoding in tokenizer.encode_batch_fast(list(texts))]  # without offsets


def pair_rows(tokenizer: Tokenizer, question: str, passages: Sequence[str]) -> list[TokenRow]:
    """One row per (question, passage); the passage is cut first where the pair is too long."""
    return [_row(encoding) for encoding in tokenizer.encode_batch([(question, passage) for passage in passages])]


def lengths_of(tokenizer: Tokenizer, texts: Sequence[str]) -> list[int]:
    """The tokens of each text, special ones included."""
    return [len(encoding.ids) for encoding in tokenizer.encode_batch(list(texts))]


def _row(encoding: Encoding) -> TokenRow:
    return TokenRow(tuple(encoding.ids), tuple(encoding.type_ids))
