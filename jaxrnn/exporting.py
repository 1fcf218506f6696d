"""Names for the NamedTuples of params and carries in the files of jax.export, which writes no class without one.

The name is the class's place, such as `jaxrnn.cells.lstm.Params`: whoever moves a class makes older files unreadable.
"""

import sys

import jax

_named: set[str] = set()


def exportable(module: str) -> None:
    """Name every NamedTuple that `module`, or a module below it, defines; one named before is left as it is."""
    for place, loaded in list(sys.modules.items()):
        if place != module and not place.startswith(f"{module}."):
            continue
        for kind in vars(loaded).values():
            mine = isinstance(kind, type) and issubclass(kind, tuple) and kind.__module__ == place
            if not mine or not hasattr(kind, "_fields"):
                continue
            name = f"{place}.{kind.__qualname__}"
            if name not in _named:
                jax.export.register_namedtuple_serialization(kind, serialized_name=name)
                _named.add(name)
