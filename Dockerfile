# wamim_mm with the locked libraries, for CPUs and NVIDIA GPUs:
#
#   docker build -t wamim_mm .
#   docker run --gpus all --shm-size 8g -v DATA:/data -v OUT:/out wamim_mm \
#       wamim pretrain --data /data --out /out
FROM python:3.11-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc git libc6-dev make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /wamim_mm
COPY . .
RUN make setup
ENV PATH=/wamim_mm/.venv/bin:$PATH
CMD ["wamim", "--help"]
