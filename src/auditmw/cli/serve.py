"""`auditmw serve`: the viewer of an audit directory, alone on a port of this machine."""

from __future__ import annotations

import ipaddress
import os
import socket
import webbrowser
from contextlib import closing, nullcontext, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import click

import auditmw
from auditmw.cli.arguments import place_argument
from auditmw.cli.output import ExampleCommand, Unreadable
from auditmw.cli.printable import printable
from auditmw.places import Place

if TYPE_CHECKING:
    import uvicorn

    from auditmw.viewer import TokenAccess

PORT = 8765
_AUTO = "auto"
_NEEDS = ("duckdb", "uvicorn")
_PATIENCE_SECONDS = 1  # for connections that are open when Ctrl-C comes: a tail never ends by itself


@click.command(
    cls=ExampleCommand,
    short_help="Show the events in a browser.",
    examples="""
    auditmw serve /var/lib/shop/audit --open
    auditmw serve /var/lib/shop/audit --port 0 --no-audit
    auditmw serve clickhouses://reader@ch.example/audit
    auditmw serve /var/lib/shop/audit --host 10.0.0.5 --behind-tls --root-path /audit
    ssh -t -L 8765:127.0.0.1:8765 shop.example.com auditmw serve /var/lib/shop/audit
    """,
)
@place_argument
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0 takes a free one.")
@click.option(
    "--token",
    default=_AUTO,
    show_default=True,
    envvar="AUDITMW_TOKEN",
    show_envvar=True,
    metavar="auto|TEXT",
    help="What lets somebody in: a new one, or this text of 16 and more characters.",
)
@click.option("--open", "open_", is_flag=True, help="Open the page in the browser.")
@click.option("--behind-tls", is_flag=True, help="A proxy in front of it speaks TLS with the browsers.")
@click.option("--insecure", is_flag=True, help="Let token and events cross a network that anybody may listen to.")
@click.option("--root-path", default="", metavar="PATH", help="Where a proxy mounts it, such as /audit.")
@click.option("--no-audit", is_flag=True, help="Do not record who looked at what in the audit directory itself.")
@click.option(
    "--time-limit",
    type=click.FloatRange(0, min_open=True),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="Of one question; when it is over, the answer is what was found until then, and says so.",
)
def serve(
    place: Place,
    host: str,
    port: int,
    token: str,
    open_: bool,
    behind_tls: bool,
    insecure: bool,
    root_path: str,
    no_audit: bool,
    time_limit: float,
) -> None:
    """Show the events of the audit directory DIRECTORY in a browser, to whoever has the link that is printed.

    DIRECTORY may be the URL of a ClickHouse database, with its password in CLICKHOUSE_PASSWORD; then no views are
    saved, and nobody records who looked.

    It listens on this machine only. Anybody on another one needs a proxy that speaks TLS (--behind-tls), or a tunnel,
    as in the last example. Looking and exporting are events themselves, unless --no-audit says otherwise.
    """
    check_installed()
    _check_host(host, behind_tls, insecure)
    root_path = _checked_path(root_path)
    _check_place(place)
    directory = place.directory if _is_writable(place.directory) else None
    audit = None if no_audit or directory is None else auditmw.Audit(directory, service="auditmw")
    with closing(listen(host, port)) as listening, nullcontext() if audit is None else closing(audit):
        number = listening.getsockname()[1]
        access = new_access(token, number, secure=behind_tls)
        server = viewer_server(place, access, audit, root_path=root_path, time_limit_seconds=time_limit)
        url = link(host, number, root_path, access)
        _tell(place, url, behind_tls)
        if open_:
            webbrowser.open(url)
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listening])
    click.echo("Ended.", err=True)


def check_installed() -> None:
    """End with a sentence when something is missing that the viewer needs."""
    missing = [name for name in _NEEDS if find_spec(name) is None]
    if missing:
        raise click.UsageError(f"the viewer needs {' and '.join(missing)}; install with: pip install 'auditmw[viewer]'")


def new_access(token: str, port: int, *, secure: bool = False) -> TokenAccess:
    """Return access by a token; "auto" makes one."""
    from auditmw.viewer import TokenAccess

    name = f"serve:{_user()}"  # who runs the command is all that can be known of who has the link
    try:
        return TokenAccess(None if token == _AUTO else token, name=name, cookie=f"auditmw_{port}", secure=secure)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--token'") from None


def viewer_server(
    place: Path | Place,
    access: TokenAccess,
    audit: auditmw.Audit | None,
    *,
    root_path: str = "",
    time_limit_seconds: float = 10.0,
) -> uvicorn.Server:
    """Return a server for the viewer, not running yet; silent about requests: URLs may have the token."""
    import uvicorn

    from auditmw.viewer import ASGIViewerApp, ViewerApp

    viewer = ViewerApp(place, authorize=access, audit=audit, time_limit_seconds=time_limit_seconds)
    app = ASGIViewerApp(viewer)

    async def mounted(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await app({**scope, "root_path": root_path}, receive, send)  # whether the proxy takes the path off or not

    config = uvicorn.Config(
        mounted,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # auditmw.Proxies looks at them
        timeout_graceful_shutdown=_PATIENCE_SECONDS,
    )

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            app.close()  # else it would wait for those who follow the log
            await super().shutdown(sockets)
            viewer.close()

    return Server(config)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        wrong = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise Unreadable(f"cannot listen on {host}, port {port}: {wrong}; port 0 takes a free one") from error


def link(host: str, port: int, root_path: str, access: TokenAccess) -> str:
    """Return the address that lets somebody in."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}{root_path}/?{urlencode({'token': access.token})}"


def _tell(place: Place, url: str, behind_tls: bool) -> None:
    click.echo(f"The events of {printable(place.shown)} are at", err=True)
    click.echo(f"\n    {url}\n", err=True)
    if behind_tls:
        click.echo("or where the proxy has it, with the same token. Ctrl-C ends it.", err=True)
    else:
        click.echo("Whoever has this link can see them all. Ctrl-C ends it.", err=True)
    if not _is_writable(place.directory):
        where = "A database has no place for it" if place.directory is None else "The directory cannot be written"
        click.echo(f"{where}: no views are saved, and nobody records who looked.", err=True)


def _check_host(host: str, behind_tls: bool, insecure: bool) -> None:
    if _is_loopback(host) or behind_tls or insecure:
        return
    raise click.UsageError(
        f"on {host} others could listen to token and events; expected a loopback address such as 127.0.0.1, or "
        "--behind-tls where a proxy in front speaks TLS with the browsers, or --insecure"
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _checked_path(root_path: str) -> str:
    path = root_path.rstrip("/")
    if path and (not path.startswith("/") or "?" in path or "#" in path):
        raise click.BadParameter(f"expected a path such as /audit, not {root_path!r}", param_hint="'--root-path'")
    return path


def _check_place(place: Place) -> None:
    """End with a sentence for a place that is no audit directory, and for a database that cannot be asked."""
    try:
        wrong = place.wrong()
        if place.directory is None:
            _ = place.engine().dialect  # which asks the server what it is
    except OSError as error:
        wrong = error.strerror or str(error)
    if wrong is not None:
        raise Unreadable(f"cannot show {place.shown}: {wrong}")


def _is_writable(directory: Path | None) -> bool:
    return directory is not None and os.access(directory, os.W_OK | os.X_OK)


def _user() -> Any:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return os.getuid()
