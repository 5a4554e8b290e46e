"""Everything that only a GPU can show, in one command: `python -m coke_edge.benchmarks.gpu_check --out DIR`."""
