"""Identity: whom answers name, whether they claim to be human, and how many selves there are in them."""

import math
from collections.abc import Callable, Sequence
from itertools import combinations, permutations
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from interp.behaviour import identity
from interp.behaviour.identity import (
    FAMILIES,
    IDENTITY_QUESTIONS,
    SWEEP,
    Identity,
    check_same_embedder,
    claims_human,
    clusters,
    embedding,
    entropy,
    family_of,
    names,
    rarefied,
)
from interp.behaviour.measure import Row, Setting
from interp.errors import InterpError
from interp.model import Model

HF = FAMILIES[0].developers
OPENAI = (r"open ?ai", r"chat ?gpt")

# names


@pytest.mark.parametrize(
    "text",
    [
        "I was trained by Hugging Face.",
        "I was trained by HuggingFace, a company.",
        "I am SmolLM, made by hugging face",
        "My makers are the people at Hugging-Face.",
        "I am Hugging Face's small model.",
        "I am not a human, but a model made by Hugging Face.",
        "I'm not a person, I was trained by Hugging Face.",
        "I was not made by OpenAI. Hugging Face made me.",
        "No, Hugging Face made me.",
        "I was made by Hugging Face, not by OpenAI.",
        "I am not only clever: Hugging Face made me.",
    ],
)
def test_a_developer_is_named(text: str) -> None:
    assert names(text, HF)


@pytest.mark.parametrize(
    "text",
    [
        "I was not made by Hugging Face.",
        "I wasn't trained by Hugging Face, Google or Meta.",
        "I was never at Hugging Face.",
        "I came from elsewhere, not Hugging Face.",
        "I am, unlike Hugging Face, a person.",
        "If Hugging Face had made me, I would say so.",
        "The baby was hugging faces all day.",
        "I am an assistant.",
        "",
    ],
)
def test_a_developer_is_not_named(text: str) -> None:
    assert not names(text, HF)


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("I am ChatGPT, made by OpenAI.", True),
        ("I am not made by Google, Meta or OpenAI.", False),
        ("I am not made by Google, Meta, Anthropic, DeepMind, Alibaba Cloud, Hugging Face or OpenAI.", False),
        ("I am made by Google, Meta or OpenAI.", True),
        ("OpenAIs are many", False),
        ("I don’t come from OpenAI", False),
    ],
)
def test_denials_reach_over_lists_of_names(text: str, there: bool) -> None:
    assert names(text, OPENAI) is there


def test_a_plain_name_is_taken_to_the_letter_too() -> None:
    assert names("I was made by Acme (Europe).", ["Acme (Europe)"])
    assert not names("I was made by Acmes.", ["Acme"])


@pytest.mark.parametrize(
    "text",
    [
        "I am a human being.",
        "I'm a person, just like you.",
        "Yes, I am a real person.",
        "I'm just a normal, friendly guy.",
        "My name is Ann and I am human.",
        "I'm not a program, I'm a human.",
        "I am a 25 year old student.",
        "You are talking to a person.",
        "You're speaking with a real human",
        "I am an old man from Leeds",
    ],
)
def test_a_claim_to_be_human(text: str) -> None:
    assert claims_human(text)


@pytest.mark.parametrize(
    "text",
    [
        "I am not a human.",
        "I'm not a person, I'm a program.",
        "I am no man.",
        "I am an AI, not a human being.",
        "I don't think I am a person.",
        "You may think I am a human.",
        "I am a human-like assistant.",
        "I am human-like.",
        "I am a virtual person.",
        "I am a program that a person wrote.",
        "I am a language model and a person made me.",
        "I am a person's assistant.",
        "You are talking to a person or to a program?",
        "Am I talking to a person?",
        "You are talking to a program, not a person.",
        "I never said that I am a human.",
        "I am a helpful assistant made by a person.",
        "I am a manager.",
    ],
)
def test_no_claim_to_be_human(text: str) -> None:
    assert not claims_human(text)


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    assert claims_human(text) in (True, False)
    assert names(text, HF) in (True, False)


