"""What is known of the sentence model beside its weights (``engine.weights.MEANING``).

The model is named by its hash wherever vectors are kept, so that those of other weights are never compared with them.
"""

from engine.weights import MEANING

MODEL = MEANING.model
DIMENSIONS = 384
TENSORS, VOCABULARY = "model.safetensors", "vocab.txt"
# What the weights themselves do not say (the model's config.json, sentence_bert_config.json).
HEADS = 12
LONGEST = 256  # tokens of a text, with the two that mark its ends
# Beside each kept vector: 16 digits tell weights apart.
VERSION = MEANING.files[TENSORS][:16]
