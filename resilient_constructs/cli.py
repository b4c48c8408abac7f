"""``resilient``: the commands. Each says in one clear line what is missing or wrong, and how to cure it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ._version import __version__

if TYPE_CHECKING:
    import typer

__all__ = ["main"]

_EXTRA = 'pip install "resilient-constructs[local]"'


def main() -> None:
    """Run a command; the console script's entry point."""
    try:
        app = _app()
    except ModuleNotFoundError as missing:
        # Only what an extra brings: an import error of our own is a bug and keeps its traceback.
        if missing.name is None or missing.name.startswith("resilient_"):
            raise
        print(f"resilient: {missing.name} is not installed; run: {_EXTRA}", file=sys.stderr)
        sys.exit(2)
    app()


def _app() -> typer.Typer:
    import typer

    app = typer.Typer(
        name="resilient",
        help="Constructs for the places where scalable services call things that do not scale.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    )
    from .demo.command import demo
    from .local.command import local
    from .operate.archive_command import archive
    from .operate.command import breaker
    from .operate.poison_command import poison
    from .operate.redrive_command import redrive
    from .soak.command import soak

    app.command()(demo)
    app.command()(soak)
    app.command()(redrive)
    app.add_typer(local, name="local")
    app.add_typer(breaker, name="breaker")
    app.add_typer(poison, name="poison")
    app.add_typer(archive, name="archive")

    @app.command()
    def version() -> None:
        """Print the version."""
        typer.echo(__version__)

    return app


if __name__ == "__main__":
    main()
