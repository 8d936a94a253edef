"""Make the screen of a run from its sample: a head, and a certificate of it.

Every fourth row trains the head, the others certify it. A thousand answers train a head nearly as
well as two thousand, and the certificate gets sharper with each subjective conversation.
"""

import numpy as np

from vitw_ray.config import RunConfig
from vitw_ray.extraction.screen.certify import certify
from vitw_ray.extraction.screen.head import fit_binary, undecided
from vitw_ray.extraction.screen.sample import Sample
from vitw_ray.extraction.screen.stored import Screen, distilled_head

TRAINS_EVERY = 4  # ours: see benchmarks/README.md


def make_screen(sample: Sample, config: RunConfig) -> Screen:
    """Train a head on some of the rows, or take the one that is given, and certify it."""
    head = distilled_head(config)
    loss = config.extraction.screen_loss
    held_out = np.arange(len(sample.subjective)) % TRAINS_EVERY != 0
    if head is not None:
        held_out[:] = True
    elif len(set(sample.subjective[~held_out].tolist())) < 2:
        head = undecided(sample.features.shape[1])  # one kind of answer trains no head
    else:
        head = fit_binary(sample.features[~held_out], sample.subjective[~held_out])
    scores = head.scores(sample.features[held_out])[:, 0]
    certificate = certify(scores, sample.subjective[held_out], loss)
    return Screen(head=head, certificate=certificate, trained=int((~held_out).sum()))
