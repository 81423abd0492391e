"""`python -m rag.index.optimize SHARD`: builds the search index of a shard that no process has open."""

import sys

from qdrant_edge import EdgeShard

from rag.base.priority import BULK, step_back


def main(path: str) -> None:
    """Loads the shard, optimizes it and writes it out, behind whoever answers questions meanwhile."""
    step_back(BULK)
    shard = EdgeShard.load(path)
    try:
        shard.optimize()
    finally:
        shard.close()


if __name__ == "__main__":
    main(sys.argv[1])
