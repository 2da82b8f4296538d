# rephrase-rl on CPUs. Configured, not run: no image was built from it in this repository's tests.
#   docker build -f docker/cpu.Dockerfile -t rephrase-rl:cpu .
#   docker run --rm -v "$PWD/runs:/work/runs" rephrase-rl:cpu demo
FROM python:3.12-slim-bookworm

# math-verify and tokenizers come as wheels; a compiler is needed by nothing that is installed.
ENV PIP_NO_CACHE_DIR=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src ./src
# torch's own index has builds without CUDA; see https://pytorch.org/get-started/locally/
RUN pip install --extra-index-url https://download.pytorch.org/whl/cpu -c constraints.txt ".[peft,gguf,judge]" \
    && useradd --create-home --uid 1000 user \
    && install -d -o user /work

USER 1000
WORKDIR /work
ENTRYPOINT ["rephrase-rl"]
CMD ["doctor"]
