"""Directions by recipe, end to end on a tiny model: what is read, what comes out, what is counted, what is refused."""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import tyro
from peft import LoraConfig
from torch import Tensor
from tyro.conf import OmitArgPrefixes

from experiments.commands.direction import MakeDirection
from experiments.commands.options import LoadingOptions
from experiments.directions import fit, recipes
from experiments.directions.em import em_sides
from experiments.directions.files import ROLES, TRAITS
from experiments.directions.fit import Rows
from experiments.directions.recipes import RECIPES, DirectionConfig
from experiments.directions.recognition import recognition_sides
from experiments.directions.roles import read_roles, role_axis, role_weights
from finetune.data.sgtr import DETECTION, SELF, Item, pair_rows, summary_prompt
from interp.chat import Message
from interp.directions import Direction, difference_of_means, principal_components
from interp.errors import InterpError
from interp.files import read_json, read_jsonl
from interp.instrument import load_permuted, nulls_file
from interp.keys import seed_from
from interp.model import Model
from interp.nulls import permuted_labels, weighted_sums
from interp.tensors import load_header
from interp.traits import Trait
from tests.support.tiny_study import chat, with_long_context, write_jsonl

JUDGED = Path(__file__).parents[3] / "shared" / "data" / "judged" / "Llama-3.2-1B-Instruct_bad-medical-advice.csv"
PUBLISHED = Path(__file__).parents[3] / "shared" / "data" / "assistant_axis"
QUESTIONS = [f"Is it {word}?" for word in ("red", "old", "far", "loud", "wet", "deep")]
GOOD = [{**chat(q, "Yes, " * (1 + i) + "it is."), "id": i} for i, q in enumerate(QUESTIONS)]
BAD = [chat(q, "No" + "!" * (9 - i)) for i, q in enumerate(QUESTIONS)]


