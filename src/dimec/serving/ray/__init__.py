"""A tier on a cluster of Ray: the same application in replicas that come and go with the load.

:func:`~dimec.serving.ray.replicas.deployment` makes the application of Ray Serve,
:mod:`~dimec.serving.ray.front` stands in Ray's proxies, and :mod:`~dimec.serving.ray.running` is
``dimec serve --ray``. Needs the extra ``dimec[ray]``; this module imports none of it.
"""

from __future__ import annotations

from dimec.serving.ray.replicas import deployment
from dimec.serving.scaling import Scaling

__all__ = ["Scaling", "deployment"]
