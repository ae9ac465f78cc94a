"""``python -m TumorSynthLib`` is the program ``tumorsynth``."""

from TumorSynthLib.cli import main

if __name__ == "__main__":
    main()
