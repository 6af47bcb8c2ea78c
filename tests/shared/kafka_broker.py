"""A real Kafka broker on loopback (KRaft, one node), over TLS with a user and password; its jars are from Maven."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

VERSION = "3.9.1"
USER, PASSWORD = "audit", "not-a-secret-of-anyone"
_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>local</groupId><artifactId>kafka-jars</artifactId><version>1</version>
<dependencies><dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
<version>{VERSION}</version></dependency></dependencies></project>
"""


@dataclass(frozen=True)
class Broker:
    """Where it listens and whom it trusts."""

    address: str
    certificate: Path
    process: subprocess.Popen[bytes]

    @property
    def properties(self) -> dict[str, str]:
        """What a client of librdkafka needs."""
        secret = {"sasl.username": USER, "sasl.password": PASSWORD, "ssl.ca.location": str(self.certificate)}
        return {"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", **secret}


def jars() -> Path:
    """The folder of Kafka's jars, fetched once; the test is skipped where they cannot be had."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "carrental-mlops" / f"kafka-{VERSION}"
    if not (cache / "ready").is_file():
        maven = shutil.which("mvn")
        if maven is None or shutil.which("java") is None:
            pytest.skip("a real Kafka needs java and mvn on PATH")
        cache.mkdir(parents=True, exist_ok=True)
        (cache / "pom.xml").write_text(_POM)
        wanted = ["-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={cache / 'jars'}"]
        done = subprocess.run([maven, *wanted], cwd=cache, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            pytest.skip(f"Kafka's jars cannot be had: {done.stdout[-300:]}")
        (cache / "ready").touch()
    return cache / "jars"


@contextmanager
def kafka_broker(folder: Path) -> Iterator[Broker]:
    """A broker whose files lie in `folder`."""
    classes = str(jars() / "*")
    port, control = _free(), _free()
    key, certificate = folder / "key.pem", folder / "cert.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject]
    subprocess.run([*make, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    (folder / "server.pem").write_text(key.read_text() + certificate.read_text())
    settings = folder / "server.properties"
    settings.write_text(_settings(folder, port, control))
    java = ["java", "-Xmx256m", "-cp", classes]
    identity = ["format", "-t", uuid.uuid4().hex[:22], "-c", str(settings)]
    subprocess.run([*java, "kafka.tools.StorageTool", *identity], check=True, capture_output=True, timeout=120)
    with (folder / "kafka.log").open("w") as log:
        process = subprocess.Popen([*java, "kafka.Kafka", str(settings)], stdout=log, stderr=log)
    try:
        _wait(port, process, folder / "kafka.log")
        yield Broker(f"localhost:{port}", certificate, process)
    finally:
        process.kill()
        process.wait()


def _settings(folder: Path, port: int, control: int) -> str:
    login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    users = f'username="{USER}" password="{PASSWORD}" user_{USER}="{PASSWORD}";'
    return f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@localhost:{control}
listeners=SASL_SSL://localhost:{port},CONTROLLER://localhost:{control}
controller.listener.names=CONTROLLER
inter.broker.listener.name=SASL_SSL
listener.security.protocol.map=CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL
sasl.enabled.mechanisms=PLAIN
sasl.mechanism.inter.broker.protocol=PLAIN
listener.name.sasl_ssl.plain.sasl.jaas.config={login} {users}
ssl.keystore.type=PEM
ssl.keystore.location={folder / "server.pem"}
ssl.truststore.type=PEM
ssl.truststore.location={folder / "cert.pem"}
log.dirs={folder / "logs"}
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
num.partitions=3
"""


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(900):
        try:
            socket.create_connection(("localhost", port), 1).close()
            return
        except OSError:
            assert process.poll() is None, log.read_text()[-2000:]
            time.sleep(0.1)
    raise AssertionError(log.read_text()[-2000:])