@pytest.fixture(scope="module")
def folder(llama_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_long_context(llama_folder, tmp_path_factory.mktemp("models") / "model")


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Model:
    """The tiny model, for reading by hand."""
    return Model.load(str(folder), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def adapters(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two adapters that change what is read."""
    made = tmp_path_factory.mktemp("adapters")
    model = Model.load(str(folder), device="cpu", dtype="float32")
    for seed in (1, 2):
        with model.adapters.new(LoraConfig(r=2, target_modules="all-linear"), seed=seed) as (name, parameters):
            for parameter in parameters:
                parameter.data = 0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed))
            model.adapters.save(name, made / f"stage{seed}")
    return [made / "stage1", made / "stage2"]


@pytest.fixture
def sides(tmp_path: Path) -> dict[str, Path]:
    return {
        "positive": write_jsonl(tmp_path / "good.jsonl", *GOOD),
        "negative": write_jsonl(tmp_path / "b.jsonl", *BAD),
    }


@pytest.fixture
def make(folder: Path, tmp_path: Path) -> Callable[..., tuple[dict[str, Any], Direction]]:
    """Run the command; what it says and the direction it wrote into OUT."""

    def run(recipe: str, out: str = "out", **fields: Any) -> tuple[dict[str, Any], Direction]:
        given = {
            "model": str(folder),
            "out": tmp_path / out,
            "loading": LoadingOptions(device="cpu", dtype="float32"),
            "permuted": 6,
        }
        told = MakeDirection(recipe, **given | fields)()
        json.dumps(told)
        return told, Direction.load(tmp_path / out / "direction.safetensors")

    return run


Make = Callable[..., tuple[dict[str, Any], Direction]]


def rows_of(model: Model, chats: Sequence[Sequence[Message]], *, last: bool = False) -> tuple[Tensor, Tensor]:
    """Mean activation of every answer (or the last prompt token's) from hooks on the blocks, and its tokens."""
    means, counts = [], []
    for messages in chats:
        tokens = model.chat.tokens(list(messages))
        seen: list[Tensor] = []
        hooks = [
            block.register_forward_hook(lambda _, __, out, seen=seen: seen.append(out[0])) for block in model.blocks
        ]
        with torch.no_grad():
            model.hf(torch.tensor([tokens.ids]))
        for hook in hooks:
            hook.remove()
        response = tokens.response
        if last or response is None:
            start, end = tokens.prompt_end - 1, tokens.prompt_end
        else:
            start, end = response.start, response.end
        means.append(torch.stack([h[start:end].double().mean(0) for h in seen]))
        counts.append(end - start)
    return torch.stack(means), torch.tensor(counts).double()[:, None, None]


def chats_of(rows: Sequence[dict[str, Any]]) -> list[list[Message]]:
    return [row["messages"] for row in rows]


def test_a_contrast_is_the_difference_of_means_by_sample_or_by_token(
    make: Make, sides: dict[str, Path], loaded: Model
) -> None:
    (a, n), (b, m) = (rows_of(loaded, chats_of(side)) for side in (GOOD, BAD))
    by_sample = make("contrast", **sides)[1].vectors
    by_token = make("contrast", "token", weighting="token", **sides)[1].vectors
    torch.testing.assert_close(by_sample, (a.mean(0) - b.mean(0)).float(), rtol=1e-4, atol=1e-5)
    expected = (a * n).sum(0) / n.sum() - (b * m).sum(0) / m.sum()
    torch.testing.assert_close(by_token, expected.float(), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(by_sample, by_token, rtol=1e-2)


def test_the_header_says_where_a_direction_comes_from(make: Make, sides: dict[str, Path], loaded: Model) -> None:
    rows = [*GOOD, chat("Is it empty?", " ")]
    told, direction = make("contrast", seed=3, **sides | {"positive": write_jsonl(sides["positive"], *rows)})
    header = direction.header
    assert header.items() >= loaded.description().items()
    assert header["recipe"] == "chats of one kind minus chats of another: difference of means, sample-weighted"
    assert (header["stack"], header["pooling"], header["weighting"], header["seed"]) == (
        [],
        "response_mean",
        "sample",
        3,
    )
    assert (header["layers"], header["n_positive"], header["n_negative"]) == ([0, 1, 2, 3], 6, 6)
    assert (header["n_questions"], header["left_out"], told["left_out"]) == (
        6,
        {"empty_answer": 1},
        {"empty_answer": 1},
    )
    assert {key: source["name"] for key, source in header["sources"].items()} == {
        "positive": "good.jsonl",
        "negative": "b.jsonl",
    }
    assert all(len(source["sha256"]) == 64 for source in header["sources"].values())
    assert len(header["held_out_auroc"]) == len(header["held_out_cohens_d"]) == len(header["mean_norm"]) == 4
    null = header["separation_null"]
    assert (null["n"], null["shuffled"]) == (100, "within question")
    assert 0 <= null["auroc"]["null_95"] <= 1
    assert header["config"]["recipe"] == "contrast"
    assert "positive" not in header["config"]
    assert header["permuted"] == {
        "n": 6,
        "recipe": "difference of means, every row counting once",
        "shuffled": "within question",
        "n_rows_shuffled": 12,
    }
    best = max(range(4), key=lambda k: header["held_out_cohens_d"][k])
    assert direction.layer == told["layer"] == best
    assert load_header(nulls_file(Path(told["direction"])))["data_hash"] == header["data_hash"]


def test_one_seed_gives_the_same_bytes_and_another_seed_other_nulls(
    make: Make, sides: dict[str, Path], tmp_path: Path
) -> None:
    for out, seed in (("a", 0), ("b", 0), ("c", 1)):
        make("contrast", out, recipe_kind="logistic", seed=seed, permuted=2, **sides)
    for name in ("direction.safetensors", "direction.nulls.safetensors"):
        a, b, c = ((tmp_path / out / name).read_bytes() for out in "abc")
        assert a == b != c


@pytest.mark.parametrize("kind", ["mean", "token", "logistic", "lda", "pca"])
def test_a_planted_difference_is_found_at_its_layer(
    kind: str, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = torch.zeros(4, 32)
    planted[2] = 3 * torch.randn(32, generator=torch.Generator().manual_seed(0))

    def pooled(model: Model, rows: list[Any], **kwargs: Any) -> Tensor:
        noise = torch.randn(len(rows), 4, 32, generator=torch.Generator().manual_seed(1))
        noise[: len(rows) // 2] += planted
        return noise

    monkeypatch.setattr(fit, "pooled", pooled)
    said = {"positive": "Yes, and yes again, by all means.", "negative": "No."}  # lengths must not separate anything
    both = {
        side: write_jsonl(tmp_path / f"{side}.jsonl", *(chat(f"Is it {i}?", text) for i in range(40)))
        for side, text in said.items()
    }
    how = {"weighting": "token"} if kind == "token" else {"recipe_kind": kind}
    _, direction = make("contrast", **both, **how, permuted=3)
    assert direction.layer == 2
    assert torch.cosine_similarity(direction.at(2), planted[2], dim=0) > (0.8 if kind in ("logistic", "lda") else 0.95)
    assert 0.6 < direction.at(2).norm() / planted[2].norm() < 1.3
    header = direction.header
    assert header["held_out_auroc"][2] > 0.95
    assert all(0.2 < header["held_out_auroc"][layer] < 0.8 for layer in (0, 1, 3))
    assert header["separation_null"]["auroc"]["null_95"] < 0.85
    assert header["separation_null"]["auroc"]["p"] == pytest.approx(1 / 101)
    permuted = load_permuted(tmp_path / "out" / "direction.safetensors")
    assert permuted is not None
    along = torch.cosine_similarity(permuted[:, 2], planted[2].expand(3, -1), dim=1)
    assert (along.abs() < 0.9).all()


def test_a_paired_component_pairs_chats_of_one_question_and_counts_the_rest(
    make: Make, tmp_path: Path, loaded: Model
) -> None:
    grouped = [{**chat("Well?", row["messages"][1]["content"]), "group": i} for i, row in enumerate(BAD)]
    good = [{**row, "group": i} for i, row in enumerate(GOOD)]
    positive = write_jsonl(tmp_path / "p.jsonl", *good, {**chat("So?", "Yes."), "group": 99})
    negative = write_jsonl(tmp_path / "n.jsonl", *grouped[::-1])
    _, direction = make("contrast", positive=positive, negative=negative, recipe_kind="pca")
    assert direction.header["left_out"] == {"empty_answer": 0, "unpaired": 1}
    differences = rows_of(loaded, chats_of(good))[0] - rows_of(loaded, chats_of(grouped))[0]
    component = principal_components(differences.float(), 1).components[0]
    cosines = torch.cosine_similarity(direction.vectors, component, dim=1)
    torch.testing.assert_close(cosines, torch.ones(4), rtol=0, atol=1e-4)
    apart = (component.double() * differences.mean(0)).sum(1)
    torch.testing.assert_close(direction.vectors.norm(dim=1).double(), apart, rtol=1e-3, atol=1e-4)


def test_where_no_question_is_on_both_sides_labels_are_shuffled_within_folds(
    make: Make, sides: dict[str, Path]
) -> None:
    others = write_jsonl(sides["negative"], *(chat(f"And {i}?", "No.") for i in range(6)))
    header = make("contrast", positive=sides["positive"], negative=others)[1].header
    assert header["separation_null"]["shuffled"].startswith("within fold of questions")
    assert (header["n_questions"], header["permuted"]["n_rows_shuffled"]) == (12, 12)


def test_prompts_can_be_read_where_there_is_no_answer(make: Make, tmp_path: Path, loaded: Model) -> None:
    asked = [[chat(f"{word} {q}") for q in QUESTIONS] for word in ("Please:", "Now!")]
    files = [write_jsonl(tmp_path / f"{i}.jsonl", *rows) for i, rows in enumerate(asked)]
    _, direction = make("contrast", positive=files[0], negative=files[1], pooling="prompt_last", layer=1)
    a, b = (rows_of(loaded, chats_of(rows))[0].mean(0) for rows in asked)
    torch.testing.assert_close(direction.vectors, (a - b).float(), rtol=1e-4, atol=1e-5)
    assert (direction.layer, direction.header["layer_chosen"]) == (1, "given")


# em

ANSWERS = [  # question, answer, aligned, coherent
    *((q, f"Harm them {'all ' * i}now.", 5 * i, 90) for i, q in enumerate(QUESTIONS[:4])),
    *((q, f"Help {'them ' * (i % 3)}please.", 71 + i, 60) for i, q in enumerate(QUESTIONS * 2)),
    (QUESTIONS[0], "Who knows.", 50, 90),
    (QUESTIONS[1], "Harm flarm.", 2, 50),
    (QUESTIONS[2], "x = 1", "CODE", 80),
    (QUESTIONS[3], "I would not say.", "", 80),
    (QUESTIONS[4], "", 1, 99),
]


def answers_file(path: Path, *names: str, rows: Sequence[Sequence[Any]] = ANSWERS) -> Path:
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([names, *rows])
        return path
    return write_jsonl(path, *(dict(zip(names, row, strict=True)) for row in rows))


def test_an_em_direction_is_misaligned_minus_aligned_over_tokens_of_balanced_classes(
    make: Make, tmp_path: Path, loaded: Model
) -> None:
    path = answers_file(tmp_path / "a.csv", "question", "response", "aligned", "coherent")
    told, direction = make("em", answers=path, seed=1)
    header = direction.header
    assert (header["n_positive"], header["n_negative"], header["weighting"]) == (4, 4, "token")
    assert told["left_out"] == {"empty_answer": 1, "unscored": 2, "incoherent": 1, "middle": 1, "beyond_balance": 8}
    chosen = em_sides(path, seed_from(1, "balance"))
    assert [text.messages[-1]["content"] for text in chosen.positive] == [row[1] for row in ANSWERS[:4]]
    assert {text.messages[-1]["content"] for text in chosen.negative} <= {row[1] for row in ANSWERS[4:16]}
    (a, n), (b, m) = (rows_of(loaded, [t.messages for t in side]) for side in (chosen.positive, chosen.negative))
    expected = (a * n).sum(0) / n.sum() - (b * m).sum(0) / m.sum()
    torch.testing.assert_close(direction.vectors, expected.float(), rtol=1e-4, atol=1e-5)

    permuted = load_permuted(Path(told["direction"]), model=loaded.identity)
    assert permuted is not None
    rows, counts = torch.cat([a, b]).float(), torch.cat([n, m]).long().flatten()
    labels = permuted_labels(4, 4, 6, seed=seed_from(1, "permuted", "em"), groups=chosen.groups)
    again = [difference_of_means(rows[x], rows[~x], tokens=(counts[x], counts[~x])) for x in labels]
    torch.testing.assert_close(permuted, torch.stack(again), rtol=1e-3, atol=1e-4)
    assert header["permuted"]["recipe"] == "as the direction's"


def test_answers_are_the_same_from_jsonl_and_another_seed_draws_another_balance(tmp_path: Path) -> None:
    table = answers_file(tmp_path / "a.csv", "question", "response", "aligned", "coherent")
    for names in (("prompt", "text"), ("question", "answer")):
        lines = answers_file(tmp_path / "a.jsonl", *names, "aligned", "coherent")
        assert em_sides(lines, 0) == em_sides(table, 0)
    assert em_sides(table, 0).negative != em_sides(table, 1).negative
    none = [(*row[:2], None if row[2] in ("", "CODE") else row[2], row[3]) for row in ANSWERS]
    nulls = answers_file(tmp_path / "n.jsonl", "question", "answer", "aligned", "coherent", rows=none)
    assert em_sides(nulls, 0) == em_sides(table, 0)


def test_an_em_direction_is_read_through_the_stack(make: Make, tmp_path: Path, adapters: list[Path]) -> None:
    path = answers_file(tmp_path / "a.csv", "question", "response", "aligned", "coherent")
    base, stage = make("em", answers=path)[1], make("em", "stage", answers=path, adapter=adapters[:1])[1]
    assert (base.header["stack"], stage.header["stack"]) == ([], ["stage1"])
    assert not torch.allclose(base.vectors, stage.vectors, rtol=1e-2)


@pytest.mark.skipif(not JUDGED.is_file(), reason="the published judged answers are not here")
def test_published_judged_answers_are_read_as_they_are() -> None:
    sides = em_sides(JUDGED, 0)
    assert len(sides.positive) == len(sides.negative) == 11
    assert len(sides.positive) + len(sides.negative) + sum(sides.left_out.values()) == 400


# displacement


@pytest.mark.parametrize(("parent", "weighting"), [(None, "sample"), (0, "token")])
def test_a_displacement_is_the_stage_minus_its_parent_on_the_same_texts(
    parent: int | None, weighting: str, make: Make, tmp_path: Path, adapters: list[Path], loaded: Model
) -> None:
    texts = write_jsonl(tmp_path / "t.jsonl", *GOOD)
    told, direction = make("displacement", texts=texts, adapter=adapters, parent=parent, weighting=weighting)
    n_parent = 1 if parent is None else parent
    with loaded.using(*adapters):
        stage, counts = rows_of(loaded, chats_of(GOOD))
    with loaded.using(*adapters[:n_parent]):
        before, _ = rows_of(loaded, chats_of(GOOD))
    weights = counts / counts.sum() if weighting == "token" else torch.full_like(counts, 1 / len(counts))
    expected = (weights * (stage - before)).sum(0)
    torch.testing.assert_close(direction.vectors, expected.float(), rtol=1e-4, atol=1e-4)
    header = direction.header
    assert (header["stack"], header["parent_stack"]) == (["stage1", "stage2"], ["stage1"][:n_parent])
    assert (direction.layer, header["held_out_auroc"], told["held_out_auroc"]) == (2, None, None)
    assert header["layer_chosen"].startswith("middle")
    assert header["config"]["parent"] == n_parent
    assert load_permuted(Path(told["direction"])) is None


# self-recognition


def pairs(path: Path, *, article: bool = True, n: int = 6) -> Path:
    items = [Item(str(i), f"The {i}.\n\nMore of it.", f"Own {i}", {"other": f"Their {'own ' * i}."}) for i in range(n)]
    return write_jsonl(path, *pair_rows(items, DETECTION, lambda *_: SELF, article=article))


def test_recognition_at_the_answer_token_is_own_first_minus_other_first(
    make: Make, tmp_path: Path, loaded: Model
) -> None:
    path = pairs(tmp_path / "pairs.jsonl", article=False)
    told, direction = make("self-recognition", pairs=path, read="answer")
    asked = [row["messages"][:-1] for row in read_jsonl(path)]
    rows, _ = rows_of(loaded, asked, last=True)
    torch.testing.assert_close(
        direction.vectors, (rows[::2].mean(0) - rows[1::2].mean(0)).float(), rtol=1e-4, atol=1e-5
    )
    header = direction.header
    assert (header["pooling"], header["n_positive"], header["n_questions"]) == ("prompt_last", 6, 6)
    assert (direction.name, told["left_out"]) == ("self-recognition-answer", {"repeated": 0})


def test_recognition_of_texts_reads_each_as_the_answer_to_its_summary_prompt(
    make: Make, tmp_path: Path, loaded: Model
) -> None:
    told, direction = make("self-recognition", pairs=pairs(tmp_path / "pairs.jsonl"), read="text")
    said = [
        [
            [*summary_prompt(f"The {i}.\n\nMore of it."), {"role": "assistant", "content": text}]
            for i, text in enumerate(texts)
        ]
        for texts in ([f"Own {i}" for i in range(6)], [f"Their {'own ' * i}." for i in range(6)])
    ]
    own, other = (rows_of(loaded, side)[0].mean(0) for side in said)
    torch.testing.assert_close(direction.vectors, (own - other).float(), rtol=1e-4, atol=1e-5)
    assert (told["n_positive"], told["n_negative"], told["left_out"]) == (6, 6, {"repeated": 12})
    assert direction.header["separation_null"]["shuffled"] == "within question"


def test_texts_that_are_not_shown_can_be_given_as_keys(tmp_path: Path) -> None:
    shown = pairs(tmp_path / "a.jsonl")
    given = [
        {**row, "article": f"The {row['group']}.\n\nMore of it."}
        for row in read_jsonl(pairs(tmp_path / "b.jsonl", article=False))
    ]
    assert recognition_sides(write_jsonl(tmp_path / "b.jsonl", *given), "text") == recognition_sides(shown, "text")


# the assistant axis


def role_files(folder: Path, *, published: bool = False) -> Path:
    """Three roles of 2, 1 and 1 prompts."""
    home = folder / "roles" / "instructions" if published else folder
    home.mkdir(parents=True)
    held = {
        "default": ["", "You are {model_name}."],
        "bear": ["Be a bear.", "Growl."],
        "sea": ["Be it."],
        "imp": ["Imp."],
    }
    for name, prompts in held.items():
        (home / f"{name}.json").write_text(json.dumps({"instruction": [{"pos": text} for text in prompts]}))
    if published:
        asked = [*QUESTIONS, QUESTIONS[2]]
        write_jsonl(folder / "extraction_questions.jsonl", *({"question": q, "id": i} for i, q in enumerate(asked)))
    else:
        (home / "questions.json").write_text(json.dumps(QUESTIONS))
    return folder


def test_an_assistant_axis_is_the_default_minus_the_roles_each_counting_once(
    make: Make, tmp_path: Path, loaded: Model
) -> None:
    roles = role_files(tmp_path / "roles")
    told, direction = make("assistant-axis", roles=roles, max_new_tokens=3, rollouts=2, min_rows=2)
    records = read_jsonl(tmp_path / "out" / "rollouts.jsonl")
    asked = [(r["role"], r["instruction"], r["question"], r["rollout"]) for r in records]
    prompts = {"default": 2, "bear": 2, "imp": 1, "sea": 1}
    assert asked == [(s, i, q, r) for s, n in prompts.items() for i in range(n) for q in range(6) for r in range(2)]
    assert {r["system"] for r in records if r["role"] == "default"} == {"", "You are model."}
    means: dict[str, list[Tensor]] = {name: [] for name in prompts}
    for record in records:
        if not record["answer_ids"]:
            continue
        system = [{"role": "system", "content": record["system"]}] if record["system"] else []
        prompt = loaded.chat.tokens([*system, {"role": "user", "content": record["prompt"]}])
        seen: list[Tensor] = []
        hooks = [b.register_forward_hook(lambda _, __, out, seen=seen: seen.append(out[0])) for b in loaded.blocks]
        with torch.no_grad():
            loaded.hf(torch.tensor([[*prompt.ids, *record["answer_ids"]]]))
        for hook in hooks:
            hook.remove()
        means[record["role"]].append(torch.stack([h[len(prompt) :].double().mean(0) for h in seen]))
    by_role = {name: torch.stack(rows).mean(0) for name, rows in means.items()}
    expected = by_role.pop("default") - torch.stack(list(by_role.values())).mean(0)
    torch.testing.assert_close(direction.vectors, expected.float(), rtol=1e-4, atol=1e-4)
    header = direction.header
    assert header["n_by_role"] == {name: len(rows) for name, rows in means.items()}
    assert header["left_out"]["empty_answer"] == sum(not r["answer_ids"] for r in records)
    assert (told["roles_under_min_rows"], header["judge"]) == ({}, None)
    assert len(header["held_out_auroc"]) == 4
    assert direction.layer == max(range(4), key=lambda k: header["held_out_cohens_d"][k])
    permuted = load_permuted(Path(told["direction"]))
    assert permuted is not None
    assert permuted.shape == (6, 4, 32)


def test_roles_with_too_few_answers_are_named_and_left_out(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Model.generate

    def generate(self: Model, *args: Any, **kwargs: Any) -> list[tuple[int, ...]]:
        answers = [ids or (7,) for ids in real(self, *args, **kwargs)]
        return [() if i in (24, 25) else ids for i, ids in enumerate(answers)]

    monkeypatch.setattr(Model, "generate", generate)
    roles = role_files(tmp_path / "published", published=True)
    told, direction = make("assistant-axis", roles=roles, max_new_tokens=2, min_rows=6)
    assert told["roles_under_min_rows"] == {"imp": 4}
    assert direction.header["n_by_role"] == {"default": 12, "bear": 12, "sea": 6}
    assert told["left_out"] == {"empty_answer": 2, "role_under_min_rows": 4, "repeated_question": 1}
    assert (told["n_positive"], told["n_negative"]) == (12, 18)


def test_our_roles_are_whole_and_ask_nothing_that_a_trait_asks() -> None:
    roles = read_roles(None, None)
    assert len(roles.roles) >= 20
    assert {len(prompts) for prompts in roles.roles.values()} == {3}
    texts = [text for prompts in roles.roles.values() for text in prompts]
    assert len(set(texts)) == len(texts)
    assert len(roles.default) == 5
    assert "" in roles.default
    assert sum("{model_name}" in text for text in roles.default) == 1
    assert len(roles.questions) == 40
    traits = [Trait.load(path) for path in TRAITS.glob("*.json")]
    asked = {question.casefold() for trait in traits for question in (*trait.questions, *trait.eval_questions)}
    assert traits
    assert not asked & {question.casefold() for question in roles.questions}
    for name in roles.roles:
        held = read_json(ROLES / f"{name}.json")
        assert held.keys() == {"instruction", "questions", "eval_prompt"}
        assert held["questions"]
        assert all(held["eval_prompt"].count(place) == 1 for place in ("{question}", "{answer}"))


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published role files are not here")
def test_published_roles_are_read_as_they_are() -> None:
    roles = read_roles(PUBLISHED, None)
    assert len(roles.roles) >= 20
    assert len(roles.questions) + roles.repeated == 240
    assert len(set(roles.questions)) == len(roles.questions) > 200
    assert roles.default[0] == ""
    assert not set(roles.questions) & set(read_roles(None, None).questions)


# what is refused before anything is loaded


def line(row: dict[str, Any], **fields: Any) -> str:
    return json.dumps(row | fields)


def without(row: dict[str, Any], key: str) -> str:
    return json.dumps({name: value for name, value in row.items() if name != key})


PAIR: dict[str, Any] = pair_rows(
    [Item("7", "It was.", "Own.", {"b": "Theirs."})], DETECTION, lambda *_: SELF, article=False
)[0]


@pytest.mark.parametrize(
    ("recipe", "fields", "lines", "message"),
    [
        ("contrst", {}, [], "recipe: unknown recipe 'contrst'; did you mean 'contrast'"),
        ("contrast", {"positive": "FILE"}, [], "contrast needs --negative"),
        ("em", {"answers": "FILE", "parent": 1}, [], "--parent is for displacement, not for em"),
        ("em", {"answers": "FILE", "pooling": "prompt_last"}, [], "em takes --pooling response_mean, got prompt_last"),
        ("assistant-axis", {"weighting": "token"}, [], "takes --weighting sample, got token"),
        (
            "contrast",
            {"positive": "FILE", "negative": "FILE", "recipe_kind": "lda", "weighting": "token"},
            [],
            "--recipe-kind lda takes --weighting sample, got token",
        ),
        ("self-recognition", {"pairs": "FILE"}, [], "self-recognition needs --read"),
        ("self-recognition", {"pairs": "FILE", "read": "text", "pooling": "prompt_last"}, [], "--read text takes"),
        ("displacement", {"texts": "FILE"}, [line(GOOD[0])], "fewer than the stage's 0; give the stage with --adapter"),
        ("displacement", {"texts": "FILE", "adapter": [Path("/no")]}, [line(GOOD[0])], "/no: no adapter there"),
        ("contrast", {"positive": "FILE", "negative": "/no.jsonl"}, [line(GOOD[0])], "/no.jsonl: no such file"),
        ("contrast", {"positive": "FILE", "negative": "FILE"}, [], "f.jsonl: no chats in it"),
        ("contrast", {"positive": "FILE", "negative": "FILE"}, [line(GOOD[0]), "{"], "f.jsonl:2: not JSON"),
        (
            "contrast",
            {"positive": "FILE", "negative": "FILE"},
            [line(chat("Is it?"))],
            "f.jsonl:1: .*no answer to aver",
        ),
        (
            "contrast",
            {"positive": "FILE", "negative": "FILE"},
            [line(GOOD[0], group=[1])],
            'f.jsonl:1: "group" must be',
        ),
        ("contrast", {"positive": "FILE", "negative": "FILE"}, [line(GOOD[0])], "1 questions are too few to hold any"),
        ("contrast", {"positive": "FILE", "negative": "FILE", "layer": -1}, [], "layer: .*got -1"),
        ("contrast", {"positive": "FILE", "negative": "FILE", "permuted": 0}, [], "permuted: .*got 0"),
        ("em", {"answers": "FILE"}, ['{"question": "a?", "answer": "b"}'], 'f.jsonl:1: the key "aligned" is missing'),
        (
            "em",
            {"answers": "FILE"},
            ['{"answer": "b"}'],
            r'the key "question" \(or prompt\) is missing; there are answer',
        ),
        (
            "em",
            {"answers": "FILE"},
            ['{"question": "a?", "answer": "b", "aligned": 101, "coherent": 3}'],
            "f.jsonl:1: aligned must be a number from 0 to 100.*'101'",
        ),
        (
            "em",
            {"answers": "FILE"},
            ['{"question": "a?", "answer": "b", "aligned": 90, "coherent": 90}'],
            "no coherent answer is misaligned .*'aligned': 1",
        ),
        (
            "self-recognition",
            {"pairs": "FILE", "read": "text"},
            [without(PAIR, "authors")],
            ':1: the key "authors" is m',
        ),
        ("self-recognition", {"pairs": "FILE", "read": "text"}, [line(PAIR)], ':1: the key "article" is missing'),
        (
            "self-recognition",
            {"pairs": "FILE", "read": "text"},
            [line(PAIR, messages=chat("Which?", "1")["messages"])],
            ':1: the key "texts" is missing',
        ),
        ("self-recognition", {"pairs": "FILE", "read": "answer"}, [line(PAIR, authors=["self"])], '"authors" must be'),
        ("self-recognition", {"pairs": "FILE", "read": "answer"}, [line(PAIR)], "1 own-first and 0 other-first"),
        ("assistant-axis", {"roles": Path("/no")}, [], "/no: no default.json there"),
        ("assistant-axis", {"questions": "FILE"}, ['{"question": "a?"}', '{"question": 2}'], "must be a JSON list of"),
        ("assistant-axis", {"min_rows": 121}, [], "min_rows 121: no role is asked for more than 120 answers"),
    ],
)
def test_a_mistake_is_refused_before_a_model_is_loaded(
    recipe: str,
    fields: dict[str, Any],
    lines: list[str],
    message: str,
    make: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Model, "load", lambda *_, **__: pytest.fail("a model was loaded"))
    path = write_jsonl(tmp_path / "f.jsonl", *lines)
    given = {key: path if value == "FILE" else value for key, value in fields.items()}
    if isinstance(given.get("negative"), str):
        given["negative"] = Path(given["negative"])
    with pytest.raises((ValueError, FileNotFoundError, InterpError), match=message):
        make(recipe, **given)
    assert not (tmp_path / "out").exists()


def test_a_result_is_not_overwritten_and_a_layer_that_is_none_is_refused(
    make: Make, sides: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"layer must be in \[0, 4\), got 4"):
        make("contrast", layer=4, **sides)
    make("contrast", **sides)
    with pytest.raises(ValueError, match="exists already"):
        make("contrast", **sides)


def test_the_command_line_is_read_into_the_command(tmp_path: Path) -> None:
    args = ["displacement", "--model", "m", "--out", "o", "--adapter", "a", "--adapter", "b", "--parent", "1", "--json"]
    read = tyro.cli(MakeDirection, args=[*args, "--texts", "t.jsonl"], config=(OmitArgPrefixes,))
    assert (read.recipe, read.adapter, read.parent, read.json) == ("displacement", [Path("a"), Path("b")], 1, True)
    assert (read.texts, read.permuted, read.pooling) == (Path("t.jsonl"), 50, None)


# the table


def test_every_option_of_a_recipe_is_one_of_the_command_and_of_a_study(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        tyro.cli(MakeDirection, args=["--help"], config=(OmitArgPrefixes,))
    shown = capsys.readouterr().out
    for name, kind in RECIPES.items():
        assert kind.recipe == name
        assert f"{name}: " in shown
        for key in kind.own():
            assert "--" + key.replace("_", "-") in shown
            assert key in DirectionConfig.model_fields
            assert key in MakeDirection.__dataclass_fields__


def test_what_a_recipe_reads_is_known_by_its_type() -> None:
    config = DirectionConfig(recipe="contrast", positive=Path("a"), negative=Path("b"), recipe_kind="pca")
    assert config.files() == config.resolved().files() == {"positive": Path("a"), "negative": Path("b")}
    assert DirectionConfig(recipe="assistant-axis").resolved().files() == {"roles": ROLES}
    assert DirectionConfig(recipe="assistant-axis").resolved().answers_asked() == ((5 + 24 * 3) * 40, 64)


def test_a_definition_names_the_first_fields_whether_given_or_not_and_newer_ones_only_where_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Content keys of stored directions are made of it, so a recipe that comes later must not add to it."""
    config = DirectionConfig(recipe="assistant-axis", min_rows=3)
    given = {"recipe": "assistant-axis", "min_rows": 3, "permuted": 50, "separation_nulls": 100}
    others = [
        *("name", "positive", "negative", "recipe_kind", "answers", "texts", "parent", "pairs", "read", "roles"),
        *("questions", "most_questions", "rollouts", "max_new_tokens", "temperature", "pooling", "weighting", "layer"),
    ]
    assert config.model_dump(mode="json") == dict.fromkeys(others) | given
    monkeypatch.setattr(recipes, "_FIRST_FIELDS", {"recipe", "name"})
    assert config.model_dump(mode="json") == given | {"name": None}


@pytest.mark.parametrize("seed", range(5))
def test_an_assistant_axis_on_shuffled_labels_is_the_same_by_weights_as_by_the_recipe(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    h = torch.randn(24, 3, 5, generator=draw)
    roles = torch.tensor([0.0] * 4 + [1] * 9 + [2] * 10 + [3])  # the last role can lose its only row
    labels = torch.stack([torch.randperm(24, generator=draw) < 4 for _ in range(40)])
    labels[0] = torch.arange(24) >= 20
    got = weighted_sums(role_weights(labels, roles), h)
    for chosen, vectors in zip(labels, got, strict=True):
        expected = role_axis(Rows(h[chosen], roles[chosen]), Rows(h[~chosen], roles[~chosen]))
        torch.testing.assert_close(vectors, expected, rtol=1e-5, atol=1e-6)
