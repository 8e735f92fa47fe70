"""The hub: runs, bundles and traces by name, fetched, checked, and kept for use offline."""

from __future__ import annotations

from dimec.hub.kept import local_folder
from dimec.hub.names import HubName
from dimec.hub.pulling import Pulled, pull

__all__ = ["HubName", "Pulled", "local_folder", "pull"]
