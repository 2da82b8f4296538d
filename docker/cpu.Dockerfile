# rephrase-rl on CPUs. Configured, not run: no image was built from it in this repository's tests.
#   docker build -f docker/cpu.Dockerfile --build-arg PIP_ARGS="..." -t rephrase-rl:cpu .
#   docker run --rm -v "$PWD/runs:/workspace/runs" rephrase-rl:cpu demo
FROM python:3.12-slim-bookworm

# math-verify and tokenizers come as wheels; a compiler is needed by nothing that is installed.
ENV PIP_NO_CACHE_DIR=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src ./src
# The pip options that find torch's build without CUDA: https://pytorch.org/get-started/locally/
ARG PIP_ARGS=""
# hadolint ignore=SC2086
RUN pip install ${PIP_ARGS} -c constraints.txt ".[peft,gguf,judge]" \
    && useradd --create-home --uid 1000 user \
    && install -d -o user /workspace

USER 1000
WORKDIR /workspace
ENTRYPOINT ["rephrase-rl"]
CMD ["doctor"]
