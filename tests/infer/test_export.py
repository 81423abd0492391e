import numpy as np
import pytest

from rag.infer.export import (
    ParityError,
    Recipe,
    check_parity,
    check_reference,
    export,
    parity_feeds,
    trace,
)
from rag.infer.models import damaged_files, open_model
from rag.infer.source import ExportError, load
from tests.tiny_models import save_bi_encoder, save_model

pytestmark = pytest.mark.torch


def recipe(task, **more):
    return Recipe(name="tiny", task=task, licence="Apache-2.0", source="random weights", created="2026-11-23", **more)


@pytest.mark.parametrize("task", ["embed", "rerank"])
def test_a_folder_becomes_a_model_that_opens(tmp_path, task):
    save_model(tmp_path / "tiny", scored=task == "rerank")
    card = export(tmp_path / "tiny", tmp_path / "out", recipe(task))
    model = open_model(str(tmp_path / "out"), task)
    assert damaged_files(model) == []
    assert not model.card.output_depends_on_batch
    assert card["parity"]["batch_delta"] <= 1e-5
    assert model.card.inputs[:2] == ("input_ids", "attention_mask")
    assert ("token_type_ids" in model.card.inputs) is (task == "rerank")


@pytest.mark.parametrize("task", ["embed", "rerank"])
def test_parity_fails_when_a_weight_is_perturbed(tmp_path, task):
    import onnx

    save_model(tmp_path / "tiny", scored=task == "rerank")
    source = load(tmp_path / "tiny", task)
    path = tmp_path / "fp32.onnx"
    trace(source, path)
    check_parity(source, path, parity_feeds(source))
    model = onnx.load(str(path))
    weight = next(tensor for tensor in model.graph.initializer if tuple(tensor.dims) == (64, 128))
    values = onnx.numpy_helper.to_array(weight).copy()
    values[:, :8] *= 1.1
    weight.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float32), weight.name))
    onnx.save(model, str(path))
    with pytest.raises(ParityError, match="does not agree"):
        check_parity(source, path, parity_feeds(source))


def test_what_sentence_transformers_says_of_the_model_is_kept(tmp_path):
    save_bi_encoder(tmp_path / "tiny", pooling="cls", prompts={"query": "question: ", "document": ""})
    card = export(tmp_path / "tiny", tmp_path / "out", recipe("embed", precision="fp32"))
    assert (card["pooling"], card["normalized"], card["max_length_tokens"]) == ("cls", True, 32)
    assert (card["query_prefix"], card["passage_prefix"]) == ("question: ", "")
    assert card["precision"] == "fp32"
    assert card["parity"]["reference_cosine_min"] >= 0.9999
    given = export(tmp_path / "tiny", tmp_path / "out", recipe("embed", passage_prefix="passage: "))
    assert (given["query_prefix"], given["passage_prefix"]) == ("question: ", "passage: ")


@pytest.mark.parametrize("task", ["embed", "rerank"])
def test_the_graph_is_held_against_sentence_transformers(tmp_path, task):
    from safetensors.numpy import load_file, save_file

    save_model(tmp_path / "tiny", scored=task == "rerank")
    source = load(tmp_path / "tiny", task)
    trace(source, tmp_path / "fp32.onnx")
    check_reference(tmp_path / "tiny", source, tmp_path / "fp32.onnx")
    weights = load_file(tmp_path / "tiny" / "model.safetensors")
    name = next(name for name in weights if name.endswith("layer.1.intermediate.dense.weight"))
    weights[name][:8] *= 1.1
    save_file(weights, tmp_path / "tiny" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ParityError, match="sentence-transformers"):
        check_reference(tmp_path / "tiny", source, tmp_path / "fp32.onnx")


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ExportError, match=r"config\.json"):
        export(tmp_path, tmp_path / "out", recipe("embed"))
    assert not (tmp_path / "out").exists()
