"""Grid files: what they mean, and what is said of those that mean nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from omnitrace.config import leaves
from omnitrace.errors import CommandError
from replay import PRESETS
from replay.sweep.grid import Grid, read_grid

PAPER = PRESETS["paper"]


def grid(tmp_path: Path, text: str) -> Grid:
    path = tmp_path / "g.toml"
    path.write_text(text, "utf-8")
    return read_grid(path, PAPER)


def test_every_combination_in_the_files_order(tmp_path: Path) -> None:
    made = grid(tmp_path, '[grid]\nsignal = ["attmean", "rawatt"]\n"curation.gamma" = [1.0, 2, 3]')
    assert made.keys == ("signal", "curation.gamma")
    assert [(c.signal, c.curation.gamma) for c in made.configs] == [
        (signal, gamma) for signal in ("attmean", "rawatt") for gamma in (1.0, 2.0, 3.0)
    ]
    assert made.configs[1] == PAPER


@pytest.mark.parametrize(
    "text",
    [
        '[grid]\n"curation.p_min" = [0.1]\n"units.image" = ["grid"]',
        "[grid]\ncuration.p_min = [0.1]\nunits.image = ['grid']",
        "[grid.curation]\np_min = [0.1]\n[grid.units]\nimage = ['grid']",
        "[base]\ncuration.p_min = 0.1\n[grid]\nunits.image = ['grid']",
        "[random]\nsamples = 3\ncuration.p_min = {min = 0.1, max = 0.1}\nunits.image = ['grid']",
    ],
)
def test_keys_with_dots_and_tables_are_the_same(tmp_path: Path, text: str) -> None:
    (config,) = grid(tmp_path, text).configs
    expected = {leaf.path: leaf.value for leaf in leaves(PAPER)}
    expected |= {"curation.p_min": 0.1, "units.image": "grid"}
    assert {leaf.path: leaf.value for leaf in leaves(config)} == expected


def test_single_weights_and_whole_tables_of_them(tmp_path: Path) -> None:
    one = grid(tmp_path, '[grid]\n"curation.pos_weights.VERB" = [0.5, 1.0]').configs
    whole = grid(tmp_path, '[grid]\n"curation.pos_weights" = [{VERB = 0.5}, {VERB = 1.0}]').configs
    assert one == whole
    assert [c.curation.pos_weights["VERB"] for c in one] == [0.5, 1.0]
    assert one[0].curation.pos_weights["NOUN"] == 1.0


def test_draws_are_legal_reproducible_and_of_their_kind(tmp_path: Path) -> None:
    text = """
    [grid]
    reduce = ["sum", "max"]
    [random]
    samples = 200
    seed = 7
    "curation.alpha" = {min = 0.25, max = 0.5}
    window = {min = 2, max = 4}
    signal = ["attmean", "rawatt"]
    """
    made = grid(tmp_path, text)
    assert made == grid(tmp_path, text)
    assert made != grid(tmp_path, text.replace("seed = 7", "seed = 8"))
    assert len(made.configs) == 400
    assert all(0.25 <= c.curation.alpha <= 0.5 for c in made.configs)
    assert {c.window for c in made.configs} == {2, 3, 4}
    assert {c.signal for c in made.configs} == {"attmean", "rawatt"}
    first, second = made.configs[:200], made.configs[200:]
    assert [c.curation for c in first] == [c.curation for c in second]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("grid = 1", "\\[grid\\] must be a table"),
        ("[grids]", "unknown table 'grids'.*grid"),
        ("", "nothing varies"),
        ("[grid]\nsignals = ['attmean']", "\\[grid\\]: unknown key 'signals'.*signal"),
        ("[grid]\ncuration.gama = [1.0]", "curation: unknown key 'gama'.*gamma"),
        ("[grid]\ncuration.gamma = [1.0, 9.0]", "gamma: 9.0 is not legal.*from 0 to 8"),
        ("[grid]\ncuration.gamma = 1.0", "\\[grid\\] curation.gamma must be a list"),
        ("[grid]\ncuration.gamma = []", "must be a list"),
        ("[grid]\nreduce = ['sun']", "'sun' is not legal.*sum"),
        ("[grid]\ncuration = [1]", "expected a table"),
        ("[base]\nreduce = 'sun'", "\\[base\\]: reduce"),
        ("[random]\ncuration.gamma = {min = 1, max = 2}", "needs samples"),
        ("[random]\nsamples = 0\ncuration.gamma = [1.0]", "samples: 0 is not legal"),
        ("[random]\nsamples = 3", "names no key"),
        ("[random]\nsamples = 3\ncuration.gamma = {min = 1}", "min = …, max = …"),
        ("[random]\nsamples = 3\ncuration.gamma = {min = 2, max = 1}", "min not above max"),
        ("[random]\nsamples = 3\ncuration.gamma = {min = 'a', max = 1}", "must be numbers"),
        ("[random]\nsamples = 3\ncuration.gamma = {min = 1, max = 99}", "99 is not legal"),
        ("[random]\nsamples = 3\nsignal = {min = 1, max = 2}", "signal: 1 is not legal"),
        ("[random]\nsamples = 3\nwindow = [1]\n[grid]\nwindow = [2]", "window is both in"),
        ("[random]\nsamples = 2000000\nwindow = [1]", "more than 100,000"),
        ("[grid", "is not TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(CommandError, match=said):
        grid(tmp_path, text)


def test_a_grid_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot read the grid"):
        read_grid(tmp_path / "none.toml", PAPER)
