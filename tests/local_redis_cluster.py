"""A real Redis Cluster of three masters on loopback, with or without a replica of the first."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from redis import Redis
from redis.exceptions import RedisError

from service.features.embedded_redis import LOOPBACK_HOST, find_redis_server
from tests.hang_limit import HANG_S

MASTER_COUNT, HASH_SLOTS = 3, 16_384
_BUS_OFFSET = 10_000  # of the port on which a node talks to the others


class LocalRedisCluster:
    """Three masters that share the slots evenly.

    ports:   of the masters.
    replica: port of a replica of the first master, None without one.
    """

    def __init__(self, folder: Path, *, with_replica: bool = False) -> None:
        self._folder, self._with_replica = folder, with_replica
        self.ports: list[int] = []
        self.replica: int | None = None
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        """Address of the first node."""
        return f"redis://{LOOPBACK_HOST}:{self.ports[0]}"

    def start(self) -> None:
        """Start the nodes, share the slots, return when each node knows all others."""
        ports = _free_ports(MASTER_COUNT + self._with_replica)
        self.ports = ports[:MASTER_COUNT]
        for port in ports:
            self.start_node(port)
        share = -(-HASH_SLOTS // MASTER_COUNT)
        for index, port in enumerate(self.ports):
            slots = range(index * share, min((index + 1) * share, HASH_SLOTS))
            self.execute_on(port, "CLUSTER", "ADDSLOTS", *slots)
            self.execute_on(port, "CLUSTER", "SET-CONFIG-EPOCH", index + 1)
        for port in ports[1:]:
            self.execute_on(self.ports[0], "CLUSTER", "MEET", LOOPBACK_HOST, port)
        self.replica = ports[-1] if self._with_replica else None
        self.wait_until_healthy()
        if self.replica is not None:
            self._start_replication(self.replica)

    def _start_replication(self, replica: int) -> None:
        """Make a node the replica of the first master; returns when their link is up."""
        master_id = self.execute_on(self.ports[0], "CLUSTER", "MYID")
        self.execute_on(replica, "CLUSTER", "REPLICATE", master_id)
        ends = time.monotonic() + HANG_S
        while self.execute_on(replica, "INFO", "replication").get("master_link_status") != "up":
            if time.monotonic() > ends:
                raise AssertionError("the replica does not follow its master")
            time.sleep(0.05)

    def start_node(self, port: int) -> None:
        """Start one node; a restarted one has its configuration and no data."""
        options = {
            "bind": LOOPBACK_HOST,
            "port": port,
            "dir": self._folder,
            "save": "",
            "maxmemory": "32mb",
            "cluster-enabled": "yes",
            "cluster-config-file": f"nodes-{port}.conf",
            "repl-diskless-sync-delay": 0,
            "cluster-node-timeout": 1000,
            "cluster-require-full-coverage": "no",
        }
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        self._processes[port] = subprocess.Popen(
            [str(find_redis_server()), *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def pid(self, port: int) -> int:
        """Process id of one node."""
        return self._processes[port].pid

    def stop_node(self, port: int) -> None:
        """Kill one node."""
        process = self._processes.pop(port)
        process.kill()
        process.wait()

    def stop(self) -> None:
        """Kill all nodes."""
        for port in list(self._processes):
            self.stop_node(port)

    def wait_until_healthy(self) -> None:
        """Return when every master knows all nodes and the owner of every slot."""
        ends = time.monotonic() + HANG_S
        while not all(self._is_healthy(port) for port in self.ports):
            if time.monotonic() > ends:
                raise AssertionError("the cluster does not become healthy")
            time.sleep(0.05)

    def execute_on(self, port: int, *command: Any) -> Any:
        """One command to one node."""
        with Redis(host=LOOPBACK_HOST, port=port, socket_timeout=HANG_S) as client:
            ends = time.monotonic() + HANG_S
            while True:
                with contextlib.suppress(ConnectionError, RedisError):
                    client.ping()
                    break
                if time.monotonic() > ends:
                    raise AssertionError(f"no node answers on {port}")
                time.sleep(0.02)
            return client.execute_command(*command)

    def slot_owner_port(self, key: str) -> int:
        """Port of the node that holds a key's slot."""
        slot = int(self.execute_on(self.ports[0], "CLUSTER", "KEYSLOT", key))
        for first, last, master, *_ in self._slots():
            if first <= slot <= last:
                return int(master[1])
        raise AssertionError(f"no node has slot {slot}")

    def migrate_slot(self, key: str, to: int) -> None:
        """Move the key's slot, with this one key in it, to another master."""
        source, slot = self.slot_owner_port(key), self.execute_on(to, "CLUSTER", "KEYSLOT", key)
        source_id, target_id = (
            self.execute_on(port, "CLUSTER", "MYID").decode() for port in (source, to)
        )
        self.execute_on(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
        self.execute_on(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
        self.execute_on(source, "MIGRATE", LOOPBACK_HOST, to, key, 0, round(HANG_S * 1e3))
        for port in (to, source):
            self.execute_on(port, "CLUSTER", "SETSLOT", slot, "NODE", target_id)

    def _is_healthy(self, port: int) -> bool:
        info = cast(bytes, self.execute_on(port, "CLUSTER", "INFO"))
        text = info.decode() if isinstance(info, bytes) else str(info)
        facts = (
            "cluster_state:ok",
            f"cluster_slots_ok:{HASH_SLOTS}",
            f"cluster_known_nodes:{MASTER_COUNT + self._with_replica}",
        )
        return all(fact in text for fact in facts)

    def _slots(self) -> list[Any]:
        with Redis(host=LOOPBACK_HOST, port=self.ports[0]) as client:
            client.set_response_callback("CLUSTER SLOTS", lambda reply, **_: reply)
            return cast(list[Any], client.execute_command("CLUSTER SLOTS"))


@contextlib.contextmanager
def running_redis_cluster(
    folder: Path, *, with_replica: bool = False
) -> Iterator[LocalRedisCluster]:
    """A running cluster; its nodes end with the block."""
    cluster = LocalRedisCluster(folder, with_replica=with_replica)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def _free_ports(count: int) -> list[int]:
    """Free ports whose bus port is valid and free too."""
    ports: list[int] = []
    while len(ports) < count:
        with socket.socket() as probe, socket.socket() as bus:
            probe.bind((LOOPBACK_HOST, 0))
            port = probe.getsockname()[1]
            if port + _BUS_OFFSET > 65_535 or port in ports:
                continue
            with contextlib.suppress(OSError):
                bus.bind((LOOPBACK_HOST, port + _BUS_OFFSET))
                ports.append(port)
    return ports
