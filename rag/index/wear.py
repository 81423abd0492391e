"""What writing does to an index that is never built anew. Pure."""

from msgspec import Struct


class Wear(Struct, frozen=True, kw_only=True):
    """Of an index's chunks, how many a search compares one by one, and how many others are gone.

    Those that are gone still take their place in memory and on disk.
    """

    n_chunks: int = 0
    n_one_by_one: int = 0
    n_gone: int = 0

    def pays(self, after_chunks: int) -> bool:
        """Whether building anew does: for a tenth that is searched one by one, or half as much again that is gone.

        Never for less than `after_chunks`, and not at all when that is 0.
        """
        return bool(after_chunks) and (
            self.n_one_by_one >= max(after_chunks, self.n_chunks // 10)
            or self.n_gone >= max(after_chunks, self.n_chunks // 2)
        )
