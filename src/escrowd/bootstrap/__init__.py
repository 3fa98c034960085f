"""The only place where the parts are put together."""

from escrowd.bootstrap.logs import configure_logging
from escrowd.bootstrap.wallet_house import (
    DaemonTip,
    RunningHouse,
    WalletHouse,
    open_wallet_house,
    raise_open_files_limit,
)

__all__ = [
    "DaemonTip",
    "RunningHouse",
    "WalletHouse",
    "configure_logging",
    "open_wallet_house",
    "raise_open_files_limit",
]
