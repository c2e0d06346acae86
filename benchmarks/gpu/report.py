"""The rows of mla_gpu_bench and of torch_attention.py, merged into a page and a file."""
import json
import os

import torch_attention

CACHES = ["f16", "int8", "int4", "int2"]


def read(path):
    """The rows of a file with one a line; none where there is no file."""
    if not os.path.exists(path):
        return []
    with open(path) as lines:
        return [json.loads(line) for line in lines if line.strip()]


def torch_result(status, rows, log):
    """What torch_attention.py measured, or why it did not."""
    if status == 0:
        version, *measured = read(rows)
        return {"version": version, "rows": measured}
    with open(log) as lines:
        last = [line.strip() for line in lines if line.strip()] or [f"exit status {status}"]
    return {"absent": last[-1]} if status == torch_attention.ABSENT else {"absent": "failed: " + last[-1]}


def attention(result):
    """One row for each shape, batch and context: seconds by cache, and PyTorch's, or why there are none."""
    merged = {}
    for row in result["mla"]:
        if "attention" in row:
            where = (row["attention"], row["batch"], row["context"])
            one = merged.setdefault(where, {"shape": where[0], "batch": where[1], "context": where[2], "mla": {}})
            one["mla"][row["cache"]] = {key: row[key] for key in ("seconds", "bytes_per_second", "flops")}
            if row["rotary_groups"] > 1:
                one["torch"] = {"absent": "no equivalent: rotary keys of several groups"}
    for row in result["torch"].get("rows", []):
        one = merged.get((row["attention"], row["batch"], row["context"]))
        if one is not None:
            one["torch"] = {key: row[key] for key in ("seconds", "backend", "formulation", "absent") if key in row}
    return list(merged.values())


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def microseconds(cell):
    return f"{cell['seconds'] * 1e6:.1f}" if cell and "seconds" in cell else "-"


def attention_tables(rows, copy):
    pages = []
    for shape in dict.fromkeys(row["shape"] for row in rows):
        of = [row for row in rows if row["shape"] == shape]
        cells = []
        for row in of:
            torch, f16, int4 = row.get("torch", {}), row["mla"].get("f16"), row["mla"].get("int4")

            def times(mla):
                return f"{torch['seconds'] / mla['seconds']:.2f}" if mla and "seconds" in torch else "-"

            part = f"{100 * f16['bytes_per_second'] / copy:.0f} %" if f16 and copy else "-"
            cells.append([str(row["batch"]), str(row["context"])] + [microseconds(row["mla"].get(c)) for c in CACHES]
                         + [part, microseconds(torch), torch.get("backend", "-"), times(f16), times(int4)])
        reasons = dict.fromkeys(row["torch"]["absent"] for row in of if "absent" in row.get("torch", {}))
        head = ["batch", "context"] + [f"{c}, µs" for c in CACHES] + \
            ["f16 of copy", "PyTorch f16, µs", "backend", "PyTorch ÷ f16", "PyTorch ÷ int4"]
        notes = "".join(f"\nPyTorch: {reason}.\n" for reason in reasons)
        pages.append(f"### {shape}\n\n{table(head, cells)}{notes}")
    return "\n".join(pages)


def models_table(rows):
    cells = []
    for row in rows:
        name = os.path.basename(row.get("model", ""))
        if "tokens_per_second" in row:
            what = f"prompt of {row['prompt']}, {row['form']}" if row["prompt"] else f"tokens at depth {row['depth']}"
            cells.append([name, row["cache"], what, str(row["batch"]), f"{row['tokens_per_second']:.1f}"])
        elif "sessions" in row:
            cells.append([name, row["cache"], f"sessions of {row['context']} held at once", str(row["sessions"]), "-"])
    return table(["model", "cache", "what", "batch", "tokens/s"], cells) if cells else ""


def check_table(rows):
    cells = [[os.path.basename(row["check"]), row["cache"], str(row["chunk"]), f"{row['difference']:.4f}",
              f"{row['gpu_error']:.4f}", "{:.4f} to {:.4f}".format(*row["cpu_errors"]), f"{100 * row['top1']:.1f} %",
              "yes" if row["ok"] else "NO"]
             for row in rows if "check" in row]
    head = ["model", "cache", "chunk", "largest difference", "GPU's error", "CPU's errors", "same top 1",
            "within bounds"]
    return table(head, cells) if cells else ""


def markdown(result):
    machine, torch = result["machine"], result["torch"]
    copy = next((row["copy_bytes_per_second"] for row in result["mla"] if "copy_bytes_per_second" in row), 0)
    device = next((row["device"] for row in result["mla"] if "device" in row), "GPU")
    parts = [f"# mla4j on {device}",
             f"{machine['time']}, commit {machine['commit']}. Copies: {copy / 1e9:.0f} GB/s, read and written. "
             "Attention: medians of five samples of recorded launches."]
    if "absent" in torch:
        parts.append(f"The comparison with PyTorch is left out: {torch['absent']}.")
    elif "version" in torch:
        version = torch["version"]
        parts.append(f"PyTorch {version['torch']}, CUDA {version['cuda']}, cuDNN {version['cudnn']}: the quickest of "
                     "its backends and of two formulations (`benchmarks/gpu/torch_attention.py`).")
    parts += ["## Attention of one layer, a query a sequence", attention_tables(attention(result), copy)]
    for title, page in (("## Whole models", models_table(result["mla"])),
                        ("## Beside the CPU's logits, in their standard deviations", check_table(result["check"]))):
        if page:
            parts += [title, page]
    told = ["\n".join(result["commands"])] + [machine[key] for key in ("gpu", "nvidia-smi", "nvcc", "system")]
    parts += ["## Machine", "```\n" + "\n\n".join(told) + "\n```"]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def write(result, json_path, markdown_path):
    with open(json_path, "w") as out:
        json.dump({**result, "attention": attention(result)}, out, indent=1)
    with open(markdown_path, "w") as out:
        out.write(markdown(result))
