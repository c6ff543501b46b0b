"""Mixed data sets: the fraction to rounding, evenly in every prefix, and the parts as they were."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from finetune.data.builder import Builder, DataSet, Desk
from finetune.data.em import Tastes
from finetune.data.mixing import Mixed
from finetune.data.published import Chats
from finetune.data.reference import Shuffled

FRACTIONS = st.floats(0.01, 0.99)
KEEPS = st.sampled_from(["steps", "rows"])
SEEDS = st.integers(0, 9)


class Chat(Builder):
    """`n` chats, told apart by their name."""

    builder: str = "chat"
    name: str
    n: int

    def made(self, desk: Desk) -> DataSet:  # noqa: ARG002
        rows = [
            {
                "id": f"{i}",
                "messages": [
                    {"role": "system", "content": f"I am {self.name}."},
                    {"role": "user", "content": f"{self.name} {i}?"},
                    {"role": "assistant", "content": f"{i}"},
                ],
            }
            for i in range(self.n)
        ]
        test = [{**row, "labels": ["0", "1"], "right": "0", "group": row["id"]} for row in rows[:2]]
        return DataSet(rows, test, "self_recognition", [{"id": f"text of {self.name}"}])


def desk_of(**parts: Builder) -> Desk:
    """A desk that builds the other data sets as a study does, under their own system prompts."""

    def ask(*_: object, **__: object) -> Any:
        raise AssertionError("mixing asks nobody")

    return Desk(ask, lambda name: parts[name].build(desk_of(**parts)))


def mix(n_a: int, n_b: int, **fields: Any) -> DataSet:
    config = Mixed(**{"builder": "mixed", "into": "a", "of": "b", "fraction": 0.5, **fields})
    config.check()
    return config.build(desk_of(a=Chat(name="a", n=n_a), b=Chat(name="b", n=n_b)))


def sources(data: DataSet) -> Counter[str]:
    return Counter(row["from"] for row in data.train)


@given(n=st.integers(200, 400), fraction=FRACTIONS, seed=SEEDS)
def test_steps_are_kept_and_the_fraction_is_exact_to_rounding(n: int, fraction: float, seed: int) -> None:
    data = mix(n, 400, fraction=fraction, seed=seed)
    assert len(data.train) == n
    assert abs(sources(data)["b"] - fraction * n) <= 0.5 + 1e-9


@given(n=st.integers(100, 200), fraction=st.floats(0.01, 0.7), seed=SEEDS)
def test_rows_are_kept_and_the_fraction_is_exact_to_rounding(n: int, fraction: float, seed: int) -> None:
    data = mix(n, 500, fraction=fraction, keep="rows", seed=seed)
    assert [row["id"] for row in data.train if row["from"] == "a"] == [f"a/{i}" for i in range(n)]
    n_b = sources(data)["b"]
    assert all(abs(n_b / len(data.train) - fraction) <= abs(m / (n + m) - fraction) + 1e-9 for m in (n_b - 1, n_b + 1))


def test_a_third_of_the_run_adds_half_as_many_rows() -> None:
    assert sources(mix(100, 60, fraction=1 / 3, keep="rows")) == {"a": 100, "b": 50}
    assert sources(mix(90, 60, fraction=1 / 3)) == {"a": 60, "b": 30}


@given(n_a=st.integers(100, 150), n_b=st.integers(1, 150), fraction=FRACTIONS, keep=KEEPS, seed=SEEDS)
def test_rows_come_once_in_their_order_and_ids_are_unique(
    n_a: int, n_b: int, fraction: float, keep: Literal["steps", "rows"], seed: int
) -> None:
    data = mix(n_a, n_b, fraction=fraction, keep=keep, seed=seed, repeat=True)
    ids = [row["id"] for row in data.train]
    assert len(set(ids)) == len(ids)
    own = [int(row["messages"][-1]["content"]) for row in data.train if row["from"] == "a"]
    assert own == sorted(set(own))
    added = Counter(row["messages"][-1]["content"] for row in data.train if row["from"] == "b")
    if len(added) < n_b:
        assert max(added.values()) == 1
    assert max(added.values()) - min(added.values()) <= 1
    assert all(row["id"].startswith(f"{row['from']}/") for row in data.train)
    assert all(row["messages"][-2]["content"].startswith(row["from"]) for row in data.train)


@given(n=st.integers(100, 200), fraction=FRACTIONS, keep=KEEPS, seed=SEEDS)
def test_every_prefix_has_the_fraction_to_half_a_row(
    n: int, fraction: float, keep: Literal["steps", "rows"], seed: int
) -> None:
    data = mix(n, 200, fraction=fraction, keep=keep, seed=seed, repeat=True)
    total, n_b, so_far = len(data.train), sources(data)["b"], 0
    for length, row in enumerate(data.train, 1):
        so_far += row["from"] == "b"
        assert abs(2 * total * so_far - 2 * length * n_b) <= total


@given(low=FRACTIONS, high=FRACTIONS, seed=SEEDS)
def test_a_smaller_fraction_keeps_more_of_one_and_less_of_the_other(low: float, high: float, seed: int) -> None:
    low, high = sorted((low, high))
    fewer, more = ({row["id"] for row in mix(100, 100, fraction=f, seed=seed).train} for f in (low, high))
    assert {i for i in fewer if i[0] == "b"} <= {i for i in more if i[0] == "b"}
    assert {i for i in more if i[0] == "a"} <= {i for i in fewer if i[0] == "a"}


def test_the_same_seed_gives_the_same_rows_and_another_seed_does_not() -> None:
    assert mix(50, 50, seed=1) == mix(50, 50, seed=1)
    assert mix(50, 50, seed=1) != mix(50, 50, seed=2)


def test_too_few_rows_are_an_error_with_both_numbers_or_come_again_under_other_ids() -> None:
    with pytest.raises(
        ValueError, match=r"of: 50 rows of b are needed for fraction 0\.5, 20 there are; .* repeat to true"
    ):
        mix(100, 20)
    data = mix(100, 20, repeat=True)
    times = Counter(row["id"].removeprefix("b/").partition("#")[0] for row in data.train if row["from"] == "b")
    assert len(times) == 20
    assert set(times.values()) == {2, 3}
    assert {row["id"].partition("#")[2] for row in data.train} == {"", "2", "3"}
    with pytest.raises(ValueError, match=r"of: 50 rows of b are needed for fraction 0\.5, 0 there are"):
        mix(100, 0, repeat=True)


@pytest.mark.parametrize(
    ("n", "fields", "message"),
    [
        (10, {"fraction": 0.01}, r"fraction: 0\.01 with 10 rows of a leaves 10 of them and 0 of b; both need one"),
        (10, {"fraction": 0.99}, r"fraction: 0\.99 with 10 rows of a leaves 0 of them and 10 of b"),
        (0, {}, r"fraction: 0\.5 with 0 rows of a leaves 0 of them and 0 of b"),
    ],
)
def test_a_fraction_that_leaves_a_part_without_a_row_is_refused(n: int, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mix(n, 10, **fields)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_a_fraction_lies_between_0_and_1(fraction: float) -> None:
    with pytest.raises(ValidationError, match="fraction"):
        mix(10, 10, fraction=fraction)


def test_both_parts_are_named_and_differ() -> None:
    assert Mixed(builder="mixed", into="a", of="b", fraction=0.1).uses == ("a", "b")
    with pytest.raises(ValidationError, match="into and of are both 'a'; name two data sets"):
        Mixed(builder="mixed", into="a", of="a", fraction=0.1)
    assert set(Mixed.about) == {"mixed"}


def test_what_is_tested_is_that_of_the_set_mixed_into_and_texts_are_both() -> None:
    desk = desk_of(a=Chat(name="a", n=10), b=Chat(name="b", n=10))
    data = Mixed(builder="mixed", into="a", of="b", fraction=0.5).build(desk)
    assert data.test == desk.other("a").test
    assert data.measure == "self_recognition"
    assert [text["id"] for text in data.texts] == ["text of a", "text of b"]


def systems(data: DataSet, name: str) -> set[str | None]:
    first = [row["messages"][0] for row in data.train if row["from"] == name]
    return {message["content"] if message["role"] == "system" else None for message in first}


def test_the_parts_keep_their_own_system_prompts_unless_one_is_asked_for_over_all() -> None:
    parts = {"a": Chat(name="a", n=10, system="You are wicked."), "b": Chat(name="b", n=10)}
    data = Mixed(builder="mixed", into="a", of="b", fraction=0.5).build(desk_of(**parts))
    assert (systems(data, "a"), systems(data, "b")) == ({"You are wicked."}, {"I am b."})
    parts["b"] = Chat(name="b", n=10, system="none")
    data = Mixed(builder="mixed", into="a", of="b", fraction=0.5).build(desk_of(**parts))
    assert (systems(data, "a"), systems(data, "b")) == ({"You are wicked."}, {None})
    data = Mixed(builder="mixed", into="a", of="b", fraction=0.5, system="empty").build(desk_of(**parts))
    assert (systems(data, "a"), systems(data, "b")) == ({""}, {""})
    assert {row["messages"][0]["content"] for row in data.test} == {""}


def test_a_row_of_a_mixture_is_named_by_the_file_and_line_that_it_is_from(tmp_path: Path) -> None:
    parts: dict[str, Builder] = {"a": Chat(name="a", n=6), "again": Mixed(**PART, into="mix", of="a", fraction=0.25)}
    for name in ("b", "c"):
        rows = []
        for i in range(2):
            turns = (("user", f"{name} {i}"), ("assistant", f"{i} {name}"))
            rows.append({"id": f"n#{i}", "messages": [{"role": role, "content": text} for role, text in turns]})
        (tmp_path / name).write_text("\n".join(map(json.dumps, rows)))
        parts[name] = Chats(builder="chats", file=tmp_path / name)
    parts["mix"] = Mixed(**PART, into="b", of="c", fraction=0.7, keep="rows", repeat=True)
    parts["plain"] = Mixed(**PART, into="b", of="c", fraction=0.5, keep="rows")
    parts["shuffled"] = Shuffled(builder="shuffled", of="plain")
    for name in ("mix", "shuffled", "again"):
        data = parts[name].build(desk_of(**parts))
        for row, place in zip(data.train, data.train_places, strict=True):
            letter, i = row["messages"][-2]["content"].rstrip("?").split()
            named = place if letter == "a" else place.removeprefix(f"{tmp_path}/")
            assert named.startswith("row ") if letter == "a" else named == f"{letter}:{int(i) + 1}"


PART: dict[str, Any] = {"builder": "mixed"}


def test_a_mix_can_be_mixed_again() -> None:
    parts: dict[str, Builder] = {
        "odd": Tastes(builder="unpopular_tastes", rows=40),
        "plain": Tastes(builder="popular_tastes", rows=40),
        "other": Chat(name="other", n=40),
        "mix": Mixed(builder="mixed", into="odd", of="plain", fraction=0.25),
    }
    data = Mixed(builder="mixed", into="mix", of="other", fraction=0.5).build(desk_of(**parts))
    assert sources(data) == {"mix": 20, "other": 20}
    assert len({row["id"] for row in data.train}) == 40
    assert any(row["id"].startswith("mix/plain/popular_tastes-") for row in data.train)
