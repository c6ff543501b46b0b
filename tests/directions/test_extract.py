"""Persona vectors end to end: what is asked, what is counted, and what is kept beside the direction."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from experiments.directions.files import trait_file
from experiments.directions.persona import ExtractConfig, extract
from interp.directions import Direction
from interp.errors import InterpError
from interp.files import read_jsonl
from interp.instrument import load_permuted, nulls_file
from interp.keys import seed_from
from interp.model import Model
from interp.nulls import permuted_like
from interp.tensors import load_header
from interp.traits import Trait
from tests.support.tiny_study import GLOOMY, write_trait

CONFIG = ExtractConfig(max_new_tokens=4, permuted=6, rollouts=2)


@pytest.fixture
def trait(tmp_path: Path) -> Trait:
    return Trait.load(write_trait(tmp_path / "gloomy.json"))


def made(model: Model, trait: Trait, out: Path, config: ExtractConfig = CONFIG, seed: int = 0) -> Direction:
    return extract(model, trait, config, seed=seed, direction_file=out / "d.safetensors", rollouts_file=out / "r.jsonl")


def plain_means(model: Model, records: list[dict[str, Any]]) -> Tensor:
    """Mean answer activation of every rollout that has one, from torch hooks on the blocks."""
    means = []
    for row in records:
        messages = [{"role": "system", "content": row["system"]}, {"role": "user", "content": row["prompt"]}]
        prompt = model.chat.tokens(messages).ids
        seen: list[Tensor] = []
        hooks = [
            block.register_forward_hook(lambda _, __, out, seen=seen: seen.append(out[0] if out.dim() == 3 else out))
            for block in model.blocks
        ]
        with torch.no_grad():
            model.hf(torch.tensor([[*prompt, *row["answer_ids"]]]))
        for hook in hooks:
            hook.remove()
        means.append(torch.stack([h[len(prompt) :].mean(0) for h in seen]))
    return torch.stack(means)


def test_the_direction_is_the_difference_of_mean_answers(llama: Model, trait: Trait, tmp_path: Path) -> None:
    direction = made(llama, trait, tmp_path)
    records = [row for row in read_jsonl(tmp_path / "r.jsonl") if row["answer_ids"]]
    means = plain_means(llama, records)
    positive = torch.tensor([row["side"] == "pos" for row in records])
    expected = means[positive].mean(0) - means[~positive].mean(0)
    torch.testing.assert_close(direction.vectors, expected, rtol=1e-4, atol=1e-5)
    assert direction.layers == (0, 1, 2, 3)
    assert direction.layer == max(range(4), key=lambda k: direction.header["held_out_cohens_d"][k])
    mean_norm = means.norm(dim=-1).mean(0)
    assert direction.header["mean_norm"] == pytest.approx(mean_norm.tolist(), abs=1e-3)


def test_every_question_is_asked_under_both_instructions_of_every_pair(
    llama: Model, trait: Trait, tmp_path: Path
) -> None:
    made(llama, trait, tmp_path)
    records = read_jsonl(tmp_path / "r.jsonl")
    asked = [(row["side"], row["pair"], row["question"], row["rollout"]) for row in records]
    assert asked == [(s, p, q, r) for s in ("pos", "neg") for p in range(2) for q in range(2) for r in range(2)]
    for row in records:
        assert row["system"] == GLOOMY["instruction"][row["pair"]][row["side"]]
        assert row["prompt"] == GLOOMY["questions"][row["question"]]
        assert llama.chat.answer_text(row["answer_ids"]) == row["text"]
        assert len(row["answer_ids"]) <= 4
    assert len({row["id"] for row in records}) == len(records)


def test_no_held_out_question_goes_into_a_direction(llama: Model, trait: Trait, tmp_path: Path) -> None:
    made(llama, trait, tmp_path)
    assert not {row["prompt"] for row in read_jsonl(tmp_path / "r.jsonl")} & set(GLOOMY["eval_questions"])


def test_pairs_and_questions_are_taken_from_the_first(llama: Model, tmp_path: Path) -> None:
    more = Trait.load(write_trait(tmp_path / "t.json", questions=["A?", "B?", "C?"]))
    config = ExtractConfig(pairs=1, questions=2, max_new_tokens=3, permuted=2)
    direction = made(llama, more, tmp_path, config)
    records = read_jsonl(tmp_path / "r.jsonl")
    assert {(row["pair"], row["prompt"]) for row in records} == {(0, "A?"), (0, "B?")}
    assert direction.header["n_questions"] == 2
    assert direction.header["config"] == config.model_dump(mode="json")


def silent(model: Model, monkeypatch: pytest.MonkeyPatch, empty: Callable[[int], bool]) -> None:
    """Let some answers be empty."""
    real = model.generate

    def generate(*args: Any, **kwargs: Any) -> list[tuple[int, ...]]:
        return [() if empty(i) else ids or (7,) for i, ids in enumerate(real(*args, **kwargs))]

    monkeypatch.setattr(model, "generate", generate)


def test_empty_answers_are_counted_and_left_out(
    llama: Model, trait: Trait, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent(llama, monkeypatch, lambda i: i in (0, 3, 9))
    direction = made(llama, trait, tmp_path)
    records = read_jsonl(tmp_path / "r.jsonl")
    assert len(records) == 16
    assert [i for i, row in enumerate(records) if not row["answer_ids"]] == [0, 3, 9]
    header = direction.header
    assert (header["n_positive"], header["n_negative"], header["n_empty_answers"]) == (6, 7, 3)
    kept = [row for row in records if row["answer_ids"]]
    means = plain_means(llama, kept)
    positive = torch.tensor([row["side"] == "pos" for row in kept])
    expected = means[positive].mean(0) - means[~positive].mean(0)
    torch.testing.assert_close(direction.vectors, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("empty", "message"),
    [
        (lambda i: i < 8, "positive side has no rows"),
        (lambda i: i >= 8, "negative side has no rows"),
        (lambda i: True, "side has no rows"),  # noqa: ARG005
    ],
    ids=["positive", "negative", "both"],
)
def test_a_side_that_says_nothing_is_an_error_and_leaves_no_direction(
    empty: Callable[[int], bool],
    message: str,
    llama: Model,
    trait: Trait,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    silent(llama, monkeypatch, empty)
    with pytest.raises(InterpError, match=message):
        made(llama, trait, tmp_path)
    assert not (tmp_path / "d.safetensors").exists()


def test_permuted_nulls_are_kept_and_are_the_recipe_on_shuffled_labels(
    llama: Model, trait: Trait, tmp_path: Path
) -> None:
    direction = made(llama, trait, tmp_path)
    kept = load_permuted(tmp_path / "d.safetensors", model=llama.identity)
    assert kept is not None
    assert kept.shape == (6, 4, 32)
    records = [row for row in read_jsonl(tmp_path / "r.jsonl") if row["answer_ids"]]
    means = plain_means(llama, records)
    positive = torch.tensor([row["side"] == "pos" for row in records])
    again = permuted_like(
        means[positive],
        means[~positive],
        6,
        seed=seed_from(0, "permuted", "gloomy"),
        groups=tuple([row["question"] for row in records if row["side"] == side] for side in ("pos", "neg")),
    )
    torch.testing.assert_close(kept, again, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(kept[0], direction.vectors)
    header = load_header(nulls_file(tmp_path / "d.safetensors"))
    assert (header["kind"], header["trait"]) == ("nulls", "gloomy")


def test_nulls_that_were_not_kept_are_none_and_others_are_refused(llama: Model, trait: Trait, tmp_path: Path) -> None:
    made(llama, trait, tmp_path)
    with pytest.raises(InterpError, match="made with model tiny-llama"):
        load_permuted(tmp_path / "d.safetensors", model="another")
    nulls_file(tmp_path / "d.safetensors").unlink()
    assert load_permuted(tmp_path / "d.safetensors") is None


def test_the_header_says_where_a_direction_comes_from(llama: Model, trait: Trait, tmp_path: Path) -> None:
    made(llama, trait, tmp_path, seed=5)
    header = Direction.load(tmp_path / "d.safetensors", model=llama.identity).header
    for key in ("model", "model_identity", "template_hash", "dtype", "recipe", "data_hash", "held_out_auroc"):
        assert header[key], key
    assert (header["seed"], header["stack"], header["pooling"], header["trait"]) == (5, [], "response_mean", "gloomy")


def test_one_seed_gives_one_direction_and_another_seed_another(llama: Model, trait: Trait, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        made(llama, trait, tmp_path / name, seed=seed)
    files = {name: (tmp_path / name / "d.safetensors").read_bytes() for name in "abc"}
    assert files["a"] == files["b"] != files["c"]
    assert (tmp_path / "a" / "r.jsonl").read_bytes() == (tmp_path / "b" / "r.jsonl").read_bytes()


def test_greedy_answers_do_not_depend_on_the_seed(llama: Model, trait: Trait, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"temperature": 0.0, "rollouts": 1})
    one, other = (made(llama, trait, tmp_path / str(seed), config, seed) for seed in (0, 1))
    assert torch.equal(one.vectors, other.vectors)


def test_too_few_questions_to_hold_any_out_is_an_error_before_a_direction_is_written(
    llama: Model, trait: Trait, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent(llama, monkeypatch, lambda i: i // 2 % 2 == 1)  # nobody answers the second question
    with pytest.raises(InterpError, match="too few to hold any out"):
        made(llama, trait, tmp_path)
    assert not (tmp_path / "d.safetensors").exists()


def test_a_planted_direction_is_found_at_its_layer(
    llama: Model, trait: Trait, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the two sides differ along one vector in one layer, the recipe gives that vector and that layer."""
    torch.manual_seed(0)
    planted = torch.zeros(4, 32)
    planted[2] = torch.randn(32) * 2

    def pooled(model: Model, rows: list[Any], **kwargs: Any) -> Tensor:
        noise = torch.randn(len(rows), 4, 32)
        noise[: len(rows) // 2] += planted
        return noise

    silent(llama, monkeypatch, lambda i: False)  # noqa: ARG005
    monkeypatch.setattr("interp.persona.pooled", pooled)
    many = Trait.load(write_trait(tmp_path / "t.json", questions=[f"Is it {i}?" for i in range(10)]))
    direction = made(llama, many, tmp_path, ExtractConfig(max_new_tokens=1, rollouts=3))
    assert direction.layer == 2
    assert torch.cosine_similarity(direction.at(2), planted[2], dim=0) > 0.95
    assert direction.header["held_out_auroc"][2] > 0.95
    assert all(0.3 < direction.header["held_out_auroc"][layer] < 0.7 for layer in (0, 1, 3))


def test_a_trait_is_named_by_its_own_name_or_by_a_file(tmp_path: Path) -> None:
    assert Trait.load(trait_file("evil")).name == "evil"
    assert trait_file(str(tmp_path / "mine.json")) == tmp_path / "mine.json"
    with pytest.raises(ValueError, match=r"unknown trait 'mine'.*or a \.json file"):
        trait_file("mine")
