"""How many tokens a text has, asked thousands of times about pieces of the same text."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, pairwise

from tokenizers import Tokenizer
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

CHARS_PER_TOKEN = 10
"""A piece counts as at least one token for so many characters: a tokenizer may see one unknown token in a megabyte of
base64 and none in one of blanks, and neither makes a readable chunk."""

_BLANKS = frozenset(" \n\t")


class PieceMeter:
    """Measures pieces of one text in tokens, from one pass of the tokenizer over the whole of it.

    The count of a piece is the number of tokens of the whole text that start within it. That is exact where the piece
    begins and ends at token boundaries and close elsewhere, so what must be exact is asked of `exact_counts`.
    Measuring each piece by itself costs nine passes over the text. `n_tokens` is that of the whole, which is exact.
    """

    def __init__(self, tokenizer: Tokenizer, text: str) -> None:
        self._tokenizer = tokenizer
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
        return max(self._n_between(at, at + len(piece)), -(-len(piece) // CHARS_PER_TOKEN))

    def exact_counts(self, pieces: Sequence[str]) -> list[int]:
        """The tokens of each piece by itself, of pieces that tile the text.

        A tokenizer of BERT's kind sees words one by one: between blanks a piece has the tokens it has in the whole.
        """
        if not _sees_words(self._tokenizer):
            return exact_counts(self._tokenizer, pieces)
        bounds = [0, *accumulate(map(len, pieces))]
        counts = [self._n_between(start, stop) for start, stop in pairwise(bounds)]
        cuts_word = [_BLANKS.isdisjoint(self._text[at - 1 : at + 1]) for at in bounds[1:-1]]
        unsure = [index for index, cuts in enumerate(pairwise([False, *cuts_word, False])) if any(cuts)]
        for index, count in zip(unsure, exact_counts(self._tokenizer, [pieces[i] for i in unsure]), strict=True):
            counts[index] = count
        return counts

    def _n_between(self, start: int, stop: int) -> int:
        first = bisect_left(self._starts, start)
        return bisect_left(self._starts, stop, first) - first


def _sees_words(tokenizer: Tokenizer) -> bool:
    kinds = tokenizer.normalizer, tokenizer.pre_tokenizer
    return isinstance(kinds[0], BertNormalizer) and isinstance(kinds[1], BertPreTokenizer)


def exact_counts(tokenizer: Tokenizer, texts: Sequence[str]) -> list[int]:
    """The tokens of each text by itself, without the special tokens of the model."""
    if not texts:
        return []
    return [len(encoding) for encoding in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]
