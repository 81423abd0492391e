"""How many tokens a text has, asked thousands of times about pieces of the same text."""

from bisect import bisect_left
from collections.abc import Sequence

from tokenizers import Tokenizer

CHARS_PER_TOKEN = 10
"""A piece counts as at least one token for so many characters: a tokenizer may see one unknown token in a megabyte of
base64 and none in one of blanks, and neither makes a readable chunk."""


class PieceMeter:
    """Measures pieces of one text in tokens, from one pass of the tokenizer over the whole of it.

    The count of a piece is the number of tokens of the whole text that start within it. That is exact where the piece
    begins and ends at token boundaries and close elsewhere, so what must be exact is checked with `exact_counts`.
    Measuring each piece by itself costs nine passes over the text. `n_tokens` is that of the whole, which is exact.
    """

    def __init__(self, tokenizer: Tokenizer, text: str) -> None:
        self._text = text
        offsets = tokenizer.encode(text, add_special_tokens=False).offsets
        self._starts = [start for start, _ in offsets]
        self._at = 0
        self.n_tokens = len(offsets)

    def __call__(self, piece: str) -> int:
        """The size of a piece. Wherever an equal piece stands in the text, it has as many tokens: any place will do."""
        at = self._text.find(piece, self._at)
        if at < 0:
            at = max(self._text.find(piece), 0)
        self._at = at
        first = bisect_left(self._starts, at)
        last = bisect_left(self._starts, at + len(piece), first)
        return max(last - first, -(-len(piece) // CHARS_PER_TOKEN))


def exact_counts(tokenizer: Tokenizer, texts: Sequence[str]) -> list[int]:
    """The tokens of each text by itself, without the special tokens of the model."""
    return [len(encoding) for encoding in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]
