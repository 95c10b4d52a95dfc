# The image holds pgready, Python and the libraries they link to: no shell, no package manager, no migrations.
# Mount yours at /migrations, or build on this one; this is a whole Dockerfile:
#
#   FROM pgready
#   COPY migrations /migrations
#
# Any Debian image with Python 3.11 or newer can be the base; pin it by digest:
#   docker build --build-arg BASE=python:3.11-slim@sha256:… -t pgready .
#   docker build --target debug -t pgready:debug .        # the same with a shell
ARG BASE=python:3.11-slim

FROM ${BASE} AS build
WORKDIR /src

# binutils strips the drivers' libraries, which come with their symbols, to a sixth; busybox is for `debug`.
# hadolint ignore=DL3008
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends binutils busybox-static >/dev/null \
 && rm -rf /var/lib/apt/lists/* \
 && mkdir -p /busybox/usr/bin \
 && ln -s usr/bin /busybox/bin \
 && cp /bin/busybox /busybox/usr/bin/ \
 && busybox --install -s /busybox/usr/bin

# What rarely changes comes first. pip stays outside the environment it fills, and so do its reports, which
# say what was installed and by which hash.
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements/runtime.txt requirements/build.txt requirements/
RUN python3 -m venv --without-pip /opt/pgready \
 && rm /opt/pgready/bin/[Aa]ctivate* \
 && python3 -m pip --python /opt/pgready/bin/python3 install --no-compile --require-hashes \
      --only-binary=:all: --report dependencies.json -r requirements/runtime.txt \
 && find /opt/pgready -name '*.so*' -exec strip --strip-unneeded {} + \
 && python3 -m venv /build \
 && /build/bin/pip install --require-hashes --only-binary=:all: -r requirements/build.txt

# The root of the final image. Bytecode for all of it, never checked against its source again: at run time
# nobody may write any (measured without: 0.7 s to start instead of 0.2).
COPY deploy/image/ deploy/image/
RUN python3 deploy/image/collect.py /rootfs /opt/pgready \
 && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/pgready/lib \
 && python3 -m compileall -q --invalidation-mode unchecked-hash -s /rootfs -p / /rootfs

# pgready itself, from a wheel that is the same whoever builds it, into a root of its own: one small layer.
COPY pyproject.toml README.md LICENSE ./
COPY app/ app/
RUN /build/bin/pip wheel --no-deps --no-build-isolation -w dist . \
 && python3 -m pip --python /opt/pgready/bin/python3 install --no-compile --no-deps --root /own \
      --report own.json dist/*.whl \
 && python3 -m compileall -q --invalidation-mode unchecked-hash -s /own -p / /own \
 && python3 deploy/image/sbom.py dependencies.json own.json --status /rootfs/var/lib/dpkg/status.d \
      --installed /opt/pgready/lib/python3*/site-packages --installed /own/opt/pgready/lib/python3*/site-packages \
      >/own/opt/pgready/sbom.cdx.json


FROM scratch AS runtime
COPY --from=build /rootfs /
COPY --from=build /opt/pgready /opt/pgready
COPY --from=build /own /

# Nothing is written at run time: any UID will do, without HOME, on a read-only root file system.
ENV PATH=/opt/pgready/bin:/usr/local/bin:/usr/bin \
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

ARG BASE
ARG VERSION
ARG REVISION
ARG CREATED
LABEL org.opencontainers.image.title="pgready" \
      org.opencontainers.image.description="Makes a PostgreSQL schema ready, and tells everyone when it is" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${BASE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"


# With busybox: docker run -it --entrypoint sh pgready:debug, or to list what was really mounted,
# docker run --rm -v ./sql:/migrations:ro --entrypoint ls pgready:debug -l /migrations
FROM runtime AS debug
COPY --from=build /busybox /


FROM runtime
