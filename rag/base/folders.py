"""Folders for what is not for everyone's eyes."""

from pathlib import Path


def private_folder(path: Path) -> None:
    """Makes the folder if it is not there, open to this user only: it will hold documents, questions and a token.

    One that is there keeps its mode, which somebody chose.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
