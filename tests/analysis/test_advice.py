"""Advice names the remedy where something is wrong, and says nothing where all is well."""

import numpy as np
import pytest

from jaxrnn.analysis import Diagnosis, Flow, Saturation, advise

FLAT = np.ones(50)
OPEN = {"i": Saturation(0.1, 0.1, 0.5), "f": Saturation(0.0, 0.4, 0.9)}


def diagnosis(name="lstm 0", gradient=FLAT, gates=OPEN, dead=0.0, norm=1.0):
    flow = Flow(gradient, gates, dead)
    return Diagnosis(1.0, {"0.w_h": norm}, {"0.w_h": 1.0}, {name: flow})


def falling(rate):
    return rate ** np.arange(49, -1, -1.0)


CASES = {
    "vanishing without gates": ({"name": "elman 0", "gates": {}, "gradient": falling(0.5)}, "vanishes", "--cell lstm"),
    "vanishing in an lstm": (
        {"gradient": falling(0.5)},
        "falls to 2e-15 of its size over 49 steps, 50 % a step",
        "chrono",
    ),
    "vanishing in a gru": (
        {"name": "gru 0", "gates": {"z": OPEN["i"]}, "gradient": falling(0.5)},
        "vanishes",
        "chrono(gru(...), longest=50)",
    ),
    "exploding": ({"name": "elman 0", "gates": {}, "gradient": falling(1.5)}, "explodes", "orthogonal"),
    "a shut forget gate": ({"gates": {"f": Saturation(0.7, 0.0, 0.1)}}, "70 % of gate f is shut", "forget_bias"),
    "a gate at its ends": (
        {"gates": {"o": Saturation(0.3, 0.3, 0.5)}},
        "60 % of gate o stands at its ends",
        "layernorm",
    ),
    "dead units": ({"dead": 0.5}, "50 % of its units never move", "--rate"),
    "a steep wall": ({"norm": 30.0}, "30 times the usual 1", "--clip 1"),
    "not finite": ({"norm": float("nan")}, "not finite", "--clip 1"),
}


@pytest.mark.parametrize("case", CASES)
def test_names_what_is_wrong_and_the_remedy(case):
    wrong, finding, remedy = CASES[case]
    (only,) = advise(diagnosis(**wrong), usual_norm=1.0)
    assert finding in only.finding
    assert remedy in only.remedy
    assert str(only).startswith(only.finding)


def test_says_nothing_where_all_is_well():
    assert advise(diagnosis(), usual_norm=1.0, radii={"0.w_h": [3.0, 3.0, 3.0, 3.0]}) == []
    assert advise(diagnosis(gradient=np.zeros(50))) == []  # no loss reaches this layer


def test_judges_by_reach_where_it_is_given():
    (only,) = advise(diagnosis(), reach={"lstm 0": falling(0.5)})
    assert "vanishes" in only.finding


def test_a_recurrent_matrix_far_from_radius_1_is_told_of_cells_without_gates():
    (only,) = advise(diagnosis(name="elman 0", gates={}), radii={"0.w_h": [2.5]})
    assert only.finding == "0.w_h: the spectral radius of the recurrent weights is 2.50."


def test_a_radius_above_1_is_no_matter_where_the_gradient_falls():
    """As in a logistic network, whose slope is 1/4 at most."""
    slowly = diagnosis(name="elman 0", gates={}, gradient=falling(0.95))
    assert advise(slowly, radii={"0.w_h": [4.0]}) == []
    as_told = diagnosis(name="elman 0", gates={})
    assert advise(as_told, reach={"elman 0": falling(0.95)}, radii={"0.w_h": [4.0]}) == []


def test_a_radius_is_told_where_the_gradient_does_not_fall_by_it():
    layers = {"elman 0": falling(0.95), "elman 1": FLAT}
    two = diagnosis()._replace(layers={name: Flow(gradient, {}, 0.0) for name, gradient in layers.items()})
    (only,) = advise(two, radii={"0.w_h": [4.0], "1.w_h": [4.0]})
    assert only.finding.startswith("1.w_h:")
    (only,) = advise(two, radii={"0.w_h": [0.3]})  # which is why it falls
    assert only.finding.startswith("0.w_h:")
    (only,) = advise(diagnosis(name="elman 0", gates={}, gradient=falling(0.996)), radii={"0.w_h": [4.0]})
    assert only.finding.startswith("0.w_h:")
