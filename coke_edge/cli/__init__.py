"""The command `coke-edge`: one module per command, each light to import.

A command imports what it needs inside its function, so that `--help` answers at once and a device without
torch can run the commands that do not need it.
"""

from __future__ import annotations

import importlib
import sys

import typer
import typer.main

from coke_edge.errors import CokeError

COMMANDS = (
    "demo",
    "data",
    "train",
    "eval",
    "export",
    "info",
    "kernels",
    "build",
    "detect",
    "bench",
    "doctor",
)

# Top-level modules that come with an extra, for the sentence that says which one is missing.
EXTRA_OF = {
    "torch": "train",
    "torchvision": "train",
    "timm": "train",
    "scipy": "train",
    "lightning_fabric": "train",
    "yaml": "train",
    "matplotlib": "train",
    "tensorboard": "train",
    "onnx": "export",
    "onnx_ir": "export",
    "onnxscript": "export",
    "triton": "train",
}


def application() -> typer.Typer:
    """The application with every command attached."""
    app = typer.Typer(
        name="coke-edge",
        help="Keypoint detection for cameras at the edge: train, export, detect.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback(invoke_without_command=True)
    def version(
        show: bool = typer.Option(False, "--version", help="Print the version and exit.", is_eager=True),
    ) -> None:
        if show:
            from coke_edge import __version__

            typer.echo(__version__)
            raise typer.Exit

    for name in COMMANDS:
        module = importlib.import_module(f"coke_edge.cli.{name}")
        # A group (`data check`) keeps its name; a single command joins the top level under its own.
        app.add_typer(module.app, name=name if getattr(module, "GROUP", False) else None)
    return app


def main() -> None:
    """Run the command line; a problem that the user can solve becomes one sentence and an exit code."""
    try:
        command = typer.main.get_command(application())
        # The list of commands is plain text: formatting it would cost more time than all the rest of `--help`.
        command.rich_markup_mode = None  # type: ignore[attr-defined]
        command()
    except CokeError as error:
        fail(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        extra = EXTRA_OF.get((error.name or "").split(".")[0])
        if extra is None:
            raise
        fail(f"This command needs the package {error.name}: pip install 'coke-edge[{extra}]'.", 2)
    except KeyboardInterrupt:
        fail("Interrupted.", 130)


def fail(sentence: str, code: int) -> None:
    """Print one sentence on stderr and leave with `code`."""
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(code)
