"""Asks a stack's cluster before a preview does: without an answer the providers would show a plan made of guesses."""

from kubernetes import client
from kubernetes.client import ApiException
from kubernetes.config import ConfigException, new_client_from_config
from urllib3.exceptions import HTTPError

from settings import Settings

_SECONDS = 10


class ClusterError(Exception):
    """The cluster does not answer, or not to this kubeconfig."""


def check(settings: Settings) -> None:
    """Asks the cluster for its version.

    Raises:
        ClusterError: It does not answer, or not to this kubeconfig.
    """
    try:
        api = new_client_from_config(str(settings.kubeconfig), context=settings.context)  # type: ignore[no-untyped-call]
        client.VersionApi(api).get_code(_request_timeout=_SECONDS)
    except (ApiException, ConfigException, HTTPError) as error:
        raise ClusterError(
            f"the cluster at {settings.cluster.server} does not answer to kubeconfig '{settings.kubeconfig}': {error}"
        ) from None
