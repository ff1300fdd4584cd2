"""The true weights, where they are: published figures, and sentences that mean the same."""

import pytest

from engine.sentences.encoder import Encoder
from engine.sentences.weights import DIMENSIONS
from tests.engine.conftest import true_weights


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder.load(true_weights())


def test_similarities_are_those_that_the_models_makers_publish(encoder: Encoder) -> None:
    """The three sentences and six figures stand in the quickstart of sentence-transformers' documentation."""
    vectors = encoder.encode(["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."])
    assert vectors.shape == (3, DIMENSIONS)
    near = vectors @ vectors.T
    assert [near[0, 1], near[0, 2], near[1, 2]] == pytest.approx([0.6660, 0.1046, 0.1411], abs=5e-5)


@pytest.mark.parametrize(
    ("text", "like", "unlike"),
    [
        ("A man is playing a guitar.", "Someone makes music on an instrument.", "A man is eating soup."),
        ("The company lost money last year.", "It was a bad year for the firm's finances.", "The firm has a new logo."),
        ("How do I get to the station?", "Which way is it to the trains?", "How do I cook rice?"),
        ("The telescope looks at distant galaxies.", "An instrument for astronomy", "A recipe for bread"),
        ("He was happy about the news.", "The message made him glad.", "He reads the newspaper."),
        ("The cat sleeps on the sofa.", "A kitten naps on the couch.", "The sofa is for sale."),
    ],
)
def test_what_means_the_same_is_nearer_than_what_shares_words(
    encoder: Encoder, text: str, like: str, unlike: str
) -> None:
    vectors = encoder.encode([text, like, unlike])
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
