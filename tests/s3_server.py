"""A real S3 server on loopback, for tests: OpenStack Swift with its s3api, one replica in a folder.

`.ci/install_s3_server` installs it on Debian; without it, tests that ask for the fixture
`s3_server` are skipped. Four single processes, about 300 MB together, ready in about 3 s.
"""

import getpass
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

BACKENDS = ("account", "container", "object")
SWIFT_PYTHON = "/usr/bin/python3"  # Debian's, where its packages are
READY_WITHIN_S = 60.0  # ours: 3 s on an idle machine
STOP_WITHIN_S = 5.0

# Run by Swift's interpreter: nine calls of swift-ring-builder would take longer than the servers.
RINGS = """
import sys
from swift.common.ring import RingBuilder

for kind, port in zip(sys.argv[1::2], sys.argv[2::2]):
    builder = RingBuilder(4, 1, 1)  # 16 partitions, one replica
    device = {"id": 0, "region": 1, "zone": 1, "weight": 1.0, "ip": "127.0.0.1", "device": "d1"}
    builder.add_dev({**device, "port": int(port)})
    builder.rebalance(seed=0)
    builder.get_ring().save(f"{kind}.ring.gz")
"""

SERVER = """
[DEFAULT]
devices = {folder}/data
mount_check = false
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {folder}
log_level = ERROR
"""

BACKEND = """
fallocate_reserve = 0
disable_fallocate = true
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""

# `cache` must be there, although nothing listens on its port: tempauth insists on it. So must
# `proxy-logging`: without it a HEAD of a missing key leaves a stray body on the connection.
PROXY = """
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck proxy-logging cache listing_formats s3api tempauth \
bulk slo dlo proxy-logging proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:proxy-logging]
use = egg:swift#proxy_logging
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:1
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
paste.filter_factory = s3_conditional_filter:filter_factory
s3_acl = false
location = us-east-1
dns_compliant_bucket_names = true
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin .reseller_admin
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
"""


@dataclass(frozen=True)
class S3Server:
    """A running server; `env` is what a client process needs to reach it."""

    endpoint: str
    env: dict[str, str]

    def new_bucket(self, conditions: Literal["honoured", "ignored", "refused"] = "honoured") -> str:
        """Make an empty bucket: s3://name. `conditions`: what it does with conditional writes."""
        import s3fs

        name = f"{conditions}-{uuid.uuid4().hex[:12]}"
        s3fs.S3FileSystem(endpoint_url=self.endpoint).mkdir(name)
        return f"s3://{name}"


def free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def write_config(folder: Path, ports: dict[str, int]) -> None:
    (folder / "data" / "d1").mkdir(parents=True)
    (folder / "filter").mkdir()
    shutil.copy(Path(__file__).with_name("s3_conditional_filter.py"), folder / "filter")
    for kind, port in ports.items():
        rest = PROXY if kind == "proxy" else BACKEND
        config = (SERVER + rest).format(folder=folder, port=port, user=getpass.getuser(), kind=kind)
        (folder / f"{kind}-server.conf").write_text(config)
    backends = [word for kind in BACKENDS for word in (kind, str(ports[kind]))]
    subprocess.run([SWIFT_PYTHON, "-c", RINGS, *backends], cwd=folder, check=True, env={})


def start(folder: Path, kind: str) -> subprocess.Popen[bytes]:
    # The kernel ends the server with its parent: a killed test run leaves nothing behind.
    tied = ["setpriv", "--pdeathsig", "TERM"]
    return subprocess.Popen(
        [*tied, f"swift-{kind}-server", str(folder / f"{kind}-server.conf"), "-v"],
        env={**os.environ, "PYTHONPATH": str(folder / "filter")},
        stdout=(folder / f"{kind}.log").open("wb"),
        stderr=subprocess.STDOUT,
    )


def is_ready(ports: dict[str, int]) -> bool:
    try:
        for kind in BACKENDS:
            socket.create_connection(("127.0.0.1", ports[kind]), timeout=1).close()
        with urllib.request.urlopen(f"http://127.0.0.1:{ports['proxy']}/healthcheck", timeout=1):
            return True
    except (OSError, urllib.error.URLError):
        return False


def wait_until_ready(
    folder: Path, servers: dict[str, subprocess.Popen[bytes]], ports: dict[str, int]
) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while not is_ready(ports):
        dead = [kind for kind, server in servers.items() if server.poll() is not None]
        if dead or time.monotonic() > deadline:
            logs = "\n".join(
                (folder / f"{kind}.log").read_text()[-2000:] for kind in dead or servers
            )
            raise RuntimeError(f"the S3 server did not start ({dead or 'too slow'}):\n{logs}")
        time.sleep(0.1)


def stop(servers: dict[str, subprocess.Popen[bytes]]) -> None:
    for server in servers.values():
        server.terminate()
    for server in servers.values():
        try:
            server.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def needs(folder: Path) -> str | None:
    """Why the server cannot run here, if it cannot."""
    if not shutil.which("swift-proxy-server") or not Path(SWIFT_PYTHON).exists():
        return "no S3 server: .ci/install_s3_server installs OpenStack Swift"
    if not Path("/etc/swift/swift.conf").exists():
        return "no /etc/swift/swift.conf: .ci/install_s3_server installs it"
    try:
        os.setxattr(folder, "user.vitw_ray", b"")
    except OSError:
        return f"the S3 server keeps its metadata in extended attributes, and {folder} has none"
    return None


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One server for the session; the environment points every s3:// address to it."""
    folder = tmp_path_factory.mktemp("s3")
    if reason := needs(folder):
        pytest.skip(reason)
    ports = dict(zip((*BACKENDS, "proxy"), free_ports(4), strict=True))
    write_config(folder, ports)
    endpoint = f"http://127.0.0.1:{ports['proxy']}"
    env = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test:tester",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        # Swift refuses the chunked checksums that newer clients send by default.
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
    }
    servers: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for kind in ports:
            servers[kind] = start(folder, kind)
        wait_until_ready(folder, servers, ports)
        with pytest.MonkeyPatch.context() as patch:
            for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
                patch.delenv(name, raising=False)
            for name, value in env.items():
                patch.setenv(name, value)
            yield S3Server(endpoint, env)
    finally:
        stop(servers)
