"""The `twin` command: one file per subcommand."""

import sys

import typer

from twin.errors import TwinError


class _App(typer.Typer):
    """Prints our own errors as one line instead of a traceback."""

    def __call__(self, *args: object, **kwargs: object) -> object:
        try:
            return super().__call__(*args, **kwargs)
        except TwinError as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            sys.exit(1)


app = _App(
    name="twin",
    help="Train, judge and talk to the twin of one person. The pipeline itself is `dvc repro`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _register() -> None:
    from twin.cli.advise import advise
    from twin.cli.bring import bring
    from twin.cli.campaign import campaign
    from twin.cli.chat import chat
    from twin.cli.compare import compare
    from twin.cli.export import export
    from twin.cli.forget import forget
    from twin.cli.graph import graph
    from twin.cli.note import note
    from twin.cli.plan import plan
    from twin.cli.promote import promote
    from twin.cli.rate import rate
    from twin.cli.report import report
    from twin.cli.serve import serve
    from twin.cli.summary import summary
    from twin.cli.sweep import sweep
    from twin.cli.trajectory import trajectory

    commands = (
        advise, bring, campaign, chat, compare, export, forget, note, plan, promote, rate, report, serve,
        summary, sweep, trajectory,
    )  # fmt: skip
    for command in commands:
        app.command()(command)
    app.add_typer(graph)


_register()
