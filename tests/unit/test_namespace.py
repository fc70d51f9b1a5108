"""Whom OpenShift lets the pods of a namespace run as."""

import pytest

from components.namespace import Identity, identity

USERS = "openshift.io/sa.scc.uid-range"
GROUPS = "openshift.io/sa.scc.supplemental-groups"


@pytest.mark.parametrize(
    ("annotations", "user", "fs_group"),
    [
        ({}, 1001, 1001),
        ({USERS: ""}, 1001, 1001),
        ({USERS: "1000650000/10000"}, 1000650000, 1000650000),
        ({USERS: "1000650000-1000659999"}, 1000650000, 1000650000),
        ({USERS: "1000650000/10000", GROUPS: "1000660000/10000"}, 1000650000, 1000660000),
        ({USERS: "1001/1", GROUPS: "2000-2001,3000/10"}, 1001, 2000),
        ({GROUPS: "1000660000/10000"}, 1001, 1000660000),
    ],
    ids=str,
)
def test_pods_run_as_the_first_of_each_range(annotations: dict[str, str], user: int, fs_group: int) -> None:
    assert identity(annotations) == Identity(user=user, fs_group=fs_group)


@pytest.mark.parametrize("ranges", ["many", "1000650000", "/10000", "0/10000", "1000650000/", "-1/5", "1000 /5"])
@pytest.mark.parametrize("annotation", [USERS, GROUPS])
def test_a_range_that_cannot_be_read_is_named(annotation: str, ranges: str) -> None:
    with pytest.raises(ValueError, match=f"annotation {annotation} is '{ranges}': it must be a range such as"):
        identity({annotation: ranges})
