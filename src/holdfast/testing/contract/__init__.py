"""The promises, one file for each section, and the one class that holds them all."""

from holdfast.testing.contract.abilities import Abilities
from holdfast.testing.contract.at_once import AtOnce
from holdfast.testing.contract.batches import Batches
from holdfast.testing.contract.checks import Checks
from holdfast.testing.contract.concurrency import Concurrency
from holdfast.testing.contract.drafts import Drafts
from holdfast.testing.contract.isolation import IsolationLevels
from holdfast.testing.contract.lifecycle import Lifecycle
from holdfast.testing.contract.limits import Limits
from holdfast.testing.contract.maintenance import Maintenance
from holdfast.testing.contract.needs import Needs
from holdfast.testing.contract.pages import Pages
from holdfast.testing.contract.processes import Processes
from holdfast.testing.contract.raising import Raising
from holdfast.testing.contract.reads import Reads
from holdfast.testing.contract.revisions import Revisions
from holdfast.testing.contract.scans import Scans
from holdfast.testing.contract.sifting import Sifting
from holdfast.testing.contract.sizes import Sizes
from holdfast.testing.contract.snapshots import Snapshots
from holdfast.testing.contract.threads import Threads
from holdfast.testing.contract.transactions import Transactions
from holdfast.testing.contract.waiting import Waiting
from holdfast.testing.contract.yielding import Yielding
from holdfast.testing.model import Model


class EngineContract(
    Reads,
    Scans,
    Pages,
    Batches,
    Checks,
    Revisions,
    Limits,
    Sizes,
    Transactions,
    Drafts,
    Needs,
    Raising,
    AtOnce,
    Sifting,
    Snapshots,
    Waiting,
    Lifecycle,
    Maintenance,
    Abilities,
    IsolationLevels,
    Concurrency,
    Yielding,
    Threads,
    Model,
    Processes,
):
    """Every promise of the engine contract. Subclass it, name the engine, run pytest.

    class TestMine(EngineContract):
        engine_type = MyEngine

        def make_config(self, folder):
            return MyConfig(path=folder / "database")
    """
