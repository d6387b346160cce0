"""Checkpoints: what is saved comes back the same, and what is not a network of this code is refused in one line."""

import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from engines import moves, network, planes
from engines.network import CheckpointError, NetworkConfig, PolicyValueNet, from_bytes, load_network, to_bytes
from tests.helpers.project import random_games

TINY = NetworkConfig(blocks=1, channels=8, squeeze=2, head=8)


def make(config: NetworkConfig = TINY, seed: int = 1) -> PolicyValueNet:
    """A network of random weights whose norms have seen something too."""
    torch.manual_seed(seed)
    net = PolicyValueNet(config).train()
    net(torch.rand(32, planes.PLANES, 8, 8))
    return net.eval()


def header_of(content: bytes) -> dict[str, Any]:
    """The JSON header of a safetensors file."""
    header: dict[str, Any] = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return header


def with_metadata(content: bytes, **changes: str | None) -> bytes:
    """The file with other metadata; None takes a key away."""
    header, size = header_of(content), int.from_bytes(content[:8], "little")
    header["__metadata__"] = {k: v for k, v in (header["__metadata__"] | changes).items() if v is not None}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def test_saved_and_loaded_it_answers_the_same(tmp_path: Path) -> None:
    net = make()
    (tmp_path / "net.safetensors").write_bytes(to_bytes(net))
    boards = [board for game in random_games(1, seed=1, plies=40) for board in game]
    x = torch.from_numpy(planes.planes(np.array([planes.pack(board) for board in boards], np.uint64)))
    there = load_network(tmp_path / "net.safetensors")
    assert there.config == TINY
    assert not there.training
    with torch.inference_mode():
        for mine, theirs in zip(net(x), there(x), strict=True):
            assert torch.equal(mine, theirs)


def test_every_tensor_comes_back_and_a_second_time_to_the_same_bytes() -> None:
    net = make()
    content = to_bytes(net, {"b": 1, "a": [2]})
    there = from_bytes(content)
    assert net.state_dict().keys() == there.state_dict().keys()
    assert all(torch.equal(net.state_dict()[name], value) for name, value in there.state_dict().items())
    assert to_bytes(there, {"a": [2], "b": 1}) == content


def test_the_same_weights_are_always_the_same_bytes() -> None:
    net = make()
    content = to_bytes(net)
    assert {to_bytes(net) for _ in range(10)} == {content}
    assert to_bytes(make(seed=2)) != content
    assert to_bytes(net.to(memory_format=torch.channels_last)) == content  # type: ignore[call-overload]


def test_what_it_says_of_itself_comes_back(tmp_path: Path) -> None:
    said = {"trained_on": 3, "spec": {"fit": {"epochs": 1.5}}, "player": "Žofie"}
    (tmp_path / "net").write_bytes(to_bytes(make(), said))
    assert network.about(tmp_path / "net") == said
    (tmp_path / "net").write_bytes(to_bytes(make()))
    assert network.about(tmp_path / "net") == {}


def assert_refused(path: Path, *packed: str, by: Callable[[Path], object] = load_network) -> None:
    """CheckpointError in one line that names the file and has all the words in it."""
    with pytest.raises(CheckpointError) as caught:
        by(path)
    said = str(caught.value)
    assert "\n" not in said
    assert len(said) < 600
    for word in (str(path), *packed):
        assert word in said


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert_refused(tmp_path / "none.safetensors", "no checkpoint")
    assert_refused(tmp_path / "none.safetensors", "no checkpoint", by=network.about)
    assert_refused(tmp_path, "no checkpoint")  # a folder


