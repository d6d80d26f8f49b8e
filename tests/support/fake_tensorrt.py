"""A small ``tensorrt`` module, as TensorRT 10 and TensorRT 11 present it, where the real one cannot be used.

It knows what our code asks of it and nothing else; ``tests/export/test_tensorrt_builds.py`` holds its names
against the real module. Any file is a graph; ``refuse:NODE,NODE`` somewhere in it makes the parser refuse.
"""

import ctypes
import re
from enum import IntEnum
from pathlib import Path
from types import SimpleNamespace


def fake_tensorrt(version="11.4.0.106", **changes):
    """The module in the generation of ``version``; ``changes`` replace attributes."""
    eleven = int(version.split(".")[0]) >= 11
    flags = ["STRONGLY_TYPED"] if eleven else ["EXPLICIT_BATCH", "STRONGLY_TYPED"]
    module = SimpleNamespace(
        __version__=version,
        NetworkDefinitionCreationFlag=IntEnum("NetworkDefinitionCreationFlag", flags, start=0),
        BuilderFlag=IntEnum("BuilderFlag", ["TF32"] if eleven else ["FP16", "INT8", "TF32"], start=0),
        MemoryPoolType=IntEnum("MemoryPoolType", ["WORKSPACE"], start=0),
        TensorIOMode=IntEnum("TensorIOMode", ["NONE", "INPUT", "OUTPUT"], start=0),
        ILogger=ILogger,
        Logger=Logger,
        Builder=Builder,
        OnnxParser=OnnxParser,
        Runtime=Runtime,
    )
    vars(module).update(changes)
    return module


class ILogger:
    INTERNAL_ERROR, ERROR, WARNING = "INTERNAL_ERROR", "ERROR", "WARNING"

    def __init__(self):
        self.is_ready = True


class Logger(ILogger):
    def __init__(self, severity):
        super().__init__()
        self.min_severity = severity


class INetworkDefinition:
    def __init__(self, flags):
        self.creation_flags = flags
        self.num_layers = 0


class IOptimizationProfile:
    def __init__(self):
        self.shapes = {}

    # As in the real one: positional min, opt, max; wrong ranks raise, wrong orders make it invalid.
    def set_shape(self, name, smallest, usual, largest):
        if not len(smallest) == len(usual) == len(largest):
            raise ValueError("Shapes must have the same rank")
        self.shapes[name] = (smallest, usual, largest)


class ITimingCache:
    def __init__(self, stored):
        self.stored = stored

    def serialize(self):
        return self.stored + b"+"


class IBuilderConfig:
    def __init__(self, logger):
        self.logger = logger
        self.builder_optimization_level = 3
        self.flags_cleared, self.limits, self.profiles = [], {}, []
        self.cache = None

    def clear_flag(self, flag):
        self.flags_cleared.append(flag.name)

    def set_memory_pool_limit(self, pool, size):
        self.limits[pool.name] = size

    def add_optimization_profile(self, profile):
        for smallest, usual, largest in profile.shapes.values():
            if any(not a <= b <= c for a, b, c in zip(smallest, usual, largest, strict=True)):
                self.logger.log(ILogger.ERROR, "please ensure MIN<=OPT<=MAX")
                return -1
        self.profiles.append(profile.shapes)
        return len(self.profiles) - 1

    def create_timing_cache(self, stored):
        if stored.startswith(b"garbage"):
            self.logger.log(
                ILogger.WARNING, "Failed to deserialize timing cache. Returning an empty timing cache."
            )
            stored = b""
        return ITimingCache(stored)

    def set_timing_cache(self, cache, ignore_mismatch):
        if cache.stored.startswith(b"other gpu") and not ignore_mismatch:
            return False
        self.cache = cache
        return True

    def get_timing_cache(self):
        return self.cache


class Builder:
    made = ()
    """What the last test built, for its questions."""

    def __init__(self, logger):
        assert logger.is_ready, "ILogger.__init__ was not called"
        self.logger = logger

    def create_network(self, flags=0):
        return INetworkDefinition(flags)

    def create_builder_config(self):
        return IBuilderConfig(self.logger)

    def create_optimization_profile(self):
        return IOptimizationProfile()

    def build_serialized_network(self, network, config):
        type(self).made = (network, config)
        if not config.profiles:
            self.logger.log(ILogger.ERROR, "no optimization profile has been defined")
            return None
        return f"plan for {len(config.profiles)} profiles".encode()


class ParserError:
    def __init__(self, node):
        self._node = node

    def node_name(self):
        return self._node

    def node_operator(self):
        return "MatMul"

    def desc(self):
        return "must have same input types"


class OnnxParser:
    def __init__(self, network, logger):
        self.network, self.logger = network, logger
        self.errors = []

    @property
    def num_errors(self):
        return len(self.errors)

    def get_error(self, index):
        return self.errors[index]

    def parse_from_file(self, path):
        self.network.num_layers = 7
        refused = re.search(r"refuse:([a-z,]+)", Path(path).read_bytes().decode("latin-1"))
        if refused:
            self.errors = [ParserError(name) for name in refused[1].split(",")]
        return not self.errors


class ICudaEngine:
    """Adds up its inputs' tokens; a plan is the text ``plan PROFILES ROWS``."""

    tensors = (("input_ids", "INPUT"), ("attention_mask", "INPUT"), ("query_embedding", "OUTPUT"))

    def __init__(self, words):
        self.num_profiles = int(words[1])
        self.num_io_tensors = len(self.tensors)

    def get_tensor_name(self, index):
        return self.tensors[index][0]

    def get_tensor_mode(self, name):
        return fake_tensorrt().TensorIOMode[dict(self.tensors)[name]]

    def create_execution_context(self):
        return IExecutionContext(self)


class IExecutionContext:
    made = ()
    """Every context of the last engine, in order."""

    def __init__(self, engine):
        self.engine = engine
        self.profile, self.runs = 0, 0
        self.shapes, self.addresses = {}, {}

    def set_optimization_profile_async(self, profile, stream):
        assert isinstance(stream, int)
        self.profile = profile
        return profile < self.engine.num_profiles

    def set_input_shape(self, name, shape):
        self.shapes[name] = shape
        return shape[0] < 100

    def get_tensor_shape(self, name):
        return (self.shapes["input_ids"][0], 2) if name == "query_embedding" else self.shapes[name]

    def set_tensor_address(self, name, address):
        self.addresses[name] = address

    def execute_async_v3(self, stream):
        assert isinstance(stream, int)
        self.runs += 1
        rows, tokens = self.shapes["input_ids"]
        ids = (ctypes.c_int64 * (rows * tokens)).from_address(self.addresses["input_ids"])
        out = (ctypes.c_float * (rows * 2)).from_address(self.addresses["query_embedding"])
        for row in range(rows):
            out[2 * row] = sum(ids[row * tokens : (row + 1) * tokens])
            out[2 * row + 1] = self.profile
        return True


class Runtime:
    def __init__(self, logger):
        assert logger.is_ready
        self.logger = logger

    def deserialize_cuda_engine(self, plan):
        words = plan.split()
        return ICudaEngine(words) if words[:1] == [b"plan"] else None