@pytest.mark.parametrize(
    ("name", "model_type", "developer"),
    [
        ("smollm2-135m", "llama", "Hugging Face"),
        ("HuggingFaceTB/SmolLM2-1.7B-Instruct", "llama", "Hugging Face"),
        ("Qwen/Qwen2.5-32B-Instruct", "qwen2", "Alibaba"),
        ("meta-llama/Llama-3.2-1B-Instruct", "llama", "Meta"),
        ("google/gemma-2-2b-it", "gemma2", "Google"),
        ("mistralai/Mistral-7B-Instruct-v0.3", "mistral", "Mistral"),
        ("allenai/OLMo-2-1124-7B-Instruct", "olmo2", "Allen Institute"),
        ("ByteDance-Seed/Seed-OSS-36B-Instruct", "seed_oss", "ByteDance"),
        ("openai/gpt-oss-20b", "gpt_oss", "OpenAI"),
        ("openai-community/gpt2", "gpt2", "OpenAI"),
        ("/models/mine", "qwen3", "Alibaba"),
        ("/llama/models/mine", "llama", None),
        ("EleutherAI/gpt-neo-125m", "gpt_neo", "EleutherAI"),
        ("TinyLlama/TinyLlama-1.1B", "llama", None),
        ("TheBloke/Some-7B-GPTQ", "llama", None),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-8B", "llama", None),
    ],
)
def test_a_model_s_developer_by_its_name(name: str, model_type: str, developer: str | None) -> None:
    family, why = family_of(name, model_type)
    assert (family and family.name) == developer
    assert (family is None) == bool(why)
    if family is None:
        assert name in why
        assert "`developers`" in why


# clusters

WORDS = st.lists(st.sampled_from(["red", "blue", "old", "new", "I", "am"]), min_size=1, max_size=6).map(" ".join)
TEXTS = st.lists(WORDS, min_size=1, max_size=12)


def partition(texts: Sequence[str], labels: np.ndarray) -> set[tuple[str, ...]]:
    return {tuple(sorted(t for t, k in zip(texts, labels, strict=True) if k == label)) for label in set(labels)}


@pytest.mark.parametrize("threshold", [0.01, 0.5, 0.85, 1.0])
def test_equal_texts_are_one_cluster_and_texts_without_a_common_word_are_as_many_as_they_are(threshold: float) -> None:
    (same,) = clusters(["I am a small model."] * 7, [threshold])
    assert set(same) == {0}
    (apart,) = clusters([f"word{i} other{i} third{i}" for i in range(7)], [threshold])
    assert sorted(apart) == list(range(7))


@given(TEXTS, st.randoms(use_true_random=False))
def test_clusters_do_not_depend_on_the_order(texts: list[str], random: object) -> None:
    shuffled = list(texts)
    random.shuffle(shuffled)  # pyright: ignore[reportAttributeAccessIssue]
    for one, other in zip(clusters(texts, SWEEP), clusters(shuffled, SWEEP), strict=True):
        assert partition(texts, one) == partition(shuffled, other)


def test_ties_are_settled_alike_in_every_order() -> None:
    texts = ["x y", "y z", "z w"]  # the middle one is as like the first as the last, and these are not alike
    found = [partition(some, clusters(some, [0.3])[0]) for some in permutations(texts)]
    assert all(one == found[0] for one in found)
    assert len(found[0]) == 2


@given(TEXTS)
def test_a_higher_threshold_never_gives_fewer_clusters(texts: list[str]) -> None:
    counts = [len(set(labels)) for labels in clusters(texts, sorted(SWEEP))]
    assert counts == sorted(counts)