@pytest.mark.parametrize("size", [0, 5, 8, 100, 2000, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "net"
    path.write_bytes(to_bytes(make())[:size])
    assert_refused(path, "not a whole safetensors file")
    assert_refused(path, "not a whole safetensors file", by=network.about)


@pytest.mark.parametrize(
    "content",
    [
        b"PK\x03\x04" + bytes(1000),  # as a torch.save begins
        b"[Event '?']\n1. e4 e5\n" * 50,
        bytes(range(256)) * 10,
        (100).to_bytes(8, "little") + b"{" * 100,
        (2).to_bytes(8, "little") + b"[]",
    ],
)
def test_another_kind_of_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net"
    path.write_bytes(content)
    assert_refused(path, "not a whole safetensors file")


@pytest.mark.parametrize("key", ["format", "vocabulary", "planes"])
@pytest.mark.parametrize("value", ["another/2", None])
def test_another_format_vocabulary_or_planes_are_refused(tmp_path: Path, key: str, value: str | None) -> None:
    path = tmp_path / "net"
    content = to_bytes(make())
    path.write_bytes(with_metadata(content, **{key: value}))
    assert_refused(path, key, repr(header_of(content)["__metadata__"][key]), repr(value))


def test_a_file_without_metadata_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net"
    gone = dict.fromkeys(("format", "vocabulary", "planes", "config", "about"))
    path.write_bytes(with_metadata(to_bytes(make()), **gone))
    assert_refused(path, "format", "None")


@pytest.mark.parametrize(
    "config",
    [
        TINY.model_copy(update={"blocks": 2}).model_dump_json(),  # weights missing
        TINY.model_copy(update={"channels": 16}).model_dump_json(),  # other shapes
        TINY.model_copy(update={"head": 9}).model_dump_json(),
        "{}",  # the default size
        '{"blocks": 0}',
        '{"depth": 3}',
        '{"blocks": "many"}',
        "not JSON",
        None,
    ],
)
def test_a_configuration_that_does_not_fit_the_weights_is_refused(tmp_path: Path, config: str | None) -> None:
    path = tmp_path / "net"
    path.write_bytes(with_metadata(to_bytes(make()), config=config))
    assert_refused(path, "configuration", "weights")


def test_fewer_blocks_than_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net"
    two = to_bytes(make(TINY.model_copy(update={"blocks": 2})))
    path.write_bytes(with_metadata(two, config=TINY.model_dump_json()))
    assert_refused(path, "unexpected key blocks.1.")


def test_a_size_that_the_weights_do_not_have_is_refused_before_it_is_built(tmp_path: Path) -> None:
    path = tmp_path / "net"
    path.write_bytes(with_metadata(to_bytes(make()), config='{"blocks": 64, "channels": 1024, "head": 1024}'))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert_refused(path, "configuration", "missing key blocks.1.")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # KiB; built, it takes 4.8 GB


def test_metadata_that_are_null_are_none(tmp_path: Path) -> None:
    path = tmp_path / "net"
    content = to_bytes(make())
    header = json.dumps(header_of(content) | {"__metadata__": None}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + int.from_bytes(content[:8], "little") :])
    assert_refused(path, "expected format 'sandwich-network/1', got None")
    assert network.about(path) == {}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["value_out.bias", "stem.weight", "stem_norm.running_var"])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, name: str, value: float) -> None:
    net = make()
    net.state_dict()[name].view(-1)[0] = value
    path = tmp_path / "net"
    path.write_bytes(to_bytes(net))
    assert_refused(path, "not finite")


def test_what_it_says_of_itself_is_refused_where_it_is_not_json(tmp_path: Path) -> None:
    path = tmp_path / "net"
    path.write_bytes(with_metadata(to_bytes(make()), about="trained in May"))
    assert_refused(path, "not JSON", by=network.about)
    path.write_bytes(with_metadata(to_bytes(make()), about="[1]"))
    assert_refused(path, "no JSON object", by=network.about)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("blocks", 0),
        ("blocks", 65),
        ("channels", 12),  # not a multiple of 8
        ("channels", 0),
        ("channels", 2048),
        ("squeeze", 0),
        ("squeeze", 9),  # would narrow 8 channels to none
        ("head", 0),
        ("width", 64),
    ],
)
def test_a_size_that_cannot_be_is_refused(key: str, value: int) -> None:
    with pytest.raises(ValidationError, match=key):
        NetworkConfig.model_validate({key: value})


@pytest.mark.parametrize("config", [TINY, NetworkConfig(blocks=2, channels=24, squeeze=8, head=3)])
def test_shapes_of_the_answer_do_not_depend_on_the_size(config: NetworkConfig) -> None:
    logits, wdl = make(config)(torch.zeros(5, planes.PLANES, 8, 8))
    assert logits.shape == (5, moves.SIZE)
    assert wdl.shape == (5, 3)
