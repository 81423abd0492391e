import numpy as np
import pytest

pytest.importorskip("torch", reason="exporting needs the torch extra")
pytest.importorskip("transformers", reason="exporting needs the torch extra")
onnx = pytest.importorskip("onnx", reason="exporting needs the torch extra")

from rag.infer.export import (  # noqa: E402  # after the skips
    ParityError,
    Recipe,
    check_parity,
    export,
    parity_feeds,
    trace,
)
from rag.infer.models import damaged_files, open_model  # noqa: E402  # after the skips
from rag.infer.source import ExportError, load  # noqa: E402  # after the skips

pytestmark = [
    pytest.mark.timeout(600),  # importing torch alone takes a minute on a busy machine
    pytest.mark.filterwarnings("ignore"),  # torch's exporter warns about itself
]
WORDS = "how do i the signing key yes error quick brown fox passage question and is of a in".split()  # noqa: SIM905  # a row of words reads better


def save_model(folder, *, scored):
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizerFast

    torch.manual_seed(0)
    vocabulary = {word: at for at, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    BertTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    config = BertConfig(
        vocab_size=4000, hidden_size=64, num_hidden_layers=3, num_attention_heads=4, intermediate_size=128,
        num_labels=1, initializer_range=0.2,
    )  # fmt: skip
    model = BertForSequenceClassification(config) if scored else BertModel(config)
    model.save_pretrained(folder)


def recipe(task):
    return Recipe(name="tiny", task=task, licence="Apache-2.0", source="random weights", created="2026-11-23")


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


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ExportError, match=r"config\.json"):
        export(tmp_path, tmp_path / "out", recipe("embed"))
    assert not (tmp_path / "out").exists()
