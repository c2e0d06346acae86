"""llama.cpp or ik_llama.cpp through the C API of a Python package: no sampling, no text.

    python peer.py llama_cpp|ik_llama_cpp < job.json

Reads a job (see benchmarks/README.md), writes JSON lines to standard output; the library's own words go to standard error.
"""

import ctypes
import json
import sys
import time
from importlib.metadata import version

BATCH = 2048  # tokens a call, as llama-bench has it
GGML_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8}


class LlamaCpp:
    """Upstream's API: positions follow from the cache, flash attention is an enumeration."""

    def __init__(self):
        import llama_cpp

        self.api = llama_cpp
        self.name = "llama.cpp of llama-cpp-python " + version("llama-cpp-python")

    def context_params(self, params, flags):
        params.flash_attn_type = 1 if "flash" in flags else 0

    def decode(self, context, tokens, count, position):
        return self.api.llama_decode(context, self.api.llama_batch_get_one(tokens, count))

    def synchronize(self, context):
        self.api.llama_synchronize(context)

    def truncate(self, context, length):
        return self.api.llama_memory_seq_rm(self.api.llama_get_memory(context), 0, length, -1)

    def system_info(self):
        return self.api.llama_print_system_info()


class IkLlamaCpp:
    """The fork's API, which is older; what the package does not bind is bound here."""

    def __init__(self):
        from ik_llama_cpp import _ctypes_api

        self.api = _ctypes_api
        self.name = "ik_llama.cpp of ik-llama-cpp-python " + version("ik-llama-cpp-python")
        library = _ctypes_api._lib
        tokens, context = ctypes.POINTER(ctypes.c_int32), ctypes.c_void_p
        self.batch_get_one = library.llama_batch_get_one
        self.batch_get_one.argtypes = [tokens, ctypes.c_int32, ctypes.c_int32, ctypes.c_int32]
        self.batch_get_one.restype = _ctypes_api.llama_batch
        self.synchronize_call = library.llama_synchronize
        self.synchronize_call.argtypes = [context]
        self.seq_rm = library.llama_kv_cache_seq_rm
        self.seq_rm.argtypes = [context, ctypes.c_int32, ctypes.c_int32, ctypes.c_int32]
        self.seq_rm.restype = ctypes.c_bool
        self.system_info_call = library.llama_print_system_info
        self.system_info_call.restype = ctypes.c_char_p

    def context_params(self, params, flags):
        params.flash_attn = "flash" in flags

    def decode(self, context, tokens, count, position):
        return self.api.llama_decode(context, self.batch_get_one(tokens, count, position, 0))

    def synchronize(self, context):
        self.synchronize_call(context)

    def truncate(self, context, length):
        return self.seq_rm(context, 0, length, -1)

    def system_info(self):
        return self.system_info_call()


LIBRARIES = {"llama_cpp": LlamaCpp, "ik_llama_cpp": IkLlamaCpp}


class Peer:
    def __init__(self, library, job):
        self.library = library
        api = library.api
        api.llama_backend_init()
        params = api.llama_model_default_params()
        params.n_gpu_layers = 0
        self.model = api.llama_model_load_from_file(job["model"].encode(), params)
        if not self.model:
            raise RuntimeError("it cannot load " + job["model"])
        params = api.llama_context_default_params()
        params.n_ctx = job["context"]
        params.n_batch = BATCH
        params.n_threads = params.n_threads_batch = job["threads"]
        params.type_k = params.type_v = GGML_TYPES[job["cache"]]
        library.context_params(params, job["flags"])
        self.context = api.llama_init_from_model(self.model, params)
        if not self.context:
            raise RuntimeError("it makes no context with a cache of " + job["cache"])
        self.tokens = (ctypes.c_int32 * len(job["tokens"]))(*job["tokens"])

    def run(self, step):
        """Seconds that the step's tokens took."""
        at, count = step["at"], step["count"]
        if not self.library.truncate(self.context, at):
            raise RuntimeError(f"its cache cannot be cut to {at} tokens")
        size = 1 if step["singly"] else BATCH
        start = time.perf_counter()
        for begin in range(at, at + count, size):
            some = min(size, at + count - begin)
            tokens = ctypes.cast(ctypes.byref(self.tokens, 4 * begin), ctypes.POINTER(ctypes.c_int32))
            status = self.library.decode(self.context, tokens, some, begin)
            if status != 0:
                raise RuntimeError(f"llama_decode gave {status} at token {begin}")
            self.library.synchronize(self.context)
        return time.perf_counter() - start


def say(**fields):
    print(json.dumps(fields), flush=True)


def main():
    library = LIBRARIES[sys.argv[1]]()
    job = json.load(sys.stdin)
    peer = Peer(library, job)
    say(engine=library.name, build=library.system_info().decode())
    for step in job["steps"]:
        seconds = peer.run(step)
        if step["test"]:
            say(test=step["test"], seconds=seconds)


if __name__ == "__main__":
    try:
        main()
    except Exception as e:
        say(error=f"{type(e).__name__}: {e}")
        sys.exit(1)
