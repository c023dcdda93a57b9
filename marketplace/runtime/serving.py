"""Serve an ASGI application with uvicorn, on sockets that are bound before anything is started.

python -m marketplace.runtime.serving marketplace.asgi:application --fd 3
"""

import argparse
import contextlib
import errno
import os
import socket

from marketplace import embedded, env
from marketplace.runtime import lifeline

# SDKs keep connections open and send on them after a pause; ending them first would look like an error there.
KEEP_ALIVE_SECONDS = 75
# How long calls that were cut off may take to be settled, or to reach the disk when the database is away, and how
# long the process may take after that to sign off.
SETTLE_SECONDS, SIGN_OFF_SECONDS = 8, 7


def shutdown_seconds() -> int:
    """Return how long calls in flight may take to finish when a server is asked to stop."""
    return env.number("SHUTDOWN_SECONDS", 10, least=1, most=3600)


def grace_seconds() -> int:
    """Return how long a server may take to stop before it is killed."""
    return shutdown_seconds() + SETTLE_SECONDS + SIGN_OFF_SECONDS


def listener(host: str, port: int) -> socket.socket:
    """Bind a socket; raises SystemExit with a sentence when the port is taken or not allowed."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        # Two can be bound to a port, but not listen on it: asked now, it is known before anything is started.
        sock.listen(2048)
    except OSError as error:
        sock.close()
        why = "is taken by another program" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
        raise SystemExit(f"Port {port} on {host} {why}: choose another one with --port or PORT.") from None
    return sock


def serve(application: str, sock: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C; calls in flight get SHUTDOWN_SECONDS to finish."""
    import uvicorn

    from marketplace.runtime.http import BoundedHttp
    from marketplace.runtime.server import DrainingServer

    config = uvicorn.Config(
        application,
        loop="uvloop",
        http=BoundedHttp,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=shutdown_seconds(),
    )
    # Once it has shut down, uvicorn repeats the signal that asked for it.
    with contextlib.suppress(KeyboardInterrupt):
        DrainingServer(config).run(sockets=[sock])


def main() -> None:
    """Serve on a port, or on a socket inherited from the supervisor."""
    parser = argparse.ArgumentParser()
    parser.add_argument("application")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--fd", type=int)
    where.add_argument("--port", type=int)
    parser.add_argument("--host", default="127.0.0.1")
    arguments = parser.parse_args()
    lifeline.exit_on_sigterm()
    lifeline.hold()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.settings")
    if embedded.is_used():
        embedded.start(env.data_folder())
    inherited = socket.socket(fileno=arguments.fd) if arguments.fd is not None else None
    serve(arguments.application, inherited or listener(arguments.host, arguments.port))


if __name__ == "__main__":
    main()
