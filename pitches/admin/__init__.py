"""The committee's workplace inside the admin: every page reads selectors, every action calls one service."""

from pitches.admin.registry import RoundAdmin

__all__ = ["RoundAdmin"]
