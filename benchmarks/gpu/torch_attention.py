#!/usr/bin/env python3
"""Times torch.nn.functional.scaled_dot_product_attention where mla_gpu_bench timed attention over an f16 cache.

    torch_attention.py MLA.jsonl OUT.jsonl [--device N] [--seconds S]

The absorbed form with one query a sequence and one rotary key for all heads is attention of many queries to one head:
keys are the rotary part beside the latent, values the latent, a view of the same memory. It is timed in two
formulations, heads as queries of one head and heads that share it (enable_gqa), with every backend that takes them; the
quickest counts. Rotary keys of several groups have no equivalent. Exit status 3: there is no PyTorch with CUDA.
"""
import argparse
import json
import statistics
import sys

ABSENT = 3


def cases(rows):
    """Of mla_gpu_bench's rows those that PyTorch can do, one for each shape, batch and context."""
    return [row for row in rows if "attention" in row and row["cache"] == "f16" and row["rotary_groups"] <= 1]


def find_torch():
    """PyTorch, or why it cannot be used."""
    try:
        import torch
    except ImportError as error:
        return None, f"PyTorch cannot be imported: {error}"
    if not torch.cuda.is_available():
        return None, f"PyTorch {torch.__version__} sees no CUDA device"
    return torch, ""


class Timer:
    def __init__(self, torch, seconds):
        self.torch = torch
        self.seconds = seconds

    def once(self, work):
        begin, end = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3

    def median(self, work):
        """Seconds: launches are recorded and replayed, as mla_gpu_bench does."""
        stream = self.torch.cuda.Stream()
        stream.wait_stream(self.torch.cuda.current_stream())
        with self.torch.cuda.stream(stream):
            work()
            work()
        self.torch.cuda.current_stream().wait_stream(stream)
        times = max(1, min(1000, int(self.seconds / max(self.once(work), 1e-7))))
        graph = self.torch.cuda.CUDAGraph()
        with self.torch.cuda.graph(graph):
            for _ in range(times):
                work()
        graph.replay()
        return statistics.median(self.once(graph.replay) / times for _ in range(5))


def formulations(torch, row, device="cuda", dtype=None):
    """Names with queries, keys, values and options, of which all compute the same."""
    heads, latent, width = row["heads"], row["latent"], row["rotary"] + row["latent"]
    batch, context = row["batch"], row["context"]
    like = {"device": device, "dtype": dtype or torch.float16}
    keys = torch.randn(batch, 1, context, width, **like)
    values = keys[..., row["rotary"]:] if row["rotary"] > 0 else keys
    assert values.shape[-1] == latent
    query = torch.randn(batch, heads, width, **like)
    scale = width**-0.5
    yield "heads as queries", query[:, None], keys, values, {"scale": scale}
    yield "shared head", query[:, :, None], keys, values, {"scale": scale, "enable_gqa": True}


def backends():
    from torch.nn.attention import SDPBackend

    names = ["FLASH_ATTENTION", "EFFICIENT_ATTENTION", "CUDNN_ATTENTION", "MATH"]
    return [(name, getattr(SDPBackend, name)) for name in names if hasattr(SDPBackend, name)]


def measure(torch, timer, row):
    """The quickest, or why there is none; what was tried."""
    from torch.nn.attention import sdpa_kernel

    attend = torch.nn.functional.scaled_dot_product_attention
    tried = []
    try:
        for name, query, keys, values, options in formulations(torch, row):
            for backend_name, backend in backends():
                one = {"formulation": name, "backend": backend_name}
                try:
                    with sdpa_kernel(backend):
                        one["seconds"] = timer.median(lambda: attend(query, keys, values, **options))
                except (RuntimeError, TypeError) as error:
                    one["absent"] = str(error).strip().splitlines()[0][:200]
                    torch.cuda.synchronize()
                tried.append(one)
    except torch.cuda.OutOfMemoryError as error:
        tried.append({"absent": str(error).splitlines()[0]})
    done = [one for one in tried if "seconds" in one]
    best = min(done, key=lambda one: one["seconds"]) if done else {"absent": tried[-1]["absent"]}
    where = {key: row[key] for key in ("attention", "batch", "context")}
    return {**where, **best, "tried": tried}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("mla")
    parser.add_argument("out")
    parser.add_argument("--device", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0.1)
    options = parser.parse_args()
    torch, absent = find_torch()
    if torch is None:
        print(absent)
        sys.exit(ABSENT)
    torch.cuda.set_device(options.device)
    timer = Timer(torch, options.seconds)
    with open(options.mla) as lines, open(options.out, "w") as out:
        version = {"torch": torch.__version__, "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
        print(json.dumps(version), file=out)
        with torch.inference_mode():
            for row in cases([json.loads(line) for line in lines]):
                result = measure(torch, timer, row)
                print(json.dumps(result), file=out, flush=True)
                told = f"{result['seconds'] * 1e6:.1f} us, {result['backend']}, {result['formulation']}" \
                    if "seconds" in result else result["absent"]
                print(f"{row['attention']}, batch {row['batch']}, context {row['context']}: {told}", flush=True)
                torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
