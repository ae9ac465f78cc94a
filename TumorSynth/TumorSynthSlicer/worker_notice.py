"""What the user is told when the worker does not run as asked."""

from slicer.i18n import tr as _

from TumorSynthSlicer.commands import WorkerChoice


def deviceNotice(choice: WorkerChoice, device: str, warning: str) -> str:
    """A sentence about the device that is used or the bundle that is missing; empty when all is as asked.

    Parameters
    ----------
    choice : what was asked for.
    device : what the worker uses; empty when it could not load the bundle.
    warning : the last warning of the worker.
    """
    if not device:
        text = _("The bundle '{bundle}' could not be loaded. {reason}")
        return text.format(bundle=choice.bundle, reason=warning).strip()
    asked = choice.device.partition(":")[0]
    if asked != "auto" and asked != device.partition(":")[0]:
        text = _("'{asked}' was asked for, but the worker uses '{device}'. {reason}")
        return text.format(asked=choice.device, device=device, reason=warning).strip()
    if asked == "auto" and device == "cpu":
        return _("No GPU was found: the worker uses the CPU, which takes longer.")
    return ""
