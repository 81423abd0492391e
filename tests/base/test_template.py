"""What a prompt must be, and that what is put into it is never read as one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.base.errors import ConfigError
from rag.base.template import ANSWERING, SUMMARISING, template_of

TEXT = "# system\nBe brief.\n\n# user\nSources:\n\n{sources}\n\nQuestion: {question}\n"


def test_a_prompt_is_two_parts_with_places():
    template = template_of("answer.v2", TEXT)
    assert (template.system, template.places) == ("Be brief.", ANSWERING)
    assert template.user == "Sources:\n\n{sources}\n\nQuestion: {question}"
    assert template_of("sum.v1", "# system\nx\n# user\n{conversation}").places == SUMMARISING


def test_a_changed_text_and_another_number_have_other_names():
    names = {template_of(name, text).name for name in ("answer.v2", "answer.v3") for text in (TEXT, TEXT + ".")}
    assert len(names) == 4
    assert all(name.startswith(("answer.v2#", "answer.v3#")) for name in names)


@given(st.text(), st.text())
def test_what_is_put_in_is_not_a_template(question: str, sources: str):
    filled = template_of("a.v1", TEXT).filled({"question": question + "{sources}", "sources": sources + "{question}"})
    assert filled == f"Sources:\n\n{sources}{{question}}\n\nQuestion: {question}{{sources}}"


def test_a_question_may_stand_there_twice_and_braces_of_other_kinds_are_text():
    text = '# system\nGive {"a": 1} and {}.\n# user\n{question}\n{sources}\n{question} {Name} {"b": [2]}'
    filled = template_of("a.v1", text).filled({"question": "q", "sources": "s"})
    assert filled == 'q\ns\nq {Name} {"b": [2]}'


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "a part '# system'"),
        ("# user\n{sources}{question}\n", "a part '# system'"),
        ("# user\n{sources}{question}\n# system\nx", "a part '# system'"),
        ("a note\n" + TEXT, "a part '# system'"),
        (TEXT + "# user\n{sources}{question}", "no more"),
        ("# system\nx\n# user\n{question}\n", r"has \{question\} under"),
        ("# system\nx\n# user\nnothing\n", "has no placeholder"),
        ("# system\nx\n# user\n{sources} {question} {context}", r"\{context\}"),
        ("# system\nx\n# user\n{sources} {question} {conversation}", r"\{conversation\}"),
        ("# system\nx\n# user\n{sources} {question} {sources}", "stand there once"),
        ("# system\n{question}\n# user\n{sources} {question}", "placeholder under '# system'"),
    ],
)
def test_what_is_no_prompt_is_refused(text: str, fault: str):
    with pytest.raises(ConfigError, match=fault):
        template_of("bad.v1", text)
