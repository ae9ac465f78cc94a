"""The first edit: put a tumor into a scan and say where the picture is.

Makes the project's environment on the first run. Without a scan it takes the MNI152 T1 template (an average of
152 healthy heads) that the nilearn package ships.
"""

import argparse
import importlib.util
import shlex
import subprocess
import sys
from pathlib import Path

import environment

TEMPLATE = "datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
WHITE_MATTER = (-30.0, -8.0, 30.0)
"""A point of the template 11 mm inside the left white matter, RAS mm."""


def main() -> int:
    """Run ``tumorsynth insert`` on a scan; the exit code is the program's own."""
    options = parse(sys.argv[1:])
    environment.enter("demo")
    scan = options.scan or template()
    at = options.at or (middle_of_body(scan) if options.scan else WHITE_MATTER)
    domain = options.domain or ("auto" if options.scan else "brain-t1")
    edit = ["insert", str(scan), "--at", *(f"{value:g}" for value in at), "--volume-ml", f"{options.volume_ml:g}"]
    edit += ["--domain", domain, "--seed", str(options.seed), "--out", str(options.out), "--overwrite"]
    print(shlex.join(["tumorsynth", *edit]), flush=True)
    code = subprocess.call([sys.executable, "-m", "TumorSynthLib", *edit])
    if code == 0:
        report(options.out)
    return code


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line; everything has a default."""
    parser = argparse.ArgumentParser(description="Insert a tumor into a scan and name the files that this wrote.")
    parser.add_argument("scan", nargs="?", type=Path, help="a scan (.nii, .nii.gz, .nrrd, .mha or a DICOM folder)")
    parser.add_argument("--at", nargs=3, type=float, metavar=("R", "A", "S"), help="where, in RAS mm (default: mid body)")
    parser.add_argument("--volume-ml", type=float, default=12.0, help="volume of the tumor in mL (default: %(default)g)")
    parser.add_argument("--domain", help="what the scan shows, an id of `tumorsynth bundles` (default: by the file)")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives another tumor (default: %(default)d)")
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="folder of the result (default: %(default)s)")
    return parser.parse_args(arguments)


def template() -> Path:
    """The T1 template among nilearn's files."""
    package = importlib.util.find_spec("nilearn")
    folders = list(package.submodule_search_locations or []) if package else []
    found = [Path(folder) / TEMPLATE for folder in folders if (Path(folder) / TEMPLATE).is_file()]
    if not found:
        sys.exit("The installed nilearn has no MNI152 T1 template; give a scan of your own.")
    return found[0]


def middle_of_body(scan: Path) -> tuple[float, float, float]:
    """The voxel brighter than the scan's mean that is nearest to the center of all such voxels, RAS mm."""
    import numpy as np

    from TumorSynthLib.errors import TumorSynthError
    from TumorSynthLib.volume_io import read_volume

    try:
        volume = read_volume(scan)
    except TumorSynthError as error:
        sys.exit(f"{error.message} {error.hint}".strip())
    body = np.argwhere(volume.array > volume.array.mean())
    if not len(body):
        sys.exit("The scan is constant; there is no body to put a tumor into.")
    nearest = body[np.argmin(((body - body.mean(axis=0)) ** 2).sum(axis=1))]
    r, a, s = volume.geometry.to_ras(nearest)
    return (float(r), float(a), float(s))


def report(out: Path) -> None:
    """Name the picture first, then the other files."""
    out = out.resolve()
    print(f"\nPicture: {out / 'preview.png'}")
    for path in sorted(out.iterdir()):
        print(f"  {path.name:24} {path.stat().st_size / 1e6:8.2f} MB")


if __name__ == "__main__":
    sys.exit(main())
