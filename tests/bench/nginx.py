"""nginx, where it is installed: an upstream that is never the limit, and the fastest proxy to compare with."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.bench.upstream import DOCUMENT
from tests.processes import Running, free_port, is_open, start_process

NGINX = shutil.which("nginx")
MAIN = """
worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/errors.log;
events {{ worker_connections 8192; }}
http {{
    access_log off; keepalive_requests 1000000000; keepalive_timeout 1h; client_body_buffer_size 64k;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    {server}
}}
"""
ANSWERING = """
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{ default_type application/json; return 200 '{document}'; }}
    }}
"""
PASSING_ON = """
    upstream provider {{ server 127.0.0.1:{upstream}; keepalive 512; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://provider; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
        }}
    }}
"""


@contextmanager
def answering(folder: Path, env: Mapping[str, str]) -> Iterator[int]:
    """Run nginx as an upstream that gives the fixed answer to everything; gives its port."""
    port = free_port()
    with _serve(folder, env, port, ANSWERING.format(port=port, document=DOCUMENT.decode())):
        yield port


@contextmanager
def passing_on(folder: Path, env: Mapping[str, str], upstream: int) -> Iterator[tuple[int, int]]:
    """Run nginx as a proxy that keeps its upstream's connections open; gives its port and process."""
    port = free_port()
    with _serve(folder, env, port, PASSING_ON.format(port=port, upstream=upstream)) as running:
        yield port, running.pid


@contextmanager
def _serve(folder: Path, env: Mapping[str, str], port: int, server: str) -> Iterator[Running]:
    assert NGINX is not None
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "nginx.conf"
    settings.write_text(MAIN.format(folder=folder, server=server))
    with start_process([NGINX, "-c", settings, "-p", folder], env, ready=lambda _: is_open(port)) as running:
        yield running
