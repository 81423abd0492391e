"""Which text a prompt's name means."""

from pathlib import Path

import pytest

from rag.base.errors import ConfigError
from rag.base.template import ANSWERING, SUMMARISING
from rag.pipeline.prompts import PromptBook, PromptConfig, prompts_in, with_files


def text(words: str) -> str:
    return f"# system\n{words}\n# user\n{{sources}}\n{{question}}\n"


def said_by(book: PromptBook, reference: str) -> str | None:
    version = book.find(reference)
    return version.template.system if version else None


def configured(labels: dict[str, int] | None = None, **versions: str) -> PromptBook:
    numbered = {number.removeprefix("v"): text(words) for number, words in versions.items()}
    return PromptBook({"answer": PromptConfig(versions=numbered, labels=labels or {})})


def test_a_version_is_found_by_its_number_and_by_its_labels():
    book = configured({"production": 2, "staging": 3}, v2="two", v3="three", v10="ten")
    assert [said_by(book, f"answer@{which}") for which in ("2", "3", "10", "staging", "production")] == [
        "two",
        "three",
        "ten",
        "three",
        "two",
    ]
    assert said_by(book, "answer@1") == said_by(PromptBook(), "answer"), "what ships is one of the versions"
    for nobody in ("answer@4", "answer@latest", "answer@", "other", "other@1"):
        assert book.find(nobody) is None


def test_a_bare_name_is_its_production_or_else_the_newest_of_ones_own():
    assert said_by(configured({"production": 1, "staging": 2}, v2="two"), "answer") == said_by(PromptBook(), "answer@1")
    assert said_by(configured({"staging": 1}, v2="two", v9="nine", v10="ten"), "answer") == "ten"
    assert said_by(configured(v1="mine"), "answer") == "mine", "what is one's own goes before what ships"
    assert said_by(configured({"staging": 1}), "answer") == said_by(PromptBook(), "answer@1")


def test_all_versions_are_listed_with_their_labels():
    book = configured({"production": 2, "best": 2, "old": 1}, v2="two")
    assert [
        (name, version.number, labels, version.is_shipped) for name, version, labels in book if name == "answer"
    ] == [
        ("answer", 1, ("old",), True),
        ("answer", 2, ("best", "production"), False),
    ]
    assert "answer@1, answer@old, answer@2, answer@best, answer@production" in book.known


def test_a_label_of_no_version_and_a_text_that_is_no_prompt_are_refused_with_their_place():
    with pytest.raises(ConfigError, match="no version 7") as refused:
        configured({"production": 7}, v2="two")
    assert refused.value.path == "$.prompts.answer.labels.production"
    with pytest.raises(
        ConfigError, match=r"setting \$\.prompts\.answer\.versions\.2: the prompt 'answer\.v2'"
    ) as refused:
        PromptBook({"answer": PromptConfig(versions={"2": "Answer!"})})
    assert refused.value.path == "$.prompts.answer.versions.2"


def test_a_setting_gets_the_kind_of_prompt_that_it_needs():
    book = configured(v2="two")
    assert book.template("answer@2", ANSWERING, "$.answer.prompt").system == "two"
    for reference, places, fault in (
        ("answer@9", ANSWERING, "there is no prompt 'answer@9'; there is: answer@1, answer@2"),
        ("answer@2", SUMMARISING, "it lacks {conversation}"),
    ):
        with pytest.raises(ConfigError, match=fault) as refused:
            book.template(reference, places, "$.routes.r.prompt")
        assert refused.value.path == "$.routes.r.prompt"


def test_files_of_a_folder_are_versions(tmp_path: Path):
    (tmp_path / "answer.v2.md").write_text(text("two"))
    (tmp_path / "answer.v12.md").write_text(text("twelve"))
    (tmp_path / "short_one.v1.md").write_text(text("short"))
    (tmp_path / "README.md").write_text("What this folder is for.")
    (tmp_path / "notes.txt").write_text("Nothing.")
    found = prompts_in(tmp_path)
    assert {name: sorted(config.versions) for name, config in found.items()} == {
        "answer": ["12", "2"],
        "short_one": ["1"],
    }
    written = {"answer": PromptConfig(labels={"production": 2}), "other": PromptConfig(versions={"1": text("other")})}
    book = PromptBook(with_files(written, found))
    assert [said_by(book, name) for name in ("answer", "answer@12", "short_one", "other")] == [
        "two",
        "twelve",
        "short",
        "other",
    ]


def test_a_version_has_one_text(tmp_path: Path):
    (tmp_path / "answer.v2.md").write_text(text("two"))
    found = prompts_in(tmp_path)
    assert with_files({"answer": found["answer"]}, found) == found
    with pytest.raises(ConfigError, match=r"the file answer\.v2\.md says something else") as refused:
        with_files({"answer": PromptConfig(versions={"2": text("zwei")})}, found)
    assert refused.value.path == "$.prompts.answer.versions.2"


@pytest.mark.parametrize("name", ["answer.2.md", "answer.v02.md", "Answer.v2.md", "answer.md"])
def test_a_file_that_is_named_otherwise_is_refused(tmp_path: Path, name: str):
    (tmp_path / name).write_text(text("two"))
    with pytest.raises(ConfigError, match=r"NAME\.vNUMBER\.md"):
        prompts_in(tmp_path)


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match="gone") as refused:
        prompts_in(tmp_path / "gone")
    assert refused.value.path == "$.prompts_dir"
