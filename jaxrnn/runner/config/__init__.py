"""Everything a run can be told: a dataclass a task, a file each. The field docs are the command's help.

No jax here: `jaxrnn train text --help` should not wait for it.
"""

from jaxrnn.runner.config.article import Article
from jaxrnn.runner.config.base import Config, How, Seed, Trained
from jaxrnn.runner.config.cerg import Cerg
from jaxrnn.runner.config.flipflop import Flipflop
from jaxrnn.runner.config.hs97 import Hs97
from jaxrnn.runner.config.polymusic import Polymusic
from jaxrnn.runner.config.seqmnist import Seqmnist
from jaxrnn.runner.config.sequences import Sequences
from jaxrnn.runner.config.series import Series
from jaxrnn.runner.config.speech import Speech
from jaxrnn.runner.config.tagging import Tagging
from jaxrnn.runner.config.text import Sample, Text
from jaxrnn.runner.config.translate import Translate

__all__ = [
    "Article",
    "Cerg",
    "Config",
    "Flipflop",
    "How",
    "Hs97",
    "Polymusic",
    "Sample",
    "Seed",
    "Seqmnist",
    "Sequences",
    "Series",
    "Speech",
    "Tagging",
    "Text",
    "Trained",
    "Translate",
]
