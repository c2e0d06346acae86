#!/usr/bin/env python3
"""The folder that Jlama reads has the numbers that the model had in Hugging Face's layout, before it became GGUF.

    build/gguf/bin/python python/test_hf_folder.py

Needs the packages gguf and numpy, which the first run beside Jlama installs there.
"""
import json
import tempfile
import unittest
from pathlib import Path

import gguf
import hf_folder
import numpy as np

LAYERS, WIDTH, HEADS, KV_HEADS, HIDDEN, TOKENS = 2, 64, 4, 2, 96, 5
HEAD = WIDTH // HEADS
KINDS = {"F32": "<f4", "BF16": "<u2", "Q4": "u1"}


def llama():
    """Weights in Hugging Face's layout, some of each block's far from the rest."""
    random = np.random.default_rng(1)
    shapes = {"model.embed_tokens.weight": (TOKENS, WIDTH), "model.norm.weight": (WIDTH,)}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        shapes |= {
            at + "input_layernorm.weight": (WIDTH,),
            at + "self_attn.q_proj.weight": (WIDTH, WIDTH),
            at + "self_attn.k_proj.weight": (KV_HEADS * HEAD, WIDTH),
            at + "self_attn.v_proj.weight": (KV_HEADS * HEAD, WIDTH),
            at + "self_attn.o_proj.weight": (WIDTH, WIDTH),
            at + "post_attention_layernorm.weight": (WIDTH,),
            at + "mlp.gate_proj.weight": (HIDDEN, WIDTH),
            at + "mlp.up_proj.weight": (HIDDEN, WIDTH),
            at + "mlp.down_proj.weight": (WIDTH, HIDDEN),
        }
    return {name: random.standard_normal(shape).astype("f4") ** 3 for name, shape in shapes.items()}


def rotates_neighbours(weights, heads):
    """What llama.cpp's converter makes of queries and keys: element i and i + HEAD / 2 become neighbours."""
    out = np.empty_like(weights)
    for h in range(heads):
        for i in range(HEAD // 2):
            out[h * HEAD + 2 * i] = weights[h * HEAD + i]
            out[h * HEAD + 2 * i + 1] = weights[h * HEAD + HEAD // 2 + i]
    return out


def write_gguf(path, weights):
    to_gguf = {name: short for short, name in hf_folder.NAMES.items()}
    for layer in range(LAYERS):
        for short, name in hf_folder.LAYER_NAMES.items():
            to_gguf[f"model.layers.{layer}.{name}"] = f"blk.{layer}.{short}"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(["<unk>", "<s>", "</s>", "a", "b"])
    writer.add_token_scores([0.0, 0.0, 0.0, -1.0, -2.0])
    writer.add_token_types([2, 3, 3, 1, 1])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    for name, values in weights.items():
        if "q_proj" in name:
            values = rotates_neighbours(values, HEADS)
        if "k_proj" in name:
            values = rotates_neighbours(values, KV_HEADS)
        writer.add_tensor(to_gguf[name], values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read_safetensors(path):
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header, data = json.loads(raw[8 : 8 + length]), raw[8 + length :]
    entries, end = {}, 0
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        assert first == end, f"{name} begins at {first}, expected {end}"
        end = last
        entries[name] = (entry, np.frombuffer(data[first:last], KINDS[entry["dtype"]]))
    assert end == len(data), f"{len(data) - end} bytes belong to nothing"
    return entries


def blocks_of_4_bits(quants, scales, shape):
    """A byte's low four bits are one of a block's first 16 values, its high four one of the last, 8 is zero."""
    quants = quants.reshape(-1, 16)
    values = np.concatenate([quants & 15, quants >> 4], axis=1).astype("f4") - 8
    return (values * scales.reshape(-1, 1)).reshape(shape)


class FolderTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.weights = llama()
        write_gguf(Path(folder.name) / "model.gguf", self.weights)
        self.out = Path(folder.name) / "hf"
        hf_folder.main(Path(folder.name) / "model.gguf", self.out)
        self.entries = read_safetensors(self.out / "model.safetensors")

    def test_matrices_are_the_models_but_for_rounding(self):
        matrices = [n for n, w in self.weights.items() if w.ndim == 2 and n != hf_folder.EMBEDDING]
        self.assertEqual(len(matrices), 7 * LAYERS)
        for name in matrices:
            with self.subTest(name):
                expected = self.weights[name]
                entry, quants = self.entries[name]
                _, scales = self.entries[name + ".qb"]
                self.assertEqual((entry["dtype"], tuple(entry["shape"])), ("Q4", expected.shape))
                got = blocks_of_4_bits(quants, scales, expected.shape)
                # The largest of a block is -8 or, of the other sign, what 7 says of it; a scale is f16's nearest.
                largest = np.abs(expected).reshape(-1, 32).max(axis=1)
                error = np.abs(got - expected).reshape(-1, 32).max(axis=1)
                self.assertLess((error / largest).max(), 1 / 8 + 1e-3)
                self.assertLess(np.abs(got - expected).mean() / np.abs(expected).mean(), 0.2)

    def test_the_embedding_and_the_norms_are_the_models(self):
        entry, halves = self.entries[hf_folder.EMBEDDING]
        self.assertEqual(entry["dtype"], "BF16")
        expected = self.weights[hf_folder.EMBEDDING]
        got = (halves.astype("u4") << 16).view("f4").reshape(expected.shape)
        self.assertLessEqual((np.abs(got - expected) / np.abs(expected)).max(), 2.0**-8)
        norms = [n for n, w in self.weights.items() if w.ndim == 1]
        for name in norms:
            with self.subTest(name):
                np.testing.assert_array_equal(self.entries[name][1], self.weights[name])

    def test_bfloat16_rounds_to_the_nearest_even(self):
        values = np.array([1.0, 1.00390625, 1.01171875, 1.005, -1.0078125], "f4")
        got = (hf_folder.bfloat16(values).astype("u4") << 16).view("f4")
        np.testing.assert_array_equal(got, [1.0, 1.0, 1.015625, 1.0078125, -1.0078125])

    def test_it_says_what_the_model_is(self):
        config = json.loads((self.out / "config.json").read_text())
        self.assertEqual((config["hidden_size"], config["num_key_value_heads"]), (WIDTH, KV_HEADS))
        self.assertTrue(config["tie_word_embeddings"])
        tokens = json.loads((self.out / "tokenizer.json").read_text())
        self.assertEqual(tokens["model"]["vocab"]["b"], 4)


if __name__ == "__main__":
    unittest.main()
