"""`coke-edge bench`: what a user of a bundle will feel on this machine, measured so that others can repeat it."""
