"""How few labels are enough: the error on the test part, a draw of the labels for each seed.

    python benchmarks/semi_supervised.py --task mnist-100-labels --check

Each run is the command line's own; ``--labels N`` draws N labelled images a class by the seed.
What has run already is not run again. MNIST is taken from the data root GMVAE_DATA_ROOT.
"""

import sys

from runs import Task, main, trained

TASKS = {
    "mnist-100-labels": Task(
        "MNIST, ten classes; 10-D; 10 labels a class",
        trained("mnist", "--latent-dim", "10", "--labels", "10"),
        figure="acc_named",
        n_seeds=5,
        mean=0.987,
    ),
    "mnist-10-labels": Task(
        "MNIST, ten classes; 10-D; one label a class",
        trained("mnist", "--latent-dim", "10", "--labels", "1"),
        figure="acc_named",
        n_seeds=5,
        mean=0.985,
    ),
    "digits-100-labels": Task(
        "embedded digits, ten classes; 10-D; 10 labels a class",
        trained("digits", "--latent-dim", "10", "--labels", "10"),
        figure="acc_named",
        n_seeds=5,
    ),
}


if __name__ == "__main__":
    sys.exit(main("semi_supervised", TASKS, (__doc__ or "").splitlines()[0]))
