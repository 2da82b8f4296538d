# rephrase-rl on NVIDIA GPUs. Configured, not run: no image was built from it, and no GPU was used.
#   docker build -f docker/cuda.Dockerfile -t rephrase-rl:cuda .
#   docker run --rm --gpus device=0 --shm-size 16g -v "$PWD:/workspace" rephrase-rl:cuda train run.yaml
# On several GPUs of a machine, from a clone, whose recipes the container then sees:
#   docker run --rm --gpus all --shm-size 16g -v "$PWD:/workspace" --entrypoint accelerate rephrase-rl:cuda \
#     launch --config_file recipes/accelerate/fsdp_8_gpus.yaml -m rephrase_rl.cli.main train run.yaml
# torch's wheels bring CUDA's libraries with them; the machine has to bring the driver.
FROM python:3.12-slim-bookworm

ENV PIP_NO_CACHE_DIR=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

# Triton compiles a launcher with the C compiler.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /src
COPY pyproject.toml constraints.txt constraints-vllm.txt README.md LICENSE ./
COPY src ./src
# For vLLM: EXTRAS=peft,judge,vllm and CONSTRAINTS="-c constraints-vllm.txt", which has an older transformers than `gguf` needs.
ARG EXTRAS=peft,gguf,judge
ARG CONSTRAINTS="-c constraints.txt"
# hadolint ignore=SC2086
RUN pip install ${CONSTRAINTS} ".[${EXTRAS}]" \
    && useradd --create-home --uid 1000 user \
    && install -d -o user /workspace

USER 1000
WORKDIR /workspace
ENTRYPOINT ["rephrase-rl"]
CMD ["doctor"]
