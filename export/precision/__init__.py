"""From the float32 graph to graphs of lower precision, by well-kept converters; each keeps the tensor `features`.

    fp16    weights and activations float16                                       `features` is float16
    int8    signed 8 bit before every convolution, float16 between: for GPUs      `features` is float16
    uint8   unsigned 8 bit throughout: for CPUs                                   `features` is float32
    fp8     float8 e4m3fn before ordinary convolutions, float16 between: for GPUs `features` is float16

The head stays as it is, in float32: norms, similarities, argmax and coordinates.
"""
