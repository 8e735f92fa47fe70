"""A cluster of Ray on this machine whose nodes can be taken away; run by .ray/'s Python.

Prints one line of JSON once it is there, then answers commands, one a line of standard input, with
a line each; ends with standard input. Each command is an object: ``{"remove": true}`` kills the
node with most replicas, ``{"wait": [least, most]}`` answers once so many replicas run.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections import Counter
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import ray
from ray import serve
from ray._private.state import actors
from ray.cluster_utils import Cluster

# The head has proxies and no replicas, so that whichever node is lost, the cluster is not.
HEAD, NODES, CORES = {"num_cpus": 0, "include_dashboard": False}, 2, 2
PATIENCE = 240.0  # seconds that anything may take on a slow machine


# Ray prints what it likes to standard output, which here is the answers' alone.
_ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def say(value: Any) -> None:
    print(json.dumps(value), file=_ANSWERS, flush=True)


def places() -> list[str]:
    """The node of each replica that lives."""
    return [
        actor["Address"]["NodeID"]
        for actor in actors().values()
        if actor["State"] == "ALIVE" and actor["ActorClassName"].startswith("ServeReplica")
    ]


def running() -> int:
    """How many replicas Ray Serve takes for running; a lost one for some seconds more."""
    applications = serve.status().applications.values()
    deployments = [one for app in applications for one in app.deployments.values()]
    return sum(one.replica_states.get("RUNNING", 0) for one in deployments)


def wait(least: int, most: int) -> int:
    """Wait until so many replicas live and run; how many do."""
    end = time.monotonic() + PATIENCE
    while len(places()) != (found := running()) or not least <= found <= most:
        if time.monotonic() > end:
            raise TimeoutError(f"expected {least} to {most} replicas, got {found}")
        time.sleep(0.2)  # Ray tells nobody when a replica has come or gone
    return found


def remove(cluster: Cluster) -> int:
    """Kill the node with most replicas, as if its power failed; how many it had."""
    node, count = Counter(places()).most_common(1)[0]
    lost = next(one for one in cluster.worker_nodes if one.node_id == node)
    cluster.remove_node(lost, allow_graceful=False)
    return count


def main() -> None:
    logging.getLogger("ray").setLevel(logging.ERROR)
    cluster = Cluster(initialize_head=True, head_node_args=HEAD)
    for _ in range(NODES):
        cluster.add_node(num_cpus=CORES)
    cluster.wait_for_nodes()
    ray.init(
        address=cluster.address, namespace="serve", log_to_driver=False, logging_level=logging.ERROR
    )
    say({"address": cluster.address})
    for line in sys.stdin:
        command = json.loads(line)
        if "remove" in command:
            say(remove(cluster))
        else:
            say(wait(*command["wait"]))
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main()
