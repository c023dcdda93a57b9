"""What else does such work: LiteLLM's proxy and TensorZero's gateway, as fast as they can be, each by itself.

Neither meters anything here: without a database LiteLLM has no budgets, and TensorZero's gateway has none.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.allocations.litellms import PACKAGES
from tests.bench.upstream import PLAIN, STREAMED
from tests.databases import ROOT
from tests.environments import environment_of, versions
from tests.processes import Running, free_port, is_open, start_process

Ports = Mapping[str, int]
"""The port of the upstream of each model."""

MASTER_KEY = "sk-bench-0123456789abcdef0123456789abcdef"
TENSORZERO_MODEL = "tensorzero::model_name::{}"
# LiteLLM fetches its price list from the network unless it is told not to.
LITELLM = {"LITELLM_MASTER_KEY": MASTER_KEY, "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"} | {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True"
}
LITELLM_MODEL = """
  - model_name: {name}
    litellm_params: {{model: openai/{name}, api_base: "http://127.0.0.1:{port}/v1", api_key: sk-bench}}"""
TENSORZERO_GATEWAY = "[gateway]\nobservability.enabled = false\n"
TENSORZERO_MODEL_SETTINGS = """
[models.{name}]
routing = ["upstream"]
[models.{name}.providers.upstream]
type = "openai"
model_name = "{name}"
api_base = "http://127.0.0.1:{port}/v1/"
api_key_location = "none"
"""


@contextmanager
def litellm(folder: Path, env: Mapping[str, str], upstreams: Ports) -> Iterator[tuple[int, Running, str]]:
    """Run LiteLLM's proxy with one worker; gives its port, process and version. Raises NotToBeHad."""
    programs = environment_of("litellm", *PACKAGES)
    settings, port = folder / "litellm.yaml", free_port()
    models = "".join(LITELLM_MODEL.format(name=name, port=upstreams[name]) for name in (PLAIN, STREAMED))
    settings.write_text(f"model_list:{models}\nlitellm_settings: {{telemetry: false}}\n")
    command: list[str | Path] = [programs / "litellm", "--config", settings, "--port", str(port), "--num_workers", "1"]
    with start_process(command, _outside(env) | LITELLM, ready=lambda _: is_open(port), within=180) as running:
        yield port, running, versions(programs, "litellm")


@contextmanager
def tensorzero(folder: Path, env: Mapping[str, str], upstreams: Ports) -> Iterator[tuple[int, Running, str]]:
    """Run TensorZero's gateway; gives its port, process and version. Raises NotToBeHad."""
    programs = environment_of("tensorzero", "tensorzero==2026.6.0")
    settings = folder / "tensorzero.toml"
    models = (TENSORZERO_MODEL_SETTINGS.format(name=name, port=upstreams[name]) for name in (PLAIN, STREAMED))
    settings.write_text(TENSORZERO_GATEWAY + "".join(models))
    command = [programs / "python", ROOT / "tests" / "bench" / "tensorzero_gateway.py", settings]
    with start_process(command, _outside(env) | {"RUST_LOG": "error"}, ready=lambda it: bool(_address(it))) as running:
        port = urlsplit(_address(running)).port
        assert port is not None
        yield port, running, versions(programs, "tensorzero")


TENSORZERO_PATH = "/openai/v1/chat/completions"


def _address(running: Running) -> str:
    found = re.search(r"^(http://\S+)\n", running.output, re.MULTILINE)
    return found[1] if found else ""


def _outside(env: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without what is Tank's own, such as its database, which others would take for theirs."""
    return {
        name: value for name, value in env.items() if not name.startswith(("DATABASE_", "TANK_", "DJANGO_", "SECRET_"))
    }
