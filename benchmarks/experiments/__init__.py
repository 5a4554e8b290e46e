"""Trainings that can be repeated: what is declared in declared.py, run one by one, told by docs/results.md."""
