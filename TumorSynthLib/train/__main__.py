"""``python -m TumorSynthLib.train {codec,shape,bridge,all,bundle,presets,segmenter}``."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from TumorSynthLib.bundle import Bundle, load_bundle
from TumorSynthLib.errors import TumorSynthError
from TumorSynthLib.train.presets import BridgeStage, CodecStage, ShapeStage, named_preset
from TumorSynthLib.train.settings import Asked, crop_of, help_text, listing, stage_of, stage_settings

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Train the networks of a bundle.")

Data = Annotated[Path, typer.Option(help="Training file of `tumorsynth prepare`.")]
Out = Annotated[Path, typer.Option(help="Folder for checkpoints and log; a checkpoint there is continued.")]
Minutes = Annotated[float | None, typer.Option(help="Wall time of this run; without it and --steps the preset's.")]
Steps = Annotated[
    int | None,
    typer.Option(min=1, help="Train up to this step, the learning rate following the steps; then resuming is exact."),
]
Device = Annotated[str, typer.Option(help="cpu or cuda; under torchrun each process takes the device of its local rank.")]
Seed = Annotated[int, typer.Option(help="Seed of weights, order and noise.")]
Batch = Annotated[int | None, typer.Option(min=1, help="Samples per process and part of a step.")]
PresetName = Annotated[str, typer.Option("--preset", help=f"Where values come from that are not given. {help_text()}.")]
Init = Annotated[
    str | None,
    typer.Option(help="Bundle (name or folder) to start from: its networks and feature scales, at a quarter of the rate."),
]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="NAME=VALUE, any value that `presets` lists; may be given several times.")
]
Card = Annotated[Path | None, typer.Option(help="Text of CARD.md; written from what the training knows where not given.")]
Licence = Annotated[str, typer.Option(help="Licence of the weights; mind that of the training data, which is the default.")]
Version = Annotated[str, typer.Option(help="Version of the weights.")]
Use = Annotated[str, typer.Option(help="What the bundle is for.")]
TrainedOn = Annotated[str, typer.Option(help="What it was trained on; counts of the training file where not given.")]
NO_CLINIC = "Research. Not for clinical use."


def opened(name: str | None) -> Bundle | None:
    """The bundle of that name or folder."""
    if name is None:
        return None
    return load_bundle(Path(name) if Path(name).is_dir() else name)


def told(line: str) -> None:
    """A line for whoever watches; results alone go to the standard output."""
    typer.echo(line, err=True)


@app.command()
def codec(
    data: Data,
    out: Out,
    minutes: Minutes = None,
    steps: Steps = None,
    preset: PresetName = "cpu",
    device: Device = "cpu",
    seed: Seed = 0,
    batch: Batch = None,
    init: Init = None,
    quantize: Annotated[bool, typer.Option(help="Train the VQ-GAN of the paper; otherwise a plain autoencoder.")] = False,
    decoder_only: Annotated[
        bool | None,
        typer.Option(help="Keep the encoder, so that a bridge trained on it stays valid; the default with --init."),
    ] = None,
    adversarial_from: Annotated[
        float | None, typer.Option(help="Share of the training from which on the discriminator takes part; 1: never.")
    ] = None,
    assignments: Set = None,
) -> None:
    """Train the codec on all images."""
    from TumorSynthLib.train.codec import train_codec
    from TumorSynthLib.train.team import gathered

    stage = stage_of(named_preset(preset), "codec", CodecStage)
    stage = replace(stage, decoder_only=init is not None if decoder_only is None else decoder_only)
    stage = replace(stage, network=replace(stage.network, quantize=quantize or stage.network.quantize))
    if adversarial_from is not None:
        extra = {**stage.train.extra, "adversarial_from": adversarial_from}
        stage = replace(stage, train=replace(stage.train, extra=extra))
    settings = stage_settings(stage, Asked(preset, minutes, steps, seed, batch, init is not None, assignments or ()))
    with gathered(device) as team:
        result = train_codec(data, out, settings, team, opened(init), told)
        if team.leads:
            typer.echo(result)


@app.command()
def shape(
    data: Data,
    out: Out,
    minutes: Minutes = None,
    steps: Steps = None,
    preset: PresetName = "cpu",
    device: Device = "cpu",
    seed: Seed = 0,
    batch: Batch = None,
    init: Init = None,
    assignments: Set = None,
) -> None:
    """Train the shape generator on real tumor shapes."""
    from TumorSynthLib.dataset import shapes_file
    from TumorSynthLib.train.shape import train_shape
    from TumorSynthLib.train.team import gathered

    stage = stage_of(named_preset(preset), "shape", ShapeStage)
    settings = stage_settings(stage, Asked(preset, minutes, steps, seed, batch, init is not None, assignments or ()))
    with gathered(device) as team:
        result = train_shape(shapes_file(data), out, settings, team, opened(init), told)
        if team.leads:
            typer.echo(result)


@app.command()
def bridge(
    data: Data,
    out: Out,
    codec: Annotated[Path | None, typer.Option(help="Folder of the codec's training; the bundle's with --init alone.")] = None,
    minutes: Minutes = None,
    steps: Steps = None,
    preset: PresetName = "cpu",
    device: Device = "cpu",
    seed: Seed = 0,
    batch: Batch = None,
    crop: Annotated[
        str | None, typer.Option(help="Edge in voxels of what is trained on, or three; finish with the whole working grid.")
    ] = None,
    augment: Annotated[
        bool, typer.Option(help="Draw new crops, flips and healthy regions while training goes on (see draw.* of `presets`).")
    ] = True,
    init: Init = None,
    assignments: Set = None,
) -> None:
    """Train the latent Brownian bridge on tumors and healthy regions."""
    from TumorSynthLib.train.bridge import train_bridge
    from TumorSynthLib.train.team import gathered

    stage = stage_of(named_preset(preset), "bridge", BridgeStage)
    if crop is not None:
        stage = replace(stage, crop=crop_of(crop))
    if not augment:
        stage = replace(stage, draw=replace(stage.draw, variants=0, fresh=0.0))
    settings = stage_settings(stage, Asked(preset, minutes, steps, seed, batch, init is not None, assignments or ()))
    with gathered(device) as team:
        result = train_bridge(data, codec, out, settings, team, opened(init), told)
        if team.leads:
            typer.echo(result)


@app.command("all")
def all_stages(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for the trainings and the bundle; what is there is continued.")],
    minutes: Annotated[float | None, typer.Option(help="Wall time of the three trainings together, over all calls.")] = None,
    preset: PresetName = "cpu",
    device: Device = "cpu",
    seed: Seed = 0,
    init: Init = None,
    id: Annotated[str, typer.Option(help="Name of the bundle.")] = "mine",
    version: Version = "0.1.0",
    licence: Licence = "",
    intended_use: Use = NO_CLINIC,
    training_data: TrainedOn = "",
    assignments: Set = None,
) -> None:
    """Train codec, shape generator and bridge, each for its share of the time, and write the bundle."""
    from TumorSynthLib.train.all_stages import planned, train_all
    from TumorSynthLib.train.team import gathered

    plan = planned(named_preset(preset), minutes, seed, init is not None, assignments or ())
    info = {"id": id, "version": version, "licence": licence, "intended_use": intended_use, "training_data": training_data}
    with gathered(device) as team:
        result = train_all(data, out, plan, team, info, opened(init), told)
        if team.leads:
            typer.echo(result)


@app.command()
def bundle(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder of the bundle, for example models/mine.")],
    codec: Annotated[Path | None, typer.Option(help="Folder of the codec's training; the base's where not given.")] = None,
    bridge: Annotated[Path | None, typer.Option(help="Folder of the bridge's training; the base's where not given.")] = None,
    shape: Annotated[Path | None, typer.Option(help="Folder of the shape generator's; the base's where not given.")] = None,
    init: Annotated[str | None, typer.Option(help="Bundle that the trainings started from.")] = None,
    card: Card = None,
    licence: Licence = "",
    version: Version = "0.1.0",
    intended_use: Use = NO_CLINIC,
    training_data: TrainedOn = "",
    methods: Annotated[str, typer.Option(help="Methods of the bundle, with commas; all that were trained where empty.")] = "",
) -> None:
    """Write a bundle from finished trainings."""
    from TumorSynthLib.train.export import Folders, export_bundle

    info = {
        "id": out.name,
        "version": version,
        "licence": licence,
        "intended_use": intended_use,
        "training_data": training_data,
    }
    text = "" if card is None else card.read_text(encoding="utf-8")
    chosen = [name.strip() for name in methods.split(",") if name.strip()]
    typer.echo(export_bundle(data, Folders(codec, bridge, shape), out, info, text, opened(init), chosen))


@app.command()
def presets(
    names: Annotated[list[str] | None, typer.Argument(help="Presets to show; all if none.")] = None,
) -> None:
    """List the presets with all their values, under the names that --set takes (for `all` with codec., shape. or bridge.)."""
    typer.echo(listing(names or ()))


@app.command()
def segmenter(
    data: Annotated[Path, typer.Option(help="Folder with index.csv and the images.")],
    out: Out,
    steps: Annotated[int, typer.Option(min=1, help="Optimizer steps of the whole run.")] = 2400,
    split: Annotated[str, typer.Option(help="Never the split that is evaluated.")] = "train",
    device: Device = "cpu",
    seed: Seed = 0,
) -> None:
    """Train the small segmenter that judges masks and images in `tumorsynth evaluate`; no part of a bundle."""
    from TumorSynthLib.train.segmenter import train_segmenter

    typer.echo(train_segmenter(data, out, steps, split, seed=seed, device=device))


def main() -> None:
    """Run the program; an error of ours is one line on stderr."""
    try:
        app()
    except TumorSynthError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
