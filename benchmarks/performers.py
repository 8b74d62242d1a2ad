"""Drawing performers: frames per second of a render and of an exact swap, 512 x 512, one process."""

from __future__ import annotations

from itertools import cycle

from common import Timing, measure, publish
from understudy.performers.motion import Motion
from understudy.performers.performer import Performer
from understudy.performers.renderer import render, render_swap
from understudy.performers.scene import Scene
from understudy.pipelines.setup import one_thread
from understudy.training.process import keep_pages

SIZE, FRAMES, SEEDS = 512, 25, (1, 7, 13)


def main() -> None:
    """Measures some people, with and without an occluder, and writes the results."""
    keep_pages()
    one_thread()
    figures: dict[str, Timing | float | str] = {}
    for seed in SEEDS:
        performer, motion = Performer.from_seed(seed), Motion.from_seed(seed)
        for occluder in ("none", "glasses"):
            scene = Scene.from_seed(seed, occluder)
            moments = cycle([motion.state(0.4 * step) for step in range(FRAMES)])

            def frames(
                performer: Performer = performer, scene: Scene = scene, moments: cycle = moments
            ) -> None:
                for _ in range(FRAMES):
                    render(performer, next(moments), scene, SIZE)

            figures[f"seed {seed}, occluder {occluder}"] = measure(frames, units=FRAMES)
    source, target = Performer.from_seed(SEEDS[1]), Performer.from_seed(SEEDS[2])
    scene, motion = Scene.from_seed(SEEDS[2]), Motion.from_seed(SEEDS[2])

    def swaps() -> None:
        for step in range(FRAMES):
            render_swap(source, target, motion.state(0.4 * step), scene, SIZE)

    figures["exact swap"] = measure(swaps, units=FRAMES)
    publish("performers", figures, {"size": SIZE, "frames": FRAMES, "unit": "frames", "threads": 1})


if __name__ == "__main__":
    main()
