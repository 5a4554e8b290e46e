"""`python -m coke_edge.cli` is the command `coke-edge`."""

from coke_edge.cli import main

main()
