"""The head as one ONNX node, `coke::Match`, that carries its own definition in standard operators.

A runtime that knows the node (a TensorRT plugin) may replace it; every other inlines the function. The
function is written for one head: the rule, the number of peaks and the clutter bank decide its body, and the
node's attributes repeat them. `kernels/reference.py` is the definition; what differs is the order of work:

* all cells meet the clutter bank in one MatMul, and only if the rule needs it; else the K·M peaks alone do;
* where they do not, features are never turned nor made unit: K scores of a cell are divided by its length instead;
* exp needs no running maximum while 1/τ is far from the range of float32, which saves a quarter of the time;
* indices stay integers throughout (a cell above 65,504 has no float16), floats are float32.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Protocol, cast

import onnx_ir as ir
import onnxscript

from coke_edge.kernels.reference import EPSILON, NO_PEAK
from coke_edge.kernels.spec import HeadSpec

DOMAIN, NAME, VERSION = "coke", "Match", 1
OPSET = 20
LARGEST_EXPONENT = 70.0  # exp(±70), summed over any bank, is still a normal float32
INFINITY = float("inf")
TO_THE_END = 2**62

Value = ir.Value
Size = Value | list[int]


class Op(Protocol):
    """onnxscript's builder: `op.Add(x, 1.0)` appends a node and returns its output."""

    def __getattr__(self, operator: str) -> Callable[..., Value]: ...


def match_function(
    head: HeadSpec, clutter_rows: int, weighted: bool, map_size: tuple[int, int] | None = None
) -> ir.Function:
    """The definition of `coke::Match` for this head, `clutter_rows` = N ≥ 0, with or without counts.

    Inputs: features [B, C, H, W] of any float type, prototypes [K, C], clutter [N, C] and, if `weighted`,
    counts [N], all float32. Outputs: those of `kernels.reference.Peaks`. B may be unknown; so may H and W, unless
    `map_size` (H, W) says them: then what would be computed from them in every run is constant.
    """

    def body(op: Op, features: Value, prototypes: Value, *clutter_and_counts: Value) -> list[Value]:
        size: Size = list(map_size) if map_size else op.Shape(features, start=2)  # [2] H, W
        bank = Bank(op, head, *clutter_and_counts) if clutter_rows else EmptyBank(op)

        # What the rule subtracts must be known at every cell; the rest only at the peaks.
        respond = {"similarity": None, "margin": bank.hard, "log_odds": bank.soft}[head.rule]
        cells: UnitCells | RawCells
        if respond:
            cells = UnitCells(op, features, prototypes)
            similarity = cells.similarity()  # [B, K, H·W]
            score = op.Sub(similarity, by_map(op, respond(bank.products(cells.rows))))
        else:
            cells = RawCells(op, features, prototypes)
            score = similarity = cells.similarity()
        score = op.Where(op.IsNaN(score), -INFINITY, score)
        padded = pad_map(op, score, size)  # [B, K, H+2, W+2]
        candidates = score if head.peaks == 1 else local_maxima(op, padded)  # the best of all is always one
        cell, found = best_cells(op, candidates, head.peaks)  # [B, K, M]

        def masked(values: Value) -> Value:  # B·K·M values → [B, K, M]
            return op.Where(found, op.Reshape(values, op.Shape(cell)), -INFINITY)

        products = bank.products(cells.at(op.Reshape(cell, [0, -1])))  # [B, K·M, N]
        around = neighbourhoods(op, padded, size, cell, head.peaks)
        return [
            op.Cast(op.Where(found, cell, NO_PEAK), to=ir.DataType.INT32),
            masked(op.GatherElements(similarity, cell, axis=-1)),
            masked(bank.hard(products)),
            masked(bank.soft(products)),
            op.Where(op.Unsqueeze(found, [-2, -1]), around, -INFINITY),
        ]

    names = ["features", "prototypes", "clutter", "counts"][: 4 if weighted else 3]
    return onnxscript.build_function(
        body,
        [ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT)) for name in names],
        domain=DOMAIN,
        name=NAME,
        attributes=[ir.Attr(name, ir.AttributeType.UNDEFINED, None) for name in attributes(head)],
        opset_imports={"": OPSET},
    )


