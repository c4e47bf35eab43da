# docker build -t parley .
# docker run -p 8000:8000 -e PARLEY_API_KEY=sk-choose-one parley
#
# The same steps as `make run`, by hand: what requirements/*.txt pin, each file checked by its hash.

FROM python:3.12-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends build-essential && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY requirements requirements
RUN python -m venv /opt/parley \
    && /opt/parley/bin/pip install --no-cache-dir --require-hashes -r requirements/run.txt \
    && /opt/parley/bin/pip install --no-cache-dir --require-hashes --no-deps --no-build-isolation -r requirements/speech.txt
COPY pyproject.toml README.md LICENSE ./
COPY parley parley
RUN /opt/parley/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.12-slim-bookworm
COPY --from=build /opt/parley /opt/parley
RUN useradd --system --create-home --home-dir /var/lib/parley parley
USER parley
ENV PATH=/opt/parley/bin:$PATH PARLEY_HOME=/var/lib/parley PARLEY_HOST=0.0.0.0 PARLEY_PORT=8000
EXPOSE 8000
VOLUME /var/lib/parley
HEALTHCHECK --interval=10s --start-period=15s CMD \
    ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/ready', timeout=3)"]
STOPSIGNAL SIGTERM
CMD ["parley", "serve"]
