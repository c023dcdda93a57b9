"""A real LiteLLM proxy with our hook beside its settings, as an operator would run it, in an environment of its own."""

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from tests.allocations.gateways import Server
from tests.databases import drop, owner_url
from tests.environments import environment_of
from tests.processes import ROOT, answers, free_port, start_process

# What is beside LiteLLM is for what stands in for its database client, where it keeps logs.
PACKAGES = ("litellm[proxy]==1.106.2", "psycopg[binary]==3.3.9", "psycopg-pool==3.3.3")
STAND_INS = ROOT / "tests" / "stand_ins"
HOOK = ROOT / "allocations" / "metering" / "litellm.py"
MASTER_KEY = "sk-litellm-0123456789abcdef0123456789abcdef"
MODEL = """
  - model_name: {name}
    litellm_params: {{model: {dialect}/{name}, api_base: "{base}", api_key: sk-the-providers-own}}"""
PRICES = """
    model_info: {{input_cost_per_token: {prices[0]}, output_cost_per_token: {prices[1]}}}"""
LOGGED = """
  disable_prisma_schema_update: true
  proxy_batch_write_at: 1"""
SETTINGS = """model_list:{models}
litellm_settings:
  callbacks: tank_hook.hook
  request_timeout: 4
general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
  forward_client_headers_to_llm_api: true{logged}
router_settings:
  num_retries: 1
  retry_after: 0
  disable_cooldowns: true
"""


def settings(models: Mapping[str, tuple[str, str]]) -> str:
    """Return LiteLLM's settings for models by name, each with its dialect and its provider's address."""
    listed = "".join(MODEL.format(name=name, dialect=dialect, base=base) for name, (dialect, base) in models.items())
    return SETTINGS.format(models=listed, logged="")


def logged_settings(models: Mapping[str, tuple[str, str]], prices: Mapping[str, tuple[str, str]]) -> str:
    """Return such settings of a proxy that keeps logs, with prices in USD per token in and out."""
    listed = "".join(
        MODEL.format(name=name, dialect=dialect, base=base) + PRICES.format(prices=prices[name])
        for name, (dialect, base) in models.items()
    )
    return SETTINGS.format(models=listed, logged=LOGGED)


@contextmanager
def logs_database() -> Iterator[str]:
    """Give the address of a database with LiteLLM's own schema; raises NotToBeHad."""
    packages = environment_of("litellm", *PACKAGES).parent
    (folder,) = packages.glob("lib/python3*/site-packages/litellm_proxy_extras/migrations")
    name = f"litellm_logs_{secrets.token_hex(6)}"
    with psycopg.connect(owner_url("postgres"), autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            with psycopg.connect(owner_url(name), autocommit=True) as connection:
                for path in sorted(folder.glob("*/migration.sql")):
                    connection.execute(path.read_bytes())
            yield owner_url(name)
        finally:
            drop(server, name)


@contextmanager
def litellm(folder: Path, config: str, tank_url: str, logs_url: str = "") -> Iterator[Server]:
    """Run the proxy with these settings, and with a database for its logs where one is named.

    Raises NotToBeHad where the package cannot be installed.
    """
    programs = environment_of("litellm", *PACKAGES)
    (folder / "config.yaml").write_text(config)
    shutil.copy(HOOK, folder / "tank_hook.py")
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    quiet = {"LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command: list[str | Path] = [programs / "litellm", "--config", folder / "config.yaml", "--port", str(port)]
    env |= {"LITELLM_MASTER_KEY": MASTER_KEY, "TANK_URL": tank_url, "TANK_TIMEOUT": "5", **quiet}
    if logs_url:
        env |= {"DATABASE_URL": logs_url, "STAND_IN_DATABASE_URL": logs_url, "DISABLE_SCHEMA_UPDATE": "true"}
        env |= {"PYTHONPATH": str(STAND_INS)}
    ready = f"{url}/health/liveliness"
    with start_process([*command, "--num_workers", "1"], env, ready=lambda _: answers(ready), within=180) as running:
        yield Server(running, url)
