"""The checks: each module enters its own as it is imported, and here is the order of the table."""

from tests.gpu_check import table
from tests.gpu_check.checks import (
    after_a_boot,
    afterwards,
    corpus,
    features,
    gate,
    killed,
    machine,
    memory,
    programs,
    raw_answers,
    sandbox,
    settings,
    several,
    tools,
)

# What others build on comes first; what takes longest, and needs no GPU, nearly last.
ORDER = [
    one.__name__
    for one in (
        *(machine, raw_answers, sandbox, programs, memory, features, killed, gate, several),
        *(settings, after_a_boot, tools, corpus, afterwards),
    )
]
table.CHECKS.sort(key=lambda one: ORDER.index(one.test.__module__))
