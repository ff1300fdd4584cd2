"""Make a LLaVA of a quarter of a million random numbers, and a tokenizer for it, out of nothing.

What it says is nonsense; how a server says it is not. python bench/model/tiny.py DIR (needs torch and transformers)
"""

import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

WORDS = Path(__file__).resolve().parents[2] / "docs" / "wire.md"  # any text will do
SIZE, PATCH, CONTEXT = 56, 14, 32768
SPECIAL = ["<pad>", "<s>", "</s>", "<image>"]
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: "
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{{ '<image>' if part['type'] == 'image' else part['text'] }}\n{% endfor %}"
    "{% endif %}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
)


def tokenizer() -> PreTrainedTokenizerFast:
    learnt = Tokenizer(models.BPE())
    learnt.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    learnt.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=1000, special_tokens=SPECIAL, initial_alphabet=alphabet)
    learnt.train([str(WORDS)], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=learnt,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens={"image_token": "<image>"},
        model_max_length=CONTEXT,
    )


def processor() -> LlavaProcessor:
    return LlavaProcessor(
        image_processor=CLIPImageProcessor(size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE}),
        tokenizer=tokenizer(),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
        image_token="<image>",
    )


def model(words: int) -> LlavaForConditionalGeneration:
    small = {"num_hidden_layers": 2}
    pictures = CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_attention_heads=2, image_size=SIZE, patch_size=PATCH, **small
    )
    text = LlamaConfig(
        vocab_size=words, hidden_size=64, intermediate_size=128, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=CONTEXT, pad_token_id=0, bos_token_id=1, eos_token_id=2, **small,
    )  # fmt: skip
    made = LlavaForConditionalGeneration(LlavaConfig(vision_config=pictures, text_config=text, image_token_index=3))
    made.generation_config.update(do_sample=True, pad_token_id=0, eos_token_id=2, suppress_tokens=[0, 1, 3])
    return made


def main(target: Path) -> None:
    torch.manual_seed(0)
    reads = processor()
    reads.save_pretrained(target)
    model(len(reads.tokenizer)).save_pretrained(target)


main(Path(sys.argv[1]))
