"""Writes a Llama's GGUF file as a Hugging Face folder that Jlama reads, in the form that it is quickest with.

    python hf_folder.py MODEL.gguf FOLDER

Matrices become the blocks of 4 bits that Jlama quantizes to: Q4_0's, but for scales of 32 bits. The embedding, of which
it wants floats, becomes BF16. A model without an output matrix stays without: its embedding serves.
"""

import json
import sys
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, TokenType, dequantize, quantize

BLOCK = 32  # values with a scale
EMBEDDING = "model.embed_tokens.weight"
NAMES = {
    "token_embd.weight": EMBEDDING,
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
LAYER_NAMES = {
    "attn_norm.weight": "input_layernorm.weight",
    "attn_q.weight": "self_attn.q_proj.weight",
    "attn_k.weight": "self_attn.k_proj.weight",
    "attn_v.weight": "self_attn.v_proj.weight",
    "attn_output.weight": "self_attn.o_proj.weight",
    "ffn_norm.weight": "post_attention_layernorm.weight",
    "ffn_gate.weight": "mlp.gate_proj.weight",
    "ffn_up.weight": "mlp.up_proj.weight",
    "ffn_down.weight": "mlp.down_proj.weight",
}
SPACE = "\u2581"  # SentencePiece's


class Unsupported(Exception):
    """The model is none that the folder could hold."""


class Gguf:
    def __init__(self, path):
        reader = GGUFReader(path)
        self.fields = reader.fields
        self.tensors = reader.tensors

    def get(self, key, default=None):
        if key in self.fields:
            return self.fields[key].contents()
        if default is None:
            raise Unsupported(f"it has no {key}")
        return default


def config(model):
    heads = model.get("llama.attention.head_count")
    width = model.get("llama.embedding_length")
    head = width // heads
    for key in ("llama.attention.key_length", "llama.attention.value_length", "llama.rope.dimension_count"):
        if model.get(key, head) != head:
            raise Unsupported(f"{key} is {model.get(key)}, and a Llama's heads of {head} have no other")
    scaling = model.get("llama.rope.scaling.type", "none")
    if scaling != "none":
        raise Unsupported(f"its rotary positions are scaled ({scaling})")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": width,
        "intermediate_size": model.get("llama.feed_forward_length"),
        "num_hidden_layers": model.get("llama.block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": model.get("llama.attention.head_count_kv", heads),
        "max_position_embeddings": model.get("llama.context_length"),
        "rms_norm_eps": model.get("llama.attention.layer_norm_rms_epsilon"),
        "rope_theta": model.get("llama.rope.freq_base", 10000.0),
        "vocab_size": len(model.get("tokenizer.ggml.tokens")),
        "bos_token_id": model.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": model.get("tokenizer.ggml.eos_token_id"),
        "tie_word_embeddings": all(tensor.name != "output.weight" for tensor in model.tensors),
    }


def tokenizer(model):
    tokens = model.get("tokenizer.ggml.tokens")
    kinds = model.get("tokenizer.ggml.token_type")
    apart = {TokenType.UNKNOWN: True, TokenType.CONTROL: True, TokenType.USER_DEFINED: False}
    added = [
        {"id": i, "content": token, "special": apart[kind]}
        for i, (token, kind) in enumerate(zip(tokens, kinds))
        if kind in apart
    ]
    bpe = {"type": "BPE", "vocab": {token: i for i, token in enumerate(tokens)}, "fuse_unk": False}
    kind = model.get("tokenizer.ggml.model")
    if kind == "gpt2":
        bpe |= {"byte_fallback": False, "merges": model.get("tokenizer.ggml.merges")}
        # Words are split by one of many patterns, of which the file has a name alone: texts may encode otherwise.
        parts = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
        return {
            "added_tokens": added,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [parts]},
            "decoder": {"type": "ByteLevel"},
            "model": bpe,
        }
    if kind == "llama":
        bpe |= {"byte_fallback": True, "unk_token": tokens[model.get("tokenizer.ggml.unknown_token_id", 0)]}
        bpe["merges"] = merges(tokens, model.get("tokenizer.ggml.scores"))
        spaces = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
        prefix = {"type": "Prepend", "prepend": SPACE}
        return {
            "added_tokens": added,
            "normalizer": {"type": "Sequence", "normalizers": [prefix, spaces]},
            "model": bpe,
        }
    raise Unsupported(f"its tokenizer is {kind}, expected gpt2 or llama")


