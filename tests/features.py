"""What jaxrnn and its peers offer: the data of README's feature tables. `python tests/features.py` writes them anew.

A "yes" of jaxrnn names the test behind it. The peers' answers were read in their source or found by running them, at
the versions given; letters stand for them in the order of FRAMEWORKS: y yes, n no, p in part, h by the user's own hand,
- does not apply. Of the kernels and memory libraries, those that have a thing are named.
"""

import ast
import functools
from pathlib import Path
from typing import NamedTuple

from jaxrnn import CELLS

TESTS = Path(__file__).parent
README = TESTS.parent / "README.md"
BEGIN, END = "<!-- features: made by tests/features.py -->\n", "<!-- end of features -->\n"
WORDS = {"y": "yes", "n": "no", "p": "part", "h": "by hand", "-": ""}
FRAMEWORKS = ("Flax linen", "Flax NNX", "Equinox", "Haiku", "Keras", "PyTorch")
VERSIONS = (
    "flax 0.12.8, equinox 0.13.8, dm-haiku 0.0.17, keras 3.15.1 (JAX backend), torch 2.13.0; jax.experimental.rnn of "
    "jax 0.10.2, FlashRNN 1.0.8, haste 0.5.0rc0 and its later source, ParaRNN (by its documentation, and as "
    "pararnn-torch 0.17.4), the source of DEER and ELK, memax 0.1.1, memorax 1.0.1, rnn-jax 0.0.2, TorchRL 0.14.1, "
    "purejaxrl of September 2024"
)


class Row(NamedTuple):
    feature: str
    jaxrnn: str  # yes, part or no
    peers: str  # letters in the order of FRAMEWORKS, or names
    test: str | None = None  # behind a yes: file::function, or file::function[cell]
    reason: str = ""  # of what is not a yes


ORACLE = "test_laws.py::test_equals_the_oracle"
NO_KERNEL = "every loop is XLA's own, which runs on all of JAX's devices and has every derivative"

