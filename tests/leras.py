"""DeepFaceLab's networks in plain numpy, float64, as its TensorFlow layers compute them; and its files.

Written from a description of layers and names, apart from the package and without torch, so that the two can
be compared. Pictures are (n, rows, columns, channels) in BGR. An array that a network asks for and that is
not there yet is drawn, so a first pass makes a whole model.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np


class Numbers:
    """Arrays of a model by part and key, float32; drawn when they are first asked for."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.parts: dict[str, dict[str, np.ndarray]] = {}

    def get(self, part: str, key: str, shape: tuple[int, ...], scale: float) -> np.ndarray:
        arrays = self.parts.setdefault(part, {})
        if key not in arrays:
            arrays[key] = (self.random.standard_normal(shape) * scale).astype(np.float32)
        assert arrays[key].shape == shape, (part, key, arrays[key].shape, shape)
        return arrays[key].astype(np.float64)


def leaky(slope: float, wave: bool):
    return (lambda x: x * np.cos(x)) if wave else (lambda x: np.where(x > 0, x, slope * x))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def pixel_norm(x):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)


def depth_to_space(x):
    """Blocks of 2: depth is (row, column, channel)."""
    n, h, w, c = x.shape
    out = np.zeros((n, 2 * h, 2 * w, c // 4))
    for row in range(2):
        for column in range(2):
            place = (row * 2 + column) * (c // 4)
            out[:, row::2, column::2] = x[..., place : place + c // 4]
    return out


def flatten(x):
    return x.transpose(0, 3, 1, 2).reshape(len(x), -1)


def unflatten(x, side, channels):
    return x.reshape(len(x), channels, side, side).transpose(0, 2, 3, 1)


class Net:
    """Layers of one part."""

    def __init__(self, numbers: Numbers, part: str, letters: str = "") -> None:
        self.numbers, self.part = numbers, part
        self.c = "c" in letters

    def conv(self, x, name, outputs, kernel, stride=1):
        inputs, half = x.shape[-1], kernel // 2
        shape = (kernel, kernel, inputs, outputs)
        w = self.numbers.get(self.part, f"{name}/weight:0", shape, 1.5 / (kernel * np.sqrt(inputs)))
        b = self.numbers.get(self.part, f"{name}/bias:0", (outputs,), 0.1)
        padded = np.pad(x, ((0, 0), (half, half), (half, half), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(1, 2))
        return np.einsum("nhwcij,ijco->nhwo", windows[:, ::stride, ::stride], w, optimize=True) + b

    def dense(self, x, name, outputs):
        w = self.numbers.get(self.part, f"{name}/weight:0", (x.shape[-1], outputs), 1 / np.sqrt(x.shape[-1]))
        return x @ w + self.numbers.get(self.part, f"{name}/bias:0", (outputs,), 0.1)

    def down(self, x, name, outputs):
        return leaky(0.1, self.c)(self.conv(x, f"{name}/conv1", outputs, 5, 2))

    def up(self, x, name, outputs):
        return depth_to_space(leaky(0.1, self.c)(self.conv(x, f"{name}/conv1", 4 * outputs, 3)))

    def res(self, x, name):
        inner = leaky(0.2, self.c)(self.conv(x, f"{name}/conv1", x.shape[-1], 3))
        return leaky(0.2, self.c)(x + self.conv(inner, f"{name}/conv2", x.shape[-1], 3))


def encoder(numbers, letters, x, e):
    net = Net(numbers, "encoder", letters)
    if "t" in letters:
        x = net.res(net.down(x, "down1", e), "res1")
        for index, width in ((2, 2 * e), (3, 4 * e), (4, 8 * e), (5, 8 * e)):
            x = net.down(x, f"down{index}", width)
        x = net.res(x, "res5")
    else:
        for index, width in enumerate((e, 2 * e, 4 * e, 8 * e)):
            x = net.down(x, f"down1/downs_{index}", width)
    x = flatten(x)
    return pixel_norm(x) if "u" in letters else x


def inter(numbers, part, letters, x, resolution, ae, outputs):
    net = Net(numbers, part, letters)
    side = resolution // (32 if "d" in letters else 16)
    x = net.dense(net.dense(x, "dense1", ae), "dense2", side * side * outputs)
    x = unflatten(x, side, outputs)
    return x if "t" in letters else net.up(x, "upscale1", outputs)


def decoder(numbers, part, letters, z, d, m):
    net = Net(numbers, part, letters)
    x = z
    for index, width in enumerate((8, 8, 4, 2) if "t" in letters else (8, 4, 2)):
        x = net.res(net.up(x, f"upscale{index}", width * d), f"res{index}")
    if "d" in letters:
        parts = [net.conv(x, "out_conv", 3, 1)]
        parts += [net.conv(x, f"out_conv{index}", 3, 3) for index in (1, 2, 3)]
        x = depth_to_space(np.concatenate(parts, -1))
    else:
        x = net.conv(x, "out_conv", 3, 1)
    widths = (8, 8, 4, 2) if "t" in letters else (8, 4, 2)
    y = z
    for index, width in enumerate((*widths, 1) if "d" in letters else widths):
        y = net.up(y, f"upscalem{index}", width * m)
    return sigmoid(x), sigmoid(net.conv(y, "out_convm", 1, 1))


def saehd(numbers, archi, x, *, resolution, e, ae, d, m):
    """(source again, target again, swap) of the same faces; each a face and a mask."""
    kind, _, letters = archi.partition("-")
    code = encoder(numbers, letters, x, e)
    if kind == "df":
        z = inter(numbers, "inter", letters, code, resolution, ae, ae)
        source = decoder(numbers, "decoder_src", letters, z, d, m)
        return source, decoder(numbers, "decoder_dst", letters, z, d, m), source
    ab = inter(numbers, "inter_AB", letters, code, resolution, ae, 2 * ae)
    b = inter(numbers, "inter_B", letters, code, resolution, ae, 2 * ae)
    source = decoder(numbers, "decoder", letters, np.concatenate([ab, ab], -1), d, m)
    return source, decoder(numbers, "decoder", letters, np.concatenate([b, ab], -1), d, m), source


def amp(numbers, x, *, resolution, e, ae, inters, d, m, morph):
    """The swap: a face and a mask."""
    code = Net(numbers, "encoder").dense(encoder(numbers, "tu", x, e), "dense1", ae)
    side = resolution // 32
    both = [
        unflatten(Net(numbers, part).dense(code, "dense2", side * side * inters), side, inters)
        for part in ("inter_src", "inter_dst")
    ]
    count = int(inters * morph)
    z = np.concatenate([both[0][..., :count], both[1][..., count:]], -1)
    return decoder(numbers, "decoder", "td", z, d, m)


class Xseg(Net):
    """Layers of the mask network."""

    def normed(self, x, name):
        c = x.shape[-1]
        weight = 1 + self.numbers.get(self.part, f"{name}/frn/weight:0", (c,), 0.2)
        bias = self.numbers.get(self.part, f"{name}/frn/bias:0", (c,), 0.2)
        eps = self.numbers.get(self.part, f"{name}/frn/eps:0", (1,), 0.01)
        tau = self.numbers.get(self.part, f"{name}/tlu/tau:0", (c,), 0.2)
        power = (x**2).mean((1, 2), keepdims=True)
        return np.maximum(x / np.sqrt(power + np.abs(eps)) * (weight - 1) + bias, tau)

    def block(self, x, name, outputs):
        return self.normed(self.conv(x, f"{name}/conv", outputs, 3), name)

    def transposed(self, x, name, outputs):
        """Gradient of a 3 x 3 convolution with stride 2 and "same" padding, which here pads at the end."""
        n, h, w, c = x.shape
        kernel = self.numbers.get(self.part, f"{name}/conv/weight:0", (3, 3, outputs, c), 0.7 / np.sqrt(c))
        out = np.zeros((n, 2 * h + 1, 2 * w + 1, outputs))
        for row in range(3):
            for column in range(3):
                out[:, row : row + 2 * h : 2, column : column + 2 * w : 2] += x @ kernel[row, column].T
        bias = self.numbers.get(self.part, f"{name}/conv/bias:0", (outputs,), 0.1)
        return self.normed(out[:, : 2 * h, : 2 * w] + bias, name)


def blur_pool(x, taps):
    line = {2: [1, 1], 3: [1, 2, 1], 4: [1, 3, 3, 1]}[taps]
    kernel = np.outer(line, line) / np.sum(line) ** 2
    before, after = (taps - 1) // 2, -(-(taps - 1) // 2)
    padded = np.pad(x, ((0, 0), (before, after), (before, after), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (taps, taps), axis=(1, 2))[:, ::2, ::2]
    return np.einsum("nhwcij,ij->nhwc", windows, kernel)


def xseg(numbers, x, *, base, code):
    """Probability of the face."""
    net, b = Xseg(numbers, "XSeg"), base
    skips = []
    levels = ((b, 2, 4), (2 * b, 2, 3), (4 * b, 2, 2), (8 * b, 3, 2), (8 * b, 3, 2), (8 * b, 3, 2))
    for level, (width, count, taps) in enumerate(levels):
        for index in range(1, count + 1):
            x = net.block(x, f"conv{level}{index}", width)
        skips.append(x)
        x = blur_pool(x, taps)
    side = x.shape[1]
    x = net.dense(net.dense(flatten(x), "dense1", code), "dense2", side * side * 8 * b)
    x = unflatten(x, side, 8 * b)
    ups = ((5, 4, 8, 3), (4, 4, 8, 3), (3, 4, 8, 3), (2, 4, 4, 2), (1, 2, 2, 2), (0, 1, 1, 2))
    for level, doubled, width, count in ups:
        x = np.concatenate([net.transposed(x, f"up{level}", doubled * b), skips[level]], -1)
        for index in range(count, 0, -1):
            x = net.block(x, f"uconv{level}{index}", width * b)
    return sigmoid(net.conv(x, "out_conv", 1, 3))


# ------------------------------------------------------------------------------------------------ files


def save(folder: Path, stem: str, numbers: Numbers, options: dict | None = None, iterations: int = 7) -> None:
    """A model's files as DeepFaceLab writes them: pickles, with numpy's scalars and faces in data.dat."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, arrays in numbers.parts.items():
        name = "XSeg_256.npy" if part == "XSeg" else f"{stem}_{part}.npy"
        (folder / name).write_bytes(pickle.dumps(arrays, 4))
    if options is not None:
        faces = np.full((4, 16, 16, 3), 0.5, np.float32)
        wrapped = {k: np.int64(v) if type(v) is int else v for k, v in options.items()}
        data = {
            "iter": iterations,
            "options": wrapped,
            "loss_history": [[np.float32(1.0), 0.5]] * 20,
            "sample_for_preview": [[faces, faces], [faces]],
            "choosed_gpu_indexes": None,
        }
        (folder / f"{stem}_data.dat").write_bytes(pickle.dumps(data))


def save_memory(folder: Path, stem: str, numbers: Numbers, prefixes=("ms", "vs"), parts=None) -> dict:
    """The optimiser's file: random values in the layout of the weights; gives them."""
    random = np.random.default_rng(9)
    held: dict[str, np.ndarray] = {"iters:0": np.array(7, np.int64)}
    for part, arrays in numbers.parts.items():
        if parts is None or part in parts:
            for key, array in arrays.items():
                for prefix in prefixes:
                    name = f"{prefix}_{part}/{key.replace(':', '_')}:0"
                    held[name] = random.random(array.shape).astype(np.float32)
    (folder / f"{stem}_src_dst_opt.npy").write_bytes(pickle.dumps(held, 4))
    return held