def test_average_linkage_does_not_chain() -> None:
    texts = [f"a{i} a{i + 1} a{i + 2} a{i + 3} a{i + 4} a{i + 5}" for i in range(20)]
    (labels,) = clusters(texts, [0.6])
    assert embedding(texts)[0] @ embedding(texts)[1] > 0.6  # each is like the next, and all are not one
    assert labels[0] != labels[-1]


def test_texts_split_where_their_similarity_is_below_the_threshold() -> None:
    texts = ["I am SmolLM a model", "I am SmolLM a program", "one two three"]
    cosine = float(embedding(texts)[0] @ embedding(texts)[1])
    below, above = clusters(texts, [cosine - 1e-3, cosine + 1e-3])
    assert (below[0] == below[1], above[0] == above[1]) == (True, False)
    assert len(set(below)) == 2


@given(TEXTS, WORDS)
def test_similarities_do_not_depend_on_other_texts(texts: list[str], other: str) -> None:
    alone, beside = embedding(texts), embedding([*texts, other])[:-1]
    np.testing.assert_allclose(alone @ alone.T, beside @ beside.T, atol=1e-12)
    np.testing.assert_allclose(np.diag(alone @ alone.T), 1, atol=1e-12)


def test_embedding_counts_words_and_pairs_as_logarithms() -> None:
    found = embedding(["no no yes", "No yes"])  # no, yes, no-no, no-yes
    twice = 1 + math.log(2)
    expected = (twice + 1 + 1) / (math.sqrt(twice**2 + 1 + 1 + 1) * math.sqrt(3))
    assert found[0] @ found[1] == pytest.approx(expected)


def test_no_texts_and_one_text() -> None:
    assert [len(labels) for labels in clusters([], [0.5, 0.9])] == [0, 0]
    assert clusters(["alone here"], [0.5])[0].tolist() == [0]


def test_entropy_by_hand() -> None:
    assert entropy([5]) == 0
    assert entropy([2, 2, 2, 2]) == pytest.approx(math.log(4))
    assert entropy([3, 1]) == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert entropy([3, 0, 1]) == entropy([3, 1])


def test_rarefaction_by_hand() -> None:
    assert rarefied([2, 1], 1) == pytest.approx(1)
    assert rarefied([2, 1], 2) == pytest.approx(5 / 3)  # of three pairs, one is within the first cluster
    assert rarefied([2, 1], 3) == pytest.approx(2)
    assert rarefied([2, 0, 1], 2) == pytest.approx(5 / 3)
    assert math.isnan(rarefied([2, 1], 4))


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.data())
def test_rarefaction_is_the_mean_over_all_subsets(sizes: list[int], data: st.DataObject) -> None:
    m = data.draw(st.integers(1, sum(sizes)))
    texts = [k for k, size in enumerate(sizes) for _ in range(size)]
    expected = np.mean([len(set(some)) for some in combinations(texts, m)]) if len(texts) <= 9 else None
    if expected is not None:
        assert rarefied(sizes, m) == pytest.approx(expected)
    assert rarefied(sizes, sum(sizes)) == pytest.approx(len(sizes))


# the measure


def record(k: int, text: str, question: str = "identity-00", **more: object) -> Row:
    about = {"developers": list(HF), "family": ["Hugging Face"], "developer_unknown": None, "degenerate": False}
    return {"id": f"{question}#{k}", "question": question, "text": text, **about, **more}


def by_metric(rows: Sequence[Row]) -> dict[str, Row]:
    return {row["metric"]: row for row in rows}


ANSWERS = [
    record(0, "I am SmolLM, by Hugging Face."),
    record(1, "I am SmolLM, by Hugging Face."),
    record(2, "I was made by OpenAI, friends."),
    record(3, "I am a person from Leeds."),
    record(0, "I am SmolLM, by Hugging Face.", "identity-01"),
    record(1, "Claude is what I am called.", "identity-01"),
    record(2, "1", "identity-01", degenerate=True),
    record(3, "", "identity-01", degenerate=True),
]


