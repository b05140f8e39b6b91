"""TreeModel. Specification: PMML 4.4, "TreeModel", with its ways to treat missing values."""

from __future__ import annotations

from typing import Final

from tsavo.formats.pmml.elements import Element, NotPMML
from tsavo.formats.pmml.predicates import PREDICATES, predicate_of, truth_of
from tsavo.formats.pmml.results import Result, chosen
from tsavo.formats.pmml.scopes import Scope

__all__ = ["tree"]

_STRATEGIES: Final = frozenset({"none", "lastPrediction", "nullPrediction", "defaultChild"})
_PARTS: Final = frozenset({"Node", "ScoreDistribution", "Extension", *PREDICATES})


def tree(scope: Scope, model: Element) -> Result:
    """What a TreeModel says."""
    root, strategy = model.first("Node"), model.get("missingValueStrategy", "none")
    if root is None:
        raise NotPMML("a TreeModel without a Node")
    if strategy not in _STRATEGIES:
        raise NotPMML(f"the missingValueStrategy '{strategy[:40]}' is not read here")
    if model.number("missingValuePenalty", 1.0) != 1.0:
        raise NotPMML("a missingValuePenalty is not read here")
    walker = _Walker(scope, model, strategy, _classes(root) if _classifies(model) else None)
    truth = truth_of(scope, predicate_of(root))
    return chosen(scope.calculation, truth.true, walker.result(root), walker.nothing)


def _classifies(model: Element) -> bool:
    return model.need("functionName") == "classification"


def _classes(root: Element) -> list[str]:
    """The classes in order of their appearance in distributions, then as scores."""
    found: dict[str, None] = {}
    scores: dict[str, None] = {}
    open_nodes = [root]
    while open_nodes:
        node = open_nodes.pop()
        found.update((part.need("value"), None) for part in node.all("ScoreDistribution"))
        if "score" in node.attributes:
            scores[node.get("score")] = None
        open_nodes.extend(node.all("Node"))
    return list({**found, **scores})


class _Walker:
    """A tree from its leaves to its root."""

    def __init__(self, scope: Scope, model: Element, strategy: str, classes: list[str] | None) -> None:
        self.scope = scope
        self.strategy = strategy
        self.last = model.get("noTrueChildStrategy", "returnNullPrediction") == "returnLastPrediction"
        self.classes = classes
        nan = scope.calculation.nan
        self.nothing = Result(nan, {}) if classes is None else Result(None, dict.fromkeys(classes, nan), nan)

    def result(self, node: Element) -> Result:
        """What the part of the tree below a node says."""
        for part in node.children:
            if part.name not in _PARTS:
                raise NotPMML(f"the element {part.name} in a Node is not read here")
        children = list(node.all("Node"))
        if not children:
            return self.own(node)
        calculation = self.scope.calculation
        made = self.own(node) if self.last else self.nothing
        results = [self.result(child) for child in children]
        unknown = self._when_unknown(node, children, results)
        for child, result in zip(reversed(children), reversed(results), strict=True):
            truth = truth_of(self.scope, predicate_of(child))
            if unknown is not None:
                made = chosen(calculation, truth.unknown, unknown, made)
            made = chosen(calculation, truth.true, result, made)
        return made

    def _when_unknown(self, node: Element, children: list[Element], results: list[Result]) -> Result | None:
        if self.strategy == "lastPrediction":
            return self.own(node)
        if self.strategy == "nullPrediction":
            return self.nothing
        if self.strategy == "defaultChild":
            for child, result in zip(children, results, strict=True):
                if child.get("id") == node.get("defaultChild", "\0"):
                    return result
            return self.nothing
        return None

    def own(self, node: Element) -> Result:
        """The score of the node itself."""
        calculation = self.scope.calculation
        if self.classes is None:
            return (
                Result(calculation.constant(node.number("score")), {})
                if "score" in node.attributes
                else self.nothing
            )
        if "score" not in node.attributes and node.first("ScoreDistribution") is None:
            return self.nothing
        shares = dict.fromkeys(self.classes, 0.0)
        parts = list(node.all("ScoreDistribution"))
        total = sum(part.number("recordCount") for part in parts)
        for part in parts:
            counted = part.number("recordCount") / total if total > 0 else 0.0
            shares[part.need("value")] = part.number("probability", counted)
        answer = (
            node.get("score") if "score" in node.attributes else max(shares, key=lambda name: shares[name])
        )
        if not parts:
            shares[answer] = 1.0
        scores = {name: calculation.constant(share) for name, share in shares.items()}
        return Result(None, scores, calculation.constant(float(self.classes.index(answer))))