LAYERS = [
    Row("a layer over a sequence", "yes", "yynyyy", ORACLE),
    Row("Elman network", "yes", "yynpyy", f"{ORACLE}[elman]"),
    Row("LSTM", "yes", "yyyyyy", f"{ORACLE}[lstm]"),
    Row("peepholes, diagonal", "yes", "nnnnnn", f"{ORACLE}[lstm_diagonal]"),
    Row("peepholes, full matrices", "yes", "nnnnnn", f"{ORACLE}[lstm_full]"),
    Row("GRU, reset after the product", "yes", "ypynyy", f"{ORACLE}[gru]"),
    Row("GRU, reset before it", "yes", "nnnyyn", f"{ORACLE}[gru_before]"),
    Row("MGU", "yes", "ynnnnn", f"{ORACLE}[mgu_after]"),
    Row("ConvLSTM", "no", "ynnyyn", reason="cells here read vectors; pictures would need layers of their own around"),
    Row("layer norm in the cell", "yes", "nnnnnn", f"{ORACLE}[lstm_layernorm]"),
    Row(
        "recurrent dropout",
        "yes",
        "nnnnyn",
        "test_wrappers.py::test_variational_dropout_drops_the_same_states_at_every_step",
    ),
    Row("dropout between layers", "yes", "nnnhhy", "test_layers.py::test_stack_gives_each_layer_noise_of_its_own"),
    Row(
        "zoneout, of h and of c",
        "yes",
        "nnnnnn",
        "test_wrappers.py::test_zoneout_keeps_some_states_as_they_were_and_steps_the_others",
    ),
    Row(
        "DropConnect",
        "yes",
        "nnnnnn",
        "test_wrappers.py::test_weight_drop_zeroes_and_scales_recurrent_weights_alone",
    ),
    Row("projection, LSTM and GRU", "yes", "nnnnnp", f"{ORACLE}[gru_projected]"),
    Row(
        "both directions",
        "yes",
        "yynnyy",
        "test_layers.py::test_a_batch_equals_each_sequence_alone_cut_and_split",
    ),
    Row("stacking", "yes", "nnnyyy", "test_layers.py::test_mask_and_reset_reach_every_part"),
    Row("residual connections", "yes", "ppnynn", "test_layers.py::test_mask_and_reset_reach_every_part"),
    Row("lengths", "yes", "ppnnyy", "test_laws.py::test_a_padded_sequence_equals_the_shorter_one"),
    Row("masks, true or false anywhere", "yes", "nnnnyn", ORACLE),
    Row("resets, as between episodes", "yes", "nnnynn", "test_laws.py::test_a_reset_starts_afresh"),
    Row("initial state given", "yes", "yyyyyy", "test_laws.py::test_a_sequence_may_be_cut_where_masks_and_resets_are"),
    Row(
        "initial state learned",
        "yes",
        "nnnnnn",
        "test_wrappers.py::test_a_learned_carry_is_where_a_batch_and_every_reset_start",
    ),
    Row(
        "time first or batch first",
        "yes",
        "yyhypy",
        "test_layers.py::test_batch_major_swaps_everything_but_the_carry",
    ),
    Row(
        "truncated backpropagation",
        "yes",
        "nnnnpn",
        "test_truncated.py::test_the_gradient_is_the_sum_of_those_of_the_windows",
    ),
    Row(
        "vanishing gradients regularised",
        "yes",
        "nnnnnn",
        "analysis/test_preserving.py::test_an_elman_network_has_equations_9_and_10",
    ),
    Row(
        "recomputation to save memory",
        "yes",
        "hhhhnn",
        "test_peers_defects.py::test_checkpointing_keeps_what_it_says",
    ),
    Row("bfloat16 products", "yes", "pppppy", "test_precision.py::test_values_and_gradients_stand_within_the_rounding"),
    Row("bfloat16 params as they begin", "yes", "npyyyy", "test_peers_defects.py::test_bfloat16_params_begin"),
    Row(
        "one product with x for all steps",
        "yes",
        "nnnnpy",
        "test_peers_defects.py::test_the_products_with_x_are_one_for_all_steps",
    ),
    Row("fused GPU kernel", "no", "nnnnpy", reason=NO_KERNEL),
    Row(
        "parallel in time, linear cells",
        "yes",
        "nnnnnn",
        "test_laws.py::test_equals_the_oracle[mingru]",
    ),
    Row(
        "weights from and to the others",
        "yes",
        "nnnnpp",
        "interop/test_torch.py::test_values_and_gradients_are_those_of_torch",
    ),
    Row(
        "initialisers of one's choice",
        "yes",
        "yynpyn",
        "test_wrappers.py::test_a_param_begins_as_it_is_told_gate_by_gate",
    ),
    Row("forget bias", "yes", "nnnpyn", "test_layers.py::test_the_forget_bias_begins_in_f_alone"),
    Row(
        "chrono initialisation", "yes", "nnnnnn", "test_wrappers.py::test_chrono_opens_the_gates_for_1_to_longest_steps"
    ),
    Row("step by step", "yes", "yyyypy", "test_laws.py::test_a_sequence_equals_its_single_steps"),
    Row(
        "jax.export",
        "yes",
        "yyyyy-",
        "test_transforms.py::test_a_transformation_does_what_the_table_in_README_says",
    ),
    Row(
        "second derivatives",
        "yes",
        "yyyypn",
        "test_transforms.py::test_a_transformation_does_what_the_table_in_README_says",
    ),
    Row("vmap", "yes", "yyyypn", "test_transforms.py::test_a_transformation_does_what_the_table_in_README_says"),
    Row(
        "sharding annotations",
        "no",
        "ppnnp-",
        reason="params are plain arrays: place them with `jax.device_put`, or call under `shard_map`, which is tested",
    ),
    Row(
        "cost, gradient flow, states and gates seen from outside",
        "yes",
        "nnnnnn",
        "analysis/test_observing.py::test_sees_what_apply_gives_and_the_gradient_of_what_follows",
    ),
    Row(
        "fixed points and their spectra",
        "yes",
        "nnnnnn",
        "analysis/test_fixed_points.py::test_three_bits_are_kept_in_eight_stable_states",
    ),
    Row(
        "attributions that add up", "yes", "nnnnnn", "analysis/test_saliency.py::test_integrated_gradients_are_complete"
    ),
]

