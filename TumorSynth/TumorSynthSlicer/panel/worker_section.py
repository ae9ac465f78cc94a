"""The part of the panel's setup that says which computer does the work, and with which model."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import slicer
from slicer.i18n import tr as _

from TumorSynthSlicer import commands
from TumorSynthSlicer.panel.action_button import attempt
from TumorSynthSlicer.panel.tables import OFF_COLOR
from TumorSynthSlicer.requests import bundlesInquiry


class WorkerSection:
    """Device, command, start and stop, model and its licence.

    Parameters
    ----------
    ui : widgets by name.
    session : hears of errors.
    service : the worker.
    onChanged : called when something else may have to be shown.
    store : where the user's choices are kept; None is the application's settings.
    """

    def __init__(
        self, ui: Any, session: Any, service: Any, onChanged: Callable[[], Any], store: commands.Store | None = None
    ) -> None:
        self._ui, self._session, self._service = ui, session, service
        self._onChanged, self._store = onChanged, store
        self._bundles: dict[str, Mapping[str, Any]] = {}
        self._devices: tuple[str, ...] = ()
        self._state = ""
        self._stopped = False
        self.choice = commands.load(store)
        """What starts the worker."""
        self._offerDevices()
        self._offerBundles()
        ui.commandEdit.text = self.choice.command
        ui.inlineCheck.checked = self.choice.inline
        ui.deviceBox.connect("activated(int)", self._onChosen)
        ui.bundleBox.connect("activated(int)", self._onChosen)
        ui.inlineCheck.connect("clicked(bool)", self._onChosen)
        ui.commandEdit.connect("editingFinished()", self._onChosen)
        ui.startButton.connect("clicked(bool)", self._onStart)
        ui.stopButton.connect("clicked(bool)", self._onStop)

    def cleanup(self) -> None:
        """Nothing outlives the widgets."""

    def offerDevices(self, devices: tuple[str, ...]) -> None:
        """Offer what a check has found: ``cpu``, ``mps``, or ``cuda:0`` with the name of the GPU behind it."""
        self._devices = devices
        self._offerDevices()

    def chooseDevice(self, device: str) -> None:
        """Choose a device by its id, as if the user had."""
        box = self._ui.deviceBox
        if box.findData(device) < 0:
            box.addItem(deviceText(device), device)
        box.setCurrentIndex(box.findData(device))
        self._onChosen()

    def warmUp(self) -> None:
        """Start it where there is none: outline, domain and what is plausible come from it. The user's Stop holds."""
        if self._service.state == "stopped" and not self._stopped:
            self._service.start()

    def refresh(self, hindrance: str) -> None:
        """Show the worker as it is.

        Parameters
        ----------
        hindrance : why it cannot be started at all; empty when it can.
        """
        ui, state = self._ui, self._service.state
        if state != self._state:
            self._state = state
            if state == "ready" and not self._bundles:
                self._service.ask(bundlesInquiry(), self._onBundles, kind="panel.bundles")
        alive = state in ("starting", "ready", "busy")
        _enable(ui.startButton, _("It runs already.") if alive else hindrance)
        _enable(ui.stopButton, "" if alive else _("It does not run."))
        ui.workerLabel.text = self._stateText()
        ui.workerLabel.styleSheet = f"QLabel {{ color: {OFF_COLOR}; }}" if state == "failed" else ""
        ui.licenceLabel.text = self._licenceText()
        ui.licenceLabel.visible = bool(ui.licenceLabel.text)

    def _stateText(self) -> str:
        service = self._service
        device = deviceText(service.device) if service.device else _("no device")
        words = {
            "stopped": _("stopped; Generate or Start starts it"),
            "starting": _("starting..."),
            "ready": _("ready on {device}").format(device=device),
            "busy": _("working on {device}").format(device=device),
            "failed": str(service.error or _("failed")),
        }
        return "\n".join(text for text in (words[service.state], service.notice) if text)

    def _licenceText(self) -> str:
        """Licence and intended use of the chosen model."""
        bundle = self._bundles.get(self.choice.bundle.replace("\\", "/").rstrip("/").rpartition("/")[2])
        if bundle is None:
            return ""
        lines = [_("Licence: {licence}.").format(licence=bundle["licence"]), str(bundle["intended_use"])]
        if "NC" in str(bundle["licence"]).replace(" ", "-").split("-"):
            lines.insert(1, _("Non-commercial use only, of the model and of what is made with it."))
        return "\n".join(line for line in lines if line)

    def _offerDevices(self) -> None:
        gpu = "mps" if slicer.app.os == "macosx" else "cuda"
        found = dict(_named(device) for device in self._devices)
        items = {"auto": _("Automatic"), "cpu": _("CPU"), **(found or {gpu: _("GPU")})}
        _offer(self._ui.deviceBox, items, self.choice.device, deviceText(self.choice.device))

    def _offerBundles(self) -> None:
        items = {name: f"{name} {bundle['version']}" for name, bundle in self._bundles.items()}
        _offer(self._ui.bundleBox, items, self.choice.bundle, self.choice.bundle)

    def _onBundles(self, answer: Mapping[str, Any]) -> None:
        self._bundles = {bundle["id"]: bundle for bundle in answer["bundles"]}
        self._offerBundles()
        self._onChanged()

    def _onChosen(self, *values: Any) -> None:
        """Keep what the user chose; a worker that is there is replaced."""
        ui = self._ui
        choice = replace(
            self.choice,
            command=ui.commandEdit.text.strip(),
            inline=ui.inlineCheck.checked,
            device=ui.deviceBox.itemData(ui.deviceBox.currentIndex),
            bundle=ui.bundleBox.itemData(ui.bundleBox.currentIndex),
        )
        if choice == self.choice or not attempt(self._session, commands.save, choice, self._store):
            return
        self.choice = choice
        self._bundles = {}
        if self._service.state in ("starting", "ready"):  # a busy one is replaced by the service when it is done
            self._service.restart()
        self._onChanged()

    def _onStart(self, checked: bool = False) -> None:
        self._stopped = False
        self._service.start()

    def _onStop(self, checked: bool = False) -> None:
        self._stopped = True
        self._service.stop()


def deviceText(device: str) -> str:
    """A device in words.

    >>> deviceText("cuda:1")
    'GPU 1'
    """
    kind, _colon, number = device.partition(":")
    word = {"auto": _("Automatic"), "cpu": _("CPU"), "cuda": _("GPU"), "mps": _("GPU")}.get(kind, kind)
    return f"{word} {number}".strip()


def _named(device: str) -> tuple[str, str]:
    """Id and words of a device as the check writes it: ``cuda:0 Name of the GPU``."""
    name, _space, words = device.partition(" ")
    return name, f"{deviceText(name)}, {words}" if words else deviceText(name)


def _offer(box: Any, items: Mapping[str, str], chosen: str, text: str) -> None:
    """Fill a combo box with ids and texts, and choose one of them, whether or not it is offered."""
    box.clear()
    for name, words in {**items, **({} if chosen in items else {chosen: text})}.items():
        box.addItem(words, name)
    box.setCurrentIndex(box.findData(chosen))


def _enable(button: Any, why: str) -> None:
    """Enable a button, or say why not beneath the tooltip that it has in the .ui file."""
    tip = button.toolTip.split("\n\n")[-1]
    button.enabled = not why
    button.toolTip = f"{why}\n\n{tip}" if why else tip
