"""The panel's setup: the packages that the worker needs, and the worker itself. It folds away once it is done."""

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from TumorSynthSlicer import dependencies
from TumorSynthSlicer.dependency_check import Check, verify
from TumorSynthSlicer.panel.action_button import Allowed, attempt
from TumorSynthSlicer.panel.worker_section import WorkerSection


class SetupSection:
    """Install, test, and the worker.

    Parameters
    ----------
    ui : widgets by name.
    session : hears of errors.
    service : the worker.
    onChanged : called when something else of the panel may have to be shown.
    packages : what of ``dependencies`` is used, for tests.
    check : what of ``dependency_check`` is used, for tests.
    confirm : asks the user a question.
    """

    def __init__(
        self,
        ui: Any,
        session: Any,
        service: Any,
        onChanged: Callable[[], Any],
        packages: Any = dependencies,
        check: Callable[..., Any] = verify,
        confirm: Callable[[str], bool] = slicer.util.confirmYesNoDisplay,
    ) -> None:
        self._ui, self._session, self._service, self._onChanged = ui, session, service, onChanged
        self._packages, self._verify, self._confirm = packages, check, confirm
        self.worker = WorkerSection(ui, session, service, onChanged)
        self._verification: Any = None
        self._found: Check | None = None
        self._command: str | None = None
        self._lacking: list[Any] = []
        self._state = self._plan = ""
        self._wasReady = False
        self._verifying = Allowed(ui.verifyButton)
        ui.installButton.connect("clicked(bool)", self._onInstall)
        ui.verifyButton.connect("clicked(bool)", self._onVerify)

    def cleanup(self) -> None:
        """End a test that runs."""
        self._stopVerification()

    @property
    def hindrance(self) -> str:
        """Why nothing can be generated before something is installed; empty when it can."""
        works = self._found is not None and not self._found.error
        if works or not self._lacking or self._service.state in ("ready", "busy"):
            return ""
        return _("Python packages are missing. Press Install in the section Setup.")

    @property
    def primary(self) -> Any:
        """The button that most will want next, or None."""
        return self._ui.installButton if self.hindrance else None

    def refresh(self) -> None:
        """Show packages and worker as they are."""
        ui = self._ui
        if self.worker.choice.command != self._command:
            self._command, self._found = self.worker.choice.command, None
            self._look()
        checking = self._verification is not None
        ui.dependenciesLabel.text = self._text(checking)
        ui.installButton.enabled = bool(self._lacking)
        ui.installButton.toolTip = self._installTip()
        self._verifying.show(_("It is being tested.") if checking else "")
        if self._session.scan is not None and not self.hindrance:
            self.worker.warmUp()
        self.worker.refresh(self.hindrance)
        self._fold()

    def _look(self) -> None:
        """See which packages this Slicer's Python lacks; those of another Python are only known to a test."""
        own = not self.worker.choice.command
        self._lacking = self._packages.missing() if own else []
        self._state = self._packages.state() if own else ""
        self._plan = self._packages.plan() if self._lacking else ""

    def _text(self, checking: bool) -> str:
        if checking:
            return _("Testing...")
        if self._found is not None and self._found.error:
            return " ".join((_("The test failed: {error}").format(error=self._found.error), self._found.hint)).strip()
        if self._found is not None:
            devices = ", ".join(self._found.devices)
            return _("It works: Python {python}, {devices}.").format(python=self._found.python, devices=devices)
        if self.worker.choice.command:
            return _("Another Python does the work. Test tells whether it has what it needs.")
        return self._state

    def _installTip(self) -> str:
        if self._lacking:
            return _("You are asked first. To be installed:\n{plan}").format(plan=self._plan)
        if self.worker.choice.command:
            return _("Only packages of this 3D Slicer can be installed here; install those of the other Python there.")
        return _("All packages are installed.")

    def _fold(self) -> None:
        """Close the section when the worker is ready for the first time, or nothing is missing at the start."""
        ready = not self._lacking and self._service.state != "failed" and not (self._found and self._found.error)
        if ready != self._wasReady:
            self._ui.setupSection.collapsed = ready
        self._wasReady = ready

    def _onInstall(self, checked: bool = False) -> None:
        question = _("TumorSynth needs these packages:\n\n{plan}\n\nThis may take some minutes. Install them now?")
        if self._confirm(question.format(plan=self._plan)):
            installed = attempt(self._session, self._packages.install)
            self._look()
            if installed:
                self._onVerify()
        self._onChanged()

    def _onVerify(self, checked: bool = False) -> None:
        self._stopVerification()
        self._found = None
        attempt(self._session, self._start)
        self.refresh()

    def _start(self) -> None:
        self._verification = self._verify(self.worker.choice, self._onChecked)

    def _onChecked(self, found: Check) -> None:
        self._verification, self._found = None, found
        if found.devices:
            self.worker.offerDevices(found.devices)
        if found.log:
            self._service.logged.emit(found.log)
        self._onChanged()

    def _stopVerification(self) -> None:
        if self._verification is not None:
            self._verification.stop()
            self._verification = None
