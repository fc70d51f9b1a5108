"""The kubernetes plugin answers as the official one (4.34.2) was seen to."""

from typing import Any

from tests.conformance.plugin import Plugin, Values

CONFIG_MAP = "kubernetes:core/v1:ConfigMap"


def thing(api_version: str, kind: str, metadata: Values, **rest: Any) -> Values:
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}


def test_check_keeps_inputs_that_are_whole(kubernetes: Plugin) -> None:
    news = thing("v1", "ConfigMap", {"name": "a", "namespace": "default"}, data={"a": "1"})
    assert kubernetes.resource(CONFIG_MAP, "a").check(news) == {"inputs": news}


def test_a_config_map_is_made_and_deleted(kubernetes: Plugin, namespace: str) -> None:
    config_map = kubernetes.resource(CONFIG_MAP, "a")
    made = config_map.create(thing("v1", "ConfigMap", {"name": "a", "namespace": namespace}, data={"a": "1"}))
    assert made["id"] == f"{namespace}/a"
    assert config_map.delete(made) == {}