def attributes(head: HeadSpec) -> dict[str, str | float | int]:
    """The node's attributes: for a plugin, and for whoever reads the graph."""
    return dataclasses.asdict(head)


class Bank:
    """Responses of the clutter bank, all from the products u·β / τ."""

    def __init__(self, op: Op, head: HeadSpec, clutter: Value, counts: Value | None = None) -> None:
        self.op, self.head, self.counts = op, head, counts
        self.columns = op.Div(op.Transpose(clutter, perm=[1, 0]), head.temperature)  # [C, N]

    def products(self, cells: Value) -> Value:
        """Unit rows [B, P, C] → [B, P, N]."""
        return self.op.MatMul(cells, self.columns)

    def hard(self, products: Value) -> Value:
        """c [B, P, 1]."""
        return self.op.Mul(self.op.ReduceMax(products, [-1], keepdims=1), self.head.temperature)

    def soft(self, products: Value) -> Value:
        """ĉ [B, P, 1]."""
        op = self.op
        largest = None
        if 1.0 / self.head.temperature > LARGEST_EXPONENT:
            largest = op.ReduceMax(products, [-1], keepdims=1)
            products = op.Sub(products, largest)
        exponentials = op.Exp(products)
        if self.counts is None:
            total = op.ReduceSum(exponentials, [-1], keepdims=1)
        else:
            total = op.MatMul(exponentials, op.Unsqueeze(self.counts, [-1]))
        logarithm = op.Log(op.Mul(total, self.head.clutter_weight))
        return op.Mul(op.Add(logarithm, largest) if largest else logarithm, self.head.temperature)


class EmptyBank:
    """c = ĉ = −1, the lowest similarity there is."""

    def __init__(self, op: Op) -> None:
        self.op = op

    def products(self, cells: Value) -> Value:
        """Unit rows [B, P, C] → −1 [B, P, 1]."""
        return self.op.Expand(-1.0, self.op.Concat(self.op.Shape(cells, end=2), [1], axis=0))

    def hard(self, products: Value) -> Value:
        """c [B, P, 1]."""
        return products

    soft = hard


class UnitCells:
    """Features as unit rows, turned and divided at every cell: for a rule that meets the clutter bank at every cell."""

    def __init__(self, op: Op, features: Value, prototypes: Value) -> None:
        """Features [B, C, H, W], prototypes [K, C]."""
        self.op, self.prototypes = op, prototypes
        rows = op.Transpose(cell_columns(op, features), perm=[0, 2, 1])
        # A product, not a reduction: ONNX Runtime would reduce before it transposes, along the slow axis.
        ones = op.Expand(1.0, op.Concat(channels(op, prototypes), [1], axis=0))  # [C, 1]
        length = op.Sqrt(op.MatMul(op.Mul(rows, rows), ones))
        self.rows = op.Div(rows, op.Max(length, EPSILON))  # [B, H·W, C]

    def similarity(self) -> Value:
        """[B, K, H·W]."""
        return by_map(self.op, self.op.MatMul(self.rows, self.op.Transpose(self.prototypes, perm=[1, 0])))

    def at(self, places: Value) -> Value:
        """Unit rows of cells [B, P]: [B, P, C]."""
        return self.op.GatherND(self.rows, self.op.Unsqueeze(places, [-1]), batch_dims=1)


class RawCells:
    """Features as they are: K scores of each cell are divided by its length, and the peaks alone are turned."""

    def __init__(self, op: Op, features: Value, prototypes: Value) -> None:
        """Features [B, C, H, W], prototypes [K, C]."""
        self.op, self.prototypes = op, prototypes
        self.columns = cell_columns(op, features)
        ones = op.Expand(1.0, op.Concat([1], channels(op, prototypes), axis=0))  # [1, C]
        length = op.Sqrt(op.MatMul(ones, op.Mul(self.columns, self.columns)))
        self.length = op.Max(length, EPSILON)  # [B, 1, H·W]

    def similarity(self) -> Value:
        """[B, K, H·W]."""
        return self.op.Div(self.op.MatMul(self.prototypes, self.columns), self.length)

    def at(self, places: Value) -> Value:
        """Unit rows of cells [B, P]: [B, P, C]."""
        op = self.op
        across = op.Unsqueeze(places, [1])  # [B, 1, P]
        every = op.Concat([1], channels(op, self.prototypes), [1], axis=0)
        columns = op.GatherElements(self.columns, op.Expand(across, every), axis=2)  # [B, C, P]
        return by_map(op, op.Div(columns, op.GatherElements(self.length, across, axis=2)))


