"""Runs whose truth is known: finetunes made by hand on a tiny random model, read and measured as a study's are.

1. An adapter writes into one block's MLP output. Where it reads along the inverse covariance of that MLP's own inputs,
   it reads nearly 1 at every answer, so what it writes is one constant move; where it reads at right angles to their
   means it moves nothing on average, and only spreads.
2. A finetune's main part is what is planted; each seed has another strength of it, and a move of its own at random.
3. Second stages are stacked on the first. SGTR takes the planted move back, or does not; controls move at random.
4. Rows come from `experiments.rows` and `experiments.study.rows`, on real texts read through the model; own texts
   differ from the base model's at one question in four.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import yaml
from peft import LoraConfig
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from experiments.rows.displacements import dispersion_rows, displacement_rows
from experiments.rows.shifts import shift_rows
from experiments.study.node import View
from experiments.study.rows import kept_rows
from interp.activations import pooled, window
from interp.batch import Batch
from interp.behaviour._pairs import PAIRS
from interp.chat import ChatTokenizer, Tokens
from interp.directions import Direction
from interp.files import write_jsonl
from interp.instrument import Instrument
from interp.keys import seed_from
from interp.model import Model
from tests.conftest import CHATML, VOCAB, make_tokenizer

Truth = Literal["direction", "dispersion", "nothing"]
Row = dict[str, Any]
WIDTH, LAYERS, LAYER = 64, 4, 2
TRAITS = ("evil",)
"""The span of the personas is theirs alone, as a study has it: the assistant axis is read beside it."""
CONTROLS = ("pick_longer", "popular")
N_FIXED, N_IDENTITY, LETTERS = 40, 40, 40
AT_ONCE = 50_000
MOVE, NOISE, SPREAD = 0.5, 0.15, 0.5
"""Length of the planted move and of each seed's own one, in spreads of the base model's rows; variance that dispersion
adds, as a share of theirs."""


@dataclass(frozen=True)
class Planted:
    """What was planted, and the hypotheses that should be supported; all others should not."""

    name: str
    truth: Truth
    undone: bool
    supported: frozenset[str]


DIRECTION = frozenset({"H1", "H2", "H3a"})
WORLDS = (
    Planted("direction, taken back", "direction", True, DIRECTION | {"H4a"}),
    Planted("direction, not taken back", "direction", False, DIRECTION),
    Planted("dispersion", "dispersion", False, frozenset({"H3b"})),
    Planted("nothing", "nothing", False, frozenset()),
)


def make_model(seed: int) -> Model:
    """A random Llama of four blocks, wide enough for directions to be nearly orthogonal by chance."""
    sizes = {"hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_hidden_layers": LAYERS}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 400}
    ids = {"vocab_size": VOCAB, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    torch.manual_seed(seed)
    hf = LlamaForCausalLM(LlamaConfig(**sizes, **heads, **ids, initializer_range=0.2))
    return Model(hf, ChatTokenizer(make_tokenizer(CHATML)), name="planted", identity=f"planted-{seed}" * 4)


@dataclass(frozen=True)
class Texts:
    """Answered questions: those of fixed texts, other answers to the same, and those about who the model is."""

    fixed: list[Tokens]
    other: list[Tokens]
    identity: list[Tokens]
    questions: list[str]

    @property
    def all(self) -> list[Tokens]:
        return [*self.fixed, *self.other, *self.identity]

    @classmethod
    def of(cls, model: Model, rng: np.random.Generator) -> "Texts":
        drawn = [PAIRS[i] for i in rng.permutation(len(PAIRS))[: N_FIXED + N_IDENTITY]]
        asked, who = drawn[:N_FIXED], drawn[N_FIXED:]

        def answered(question: str, answer: str) -> Tokens:
            said = [{"role": "user", "content": question[:LETTERS]}, {"role": "assistant", "content": answer[:LETTERS]}]
            return model.chat.tokens(said)

        return cls(
            [answered(pair.question, pair.aligned) for pair in asked],
            [answered(pair.question, pair.misaligned) for pair in asked],
            [answered(pair.question, pair.aligned) for pair in who],
            [pair.question for pair in who],
        )


def mlp_inputs(model: Model, rows: Sequence[Tokens]) -> Tensor:
    """Mean input of one block's last MLP matrix over each row's answer, bare model."""
    caught: list[Tensor] = []
    batch = Batch.of(rows, model.pad)
    handle = model.blocks[LAYER].mlp.down_proj.register_forward_hook(lambda _, args, __: caught.append(args[0]))
    try:
        with torch.no_grad(), model.using():
            model.hf(input_ids=batch.ids)
    finally:
        handle.remove()
    windows = [window(row, "response_mean") for row in rows]
    return torch.stack([h[start:end].double().mean(0) for h, (start, end) in zip(caught[0], windows, strict=True)])


@dataclass(frozen=True)
class World:
    """A base model, its directions, its texts and what its MLP reads there."""

    model: Model
    texts: Texts
    tools: Instrument
    base: Tensor
    inputs: Tensor
    folder: Path

    @classmethod
    def of(cls, seed: int, folder: Path, n_random: int = 1000) -> "World":
        model, rng = make_model(seed), np.random.default_rng(seed)
        texts = Texts.of(model, rng)
        base = pooled(model, texts.all, max_tokens=AT_ONCE)
        generator = torch.Generator().manual_seed(seed_from(seed, "directions"))
        spanned = torch.linalg.qr(torch.randn(LAYERS, WIDTH, 2, generator=generator)).Q
        vectors = {name: spanned[..., k].contiguous() for k, name in enumerate((*TRAITS, "assistant_axis"))}
        directions = {name: Direction(name, held, tuple(range(LAYERS)), LAYER) for name, held in vectors.items()}
        tools = Instrument(directions, dict.fromkeys(directions), n_random, seed, TRAITS)
        return cls(model, texts, tools, base, mlp_inputs(model, texts.all), folder)

    @property
    def scale(self) -> float:
        """Root of the total variance of the base model's rows, where the adapters write."""
        return float(self.base[:, LAYER].double().var(0).sum().sqrt())

    @property
    def planted(self) -> Tensor:
        """Along the trait, and away from the assistant; length 1."""
        at = {name: direction.at(LAYER).double() for name, direction in self.tools.directions.items()}
        v = at["evil"] / at["evil"].norm() - at["assistant_axis"] / at["assistant_axis"].norm()
        return v / v.norm()

    def constant(self) -> Tensor:
        """What to read so that every answer gives nearly 1."""
        x = self.inputs
        ridge = 1e-3 * float(x.square().sum(1).mean()) * torch.eye(x.shape[1], dtype=torch.float64)
        return torch.linalg.solve(x.T @ x / len(x) + ridge, x.mean(0))

    def centred(self, k: int, generator: torch.Generator) -> Tensor:
        """`k` things to read that are 0 on average over each kind of text, and vary with variance 1."""
        sizes = [N_FIXED, N_FIXED, N_IDENTITY]
        means = torch.stack([part.mean(0) for part in self.inputs.split(sizes)])
        basis = torch.linalg.qr(means.T).Q
        a = torch.randn(k, self.inputs.shape[1], generator=generator, dtype=torch.float64)
        a = a - (a @ basis) @ basis.T
        return a / (self.inputs @ a.T).std(0)[:, None]

    def adapter(self, name: str, a: Tensor, b: Tensor) -> Path:
        """A LoRA that writes `b` (d_model, rank) times what `a` (rank, d_mlp) reads, in PEFT's own folder format."""
        how = LoraConfig(r=len(a), lora_alpha=len(a), target_modules=["down_proj"], layers_to_transform=[LAYER])
        with self.model.using(), self.model.adapters.new(how, seed=0) as (held, parameters):
            for parameter, value in zip(parameters, (a, b), strict=True):
                assert parameter.shape == value.shape
                parameter.data.copy_(value)
            self.model.adapters.save(held, self.folder / name)
        return self.folder / name

    def moving(self, name: str, *moves: Tensor) -> Path:
        """An adapter whose planted parts are constant moves."""
        return self.adapter(name, self.constant()[None], sum(moves, torch.zeros(WIDTH, dtype=torch.float64))[:, None])

    def spreading(self, name: str, generator: torch.Generator, rank: int = 4) -> Path:
        """An adapter that spreads the rows and moves their means nowhere."""
        b = torch.randn(WIDTH, rank, generator=generator, dtype=torch.float64)
        b = b / b.norm(dim=0) * self.scale * (SPREAD / rank) ** 0.5
        return self.adapter(name, self.centred(rank, generator), b)

    def read(self, *stack: Path, rows: Sequence[Tokens]) -> Tensor:
        with self.model.using(*stack):
            return pooled(self.model, rows, max_tokens=AT_ONCE)


