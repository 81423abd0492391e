"""A language model of a few hundred random weights in a GGUF file: it answers nonsense, but it answers."""

import struct
from pathlib import Path
from typing import Any

import numpy as np

_UINT32, _FLOAT32, _STRING, _ARRAY, _INT32 = 4, 6, 8, 9, 5
_ALIGNMENT = 32
_WIDTH, _HIDDEN, _HEADS = 32, 64, 2
_TOKENS = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *"abcdefghijklmnopqrstuvwxyz", "\u2581"]
_KINDS = [2, 3, 3, *[6] * 256, *[1] * 27]  # unknown, control, bytes, plain
_TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"


def write_tiny_model(file: Path) -> Path:
    """Writes the model and returns its file. The format is that of ggml's docs/gguf.md, version 3."""
    weights = _weights()
    facts = _facts()
    with file.open("wb") as out:
        out.write(b"GGUF" + struct.pack("<IQQ", 3, len(weights), len(facts)))
        for name, (kind, value) in facts.items():
            out.write(_text(name) + struct.pack("<I", kind) + _value(kind, value))
        offset = 0
        for name, weight in weights.items():
            shape = weight.shape[::-1]
            out.write(_text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, offset))
            offset += _padded(weight.nbytes)
        out.write(bytes(_padded(out.tell()) - out.tell()))
        for weight in weights.values():
            out.write(weight.tobytes() + bytes(_padded(weight.nbytes) - weight.nbytes))
    return file


def _facts() -> dict[str, tuple[int, Any]]:
    number = {
        "block_count": 1,
        "context_length": 4096,
        "embedding_length": _WIDTH,
        "feed_forward_length": _HIDDEN,
        "attention.head_count": _HEADS,
        "attention.head_count_kv": _HEADS,
        "rope.dimension_count": _WIDTH // _HEADS,
    }
    return {
        "general.architecture": (_STRING, "llama"),
        **{f"llama.{name}": (_UINT32, value) for name, value in number.items()},
        "llama.attention.layer_norm_rms_epsilon": (_FLOAT32, 1e-5),
        "tokenizer.ggml.model": (_STRING, "llama"),
        "tokenizer.ggml.tokens": (_ARRAY, (_STRING, _TOKENS)),
        "tokenizer.ggml.scores": (_ARRAY, (_FLOAT32, [0.0] * len(_TOKENS))),
        "tokenizer.ggml.token_type": (_ARRAY, (_INT32, _KINDS)),
        "tokenizer.ggml.bos_token_id": (_UINT32, 1),
        "tokenizer.ggml.eos_token_id": (_UINT32, 2),
        "tokenizer.ggml.unknown_token_id": (_UINT32, 0),
        "tokenizer.chat_template": (_STRING, _TEMPLATE),
    }


def _weights() -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    chance = np.random.default_rng(0)
    shapes = {
        "token_embd": (len(_TOKENS), _WIDTH),
        "output": (len(_TOKENS), _WIDTH),
        **{f"blk.0.attn_{name}": (_WIDTH, _WIDTH) for name in ("q", "k", "v", "output")},
        "blk.0.ffn_gate": (_HIDDEN, _WIDTH),
        "blk.0.ffn_up": (_HIDDEN, _WIDTH),
        "blk.0.ffn_down": (_WIDTH, _HIDDEN),
    }
    weights = {f"{name}.weight": chance.standard_normal(shape, np.float32) / 2 for name, shape in shapes.items()}
    norms = ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm")
    return weights | {f"{name}.weight": np.ones(_WIDTH, np.float32) for name in norms}


def _value(kind: int, value: Any) -> bytes:
    if kind == _STRING:
        return _text(value)
    if kind == _ARRAY:
        of, items = value
        return struct.pack("<IQ", of, len(items)) + b"".join(_value(of, item) for item in items)
    return struct.pack({_UINT32: "<I", _INT32: "<i", _FLOAT32: "<f"}[kind], value)


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _padded(n_bytes: int) -> int:
    return -(-n_bytes // _ALIGNMENT) * _ALIGNMENT
