#!/usr/bin/env python3
"""Makes a language model of random numbers to measure with: the shape of Qwen3-0.6B in F16.

    python3 -m venv /tmp/make && /tmp/make/bin/pip install gguf numpy
    /tmp/make/bin/python bench/model.py FILE

596 million parameters, 1.2 GB. One part is made at a time, so a few hundred MB of memory do. The
same seed gives the same file. What it says means nothing; what a token costs is what it costs in a
trained model of this shape. Its tokens are the 256 bytes and words of two to four letters. Nothing
is merged, so each byte of a prompt is a token.
"""

import argparse
import itertools
import string
from pathlib import Path

import gguf
import numpy

LAYERS, HIDDEN, HEADS, HEADS_KV, HEAD, FFN, VOCABULARY = 28, 1024, 16, 8, 128, 3072, 151_936
WINDOW, EPS, THETA = 40_960, 1e-6, 1_000_000.0
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
# Under these, scores of tokens differ about as much as a trained model's do.
SPREAD, SPREAD_EMBEDDING = 0.02, 0.1
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_letters():
    """The letters that stand for bytes in byte-level vocabularies."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return [chr(byte) if byte in plain else chr(256 + others.index(byte)) for byte in range(256)]


def tokens():
    """The vocabulary, the control tokens last."""
    words = itertools.chain.from_iterable(
        map("".join, itertools.product(string.ascii_lowercase, repeat=length)) for length in (2, 3, 4)
    )
    plain = itertools.chain(byte_letters(), words)
    return [*itertools.islice(plain, VOCABULARY - len(CONTROL)), *CONTROL]


def shapes():
    """Every tensor's name and shape, rows first."""
    yield "token_embd.weight", (VOCABULARY, HIDDEN)
    for layer in range(LAYERS):
        for name, shape in {
            "attn_norm": (HIDDEN,),
            "attn_q": (HEADS * HEAD, HIDDEN),
            "attn_k": (HEADS_KV * HEAD, HIDDEN),
            "attn_v": (HEADS_KV * HEAD, HIDDEN),
            "attn_q_norm": (HEAD,),
            "attn_k_norm": (HEAD,),
            "attn_output": (HIDDEN, HEADS * HEAD),
            "ffn_norm": (HIDDEN,),
            "ffn_gate": (FFN, HIDDEN),
            "ffn_up": (FFN, HIDDEN),
            "ffn_down": (HIDDEN, FFN),
        }.items():
            yield f"blk.{layer}.{name}.weight", shape
    yield "output_norm.weight", (HIDDEN,)


def weight(random, name, shape):
    """The numbers of a tensor: norms leave everything as it is and stay in F32."""
    if len(shape) == 1:
        return numpy.ones(shape, numpy.float32)
    spread = SPREAD_EMBEDDING if name == "token_embd.weight" else SPREAD
    made = random.standard_normal(shape, numpy.float32)
    made *= numpy.float32(spread)
    if name == "token_embd.weight":
        # The output is the embedding: no answer ends by itself.
        made[-len(CONTROL) :] = 0
    return made.astype(numpy.float16)


def describe(out):
    out.add_name("random numbers in the shape of Qwen3-0.6B")
    out.add_context_length(WINDOW)
    out.add_embedding_length(HIDDEN)
    out.add_feed_forward_length(FFN)
    out.add_block_count(LAYERS)
    out.add_head_count(HEADS)
    out.add_head_count_kv(HEADS_KV)
    out.add_key_length(HEAD)
    out.add_value_length(HEAD)
    out.add_layer_norm_rms_eps(EPS)
    out.add_rope_freq_base(THETA)
    out.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("qwen2")
    out.add_token_list(tokens())
    normal, control = gguf.TokenType.NORMAL, gguf.TokenType.CONTROL
    out.add_token_types([normal] * (VOCABULARY - len(CONTROL)) + [control] * len(CONTROL))
    # Readers want at least one merge: of two bytes that no text in UTF-8 has.
    out.add_token_merges([" ".join([byte_letters()[255]] * 2)])
    out.add_eos_token_id(VOCABULARY - 1)
    out.add_add_bos_token(False)
    out.add_chat_template(TEMPLATE)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    random = numpy.random.Generator(numpy.random.PCG64(asked.seed))
    out = gguf.GGUFWriter(asked.file, "qwen3")
    describe(out)
    for name, shape in shapes():
        kind = numpy.dtype(numpy.float32 if len(shape) == 1 else numpy.float16)
        count = int(numpy.prod(shape))
        out.add_tensor_info(name, shape, kind, count * kind.itemsize)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_ti_data_to_file()
    for name, shape in shapes():
        out.write_tensor_data(weight(random, name, shape))
    out.close()


main()
