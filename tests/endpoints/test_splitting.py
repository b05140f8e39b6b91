from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tsavo.endpoints.splitting import assign, assign_many, key_of

SEEDS = st.integers(0, 2**53)
SHARES = st.lists(st.floats(0, 1), max_size=4).filter(lambda shares: sum(shares) <= 1)
CELLS = st.text(max_size=5) | st.none()


def test_over_many_keys_each_challenger_gets_its_share() -> None:
    shares = [0.1, 0.25, 0.05]
    expected = np.array([0.6, *shares]) * 40_000
    p_values = []
    for seed in range(5):
        # Keys as people have them: consecutive numbers, which a weak hash would not spread.
        counted = Counter(assign(seed, f"customer-{number}", shares) for number in range(40_000))
        observed = [counted[place] for place in range(-1, len(shares))]
        p_values.append(stats.chisquare(observed, expected).pvalue)
    # Each is uniform in [0, 1] when the shares are kept, so together they are hardly ever all small.
    assert stats.combine_pvalues(p_values).pvalue > 1e-4


def test_who_answers_in_one_endpoint_says_nothing_about_another() -> None:
    keys = [str(number) for number in range(40_000)]
    table = np.zeros((2, 2))
    for key in keys:
        table[assign(1, key, [0.3]), assign(2, key, [0.3])] += 1
    assert stats.chi2_contingency(table).pvalue > 1e-4


@given(SEEDS, st.lists(st.text(max_size=5), min_size=1), SHARES, st.data())
def test_enlarging_a_share_takes_no_key_from_that_challenger(
    seed: int, keys: list[str], shares: list[float], data: st.DataObject
) -> None:
    if not shares:
        return
    at = data.draw(st.integers(0, len(shares) - 1))
    enlarged = [*shares]
    enlarged[at] += data.draw(st.floats(0, 1)) * (1 - sum(shares))
    for key in keys:
        if assign(seed, key, shares) == at:
            assert assign(seed, key, enlarged) == at


@given(SEEDS, st.text(max_size=5), st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0, 0.5))
def test_with_two_challengers_a_change_of_one_leaves_the_others_keys_alone(
    seed: int, key: str, kept: float, before: float, after: float
) -> None:
    for shares, changed, at in [
        ([kept, before], [kept, after], 0),
        ([before, kept], [after, kept], 1),
    ]:
        assert (assign(seed, key, shares) == at) == (assign(seed, key, changed) == at)


@given(SEEDS, st.lists(CELLS), SHARES)
def test_a_column_of_text_is_assigned_value_by_value(
    seed: int, values: list[str | None], shares: list[float]
) -> None:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    expected = [assign(seed, key_of(value), shares) for value in values]
    assert assign_many(seed, column, shares).tolist() == expected


@given(SEEDS, st.lists(st.integers(-(2**53), 2**53)), SHARES)
def test_a_number_is_one_key_in_whatever_type_it_comes(
    seed: int, values: list[int], shares: list[float]
) -> None:
    expected = [assign(seed, str(value), shares) for value in values]
    assert assign_many(seed, np.array(values, dtype=np.int64), shares).tolist() == expected
    assert assign_many(seed, np.array(values, dtype=np.float64), shares).tolist() == expected


def test_missing_values_are_one_key_and_booleans_are_words() -> None:
    shares = [0.5]
    for seed in range(20):
        missing = assign(seed, "", shares)
        assert assign_many(seed, np.array([np.nan, np.nan]), shares).tolist() == [missing, missing]
        assert assign_many(seed, np.array([None], dtype=object), shares).tolist() == [missing]
        words = [assign(seed, "true", shares), assign(seed, "false", shares)]
        assert assign_many(seed, np.array([True, False]), shares).tolist() == words


@given(SEEDS, st.binary(max_size=20), st.floats(0, 1))
def test_the_place_of_a_key_is_its_keyed_blake2b_hash(seed: int, key: bytes, share: float) -> None:
    # As anybody can recompute it from the documented rule alone.
    digest = hashlib.blake2b(key, digest_size=8, key=seed.to_bytes(8, "little")).digest()
    place = (int.from_bytes(digest, "little") // 2**11) / 2**53
    assert (assign(seed, key, [share]) == 0) == (place < share)


def test_no_share_is_nobody_and_a_whole_share_is_everybody() -> None:
    for number in range(1000):
        assert assign(3, str(number), [0.0, 0.0, 0.0]) == -1
        assert assign(3, str(number), [1.0]) == 0
        assert assign(3, str(number), [0.0, 1.0]) == 1


def test_text_that_is_no_valid_unicode_is_a_key_too() -> None:
    assert assign(3, "\ud800", [0.5]) in (-1, 0)
