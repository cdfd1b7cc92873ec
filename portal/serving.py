"""Tell gunicorn how to serve the site: `gunicorn --config python:portal.serving`."""

import gc
import os
from pathlib import Path

from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker
from prometheus_client import multiprocess

from portal.logs import configuration

wsgi_app = "portal.wsgi:application"
bind = os.environ.get("KEYSTEAD_BIND") or f"127.0.0.1:{os.environ.get('PORT') or 8000}"
worker_class = "gthread"
workers = int(os.environ.get("KEYSTEAD_WEB_WORKERS") or 2)
threads = int(os.environ.get("KEYSTEAD_WEB_THREADS") or 8)
# A request ends within the statement timeout; a worker that is told to stop finishes what it has.
timeout = 60
graceful_timeout = 25
keepalive = 5
max_requests = 20_000
max_requests_jitter = 2_000
# What is sent is bounded before Django sees it; the body is bounded by portal/middleware.py.
limit_request_line = 4_094
limit_request_fields = 60
limit_request_field_size = 8_190
control_socket_disable = True
# Gunicorn's own lines leave by the same door as ours.
logconfig_dict = configuration(production=os.environ.get("KEYSTEAD_ENV") != "development", level="INFO")
# The peer's word about the scheme is believed only as portal/settings.py says.
forwarded_allow_ips = "127.0.0.1"
secure_scheme_headers: dict[str, str] = {}
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - memory, so that a slow disk kills no worker


def on_starting(_server: Arbiter) -> None:
    """Give the workers a folder without samples for their metrics; those of dead processes would be summed for ever.

    The folder itself stays: it may be a mount, or lie where only root makes folders.
    """
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
        folder.mkdir(parents=True, exist_ok=True)
        for samples in folder.glob("*.db"):
            samples.unlink()


def post_worker_init(_worker: Worker) -> None:
    """Take what was loaded out of the collector's sight: it stays, and walking it would hold up each request of a worker now and then."""
    gc.freeze()


def child_exit(_server: Arbiter, worker: Worker) -> None:
    """Forget the gauges of a worker that has ended."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
