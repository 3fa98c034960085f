"""How much of the chain is seen, as a test has it. As :class:`escrowd.service.chain_gate.ChainSight`."""

from dataclasses import dataclass


@dataclass
class ScriptedSight:
    """In sync until the test changes it."""

    is_in_sync: bool = True
    why_not_in_sync: str = ""