def merges(tokens, scores):
    """SentencePiece's scores as the pairs that BPE merges, best first."""
    known = set(tokens)
    best_first = sorted(range(len(tokens)), key=lambda i: -scores[i])
    pairs = ((tokens[i][:at], tokens[i][at:]) for i in best_first for at in range(1, len(tokens[i])))
    return [f"{left} {right}" for left, right in pairs if left in known and right in known]


def folder_name(name):
    if name in NAMES:
        return NAMES[name]
    _, layer, part = (name.split(".", 2) + ["", ""])[:3]
    if not name.startswith("blk.") or part not in LAYER_NAMES:
        raise Unsupported(f"it has {name}, which a Llama has not")
    return f"model.layers.{layer}.{LAYER_NAMES[part]}"


def floats(tensor, config):
    """The tensor's values, rows as Hugging Face orders them."""
    values = dequantize(tensor.data, tensor.tensor_type)
    for part, heads in ((".attn_q.weight", "num_attention_heads"), (".attn_k.weight", "num_key_value_heads")):
        if tensor.name.endswith(part):
            # llama.cpp rotates neighbours, Hugging Face's layout halves: it keeps the pairs' first rows together.
            pairs = values.reshape(config[heads], -1, 2, values.shape[-1])
            values = pairs.swapaxes(1, 2).reshape(values.shape)
    return values


def bfloat16(values):
    """The upper halves of the floats' bits, rounded to the nearest, of two the even."""
    bits = np.ascontiguousarray(values, dtype="<f4").view("<u4")
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")


def layout(name, shape):
    """The safetensors entries that hold a tensor, in order: name, type, shape, bytes."""
    size = int(np.prod(shape))
    if name == EMBEDDING:
        return [(name, "BF16", shape, 2 * size)]
    if len(shape) == 1:
        return [(name, "F32", shape, 4 * size)]
    rows, width = shape
    if width % BLOCK:
        raise Unsupported(f"{name} has rows of {width}, which blocks of {BLOCK} do not fill")
    scales = [rows, width // BLOCK]
    return [(name, "Q4", shape, size // 2), (name + ".qb", "F32", scales, 4 * size // BLOCK)]


def arrays(name, values):
    """What the entries of the layout hold."""
    if name == EMBEDDING:
        return [bfloat16(values)]
    if values.ndim == 1:
        return [values.astype("<f4")]
    blocks = quantize(np.ascontiguousarray(values), GGMLQuantizationType.Q4_0).reshape(-1, 2 + BLOCK // 2)
    scales, quants = np.split(blocks, [2], axis=1)
    return [np.ascontiguousarray(quants), np.ascontiguousarray(scales).view("<f2").astype("<f4")]


def write_weights(path, tensors, config):
    """Writes safetensors a tensor at a time; its package knows no type Q4."""
    header, end = {}, 0
    for tensor in tensors:
        shape = [int(size) for size in reversed(tensor.shape)]
        for name, dtype, extent, size in layout(folder_name(tensor.name), shape):
            header[name] = {"dtype": dtype, "shape": extent, "data_offsets": [end, end + size]}
            end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors:
            for array in arrays(folder_name(tensor.name), floats(tensor, config)):
                array.tofile(out)


def main(source, folder):
    model = Gguf(source)
    architecture = model.get("general.architecture")
    if architecture != "llama":
        raise Unsupported(f"its architecture is {architecture}, expected llama")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = config(model)
    (folder / "config.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer(model)), encoding="utf-8")
    write_weights(folder / "model.safetensors", model.tensors, settings)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Unsupported as e:
        sys.exit(f"error: {e}")
