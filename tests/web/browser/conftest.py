"""The browser that these tests drive."""

from __future__ import annotations

from support.browser import chromium, chromium_type, launch_options

__all__ = ["chromium", "chromium_type", "launch_options"]
