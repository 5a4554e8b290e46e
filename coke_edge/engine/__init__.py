"""TensorRT on the device: a bundle's graph becomes an engine, which is kept, checked and run.

provider.py      the packages `tensorrt` and `tensorrt_rtx` as one
spec.py          what an engine is built for
network.py       the graph as a TensorRT network: parsed, its outputs chosen
plugin.py aot_plugin.py    the head as plugins in the engine
build.py         network → engine, with progress, Ctrl-C and the timing cache
inspection.py    the precision that TensorRT really chose
sidecar.py cache.py obtain.py    engines on the disk: found, refused, rebuilt
context.py       an engine that runs on a stream
steps.py         the pieces of a run, and events around them that tell how long each takes
crops.py heads.py session.py     the whole path from frame to peaks on one stream

Files that touch TensorRT name its objects after their class (`network`, `config`, `parser`, …): a test holds every
attribute used on them against the lists of TensorRT 10.3, 10.16, 11.4 and TensorRT for RTX.
"""
