"""Linear read-outs: what a hyperplane can tell of stimuli from a layer, judged on stimuli the fit has not seen."""

from alignment.decoding.folds import permuted, stratified_folds
from alignment.decoding.labels import PUBLISHED, STANDARDISED, Decoded, Decoder, ReadOut, decode, read_out
from alignment.decoding.values import predict_values

__all__ = [
    "PUBLISHED",
    "STANDARDISED",
    "Decoded",
    "Decoder",
    "ReadOut",
    "decode",
    "permuted",
    "predict_values",
    "read_out",
    "stratified_folds",
]
