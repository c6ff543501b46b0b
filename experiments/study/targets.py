"""Does every stage of a study fit its model? Found out without a weight, before anything is trained."""

from experiments.machine import Size
from experiments.study.config import StudyConfig


def adapter_sizes(config: StudyConfig, size: Size) -> dict[str, int]:
    """Weights of each stage's adapter, by the stage's name.

    Raises:
        ValueError: a stage's targets are no modules of the model, PEFT refuses them, or it merges into quantised
            weights.
    """
    sizes: dict[tuple[object, int], int] = {}
    for name, stage in config.stages.items():
        if stage.compose == "merge_fp32" and config.quantise:
            raise ValueError(
                f"stages.{name}.compose: merge_fp32 needs weights that are not quantised; set compose to stack"
            )
        adapter = stage.train.target_modules, stage.train.lora_rank
        if adapter not in sizes:
            try:
                sizes[adapter] = size.adapter_parameters(stage.train)
            except ValueError as error:
                raise ValueError(f"stages.{name}.train.target_modules: {error}") from error
    return {name: sizes[one.train.target_modules, one.train.lora_rank] for name, one in config.stages.items()}
