"""Which checks there are, and which builds on which."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from tenacity import AsyncRetrying, stop_after_delay, wait_fixed

from components.endpoints import DOMAIN, PORT
from settings import NodeSettings
from settings.storage import HostPathSettings, S3Settings
from verify import cluster
from verify.checks import network, nodes, objects, registry, restart, storage, tls
from verify.checks.network import Way
from verify.cluster import Cluster
from verify.proof import CHECK_SECONDS, Check, NotTried, Place, Proved, Section, Verification
from verify.stack import Stack
from verify.vantage import Here, OnNode

# Until every kube-proxy, and the router, know the new pods.
_SETTLED_SECONDS = 20
_IMAGES = Place(Section.IMAGES, registry.REPOSITORY)


async def verify(stack: Stack, forced: Mapping[str, str], *, with_restart: bool) -> list[Check[Any]]:
    """Proves everything about the registry of a stack.

    Args:
        stack: The stack.
        forced: Addresses of host names for this machine, which stand above what its name servers say.
        with_restart: Whether to delete the registry's pods, and see that an image is still there.

    Returns:
        The checks, all ended, in the order of the report.
    """
    # Every node may have a question of its own for the API server, and each holds a thread.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(len(stack.settings.nodes) + 8))
    async with asyncio.TaskGroup() as tasks:
        plan = _Plan(stack, Here(forced), Verification(tasks))
        plan.start(with_restart=with_restart)
    plan.log_out()
    return plan.verification.in_order


class _Plan:
    """The checks of a run, and what several of them share."""

    def __init__(self, stack: Stack, here: Here, verification: Verification) -> None:
        self.verification = verification
        self._stack = stack
        self._settings = stack.settings
        self._endpoints = stack.endpoints
        self._here = here
        self._image = registry.make_image()
        self._logins: dict[str, Check[OnNode]] = {}
        # In the order in which they are preferred.
        self._answers: list[Check[Way]] = []

    def start(self, *, with_restart: bool) -> None:
        """Starts all checks; each waits for those that it needs."""
        for node in self._settings.nodes:
            self._start_login(node)
        server = self.verification.start(
            Place(Section.CLUSTER, self._settings.cluster.server),
            "API server",
            lambda: asyncio.to_thread(cluster.read, self._settings, self._endpoints),
        )
        route, service, volume = self._start_cluster(server)
        self._start_endpoints(server, route, service)
        push = self._start_push(volume)
        for answers in self._answers:
            self._start_pull(answers, push)
        for node in self._settings.nodes:
            self._start_node(node, server, push)
        if with_restart:
            self._start_restart(server, push)
        self._start_delete(push)

    def log_out(self) -> None:
        """Closes the connections to the nodes."""
        for login in self._logins.values():
            if login.passed:
                login.value.login.close()

    def _start_login(self, node: NodeSettings) -> None:
        self._logins[node.name] = self.verification.start(
            Place(Section.NODES, node.name), "SSH", lambda: nodes.log_in(node, self._settings.ssh)
        )

    def _start_cluster(self, server: Check[Cluster]) -> tuple[Check[Any], Check[Any], Check[Any]]:
        """Starts the checks of objects; returns those of the Route, the Service and the volume."""
        start, settings, endpoints = self.verification.start, self._settings, self._endpoints
        place = Place(Section.CLUSTER, f"{endpoints.namespace}/{endpoints.service}")

        start(place, "Deployment", lambda: objects.deployment(server.value, settings), server)
        pods = start(place, "pods", lambda: objects.pods(server.value, settings), server)
        start(place, "log", lambda: asyncio.to_thread(objects.log, server.value), server)
        service = start(place, "Service", lambda: objects.service(server.value, endpoints), pods)
        start(place, "affinity", lambda: objects.affinity(server.value, settings), server)
        volume = start(place, "volume", lambda: objects.volume(server.value, settings), server)
        match settings.storage:
            case HostPathSettings() as folder:
                login = self._logins[folder.node]
                start(place, "space", lambda: storage.on_node(folder, login.value), volume, login)
            case S3Settings():
                pass
            case _:
                start(place, "space", lambda: asyncio.to_thread(storage.of_pod, server.value), volume, pods)
        route = start(place, "Route", lambda: objects.route(server.value, endpoints), server)
        return route, service, volume

    def _start_endpoints(self, server: Check[Cluster], route: Check[Any], service: Check[Any]) -> None:
        """Starts the checks of each name: the Route's from outside, the others where the cluster's network is."""
        start, endpoints = self.verification.start, self._endpoints
        by_ip, by_name, by_route = [Place(Section.ENDPOINTS, address) for address in endpoints.addresses]

        async def connect_to_cluster_ip() -> Proved[Way]:
            node = await self._any_node()
            if node is None:
                raise NotTried("no node answers over SSH, and nobody else reaches the cluster IP")
            return await network.connect(Way(endpoints.cluster_ip, PORT, endpoints.cluster_ip, node))

        async def resolve_route() -> Proved[Way]:
            return await network.resolve_route(endpoints.route_host, self._here, self._any_node)

        async def resolve_service() -> Proved[None]:
            name_server = await asyncio.to_thread(cluster.name_server, server.value.api)
            return await network.resolve_service(f"{endpoints.service_host}.{DOMAIN}", inside.value, name_server)

        name = start(by_route, "name", resolve_route, route)
        outside = start(by_route, "connection", lambda: network.connect(name.value), name)
        inside = start(by_ip, "connection", connect_to_cluster_ip, service)
        start(by_name, "name", resolve_service, inside)
        # Routers take connections whether or not there are pods.
        self._start_endpoint(by_route, outside, service)
        self._start_endpoint(by_ip, inside)
        self._start_endpoint(by_name, inside, host=endpoints.service_host)

    def _start_endpoint(
        self, place: Place, connection: Check[Way], *needs: Check[Any], host: str | None = None
    ) -> None:
        """Starts the checks of an endpoint that connections reach, by its own name or another one."""
        start, stack = self.verification.start, self._stack
        early = timedelta(hours=self._settings.certificate.early_renewal_hours)

        def way() -> Way:
            return connection.value.named(host) if host else connection.value

        certificate = start(
            place,
            "certificate",
            lambda: tls.certificate(way(), stack.ca_pem, stack.certificate_ends, early),
            connection,
            *needs,
        )
        self._answers.append(start(place, "/v2/", lambda: registry.answers(way(), stack.ca_pem), certificate))

    def _start_push(self, volume: Check[Any]) -> Check[Way]:
        """Starts the checks of login and push; returns the latter, whose value is the way the image went."""
        start, ca_pem = self.verification.start, self._stack.ca_pem

        async def log_in() -> Proved[Way]:
            if not self._ways:
                raise NotTried("no endpoint answers")
            return await registry.login(self._ways[0], ca_pem)

        login = start(_IMAGES, "login", log_in, after=self._answers)
        return start(_IMAGES, "push", lambda: registry.push(login.value, ca_pem, self._image), login, volume)

    def _start_pull(self, answers: Check[Way], push: Check[Any]) -> None:
        self.verification.start(
            answers.place,
            "pull",
            lambda: registry.pull(answers.value, self._stack.ca_pem, self._image),
            push,
            answers,
        )

    def _start_node(self, node: NodeSettings, server: Check[Cluster], push: Check[Any]) -> None:
        start, stack, place, name = self.verification.start, self._stack, Place(Section.NODES, node.name), node.name
        login = self._logins[name]

        async def trust() -> Proved[Sequence[Way]]:
            # Names of Services mean nothing to nodes.
            ways = [way for way in self._ways if way.host != self._endpoints.service_host]
            if not ways:
                raise NotTried("no endpoint that nodes pull from answers")
            return await nodes.trust(login.value, ways, files.value)

        def pull() -> Proved[None]:
            names = [f"{way.registry}/{registry.REPOSITORY}@{self._image.digest}" for way in trusted.value]
            return nodes.pull(server.value, self._endpoints.namespace, name, names)

        files = start(
            place, "CA files", lambda: nodes.ca_files(login.value, stack.trusted_by.get(name), stack.ca_pem), login
        )
        trusted = start(place, "trust", trust, files, after=self._answers)
        start(place, "pull", lambda: asyncio.to_thread(pull), push, trusted, seconds=2 * nodes.PULL_SECONDS)

    def _start_restart(self, server: Check[Cluster], push: Check[Way]) -> None:
        async def restart_and_pull() -> Proved[None]:
            pods = await asyncio.to_thread(restart.restart, server.value.api, server.value.pods)
            async for attempt in AsyncRetrying(
                stop=stop_after_delay(_SETTLED_SECONDS), wait=wait_fixed(1), reraise=True
            ):
                with attempt:
                    await registry.pull(push.value, self._stack.ca_pem, self._image)
            return Proved(f"the image is still there, served by {', '.join(pods)}", None)

        self.verification.start(
            _IMAGES,
            "restart",
            restart_and_pull,
            push,
            # The others need the pods as they are.
            after=self.verification.started,
            seconds=restart.RESTART_SECONDS + CHECK_SECONDS,
        )

    def _start_delete(self, push: Check[Way]) -> None:
        self.verification.start(
            _IMAGES,
            "delete",
            lambda: registry.delete(push.value, self._stack.ca_pem, self._image),
            push,
            after=self.verification.started,
        )

    async def _any_node(self) -> OnNode | None:
        """The first node that answers over SSH."""
        for login in self._logins.values():
            await login.end()
            if login.passed:
                return login.value
        return None

    @property
    def _ways(self) -> list[Way]:
        """The endpoints that have answered, in the order in which they are preferred."""
        return [answers.value for answers in self._answers if answers.passed]
