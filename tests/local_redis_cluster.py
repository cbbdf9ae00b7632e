"""A real Redis Cluster of three nodes on loopback, for tests of any room. No replicas."""

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

NODE_COUNT, HASH_SLOTS = 3, 16_384
_BUS = 10_000  # a node speaks with the others on its port + this
_READY_S = 15.0


class LocalRedisCluster:
    """Three masters that share the slots evenly."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ports: list[int] = []
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        """Address of the first node."""
        return f"redis://{LOOPBACK_HOST}:{self.ports[0]}"

    def start(self) -> None:
        """Start the nodes, share the slots, return when each of them knows of all."""
        self.ports = _free_ports(NODE_COUNT)
        for port in self.ports:
            self.start_node(port)
        share = -(-HASH_SLOTS // NODE_COUNT)
        for at, port in enumerate(self.ports):
            slots = range(at * share, min((at + 1) * share, HASH_SLOTS))
            self.execute_on(port, "CLUSTER", "ADDSLOTS", *slots)
            self.execute_on(port, "CLUSTER", "SET-CONFIG-EPOCH", at + 1)
        for port in self.ports[1:]:
            self.execute_on(self.ports[0], "CLUSTER", "MEET", LOOPBACK_HOST, port)
        self.wait_until_healthy()

    def start_node(self, port: int) -> None:
        """Start one node, or start it again with what it knew of the others."""
        options = {
            "bind": LOOPBACK_HOST,
            "port": port,
            "dir": self._folder,
            "save": "",
            "maxmemory": "32mb",
            "cluster-enabled": "yes",
            "cluster-config-file": f"nodes-{port}.conf",
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
        """Kill all."""
        for port in list(self._processes):
            self.stop_node(port)

    def wait_until_healthy(self) -> None:
        """Every node knows of all nodes and of the owner of every slot."""
        ends = time.monotonic() + _READY_S
        while not all(self._is_whole(port) for port in self.ports):
            if time.monotonic() > ends:
                raise AssertionError("the cluster does not come together")
            time.sleep(0.05)

    def execute_on(self, port: int, *command: Any) -> Any:
        """One command to one node."""
        with Redis(host=LOOPBACK_HOST, port=port, socket_timeout=5.0) as client:
            ends = time.monotonic() + _READY_S
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
        raise AssertionError(f"nobody holds slot {slot}")

    def migrate_slot(self, key: str, to: int) -> None:
        """Hand the key's slot, with this one key in it, over to another node."""
        source, slot = self.slot_owner_port(key), self.execute_on(to, "CLUSTER", "KEYSLOT", key)
        giver, taker = (self.execute_on(port, "CLUSTER", "MYID").decode() for port in (source, to))
        self.execute_on(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", giver)
        self.execute_on(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", taker)
        self.execute_on(source, "MIGRATE", LOOPBACK_HOST, to, key, 0, 5000)
        for port in (to, source):
            self.execute_on(port, "CLUSTER", "SETSLOT", slot, "NODE", taker)

    def _is_whole(self, port: int) -> bool:
        info = cast(bytes, self.execute_on(port, "CLUSTER", "INFO"))
        text = info.decode() if isinstance(info, bytes) else str(info)
        facts = (
            "cluster_state:ok",
            f"cluster_slots_ok:{HASH_SLOTS}",
            f"cluster_known_nodes:{NODE_COUNT}",
        )
        return all(fact in text for fact in facts)

    def _slots(self) -> list[Any]:
        with Redis(host=LOOPBACK_HOST, port=self.ports[0]) as client:
            client.set_response_callback("CLUSTER SLOTS", lambda reply, **_: reply)
            return cast(list[Any], client.execute_command("CLUSTER SLOTS"))


@contextlib.contextmanager
def running_redis_cluster(folder: Path) -> Iterator[LocalRedisCluster]:
    """A running cluster; its nodes end with the block."""
    cluster = LocalRedisCluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def _free_ports(count: int) -> list[int]:
    """Ports whose bus port is free too, and is one."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as taken, socket.socket() as bus:
            taken.bind((LOOPBACK_HOST, 0))
            port = taken.getsockname()[1]
            if port + _BUS > 65_535 or port in found:
                continue
            with contextlib.suppress(OSError):
                bus.bind((LOOPBACK_HOST, port + _BUS))
                found.append(port)
    return found
