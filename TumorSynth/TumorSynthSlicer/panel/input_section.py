"""The panel's input: the scan, its organ, and the region that new tumors stay inside of."""

from collections.abc import Mapping
from typing import Any

from slicer.i18n import tr as _

from TumorSynthSlicer.panel.action_button import Allowed, attempt, waiting
from TumorSynthSlicer.panel.selectors import isGone, letGo
from TumorSynthSlicer.timers import Delayed

AUTOMATIC = "auto"
"""Choice of the domain that leaves it to the scan."""


class InputSection:
    """Scan, organ and region.

    Parameters
    ----------
    ui : widgets by name.
    session : what is being worked on.
    """

    def __init__(self, ui: Any, session: Any) -> None:
        self._ui, self._session = ui, session
        self._offered: list[str] = []
        self._refreshing = False
        self._allowed = Allowed(ui.sourceSelector, ui.domainBox, ui.regionSelector)
        self._leaving = Delayed(0, self.refresh)
        ui.sourceSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._onSource)
        ui.sourceSelector.connect("nodeAboutToBeRemoved(vtkMRMLNode*)", self._onLeaving)
        ui.domainBox.connect("activated(int)", self._onDomain)
        letGo(ui.regionSelector)
        ui.regionSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._onRegion)
        ui.regionSelector.connect("currentSegmentChanged(QString)", self._onRegion)

    def cleanup(self) -> None:
        """Nothing is waited for any more."""
        self._leaving.stop()

    def refresh(self) -> None:
        """Show the session as it is."""
        self._refreshing = True
        ui, session = self._ui, self._session
        if ui.sourceSelector.currentNode() is not session.source:
            ui.sourceSelector.setCurrentNode(session.source)
        self._showRegion()
        self._showDomains()
        ui.scanLabel.text = self._facts()
        ui.scanLabel.visible = bool(ui.scanLabel.text)
        self._allowed.show(waiting(session))
        self._refreshing = False

    def _showRegion(self) -> None:
        selector, parameters = self._ui.regionSelector, self._session.parameters
        if selector.currentNode() is not parameters.region:
            selector.setCurrentNode(parameters.region)
        if selector.currentSegmentID() != parameters.regionSegmentId:
            selector.setCurrentSegmentID(parameters.regionSegmentId)

    def _showDomains(self) -> None:
        """Offer the domains of the bundle; the automatic choice says what it found."""
        box, domains = self._ui.domainBox, self._session.domains
        names = [domain["id"] for domain in domains]
        if names != self._offered or box.count == 0:
            box.clear()
            box.addItem(_("Automatic"), AUTOMATIC)
            for domain in domains:
                box.addItem(domainText(domain), domain["id"])
            self._offered = names
        chosen = self._session.parameters.domain
        box.setItemText(0, self._automaticText() if chosen == AUTOMATIC else _("Automatic"))
        index = max(0, box.findData(chosen))
        if box.currentIndex != index:
            box.setCurrentIndex(index)

    def _automaticText(self) -> str:
        found = self._session.domainFacts
        return _("Automatic: {domain}").format(domain=domainText(found)) if found else _("Automatic")

    def _facts(self) -> str:
        """One line about the scan, and one about its organ."""
        session = self._session
        if session.source is None or session.scan is None:
            return ""
        lines = [session.scan.text]
        if session.parameters.domain == AUTOMATIC and not session.domain and session.questions.candidates:
            lines.append(_("The organ cannot be told from this scan. Choose it below."))
        return "\n".join(line for line in lines if line)

    def _onSource(self, node: Any = None) -> None:
        if not self._refreshing and not self._leaving.waits and node is not self._session.source:
            attempt(self._session, self._session.setSource, node)

    def _onLeaving(self, node: Any) -> None:
        """The selector goes on to the next volume by itself, which nobody has chosen: then there is no scan."""
        if node is self._session.source:
            self._leaving.ask()

    def _onDomain(self, index: int) -> None:
        attempt(self._session, self._session.setDomain, self._ui.domainBox.itemData(index))

    def _onRegion(self, changed: Any = None) -> None:
        parameters, selector = self._session.parameters, self._ui.regionSelector
        if self._refreshing or parameters is None:
            return
        node, segmentId = selector.currentNode(), selector.currentSegmentID()
        if node is parameters.region and isGone(node, parameters.regionSegmentId):
            segmentId = ""
        if node is not parameters.region or segmentId != parameters.regionSegmentId:
            attempt(self._session, self._session.setRegion, node, segmentId)


def domainText(domain: Mapping[str, Any]) -> str:
    """A domain in words, for example ``abdomen, CT``."""
    return f"{domain['organ']}, {domain['modality']}"
