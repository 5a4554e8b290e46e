"""A live run with faults injected at random, for minutes or days."""
