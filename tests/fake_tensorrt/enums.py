"""TensorRT's enumerations, as far as coke-edge meets them."""

from __future__ import annotations

import enum

PUBLIC = (
    "BuilderFlag", "DataType", "ExecutionContextAllocationStrategy", "LayerInformationFormat", "MemoryPoolType",
    "NetworkDefinitionCreationFlag", "ProfilingVerbosity", "TensorFormat", "TensorIOMode",
)  # fmt: skip

BuilderFlag = enum.IntEnum("BuilderFlag", {"TF32": 7})
DataType = enum.IntEnum(
    "DataType",
    {"FLOAT": 0, "HALF": 1, "INT8": 2, "INT32": 3, "BOOL": 4, "UINT8": 5, "FP8": 6, "BF16": 7, "INT64": 8},
)
ExecutionContextAllocationStrategy = enum.IntEnum(
    "ExecutionContextAllocationStrategy", {"STATIC": 0, "ON_PROFILE_CHANGE": 1, "USER_MANAGED": 2}
)
LayerInformationFormat = enum.IntEnum("LayerInformationFormat", {"ONELINE": 0, "JSON": 1})
MemoryPoolType = enum.IntEnum("MemoryPoolType", {"WORKSPACE": 0})
NetworkDefinitionCreationFlag = enum.IntEnum("NetworkDefinitionCreationFlag", {"STRONGLY_TYPED": 1})
ProfilingVerbosity = enum.IntEnum("ProfilingVerbosity", {"LAYER_NAMES_ONLY": 0, "NONE": 1, "DETAILED": 2})
TensorFormat = enum.IntEnum("TensorFormat", {"LINEAR": 0, "HWC8": 2, "HWC": 8})
TensorIOMode = enum.IntEnum("TensorIOMode", {"NONE": 0, "INPUT": 1, "OUTPUT": 2})
