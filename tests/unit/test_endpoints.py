from components.endpoints import Endpoints


def endpoints(cluster_ip: str) -> Endpoints:
    return Endpoints(
        cluster_ip=cluster_ip, service="docker-registry", namespace="images", route_host="registry.apps.example.com"
    )


def test_every_address_that_a_client_may_use_has_a_trust_folder_and_a_certificate_name() -> None:
    names = endpoints("172.30.209.118")
    assert names.addresses == [
        "172.30.209.118:5000",
        "docker-registry.images.svc:5000",
        "registry.apps.example.com",
    ]
    assert set(names.addresses) < set(names.trust_folders)
    for address in names.trust_folders:
        assert address.removesuffix(":5000").removesuffix(":443") in [*names.dns_names, *names.ip_addresses]


def test_the_route_host_is_trusted_with_and_without_a_port() -> None:
    names = {f"registry.apps.example.com{port}" for port in ("", ":443", ":5000")}
    assert names < set(endpoints("10.0.0.1").trust_folders)


def test_an_ipv6_address_stands_in_brackets_where_a_port_follows() -> None:
    names = endpoints("fd00::1")
    assert names.addresses[0] == "[fd00::1]:5000"
    assert names.ip_addresses == ["fd00::1"]
