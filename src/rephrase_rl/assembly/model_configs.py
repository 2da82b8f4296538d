"""What a policy's ``config.json`` says, without its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformers import AutoConfig

from rephrase_rl.assembly.adapters import without_adapter
from rephrase_rl.assembly.objects import model_path
from rephrase_rl.assembly.run_parts import starting_model
from rephrase_rl.errors import EngineError

if TYPE_CHECKING:
    from rephrase_rl.config import RunConfig


def starting_model_config(config: RunConfig) -> Any:
    """The ``config.json`` of the policy that a run starts from.

    Raises:
        EngineError: There is none that can be read.
    """
    model = without_adapter(starting_model(config))
    more: dict[str, Any] = {"gguf_file": model.gguf_file} if model.gguf_file else {}
    try:
        return AutoConfig.from_pretrained(
            model_path(model),
            revision=model.revision,
            trust_remote_code=model.trust_remote_code,
            **more,
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise EngineError(
            f"found no readable config.json for {model.path!r} "
            f"({str(error).strip().partition(chr(10))[0][:200]}); required: a folder or hub id "
            "with one, weights are not needed; do this: check model.path"
        ) from error