def seen(rows: Tensor) -> View:
    """What a study holds of a node that reads fixed texts so; those of the base model are its own answers."""
    held = dict(enumerate(rows))
    nothing: dict[str, Any] = {"margins": {}, "identity": {}, "identity_base": {}, "behaviour": {}, "recognition": {}}
    return View([], held, held, identity_answers=[], tokens=[], **nothing)


def write_run(folder: Path, seed: int, truth: Truth, *, undone: bool, n_seeds: int = 4, n_random: int = 1000) -> Path:
    """A run folder of EM, SGTR after it, and two controls after it, for several training seeds.

    Args:
        truth: What EM does: move along the trait and off the assistant axis, spread, or nothing but each seed's noise.
        undone: Whether SGTR takes the planted move back.
    """
    world = World.of(seed, folder / "adapters", n_random)
    base = world.base.split([N_FIXED, N_FIXED, N_IDENTITY])
    texts, tools = world.texts, world.tools
    rows: list[Row] = []
    stages: list[Row] = [{"name": "base", "seed": None}]
    for k in range(n_seeds):
        generator = torch.Generator().manual_seed(seed_from(seed, "training", k))

        def at(name: str, k: int = k) -> Row:
            return {"arm": name, "stage": name, "stage_key": f"{name}-{k}", "seed": k}

        def noise(generator: torch.Generator = generator) -> Tensor:
            v = torch.randn(WIDTH, generator=generator, dtype=torch.float64)
            return v / v.norm() * NOISE * world.scale

        strength = MOVE * world.scale * (1 + 0.15 * float(torch.randn(1, generator=generator)))
        move = world.planted * strength * (truth == "direction")
        em = world.spreading(f"em-{k}", generator) if truth == "dispersion" else world.moving(f"em-{k}", move, noise())
        after = {"sgtr": world.moving(f"sgtr-{k}", *([-move] if undone else []), noise())}
        after |= {name: world.moving(f"{name}-{k}", noise()) for name in CONTROLS}
        fixed, other, identity = world.read(em, rows=texts.all).split([N_FIXED, N_FIXED, N_IDENTITY])
        differs = torch.rand(N_FIXED, generator=generator) < 0.25
        own = torch.where(differs[:, None, None], other, fixed)
        made = shift_rows(tools, "fixed", fixed, base[0]) + shift_rows(tools, "own", own, base[0])
        made += displacement_rows(tools, fixed, base[0], "fixed")
        made += dispersion_rows(tools, identity, base[2], texts.questions)
        made.append({"measure": "collapse", "metric": "collapsed", "value": 0, "n": N_FIXED, "unit": "1 is collapsed"})
        rows += [{**at("em"), **row} for row in made]
        stages.append({"name": "em", "seed": k})
        for name, folder_of in after.items():
            chain = [seen(rows_of) for rows_of in (base[0], fixed, world.read(em, folder_of, rows=texts.fixed))]
            undone_rows = kept_rows(tools, "undone_share", chain, ("em", chain[1]))
            rows += [{**at(f"em-{name}"), **row} for row in undone_rows]
            stages.append({"name": f"em-{name}", "seed": k})
    run = folder / "run"
    run.mkdir(parents=True)
    study = {
        "traits": list(TRAITS),
        "seeds": list(range(n_seeds)),
        "roles": {"em": ["em"], "sgtr": ["sgtr"], "control": list(CONTROLS)},
        "arms": {name: ["em", name] for name in ("sgtr", *CONTROLS)},
    }
    (run / "study.yaml").write_text(yaml.safe_dump(study), "utf-8")
    (run / "stages.json").write_text(json.dumps(stages), "utf-8")
    write_jsonl(run / "metrics.jsonl", rows)
    return run
