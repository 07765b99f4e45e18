"""`twin serve`: the live twin behind OpenAI's interface, on this machine."""

import os
from typing import Annotated

import typer

from twin.cli.options import ADAPTER, AdapterFolder, BaseFolder, EmbedderFolder, GraphPlace, SettingsFile
from twin.errors import ConfigError

PORT = 8000


def serve(
    *,
    adapter: AdapterFolder = ADAPTER,
    base: BaseFolder = None,
    embedder: EmbedderFolder = None,
    graph: GraphPlace = None,
    settings: SettingsFile = None,
    host: Annotated[str, typer.Option(help="Another than the loopback needs TWIN_SERVE_TOKEN.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 is any free one.")] = PORT,
    max_tokens: Annotated[int, typer.Option(min=1, help="Of a reply whose client names no limit.")] = 256,
    most_tokens: Annotated[int, typer.Option(min=1, help="That a client may ask for.")] = 4096,
    waiting: Annotated[int, typer.Option(min=0, help="Requests that may wait; more are told when to come back.")] = 8,
) -> None:
    """Answer OpenAI's clients as the twin until Ctrl-C; each reply tells what lies behind it in `twin`."""
    try:
        from twin.serve.door import TOKEN, require_token
        from twin.serve.opening import address, listening
        from twin.serve.server import Server, create_app
    except ModuleNotFoundError as error:
        raise ConfigError(f"serving needs packages ({error.name}): pip install 'cognitive-twin[serve]'.") from None
    from twin.live.load import load_twin
    from twin.live.settings import Settings
    from twin.model import leave_thread
    from twin.serve.desk import Desk
    from twin.serve.request import Limits

    token = os.environ.get(TOKEN)
    require_token(host, token)
    if max_tokens > most_tokens:
        raise ConfigError(f"--max-tokens {max_tokens} is above --most-tokens {most_tokens}. Raise the one.")
    told = Settings.load(settings)
    with listening(host, port) as socket:
        desk = Desk(
            lambda: load_twin(adapter, base=base, embedder=embedder, graph=graph, settings=told), waiting, leave_thread
        )
        typer.echo(f"models   {', '.join(desk.models)}")
        typer.echo(f"address  {address(socket)}")
        typer.echo(f"key      {'the value of ' + TOKEN if token else 'any: only this machine is answered'}")
        typer.echo("leave    Ctrl-C; the reply that is being made is finished")
        Server(desk, create_app(desk, Limits(max_tokens, most_tokens), token), socket).serve_until_told()
