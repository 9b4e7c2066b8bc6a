"""The paper's mapping and curation in plain Python, for benchmarks.replay_speed and the tests.

`curate_sources_with_conf` is Appendix A.1's listing (arXiv 2604.13073), transcribed; `map_steps` is
lines 9 and 10 of Algorithm 1 as loops.
"""

from __future__ import annotations

from collections import defaultdict

from replay import CurationConfig


def map_steps(masses: list[list[float]]) -> tuple[list[int], list[float]]:
    """ŝ(t) and c_t of each step from its row of masses: the first of the largest."""
    sources, confidence = [], []
    for row in masses:
        best = 0
        for j in range(1, len(row)):
            if row[j] > row[best]:
                best = j
        sources.append(best)
        confidence.append(row[best])
    return sources, confidence


def curate_sources_with_conf(  # noqa: C901 - the paper's, not ours
    source_ids: list[int], pos: list[str], conf: list[float], cfg: CurationConfig
) -> list[int]:
    T = len(source_ids)
    if T == 0:
        return []
    if not (T == len(pos) == len(conf)):
        raise ValueError("source_ids, pos, conf must have the same length.")
    vote: list[float] = []
    for p, c in zip(pos, conf, strict=False):
        pw = cfg.pos_weights.get(p, 0.3)
        cw = max(c, 0.0) ** cfg.gamma
        vote.append(pw * cw)
    total = float(sum(vote))
    if total <= 0:
        return []
    mass: dict[int, float] = defaultdict(float)
    for s, v in zip(source_ids, vote, strict=False):
        mass[s] += v
    p_mass = {s: m / total for s, m in mass.items()}
    run_max: dict[int, float] = defaultdict(float)
    cur_s, cur_run = source_ids[0], vote[0]
    for i in range(1, T):
        if source_ids[i] == cur_s:
            cur_run += vote[i]
        else:
            run_max[cur_s] = max(run_max[cur_s], cur_run)
            cur_s, cur_run = source_ids[i], vote[i]
    run_max[cur_s] = max(run_max[cur_s], cur_run)
    run_frac = {s: run_max[s] / total for s in mass}

    def score(s: int) -> float:
        return cfg.alpha * p_mass[s] + (1.0 - cfg.alpha) * run_frac[s]

    ranked = sorted(p_mass.keys(), key=score, reverse=True)
    selected: list[int] = []
    cum = 0.0
    for s in ranked:
        strong_run = run_frac[s] >= cfg.run_min
        if p_mass[s] < cfg.p_min and not strong_run:
            continue
        selected.append(s)
        cum += p_mass[s]
        if cum >= cfg.coverage:
            break
    return selected
