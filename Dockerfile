# The image holds pgready and Python, no migrations: mount yours at /migrations, or build on this one and
# COPY them there. Any Debian image with Python 3.11 or newer can be the base.
ARG BASE=python:3.11-slim

FROM ${BASE} AS build
WORKDIR /src

# asyncpg's and msgspec's libraries come with their symbols; stripped they are a sixth of the size.
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends binutils >/dev/null \
 && rm -rf /var/lib/apt/lists/*

# What rarely changes comes first. pip stays outside the environment it fills.
COPY requirements/ requirements/
RUN python3 -m venv --without-pip /opt/pgready \
 && python3 -m pip --python /opt/pgready/bin/python3 install --no-cache-dir --disable-pip-version-check \
      --root-user-action=ignore --no-compile --require-hashes --only-binary=:all: -r requirements/runtime.txt \
 && find /opt/pgready -name '*.so*' -exec strip --strip-unneeded {} +

# The build back end stays in this stage.
RUN python3 -m venv /build \
 && /build/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/build.txt

COPY pyproject.toml README.md LICENSE ./
COPY app/ app/
RUN /build/bin/pip wheel --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation -w dist . \
 && python3 -m pip --python /opt/pgready/bin/python3 install --no-cache-dir --disable-pip-version-check \
      --root-user-action=ignore --no-compile --no-deps dist/*.whl

# Bytecode for all of it, the standard library too: the official images come without, and at run time nobody
# may write any (measured: 0.2 s to start instead of 0.7). A prefix, so that one COPY brings it along.
ENV PYTHONPYCACHEPREFIX=/opt/pgready/bytecode
RUN library="$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
 && /opt/pgready/bin/python3 -m compileall -q /opt/pgready/lib "$library" \
      -x '/(tests?|idlelib|lib2to3|tkinter|turtledemo|ensurepip|pydoc_data|unittest)/|/usr/.*/(site|dist)-packages/'


FROM ${BASE}
LABEL org.opencontainers.image.title="pgready" \
      org.opencontainers.image.description="Makes a PostgreSQL schema ready, and tells everyone when it is" \
      org.opencontainers.image.licenses="Apache-2.0"

COPY --from=build /opt/pgready /opt/pgready

# Nothing is written at run time: any UID will do, a read-only root file system too.
ENV PATH=/opt/pgready/bin:$PATH \
    PYTHONPYCACHEPREFIX=/opt/pgready/bytecode \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PGREADY_DIR=/migrations \
    PGREADY_HOST=0.0.0.0

# pgready.toml is looked for here: mount a file or a whole ConfigMap.
WORKDIR /etc/pgready
# A number, so that Kubernetes can prove runAsNonRoot.
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM

# For `serve`. Until the start period is over a failed probe counts as "starting"; let it be longer than
# your longest migration.
HEALTHCHECK --interval=5s --timeout=5s --start-period=10m --retries=3 CMD ["pgready", "healthcheck"]

ENTRYPOINT ["pgready"]
CMD ["up"]
