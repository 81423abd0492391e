import numpy as np
import onnxruntime
import pytest

from rag.infer.quantise import to_int8


def test_each_channel_has_its_own_scale():
    weight = np.array([[1.0, 100.0], [-0.5, 50.0]], dtype=np.float32)
    small, scale = to_int8(weight, axis=0)
    assert small.dtype == np.int8
    assert scale.shape == (1, 2)
    assert np.abs(small * scale - weight).max(axis=0) == pytest.approx([0.0, 0.0], abs=0.4)
    assert np.abs(small[:, 0]).max() == np.abs(small[:, 1]).max() == 127


def test_a_zero_channel_stays_zero():
    small, scale = to_int8(np.zeros((3, 2), dtype=np.float32), axis=1)
    assert not small.any()
    assert np.isfinite(scale).all()


def quantised_product(tmp_path, weight):
    import onnx

    from rag.infer.quantise import quantise

    helper = onnx.helper
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g",
        [helper.make_tensor_value_info("x", 1, ["n", "length", weight.shape[0]])],
        [helper.make_tensor_value_info("y", 1, ["n", "length", weight.shape[1]])],
        [onnx.numpy_helper.from_array(weight, "w")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(tmp_path / "fp32.onnx"))
    quantise(tmp_path / "fp32.onnx", tmp_path / "int8.onnx")
    return onnxruntime.InferenceSession(str(tmp_path / "int8.onnx"))


@pytest.mark.torch
def test_a_row_does_not_depend_on_its_neighbours(tmp_path):
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(96, 64)).astype(np.float32)
    session = quantised_product(tmp_path, weight)
    rows = rng.normal(size=(4, 7, 96)).astype(np.float32)
    rows[1] *= 1000
    together = session.run(None, {"x": rows})[0]
    alone = np.stack([session.run(None, {"x": row[None]})[0][0] for row in rows])
    assert np.array_equal(together, alone)
    relative = np.abs(together - rows @ weight).max(axis=2) / np.abs(rows @ weight).max(axis=2)
    assert relative.max() < 0.02


@pytest.mark.torch
def test_a_row_of_zeros_gives_zeros(tmp_path):
    session = quantised_product(tmp_path, np.ones((96, 64), dtype=np.float32))
    assert not session.run(None, {"x": np.zeros((1, 2, 96), dtype=np.float32)})[0].any()
