"""``dimec serve``: one tier behind HTTP."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dimec.base.errors import ConfigError
from dimec.cli.common import fetched
from dimec.cli.options import Taken, takes
from dimec.cli.tokens import read_token

if TYPE_CHECKING:
    from dimec.settings.option import Setting


def _settings() -> Iterable[Setting]:
    from dimec.serving.scaling import Scaling
    from dimec.serving.settings import ServerSettings
    from dimec.settings.option import settings_in

    return settings_in(ServerSettings, Scaling).values()


@takes(Taken(_settings, before="on_ray", defaults=True))
def serve(
    bundle: Annotated[
        Path,
        typer.Argument(
            metavar="BUNDLE/TIER",
            help="The folder of any tier but the first, such as edge/; or hub:ORG/NAME/TIER.",
        ),
    ],
    on_ray: Annotated[
        bool,
        typer.Option(
            "--ray",
            help="On a cluster of Ray: as many replicas as the load wants, on all its nodes. "
            "Every node needs dimec and the folder.",
        ),
    ] = False,
    stop_with_stdin: Annotated[
        bool,
        typer.Option(
            "--stop-with-stdin",
            hidden=True,
            help="Stop once standard input ends, so as not to outlive the process that started it.",
        ),
    ] = False,
    **given: Any,
) -> None:
    """Serve one tier by the Open Inference Protocol v2, until SIGTERM or Ctrl-C.

    One line of JSON on standard output says that it is ready, and where; the log goes to standard
    error, one JSON object a line. When told to stop, it answers what it has accepted.

    Examples:

        dimec serve bundles/mine/edge --port 8001

        dimec serve bundles/mine/cloud --host 0.0.0.0 --port 8002 --tls-cert cert.pem
        --tls-key key.pem --token-file token --cors-origin https://app.example

        dimec serve hub:me/reviews-bundle/cloud@COMMIT --port 8002

        dimec serve bundles/mine/cloud --ray --ray-address auto --host 0.0.0.0 --max-replicas 8
    """
    from dimec.bundle.folders import TierBundle, is_whole
    from dimec.serving.scaling import Scaling
    from dimec.serving.server import serve as run_server
    from dimec.serving.settings import ServerSettings

    file = given.pop("token")
    token = read_token(None if file is None else Path(file))
    typed = {name: value for name, value in given.items() if value is not None}
    scaling = Scaling.of(**{name: typed.pop(name) for name in Scaling.model_fields.keys() & typed})
    settings = ServerSettings.of(token=token, **typed)
    named, bundle = bundle, _found(bundle)
    if is_whole(bundle):
        raise ConfigError(_one_tier_of(named, bundle))
    if on_ray:
        from dimec.serving.ray.running import serve as run_on_ray

        run_on_ray(TierBundle.open(bundle), settings, scaling, stop_with_stdin=stop_with_stdin)
        return
    run_server(TierBundle.open(bundle), settings, stop_with_stdin=stop_with_stdin)


def _found(bundle: Path) -> Path:
    """The folder; a pull is told where somebody looks on, since the log is for programs."""
    from dimec.hub.kept import local_folder

    return fetched(bundle) if sys.stderr.isatty() else local_folder(bundle)


def _one_tier_of(named: Path, bundle: Path) -> str:
    """What to serve of a whole bundle, as it was named."""
    from dimec.bundle.folders import read_manifest
    from dimec.hub.kept import is_on_hub
    from dimec.hub.names import PREFIX, HubName

    names = read_manifest(bundle).names[1:]
    if not names:
        return f"{named} is a bundle of the device's tier alone; it has none to serve"
    if is_on_hub(named):
        whole = HubName.parse(named.as_posix())
        served = [f"{PREFIX}{whole.folder(name)}" for name in names]
    else:
        served = [str(bundle / name) for name in names]
    return f"{named} is a whole bundle; serve one tier of it: {' or '.join(served)}"
