#!/usr/bin/env python3
"""The report on rows as mla_gpu_bench and torch_attention.py print them; neither GPU nor PyTorch is needed."""
import json
import os
import tempfile
import unittest

import report
import torch_attention

SHARED = "16 heads, latent 512, rotary 64"
OWN = "32 heads, latent 1024, rotary 32 x 16"


def attention(shape, groups, cache, seconds, batch=8, context=1024):
    return {"attention": shape, "heads": 16, "rotary_groups": groups, "rotary": 64, "latent": 512, "cache": cache,
            "batch": batch, "context": context, "seconds": seconds, "bytes_per_second": 1.5e12, "flops": 1e13}


def torch_row(**of):
    return {"attention": SHARED, "batch": 8, "context": 1024, "tried": [], **of}


MLA = [
    {"device": "NVIDIA H100", "capability": "9.0"},
    {"copy_bytes_per_second": 3e12},
    attention(SHARED, 1, "f16", 20e-6),
    attention(SHARED, 1, "int4", 8e-6),
    attention(SHARED, 1, "f16", 9e-3, batch=128),
    attention(OWN, 32, "f16", 40e-6),
    {"model": "/models/a.gguf", "cache": "int4", "batch": 8, "depth": 2048, "prompt": 0, "tokens_per_second": 1234.56},
    {"model": "/models/a.gguf", "cache": "int4", "context": 8192, "sessions": 77},
]
CHECK = [{"device": "NVIDIA H100", "capability": "9.0"},
         {"check": "/models/a.gguf", "cache": "int4 w20+4", "chunk": 37, "difference": 0.0123, "gpu_error": 0.2,
          "cpu_errors": [0.21, 0.23], "top1": 0.995, "ok": True}]
MACHINE = {"time": "2026-12-01", "commit": "abc", "gpu": "H100 PCIe", "nvidia-smi": "smi", "nvcc": "13.1",
           "system": "Linux"}


def result(torch):
    return {"machine": MACHINE, "mla": MLA, "check": CHECK, "torch": torch, "commands": ["mla_gpu_bench --attention"]}


MEASURED = {"version": {"torch": "2.9", "cuda": "13.0", "cudnn": 91000},
            "rows": [torch_row(seconds=60e-6, backend="MATH", formulation="heads as queries"),
                     torch_row(batch=128, absent="out of memory"), torch_row(context=77, seconds=1, backend="MATH")]}


class ReportTest(unittest.TestCase):
    def test_rows_of_both_meet_by_shape_batch_and_context(self):
        rows = report.attention(result(MEASURED))
        self.assertEqual([(r["shape"], r["batch"]) for r in rows], [(SHARED, 8), (SHARED, 128), (OWN, 8)])
        self.assertEqual({c: r["seconds"] for c, r in rows[0]["mla"].items()}, {"f16": 20e-6, "int4": 8e-6})
        self.assertEqual(rows[0]["torch"], {"seconds": 60e-6, "backend": "MATH", "formulation": "heads as queries"})
        self.assertEqual(rows[1]["torch"], {"absent": "out of memory"})
        self.assertIn("no equivalent", rows[2]["torch"]["absent"])

    def test_the_page_has_times_ratios_and_reasons(self):
        page = report.markdown(result(MEASURED))
        self.assertIn("| 8 | 1024 | 20.0 | - | 8.0 | - | 50 % | 60.0 | MATH | 3.00 | 7.50 |", page)
        self.assertIn("| 128 | 1024 | 9000.0 | - | - | - | 50 % | - | - | - | - |", page)
        self.assertIn("PyTorch: out of memory.", page)
        self.assertIn("| a.gguf | int4 | tokens at depth 2048 | 8 | 1234.6 |", page)
        self.assertIn("| a.gguf | int4 | sessions of 8192 held at once | 77 | - |", page)
        self.assertIn("| a.gguf | int4 w20+4 | 37 | 0.0123 | 0.2000 | 0.2100 to 0.2300 | 99.5 % | yes |", page)
        self.assertIn("PyTorch 2.9, CUDA 13.0", page)
        self.assertIn("H100 PCIe", page)

    def test_without_pytorch_the_comparison_is_left_out_and_said_so(self):
        page = report.markdown(result({"absent": "PyTorch cannot be imported"}))
        self.assertIn("left out: PyTorch cannot be imported.", page)
        self.assertIn("| 8 | 1024 | 20.0 | - | 8.0 | - | 50 % | - | - | - | - |", page)

    def test_only_what_pytorch_can_do_is_timed_there(self):
        timed = [(row["batch"], row["cache"]) for row in torch_attention.cases(MLA)]
        self.assertEqual(timed, [(8, "f16"), (128, "f16")])

    def test_files(self):
        with tempfile.TemporaryDirectory() as folder:
            def path(name):
                return os.path.join(folder, name)

            with open(path("rows"), "w") as out:
                for row in [MEASURED["version"], *MEASURED["rows"]]:
                    print(json.dumps(row), file=out)
            with open(path("log"), "w") as out:
                out.write("warning\nno CUDA device\n")
            self.assertEqual(report.torch_result(0, path("rows"), path("log")), MEASURED)
            for status, absent in ((torch_attention.ABSENT, "no CUDA device"), (1, "failed: no CUDA device")):
                self.assertEqual(report.torch_result(status, path("none"), path("log")), {"absent": absent})
            self.assertEqual(report.read(path("none")), [])
            report.write(result(MEASURED), path("report.json"), path("report.md"))
            with open(path("report.json")) as written:
                self.assertEqual(len(json.load(written)["attention"]), 3)


if __name__ == "__main__":
    unittest.main()