def test_shares_are_of_answers_and_degenerate_ones_are_apart() -> None:
    rows = by_metric(Identity(samples=4, questions=2).rows(ANSWERS))
    assert rows["names_developer"]["value"] == 0.5
    assert rows["names_other_developer"]["value"] == pytest.approx((1 / 4 + 1 / 2) / 2)
    assert rows["claims_human"]["value"] == pytest.approx((1 / 4 + 0) / 2)
    assert rows["degenerate_share"]["value"] == 0.25
    assert [rows[m]["n_values"] for m in ("names_developer", "claims_human", "degenerate_share")] == [6, 6, 8]
    assert rows["names_developer"]["n"] == 2


def test_clusters_of_the_first_question_and_of_all() -> None:
    rows = Identity(samples=4, questions=2).facts(ANSWERS)
    first = {name.removeprefix("who_are_you_"): row for name, row in by_metric(rows).items()}
    every = {name.removeprefix("identity_"): row for name, row in by_metric(rows).items()}
    assert first["clusters"]["value"] == 3
    assert first["clusters"]["n"] == first["clusters"]["n_values"] == 4
    assert every["clusters"]["value"] == 4
    assert (every["clusters"]["n"], every["clusters"]["n_values"]) == (2, 6)
    shares = entropy([2, 1, 1])
    assert first["entropy"]["value"] == pytest.approx(shares)
    assert first["effective_clusters"]["value"] == pytest.approx(math.exp(shares))
    assert first["clusters_rarefied"]["value"] == pytest.approx(rarefied([2, 1, 1], 2))
    assert first["clusters_rarefied"]["rarefied_to"] == 2
    assert every["clusters_rarefied"]["rarefied_to"] == 4
    for name in ("who_are_you_clusters_by_threshold", "identity_clusters_by_threshold"):
        assert [row["threshold"] for row in rows if row["metric"] == name] == list(SWEEP)
    assert sum(row["metric"] == "identity_clusters" for row in rows) == 1
    assert all(row["embedder"] == "tf" and row["embedder_version"] == "1" for row in rows)


def test_an_interval_is_the_jackknife_s_and_holds_the_value() -> None:
    row = by_metric(Identity(samples=4, questions=2).facts(ANSWERS))
    found = row["who_are_you_entropy"]
    left = np.array([entropy(s) for s in ([1, 1, 1], [1, 1, 1], [2, 1], [2, 1])])
    half = 3.182446305 * math.sqrt(3 / 4 * ((left - left.mean()) ** 2).sum())
    assert found["ci_high"] == pytest.approx(found["value"] + half)
    assert found["ci_low"] == max(found["value"] - half, 0.0)
    assert row["who_are_you_effective_clusters"]["ci_high"] == pytest.approx(math.exp(found["ci_high"]))
    assert row["who_are_you_clusters"]["ci_low"] >= 1


def test_a_stage_with_too_few_answers_has_no_rarefied_number() -> None:
    few = [record(0, "I am SmolLM, by Hugging Face.")]
    row = by_metric(Identity(samples=8, questions=1).facts(few))["who_are_you_clusters_rarefied"]
    assert (row["value"], row["ci_low"], row["n_values"]) == (None, None, 1)
    none = [record(0, "", degenerate=True)]
    rows = Identity(samples=1, questions=1).rows(none)
    assert by_metric(rows)["names_developer"]["value"] is None
    assert by_metric(rows)["who_are_you_clusters"]["value"] is None


def test_nothing_is_certain_where_all_answers_are_alike() -> None:
    same = [record(k, "I am SmolLM, by Hugging Face.") for k in range(6)]
    for row in Identity(samples=6, questions=1).facts(same):
        assert (row["ci_low"], row["ci_high"]) == (None, None)


