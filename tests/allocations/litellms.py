"""A real LiteLLM proxy with our hook beside its settings, as an operator would run it, in an environment of its own."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.allocations.gateways import Server
from tests.environments import environment_of
from tests.processes import ROOT, answers, free_port, start_process

LITELLM = "litellm[proxy]==1.106.2"
HOOK = ROOT / "allocations" / "metering" / "litellm.py"
MASTER_KEY = "sk-litellm-0123456789abcdef0123456789abcdef"
MODEL = """
  - model_name: {name}
    litellm_params: {{model: {dialect}/{name}, api_base: "{base}", api_key: sk-the-providers-own}}"""
SETTINGS = """model_list:{models}
litellm_settings:
  callbacks: tank_hook.hook
  request_timeout: 4
general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
  forward_client_headers_to_llm_api: true
router_settings:
  num_retries: 1
  retry_after: 0
  disable_cooldowns: true
"""


def settings(models: Mapping[str, tuple[str, str]]) -> str:
    """Return LiteLLM's settings for models by name, each with its dialect and its provider's address."""
    listed = "".join(MODEL.format(name=name, dialect=dialect, base=base) for name, (dialect, base) in models.items())
    return SETTINGS.format(models=listed)


@contextmanager
def litellm(folder: Path, config: str, tank_url: str) -> Iterator[Server]:
    """Run the proxy with these settings. Raises NotToBeHad where the package cannot be installed."""
    programs = environment_of("litellm", LITELLM)
    (folder / "config.yaml").write_text(config)
    shutil.copy(HOOK, folder / "tank_hook.py")
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    quiet = {"LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command: list[str | Path] = [programs / "litellm", "--config", folder / "config.yaml", "--port", str(port)]
    env |= {"LITELLM_MASTER_KEY": MASTER_KEY, "TANK_URL": tank_url, "TANK_TIMEOUT": "5", **quiet}
    ready = f"{url}/health/liveliness"
    with start_process([*command, "--num_workers", "1"], env, ready=lambda _: answers(ready), within=180) as running:
        yield Server(running, url)
