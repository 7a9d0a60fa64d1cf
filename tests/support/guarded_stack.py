"""The running product as it is deployed: each service with its own account and its own rights."""

import getpass
import subprocess
from pathlib import Path

from support.broker import Broker, _Process
from support.shared import ROOT
from support.stack import Stack


class GuardedBroker(Broker):
    """Mosquitto with the accounts and the access rules of deploy/mosquitto.

    The account of `Broker`, which tests look through, is added to them and may do everything.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._engine = _Process(self, "")  # the rules name folders of this machine
        listener = f"{self.port} {self.host}"
        prepare = ROOT / "deploy/mosquitto/prepare.sh"
        subprocess.run([prepare, folder, listener, getpass.getuser()], check=True)
        subprocess.run(
            ["mosquitto_passwd", "-b", folder / "passwords", self.username, self.password],
            check=True,
            capture_output=True,
        )
        with (folder / "acl").open("a") as rules:
            rules.write(f"\nuser {self.username}\ntopic readwrite #\n")

    def password_file(self, account: str) -> Path:
        """Return the file with an account's password."""
        return self.folder / "secrets" / account / "password"


class GuardedStack(Stack):
    """A stack whose services may do what they may do on a box, and nothing else."""

    broker: GuardedBroker

    def new_broker(self, folder: Path) -> Broker:
        """Return one with accounts and rules."""
        return GuardedBroker(folder)

    def account_of(self, service: str) -> dict[str, str]:
        """Return the settings of the service's own account."""
        return {
            "NXAI_BROKER": self.broker.url,
            "NXAI_BROKER_USERNAME": service,
            "NXAI_BROKER_PASSWORD_FILE": str(self.broker.password_file(service)),
        }
