"""What a machine has, what on it will run a bundle, and the one command that brings each missing piece.

Every probe takes a `Machine`, so that tests can hand it the files and the tools of a machine that is not there.
No probe imports numpy or a package that may be broken: those are tried in processes of their own.
"""
