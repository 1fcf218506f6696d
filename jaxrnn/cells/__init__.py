"""The cells, a file each. CELLS has a row for every published form, called as CELLS[name](n_in, n)."""

import inspect
import sys
from collections.abc import Callable
from functools import partial

from jaxrnn.cells.elman import elman
from jaxrnn.cells.gru import gru
from jaxrnn.cells.gru_layernorm import gru_layernorm
from jaxrnn.cells.gru_projected import gru_projected
from jaxrnn.cells.indrnn import indrnn
from jaxrnn.cells.irnn import irnn
from jaxrnn.cells.lru import lru
from jaxrnn.cells.lstm import lstm
from jaxrnn.cells.lstm97 import lstm97
from jaxrnn.cells.lstm2000 import lstm2000
from jaxrnn.cells.lstm_layernorm import lstm_layernorm
from jaxrnn.cells.lstm_projected import lstm_projected
from jaxrnn.cells.lstm_variants import lstm_variant
from jaxrnn.cells.mgu import mgu
from jaxrnn.cells.mingru import mingru
from jaxrnn.cells.minlstm import minlstm
from jaxrnn.cells.rglru import rglru
from jaxrnn.cells.slstm import slstm
from jaxrnn.exporting import exportable
from jaxrnn.types import Cell


def explained(cell: Callable[..., Cell]) -> None:
    """Add the module's text, which has the equations, to what the function says of itself."""
    own, equations = inspect.cleandoc(cell.__doc__ or ""), sys.modules[cell.__module__].__doc__ or ""
    cell.__doc__ = own if equations in own else f"{own}\n\n{equations}"


CELLS: dict[str, Callable[..., Cell]] = {
    "elman": elman,
    "elman_sigmoid": partial(elman, activation="sigmoid"),
    "lstm": lstm,
    "lstm_diagonal": partial(lstm, peepholes="diagonal"),
    "lstm_full": partial(lstm, peepholes="full"),
    "gru": gru,
    "gru_before": partial(gru, form="before"),
    "gru_article": partial(gru, form="article"),
    "mingru": mingru,
    "minlstm": minlstm,
    "lru": lru,
    "rglru": rglru,
    "irnn": irnn,
    "mgu": mgu,
    "mgu_after": partial(mgu, form="after"),
    "indrnn": indrnn,
    "lstm_projected": lstm_projected,
    "gru_projected": gru_projected,
    "lstm_layernorm": lstm_layernorm,
    "gru_layernorm": gru_layernorm,
    "lstm_nig": partial(lstm_variant, variant="NIG"),
    "lstm_nfg": partial(lstm_variant, variant="NFG"),
    "lstm_nog": partial(lstm_variant, variant="NOG"),
    "lstm_niaf": partial(lstm_variant, variant="NIAF"),
    "lstm_noaf": partial(lstm_variant, variant="NOAF"),
    "lstm_cifg": partial(lstm_variant, variant="CIFG"),
    "lstm_np": partial(lstm_variant, variant="NP"),
    "lstm_fgr": partial(lstm_variant, variant="FGR"),
    "slstm": slstm,
    "slstm_sigmoid": partial(slstm, forget="sigmoid"),
    "lstm97": lstm97,
    "lstm2000": lstm2000,
}

for cell in CELLS.values():  # help(lstm) shows the equations too
    explained(getattr(cell, "func", cell))

__all__ = [
    "CELLS",
    "elman",
    "gru",
    "gru_layernorm",
    "gru_projected",
    "indrnn",
    "irnn",
    "lru",
    "lstm",
    "lstm97",
    "lstm2000",
    "lstm_layernorm",
    "lstm_projected",
    "lstm_variant",
    "mgu",
    "mingru",
    "minlstm",
    "rglru",
    "slstm",
]

exportable(__name__)
