"""The one exception that the command line turns into a sentence and an exit code."""

from __future__ import annotations


class CokeError(Exception):
    """A problem that the user can solve: its text is one sentence that says what is wrong and what to do.

    The command line prints the text alone and exits with `exit_code`; anything else that is raised is a bug
    of ours and keeps its traceback.
    """

    exit_code = 2


class DataError(CokeError):
    """A data set, an image or an annotation cannot be used as it is."""


class BundleError(CokeError):
    """A bundle or checkpoint is missing, broken, tampered with or made for something else."""


class BackendError(CokeError):
    """An inference backend is missing or refuses the model."""


class StreamError(CokeError):
    """A source cannot be read or a sink cannot be written."""


class ExportError(CokeError):
    """An exported model is not what torch computes, so it was not written."""

    exit_code = 3
