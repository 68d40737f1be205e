"""The settings of a run that a launcher of processes has decided on."""

from dataclasses import replace

from mixtconv._processes import find_launch
from mixtconv.training.settings import TrainingSettings


def as_launched(settings: TrainingSettings) -> TrainingSettings:
    """Settings with the numbers of devices and machines that a launcher has decided on.

    Raises:
        ValueError: the settings ask for others.
    """
    launch = find_launch()
    if launch is None:
        return settings
    asked = (settings.devices, settings.nodes)
    started = (launch.devices, launch.nodes)
    if asked not in ((1, 1), started):
        remedy = "" if launch.launcher == "torchrun" else ", and start one task a device with srun"
        raise ValueError(
            f"--devices is {asked[0]} and --nodes {asked[1]}, but {launch.launcher} started "
            f"{started[0]} on {started[1]}; leave both out{remedy}"
        )
    return replace(settings, devices=launch.devices, nodes=launch.nodes)
