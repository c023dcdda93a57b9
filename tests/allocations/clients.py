"""Clients as a process of their own: `python -m tests.allocations.clients '{"urls": [...], ...}'`.

They call, all at once or again and again, and print what they got, one JSON line per answer that came whole.
"""

import asyncio
import json
import sys
from typing import Any

import aiohttp


async def main(plan: dict[str, Any]) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    headers = {"authorization": f"Bearer {plan['secret']}"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        callers = (caller(session, plan, plan["urls"][number % len(plan["urls"])]) for number in range(plan["callers"]))
        await asyncio.gather(*callers)


async def caller(session: aiohttp.ClientSession, plan: dict[str, Any], url: str) -> None:
    for number in range(plan["calls"]):
        body = plan["body"] | {"stream": plan.get("mixed", False) and number % 2 == 1}
        try:
            async with session.post(f"{url}/v1/chat/completions", json=body) as answer:
                text = await answer.text()
                told = {"status": answer.status, "id": answer.headers["x-request-id"], "text": text[-1000:]}
        except (aiohttp.ClientError, OSError):
            return
        if answer.status != 200 or not body["stream"] or text.endswith("data: [DONE]\n\n"):
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()


asyncio.run(main(json.loads(sys.argv[1])))