OTHERS = [
    Row("a cell of one's own", "yes", "DEER, ELK", "test_cells.py::test_a_cell_of_your_own_is_its_four_functions"),
    Row("IndRNN", "yes", "haste, memax", f"{ORACLE}[indrnn]"),
    Row("sLSTM", "yes", "FlashRNN, pararnn-torch, memorax", f"{ORACLE}[slstm]"),
    Row("minGRU", "yes", "memorax", f"{ORACLE}[mingru]"),
    Row("LRU", "yes", "memorax, rnn-jax", f"{ORACLE}[lru]"),
    Row(
        "mLSTM, S5, Mamba, RWKV-7, RTU, CfC and other recent memories",
        "no",
        "memax, memorax, rnn-jax, pararnn-torch, some each",
        reason="`lru`, `rglru`, `mingru` and `minlstm` stand for the linear family; a `Cell` with `Linear` adds one",
    ),
    Row(
        "antisymmetric, unitary, clockwork RNN, coRNN",
        "no",
        "rnn-jax",
        reason="nobody asked yet; each is a `Cell` of four functions",
    ),
    Row("diagonal peepholes", "yes", "ParaRNN (f and o)", f"{ORACLE}[lstm_diagonal]"),
    Row("layer norm in the cell", "yes", "haste", f"{ORACLE}[gru_layernorm]"),
    Row(
        "zoneout",
        "yes",
        "haste (h alone)",
        "test_wrappers.py::test_zoneout_keeps_some_states_as_they_were_and_steps_the_others",
    ),
    Row("DropConnect", "yes", "haste", "test_wrappers.py::test_weight_drop_zeroes_and_scales_recurrent_weights_alone"),
    Row(
        "block-diagonal heads",
        "no",
        "FlashRNN, ParaRNN, memax, memorax",
        reason="what they are for is a fused kernel, which is not here",
    ),
    Row(
        "both directions",
        "yes",
        "haste (TensorFlow), rnn-jax, TorchRL (padded)",
        "test_layers.py::test_mask_and_reset_reach_every_part",
    ),
    Row(
        "stacking",
        "yes",
        "ParaRNN, memax, memorax, rnn-jax, TorchRL",
        "test_layers.py::test_mask_and_reset_reach_every_part",
    ),
    Row(
        "lengths",
        "yes",
        "haste (final state), ParaRNN, TorchRL, jax.experimental.rnn (not 0)",
        "test_laws.py::test_length_0_gives_the_carry_back",
    ),
    Row("resets", "yes", "memax, memorax, TorchRL, purejaxrl", "test_laws.py::test_a_reset_starts_afresh"),
    Row(
        "resets in the associative scan",
        "yes",
        "memax, memorax",
        "test_laws.py::test_a_reset_starts_afresh[minlstm]",
    ),
    Row(
        "bfloat16",
        "yes",
        "FlashRNN, ParaRNN, memorax, TorchRL",
        "test_precision.py::test_values_and_gradients_stand_within_the_rounding",
    ),
    Row("recomputation", "yes", "ParaRNN, TorchRL", "test_peers_defects.py::test_checkpointing_keeps_what_it_says"),
    Row(
        "gradient clipped on its way through time",
        "yes",
        "FlashRNN",
        "test_wrappers.py::test_clipping_bounds_what_flows_back_and_changes_no_value",
    ),
    Row(
        "second derivatives",
        "yes",
        "memax, memorax, rnn-jax, purejaxrl",
        "test_transforms.py::test_a_transformation_does_what_the_table_in_README_says",
    ),
    Row(
        "weights in PyTorch's layout",
        "yes",
        "FlashRNN, haste, TorchRL",
        "interop/test_torch.py::test_values_and_gradients_are_those_of_torch",
    ),
    Row(
        "fused GPU kernels, resets within",
        "no",
        "FlashRNN, haste, ParaRNN, jax.experimental.rnn; with resets TorchRL",
        reason=NO_KERNEL,
    ),
    Row(
        "nonlinear cells in parallel over time (Newton, DEER, ELK), with a report of convergence",
        "no",
        "ParaRNN, DEER, ELK",
        reason="iterations may fail to converge where `scan` is exact; use a linear cell with `associative`",
    ),
    Row(
        "online gradients (RTRL)",
        "no",
        "memorax",
        reason="n^3 numbers of memory for a full matrix; `truncate` bounds memory instead",
    ),
]


@functools.cache
def functions(file: str) -> frozenset[str]:
    """The tests that a file of this folder defines."""
    path = TESTS / file
    if not path.is_file():
        return frozenset()
    return frozenset(node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef))


def missing(test: str) -> str | None:
    """What `file::function` or `file::function[cell]` names and is not there; None if all of it is."""
    file, _, name = test.partition("::")
    name, _, cell = name.partition("[")
    if name not in functions(file):
        return f"{file} has no test {name}"
    if cell and cell.removesuffix("]") not in CELLS:
        return f"CELLS has no {cell.removesuffix(']')}"
    return None


def answer(row: Row) -> str:
    """jaxrnn's answer, which leads to the test behind it."""
    if row.test is None:
        return row.jaxrnn
    file, _, name = row.test.partition("::")
    return f'[{row.jaxrnn}](tests/{file} "{name}")'


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, ("---",) * len(head), *rows))


def markdown() -> str:
    """Both tables, and why jaxrnn says no or part."""
    layers = [(row.feature, answer(row), *(WORDS[letter] for letter in row.peers)) for row in LAYERS]
    others = [(row.feature, answer(row), row.peers) for row in OTHERS]
    reasons = {row.reason: [] for row in (*LAYERS, *OTHERS) if row.reason}
    for row in (*LAYERS, *OTHERS):
        if row.reason:
            reasons[row.reason].append(row.feature)
    return "\n".join(
        [
            table(("", "jaxrnn", *FRAMEWORKS), layers),
            table(("", "jaxrnn", "kernels and memory libraries that have it"), others),
            "What is not a yes, and why:\n",
            "".join(f"* {'; '.join(features)}: {reason}.\n" for reason, features in reasons.items()),
            f"Versions: {VERSIONS}.\n",
        ]
    )


def written(readme: str) -> str:
    """README's text with the tables between the two marks made anew."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{markdown()}\n{END}{after}"


if __name__ == "__main__":
    README.write_text(written(README.read_text()))