def channels(op: Op, prototypes: Value) -> Value:
    """C, asked of the prototypes: they are a constant of the graph, where the features' batch is not."""
    return op.Shape(prototypes, start=1)


def cell_columns(op: Op, features: Value) -> Value:
    """Features [B, C, H, W] → [B, C, H·W], float32."""
    return op.Reshape(op.Cast(features, to=ir.DataType.FLOAT), [0, 0, -1])


def by_map(op: Op, rows: Value) -> Value:
    """[B, P, K] → [B, K, P]."""
    return op.Transpose(rows, perm=[0, 2, 1])


def pad_map(op: Op, score: Value, size: Size) -> Value:
    """[B, K, H·W] → [B, K, H+2, W+2] with a frame of −∞."""
    score_map = op.Reshape(score, op.Concat([0, 0], size, axis=0))
    return op.Pad(score_map, [0, 0, 1, 1, 0, 0, 1, 1], -INFINITY)


def local_maxima(op: Op, padded: Value) -> Value:
    """Padded scores [B, K, H+2, W+2] → [B, K, H·W], −∞ where the cell is no local maximum.

    Among equal neighbours the first one is: a cell is larger than the four before it and no smaller than those after.
    """

    def part(values: Value, rows: tuple[int, int], columns: tuple[int, int]) -> Value:
        starts, ends = zip(rows, columns, strict=True)
        return op.Slice(values, list(starts), list(ends), [2, 3])

    centre, left, right = (part(padded, (1, -1), columns) for columns in ((1, -1), (0, -2), (2, TO_THE_END)))
    rows = op.MaxPool(padded, kernel_shape=[1, 3])  # [B, K, H+2, W], of three cells side by side
    above, below = (part(rows, lines, (0, TO_THE_END)) for lines in ((0, -2), (2, TO_THE_END)))
    maximal = op.And(op.Greater(centre, op.Max(above, left)), op.GreaterOrEqual(centre, op.Max(below, right)))
    return op.Reshape(op.Where(maximal, centre, -INFINITY), [0, 0, -1])


def best_cells(op: Op, candidates: Value, peaks: int) -> tuple[Value, Value]:
    """Candidates [B, K, H·W] → the M best cells, int64 [B, K, M], 0 where there is none; and which there are.

    TopK gives the lowest index first among equals. A map of fewer than M cells is filled up with −∞.
    """
    if peaks > 1:
        candidates = op.Pad(candidates, [0, 0, 0, 0, 0, peaks - 1], -INFINITY)
    best, order = cast("tuple[Value, Value]", op.TopK(candidates, [peaks], axis=-1, _outputs=2))
    found = op.Less(op.Abs(best), INFINITY)
    return op.Where(found, order, 0), found


def neighbourhoods(op: Op, padded: Value, size: Size, cell: Value, peaks: int) -> Value:
    """Padded scores [B, K, H+2, W+2] around cells [B, K, M] → [B, K, M, 3, 3].

    Cell i·W + j is the centre of the padded map's square with its upper left corner at i·(W + 2) + j.
    """
    width = op.Gather(size, 1)
    corner = op.Add(cell, op.Mul(op.Div(cell, width), 2))
    down, right = [0, 0, 0, 1, 1, 1, 2, 2, 2], [0, 1, 2, 0, 1, 2, 0, 1, 2]
    offsets = op.Add(op.Mul(down, op.Add(width, 2)), right)  # [9]
    places = op.Reshape(op.Add(op.Unsqueeze(corner, [-1]), offsets), [0, 0, -1])
    values = op.GatherElements(op.Reshape(padded, [0, 0, -1]), places, axis=-1)
    return op.Reshape(values, [0, 0, peaks, 3, 3])
