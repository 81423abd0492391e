"""What is known of an original without asking anybody."""

import pytest

from rag.infer.hub import licence_of, original, source_of


@pytest.mark.parametrize(
    ("readme", "licence"),
    [
        ("---\nlanguage: en\nlicense: apache-2.0\ntags:\n- x\n---\n# A model\n", "apache-2.0"),
        ("---\r\nlicense: 'mit'\r\n---\r\n", "mit"),
        ("---\nlanguage: en\n---\n\nlicense: mit\n", None),
        ("# A model\n\nlicense: mit\n", None),
        ("", None),
    ],
    ids=["plain", "quoted", "in the text", "no front matter", "empty"],
)
def test_the_licence_is_what_the_front_matter_of_the_readme_says(tmp_path, readme, licence):
    (tmp_path / "README.md").write_bytes(readme.encode())
    assert licence_of(tmp_path) == licence


def test_a_folder_is_its_own_original_and_its_source_is_its_name(tmp_path):
    assert licence_of(tmp_path) is None
    assert original(str(tmp_path)) == tmp_path
    assert source_of(str(tmp_path), tmp_path) == tmp_path.name


def test_a_hub_id_is_named_with_its_commit(tmp_path):
    assert source_of("acme/tiny", tmp_path / "abc123") == "https://huggingface.co/acme/tiny/tree/abc123"