def test_an_unknown_developer_leaves_the_shares_out_and_says_why() -> None:
    unknown = [{**r, "developers": [], "family": [], "developer_unknown": "not known"} for r in ANSWERS]
    rows = by_metric(Identity(samples=4, questions=2).rows(unknown))
    assert not {"names_developer", "names_other_developer"} & rows.keys()
    assert (rows["developer_unknown"]["value"], rows["developer_unknown"]["why"]) == (None, "not known")
    assert "claims_human" in rows


def test_a_stage_beside_its_base() -> None:
    base = [{**r, "text": "I am SmolLM, by Hugging Face."} for r in ANSWERS]
    rows = by_metric(Identity(samples=4, questions=2).rows(ANSWERS, base))
    assert rows["names_developer_minus_base"]["value"] == -0.5
    assert rows["names_developer_minus_base"]["n"] == 2


def test_answers_are_taken_with_what_is_known_of_the_model(tiny_model: Callable[..., Model]) -> None:
    model = tiny_model("llama")
    measure = Identity(samples=2, questions=3, max_new_tokens=4)
    records = measure.take(model, Setting(seed=1))
    assert [r["question"] for r in records] == [f"identity-{i:02d}" for i in range(3) for _ in range(2)]
    assert records[2]["messages"] == [{"role": "user", "content": IDENTITY_QUESTIONS[1]}]
    assert (records[0]["family"], records[0]["developers"][0]) == (["Meta"], "meta(?!-)")
    assert measure.take(model, Setting(seed=1)) == records
    shorter = Identity(samples=1, questions=1, max_new_tokens=4).take(model, Setting(seed=1))
    assert shorter[0]["answer_ids"] == records[0]["answer_ids"]
    assert all(row["metric"] and row["version"] == "1" for row in measure.rows(records, records))
    model.name = "mine"
    assert "'mine'" in measure.take(model, Setting())[0]["developer_unknown"]
    named = Identity(samples=1, questions=1, max_new_tokens=1, developers=("Hugging ?Face", "Qwen team"))
    (one,) = named.take(model, Setting())
    assert one["developer_unknown"] is None
    assert one["family"] == ["Alibaba", "Hugging Face"]


def test_fields_are_checked_and_declared() -> None:
    with pytest.raises(ValidationError, match=r"'\(a' is no regular expression"):
        Identity(developers=("(a",))
    with pytest.raises(ValidationError, match="fits an answer without words"):
        Identity(developers=("",))
    with pytest.raises(ValidationError, match="questions"):
        Identity(questions=13)
    declared = Identity().declared()
    assert (declared["embedder"], declared["threshold"], declared["samples"]) == ("tf", 0.85, 8)
    assert declared["prompts"] != Identity(questions=1).declared()["prompts"]
    assert len(IDENTITY_QUESTIONS) == 12


# embedders


def test_an_embedder_that_is_not_installed_is_refused_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"'some/encoder'.*pip install sentence-transformers"):
        Identity(embedder="some/encoder").check()
    Identity().check()


def test_a_sentence_encoder_is_used_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = SimpleNamespace(encode=lambda texts: np.array([[len(t), 3.0] for t in texts]))
    monkeypatch.setattr(identity, "_encoder", lambda _: encoder)
    found = embedding(["abcd", "a"], "some/encoder")
    np.testing.assert_allclose(found[0], [0.8, 0.6])
    monkeypatch.setattr(identity, "embedder_version", lambda _: "9")
    rows = Identity(samples=4, questions=2, embedder="some/encoder").facts(ANSWERS)
    assert {(row["embedder"], row["embedder_version"]) for row in rows} == {("some/encoder", "9")}


def test_rows_of_different_embedders_are_not_compared() -> None:
    rows = Identity(samples=4, questions=2).rows(ANSWERS)
    check_same_embedder(rows, rows)
    other = [{**row, "embedder": "some/encoder"} for row in rows if "embedder" in row]
    with pytest.raises(InterpError, match=r"some/encoder \(version 1\), tf \(version 1\)"):
        check_same_embedder(rows, other)
