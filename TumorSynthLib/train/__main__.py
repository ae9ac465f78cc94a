"""``python -m TumorSynthLib.train {codec,shape,bridge,bundle}``."""

from pathlib import Path
from typing import Annotated

import typer

from TumorSynthLib.configs import CodecConfig
from TumorSynthLib.errors import TumorSynthError

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Train the networks of a bundle.")

Data = Annotated[Path, typer.Option(help="Training file of `tumorsynth prepare`.")]
Out = Annotated[Path, typer.Option(help="Folder for checkpoint and log; a checkpoint there is resumed.")]
Minutes = Annotated[float, typer.Option(help="Wall time of this run.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...")]
Seed = Annotated[int, typer.Option(help="Seed of weights, order and noise.")]


@app.command()
def codec(
    data: Data,
    out: Out,
    minutes: Minutes,
    device: Device = "cpu",
    seed: Seed = 0,
    batch: Annotated[int, typer.Option(help="Patches per step.")] = 8,
    quantize: Annotated[bool, typer.Option(help="Train the VQ-GAN of the paper; otherwise a plain autoencoder.")] = False,
    decoder_only: Annotated[bool, typer.Option(help="Keep the encoder, so that a bridge trained on it stays valid.")] = False,
    adversarial_from: Annotated[
        float, typer.Option(help="Share of the time from which on the discriminator takes part; 1: never.")
    ] = 0.8,
) -> None:
    """Train the codec on all images."""
    from TumorSynthLib.train.codec import train_codec

    checkpoint = train_codec(
        data,
        out,
        minutes,
        device=device,
        seed=seed,
        batch=batch,
        config=CodecConfig(quantize=quantize),
        decoder_only=decoder_only,
        adversarial_from=adversarial_from,
    )
    typer.echo(checkpoint)


@app.command()
def shape(
    data: Data,
    out: Out,
    minutes: Minutes,
    device: Device = "cpu",
    seed: Seed = 0,
) -> None:
    """Train the shape generator on real tumor shapes."""
    from TumorSynthLib.dataset import shapes_file
    from TumorSynthLib.train.shape import train_shape

    typer.echo(train_shape(shapes_file(data), out, minutes, device=device, seed=seed))


@app.command()
def bridge(
    data: Data,
    codec: Annotated[Path, typer.Option(help="Folder of the codec's checkpoint.")],
    out: Out,
    minutes: Minutes,
    device: Device = "cpu",
    seed: Seed = 0,
    batch: Annotated[int, typer.Option(help="Regions per step.")] = 8,
    crop: Annotated[
        int, typer.Option(help="Edge in voxels of what is trained on; finish with 64, the whole working grid.")
    ] = 48,
) -> None:
    """Train the latent Brownian bridge on tumors and healthy regions."""
    from TumorSynthLib.train.bridge import train_bridge

    typer.echo(train_bridge(data, codec, out, minutes, device=device, seed=seed, batch=batch, crop=crop))


@app.command()
def bundle(
    data: Data,
    codec: Annotated[Path, typer.Option(help="Folder of the codec's checkpoint.")],
    bridge: Annotated[Path, typer.Option(help="Folder of the bridge's checkpoint.")],
    shape: Annotated[Path, typer.Option(help="Folder of the shape generator's checkpoint.")],
    card: Annotated[Path, typer.Option(help="Text of CARD.md.")],
    licence: Annotated[str, typer.Option(help="Licence of the weights; mind that of the training data.")],
    out: Annotated[Path, typer.Option(help="Folder of the bundle, for example models/mine.")],
    version: Annotated[str, typer.Option(help="Version of the weights.")] = "0.1.0",
    intended_use: Annotated[str, typer.Option(help="What the bundle is for.")] = "Research. Not for clinical use.",
    training_data: Annotated[str, typer.Option(help="What it was trained on.")] = "See CARD.md.",
) -> None:
    """Write a bundle from finished trainings."""
    from TumorSynthLib.train.export import export_bundle

    info = {
        "id": out.name,
        "version": version,
        "licence": licence,
        "intended_use": intended_use,
        "training_data": training_data,
    }
    typer.echo(export_bundle(data, codec, bridge, shape, out, info, card.read_text(encoding="utf-8")))


def main() -> None:
    """Run the program; an error of ours is one line on stderr."""
    try:
        app()
    except TumorSynthError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
