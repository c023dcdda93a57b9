"""Which adapter reads which kind of feed."""

from importlib import import_module

from ledger.models.feeds import Feed, FeedKind
from ledger.providers.base import Adapter

# The module of each, imported when it is needed.
MODULES: dict[str, str] = {
    FeedKind.OPENAI_USAGE: "openai_usage",
    FeedKind.OPENAI_COSTS: "openai_costs",
    FeedKind.ANTHROPIC_USAGE: "anthropic_usage",
    FeedKind.ANTHROPIC_COST: "anthropic_cost",
    FeedKind.ANTHROPIC_USAGE_REPORT: "anthropic_usage_report",
    FeedKind.ANTHROPIC_COST_REPORT: "anthropic_cost_report",
    FeedKind.LITELLM: "litellm",
    FeedKind.FOCUS: "focus",
    FeedKind.PLAIN: "plain",
    FeedKind.SANDBOX: "sandbox",
}


def adapter_for(kind: str) -> Adapter:
    """Return the adapter of a kind of feed: every module of this folder has it as ADAPTER."""
    adapter: Adapter = import_module(f"ledger.providers.{MODULES[kind]}").ADAPTER
    return adapter


def adapter_of(feed: Feed) -> Adapter:
    """Return the adapter that a feed is read with."""
    return adapter_for(feed.kind)
