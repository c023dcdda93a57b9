"""TensorZero's HTTP gateway as a process of its own: `python tensorzero_gateway.py SETTINGS`; prints its address.

The Python package brings the gateway for `patch_openai_client`, which starts it on a port and points a client there.
It is Rust in threads of its own; this interpreter waits. Run by the Python of an environment that has `tensorzero`.
"""

import signal
import sys
from types import SimpleNamespace

import tensorzero

holder = SimpleNamespace(base_url="")
tensorzero.patch_openai_client(holder, config_file=sys.argv[1], async_setup=False)
sys.stdout.write(f"{holder.base_url}\n")
sys.stdout.flush()
signal.pause()
